//! The `motor` record and its simulated axis.

use super::*;

const AXIS: Fields<'_> = &[
    ("VELO", "2"),
    ("VBAS", "0.5"),
    ("ACCL", "0.5"),
    ("MRES", "0.001"),
    ("EGU", "mm"),
    ("PREC", "3"),
    ("HLM", "10"),
    ("LLM", "-10"),
    ("DHLM", "10"),
    ("DLLM", "-10"),
    ("TWV", "0.5"),
    ("JVEL", "1"),
    ("HVEL", "1"),
];

fn bench(more: Fields<'_>) -> Bench {
    let fields: Vec<_> = AXIS.iter().chain(more).copied().collect();
    Bench::new(&[
        ("motor", "m", &fields),
        ("calc", "ends", &[("CALC", "VAL+1")]),
    ])
}

impl Bench {
    /// Waits until the motion has ended; how long it took.
    fn until_done(&mut self) -> f64 {
        for step in 0..2000 {
            if self.number("m.DMOV") == 1.0 && self.number("m.MOVN") == 0.0 {
                return f64::from(step) * 0.01;
            }
            self.wait(0.01);
        }
        panic!("the motion does not end at {}", self.get("m.RBV"));
    }
}

#[test]
fn it_moves_and_says_when_it_is_done() {
    let mut bench = bench(&[("FLNK", "ends")]);
    assert_eq!(bench.get("m.DMOV"), "1");
    bench.put("m", 3.0);
    assert_eq!(
        (bench.get("m.DMOV").as_str(), bench.number("m.RBV")),
        ("0", 0.0)
    );
    bench.wait(0.5);
    let under_way = bench.number("m.RBV");
    assert!((0.3..1.0).contains(&under_way), "{under_way}");
    assert_eq!(
        (bench.get("m.MOVN").as_str(), bench.number("ends")),
        ("1", 0.0)
    );
    // 2 x 0.5 s of ramps for 1.25 mm, and 1.75 mm at 2 mm/s
    let took = 0.5 + bench.until_done();
    assert!((1.86..1.9).contains(&took), "{took}");
    assert_eq!((bench.number("m.RBV"), bench.number("m.DIFF")), (3.0, 0.0));
    assert_eq!(
        (bench.get("m.RVAL").as_str(), bench.number("ends")),
        ("3000", 1.0)
    );
    assert_eq!(bench.alarm("m"), "NO_ALARM NO_ALARM");
}

#[test]
fn dmov_blinks_even_if_it_does_not_move() {
    let mut bench = bench(&[]);
    bench.posts();
    bench.put("m", 0.0);
    let posts = bench.posts();
    let dmov: Vec<_> = posts.iter().filter(|post| post.contains("DMOV")).collect();
    assert_eq!(dmov.len(), 2, "{posts:?}");
    assert_eq!(bench.get("m.DMOV"), "1");
}

/// Clients that wait for DMOV take each 1 for the end of a motion: there is one for each, whatever it is made of, and
/// what comes behind it belongs to the next.
#[test]
fn a_motion_ends_once() {
    let backlash: Fields<'_> = &[("BDST", "0.5"), ("BVEL", "0.5"), ("BACC", "0.2")];
    let retries: Fields<'_> = &[
        ("URIP", "Yes"),
        ("RDBL", "scale PP"),
        ("RRES", "0.001"),
        ("RTRY", "10"),
        ("RDBD", "0.002"),
        ("DLY", "0.2"),
    ];
    let all: Vec<_> = backlash.iter().chain(retries).copied().collect();
    let cases: [(&str, Fields<'_>); 4] = [
        ("plain", &[]),
        ("backlash", backlash),
        ("retries", retries),
        ("both", &all),
    ];
    for (case, more) in cases {
        let fields: Vec<_> = AXIS.iter().chain(more).copied().collect();
        let mut bench = Bench::new(&[
            ("calc", "scale", &[("CALC", "A*0.9"), ("INPA", "m.RMP")]),
            ("motor", "m", &fields),
        ]);
        for target in [1.0, 3.0, 2.5, 2.501, 2.5, 2.5, -4.0] {
            bench.posts();
            bench.put("m", target);
            bench.until_done();
            let tries = bench.number("m.RCNT");
            bench.wait(2.0);
            let posts = bench.posts();
            let of = |field| posts.iter().rposition(|post| post.contains(field));
            // The first motion ends the alarm of a record without a value, which is told for all fields.
            let is_change = |post: &&String| post.starts_with("m.DMOV") && !post.ends_with(" 4");
            let dmov = posts.iter().filter(is_change).count();
            assert_eq!(dmov, 2, "{case}, to {target}, {tries} tries: {posts:?}");
            assert!(
                of("m.RBV") <= of("m.DMOV"),
                "{case}, to {target}: {posts:?}"
            );
            assert!(
                of("m.MOVN") <= of("m.DMOV"),
                "{case}, to {target}: {posts:?}"
            );
        }
    }
}

