//! Links between IOCs on the virtual network, with the production drivers.

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use ca_client::Client;
use ca_links::Links;
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, PvSpec, RecordFiles};
use ca_testkit::runtime::SimRuntime;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SECOND: Duration = Duration::from_secs(1);

struct Rig {
    rt: SimRuntime,
    here: SimIoc,
    there: SimIoc,
}

fn serve(rt: &SimRuntime, host: Ipv4Addr, db: &str) -> SimIoc {
    let config = NetConfig::new()
        .interfaces([Ipv4Addr::UNSPECIFIED])
        .tcp_port(5064)
        .udp_port(5064)
        .repeater(None);
    let builder = Ioc::builder().db_text(db, "").pv("pv", PvSpec::double(1.0));
    SimIoc::start_on(rt.host(host), builder.build().unwrap(), config).unwrap()
}

impl Rig {
    /// The records of an IOC with links, and those of the other one.
    fn new(here: &str, there: &str) -> Self {
        let rt = SimRuntime::new(1);
        let here = serve(&rt, HERE, here);
        let there = serve(&rt, THERE, there);
        let client = Client::builder()
            .without_env()
            .repeater_port(0)
            .runtime(rt.host(HERE))
            .build()
            .unwrap();
        rt.spawn(Links::new(&here, &client).run());
        Self { rt, here, there }
    }

