//! Alarms and dead-bands.

use super::*;

#[test]
fn limits_have_alarms_with_hysteresis() {
    let fields: Fields<'_> = &[
        ("HIHI", "10"),
        ("HIGH", "5"),
        ("LOW", "-5"),
        ("LOLO", "-10"),
        ("HYST", "1"),
        ("HHSV", "MAJOR"),
        ("HSV", "MINOR"),
        ("LSV", "MINOR"),
        ("LLSV", "INVALID"),
    ];
    for of in ["ai", "ao", "longin", "longout", "calc"] {
        let mut bench = Bench::new(&[(of, "x", fields)]);
        let mut alarms = Vec::new();
        for value in [0, 5, 4, 3, 10, 9, 8, -10, -9, -8, 0] {
            // A calc's value is what its expression says, an input's what is written.
            if of == "calc" {
                bench.put("x.CALC", format!("{value}").as_str());
                bench.process("x");
            } else {
                bench.put("x", value);
            }
            alarms.push(bench.get("x.STAT"));
        }
        let expected = [
            "NO_ALARM", "HIGH", "HIGH", "NO_ALARM", "HIHI", "HIHI", "HIGH", "LOLO", "LOLO", "LOW",
            "NO_ALARM",
        ];
        assert_eq!(alarms, expected, "{of}");
    }
}

#[test]
fn dead_bands_tell_of_some_changes_only() {
    let mut bench = Bench::new(&[("ao", "x", &[("MDEL", "2"), ("ADEL", "5")])]);
    bench.put("x", 0.0);
    bench.posts();
    let mut told = Vec::new();
    for value in [2.0, 2.5, 4.0, 5.5, f64::NAN, 0.0] {
        bench.put("x", value);
        told.push(
            bench
                .posts()
                .into_iter()
                .filter(|post| post.starts_with("x.VAL"))
                .collect::<String>(),
        );
    }
    let full = format!("x.VAL {}", VALUE | LOG | ALARM);
    assert_eq!(
        told,
        [
            "",
            "x.VAL 1",
            "",
            &format!("x.VAL {}", VALUE | LOG),
            &full,
            &full
        ]
    );
}

#[test]
fn a_record_that_stays_active_raises_an_alarm() {
    let mut bench = Bench::new(&[(
        "ai",
        "x",
        &[
            ("SIMM", "YES"),
            ("SIOL", "1"),
            ("SDLY", "1000"),
            ("SCAN", "1 second"),
        ],
    )]);
    for _ in 0..11 {
        bench.wait(1.0);
    }
    assert_eq!(
        bench.alarm("x"),
        "UDF INVALID",
        "INVALID already, as in dbProcess"
    );
    let mut bench = Bench::new(&[(
        "ai",
        "x",
        &[
            ("VAL", "1"),
            ("SIMM", "YES"),
            ("SIOL", "1"),
            ("SDLY", "1000"),
            ("SCAN", "1 second"),
        ],
    )]);
    for _ in 0..11 {
        bench.wait(1.0);
        assert_ne!(bench.alarm("x"), "SCAN INVALID");
    }
    bench.wait(1.0);
    assert_eq!(
        (bench.alarm("x").as_str(), bench.get("x.AMSG").as_str()),
        ("SCAN INVALID", "Async in progress")
    );
}

#[test]
fn alarms_are_acknowledged() {
    let mut bench = Bench::new(&[("ao", "x", &[("HIGH", "1"), ("HSV", "MAJOR")])]);
    bench.put("x", 2.0);
    bench.put("x", 0.0);
    assert_eq!(
        (bench.get("x.ACKS").as_str(), bench.alarm("x").as_str()),
        ("MAJOR", "NO_ALARM NO_ALARM")
    );
    bench.records.put_acks(0, 1);
    assert_eq!(bench.get("x.ACKS"), "MAJOR");
    bench.records.put_acks(0, 2);
    assert_eq!(bench.get("x.ACKS"), "NO_ALARM");
}
