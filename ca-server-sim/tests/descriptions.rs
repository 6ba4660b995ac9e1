//! Descriptions in Rust that cannot be, and names with dots.

mod rig;

use ca_proto::{AlarmSeverity, Instant};
use ca_server_sim::{BuildError, Ioc, LimitSeverities, PvSpec, RecordType};
use rig::*;

fn refused(spec: PvSpec) -> String {
    let error = Ioc::builder().pv("x", spec).build().unwrap_err();
    assert!(matches!(error, BuildError::Unfit { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_description_that_does_not_fit_is_refused_with_the_pv_and_the_reason() {
    let long = "x".repeat(44);
    let major = AlarmSeverity::MAJOR;
    let cases = [
        (
            PvSpec::string(&long),
            "PV \"x\": the text has 44 bytes, at most 39 fit",
        ),
        (PvSpec::strings(&["a", &long]), "44 bytes"),
        (PvSpec::string("a\0b"), "NUL"),
        (PvSpec::text("a\0b"), "NUL"),
        (PvSpec::double(1.0).units("units of 16 byte"), "16 bytes"),
        (PvSpec::double(1.0).description(&long), "at most 40"),
        (PvSpec::double(1.0).precision(-3), "precision of -3"),
        (PvSpec::long(1).precision(3), "no precision"),
        (PvSpec::double(1.0).alarm(80.0, 20.0), "write [low, high]"),
        (PvSpec::double(1.0).control(f64::NAN, 20.0), "NaN"),
        (PvSpec::double(1.0).hysteresis(-1.0), "hysteresis of -1"),
        (PvSpec::double(1.0).value_deadband(f64::NAN), "NaN"),
        (PvSpec::array([1.0]).alarm(1.0, 2.0), "never alarms"),
        (PvSpec::array([1.0]).warning(1.0, 2.0), "never alarms"),
        (PvSpec::string("").units("mm"), "no effect"),
        (PvSpec::enumeration(["a", "b", "c"], 7), "no state 7"),
        (PvSpec::enumeration([long.as_str()], 0), "at most 25"),
        (
            PvSpec::enumeration((0..17).map(|n| n.to_string()), 0),
            "17 states",
        ),
        (PvSpec::double(0.0).states(["a"]), "states have no effect"),
        (
            PvSpec::enumeration(["a", "b"], 0).state_severities([major; 3]),
            "3 severities",
        ),
        (
            PvSpec::enumeration(["a"], 0).state_severities([AlarmSeverity(4)]),
            "no severity 4",
        ),
        (
            PvSpec::double(0.0).severities(LimitSeverities {
                hihi: AlarmSeverity(9),
                ..LimitSeverities::default()
            }),
            "no severity 9",
        ),
        (
            PvSpec::double(0.0).record_type(RecordType::Bi),
            "cannot hold a double",
        ),
        (
            PvSpec::array([0.0]).record_type(RecordType::Ai),
            "cannot hold an array",
        ),
    ];
    for (spec, part) in cases {
        let error = refused(spec);
        assert!(error.contains(part), "{part}: {error}");
    }
    let all = refused(
        PvSpec::long(1)
            .precision(3)
            .hysteresis(0.5)
            .units("units of 16 byte"),
    );
    assert_eq!(all.matches("; also, ").count(), 2, "{all}");
    let mut ioc = Ioc::builder().build().unwrap();
    let added = ioc.add(Instant::ZERO, "y", PvSpec::string(&long));
    assert!(added.unwrap_err().to_string().contains("PV \"y\""));
    assert_eq!(ioc.pv_count(), 0);
}

#[test]
fn a_dot_splits_a_name_only_before_a_field() {
    let builder = Ioc::builder()
        .pv("a", PvSpec::double(1.0).units("mm"))
        .pv("a.b", PvSpec::long(2))
        .pv("a.b.c", PvSpec::long(3))
        .pv("m1.VAL", PvSpec::double(4.0))
        .pv("m1.RBV", PvSpec::double(5.0))
        .pv("v1.2", PvSpec::array([6.0, 7.0]));
    let mut rig = Rig::new(builder);
    let numbers = [
        ("a", 1.0),
        ("a.VAL", 1.0),
        ("a.b", 2.0),
        ("a.b.VAL", 2.0),
        ("a.b.c", 3.0),
        ("m1.VAL", 4.0),
        ("m1.VAL.VAL", 4.0),
        ("m1.RBV", 5.0),
        ("v1.2.VAL", 6.0),
    ];
    for (name, number) in numbers {
        assert_eq!(rig.ioc.number(name), Ok(number), "{name}");
    }
    for name in ["a.c", "m1", "m1.DESC", "v1", "a.b.c.d", "a..b", "a.b."] {
        assert_eq!(rig.ioc.number(name).is_ok(), name == "a.b.", "{name}");
    }
    let mut client = rig.client();
    assert_eq!(client.read_name(&mut rig, "v1.2.[1]", DOUBLE).f64(), 7.0);
    assert_eq!(client.read_name(&mut rig, "a.EGU", STRING).text(), "mm");
    assert!(rig.ioc.remove(rig.now, "a.b"));
    assert_eq!(rig.ioc.number("a.b.c"), Ok(3.0));
    assert!(rig.ioc.number("a.b").is_err());
}

#[test]
fn two_pvs_are_not_reached_by_one_name() {
    let builder = || Ioc::builder().pv("a", PvSpec::double(1.0));
    let error = builder().pv("a.HIHI", PvSpec::long(1)).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "PV name \"a.HIHI\": this is a field of PV \"a\"; give one of the two another name"
    );
    let later = Ioc::builder()
        .pv("a.HIHI", PvSpec::long(1))
        .pv("a", PvSpec::double(1.0));
    assert!(matches!(later.build(), Err(BuildError::IsField { .. })));
    // A text has no such field.
    let text = Ioc::builder()
        .pv("a", PvSpec::string(""))
        .pv("a.HIHI", PvSpec::long(1));
    assert!(text.build().is_ok());
}

#[test]
fn a_name_is_as_long_as_a_search_can_carry() {
    let long = "n".repeat(991);
    let mut rig = Rig::new(Ioc::builder().pv(&long, PvSpec::long(1)));
    let mut client = rig.client();
    assert_eq!(client.read_name(&mut rig, &long, DOUBLE).f64(), 1.0);
    let name = client.read_name(&mut rig, &format!("{long}.NAME$"), CHAR);
    assert_eq!(name.reading.unwrap().to_value().count(), 992);
    let longer = Ioc::builder().pv("n".repeat(992), PvSpec::long(1)).build();
    assert!(
        longer
            .unwrap_err()
            .to_string()
            .contains("at most 991 bytes")
    );
    for bad in ["", "a b", "a\tb", "a\"b", "a\u{7f}", ".a", "a.", "a\u{a0}b"] {
        let error = Ioc::builder().pv(bad, PvSpec::long(1)).build().unwrap_err();
        assert!(matches!(error, BuildError::BadName { .. }), "{error}");
    }
}
