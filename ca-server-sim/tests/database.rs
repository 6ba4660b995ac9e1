//! Records of `.db` texts as clients see them.

mod rig;

use std::net::Ipv4Addr;
use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::wire::Command;
use ca_proto::wire::message::EventMask;
use ca_proto::{AlarmSeverity, AlarmStatus, EcaStatus};
use ca_server_sim::{BuildError, Ioc, PostError, PvSpec};
use rig::*;

const TIME_STRING: DbrType = DbrType::new(Family::Time, NativeType::String);

fn rig(db: &str) -> Rig {
    Rig::new(Ioc::builder().db_text(db, ""))
}

/// What clients were sent by themselves.
fn values(replies: &[Reply]) -> Vec<String> {
    let told = replies.iter().filter(|r| r.command == Command::EVENT_ADD);
    told.map(Reply::text).collect()
}

#[test]
fn fields_have_the_types_and_counts_of_the_reference() {
    let mut rig = rig(r#"
        record(ai, "a") { field(DESC, "first") field(EGU, "mm") field(PREC, 2) field(HOPR, 10) field(LOPR, -10)
                          field(INP, "b.VAL NPP MS") field(HIHI, 9) field(HHSV, MAJOR) alias("alias") }
        record(longin, "b") {}
        record(waveform, "w") { field(FTVL, "ULONG") field(NELM, 4) field(INP, [1, 2, 4294967295]) }
        record(bi, "s") { field(ZNAM, "Off") field(ONAM, "On") }
    "#);
    let mut client = rig.client();
    for (name, native, count, text) in [
        ("a", NativeType::Double, 1, "0.00"),
        ("a.", NativeType::Double, 1, "0.00"),
        ("alias.DESC", NativeType::String, 1, "first"),
        ("a.DESC$", NativeType::Char, 41, "102"),
        ("a.INP", NativeType::String, 1, "b.VAL NPP MS"),
        ("a.INP$", NativeType::Char, 1024, "98"),
        ("a.SCAN", NativeType::Enum, 1, "Passive"),
        ("a.STAT", NativeType::Enum, 1, "UDF"),
        ("a.UDF", NativeType::Char, 1, "1"),
        ("a.PREC", NativeType::Short, 1, "2"),
        ("a.UTAG", NativeType::Double, 1, "0"),
        ("a.RTYP", NativeType::String, 1, "ai"),
        ("alias.NAME", NativeType::String, 1, "a"),
        ("b.DISV", NativeType::Short, 1, "1"),
        ("b.NSEV", NativeType::Enum, 1, "NO_ALARM"),
        ("w", NativeType::Double, 4, "1"),
        ("w.[2]", NativeType::Double, 1, "4294967295"),
        ("w.NELM", NativeType::Double, 1, "4"),
        ("s", NativeType::Enum, 1, "Off"),
    ] {
        let (sid, served, elements) = client.create(&mut rig, name);
        assert_eq!((served, elements), (native, count), "{name}");
        assert_eq!(client.read(&mut rig, sid, STRING, 1).text(), text, "{name}");
    }
    for name in [
        "a.TIME", "a.NOPE", "c", "a.PREC$", "a.ASP", "w.BPTR", "RTYP",
    ] {
        assert!(client.try_create(&mut rig, name).is_none(), "{name}");
    }
    let shown = client
        .read_name(&mut rig, "a.HIHI", CTRL_DOUBLE)
        .reading
        .unwrap();
    assert_eq!(shown.units().unwrap().to_string(), "mm");
    let display = shown.limits().unwrap().display;
    assert_eq!((display.lower, display.upper), (-10.0, 10.0));
    let whole = client.read_name(&mut rig, "w", DOUBLE).reading.unwrap();
    assert_eq!(whole.get_f64(2), Some(4294967295.0));
    assert_eq!(
        client
            .read_name(&mut rig, "w.[2]", LONG)
            .reading
            .unwrap()
            .get_f64(0),
        Some(-1.0)
    );
    assert_eq!(
        client.read_name(&mut rig, "a", DbrType::CLASS_NAME).text(),
        "ai"
    );
}

#[test]
fn who_writes_sees_what_was_set_in_motion() {
    let mut rig = rig(r#"
        record(ao, "x") { field(FLNK, "sum") field(DRVH, 100) field(DRVL, -100) }
        record(calc, "sum") { field(INPA, "x") field(INPB, "y PP") field(CALC, "A+B") }
        record(calc, "y") { field(CALC, "VAL+1") }
        record(ao, "closed") { field(DISP, 1) }
    "#);
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let (sum, ..) = client.create(&mut rig, "sum");
    assert_eq!(client.write(&mut rig, x, &Value::scalar(5.0)).len(), 0);
    assert_eq!(client.read(&mut rig, sum, DOUBLE, 1).f64(), 6.0);
    assert_eq!(
        client.put(&mut rig, x, &Value::string("1e3")),
        EcaStatus::NORMAL
    );
    assert_eq!(client.read(&mut rig, sum, DOUBLE, 1).f64(), 102.0);
    assert_eq!(
        client.put(&mut rig, x, &Value::string("abc")),
        EcaStatus::PUTFAIL
    );
    let (closed, ..) = client.create(&mut rig, "closed");
    assert_eq!(
        client.put(&mut rig, closed, &Value::scalar(1.0)),
        EcaStatus::PUTFAIL
    );
    let (sevr, ..) = client.create(&mut rig, "x.SEVR");
    let replies = client.write(&mut rig, sevr, &Value::scalar(1i32));
    assert_eq!(commands(&replies), [Command::ERROR], "SPC_NOMOD");
    // A put with completion processes the record all the same (`processNotifyCommon` of EPICS Base).
    assert_eq!(rig.ioc.number("sum"), Ok(103.0));
}

#[test]
fn updates_are_those_that_were_posted() {
    let mut rig = rig(r#"
        record(calc, "a") { field(CALC, "VAL+1") field(FLNK, "b") field(ADEL, 2) field(HIGH, 3) field(HSV, MINOR) }
        record(calc, "b") { field(INPA, "a") field(CALC, "A") }
    "#);
    let mut client = rig.client();
    let (a, ..) = client.create(&mut rig, "a");
    let (sevr, ..) = client.create(&mut rig, "a.SEVR");
    let (text, ..) = client.create(&mut rig, "a.STAT");
    client.subscribe(&mut rig, a, TIME_DOUBLE, EventMask::VALUE);
    let log = client.subscribe(&mut rig, a, TIME_DOUBLE, EventMask::LOG);
    let alarm = client.subscribe(&mut rig, sevr, DOUBLE, EventMask::VALUE);
    let status = client.subscribe(&mut rig, text, TIME_STRING, EventMask::ALARM);
    let (proc, ..) = client.create(&mut rig, "a.PROC");
    let mut told = Vec::new();
    for _ in 0..5 {
        told.extend(client.write(&mut rig, proc, &Value::scalar(1u8)));
    }
    let of = |id: u32| {
        let of = told.iter().filter(|reply| reply.p2 == id);
        of.map(Reply::text).collect::<Vec<_>>()
    };
    assert_eq!(of(log.0), ["3.0"], "beyond ADEL only");
    assert_eq!(of(alarm.0), ["0.0", "1.0"]);
    assert_eq!(of(status.0), ["NO_ALARM", "HIGH"]);
}

#[test]
fn subscribers_are_told_of_properties_and_of_texts() {
    let mut rig = rig(r#"record(ao, "x") { field(EGU, "mm") }"#);
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let (egu, ..) = client.create(&mut rig, "x.EGU");
    client.subscribe(&mut rig, x, CTRL_DOUBLE, EventMask::PROPERTY);
    client.subscribe(&mut rig, egu, STRING, EventMask::VALUE);
    let told = client.write(&mut rig, egu, &Value::string("um"));
    let units = told.iter().filter(|reply| reply.ty == CTRL_DOUBLE);
    let units = units.map(|reply| reply.reading.as_ref().unwrap().units().unwrap().to_string());
    assert_eq!(units.collect::<Vec<_>>(), ["um"]);
    assert!(values(&told).contains(&"um".to_owned()));
    let (long, ..) = client.create(&mut rig, "x.DESC$");
    let text = b"a text with more than forty characters, all";
    client.put(&mut rig, long, &Value::array(text));
    assert_eq!(
        client.read_name(&mut rig, "x.DESC", STRING).text().len(),
        39
    );
    let whole = client.read(&mut rig, long, CHAR, 0);
    assert_eq!(whole.count, 41, "40 characters and NUL");
}

#[test]
fn a_link_as_a_long_string_takes_characters_and_no_numbers() {
    let mut rig = rig(r#"record(ai, "x") { field(INP, "1") }"#);
    let mut client = rig.client();
    let (link, ..) = client.create(&mut rig, "x.INP$");
    let text: Vec<f64> = b"x.SEVR NPP\0".iter().map(|&c| f64::from(c)).collect();
    for (value, expected) in [
        (Value::array(&text), EcaStatus::PUTFAIL),
        (Value::array(b"x.SEVR NPP"), EcaStatus::PUTFAIL),
        (Value::array(b"x.SEVR NPP\0"), EcaStatus::NORMAL),
    ] {
        let (id, replies) = client.write_notify(&mut rig, link, &value);
        assert_eq!(completion(&replies, id), Some(expected), "{value:?}");
    }
    let shown = client.read_name(&mut rig, "x.INP", STRING);
    assert_eq!(shown.text(), "x.SEVR NPP NMS");
}

#[test]
fn puts_complete_with_the_records_they_set_in_motion() {
    let mut rig = rig(r#"
        record(ao, "go") { field(FLNK, "count") }
        record(calc, "count") { field(CALC, "VAL+1") field(FLNK, "slow") }
        record(ai, "slow") { field(SIMM, "YES") field(SIOL, "count") field(SDLY, "0.5") }
    "#);
    let mut client = rig.client();
    let (go, ..) = client.create(&mut rig, "go");
    let (first, replies) = client.write_notify(&mut rig, go, &Value::scalar(1.0));
    assert_eq!(completion(&replies, first), None);
    // One to the record that is busy waits, and is forgotten with its circuit.
    let mut other = rig.client_from(Ipv4Addr::new(127, 0, 0, 2));
    let (slow, ..) = other.create(&mut rig, "slow");
    let (second, replies) = other.write_notify(&mut rig, slow, &Value::scalar(7.0));
    assert_eq!(completion(&replies, second), None);
    let (slow, ..) = client.create(&mut rig, "slow.DESC");
    let (third, replies) = client.write_notify(&mut rig, slow, &Value::string("waits"));
    assert_eq!(completion(&replies, third), None);
    assert_eq!(rig.ioc.counts().puts, 3);
    other.close(&mut rig);
    assert_eq!(rig.ioc.counts().puts, 2);
    rig.advance(Duration::from_millis(499));
    assert_eq!(client.received(&mut rig).len(), 0);
    rig.advance(Duration::from_millis(2));
    let replies = client.received(&mut rig);
    for put in [first, third] {
        assert_eq!(completion(&replies, put), Some(EcaStatus::NORMAL));
    }
    assert_eq!(rig.ioc.counts().puts, 0);
    assert_eq!(rig.ioc.number("slow"), Ok(1.0));
    assert_eq!(
        client.read_name(&mut rig, "slow.DESC", STRING).text(),
        "waits"
    );
}

#[test]
fn records_scan_and_start_by_themselves() {
    let mut rig = rig(r#"
        record(calc, "fast") { field(SCAN, ".5 second") field(CALC, "VAL+1") }
        record(calc, "first") { field(PINI, YES) field(CALC, "7") }
    "#);
    assert_eq!(rig.ioc.number("first"), Ok(7.0));
    let mut client = rig.client();
    let (fast, ..) = client.create(&mut rig, "fast");
    client.subscribe(&mut rig, fast, TIME_DOUBLE, EventMask::VALUE);
    rig.advance(Duration::from_secs(2));
    assert_eq!(updates(&client.received(&mut rig)), [1.0, 2.0, 3.0, 4.0]);
    rig.ioc.stop(rig.now);
    assert_eq!(rig.ioc.poll_timeout(), None);
}

#[test]
fn a_step_of_very_many_records_lets_others_have_their_turn() {
    let mut db = String::new();
    for n in 0..20_000 {
        db.push_str(&format!(
            "record(calc, \"r{n}\") {{ field(SCAN, \"1 second\") field(CALC, \"VAL+1\") }}\n"
        ));
    }
    let mut rig = rig(&db);
    let mut client = rig.client();
    let (last, ..) = client.create(&mut rig, "r19999");
    for n in 0..20_000 {
        let (sid, ..) = client.create(&mut rig, &format!("r{n}"));
        client.subscribe(&mut rig, sid, TIME_DOUBLE, EventMask::VALUE);
    }
    rig.now += Duration::from_millis(1001);
    rig.ioc.handle_timeout(rig.now);
    let mut turns = 1;
    while rig.ioc.has_work() {
        if turns == 5 {
            // In the midst of it a read is answered, and a put is carried out.
            let read = client.read(&mut rig, last, DOUBLE, 1);
            assert_eq!(read.f64(), 0.0);
        }
        client.received(&mut rig);
        rig.ioc.work(rig.now);
        turns += 1;
    }
    assert!(turns > 100, "{turns}");
    assert_eq!(client.read(&mut rig, last, DOUBLE, 1).f64(), 1.0);
}

#[test]
fn an_access_rule_sees_records() {
    let rule = |name: &str, _: &_| match name {
        "x" => AccessRights::READ,
        _ => AccessRights::ALL,
    };
    let db = r#"record(ao, "x") { alias("other") } record(ao, "y") {}"#;
    let mut rig = Rig::new(Ioc::builder().db_text(db, "").access_rule(rule));
    let mut client = rig.client();
    for (name, writable) in [("x", false), ("other", false), ("y", true)] {
        let (sid, ..) = client.create(&mut rig, name);
        let replies = client.write(&mut rig, sid, &Value::scalar(1.0));
        assert_eq!(replies.is_empty(), writable, "{name}");
    }
}

#[test]
fn alarms_are_acknowledged() {
    let mut rig = rig(r#"record(ao, "x") { field(HIGH, 1) field(HSV, MINOR) }"#);
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    client.put(&mut rig, x, &Value::scalar(2.0));
    client.put(&mut rig, x, &Value::scalar(0.0));
    assert_eq!(
        rig.ioc.read("x").unwrap().ack.severity,
        AlarmSeverity::MINOR
    );
    client.write_as(&mut rig, x, DbrType::PUT_ACKS, &Value::scalar(1i16));
    assert_eq!(
        rig.ioc.read("x").unwrap().ack.severity,
        AlarmSeverity::NO_ALARM
    );
}

#[test]
fn wrong_files_are_refused_with_the_places_of_all_mistakes() {
    let text = "record(ai, \"x\") {\n  field(DESK, 1)\n}\nrecord(aii, \"y\") { }\n";
    let Err(BuildError::Files(wrong)) = Ioc::from_db(text).map(drop) else {
        panic!("the text is wrong");
    };
    let all = wrong.to_string();
    assert!(all.contains("text 1:2:"), "{all}");
    assert!(all.contains("text 1:4:"), "{all}");
    assert_eq!(wrong.mistakes().errors(), 2);
    let both = Ioc::builder()
        .db_text(r#"record(ai, "x") {}"#, "")
        .pv("x", PvSpec::double(1.0))
        .build();
    assert!(matches!(both, Err(BuildError::Duplicate { .. })));
    let mut ioc = Ioc::from_db(r#"record(ai, "x") {}"#).unwrap();
    let now = ca_proto::Instant::ZERO;
    assert!(matches!(
        ioc.add(now, "x.EGU", PvSpec::double(1.0)),
        Err(BuildError::IsField { .. })
    ));
    assert!(matches!(
        ioc.set_rights(now, "x", AccessRights::READ),
        Err(PostError::IsRecord { .. })
    ));
}

#[test]
fn types_of_a_site_hold_their_values() {
    let dir = std::env::temp_dir().join(format!("canter-dbd-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let dbd = dir.join("site.dbd");
    std::fs::write(
        &dbd,
        r#"menu(menuScan) { choice(menuScanPassive, "Passive") choice(menuScanEvent, "Event")
             choice(menuScanI_O_Intr, "I/O Intr") choice(menuScan3_second, "3 seconds") }
           recordtype(magnet) {
             field(NAME, DBF_STRING) { size(61) special(SPC_NOMOD) }
             field(SCAN, DBF_MENU) { menu(menuScan) }
             field(FLNK, DBF_FWDLINK) { prompt("next") }
             field(VAL, DBF_DOUBLE) { pp(TRUE) }
             field(MODE, DBF_MENU) { menu(menuMode) }
           }
           menu(menuMode) { choice(menuModeA, "Ramp") choice(menuModeB, "Hold") }
           device(ai, INST_IO, devSite, "Site")"#,
    )
    .unwrap();
    let builder = Ioc::builder().dbd_file(&dbd).db_text(
        r#"record(magnet, "q") { field(MODE, "Hold") field(FLNK, "n") }
           record(calc, "n") { field(CALC, "VAL+1") field(SCAN, "3 seconds") }
           record(ai, "dev") { field(DTYP, "Site") field(INP, "@x") }"#,
        "",
    );
    let built = builder.build();
    std::fs::remove_dir_all(&dir).unwrap();
    let ioc = built.unwrap();
    let remarks = ioc.file_remarks().unwrap().to_string();
    assert!(
        remarks.contains("record type magnet is not simulated"),
        "{remarks}"
    );
    let mut rig = Rig {
        ioc,
        now: ca_proto::Instant::ZERO,
    };
    rig.ioc.start(rig.now, START, 5064);
    let mut client = rig.client();
    assert_eq!(client.read_name(&mut rig, "q.MODE", STRING).text(), "Hold");
    let (q, ..) = client.create(&mut rig, "q");
    assert_eq!(
        client.put(&mut rig, q, &Value::scalar(2.5)),
        EcaStatus::NORMAL
    );
    assert_eq!(client.read(&mut rig, q, DOUBLE, 1).f64(), 2.5);
    assert_eq!(rig.ioc.number("n"), Ok(0.0), "it is not passive");
    rig.advance(Duration::from_secs(7));
    assert_eq!(rig.ioc.number("n"), Ok(2.0));
}

/// Without its hardware a record does all that its type does: it has nothing to read, and nobody to write to.
#[test]
fn records_of_devices_that_are_not_simulated_do_what_their_types_do() {
    let dir = std::env::temp_dir().join(format!("canter-devices-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let dbd = dir.join("site.dbd");
    let types = [
        "ai",
        "ao",
        "bi",
        "bo",
        "mbbi",
        "mbbo",
        "longin",
        "longout",
        "int64in",
        "int64out",
        "stringin",
        "stringout",
        "lsi",
        "lso",
        "mbbiDirect",
        "mbboDirect",
        "waveform",
        "aai",
        "aao",
        "event",
        "motor",
    ];
    let devices = types.map(|of| format!("device({of}, INST_IO, devSite, \"Site\")\n"));
    std::fs::write(&dbd, devices.concat()).unwrap();
    let all = types.map(|of| {
        let link = match of {
            "ao" | "bo" | "mbbo" | "longout" | "int64out" | "stringout" | "lso" | "mbboDirect"
            | "aao" | "motor" => "OUT",
            _ => "INP",
        };
        format!(
            "record({of}, \"{of}\") {{ field(DTYP, \"Site\") field({link}, \"@port 1\") field(FLNK, \"n\") }}\n"
        )
    });
    let more = r#"
        record(ai, "ai") { field(HIGH, "30") field(HSV, "MINOR") field(SCAN, "1 second") }
        record(ao, "ao") { field(DRVH, "10") field(HIGH, "5") field(HSV, "MAJOR") field(LINR, "LINEAR") field(ESLO, "2") }
        record(mbbo, "mbbo") { field(ONST, "On") field(ONVL, "5") }
        record(calc, "n") { field(CALC, "VAL+1") }"#;
    let builder = Ioc::builder()
        .dbd_file(&dbd)
        .db_text(all.concat() + more, "");
    let built = builder.build();
    std::fs::remove_dir_all(&dir).unwrap();
    let mut rig = Rig {
        ioc: built.unwrap(),
        now: ca_proto::Instant::ZERO,
    };
    rig.ioc.start(rig.now, START, 5064);
    let mut client = rig.client();
    let alarm = |rig: &Rig, pv: &str| rig.ioc.read(pv).unwrap().alarm;
    for of in types {
        let before = rig.ioc.number("n").unwrap();
        let (channel, ..) = client.create(&mut rig, &format!("{of}.PROC"));
        let done = client.put(&mut rig, channel, &Value::scalar(1i32));
        assert_eq!(done, EcaStatus::NORMAL, "{of}");
        assert_eq!(rig.ioc.number("n"), Ok(before + 1.0), "{of}: FLNK");
        let status = alarm(&rig, of).status;
        assert!(
            [AlarmStatus::NO_ALARM, AlarmStatus::UDF].contains(&status),
            "{of}: {status:?}"
        );
    }
    let mut put = |rig: &mut Rig, pv: &str, value: f64| {
        let (channel, ..) = client.create(rig, pv);
        let done = client.put(rig, channel, &Value::scalar(value));
        assert_eq!(done, EcaStatus::NORMAL, "{pv}");
    };
    put(&mut rig, "ai", 35.0);
    rig.advance(Duration::from_secs(2));
    assert_eq!(rig.ioc.number("ai"), Ok(35.0), "nothing is read");
    assert_eq!(alarm(&rig, "ai").status, AlarmStatus::HIGH);
    put(&mut rig, "ao", 100.0);
    assert_eq!(alarm(&rig, "ao").severity, AlarmSeverity::MAJOR);
    assert_eq!(
        (rig.ioc.number("ao"), rig.ioc.number("ao.RVAL")),
        (Ok(10.0), Ok(5.0))
    );
    put(&mut rig, "mbbo", 1.0);
    assert_eq!(rig.ioc.number("mbbo.RVAL"), Ok(5.0));
}
