//! Records of the common support modules that calculate with texts and arrays: scalcout, acalcout, transform.

use super::*;

#[test]
fn scalcout_reckons_with_numbers_and_passes_texts_on() {
    let mut bench = Bench::new(&[
        ("stringin", "name", &[("VAL", "beam")]),
        (
            "scalcout",
            "s",
            &[
                ("CALC", "A*2"),
                ("INPA", "4"),
                ("INAA", "name"),
                ("DOPT", "Use OCAL"),
                ("OCAL", "AA"),
                ("OUT", "to PP"),
                ("PREC", "1"),
            ],
        ),
        ("stringout", "to", &[]),
    ]);
    bench.process("s");
    assert_eq!(
        (
            bench.number("s"),
            bench.get("s.SVAL").as_str(),
            bench.get("to").as_str()
        ),
        (8.0, "8.0", "beam")
    );
    bench.put("s.CALC", "AA+'!'");
    assert_eq!(
        (
            bench.get("s.SVAL").as_str(),
            bench.number("s.CLCV"),
            bench.alarm("s").as_str()
        ),
        ("beam!", 0.0, "NO_ALARM NO_ALARM")
    );
    bench.put("s.CALC", "AA+Q");
    assert_eq!(
        (
            bench.number("s.CLCV"),
            bench.number("s"),
            bench.get("s.SVAL").as_str(),
            bench.alarm("s").as_str()
        ),
        (-1.0, -1.0, "***ERROR***", "CALC INVALID")
    );
}

#[test]
fn scalcout_reads_and_writes_characters_and_choices() {
    let mut bench = Bench::new(&[
        (
            "waveform",
            "chars",
            &[("FTVL", "CHAR"), ("NELM", "20"), ("INP", "[97,9,98]")],
        ),
        ("mbbo", "choice", &[("ZRST", "Off"), ("ONST", "On")]),
        (
            "scalcout",
            "s",
            &[
                ("INAA", "chars"),
                ("INBB", "nowhere.X"),
                ("CALC", "AA"),
                ("OUT", "to"),
                ("FLNK", "t"),
            ],
        ),
        ("waveform", "to", &[("FTVL", "CHAR"), ("NELM", "8")]),
        ("scalcout", "t", &[("CALC", "'On'"), ("OUT", "choice PP")]),
    ]);
    bench.process("s");
    assert_eq!(
        (bench.get("s.SVAL").as_str(), bench.get("s.BB").as_str()),
        ("a\\tb", "s:fetch(BB) failed")
    );
    assert_eq!(bench.get("choice"), "On");
    let (id, field) = bench.records.find_field("to").unwrap();
    let expected = Val::from(Array::Char(
        b"a\\tb\0\0\0\0".iter().map(|&byte| byte as i8).collect(),
    ));
    assert_eq!(bench.records.get(id, field), expected);
    assert_eq!(
        (
            bench.get("s.IAAV").as_str(),
            bench.get("s.IBBV").as_str(),
            bench.get("s.ICCV").as_str()
        ),
        ("Local PV", "Ext PV NC", "Constant")
    );
}

#[test]
fn scalcout_tells_of_what_a_processing_has_changed() {
    let mut bench = Bench::new(&[
        ("ao", "a", &[("VAL", "5")]),
        (
            "scalcout",
            "s",
            &[("INPA", "a"), ("CALC", "B:=A+1;CC:='x';C")],
        ),
    ]);
    bench.process("s");
    bench.put("a", 6.0);
    bench.posts();
    bench.put("s.CC", "y");
    let texts = bench.posts();
    let written = texts
        .iter()
        .filter(|post| post.starts_with("s.CC "))
        .count();
    assert_eq!(written, 2, "by the put, and by the expression: {texts:?}");
    bench.put("a", 7.0);
    bench.put("s.C", 3.0);
    let posts = bench.posts();
    let of = |field: &str| {
        posts
            .iter()
            .filter(|post| post.starts_with(&format!("s.{field} ")))
            .count()
    };
    assert_eq!(
        (of("A"), of("B"), of("CC"), of("VAL")),
        (1, 1, 0, 1),
        "{posts:?}"
    );
    // A put has told of itself.
    assert_eq!(of("C"), 1, "{posts:?}");
}

