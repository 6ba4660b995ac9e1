//! What sets what in motion.

use super::*;

#[test]
fn a_chain_of_forward_links_has_any_length_and_ends_with_a_turn() {
    let count = 20_000;
    let mut records = Records::new(Arc::new(Schema::base()));
    for n in 0..count {
        let id = records.add("calc", &format!("c{n}")).unwrap();
        records.set_field(id, "CALC", "A+1").unwrap();
        records
            .set_field(id, "FLNK", &format!("c{}", n + 1))
            .unwrap();
        if n > 0 {
            records
                .set_field(id, "INPA", &format!("c{}", n - 1))
                .unwrap();
        }
    }
    records.start(Instant::ZERO, Timestamp::UNDEFINED);
    records.process(0);
    let mut turns = 0;
    while records.has_work() {
        records.run(&mut Turn::new(1000));
        turns += 1;
    }
    assert!((60..200).contains(&turns), "{turns}");
    assert_eq!(
        records
            .get(count - 1, records.type_of(0).value.unwrap())
            .as_f64(),
        f64::from(count)
    );
}

#[test]
fn a_chain_of_inputs_has_any_length() {
    let count = 20_000;
    let mut records = Records::new(Arc::new(Schema::base()));
    for n in 0..count {
        let id = records.add("calc", &format!("c{n}")).unwrap();
        records.set_field(id, "CALC", "A+1").unwrap();
        if n > 0 {
            records
                .set_field(id, "INPA", &format!("c{} PP", n - 1))
                .unwrap();
        }
    }
    records.start(Instant::ZERO, Timestamp::UNDEFINED);
    records.process(count - 1);
    records.run(&mut Turn::unlimited());
    assert_eq!(
        records
            .get(count - 1, records.type_of(0).value.unwrap())
            .as_f64(),
        f64::from(count)
    );
}

#[test]
fn loops_of_links_end_where_a_record_is_active() {
    let mut bench = Bench::new(&[
        (
            "calc",
            "a",
            &[("CALC", "VAL+1"), ("FLNK", "b"), ("INPA", "c PP")],
        ),
        ("calc", "b", &[("CALC", "VAL+1"), ("FLNK", "a")]),
        ("calc", "c", &[("CALC", "VAL+1"), ("INPA", "a PP")]),
    ]);
    for n in 1..=20 {
        bench.process("a");
        assert_eq!(
            [bench.number("a"), bench.number("b"), bench.number("c")],
            [f64::from(n); 3]
        );
        assert_eq!(bench.get("a.PACT"), "0");
    }
    assert_eq!(bench.alarm("a"), "NO_ALARM NO_ALARM");
}

#[test]
fn a_put_is_complete_when_all_that_it_set_in_motion_is() {
    let mut bench = Bench::new(&[
        ("ao", "x", &[("FLNK", "slow")]),
        (
            "ai",
            "slow",
            &[
                ("SIMM", "YES"),
                ("SIOL", "x"),
                ("SDLY", "3"),
                ("FLNK", "end"),
            ],
        ),
        ("calc", "end", &[("CALC", "VAL+1")]),
    ]);
    let (id, field) = bench.records.find_field("x").unwrap();
    let first = bench.records.put_notify(id, field, Val::Double(1.0));
    bench.run();
    let second = bench.records.put_notify(id, field, Val::Double(2.0));
    bench.run();
    assert_eq!(bench.number("x"), 2.0, "x itself is done");
    // The second put found `slow` busy, and asked for it to be processed again.
    assert_eq!(
        (
            bench.get("slow.PACT").as_str(),
            bench.get("slow.RPRO").as_str()
        ),
        ("1", "1")
    );
    let done = |bench: &mut Bench| bench.records.take_completions().collect::<Vec<_>>();
    assert_eq!(
        done(&mut bench),
        [Completion {
            id: second,
            result: Ok(())
        }]
    );
    bench.wait(3.0);
    assert_eq!(
        done(&mut bench),
        [Completion {
            id: first,
            result: Ok(())
        }]
    );
    assert_eq!(bench.number("end"), 1.0);
    bench.wait(3.0);
    assert_eq!((bench.number("end"), bench.number("slow")), (2.0, 2.0));
}

