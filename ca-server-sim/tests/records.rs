//! PVs as clients see them: types, fields, alarms, dead-bands.

mod rig;

use std::time::Duration;

use ca_proto::dbr::{DbrType, NativeType, Value};
use ca_proto::wire::Command;
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Timestamp};
use ca_server_sim::{Ioc, LimitSeverities, PvSpec};
use rig::*;

#[test]
fn every_native_type_is_served_with_its_count() {
    let mut rig = Rig::new(
        Ioc::builder()
            .pv("double", PvSpec::double(1.5))
            .pv("float", PvSpec::float(2.5))
            .pv("long", PvSpec::long(-3))
            .pv("short", PvSpec::short(4))
            .pv("char", PvSpec::char(5))
            .pv("string", PvSpec::string("six"))
            .pv("enum", PvSpec::enumeration(["a", "b"], 1))
            .pv("array", PvSpec::array([1.0, 2.0]).capacity(10))
            .pv("strings", PvSpec::strings(&["x", "y"])),
    );
    let mut client = rig.client();
    let expected = [
        ("double", NativeType::Double, 1, "1.5", "ao"),
        ("float", NativeType::Float, 1, "2.5", "ao"),
        ("long", NativeType::Long, 1, "-3", "longout"),
        ("short", NativeType::Short, 1, "4", "longout"),
        ("char", NativeType::Char, 1, "5", "longout"),
        ("string", NativeType::String, 1, "six", "stringout"),
        ("enum", NativeType::Enum, 1, "b", "bo"),
        ("array", NativeType::Double, 10, "1", "waveform"),
        ("strings", NativeType::String, 2, "x", "waveform"),
    ];
    for (name, native, count, text, class) in expected {
        let (sid, served, elements) = client.create(&mut rig, name);
        assert_eq!((served, elements), (native, count), "{name}");
        let ty = DbrType::new(ca_proto::dbr::Family::Plain, native);
        let reply = client.read(&mut rig, sid, ty, 0);
        match native {
            NativeType::Enum => assert_eq!(reply.f64(), 1.0),
            NativeType::String => assert_eq!(reply.text(), text),
            _ => assert_eq!(reply.f64(), text.parse::<f64>().unwrap()),
        }
        let class_name = client.read(&mut rig, sid, DbrType::CLASS_NAME, 1);
        assert_eq!(class_name.text(), class);
    }
    let reply = client.read_name(&mut rig, "array", DOUBLE);
    assert_eq!(reply.count, 2, "count 0 gives the current length (4.9)");
    assert_eq!(client.read_name(&mut rig, "enum", STRING).text(), "b");
}

#[test]
fn a_pv_is_processed_at_the_start_unless_it_is_undefined() {
    let mut rig = Rig::new(
        Ioc::builder()
            .pv("x", PvSpec::double(1.0))
            .pv("u", PvSpec::double(1.0).undefined()),
    );
    let mut client = rig.client();
    let defined = client
        .read_name(&mut rig, "x", TIME_DOUBLE)
        .reading
        .unwrap();
    assert_eq!(defined.alarm(), Some(Alarm::NONE));
    assert_eq!(defined.timestamp(), Some(START));
    // `recGblResetAlarms` and `epicsTime.h` of EPICS Base
    let (sid, ..) = client.create(&mut rig, "u");
    let before = client.read(&mut rig, sid, TIME_DOUBLE, 1).reading.unwrap();
    assert_eq!(before.alarm(), Some(Alarm::UNDEFINED));
    assert_eq!(before.timestamp(), Some(Timestamp::UNDEFINED));
    rig.advance(Duration::from_millis(1500));
    client.write(&mut rig, sid, &Value::scalar(2.0));
    let after = client.read(&mut rig, sid, TIME_DOUBLE, 1).reading.unwrap();
    assert_eq!(after.alarm(), Some(Alarm::NONE));
    assert_eq!(after.timestamp(), Some(START + Duration::from_millis(1500)));
}