fn elements(bench: &Bench, name: &str) -> Vec<f64> {
    let (id, field) = bench.records.find_field(name).unwrap();
    match bench.records.get(id, field) {
        Val::Array(array) => array.iter().map(|element| element.as_f64()).collect(),
        other => panic!("{name} is {other:?}"),
    }
}

fn doubles(all: &[f64]) -> Val {
    Val::from(Array::Double(all.to_vec()))
}

#[test]
fn acalcout_reckons_with_arrays_and_writes_what_fits() {
    let mut bench = Bench::new(&[
        (
            "waveform",
            "in",
            &[("FTVL", "DOUBLE"), ("NELM", "4"), ("INP", "[1,2,3]")],
        ),
        (
            "acalcout",
            "a",
            &[
                ("NELM", "4"),
                ("INAA", "in"),
                ("INPB", "2"),
                ("CALC", "AA*B"),
                ("OUT", "to PP"),
                ("FLNK", "sum"),
            ],
        ),
        ("waveform", "to", &[("FTVL", "DOUBLE"), ("NELM", "3")]),
        (
            "acalcout",
            "sum",
            &[
                ("NELM", "4"),
                ("INAA", "a.AVAL"),
                ("CALC", "SUM(AA)"),
                ("OUT", "number PP"),
            ],
        ),
        ("ao", "number", &[]),
    ]);
    assert_eq!(
        elements(&bench, "a.AVAL"),
        [0.0; 4],
        "they are there before the first processing"
    );
    bench.process("a");
    assert_eq!(elements(&bench, "a.AVAL"), [2.0, 4.0, 6.0, 0.0]);
    assert_eq!(
        (bench.number("a"), bench.get("a.IAAV").as_str()),
        (2.0, "Local PV")
    );
    assert_eq!(elements(&bench, "to"), [2.0, 4.0, 6.0]);
    assert_eq!((bench.number("sum"), bench.number("number")), (12.0, 12.0));
    let posts = bench.posts();
    let of = |field: &str| {
        posts
            .iter()
            .filter(|post| post.starts_with(&format!("a.{field} ")))
            .count()
    };
    assert_eq!((of("AVAL"), of("AA"), of("VAL")), (1, 1, 1), "{posts:?}");
    bench.process("a");
    let posts = bench.posts();
    assert!(
        !posts
            .iter()
            .any(|post| post.starts_with("a.A") || post.starts_with("a.V")),
        "nothing is another: {posts:?}"
    );
}

#[test]
fn acalcout_has_as_many_elements_as_are_in_use() {
    let mut bench = Bench::new(&[(
        "acalcout",
        "a",
        &[
            ("NELM", "5"),
            ("NUSE", "3"),
            ("CALC", "CC:=IX;AA+1"),
            ("OOPT", "Never"),
        ],
    )]);
    bench.put("a.AA", doubles(&[1.0, 2.0]));
    assert_eq!(elements(&bench, "a.AA"), [1.0, 2.0, 0.0]);
    assert_eq!(elements(&bench, "a.AVAL"), [2.0, 3.0, 1.0]);
    assert_eq!(
        (bench.number("a.AMASK"), bench.number("a.CSTAT")),
        (4.0, 0.0)
    );
    bench.put("a.NUSE", 5);
    assert_eq!(elements(&bench, "a.AVAL"), [2.0, 3.0, 1.0, 1.0, 1.0]);
    assert_eq!(elements(&bench, "a.CC"), [0.0, 1.0, 2.0, 3.0, 4.0]);
    assert!(bench.try_put("a.NUSE", 6).is_err());
    assert_eq!(bench.number("a.NUSE"), 5.0);
    let shape = |bench: &Bench| {
        let (id, field) = bench.records.find_field("a.AA").unwrap();
        bench.records.shape(id, field).unwrap().capacity
    };
    bench.put("a.NUSE", 2);
    assert_eq!(shape(&bench), 5);
    bench.put("a.SIZE", "NUSE");
    assert_eq!(shape(&bench), 2);
}