#[test]
fn a_put_to_a_busy_record_waits_with_notify_and_processes_again_without() {
    let mut bench = Bench::new(&[
        ("ao", "x", &[("SIMM", "YES"), ("SIOL", "to"), ("SDLY", "1")]),
        ("ao", "to", &[]),
    ]);
    let (id, field) = bench.records.find_field("x").unwrap();
    let first = bench.records.put_notify(id, field, Val::Double(1.0));
    bench.run();
    let second = bench.records.put_notify(id, field, Val::Double(2.0));
    bench.run();
    assert_eq!(bench.number("x"), 1.0, "not written yet");
    bench.wait(1.0);
    assert_eq!((bench.number("to"), bench.number("x")), (1.0, 2.0));
    bench.wait(1.0);
    let done: Vec<_> = bench
        .records
        .take_completions()
        .map(|done| done.id)
        .collect();
    assert_eq!(done, [first, second]);
    bench.put("x", 3.0);
    bench.put("x", 4.0);
    assert_eq!(
        (bench.number("x"), bench.get("x.RPRO").as_str()),
        (4.0, "1")
    );
    bench.wait(1.0);
    bench.wait(1.0);
    assert_eq!(
        (bench.number("to"), bench.get("x.PACT").as_str()),
        (4.0, "0")
    );
}

#[test]
fn outputs_in_closed_loop_follow_dol_and_ivoa_guards_them() {
    let mut bench = Bench::new(&[
        ("ao", "set", &[("VAL", "4")]),
        (
            "ao",
            "x",
            &[
                ("DOL", "set"),
                ("OMSL", "closed_loop"),
                ("OIF", "Incremental"),
                ("OUT", "to"),
            ],
        ),
        ("ao", "to", &[]),
        (
            "longout",
            "bad",
            &[
                ("DOL", "gone"),
                ("OMSL", "closed_loop"),
                ("OUT", "to"),
                ("IVOA", "Set output to IVOV"),
                ("IVOV", "9"),
            ],
        ),
        (
            "bo",
            "dont",
            &[
                ("DOL", "gone"),
                ("OMSL", "closed_loop"),
                ("OUT", "to"),
                ("IVOA", "Don't drive outputs"),
            ],
        ),
    ]);
    bench.process("x");
    bench.process("x");
    assert_eq!((bench.number("x"), bench.number("to")), (8.0, 8.0));
    bench.process("dont");
    assert_eq!(
        (bench.number("to"), bench.alarm("dont").as_str()),
        (8.0, "LINK INVALID")
    );
    bench.process("bad");
    assert_eq!(
        (bench.number("to"), bench.alarm("bad").as_str()),
        (9.0, "LINK INVALID")
    );
}

#[test]
fn a_fanout_processes_what_it_selects() {
    let counters: [(&str, &str, Fields<'_>); 3] = ["a", "b", "c"].map(|name| {
        (
            "calc",
            name,
            [("CALC", "VAL+1")].as_slice().to_vec().leak() as Fields<'_>,
        )
    });
    let mut all = vec![(
        "fanout",
        "f",
        &[("LNK0", "a"), ("LNK1", "b"), ("LNK2", "c")] as Fields<'_>,
    )];
    all.extend(counters);
    let mut bench = Bench::new(&all);
    let counts = |bench: &Bench| ["a", "b", "c"].map(|name| bench.number(name));
    bench.process("f");
    assert_eq!(counts(&bench), [1.0, 1.0, 1.0]);
    bench.put("f.SELM", "Specified");
    bench.process("f");
    assert_eq!(counts(&bench), [1.0, 2.0, 1.0], "SELN is 1");
    bench.put("f.SELM", "Mask");
    bench.put("f.SELN", 0b101u32);
    bench.put("f.SHFT", 0i16);
    bench.process("f");
    assert_eq!(counts(&bench), [2.0, 2.0, 2.0]);
    bench.put("f.SHFT", 16i16);
    bench.process("f");
    assert_eq!(
        (counts(&bench), bench.alarm("f").as_str()),
        ([2.0, 2.0, 2.0], "SOFT INVALID")
    );
}