    #[track_caller]
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.rt
            .block_on(future)
            .unwrap_or_else(|stuck| panic!("{stuck}"))
    }

    fn pass(&self, time: Duration) {
        self.run(self.rt.sleep(time));
    }

    fn number(&self, name: &str) -> f64 {
        self.here.with(|ioc, _| ioc.number(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        let value = self.here.read(name).unwrap().value;
        value.to_string().trim_matches('"').to_owned()
    }

    fn process(&self, name: &str) {
        self.here.post(format!("{name}.PROC").as_str(), 1).unwrap();
        self.pass(SECOND / 10);
    }
}

#[test]
fn inputs_follow_what_another_ioc_has() {
    let rig = Rig::new(
        r#"record(calc, "cp") { field(INPA, "far CP MS") field(CALC, "A+1") field(FLNK, "n") }
           record(calc, "n") { field(CALC, "VAL+1") }
           record(ai, "cpp") { field(INP, "far CPP NMS") }
           record(ai, "scanned") { field(INP, "far CPP") field(SCAN, "10 second") }
           record(ai, "plain") { field(INP, "far.VAL CA MSS") }
           record(stringin, "text") { field(INP, "state CP") }
           record(longin, "number") { field(INP, "state CP") }
           record(waveform, "wave") { field(INP, "wave:far CP") field(FTVL, DOUBLE) field(NELM, 3) }
           record(ai, "of:pv") { field(INP, "far.DESC CP") field(TSE, -2) }"#,
        r#"record(ao, "far") { field(VAL, 2) field(HIHI, 10) field(HHSV, MAJOR) field(PINI, YES) field(DESC, "77") }
           record(bo, "state") { field(ZNAM, "Off") field(ONAM, "On") field(VAL, 1) field(PINI, YES) }
           record(waveform, "wave:far") { field(FTVL, DOUBLE) field(NELM, 5) }"#,
    );
    rig.process("plain");
    assert_eq!(rig.text("plain.STAT"), "14", "not connected yet: LINK");
    assert_eq!(rig.text("plain.SEVR"), "3");
    rig.pass(SECOND);
    assert_eq!(rig.number("cp"), 3.0);
    assert_eq!(rig.number("cpp"), 2.0);
    assert_eq!(rig.number("scanned"), 0.0, "it is not passive");
    assert_eq!(rig.text("text"), "On");
    assert_eq!(rig.number("number"), 1.0);
    assert_eq!(rig.number("of:pv"), 77.0);
    let before = rig.number("n");
    rig.there.post("far", 12.0).unwrap();
    rig.there.post("state", 0).unwrap();
    let array = ca_server_sim::Value::array(&[1.0, 2.0, 3.0, 4.0]);
    rig.there.post("wave:far", array).unwrap();
    rig.pass(SECOND);
    assert_eq!(rig.number("cp"), 13.0);
    assert_eq!(rig.number("n"), before + 1.0);
    assert_eq!(
        (rig.text("cp.SEVR"), rig.text("cp.STAT")),
        ("2".into(), "14".into()),
        "MS"
    );
    assert_eq!(rig.text("cpp.SEVR"), "0", "NMS");
    assert_eq!(rig.text("text"), "Off");
    assert_eq!(rig.here.read("wave").unwrap().value.count(), 3);
    rig.process("plain");
    assert_eq!(rig.number("plain"), 12.0);
    assert_eq!(
        (rig.text("plain.SEVR"), rig.text("plain.STAT")),
        ("2".into(), "3".into()),
        "MSS: HIHI"
    );
}

#[test]
fn a_lost_server_raises_alarms_and_comes_back() {
    let rig = Rig::new(
        r#"record(calc, "cp") { field(INPA, "far CP") field(CALC, "A") }
           record(ao, "out") { field(OUT, "far PP") }
           record(ai, "plain") { field(INP, "far") }"#,
        r#"record(ao, "far") { field(VAL, 2) }"#,
    );
    rig.pass(SECOND);
    assert_eq!((rig.number("cp"), rig.text("cp.SEVR").as_str()), (2.0, "0"));
    rig.run(rig.there.stop());
    rig.pass(SECOND);
    assert_eq!(
        rig.text("cp.SEVR"),
        "3",
        "it was processed, and found the link gone"
    );
    assert_eq!(rig.text("cp.STAT"), "14");
    rig.process("plain");
    assert_eq!(rig.text("plain.SEVR"), "3");
    rig.here.post("out", 5.0).unwrap();
    rig.pass(SECOND);
    assert_eq!(rig.text("out.STAT"), "14", "there is nothing to write to");
    rig.there
        .with(|ioc, now| ioc.post(now, "far", 4.0))
        .unwrap();
    rig.run(rig.there.start()).unwrap();
    rig.pass(60 * SECOND);
    assert_eq!((rig.number("cp"), rig.text("cp.SEVR").as_str()), (4.0, "0"));
    rig.here.post("out", 6.0).unwrap();
    rig.pass(SECOND);
    assert_eq!(rig.text("out.SEVR"), "0");
    assert_eq!(rig.number("cp"), 6.0);
}

#[test]
fn outputs_and_forward_links_reach_another_ioc() {
    let rig = Rig::new(
        r#"record(ao, "out") { field(OUT, "far CA") field(FLNK, "count.PROC CA") }
           record(ao, "mute") { field(FLNK, "count") }
           record(sseq, "steps") { field(LNK1, "slow.PROC CA") field(DO1, 1) field(WAIT1, "Wait") field(LNK2, "out.VAL PP") field(DO2, 8) }
           record(calcout, "denied") { field(CALC, "1") field(OUT, "far.SEVR CA") }"#,
        r#"record(ao, "far") {}
           record(calc, "count") { field(CALC, "VAL+1") field(SCAN, "10 second") }
           record(seq, "slow") { field(DLY1, 3) field(LNK1, "far") field(DO1, 7) }"#,
    );
    rig.pass(SECOND);
    rig.here.post("out", 3.0).unwrap();
    rig.here.post("mute", 3.0).unwrap();
    rig.pass(SECOND);
    let there = |name: &str| rig.there.with(|ioc, _| ioc.number(name)).unwrap();
    assert_eq!(there("far"), 3.0);
    assert_eq!(
        there("count"),
        1.0,
        "PROC is written, whatever SCAN is; others are not"
    );
    assert_eq!(rig.text("out.SEVR"), "0");
    assert_eq!(rig.text("mute.SEVR"), "0");
    rig.process("denied");
    assert_eq!(rig.text("denied.STAT"), "14", "SEVR cannot be written");
    rig.process("steps");
    rig.pass(SECOND);
    // What was written in a row before anything was sent is one put.
    for n in 0..5 {
        rig.here.post("out", f64::from(n)).unwrap();
    }
    rig.pass(SECOND);
    assert_eq!(there("far"), 4.0);
    rig.pass(5 * SECOND);
    assert_eq!(
        there("far"),
        8.0,
        "the last step came when the first was done"
    );
}

#[test]
fn records_that_come_and_go_change_what_is_connected() {
    let rig = Rig::new(
        r#"record(calc, "sum") { field(INPA, "far CP") field(INPB, "pv2 CP") field(CALC, "A+B") }"#,
        r#"record(ao, "far") { field(VAL, 2) } record(ao, "pv2") { field(VAL, 10) }"#,
    );
    rig.pass(SECOND);
    assert_eq!(rig.number("sum"), 12.0);
    let channels = || rig.there.with(|ioc, _| ioc.counts().channels);
    assert_eq!(channels(), 2);
    // A record of this name comes here: the link leads to it from now on.
    let add = RecordFiles::new().text("record(ao, \"far\") { field(VAL, 5) }", "");
    rig.here
        .with(|ioc, now| ioc.add_records(now, add.load()))
        .unwrap();
    rig.pass(SECOND);
    assert_eq!(rig.number("sum"), 15.0);
    assert_eq!(channels(), 1);
    assert!(rig.here.with(|ioc, now| ioc.remove(now, "far")));
    rig.pass(SECOND);
    assert_eq!(rig.number("sum"), 12.0);
    assert_eq!(channels(), 2);
    // A client writes the link.
    rig.here.post("sum.INPB", "pv CP").unwrap();
    rig.there.post("pv", 100.0).unwrap();
    rig.pass(SECOND);
    assert_eq!(rig.number("sum"), 3.0, "PVs of programs come first");
    assert_eq!(channels(), 1);
    assert!(rig.here.with(|ioc, now| ioc.remove(now, "sum")));
    rig.pass(SECOND);
    assert_eq!(channels(), 0);
}

#[test]
fn without_a_driver_links_are_disconnected() {
    let rt = SimRuntime::new(1);
    let here = serve(
        &rt,
        HERE,
        "record(calc, \"c\") { field(INPA, \"far CP\") field(CALC, \"A\") }",
    );
    let there = serve(&rt, THERE, "record(ao, \"far\") { field(VAL, 2) }");
    let client = Client::builder()
        .without_env()
        .repeater_port(0)
        .runtime(rt.host(HERE))
        .build()
        .unwrap();
    let severity = || here.with(|ioc, _| ioc.number("c.SEVR")).unwrap();
    let pass = |time| rt.block_on(rt.sleep(time)).unwrap();
    let links = Links::new(&here, &client).run();
    let mut links = Box::pin(links);
    rt.block_on(async {
        futures_util::future::select(&mut links, Box::pin(rt.sleep(SECOND))).await;
    })
    .unwrap();
    assert_eq!(here.with(|ioc, _| ioc.number("c")), Ok(2.0));
    assert_eq!(severity(), 0.0);
    drop(links);
    pass(SECOND);
    assert_eq!(severity(), 3.0);
    assert_eq!(there.with(|ioc, _| ioc.counts().channels), 0);
    rt.spawn(Links::new(&here, &client).run());
    pass(SECOND);
    assert_eq!(severity(), 0.0);
}

/// Units, digits and limits of a field, as a client is told.
fn described(rig: &Rig, name: &str) -> String {
    let meta = rig.here.read(name).unwrap().meta;
    let limits = &meta.limits;
    format!(
        "{} {} {:?}..{:?} alarm {:?}..{:?} warning {:?}..{:?}",
        meta.units,
        meta.precision,
        limits.display.lower,
        limits.display.upper,
        limits.alarm.lower,
        limits.alarm.upper,
        limits.warning.lower,
        limits.warning.upper,
    )
}

#[test]
fn fields_have_the_units_and_limits_of_what_their_links_lead_to() {
    let far = r#"record(ao, "far") { field(EGU, "mm") field(PREC, 3) field(LOPR, -5) field(HOPR, 50)
                   field(LOLO, -4) field(LOW, -3) field(HIGH, 30) field(HIHI, 40)
                   field(LLSV, MAJOR) field(LSV, MINOR) field(HSV, MINOR) field(HHSV, MAJOR) }
                 record(bo, "state") { field(ZNAM, "Off") }"#;
    let near = r#"record(calc, "c") { field(INPA, "far CP") field(INPB, "far.DESC CP") field(INPC, "state CP")
                    field(CALC, "A") field(EGU, "m") field(PREC, 1) }
                  record(calcout, "co") { field(INPB, "far") field(CALC, "B") }
                  record(sub, "s") { field(INPA, "far") }
                  record(aSub, "as") { field(INPA, "far") field(OUTA, "far") }
                  record(seq, "sq") { field(DOL1, "far") }"#;
    let rig = Rig::new(near, far);
    let of_far = "mm 3 -5.0..50.0 alarm -4.0..40.0 warning -3.0..30.0";
    assert_ne!(described(&rig, "c.A"), of_far, "it is not connected yet");
    rig.pass(SECOND);
    for name in ["c.A", "c.LA", "co.B", "s.A", "as.A", "as.VALA", "sq.DO1"] {
        assert_eq!(described(&rig, name), of_far, "{name}");
    }
    assert_eq!(
        described(&rig, "c.B"),
        described(&rig, "c.D"),
        "texts have none"
    );
    assert_eq!(described(&rig, "c.C").split(' ').nth(1), Some("0"));
    assert!(described(&rig, "c").starts_with("m 1 "), "its own");
    // They are asked for anew with each connection, and are not there without one.
    rig.run(rig.there.stop());
    rig.pass(SECOND);
    assert_ne!(described(&rig, "c.A"), of_far);
    let _back = serve(&rig.rt, THERE, &far.replace("\"mm\"", "\"cm\""));
    rig.pass(SECOND * 60);
    assert_eq!(described(&rig, "c.A"), of_far.replace("mm", "cm"));
    rig.here.post("c.INPD", "far").unwrap();
    rig.pass(SECOND);
    assert_eq!(described(&rig, "c.D"), of_far.replace("mm", "cm"));
}
