//! Record types of the common support modules: busy, swait, transform, sseq.

use super::*;

fn put_notify(bench: &mut Bench, name: &str, val: impl Into<Val>) {
    let (id, field) = bench.records.find_field(name).unwrap();
    bench.records.put_notify(id, field, val.into());
    bench.run();
}

fn complete(bench: &mut Bench) -> usize {
    bench.records.take_completions().count()
}

#[test]
fn a_busy_record_is_complete_when_it_is_0_again() {
    let mut bench = Bench::new(&[
        ("busy", "b", &[("FLNK", "ends"), ("OUT", "to PP")]),
        ("longout", "to", &[]),
        ("calc", "ends", &[("CALC", "VAL+1")]),
    ]);
    assert_eq!(bench.get("b"), "Done");
    put_notify(&mut bench, "b", "Busy");
    assert_eq!(
        (
            complete(&mut bench),
            bench.number("ends"),
            bench.number("to")
        ),
        (0, 0.0, 1.0)
    );
    bench.put("b", 0);
    assert_eq!(
        (
            complete(&mut bench),
            bench.number("ends"),
            bench.number("to")
        ),
        (1, 1.0, 0.0)
    );
}

#[test]
fn a_busy_pulse_ends_by_itself() {
    let mut bench = Bench::new(&[("busy", "b", &[("HIGH", "1.5")])]);
    put_notify(&mut bench, "b", 1);
    bench.wait(1.4);
    assert_eq!(complete(&mut bench), 0);
    bench.wait(0.2);
    assert_eq!((complete(&mut bench), bench.get("b").as_str()), (1, "Done"));
}

#[test]
fn swait_follows_the_inputs_that_it_is_told_to() {
    let mut bench = Bench::new(&[
        ("ao", "a", &[]),
        ("ao", "b", &[]),
        (
            "swait",
            "w",
            &[
                ("INAN", "a"),
                ("INBN", "b.VAL"),
                ("INBP", "No"),
                ("CALC", "A+B"),
                ("OUTN", "to"),
                ("SCAN", "I/O Intr"),
                ("OOPT", "On Change"),
                ("FLNK", "ends"),
            ],
        ),
        ("longout", "to", &[]),
        ("calc", "ends", &[("CALC", "VAL+1")]),
    ]);
    assert_eq!(
        (bench.get("w.INAV"), bench.get("w.INCV")),
        ("PV OK".into(), "No PV".into())
    );
    bench.put("b", 5.0);
    assert_eq!(bench.number("w"), 0.0);
    bench.put("a", 2.0);
    assert_eq!(
        (bench.number("w"), bench.number("to"), bench.number("ends")),
        (7.0, 7.0, 1.0)
    );
    bench.put("w.SCAN", "Passive");
    bench.put("a", 3.0);
    assert_eq!(bench.number("w"), 7.0);
    bench.put("w.INAN", "gone");
    bench.process("w");
    assert_eq!(
        (bench.get("w.INAV").as_str(), bench.alarm("w").as_str()),
        ("PV BAD", "READ INVALID")
    );
}

#[test]
fn swait_waits_for_what_it_has_set_in_motion() {
    let mut bench = Bench::new(&[
        (
            "swait",
            "w",
            &[
                ("CALC", "1"),
                ("OUTN", "b"),
                ("ODLY", "0.5"),
                ("FLNK", "ends"),
            ],
        ),
        ("busy", "b", &[]),
        ("calc", "ends", &[("CALC", "VAL+1")]),
    ]);
    put_notify(&mut bench, "w.PROC", 1);
    assert_eq!(bench.get("b"), "Done");
    bench.wait(0.6);
    assert_eq!(
        (bench.get("b").as_str(), bench.number("ends")),
        ("Busy", 0.0)
    );
    bench.put("b", 0);
    assert_eq!((bench.number("ends"), complete(&mut bench)), (1.0, 1));
}

#[test]
fn transform_calculates_what_nobody_gave() {
    let mut bench = Bench::new(&[
        ("ao", "in", &[("VAL", "2")]),
        (
            "transform",
            "t",
            &[
                ("INPA", "in"),
                ("CLCA", "99"),
                ("CLCB", "A*10"),
                ("CLCC", "B+1"),
                ("OUTC", "out PP"),
            ],
        ),
        ("longout", "out", &[]),
    ]);
    bench.process("t");
    assert_eq!(
        (
            bench.number("t.A"),
            bench.number("t.B"),
            bench.number("t.C"),
            bench.number("out")
        ),
        (2.0, 20.0, 21.0, 21.0)
    );
    bench.put("t.B", 5.0);
    assert_eq!((bench.number("t.B"), bench.number("t.C")), (5.0, 6.0));
    assert!(bench.try_put("t.A", 1.0).is_err(), "INPA gives it");
    bench.put("t.CLCB", "A+");
    assert_eq!(bench.number("t.CBV"), -1.0);
    assert_eq!(
        (bench.get("t.IAV").as_str(), bench.get("t.IBV").as_str()),
        ("Local PV", "Constant")
    );
}

