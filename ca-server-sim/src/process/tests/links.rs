//! Reading and writing through links.

use super::*;

#[test]
fn links_take_severities_over_as_they_say() {
    let mut bench = Bench::new(&[
        ("ao", "x", &[("HIHI", "5"), ("HHSV", "MAJOR"), ("VAL", "0")]),
        ("ai", "nms", &[("INP", "x")]),
        ("ai", "ms", &[("INP", "x MS")]),
        ("ai", "msi", &[("INP", "x MSI")]),
        ("ai", "mss", &[("INP", "x MSS")]),
        (
            "ao",
            "out",
            &[("OUT", "to MSS"), ("HIGH", "5"), ("HSV", "MINOR")],
        ),
        ("ai", "to", &[]),
    ]);
    bench.put("x", 6.0);
    for name in ["nms", "ms", "msi", "mss"] {
        bench.process(name);
        assert_eq!(bench.number(name), 6.0);
    }
    assert_eq!(bench.alarm("nms"), "NO_ALARM NO_ALARM");
    assert_eq!(bench.alarm("ms"), "LINK MAJOR");
    assert_eq!(bench.alarm("msi"), "NO_ALARM NO_ALARM");
    assert_eq!(bench.alarm("mss"), "HIHI MAJOR");
    bench.put("out", 6.0);
    assert_eq!(bench.get("to.NSTA"), "HIGH");
    bench.process("to");
    assert_eq!(bench.alarm("to"), "HIGH MINOR");
}

#[test]
fn a_link_to_nothing_is_an_alarm() {
    let mut bench = Bench::new(&[
        ("ai", "x", &[("INP", "gone")]),
        ("ao", "y", &[("OUT", "gone.VAL PP")]),
    ]);
    bench.process("x");
    assert_eq!(bench.alarm("x"), "LINK INVALID");
    assert_eq!(bench.get("x.AMSG"), "field INP");
    bench.put("y", 1.0);
    assert_eq!(bench.alarm("y"), "LINK INVALID");
    assert_eq!(bench.get("y.AMSG"), "field OUT");
}

#[test]
fn a_record_follows_a_field() {
    let mut bench = Bench::new(&[
        ("ao", "x", &[]),
        (
            "calc",
            "cp",
            &[("INPA", "x CP"), ("CALC", "A*2"), ("SCAN", "10 second")],
        ),
        ("calc", "cpp", &[("INPA", "x CPP"), ("CALC", "A*3")]),
        (
            "calc",
            "not",
            &[("INPA", "x CPP"), ("CALC", "A*3"), ("SCAN", "10 second")],
        ),
        ("ai", "digits", &[("INP", "x.PREC CP")]),
    ]);
    assert_eq!(bench.get("cp.UDF"), "0", "once at the beginning");
    bench.put("x", 7.0);
    assert_eq!(
        [bench.number("cp"), bench.number("cpp"), bench.number("not")],
        [14.0, 21.0, 0.0]
    );
    bench.put("x.PREC", 3i16);
    assert_eq!(bench.number("digits"), 3.0);
    bench.put("cp.INPA", "x NPP");
    bench.put("x", 8.0);
    assert_eq!(bench.number("cp"), 14.0, "it follows no more");
}

#[test]
fn simulated_inputs_and_outputs_go_through_siol() {
    let mut bench = Bench::new(&[
        (
            "ai",
            "x",
            &[
                ("INP", "real"),
                ("SIOL", "sim"),
                ("SIML", "mode"),
                ("SIMS", "MINOR"),
            ],
        ),
        ("ao", "real", &[("VAL", "1")]),
        ("ao", "sim", &[("VAL", "2")]),
        ("bo", "mode", &[]),
        (
            "ao",
            "out",
            &[("OUT", "real"), ("SIOL", "sim"), ("SIMM", "YES")],
        ),
    ]);
    bench.process("x");
    assert_eq!(
        (bench.number("x"), bench.get("x.SIMM").as_str()),
        (1.0, "NO")
    );
    bench.put("mode", 1u32);
    bench.process("x");
    assert_eq!(
        (bench.number("x"), bench.alarm("x").as_str()),
        (2.0, "SIMM MINOR")
    );
    bench.put("out", 5.0);
    assert_eq!((bench.number("real"), bench.number("sim")), (1.0, 5.0));
}

