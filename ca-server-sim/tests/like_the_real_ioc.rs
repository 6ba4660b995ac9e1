//! Behaviour of records that `tests/peers/same.py` found on the IOC of EPICS Base: it is asked there
//! for all of this and more, wherever Base is at hand.

mod rig;

use ca_proto::dbr::value::EnumIndex;
use ca_proto::dbr::{DbrType, EnumStates, Value};
use ca_proto::wire::message::EventMask;
use ca_proto::{AlarmSeverity, AlarmStatus, EcaStatus};
use ca_server_sim::{Ioc, LimitSeverities, PvSpec, RecordType};
use rig::*;

const VALUE: EventMask = EventMask::VALUE;

fn limited() -> PvSpec {
    PvSpec::double(0.0)
        .control(-50.0, 50.0)
        .alarm(-40.0, 40.0)
        .warning(-30.0, 30.0)
}

#[test]
fn fields_of_the_alarm_are_posted_before_the_value() {
    let mut rig = Rig::new(Ioc::builder().pv("x", limited()));
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let value = client.subscribe(&mut rig, x, DOUBLE, VALUE);
    let names = ["x.ACKS", "x.STAT", "x.SEVR"];
    let [acks, stat, sevr] = names.map(|name| {
        let (sid, ..) = client.create(&mut rig, name);
        client.subscribe(&mut rig, sid, LONG, VALUE)
    });
    let order = |replies: &[Reply]| replies.iter().map(|r| r.p2).collect::<Vec<_>>();
    let replies = client.write(&mut rig, x, &Value::scalar(31.0));
    assert_eq!(order(&replies), [sevr.0, stat.0, acks.0, value.0]);
    client.write(&mut rig, x, &Value::scalar(0.0));
    // The severity to acknowledge stays MINOR, and is posted all the same.
    let replies = client.write(&mut rig, x, &Value::scalar(-31.0));
    assert_eq!(order(&replies), [sevr.0, stat.0, acks.0, value.0]);
}

#[test]
fn a_status_that_stays_is_posted_as_an_alarm_when_the_severity_changes() {
    let states = PvSpec::enumeration(["a", "b", "c"], 0).state_severities([
        AlarmSeverity::NO_ALARM,
        AlarmSeverity::MINOR,
        AlarmSeverity::MAJOR,
    ]);
    let mut rig = Rig::new(Ioc::builder().pv("x", states));
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let (stat, ..) = client.create(&mut rig, "x.STAT");
    client.write(&mut rig, x, &Value::scalar(EnumIndex(1)));
    client.subscribe(&mut rig, stat, LONG, VALUE);
    let alarm = client.subscribe(&mut rig, stat, LONG, EventMask::ALARM);
    let replies = client.write(&mut rig, x, &Value::scalar(EnumIndex(2)));
    assert_eq!((replies.len(), replies[0].p2), (1, alarm.0));
}

#[test]
fn a_property_is_posted_if_it_changes_and_before_the_record_processes() {
    let mut rig = Rig::new(Ioc::builder().pv("x", limited()));
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let (hihi, ..) = client.create(&mut rig, "x.HIHI");
    client.write(&mut rig, x, &Value::scalar(20.0));
    let property = client.subscribe(&mut rig, x, CTRL_DOUBLE, EventMask::PROPERTY);
    let own = client.subscribe(&mut rig, hihi, DOUBLE, VALUE);
    let alarm = client.subscribe(&mut rig, x, TIME_DOUBLE, EventMask::ALARM);
    let replies = client.write(&mut rig, hihi, &Value::scalar(10.0));
    let ids: Vec<u32> = replies.iter().map(|reply| reply.p2).collect();
    assert_eq!(ids, [property.0, own.0, alarm.0]);
    let severity = |reply: &Reply| reply.reading.as_ref().unwrap().alarm().unwrap().severity;
    assert_eq!(severity(&replies[0]), AlarmSeverity::NO_ALARM);
    assert_eq!(severity(&replies[2]), AlarmSeverity::MAJOR);
    let replies = client.write(&mut rig, hihi, &Value::scalar(10.0));
    let ids: Vec<u32> = replies.iter().map(|reply| reply.p2).collect();
    assert_eq!(ids, [own.0]);
}