#[test]
fn acalcout_writes_later_and_waits_and_says_what_fails() {
    let mut bench = Bench::new(&[
        (
            "acalcout",
            "a",
            &[
                ("CALC", "A"),
                ("DOPT", "Use OCAL"),
                ("OCAL", "A*10"),
                ("ODLY", "0.5"),
                ("OUT", "to PP"),
                ("HIHI", "5"),
                ("HHSV", "MAJOR"),
                ("IVOA", "Don't drive outputs"),
            ],
        ),
        ("ao", "to", &[]),
    ]);
    bench.put("a.A", 3.0);
    assert_eq!(
        (
            bench.number("a"),
            bench.number("a.DLYA"),
            bench.number("to")
        ),
        (3.0, 1.0, 0.0)
    );
    bench.wait(0.6);
    assert_eq!(
        (
            bench.number("a.DLYA"),
            bench.number("to"),
            bench.number("a.OVAL")
        ),
        (0.0, 30.0, 30.0)
    );
    bench.put("a.A", 6.0);
    bench.wait(0.6);
    assert_eq!(
        (bench.alarm("a").as_str(), bench.number("to")),
        ("HIHI MAJOR", 60.0)
    );
    bench.put("a.OCAL", "A+");
    bench.wait(0.6);
    assert_eq!(
        (
            bench.number("a.OCLV"),
            bench.alarm("a").as_str(),
            bench.number("to")
        ),
        (-1.0, "CALC INVALID", 60.0)
    );
    bench.put("a.DOPT", "Use CALC");
    bench.put("a.CALC", "");
    assert_eq!(
        (bench.number("a.CLCV"), bench.alarm("a").as_str()),
        (0.0, "CALC INVALID")
    );
}

#[test]
fn acalcout_refuses_what_would_hold_the_ioc() {
    let mut bench = Bench::new(&[
        (
            "acalcout",
            "a",
            &[
                ("NELM", "1000000"),
                ("CALC", "SIN(AA)"),
                ("OOPT", "Never"),
                ("FLNK", "ends"),
            ],
        ),
        ("calc", "ends", &[("CALC", "VAL+1")]),
    ]);
    bench.process("a");
    bench.wait(0.0);
    assert_eq!(
        (bench.alarm("a").as_str(), bench.number("ends")),
        ("CALC INVALID", 1.0)
    );
    let line = bench.records.take_lines().next().unwrap_or_default();
    assert!(
        line.contains("a: CALC was not evaluated: it takes more than"),
        "{line}"
    );
    // Once: a record may be processed for ever.
    bench.process("a");
    bench.wait(0.0);
    assert_eq!(bench.records.take_lines().next(), None);
    bench.put("a.NUSE", 1000);
    bench.wait(0.0);
    assert_eq!(bench.alarm("a"), "NO_ALARM NO_ALARM");
}

#[test]
fn transform_has_the_language_of_scalcout_and_names_from_comments() {
    let mut bench = Bench::new(&[(
        "transform",
        "t",
        &[
            ("CMTA", "$xp of the beam"),
            ("CMTB", "$x"),
            ("CLCC", "($xp+$X)/2"),
            ("CLCD", "A/B"),
            ("CLCE", "A>?B"),
        ],
    )]);
    bench.put("t.A", 4.0);
    assert_eq!((bench.number("t.C"), bench.number("t.E")), (2.0, 4.0));
    assert_eq!(bench.alarm("t"), "CALC INVALID", "division by zero");
    bench.put("t.B", 2.0);
    assert_eq!(
        (
            bench.number("t.C"),
            bench.number("t.D"),
            bench.alarm("t").as_str()
        ),
        (3.0, 2.0, "NO_ALARM NO_ALARM")
    );
    bench.put("t.CLCD", "A+");
    assert_eq!(bench.number("t.CDV"), -1.0);
    bench.put("t.CLCD", "");
    assert_eq!(bench.number("t.CDV"), 0.0);
}
