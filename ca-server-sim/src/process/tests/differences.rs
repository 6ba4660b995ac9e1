//! What random stories told to the real IOC and to ours have found.

use super::*;

#[test]
fn properties_are_told_of_first_and_for_elements_always() {
    let mut bench = Bench::new(&[("ai", "x", &[("PREC", "3")]), ("mbbi", "y", &[])]);
    bench.put("x.PREC", 3i16);
    assert_eq!(
        bench.posts(),
        [format!("x.PREC {}", VALUE | LOG)],
        "it is the same"
    );
    bench.put("x.PREC", Array::Short(vec![3, 4]));
    assert_eq!(bench.posts()[0], "x.* 8");
    bench.put("y.ONST", "b");
    let posts = bench.posts();
    assert_eq!(posts[0], "y.* 8");
    assert!(!posts.contains(&"y.VAL 8".to_owned()), "{posts:?}");
}

#[test]
fn only_a_device_has_interrupts() {
    let mut bench = Bench::new(&[("ai", "x", &[]), ("calc", "y", &[])]);
    for scan in ["x.SCAN", "y.SCAN"] {
        bench.put(scan, "I/O Intr");
        assert_eq!(bench.get(scan), "Passive");
    }
    assert!(bench.try_put("x.SCAN", "").is_err());
}

#[test]
fn a_forward_link_that_is_not_connected_raises_no_alarm() {
    let mut bench = Bench::new(&[("ao", "x", &[("FLNK", "elsewhere")])]);
    bench.put("x", 1.0);
    assert_eq!(bench.alarm("x"), "NO_ALARM NO_ALARM");
}

#[test]
fn simulation_mode_that_cannot_be_read_is_a_status_without_severity() {
    let mut bench = Bench::new(&[("longin", "x", &[("SIML", "elsewhere")])]);
    bench.process("x");
    assert_eq!(bench.alarm("x"), "LINK NO_ALARM");
}

#[test]
fn a_device_that_failed_counts_for_who_processed_it() {
    let mut bench = Bench::new(&[
        ("longin", "bad", &[("INP", "elsewhere")]),
        (
            "calc",
            "reads",
            &[("INPA", "bad PP"), ("A", "7"), ("CALC", "A")],
        ),
        ("stringout", "out", &[("OUT", "elsewhere")]),
        ("longout", "writes", &[("OUT", "out PP")]),
    ]);
    bench.process("reads");
    assert_eq!(bench.alarm("reads"), "LINK INVALID");
    assert_eq!(bench.number("reads.A"), 7.0);
    bench.put("writes", 3i32);
    assert_eq!(bench.alarm("writes"), "LINK INVALID");
    assert_eq!(bench.get("out"), "3");
}

#[test]
fn the_message_of_an_alarm_goes_with_its_status() {
    let mut bench = Bench::new(&[
        ("longin", "bad", &[("INP", "elsewhere")]),
        ("calc", "x", &[("INPA", "bad NPP MSS"), ("CALC", "A")]),
    ]);
    bench.process("bad");
    bench.process("x");
    assert_eq!(bench.get("x.AMSG"), "field INP");
}

#[test]
fn an_empty_text_is_a_number_alone_and_none_among_elements() {
    let mut bench = Bench::new(&[
        ("longout", "x", &[]),
        ("waveform", "y", &[("FTVL", "LONG"), ("NELM", "3")]),
        ("histogram", "z", &[("NELM", "3")]),
    ]);
    bench.put("x", "");
    assert!(bench.try_put("y", "").is_err());
    bench.put("z", Array::ULong(vec![5]));
    let (id, field) = bench.records.find_field("z").unwrap();
    assert_eq!(
        bench.records.get(id, field),
        Val::from(Array::ULong(vec![5, 0, 0]))
    );
}

#[test]
fn a_long_text_that_was_never_set_has_no_element() {
    let mut bench = Bench::new(&[
        ("lso", "x", &[]),
        ("printf", "y", &[]),
        ("stringin", "z", &[("INP", "x")]),
    ]);
    for name in ["x", "y", "x.OVAL"] {
        let (id, field) = bench.records.find_field(name).unwrap();
        assert_eq!(bench.records.get(id, field).count(), 0, "{name}");
    }
    bench.process("z");
    assert_eq!(
        bench.alarm("z"),
        "NO_ALARM NO_ALARM",
        "for a link it is empty"
    );
    bench.put("x", "text");
    assert_eq!(bench.get("x"), "text");
}

