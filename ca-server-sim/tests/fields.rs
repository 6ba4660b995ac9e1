//! Fields of records, from the side of the program, and what having some costs.

mod rig;

use std::sync::mpsc::channel;
use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::dbr::value::EnumIndex;
use ca_proto::dbr::{NativeType, Value};
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Timestamp};
use ca_server_sim::{Completion, Ioc, PostError, PvSpec};
use rig::{DOUBLE, Rig, TIME_DOUBLE, updates};

const STAMP: Timestamp = Timestamp {
    secs: 1_234,
    nanos: 5,
};

fn motor() -> PvSpec {
    PvSpec::double(1.5).units("mm").alarm(-9.0, 9.0)
}

#[test]
fn a_field_that_is_posted_with_a_stamp_is_the_one_that_changes() {
    let mut rig = Rig::new(Ioc::builder().pv("x", motor()));
    let mut client = rig.client();
    let (hihi, ..) = client.create(&mut rig, "x.HIHI");
    client.subscribe(&mut rig, hihi, TIME_DOUBLE, EventMask::VALUE);

    let now = rig.now;
    rig.ioc.post_stamped(now, "x.HIHI", 20.0, STAMP).unwrap();
    assert_eq!(rig.ioc.number("x").unwrap(), 1.5);
    assert_eq!(rig.ioc.number("x.HIHI").unwrap(), 20.0);
    assert_eq!(rig.ioc.read("x").unwrap().stamp, STAMP);
    let replies = client.received(&mut rig);
    assert_eq!(updates(&replies), [20.0]);
    let reading = replies[0].reading.as_ref().unwrap();
    assert_eq!(reading.timestamp(), Some(STAMP));

    rig.ioc.post_stamped(now, "x.DESC", "stage", STAMP).unwrap();
    assert_eq!(rig.ioc.read("x.DESC").unwrap().value, "stage".into());
    rig.ioc.post_stamped(now, "x.VAL", 2.0, STAMP).unwrap();
    assert_eq!(rig.ioc.number("x").unwrap(), 2.0);
}

#[test]
fn a_field_that_cannot_be_posted_leaves_value_and_stamp_alone() {
    let mut rig = Rig::new(Ioc::builder().pv("x", motor()));
    let state = |rig: &Rig| {
        let x = rig.ioc.read("x").unwrap();
        (x.value, x.stamp, rig.ioc.number("x.HIHI"))
    };
    let (now, before) = (rig.now, state(&rig));
    for (name, value) in [("x.SEVR", Value::scalar(1.0)), ("x.HIHI", "high".into())] {
        let refused = rig.ioc.post_stamped(now, name, value, STAMP).unwrap_err();
        assert!(refused.to_string().contains(name), "{refused}");
    }
    assert_eq!(state(&rig), before);
}

#[test]
fn a_field_is_read_with_its_own_metadata() {
    let rig = Rig::new(Ioc::builder().pv("x", motor()).pv(
        "bo",
        PvSpec::enumeration(["Off", "On"], 1).state_severities([AlarmSeverity::MAJOR]),
    ));
    let texts = |name: &str| {
        let meta = rig.ioc.read(name).unwrap().meta;
        let texts = meta.states.iter().map(String::from_utf8_lossy);
        texts.map(String::from).collect::<Vec<_>>()
    };
    let severities = ["NO_ALARM", "MINOR", "MAJOR", "INVALID"];
    assert_eq!(texts("x.SEVR"), severities);
    assert_eq!(texts("x.HHSV"), severities);
    assert_eq!(texts("bo.ZSV"), severities);
    assert_eq!(texts("x.ACKT"), ["NO", "YES"]);
    assert_eq!(texts("bo"), ["Off", "On"]);
    assert!(texts("bo.ZNAM").is_empty());

    let of = |name: &str| rig.ioc.read(name).unwrap().meta;
    for shared in ["x.VAL", "x.HIHI", "x.MDEL"] {
        assert_eq!(of(shared).units.as_bytes(), b"mm", "{shared}");
    }
    for own in ["x.SEVR", "x.DESC", "x.PREC", "x.EGU"] {
        assert!(of(own).units.as_bytes().is_empty(), "{own}");
        assert!(of(own).limits.alarm.upper.is_nan(), "{own}");
    }
    assert_eq!(
        rig.ioc.read("bo.ZSV").unwrap().value,
        Value::scalar(EnumIndex(2))
    );
}