#[test]
fn sseq_moves_numbers_and_texts_with_delays() {
    let mut bench = Bench::new(&[
        ("stringout", "text", &[("VAL", "from here")]),
        ("stringin", "to", &[]),
        ("ao", "number", &[]),
        (
            "sseq",
            "s",
            &[
                ("DOL1", "text"),
                ("LNK1", "to"),
                ("DLY2", "1"),
                ("STR2", "3.5 mm"),
                ("DOL2", ""),
                ("LNK2", "number PP"),
                ("PREC", "2"),
            ],
        ),
    ]);
    bench.process("s");
    assert_eq!(
        (bench.get("to").as_str(), bench.get("s.BUSY").as_str()),
        ("from here", "1")
    );
    assert_eq!(bench.number("number"), 0.0);
    bench.wait(1.0);
    assert_eq!(
        (bench.number("number"), bench.get("s.BUSY").as_str()),
        (3.5, "0")
    );
    bench.put("s.DO2", 4.0);
    assert_eq!(bench.get("s.STR2"), "4.00");
    bench.process("s");
    bench.put("s.ABORT", 1);
    assert_eq!(bench.get("s.ABORTING"), "1");
    bench.wait(1.0);
    assert_eq!(
        (bench.number("number"), bench.get("s.ABORT").as_str()),
        (3.5, "0")
    );
}

#[test]
fn sseq_waits_for_what_is_written_through_channel_access() {
    let mut bench = Bench::new(&[
        ("busy", "b", &[]),
        ("longout", "after", &[]),
        (
            "sseq",
            "s",
            &[
                ("DO1", "1"),
                ("LNK1", "b CA"),
                ("WAIT1", "Wait"),
                ("DO2", "7"),
                ("LNK2", "after PP"),
            ],
        ),
    ]);
    bench.process("s");
    assert_eq!(
        (bench.get("b").as_str(), bench.get("s.WTG1").as_str()),
        ("Busy", "1")
    );
    assert_eq!(bench.number("after"), 0.0);
    bench.put("b", 0);
    assert_eq!(
        (bench.number("after"), bench.get("s.BUSY").as_str()),
        (7.0, "0")
    );
}

#[test]
fn a_scaler_counts_for_its_preset_time() {
    let mut bench = Bench::new(&[
        ("scaler", "s", &[("FREQ", "1000000"), ("FLNK", "ends")]),
        ("calc", "ends", &[("CALC", "VAL+1")]),
    ]);
    bench.put("s.TP", 0.5);
    put_notify(&mut bench, "s.CNT", 1);
    bench.wait(0.25);
    let counts = bench.number("s.S2");
    assert!((150.0..300.0).contains(&counts), "{counts}");
    assert_eq!(
        (
            complete(&mut bench),
            bench.get("s.CNT").as_str(),
            bench.number("ends")
        ),
        (0, "Count", 0.0)
    );
    bench.wait(0.3);
    assert_eq!(
        (
            complete(&mut bench),
            bench.get("s.CNT").as_str(),
            bench.number("ends")
        ),
        (1, "Done", 1.0)
    );
    assert_eq!(
        (
            bench.number("s.S1"),
            bench.number("s.S2"),
            bench.number("s.S3")
        ),
        (500_000.0, 500.0, 1000.0)
    );
    assert_eq!((bench.number("s.T"), bench.number("s")), (0.5, 0.5));
    bench.put("s.PR3", 400);
    bench.put("s.CNT", 1);
    bench.wait(0.21);
    assert_eq!(
        (bench.get("s.CNT").as_str(), bench.number("s.S3")),
        ("Done", 400.0)
    );
    bench.put("s.TP", 100.0);
    bench.put("s.G3", 0);
    bench.put("s.CNT", 1);
    bench.wait(2.0);
    bench.put("s.CNT", 0);
    assert_eq!((bench.number("s.S2"), bench.number("s.T")), (2000.0, 2.0));
}