#[test]
fn fields_are_served_by_name() {
    let mut rig = Rig::new(
        Ioc::builder()
            .pv(
                "x",
                PvSpec::double(1.0)
                    .units("mm")
                    .precision(3)
                    .display(-10.0, 10.0)
                    .control(-5.0, 5.0)
                    .alarm(-9.0, 9.0)
                    .warning(-8.0, 8.0)
                    .hysteresis(0.5)
                    .value_deadband(0.1)
                    .archive_deadband(0.2)
                    .description("a position"),
            )
            .pv("m", PvSpec::enumeration(["a", "b", "c"], 2))
            .pv("b", PvSpec::enumeration(["off", "on"], 0).read_only())
            .pv("w", PvSpec::array([1i32, 2]).capacity(5)),
    );
    let mut client = rig.client();
    for (name, text) in [
        ("x.EGU", "mm"),
        ("x.PREC", "3"),
        ("x.HOPR", "10.000"),
        ("x.LOPR", "-10.000"),
        ("x.DRVH", "5.000"),
        ("x.DRVL", "-5.000"),
        ("x.HIHI", "9.000"),
        ("x.HIGH", "8.000"),
        ("x.LOW", "-8.000"),
        ("x.LOLO", "-9.000"),
        ("x.HHSV", "MAJOR"),
        ("x.HSV", "MINOR"),
        ("x.LSV", "MINOR"),
        ("x.LLSV", "MAJOR"),
        ("x.HYST", "0.500"),
        ("x.MDEL", "0.100"),
        ("x.ADEL", "0.200"),
        ("x.DESC", "a position"),
        ("x.RTYP", "ao"),
        ("x.NAME", "x"),
        ("x.SEVR", "NO_ALARM"),
        ("x.STAT", "NO_ALARM"),
        ("x.ACKT", "YES"),
        ("x.VAL", "1.000"),
        ("x.", "1.000"),
        ("m.TWST", "c"),
        ("m.RTYP", "mbbo"),
        ("b.ZNAM", "off"),
        ("b.ONAM", "on"),
        ("b.RTYP", "bi"),
        ("w.NELM", "5"),
        ("w.NORD", "2"),
        ("w.FTVL", "LONG"),
    ] {
        let reply = client.read_name(&mut rig, name, STRING);
        assert_eq!(reply.status(), EcaStatus::NORMAL, "{name}");
        assert_eq!(reply.text(), text, "{name}");
    }
    for name in [
        "x.NORD", "x.ZNAM", "x.ZRST", "m.HIHI", "b.DRVH", "w.HIHI", "x.NOPE", "x.VAL ", "y",
    ] {
        assert!(client.try_create(&mut rig, name).is_none(), "{name}");
    }
}

#[test]
fn lengths_of_arrays_are_doubles() {
    // `dbDBRnewToDBRold` of EPICS Base: what is unsigned with 32 bits has no type of its own.
    let mut rig = Rig::new(Ioc::builder().pv("w", PvSpec::array([1i32, 2]).capacity(5)));
    let mut client = rig.client();
    for (name, number) in [("w.NORD", 2.0), ("w.NELM", 5.0)] {
        let (sid, native, count) = client.create(&mut rig, name);
        assert_eq!((native, count), (NativeType::Double, 1), "{name}");
        assert_eq!(client.read(&mut rig, sid, DOUBLE, 1).f64(), number);
    }
}

