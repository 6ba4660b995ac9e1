//! `calcout`, `sel`, `dfanout`, `seq`, `event`: what goes where.

use super::*;

#[test]
fn calcout_writes_when_its_option_says() {
    let mut bench = Bench::new(&[
        ("ao", "a", &[]),
        (
            "calcout",
            "c",
            &[
                ("CALC", "A>2"),
                ("INPA", "a"),
                ("OUT", "n.PROC"),
                ("OOPT", "Transition To Non-zero"),
            ],
        ),
        ("calc", "n", &[("CALC", "VAL+1")]),
    ]);
    for (value, count) in [(1.0, 0.0), (3.0, 1.0), (4.0, 1.0), (0.0, 1.0), (5.0, 2.0)] {
        bench.put("a", value);
        bench.process("c");
        assert_eq!(bench.number("n"), count, "{value}");
    }
}

#[test]
fn calcout_waits_and_calculates_its_output() {
    let mut bench = Bench::new(&[
        (
            "calcout",
            "c",
            &[
                ("CALC", "A"),
                ("OCAL", "A*2"),
                ("DOPT", "Use OCAL"),
                ("ODLY", "1"),
                ("OUT", "to"),
                ("OEVT", "go"),
            ],
        ),
        ("longout", "to", &[]),
        (
            "calc",
            "n",
            &[("CALC", "VAL+1"), ("SCAN", "Event"), ("EVNT", "go")],
        ),
    ]);
    bench.put("c.A", 4.0);
    assert_eq!(
        (bench.get("c.DLYA").as_str(), bench.number("to")),
        ("1", 0.0)
    );
    bench.wait(1.0);
    assert_eq!(
        (
            bench.get("c.DLYA").as_str(),
            bench.number("to"),
            bench.number("n")
        ),
        ("0", 8.0, 1.0)
    );
    bench.put("c.CALC", "A+");
    assert_eq!(bench.number("c.CLCV"), -1.0);
    assert_eq!(bench.get("c.OUTV"), "Local PV");
}

#[test]
fn sel_takes_one_of_its_inputs() {
    let mut bench = Bench::new(&[
        ("ao", "a", &[("VAL", "3")]),
        (
            "sel",
            "s",
            &[
                ("INPA", "a"),
                ("INPB", "7"),
                ("INPC", "5"),
                ("SELM", "High Signal"),
            ],
        ),
    ]);
    for (mode, value, number) in [
        ("High Signal", 7.0, 1.0),
        ("Low Signal", 3.0, 0.0),
        ("Median Signal", 5.0, 3.0),
    ] {
        bench.put("s.SELM", mode);
        bench.process("s");
        assert_eq!(
            (bench.number("s"), bench.number("s.SELN")),
            (value, number),
            "{mode}"
        );
    }
    bench.put("s.SELM", "Specified");
    bench.put("s.SELN", 2);
    bench.process("s");
    assert_eq!(bench.number("s"), 5.0);
    bench.put("s.SELN", 12);
    bench.process("s");
    assert_eq!(bench.alarm("s"), "SOFT INVALID");
}

#[test]
fn dfanout_writes_where_it_is_told() {
    let mut bench = Bench::new(&[
        (
            "dfanout",
            "d",
            &[
                ("OUTA", "a"),
                ("OUTB", "b"),
                ("OUTP", "p"),
                ("SELM", "Specified"),
            ],
        ),
        ("ao", "a", &[]),
        ("ao", "b", &[]),
        ("ao", "p", &[]),
    ]);
    bench.put("d.SELN", 2);
    bench.put("d", 4.0);
    bench.put("d.SELN", 16);
    bench.put("d", 5.0);
    assert_eq!(
        (bench.number("a"), bench.number("b"), bench.number("p")),
        (0.0, 4.0, 5.0)
    );
    bench.put("d.SELM", "Mask");
    bench.put("d.SELN", 3);
    bench.put("d", 6.0);
    assert_eq!(
        (bench.number("a"), bench.number("b"), bench.number("p")),
        (6.0, 6.0, 5.0)
    );
    bench.put("d.OUTA", "gone");
    bench.put("d", 7.0);
    assert_eq!(
        (bench.alarm("d").as_str(), bench.number("b")),
        ("LINK INVALID", 7.0)
    );
}

#[test]
fn seq_writes_one_after_another() {
    let mut bench = Bench::new(&[
        (
            "seq",
            "s",
            &[
                ("DO0", "1"),
                ("LNK0", "a PP"),
                ("DLY1", "2"),
                ("DOL1", "a"),
                ("LNK1", "b PP"),
                ("FLNK", "n"),
            ],
        ),
        ("ao", "a", &[]),
        ("ao", "b", &[]),
        ("calc", "n", &[("CALC", "VAL+1")]),
    ]);
    bench.process("s");
    assert_eq!(
        (
            bench.number("a"),
            bench.number("b"),
            bench.get("s.PACT").as_str()
        ),
        (1.0, 0.0, "1")
    );
    bench.put("a", 9.0);
    bench.wait(2.0);
    assert_eq!(
        (
            bench.number("b"),
            bench.number("n"),
            bench.get("s.PACT").as_str()
        ),
        (9.0, 1.0, "0")
    );
    bench.put("s.SELM", "Specified");
    bench.put("s.SELN", 20);
    bench.process("s");
    assert_eq!(
        (bench.alarm("s").as_str(), bench.number("n")),
        ("SOFT INVALID", 2.0)
    );
}

#[test]
fn an_event_record_posts_its_event() {
    let mut bench = Bench::new(&[
        ("event", "e", &[]),
        (
            "calc",
            "n",
            &[("CALC", "VAL+1"), ("SCAN", "Event"), ("EVNT", "shot")],
        ),
    ]);
    bench.put("e", "shot");
    bench.process("e");
    assert_eq!(bench.number("n"), 1.0);
    bench.put("e", "other");
    bench.process("e");
    assert_eq!(bench.number("n"), 1.0);
}