#[test]
fn a_limit_without_severity_is_undefined_for_clients() {
    let mut rig = Rig::new(Ioc::builder().pv("x", limited()));
    let mut client = rig.client();
    let (lsv, ..) = client.create(&mut rig, "x.LSV");
    let limits = |client: &mut Client, rig: &mut Rig| {
        let reply = client.read_name(rig, "x", CTRL_DOUBLE).reading.unwrap();
        reply.limits().unwrap()
    };
    assert_eq!(limits(&mut client, &mut rig).warning.lower, -30.0);
    client.write(&mut rig, lsv, &Value::string("NO_ALARM"));
    assert!(limits(&mut client, &mut rig).warning.lower.is_nan());
    assert_eq!(limits(&mut client, &mut rig).warning.upper, 30.0);
    assert_eq!(client.read_name(&mut rig, "x.LOW", DOUBLE).f64(), -30.0);
    client.write(&mut rig, lsv, &Value::string("MAJOR"));
    assert_eq!(limits(&mut client, &mut rig).warning.lower, -30.0);
    // A description without severities hides its limits too.
    let hidden = limited().severities(LimitSeverities::default());
    rig.ioc.add(rig.now, "y", hidden).unwrap();
    let reply = client.read_name(&mut rig, "y", CTRL_DOUBLE).reading;
    let reply = reply.unwrap();
    assert!(reply.limits().unwrap().alarm.upper.is_nan());
}

#[test]
fn a_new_drive_limit_moves_the_value() {
    let mut rig = Rig::new(Ioc::builder().pv("x", limited()));
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let (high, ..) = client.create(&mut rig, "x.DRVH");
    client.write(&mut rig, x, &Value::scalar(20.0));
    client.subscribe(&mut rig, x, DOUBLE, VALUE);
    let replies = client.write(&mut rig, high, &Value::scalar(5.0));
    assert_eq!(updates(&replies), [5.0]);
}

#[test]
fn processing_defines_the_value() {
    let mut rig = Rig::new(Ioc::builder().pv("x", PvSpec::double(1.0).undefined()));
    let mut client = rig.client();
    assert_eq!(rig.ioc.read("x").unwrap().alarm.status, AlarmStatus::UDF);
    let (proc, ..) = client.create(&mut rig, "x.PROC");
    client.write(&mut rig, proc, &Value::scalar(1u8));
    assert_eq!(
        rig.ioc.read("x").unwrap().alarm.status,
        AlarmStatus::NO_ALARM
    );
}

#[test]
fn states_beyond_the_last_have_the_alarms_of_their_record_type() {
    let two = || {
        PvSpec::enumeration(["off", "on"], 0)
            .state_severities([AlarmSeverity::NO_ALARM, AlarmSeverity::MINOR])
    };
    let many = PvSpec::enumeration(["a", "b", "c"], 0);
    let builder = Ioc::builder()
        .pv("bo", two())
        .pv("bi", two().record_type(RecordType::Bi))
        .pv("mbbo", many);
    let mut rig = Rig::new(builder);
    let mut client = rig.client();
    let mut alarm = |name: &str, state: u16| {
        let (sid, ..) = client.create(&mut rig, name);
        client.write(&mut rig, sid, &Value::scalar(EnumIndex(state)));
        let alarm = rig.ioc.read(name).unwrap().alarm;
        (alarm.status, alarm.severity)
    };
    let none = (AlarmStatus::NO_ALARM, AlarmSeverity::NO_ALARM);
    assert_eq!(alarm("bo", 7), (AlarmStatus::STATE, AlarmSeverity::MINOR));
    assert_eq!(alarm("bi", 7), none);
    assert_eq!(alarm("mbbo", 15), none);
    assert_eq!(
        alarm("mbbo", 16),
        (AlarmStatus::SOFT, AlarmSeverity::INVALID)
    );
}