#[test]
fn a_text_that_was_never_set_writes_no_characters() {
    let mut bench = Bench::new(&[
        ("lso", "x", &[("OUT", "y")]),
        ("aao", "y", &[("FTVL", "CHAR"), ("NELM", "5")]),
    ]);
    bench.process("x");
    assert_eq!(bench.number("y.NORD"), 0.0);
    bench.put("x", "ab");
    assert_eq!(bench.number("y.NORD"), 3.0, "with its NUL");
}

#[test]
fn a_record_is_asked_for_units_by_its_own_links() {
    let mut bench = Bench::new(&[
        (
            "calc",
            "x",
            &[
                ("EGU", "mm"),
                ("PREC", "2"),
                ("HOPR", "7"),
                ("INPA", "x.VAL"),
                ("INPB", "x.B"),
                ("INPC", "y.C"),
            ],
        ),
        (
            "calc",
            "y",
            &[("PREC", "5"), ("INPC", "x.UDF"), ("INPD", "x.HIHI")],
        ),
    ]);
    bench.process("x");
    let meta = |name: &str| {
        let (id, field) = bench.records.find_field(name).unwrap();
        bench.records.meta(id, field)
    };
    let of_val = meta("x.A");
    assert_eq!((&*of_val.units, of_val.precision), (&b"mm"[..], Some(2)));
    assert_eq!(of_val.display, (0.0, 7.0));
    let of_itself = meta("x.LB");
    assert_eq!(
        (&*of_itself.units, of_itself.precision),
        (&b""[..], Some(2))
    );
    assert_eq!(meta("x.C").display, (0.0, 255.0), "by two links");
    assert_eq!(&*meta("y.D").units, b"mm");
}

#[test]
fn the_link_of_an_instrument_takes_no_card() {
    let mut bench = Bench::new(&[("printf", "x", &[("DTYP", "stdio"), ("OUT", "@stdout")])]);
    assert!(bench.try_put("x.OUT", "#C0 S0").is_err());
    assert_eq!(bench.get("x.OUT"), "@stdout");
}

#[test]
fn the_status_of_a_record_is_read_as_a_number_of_64_bits() {
    let mut bench = Bench::new(&[
        ("permissive", "x", &[("SDIS", "3"), ("PINI", "RUNNING")]),
        (
            "int64in",
            "y",
            &[("INP", "x.STAT PP MSS"), ("VAL", "2"), ("LSV", "MINOR")],
        ),
    ]);
    bench.process("y");
    assert_eq!(bench.get("y"), "0");
    assert_eq!(bench.alarm("y"), "LOW MINOR");
}

#[test]
fn a_state_of_two_without_text_is_empty_and_one_beyond_is_illegal() {
    for of in ["bi", "bo"] {
        let mut bench = Bench::new(&[(of, "x", &[("ZNAM", "off")])]);
        for (value, text) in [(0, "off"), (1, ""), (2, "Illegal_Value")] {
            bench.put("x", value);
            assert_eq!(bench.get("x"), text, "{of} {value}");
        }
    }
}

#[test]
fn nothing_written_is_an_alarm_but_where_the_record_says_its_place() {
    let mut bench = Bench::new(&[("ao", "x", &[]), ("mbbo", "m", &[])]);
    bench.put("x", Array::Short(Vec::new()));
    assert_eq!(bench.alarm("x"), "LINK INVALID");
    bench.put("m", Array::Short(Vec::new()));
    assert_eq!(bench.alarm("m"), "NO_ALARM NO_ALARM");
}

#[test]
fn records_begin_in_the_order_of_their_types() {
    let calc = [("PINI", "YES"), ("INPA", "first"), ("CALC", "A")];
    let ao = [("PINI", "YES"), ("OMSL", "closed_loop"), ("DOL", "7")];
    let bench = Bench::new(&[("calc", "second", &calc), ("ao", "first", &ao)]);
    assert_eq!(bench.number("second"), 7.0);
}