#[test]
fn arrays_are_loaded_written_and_read_through_links() {
    let mut bench = Bench::new(&[
        (
            "waveform",
            "w",
            &[("FTVL", "DOUBLE"), ("NELM", "4"), ("INP", "[1, 2.5, 3]")],
        ),
        (
            "waveform",
            "s",
            &[("FTVL", "STRING"), ("NELM", "2"), ("INP", "[\"a,b\", 'c']")],
        ),
        (
            "waveform",
            "i",
            &[("FTVL", "SHORT"), ("NELM", "2"), ("INP", "w")],
        ),
        ("ai", "first", &[("INP", "w")]),
    ]);
    let array = |bench: &Bench, name: &str| {
        let (id, field) = bench.records.find_field(name).unwrap();
        bench.records.get(id, field)
    };
    assert_eq!(
        array(&bench, "w"),
        Val::from(Array::Double(vec![1.0, 2.5, 3.0]))
    );
    assert_eq!(bench.number("w.NORD"), 3.0);
    assert_eq!(
        array(&bench, "s"),
        Val::from(Array::String(vec![
            b"a,b".as_slice().into(),
            b"c".as_slice().into()
        ]))
    );
    bench.process("i");
    assert_eq!(array(&bench, "i"), Val::from(Array::Short(vec![1, 2])));
    bench.posts();
    bench.put("w", Array::Long(vec![7, 8, 9, 10, 11]));
    assert_eq!(
        array(&bench, "w"),
        Val::from(Array::Double(vec![7.0, 8.0, 9.0, 10.0]))
    );
    assert_eq!(bench.posts().first().map(String::as_str), Some("w.NORD 3"));
    bench.process("first");
    assert_eq!(bench.number("first"), 7.0);
}

#[test]
fn json_links_are_constants_expressions_and_states() {
    let mut bench = Bench::new(&[
        ("ao", "x", &[("VAL", "3")]),
        ("ai", "five", &[("INP", "{const:5}")]),
        ("stringin", "text", &[("INP", "{const:\"some text\"}")]),
        (
            "waveform",
            "w",
            &[
                ("INP", "{const:[1,2.5]}"),
                ("FTVL", "DOUBLE"),
                ("NELM", "4"),
            ],
        ),
        (
            "ai",
            "sum",
            &[(
                "INP",
                "{calc:{expr:\"A*2+B\",args:[{db:\"x\"},{const:1}],major:\"A>3\"}}",
            )],
        ),
        ("bo", "set", &[("OUT", "{state:\"ready\"}")]),
        ("bi", "unset", &[("INP", "{state:\"!ready\"}")]),
        ("ai", "looked", &[("INP", "{debug:{state:ready}}")]),
        ("ai", "wrong", &[("INP", "{calc:{expr:\"A+\"}}")]),
    ]);
    assert_eq!(
        (bench.number("five"), bench.get("text").as_str()),
        (5.0, "some text")
    );
    assert_eq!(bench.number("w.NORD"), 2.0);
    bench.process("sum");
    assert_eq!(
        (bench.number("sum"), bench.alarm("sum").as_str()),
        (7.0, "NO_ALARM NO_ALARM")
    );
    bench.put("x", 4.0);
    bench.process("sum");
    assert_eq!(
        (bench.number("sum"), bench.alarm("sum").as_str()),
        (9.0, "LINK MAJOR")
    );
    bench.put("set", 1);
    bench.process("unset");
    bench.process("looked");
    assert_eq!((bench.number("unset"), bench.number("looked")), (0.0, 1.0));
    assert_eq!(
        bench.records.take_lines().collect::<Vec<_>>(),
        ["looked: link debug gives 1"]
    );
    bench.records.set_flag("ready", false);
    bench.process("unset");
    assert_eq!(bench.number("unset"), 1.0);
    bench.process("wrong");
    assert_eq!(bench.alarm("wrong"), "LINK INVALID");
}

#[test]
fn links_may_lead_to_parts_of_values() {
    let long = "a text that is longer than forty characters, far longer";
    let mut bench = Bench::new(&[
        (
            "waveform",
            "w",
            &[("INP", "[1,2,3,4,5,6]"), ("FTVL", "LONG"), ("NELM", "9")],
        ),
        (
            "waveform",
            "odd",
            &[("INP", "w.[1:2:-1]"), ("FTVL", "LONG"), ("NELM", "9")],
        ),
        ("ai", "third", &[("INP", "w.VAL[2]")]),
        (
            "waveform",
            "some",
            &[
                ("INP", "w.{arr:{s:1,e:3}}"),
                ("FTVL", "LONG"),
                ("NELM", "9"),
            ],
        ),
        ("lso", "text", &[("SIZV", "80"), ("OUT", "copy.VAL$ PP")]),
        ("lsi", "copy", &[("SIZV", "80")]),
        ("lsi", "read", &[("SIZV", "80"), ("INP", "text.VAL$")]),
    ]);
    for name in ["odd", "third", "some"] {
        bench.process(name);
    }
    let all = |bench: &Bench, name: &str| {
        let (id, field) = bench.records.find_field(name).unwrap();
        bench.records.get(id, field)
    };
    assert_eq!(all(&bench, "odd"), Val::from(Array::Long(vec![2, 4, 6])));
    assert_eq!(bench.number("third"), 3.0);
    assert_eq!(all(&bench, "some"), Val::from(Array::Long(vec![2, 3, 4])));
    bench.put("text", long);
    bench.process("read");
    assert_eq!(
        (bench.get("copy").as_str(), bench.get("read").as_str()),
        (long, long)
    );
    assert_eq!(bench.get("read.RTYP"), "lsi");
}

