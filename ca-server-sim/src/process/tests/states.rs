//! `mbbi`, `mbbo`, `mbbiDirect` and `mbboDirect`.

use super::*;

#[test]
fn states_are_found_by_their_values() {
    let mut bench = Bench::new(&[
        ("longout", "raw", &[]),
        (
            "mbbi",
            "in",
            &[
                ("DTYP", "Raw Soft Channel"),
                ("INP", "raw"),
                ("NOBT", "2"),
                ("SHFT", "4"),
                ("ZRVL", "1"),
                ("ZRST", "One"),
                ("ONVL", "3"),
                ("ONST", "Three"),
                ("ONSV", "MINOR"),
                ("UNSV", "MAJOR"),
            ],
        ),
        ("mbbi", "plain", &[("INP", "raw")]),
    ]);
    bench.put("raw", 0x1fb);
    bench.process("in");
    assert_eq!(
        (
            bench.get("in.RVAL").as_str(),
            bench.get("in").as_str(),
            bench.alarm("in").as_str()
        ),
        ("48", "Three", "STATE MINOR")
    );
    bench.put("raw", 0x20);
    bench.process("in");
    assert_eq!(
        (bench.get("in").as_str(), bench.alarm("in").as_str()),
        ("Illegal Value", "STATE MAJOR")
    );
    bench.process("plain");
    assert_eq!(bench.number("plain"), 32.0);
}

#[test]
fn an_output_of_states_writes_their_values() {
    let mut bench = Bench::new(&[
        (
            "mbbo",
            "out",
            &[
                ("DTYP", "Raw Soft Channel"),
                ("OUT", "raw"),
                ("ZRVL", "5"),
                ("ONVL", "6"),
                ("TWVL", "7"),
                ("ZRST", "a"),
                ("ONST", "b"),
                ("COSV", "MINOR"),
                ("SHFT", "1"),
            ],
        ),
        ("longin", "raw", &[]),
        ("mbbo", "number", &[]),
    ]);
    bench.put("out", "b");
    assert_eq!(
        (
            bench.number("out.RVAL"),
            bench.number("raw"),
            bench.alarm("out").as_str()
        ),
        (12.0, 12.0, "COS MINOR")
    );
    bench.put("out", "");
    assert_eq!(bench.number("out"), 2.0, "the first state without a text");
    assert!(bench.try_put("out", "c").is_err());
    bench.put("out", 16);
    assert_eq!(bench.alarm("out"), "SOFT INVALID");
    bench.posts();
    bench.put("out.TWST", "c");
    let posts = bench.posts();
    assert_eq!(posts, ["out.* 8", "out.TWST 3"]);
    let (id, field) = bench.records.find_field("number").unwrap();
    assert_eq!(bench.records.dbf(id, field), crate::record::Dbf::UShort);
    bench.put("number", "300");
    assert_eq!(
        (bench.get("number").as_str(), bench.number("number.RVAL")),
        ("300", 300.0)
    );
}

#[test]
fn bits_and_their_number_agree() {
    let mut bench = Bench::new(&[
        (
            "mbboDirect",
            "out",
            &[("B1", "1"), ("B4", "1"), ("OUT", "in PP"), ("SHFT", "1")],
        ),
        ("mbbiDirect", "in", &[]),
    ]);
    assert_eq!(
        (bench.number("out"), bench.get("out.UDF").as_str()),
        (18.0, "0")
    );
    bench.put("out.B0", 1);
    assert_eq!(
        (
            bench.number("out"),
            bench.number("out.RVAL"),
            bench.number("in")
        ),
        (19.0, 38.0, 19.0)
    );
    assert_eq!(bench.get("in.B4"), "1");
    bench.posts();
    bench.put("out", 3);
    assert_eq!(
        (bench.get("out.B4").as_str(), bench.get("in.B4").as_str()),
        ("0", "0")
    );
    let posts = bench.posts();
    let bits: Vec<_> = posts.iter().filter(|post| post.contains("out.B")).collect();
    assert_eq!(bits, ["out.B4 3"], "{posts:?}");
    bench.put("out.OMSL", "closed_loop");
    assert_eq!(bench.try_put("out.B0", 1), Err(PutError::NoMod));
}

#[test]
fn integers_of_64_bits_are_exact() {
    let mut bench = Bench::new(&[
        (
            "int64out",
            "out",
            &[
                ("OUT", "in PP"),
                ("DRVH", "9007199254740995"),
                ("DRVL", "-5"),
            ],
        ),
        (
            "int64in",
            "in",
            &[
                ("HIGH", "9007199254740993"),
                ("HSV", "MINOR"),
                ("MDEL", "1"),
            ],
        ),
    ]);
    bench.put("out", "9007199254740993");
    assert_eq!(
        (bench.get("in").as_str(), bench.alarm("in").as_str()),
        ("9007199254740993", "HIGH MINOR")
    );
    bench.put("out", "9007199254740992");
    assert_eq!(bench.alarm("in"), "NO_ALARM NO_ALARM");
    bench.put("out", -100);
    assert_eq!(bench.get("in"), "-5");
}