#[test]
fn feedback_reaches_its_set_point() {
    let mut bench = Bench::new(&[
        ("ao", "heat", &[]),
        (
            "calc",
            "plant",
            &[("CALC", "VAL+(A-VAL)*0.2"), ("INPA", "heat")],
        ),
        (
            "epid",
            "pid",
            &[
                ("INP", "plant PP"),
                ("OUTL", "heat PP"),
                ("KP", "0.5"),
                ("KI", "2"),
                ("DRVH", "100"),
                ("DRVL", "0"),
                ("FBON", "On"),
                ("SCAN", ".1 second"),
                ("VAL", "20"),
            ],
        ),
    ]);
    for _ in 0..300 {
        bench.wait(0.1);
    }
    let reached = bench.number("plant");
    assert!((reached - 20.0).abs() < 0.1, "{reached}");
    bench.put("pid", 500.0);
    for _ in 0..300 {
        bench.wait(0.1);
    }
    assert_eq!(bench.number("pid.OVAL"), 100.0);
}

#[test]
fn a_timestamp_is_the_time_as_a_text() {
    let mut bench = Bench::new(&[("timestamp", "t", &[("TST", "HH:MM:SS")])]);
    bench.process("t");
    assert_eq!(bench.get("t"), "08:00:00");
    bench.wait(61.0);
    bench.put("t.TST", "DD-Mon-YYYY HH:MM:SS");
    bench.process("t");
    assert_eq!(bench.get("t"), "15-Jan-2027 08:01:01");
}

#[test]
fn a_throttle_sends_the_newest_value_when_its_time_has_come() {
    let mut bench = Bench::new(&[
        (
            "throttle",
            "t",
            &[
                ("OUT", "to.A PP"),
                ("DLY", "1"),
                ("DRVLH", "10"),
                ("DRVLL", "0"),
                ("DRVLC", "On"),
            ],
        ),
        ("calc", "to", &[("CALC", "B:=B+1;A")]),
    ]);
    for value in [1.0, 2.0, 30.0] {
        bench.put("t", value);
    }
    assert_eq!(
        (
            bench.number("to"),
            bench.number("to.B"),
            bench.get("t.WAIT").as_str()
        ),
        (1.0, 1.0, "True")
    );
    bench.wait(1.0);
    assert_eq!(
        (
            bench.number("to"),
            bench.number("to.B"),
            bench.get("t.WAIT").as_str()
        ),
        (10.0, 2.0, "False")
    );
    assert_eq!(
        (bench.get("t.DRVLS"), bench.get("t.STS")),
        ("Normal".into(), "Success".into())
    );
}

#[test]
fn a_limit_that_is_no_number_limits_nothing() {
    let mut bench = Bench::new(&[("throttle", "t", &[("DRVLC", "1"), ("DRVLH", "5")])]);
    bench.put("t.DRVLL", f64::NAN);
    bench.put("t", 9.0);
    assert_eq!(bench.number("t"), 5.0);
    bench.put("t.DRVLL", 2.0);
    bench.put("t.DRVLH", f64::NAN);
    bench.put("t", 1.0);
    assert_eq!(bench.number("t"), 2.0);
}

#[test]
fn sseq_says_where_it_cannot_wait() {
    let mut bench = Bench::new(&[
        (
            "sseq",
            "s",
            &[
                ("LNK1", "to CA"),
                ("WAIT1", "Wait"),
                ("LNK2", "to"),
                ("DOL3", "far"),
            ],
        ),
        ("ao", "to", &[]),
    ]);
    assert_eq!(
        (bench.number("s.WERR1"), bench.number("s.WERR2")),
        (0.0, 0.0)
    );
    assert_eq!(
        (bench.get("s.LNK1V").as_str(), bench.get("s.DOL3V").as_str()),
        ("Local PV", "Ext PV NC")
    );
    bench.put("s.WAIT2", "After3");
    assert_eq!(bench.number("s.WERR2"), 1.0);
    assert!(bench.posts().contains(&"s.WERR2 1".to_owned()));
    bench.put("s.LNK2", "to CA");
    assert_eq!(bench.number("s.WERR2"), 0.0);
}

#[test]
fn feedback_has_its_input_measured_before_it_reads_it() {
    for (trigger, waits) in [("measure.PROC", false), ("measure.PROC CA", true)] {
        let mut bench = Bench::new(&[
            (
                "epid",
                "pid",
                &[
                    ("DTYP", "Async Soft Channel"),
                    ("TRIG", trigger),
                    ("TVAL", "1"),
                    ("INP", "measure"),
                    ("VAL", "5"),
                    ("KP", "1"),
                    ("DRVH", "100"),
                    ("DRVL", "-100"),
                ],
            ),
            ("calc", "measure", &[("CALC", "VAL+1")]),
        ]);
        bench.process("pid");
        bench.run();
        assert_eq!(
            (bench.number("pid.CVAL"), bench.number("pid.ERR")),
            (1.0, 4.0),
            "{waits}"
        );
    }
}