#[test]
fn a_link_that_follows_gives_what_was_posted() {
    let mut bench = Bench::new(&[
        ("ao", "x", &[("MDEL", "5")]),
        ("calc", "c", &[("INPA", "x CP"), ("CALC", "A")]),
        (
            "calc",
            "two",
            &[("INPA", "x CP"), ("INPB", "x.DESC CP"), ("CALC", "VAL+1")],
        ),
    ]);
    bench.put("x", 10.0);
    assert_eq!(bench.number("c"), 10.0);
    bench.put("x", 12.0);
    bench.process("c");
    assert_eq!(bench.number("c"), 10.0, "within MDEL nothing was posted");
    let before = bench.number("two");
    let (id, value) = bench.records.find_field("x").unwrap();
    let (_, desc) = bench.records.find_field("x.DESC").unwrap();
    bench.records.put(id, value, Val::Double(30.0)).unwrap();
    bench.records.put(id, desc, Val::text("7")).unwrap();
    bench.run();
    assert_eq!(bench.number("two"), before + 2.0, "each link has its entry");
}

#[test]
fn an_asynchronous_input_waits_for_its_source() {
    let mut bench = Bench::new(&[
        (
            "ai",
            "in",
            &[
                ("DTYP", "Async Soft Channel"),
                ("INP", "slow.OVAL"),
                ("FLNK", "n"),
            ],
        ),
        ("calcout", "slow", &[("CALC", "VAL+5"), ("ODLY", "2")]),
        ("calc", "n", &[("CALC", "VAL+1")]),
    ]);
    bench.process("in");
    assert_eq!(
        (bench.get("in.PACT").as_str(), bench.number("n")),
        ("1", 0.0)
    );
    bench.wait(2.0);
    assert_eq!(
        (
            bench.number("in"),
            bench.number("n"),
            bench.get("in.PACT").as_str()
        ),
        (5.0, 1.0, "0")
    );
}

#[test]
fn an_asynchronous_output_waits_for_its_target() {
    let mut bench = Bench::new(&[
        (
            "ao",
            "out",
            &[
                ("DTYP", "Async Soft Channel"),
                ("OUT", "slow.A CA"),
                ("FLNK", "n"),
            ],
        ),
        ("calcout", "slow", &[("CALC", "A"), ("ODLY", "2")]),
        ("calc", "n", &[("CALC", "VAL+1")]),
    ]);
    bench.put("out", 3.0);
    assert_eq!(
        (bench.get("out.PACT").as_str(), bench.number("n")),
        ("1", 0.0)
    );
    bench.wait(2.0);
    assert_eq!(
        (
            bench.number("slow"),
            bench.number("n"),
            bench.get("out.PACT").as_str()
        ),
        (3.0, 1.0, "0")
    );
}

#[test]
fn flags_times_and_groups() {
    let mut bench = Bench::new(&[
        ("bo", "set", &[("DTYP", "Db State"), ("OUT", "@ready")]),
        ("bi", "get", &[("DTYP", "Db State"), ("INP", "@ready")]),
        ("ai", "now", &[("DTYP", "General Time"), ("INP", "@TIME")]),
        (
            "stringin",
            "date",
            &[("DTYP", "Soft Timestamp"), ("INP", "@%Y-%m-%d")],
        ),
        (
            "longin",
            "errors",
            &[("DTYP", "General Time"), ("INP", "@GETERRCNT")],
        ),
        ("ai", "x", &[("FLNK", "y"), ("TPRO", "1")]),
        ("ai", "y", &[]),
    ]);
    bench.put("set", 1);
    for name in ["get", "now", "date", "errors"] {
        bench.process(name);
    }
    assert_eq!(
        (bench.number("get"), bench.get("date").as_str()),
        (1.0, "2027-01-15")
    );
    assert!(bench.number("now") > 1.1e9);
    bench.process("x");
    assert_eq!(
        bench.records.take_lines().collect::<Vec<_>>(),
        ["x: is processed", "y: is processed"]
    );
    bench.process("y");
    assert_eq!(bench.records.take_lines().count(), 0);
    bench.put("y.ASG", "BEAM");
    assert!(bench.records.take_regrouped());
    assert!(!bench.records.take_regrouped(), "it is asked once");
}