/// What belongs to the whole record is not silently changed through a field.
#[test]
fn what_concerns_the_record_is_not_taken_for_a_field() {
    let mut rig = Rig::new(Ioc::builder().pv("x", motor()));
    let now = rig.now;
    let alarm = Alarm::new(AlarmStatus::COMM, AlarmSeverity::MAJOR);
    let ioc = &mut rig.ioc;
    let refused = [
        ioc.set_alarm(now, "x.HIHI", alarm).unwrap_err(),
        ioc.set_rights(now, "x.HIHI", AccessRights::NONE)
            .unwrap_err(),
        ioc.set_completion("x.HIHI", Completion::Never).unwrap_err(),
        ioc.finish_put(now, "x.HIHI", EcaStatus::NORMAL)
            .unwrap_err(),
    ];
    for error in refused {
        let name = "x.HIHI".to_owned();
        assert_eq!(error, PostError::NotARecord { name });
    }
    assert_eq!(rig.ioc.read("x").unwrap().alarm, Alarm::NONE);
    rig.ioc.set_alarm(now, "x.VAL", alarm).unwrap();
    assert_eq!(rig.ioc.read("x").unwrap().alarm, alarm);
}

#[test]
fn the_put_log_calls_each_field_by_its_name() {
    let (send, lines) = channel();
    let states = |count| (0..count).map(|n: usize| n.to_string()).collect::<Vec<_>>();
    let pvs = Ioc::builder()
        .pv("bo", PvSpec::enumeration(states(2), 0))
        .pv("mbbo", PvSpec::enumeration(states(16), 0))
        .pv("ao", PvSpec::double(0.0))
        .pv("wave", PvSpec::array([0.0; 4]))
        .put_log(move |put| send.send(format!("{}.{}", put.name, put.field)).unwrap());
    let mut rig = Rig::new(pvs);
    let mut client = rig.client();
    let mut names: Vec<String> = ["ZNAM", "ONAM", "ZSV", "OSV", "DESC", "VAL"]
        .map(|field| format!("bo.{field}"))
        .into();
    for state in [
        "ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT",
        "FF",
    ] {
        names.extend(["ST", "SV"].map(|end| format!("mbbo.{state}{end}")));
    }
    let of_numbers = [
        "VAL", "PROC", "UDF", "DESC", "EGU", "PREC", "HOPR", "LOPR", "HIHI", "HIGH", "LOW", "LOLO",
        "HHSV", "HSV", "LSV", "LLSV", "HYST", "MDEL", "ADEL", "DRVH", "DRVL",
    ];
    names.extend(of_numbers.map(|field| format!("ao.{field}")));
    names.extend(["VAL", "DESC", "EGU", "PREC", "HOPR", "LOPR"].map(|f| format!("wave.{f}")));
    for name in &names {
        let (sid, native, _) = client.create(&mut rig, name);
        let value = match native {
            NativeType::String => "text".into(),
            _ => Value::scalar(1.0),
        };
        client.write(&mut rig, sid, &value);
    }
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), names);
}

/// The short way and the long one come to the same: alarms, dead-bands, fields that follow.
#[test]
fn numbers_take_the_short_way_to_the_same_updates() {
    let spec = || {
        PvSpec::double(0.0)
            .warning(-5.0, 5.0)
            .hysteresis(1.0)
            .value_deadband(1.5)
    };
    // A hook that accepts everything makes the second one go the long way.
    let pvs = Ioc::builder()
        .pv("short", spec())
        .pv("long", spec().validated(|_| true));
    let mut rig = Rig::new(pvs);
    let mut client = rig.client();
    let mut seen = ["short", "long"].map(|name| {
        let (sid, ..) = client.create(&mut rig, name);
        for mask in [EventMask::VALUE, EventMask::LOG, EventMask::ALARM] {
            client.subscribe(&mut rig, sid, TIME_DOUBLE, mask);
        }
        let (severity, ..) = client.create(&mut rig, &format!("{name}.SEVR"));
        client.subscribe(&mut rig, severity, DOUBLE, EventMask::VALUE);
        let mut lines = Vec::new();
        for value in [1.0, 1.0, 2.0, 5.5, 4.5, 3.0, f64::NAN, 0.0, -6.0] {
            rig.advance(Duration::from_millis(10));
            for reply in client.write(&mut rig, sid, &Value::scalar(value)) {
                let reading = reply.reading.as_ref().unwrap();
                lines.push(format!("{value} {:?} {:?}", reply.f64(), reading.alarm()));
            }
        }
        lines
    });
    let long = seen[1].split_off(0);
    assert!(long.len() > 12, "{long:#?}");
    assert_eq!(seen[0], long);
}