#[test]
fn a_put_with_notify_is_complete_when_the_motion_is() {
    let mut bench = bench(&[]);
    let (id, field) = bench.records.find_field("m").unwrap();
    bench.records.put_notify(id, field, Val::Double(1.0));
    bench.run();
    bench.wait(0.3);
    assert_eq!(bench.records.take_completions().count(), 0);
    bench.until_done();
    assert_eq!(bench.records.take_completions().count(), 1);
}

#[test]
fn soft_limits_refuse_a_target() {
    let mut bench = bench(&[("HLSV", "MAJOR")]);
    bench.put("m", 11.0);
    assert_eq!(
        (bench.number("m"), bench.get("m.LVIO").as_str()),
        (0.0, "1")
    );
    assert_eq!(bench.get("m.DMOV"), "1");
    bench.put("m", 1.0);
    assert_eq!(bench.get("m.LVIO"), "0");
    bench.until_done();
    bench.put("m.HLM", 5.0);
    assert_eq!(
        (bench.number("m.DHLM"), bench.number("m.RHLM")),
        (5.0, 5000.0)
    );
    let meta = {
        let (id, field) = bench.records.find_field("m.VAL").unwrap();
        bench.records.meta(id, field)
    };
    assert_eq!(
        (meta.control, &*meta.units),
        ((-10.0, 5.0), b"mm".as_slice())
    );
}

#[test]
fn a_stop_makes_it_stay_where_it_is() {
    let mut bench = bench(&[]);
    bench.put("m", 8.0);
    bench.wait(1.0);
    bench.put("m.STOP", 1);
    assert_eq!(
        (bench.get("m.STOP").as_str(), bench.get("m.DMOV").as_str()),
        ("0", "0")
    );
    bench.until_done();
    let at = bench.number("m.RBV");
    assert!((1.0..3.0).contains(&at), "{at}");
    assert_eq!((bench.number("m"), bench.number("m.DVAL")), (at, at));
}

#[test]
fn pause_and_go_go_on_to_the_target() {
    let mut bench = bench(&[]);
    bench.put("m", 4.0);
    bench.wait(0.5);
    bench.put("m.SPMG", "Pause");
    bench.wait(2.0);
    let at = bench.number("m.RBV");
    assert!((0.3..2.0).contains(&at), "{at}");
    bench.put("m.SPMG", "Go");
    bench.until_done();
    assert_eq!((bench.number("m.RBV"), bench.number("m")), (4.0, 4.0));
}

#[test]
fn backlash_is_taken_out_from_one_side() {
    let mut bench = bench(&[("BDST", "0.5"), ("BVEL", "0.5"), ("BACC", "0.2")]);
    bench.put("m", 2.0);
    let mut farthest = 0f64;
    while bench.get("m.DMOV") == "0" {
        bench.wait(0.05);
        farthest = farthest.max(bench.number("m.RBV"));
    }
    assert_eq!((bench.number("m.RBV"), farthest), (2.0, 2.0));
    bench.put("m", 1.0);
    let mut nearest = 2f64;
    while bench.get("m.DMOV") == "0" {
        bench.wait(0.05);
        nearest = nearest.min(bench.number("m.RBV"));
    }
    assert!((0.49..0.51).contains(&nearest), "{nearest}");
    assert_eq!(bench.number("m.RBV"), 1.0);
}

#[test]
fn user_dial_and_raw_coordinates_agree() {
    let mut bench = bench(&[("OFF", "1"), ("DIR", "Neg")]);
    bench.put("m", 3.0);
    bench.until_done();
    assert_eq!(
        (
            bench.number("m.DVAL"),
            bench.number("m.RVAL"),
            bench.number("m.RBV")
        ),
        (-2.0, -2000.0, 3.0)
    );
    bench.put("m.RVAL", -1000);
    bench.until_done();
    assert_eq!((bench.number("m"), bench.number("m.DRBV")), (2.0, -1.0));
    bench.put("m.SET", "Set");
    bench.put("m", 10.0);
    assert_eq!((bench.number("m.OFF"), bench.number("m.RBV")), (9.0, 10.0));
    assert_eq!(bench.number("m.DRBV"), -1.0, "it does not move");
    bench.put("m.FOFF", "Frozen");
    bench.put("m", 9.0);
    bench.until_done();
    assert_eq!((bench.number("m.DRBV"), bench.number("m.OFF")), (0.0, 9.0));
    bench.put("m.SET", "Use");
    bench.put("m.RLV", 0.5);
    bench.until_done();
    assert_eq!(bench.number("m.RBV"), 9.5);
}