#[test]
fn units_are_cut_with_values_only() {
    let mut rig = Rig::new(Ioc::builder().pv("x", PvSpec::double(0.0).units("a long unit of ")));
    let mut client = rig.client();
    let egu = |client: &mut Client, rig: &mut Rig| client.read_name(rig, "x.EGU", STRING).text();
    assert_eq!(egu(&mut client, &mut rig), "a long unit of ");
    let reply = client.read_name(&mut rig, "x", CTRL_DOUBLE).reading;
    assert_eq!(reply.unwrap().units().unwrap().as_bytes(), b"a long ");
    let (sid, ..) = client.create(&mut rig, "x.EGU");
    client.write(&mut rig, sid, &Value::string("another long unit"));
    assert_eq!(egu(&mut client, &mut rig), "another long un");
    client.write(&mut rig, sid, &Value::string("mm"));
    assert_eq!(egu(&mut client, &mut rig), "mm");
}

#[test]
fn an_empty_text_is_no_number_for_an_array() {
    // `dbConvert.c` of EPICS Base
    let builder = Ioc::builder()
        .pv("one", PvSpec::double(1.0))
        .pv("many", PvSpec::array([1.0, 2.0]));
    let mut rig = Rig::new(builder);
    let mut client = rig.client();
    let (one, ..) = client.create(&mut rig, "one");
    let (many, ..) = client.create(&mut rig, "many");
    let empty = Value::string("");
    assert_eq!(client.put(&mut rig, one, &empty), EcaStatus::NORMAL);
    assert_eq!(rig.ioc.number("one"), Ok(0.0));
    assert_eq!(client.put(&mut rig, many, &empty), EcaStatus::PUTFAIL);
    assert_eq!(
        client.put(&mut rig, many, &Value::strings(&["1", ""])),
        EcaStatus::PUTFAIL
    );
    assert_eq!(
        client.put(&mut rig, many, &Value::strings(&["3", "4"])),
        EcaStatus::NORMAL
    );
}

#[test]
fn numbers_written_to_texts_have_the_digits_of_the_array_or_six() {
    let builder = Ioc::builder()
        .pv("one", PvSpec::string(""))
        .pv("many", PvSpec::strings(&["", ""]).precision(2));
    let mut rig = Rig::new(builder);
    let mut client = rig.client();
    let mut written = |name: &str| {
        let (sid, ..) = client.create(&mut rig, name);
        client.write(&mut rig, sid, &Value::scalar(1.5));
        client.read(&mut rig, sid, STRING, 1).text()
    };
    assert_eq!(written("one"), "1.500000");
    assert_eq!(written("many"), "1.50");
}

#[test]
fn a_long_string_is_cut_with_its_nul() {
    // `dbChannelCreate` of EPICS Base
    let mut rig = Rig::new(Ioc::builder().pv("x", PvSpec::string("hello")));
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "x.VAL$");
    for ty in [4, 11, 18, 32] {
        let reply = client.read(&mut rig, sid, DbrType(ty), 3);
        let reading = reply.reading.unwrap();
        assert_eq!(reading.bytes(), Some(&b"he\0"[..]), "{ty}");
    }
}

#[test]
fn states_of_a_record_keep_their_severities_out_of_the_properties() {
    let mut rig = Rig::new(Ioc::builder().pv("x", PvSpec::enumeration(["a", "b", "c"], 0)));
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let property = client.subscribe(&mut rig, x, CTRL_ENUM, EventMask::PROPERTY);
    let (severity, ..) = client.create(&mut rig, "x.TWSV");
    assert!(
        client
            .write(&mut rig, severity, &Value::string("MAJOR"))
            .is_empty()
    );
    let (text, ..) = client.create(&mut rig, "x.TWST");
    let replies = client.write(&mut rig, text, &Value::string("C"));
    assert_eq!((replies.len(), replies[0].p2), (1, property.0));
    let states = replies[0].reading.as_ref().unwrap().states();
    assert_eq!(states, Some(EnumStates::new(["a", "b", "C"])));
}