#[test]
fn long_strings_and_ranges_are_views_of_the_field() {
    // `dbChannelCreate` and the filter `arr.c` of EPICS Base
    let mut rig = Rig::new(
        Ioc::builder()
            .pv("s", PvSpec::string("hello").description("what is said"))
            .pv("w", PvSpec::array([0i32, 1, 2, 3, 4]).capacity(8))
            .pv("x", PvSpec::double(1.0)),
    );
    let mut client = rig.client();
    let (sid, native, count) = client.create(&mut rig, "s.VAL$");
    assert_eq!((native, count), (NativeType::Char, 40));
    let reply = client.read(&mut rig, sid, CHAR, 0);
    assert_eq!(reply.reading.unwrap().bytes(), Some(&b"hello\0"[..]));
    client.write(&mut rig, sid, &Value::array(b"good bye"));
    assert_eq!(client.read_name(&mut rig, "s", STRING).text(), "good bye");
    let (_, native, count) = client.create(&mut rig, "s.DESC$");
    assert_eq!((native, count), (NativeType::Char, 41));
    let reply = client.read_name(&mut rig, "s.$[0:4]", CHAR);
    assert_eq!(reply.reading.unwrap().bytes(), Some(&b"good\0"[..]));
    assert!(client.try_create(&mut rig, "x.VAL$").is_none());
    assert!(client.try_create(&mut rig, "s$").is_none());

    let (sid, native, count) = client.create(&mut rig, "w.[1:2:-1]");
    assert_eq!((native, count), (NativeType::Long, 4));
    let elements = |reply: Reply| reply.reading.unwrap().to_f64s().unwrap();
    assert_eq!(elements(client.read(&mut rig, sid, LONG, 0)), [1.0, 3.0]);
    client.write(&mut rig, sid, &Value::array(&[7i32, 8, 9]));
    assert_eq!(
        elements(client.read_name(&mut rig, "w", LONG)),
        [7.0, 8.0, 9.0]
    );
}

#[test]
fn limits_raise_alarms_with_hysteresis() {
    let mut rig = Rig::new(
        Ioc::builder().pv(
            "x",
            PvSpec::double(0.0)
                .alarm(-10.0, 10.0)
                .warning(-5.0, 5.0)
                .hysteresis(1.0),
        ),
    );
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "x");
    let mut alarm = |value: f64| {
        client.write(&mut rig, sid, &Value::scalar(value));
        let reading = client.read(&mut rig, sid, TIME_DOUBLE, 1).reading.unwrap();
        let alarm = reading.alarm().unwrap();
        (alarm.status, alarm.severity)
    };
    let (major, minor) = (AlarmSeverity::MAJOR, AlarmSeverity::MINOR);
    assert_eq!(alarm(6.0), (AlarmStatus::HIGH, minor));
    assert_eq!(alarm(10.0), (AlarmStatus::HIHI, major));
    assert_eq!(
        alarm(9.5),
        (AlarmStatus::HIHI, major),
        "within the hysteresis"
    );
    assert_eq!(alarm(8.0), (AlarmStatus::HIGH, minor));
    assert_eq!(alarm(0.0), (AlarmStatus::NO_ALARM, AlarmSeverity::NO_ALARM));
    assert_eq!(alarm(-11.0), (AlarmStatus::LOLO, major));
    assert_eq!(alarm(f64::NAN), (AlarmStatus::UDF, AlarmSeverity::INVALID));
}

#[test]
fn a_limit_that_is_written_checks_the_value_again() {
    let mut rig = Rig::new(Ioc::builder().pv(
        "x",
        PvSpec::double(7.0).severities(LimitSeverities {
            hihi: AlarmSeverity::MAJOR,
            ..Default::default()
        }),
    ));
    let mut client = rig.client();
    let (value, ..) = client.create(&mut rig, "x");
    let (limit, ..) = client.create(&mut rig, "x.HIHI");
    let (severity, ..) = client.create(&mut rig, "x.SEVR");
    client.subscribe(&mut rig, severity, LONG, EventMask::VALUE);
    client.subscribe(&mut rig, value, DOUBLE, EventMask::VALUE);
    let replies = client.write(&mut rig, limit, &Value::scalar(5.0));
    assert_eq!(
        updates(&replies),
        [2.0],
        "SEVR is posted, the value did not change"
    );
    let reply = client
        .read(&mut rig, value, CTRL_DOUBLE, 1)
        .reading
        .unwrap();
    assert_eq!(reply.limits().unwrap().alarm.upper, 5.0);
}