#[test]
fn it_tweaks_jogs_and_finds_home() {
    let mut bench = bench(&[]);
    bench.put("m.TWF", 1);
    bench.until_done();
    assert_eq!(
        (bench.number("m.RBV"), bench.get("m.TWF").as_str()),
        (0.5, "0")
    );
    bench.put("m.TWR", 1);
    bench.put("m.TWR", 1);
    bench.until_done();
    assert_eq!(bench.number("m.RBV"), -0.5, "both of them");
    bench.put("m.JOGF", 1);
    bench.wait(1.0);
    assert_eq!(
        (bench.get("m.DMOV").as_str(), bench.get("m.MOVN").as_str()),
        ("0", "1")
    );
    bench.put("m.JOGF", 0);
    bench.until_done();
    let at = bench.number("m.RBV");
    assert!((0.5..2.0).contains(&at), "{at}");
    assert_eq!(bench.number("m"), at);
    bench.put("m.HOMR", 1);
    bench.until_done();
    assert_eq!(
        (bench.number("m.RBV"), bench.get("m.HOMR").as_str()),
        (0.0, "0")
    );
    assert_eq!(
        (bench.number("m"), bench.get("m.ATHM").as_str()),
        (0.0, "1")
    );
}

#[test]
fn a_jog_ends_at_soft_limits() {
    let mut bench = bench(&[]);
    bench.put("m.JOGF", 1);
    for _ in 0..1500 {
        bench.wait(0.01);
    }
    let at = bench.number("m.RBV");
    assert!((8.9..10.0).contains(&at), "{at}");
    assert_eq!(
        (bench.get("m.DMOV").as_str(), bench.get("m.JOGF").as_str()),
        ("1", "0")
    );
}

#[test]
fn limit_switches_stop_it() {
    let fields: Vec<_> = AXIS.iter().copied().chain([("HLSV", "MAJOR")]).collect();
    let mut records = Records::new(Arc::new(Schema::base()));
    let id = records.add("motor", "m").unwrap();
    for (field, value) in fields {
        records.set_field(id, field, value).unwrap();
    }
    records.set_info(id, "hardHigh", "2");
    let mut bench = Bench {
        records,
        now: Instant::ZERO,
    };
    let clock = bench.clock();
    bench.records.start(bench.now, clock);
    bench.run();
    bench.put("m", 5.0);
    bench.until_done();
    assert_eq!(
        (bench.number("m.RBV"), bench.get("m.HLS").as_str()),
        (2.0, "1")
    );
    assert_eq!(bench.alarm("m"), "HIGH MAJOR");
    bench.put("m", 1.0);
    bench.until_done();
    assert_eq!(
        (bench.number("m.RBV"), bench.get("m.HLS").as_str()),
        (1.0, "0")
    );
}

#[test]
fn a_new_target_in_the_other_direction_turns_it_round() {
    let mut bench = bench(&[]);
    bench.put("m", 5.0);
    bench.wait(1.0);
    bench.put("m", -1.0);
    bench.until_done();
    assert_eq!((bench.number("m.RBV"), bench.number("m")), (-1.0, -1.0));
}

#[test]
fn a_readback_of_its_own_is_followed_with_retries() {
    let mut bench = Bench::new(&[
        ("calc", "scale", &[("CALC", "A*0.9"), ("INPA", "m.RMP")]),
        (
            "motor",
            "m",
            &[
                ("VELO", "5"),
                ("ACCL", "0.1"),
                ("MRES", "0.01"),
                ("URIP", "Yes"),
                ("RDBL", "scale PP"),
                ("RRES", "0.01"),
                ("RTRY", "10"),
                ("RDBD", "0.02"),
                ("DLY", "0.2"),
            ],
        ),
    ]);
    bench.put("m", 2.0);
    bench.until_done();
    let (at, tries) = (bench.number("m.RBV"), bench.number("m.RCNT"));
    assert!(
        (at - 2.0).abs() <= 0.02 && tries >= 1.0,
        "{at} after {tries}"
    );
    assert_eq!(
        (bench.get("m.MISS").as_str(), bench.get("m.DMOV").as_str()),
        ("0", "1")
    );
}

#[test]
fn speeds_are_kept_in_their_range_and_agree() {
    let mut bench = bench(&[("VMAX", "4")]);
    bench.put("m.VELO", 9.0);
    assert_eq!((bench.number("m.VELO"), bench.number("m.S")), (4.0, 20.0));
    bench.put("m.VBAS", 5.0);
    assert_eq!((bench.number("m.VMAX"), bench.number("m.VELO")), (5.0, 5.0));
    bench.put("m.ACCL", 0.0);
    assert_eq!(bench.number("m.ACCL"), 0.1);
    bench.put("m.MRES", 0.002);
    bench.until_done();
    assert_eq!(
        (bench.number("m.UREV"), bench.number("m.VELO")),
        (0.4, 10.0)
    );
}
