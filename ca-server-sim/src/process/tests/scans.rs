//! When records are processed by themselves.

use super::*;

#[test]
fn a_disabled_record_is_not_processed() {
    let mut bench = Bench::new(&[
        ("bo", "off", &[]),
        (
            "calc",
            "x",
            &[("CALC", "VAL+1"), ("SDIS", "off"), ("DISS", "MINOR")],
        ),
    ]);
    bench.process("x");
    bench.put("off", 1u32);
    bench.process("x");
    bench.process("x");
    assert_eq!(bench.number("x"), 1.0);
    assert_eq!(bench.alarm("x"), "DISABLE MINOR");
    bench.put("off", 0u32);
    bench.process("x");
    assert_eq!(
        (bench.number("x"), bench.alarm("x").as_str()),
        (2.0, "NO_ALARM NO_ALARM")
    );
}

#[test]
fn records_are_scanned_by_period_and_phase() {
    let mut bench = Bench::new(&[
        (
            "calc",
            "late",
            &[
                ("CALC", "A"),
                ("INPA", "early"),
                ("SCAN", ".5 second"),
                ("PHAS", "1"),
            ],
        ),
        ("calc", "early", &[("CALC", "VAL+1"), ("SCAN", ".5 second")]),
        ("calc", "slow", &[("CALC", "VAL+1"), ("SCAN", "2 second")]),
    ]);
    for _ in 0..4 {
        bench.wait(0.5);
        assert_eq!(bench.number("late"), bench.number("early"));
    }
    assert_eq!((bench.number("early"), bench.number("slow")), (4.0, 1.0));
    bench.put("early.SCAN", "Passive");
    bench.put("slow.SCAN", ".5 second");
    bench.wait(0.5);
    assert_eq!((bench.number("early"), bench.number("slow")), (4.0, 2.0));
    // What was missed is left out.
    bench.wait(100.0);
    assert_eq!(bench.number("slow"), 3.0);
    assert_eq!(
        bench.records.poll_timeout(),
        bench.now.checked_add(Duration::from_millis(500))
    );
}

#[test]
fn records_wait_for_events_and_the_start() {
    let mut bench = Bench::new(&[
        (
            "calc",
            "numbered",
            &[("CALC", "VAL+1"), ("SCAN", "Event"), ("EVNT", "12.7")],
        ),
        (
            "calc",
            "named",
            &[
                ("CALC", "VAL+1"),
                ("SCAN", "Event"),
                ("EVNT", " beam "),
                ("PRIO", "HIGH"),
            ],
        ),
        ("calc", "start", &[("CALC", "VAL+1"), ("PINI", "YES")]),
        ("calc", "stamped", &[("CALC", "VAL+1"), ("TSE", "12")]),
    ]);
    assert_eq!(bench.number("start"), 1.0);
    bench.wait(1.0);
    let time = bench.clock();
    bench.records.post_event("12");
    bench.records.post_event("beam");
    bench.records.post_event("other");
    bench.run();
    assert_eq!(
        (bench.number("numbered"), bench.number("named")),
        (1.0, 1.0)
    );
    bench.wait(1.0);
    bench.posts();
    bench.process("stamped");
    // What was written itself is told before.
    let last = bench.records.take_posts().last().map(|post| post.time);
    assert_eq!(last, Some(time));
}
