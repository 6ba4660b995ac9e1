//! What single record types do.

use super::*;

#[test]
fn an_analogue_output_keeps_to_its_limits_and_its_rate() {
    let mut bench = Bench::new(&[
        (
            "ao",
            "x",
            &[
                ("DRVH", "10"),
                ("DRVL", "-10"),
                ("OROC", "3"),
                ("OUT", "to"),
                ("EGUL", "1"),
                ("LINR", "LINEAR"),
                ("ESLO", "2"),
            ],
        ),
        ("ai", "to", &[]),
    ]);
    bench.put("x", 100.0);
    assert_eq!(
        (
            bench.number("x"),
            bench.number("x.OVAL"),
            bench.number("to")
        ),
        (10.0, 3.0, 3.0)
    );
    bench.process("x");
    assert_eq!((bench.number("x.OVAL"), bench.number("x.RVAL")), (6.0, 3.0));
    bench.put("x", -100.0);
    assert_eq!((bench.number("x"), bench.number("x.OVAL")), (-10.0, 3.0));
}

#[test]
fn a_pulse_ends_by_itself() {
    let mut bench = Bench::new(&[(
        "bo",
        "x",
        &[
            ("HIGH", "2"),
            ("ZNAM", "Off"),
            ("ONAM", "On"),
            ("MASK", "0x10"),
        ],
    )]);
    bench.put("x", "On");
    assert_eq!(
        (bench.get("x").as_str(), bench.number("x.RVAL")),
        ("On", 16.0)
    );
    bench.wait(1.9);
    assert_eq!(bench.get("x"), "On");
    bench.wait(0.1);
    assert_eq!(
        (bench.get("x").as_str(), bench.number("x.RVAL")),
        ("Off", 0.0)
    );
    assert!(bench.try_put("x", "on").is_err());
}

#[test]
fn raw_values_become_engineering_units() {
    let mut bench = Bench::new(&[
        ("longout", "raw", &[]),
        (
            "ai",
            "line",
            &[
                ("DTYP", "Raw Soft Channel"),
                ("INP", "raw"),
                ("LINR", "SLOPE"),
                ("ESLO", "0.5"),
                ("EOFF", "1"),
            ],
        ),
        (
            "ai",
            "table",
            &[
                ("DTYP", "Raw Soft Channel"),
                ("INP", "raw"),
                ("LINR", "typeKdegC"),
            ],
        ),
        (
            "bi",
            "bit",
            &[("DTYP", "Raw Soft Channel"), ("INP", "raw"), ("MASK", "4")],
        ),
    ]);
    bench.put("raw", 1000);
    for name in ["line", "table", "bit"] {
        bench.process(name);
    }
    assert_eq!(bench.number("line"), 501.0);
    assert!(
        (bench.number("table") - 246.0).abs() < 2.0,
        "{}",
        bench.number("table")
    );
    assert_eq!((bench.number("bit"), bench.number("bit.RVAL")), (0.0, 0.0));
    bench.put("raw", 100_000);
    bench.process("table");
    assert_eq!(
        (
            bench.alarm("table").as_str(),
            bench.get("table.AMSG").as_str()
        ),
        ("SOFT MAJOR", "BPT Error")
    );
}

#[test]
fn an_input_is_smoothed() {
    let mut bench = Bench::new(&[
        ("ao", "in", &[("VAL", "10")]),
        ("ai", "x", &[("INP", "in"), ("SMOO", "0.75")]),
    ]);
    bench.process("x");
    assert_eq!(bench.number("x"), 10.0);
    bench.put("in", 20.0);
    bench.process("x");
    assert_eq!(bench.number("x"), 12.5);
    bench.put("x.INP", "in");
    bench.process("x");
    assert_eq!(bench.number("x"), 20.0, "a link begins anew");
}

#[test]
fn expressions_reckon_with_what_their_links_give() {
    let mut bench = Bench::new(&[
        ("ao", "a", &[("VAL", "3")]),
        (
            "calc",
            "x",
            &[("CALC", "C:=A+1;A*B+C"), ("INPA", "a"), ("INPB", "2")],
        ),
        ("calc", "broken", &[("CALC", "A")]),
    ]);
    bench.process("x");
    assert_eq!(
        (bench.number("x"), bench.number("x.C"), bench.number("x.LB")),
        (10.0, 4.0, 2.0)
    );
    bench.put("x.INPA", "gone");
    bench.process("x");
    assert_eq!(
        (bench.number("x"), bench.alarm("x").as_str()),
        (10.0, "LINK INVALID")
    );
    assert_eq!(bench.try_put("broken.CALC", "A+"), Err(PutError::Refused));
    bench.process("broken");
    assert_eq!(bench.alarm("broken"), "CALC INVALID");
}

#[test]
fn texts_come_and_go() {
    let mut bench = Bench::new(&[
        ("stringout", "x", &[("OUT", "y PP")]),
        ("stringin", "y", &[]),
        ("ao", "number", &[("VAL", "1.23456"), ("PREC", "2")]),
        ("stringin", "shown", &[("INP", "number")]),
        ("stringin", "always", &[("VAL", "t"), ("MPST", "Always")]),
        ("stringin", "home", &[("DTYP", "getenv"), ("INP", "@HOME")]),
    ]);
    bench.put("x", "a text that is longer than there is room for in it");
    assert_eq!(bench.get("y"), "a text that is longer than there is roo");
    bench.process("shown");
    assert_eq!(bench.get("shown"), "1.23");
    bench.process("always");
    bench.posts();
    bench.process("always");
    assert_eq!(bench.posts(), ["always.PROC 3", "always.VAL 1"]);
    bench.process("home");
    assert_eq!(bench.alarm("home"), "UDF INVALID");
    bench.records.set_variable("HOME", "/here");
    bench.process("home");
    assert_eq!(
        (bench.get("home").as_str(), bench.alarm("home").as_str()),
        ("/here", "NO_ALARM NO_ALARM")
    );
}

#[test]
fn an_output_writes_when_it_is_told_to() {
    let mut bench = Bench::new(&[
        ("longout", "x", &[("OUT", "n.PROC"), ("OOPT", "On Change")]),
        ("calc", "n", &[("CALC", "VAL+1")]),
    ]);
    for (value, count) in [(0, 1.0), (0, 1.0), (1, 2.0), (1, 2.0)] {
        bench.put("x", value);
        assert_eq!(bench.number("n"), count, "{value}");
    }
    bench.put("x.OUT", "n.PROC");
    bench.put("x", 1);
    assert_eq!(bench.number("n"), 3.0, "another OUT");
}