#[test]
fn a_property_that_is_written_is_posted_on_all_fields() {
    // `db_queue_event_log` of EPICS Base
    let mut rig = Rig::new(Ioc::builder().pv("x", PvSpec::double(7.0)));
    let mut client = rig.client();
    let (value, ..) = client.create(&mut rig, "x");
    let (units, ..) = client.create(&mut rig, "x.EGU");
    let property = client.subscribe(&mut rig, value, CTRL_DOUBLE, EventMask::PROPERTY);
    let other = client.subscribe(&mut rig, value, DOUBLE, EventMask::VALUE | EventMask::ALARM);
    let own = client.subscribe(&mut rig, units, STRING, EventMask::VALUE);
    let replies = client.write(&mut rig, units, &Value::string("a long unit"));
    let ids: Vec<u32> = replies.iter().map(|r| r.p2).collect();
    assert!(ids.contains(&property.0) && ids.contains(&own.0) && !ids.contains(&other.0));
    let update = replies.into_iter().find(|r| r.p2 == property.0).unwrap();
    let units = update.reading.unwrap().units().unwrap();
    assert_eq!(units.as_bytes(), b"a long ", "7 bytes on the wire (4.4)");
}

#[test]
fn an_equal_value_posts_nothing_and_dead_bands_hide_small_changes() {
    let mut rig = Rig::new(
        Ioc::builder()
            .pv("x", PvSpec::double(1.0))
            .pv(
                "d",
                PvSpec::double(1.0)
                    .value_deadband(0.5)
                    .archive_deadband(2.0),
            )
            .pv("a", PvSpec::array([1i32])),
    );
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    client.subscribe(&mut rig, x, DOUBLE, EventMask::VALUE);
    assert!(client.write(&mut rig, x, &Value::scalar(1.0)).is_empty());
    assert_eq!(
        updates(&client.write(&mut rig, x, &Value::scalar(1.1))),
        [1.1]
    );

    let (d, ..) = client.create(&mut rig, "d");
    let value = client.subscribe(&mut rig, d, DOUBLE, EventMask::VALUE);
    let log = client.subscribe(&mut rig, d, DOUBLE, EventMask::LOG);
    let mut who = |v: f64| -> Vec<u32> {
        let replies = client.write(&mut rig, d, &Value::scalar(v));
        replies.iter().map(|reply| reply.p2).collect()
    };
    assert_eq!(who(1.4), Vec::<u32>::new());
    assert_eq!(who(1.6), [value.0]);
    assert_eq!(who(3.1), [value.0, log.0]);

    let (a, ..) = client.create(&mut rig, "a");
    client.subscribe(&mut rig, a, LONG, EventMask::VALUE);
    let replies = client.write(&mut rig, a, &Value::array(&[1i32]));
    assert_eq!(updates(&replies), [1.0], "arrays are posted always");
}

#[test]
fn masks_choose_between_value_and_alarm_changes() {
    let mut rig = Rig::new(Ioc::builder().pv("x", PvSpec::double(0.0).warning(f64::NAN, 5.0)));
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let alarm = client.subscribe(&mut rig, x, TIME_DOUBLE, EventMask::ALARM);
    assert!(client.write(&mut rig, x, &Value::scalar(1.0)).is_empty());
    let replies = client.write(&mut rig, x, &Value::scalar(6.0));
    assert_eq!((replies.len(), replies[0].p2), (1, alarm.0));
    assert!(client.write(&mut rig, x, &Value::scalar(7.0)).is_empty());
    assert_eq!(client.write(&mut rig, x, &Value::scalar(0.0)).len(), 1);
}

#[test]
fn alarms_are_acknowledged_through_any_field() {
    // `alarm.h` of EPICS Base
    let mut rig = Rig::new(Ioc::builder().pv("x", PvSpec::double(0.0).alarm(f64::NAN, 5.0)));
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let (desc, ..) = client.create(&mut rig, "x.DESC");
    let (acks, ..) = client.create(&mut rig, "x.ACKS");
    client.write(&mut rig, x, &Value::scalar(6.0));
    client.write(&mut rig, x, &Value::scalar(0.0));
    assert_eq!(
        client.read(&mut rig, acks, STRING, 1).text(),
        "MAJOR",
        "a transient alarm stays"
    );
    client.subscribe(&mut rig, x, DOUBLE, EventMask::ALARM);
    let severity = |s: u16| Value::scalar(ca_proto::dbr::value::EnumIndex(s));
    let write = |client: &mut Client, rig: &mut Rig, sid, ty, s| {
        client.write_as(rig, sid, ty, &severity(s)).len()
    };
    let put = DbrType::PUT_ACKS;
    assert_eq!(
        write(&mut client, &mut rig, desc, put, 1),
        0,
        "too low, no error"
    );
    assert_eq!(
        write(&mut client, &mut rig, desc, put, 2),
        1,
        "the value's subscriber is told"
    );
    assert_eq!(client.read(&mut rig, acks, STRING, 1).text(), "NO_ALARM");
    client.write_as(&mut rig, x, DbrType::PUT_ACKT, &severity(0));
    client.write(&mut rig, x, &Value::scalar(6.0));
    client.write(&mut rig, x, &Value::scalar(0.0));
    let text = client.read(&mut rig, acks, STRING, 1).text();
    assert_eq!(text, "NO_ALARM", "without ACKT it follows down");
}

#[test]
fn enum_states_carry_alarms_and_texts_that_can_change() {
    let mut rig = Rig::new(
        Ioc::builder().pv(
            "e",
            PvSpec::enumeration(["Ok", "Bad", "Odd"], 0)
                .state_severities([AlarmSeverity::NO_ALARM, AlarmSeverity::MAJOR]),
        ),
    );
    let mut client = rig.client();
    let (e, ..) = client.create(&mut rig, "e");
    assert_eq!(
        client.put(&mut rig, e, &Value::string("Bad")),
        EcaStatus::NORMAL
    );
    assert_eq!(rig.ioc.read("e").unwrap().alarm.status, AlarmStatus::STATE);
    assert_eq!(
        client.put(&mut rig, e, &Value::string("bad")),
        EcaStatus::PUTFAIL
    );
    let (text, ..) = client.create(&mut rig, "e.TWST");
    assert_eq!(
        client.put(&mut rig, text, &Value::string("Strange")),
        EcaStatus::NORMAL
    );
    let states = client
        .read(&mut rig, e, CTRL_ENUM, 1)
        .reading
        .unwrap()
        .states()
        .unwrap();
    assert_eq!(states.get(2), Some(&b"Strange"[..]));
    assert_eq!(
        client.put(&mut rig, e, &Value::string("Strange")),
        EcaStatus::NORMAL
    );
    assert_eq!(rig.ioc.number("e"), Ok(2.0));
}

#[test]
fn a_search_is_answered_for_records_and_their_fields() {
    let mut rig = Rig::new(Ioc::builder().pv("x", PvSpec::double(1.0)));
    let mut search = |name: &str| {
        let mut datagram = vec![0; 16];
        datagram[7] = 13; // VERSION 4.13
        let name_len = (name.len() + 8) / 8 * 8;
        datagram.extend([0, 6, 0, name_len as u8, 0, 5, 0, 13, 0, 0, 0, 9, 0, 0, 0, 9]);
        datagram.extend(name.bytes());
        datagram.resize(32 + name_len, 0);
        let from = "127.0.0.1:4000".parse().unwrap();
        rig.ioc.handle_datagram(rig.now, from, &datagram);
        let mut reply = Vec::new();
        let to = rig.ioc.poll_transmit(rig.now, &mut reply);
        to.map(|to| {
            (
                to == from,
                u16::from_be_bytes([reply[20], reply[21]]),
                reply[31],
            )
        })
    };
    assert_eq!(search("x"), Some((true, 5064, 9)));
    assert_eq!(search("x.HIHI"), Some((true, 5064, 9)));
    assert_eq!(search("y"), None);
    assert_eq!(search("x.NORD"), None);
    // Modifiers are not looked at.
    assert_eq!(search("x.VAL$"), Some((true, 5064, 9)));
}

#[test]
fn an_old_array_of_seventy_thousand_elements_is_shared_not_copied() {
    let mut rig = Rig::new(Ioc::builder().pv("w", PvSpec::array(vec![1.5; 70_000])));
    let mut client = rig.client();
    let reply = client.read_name(&mut rig, "w", DOUBLE);
    assert_eq!((reply.command, reply.count), (Command::READ_NOTIFY, 70_000));
    let (a, b) = (rig.ioc.read("w").unwrap(), rig.ioc.read("w").unwrap());
    let pointer = |s: &ca_proto::dbr::Snapshot| s.value.payload().shared().unwrap().as_ptr();
    assert_eq!(pointer(&a), pointer(&b));
}
