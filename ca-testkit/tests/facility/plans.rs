//! Plans: the same from the same seed, on paper, and made shorter.

use ca_testkit::facility::{Op, Options, Plan, run, run_seed, shrink_while, tell};

fn minutes(minutes: f64) -> Options {
    Options {
        minutes,
        ..Options::default()
    }
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    for seed in 0..8 {
        let report = run_seed(seed, &minutes(2.0)).unwrap();
        assert_eq!(run_seed(seed, &minutes(2.0)).unwrap(), report);
        // Looking on changes nothing.
        let told = tell(&Plan::draw(seed, &minutes(2.0)));
        assert_eq!(told.result.unwrap(), report);
        assert!(told.trace.len() > 100 && told.story.len() >= report.steps);
        assert_ne!(
            run_seed(seed + 100, &minutes(2.0)).unwrap().hash,
            report.hash
        );
    }
}

#[test]
fn a_plan_survives_being_written_down() {
    let plan = Plan::draw(3, &minutes(1.0));
    let text = serde_json::to_string(&plan).unwrap();
    let again: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(again, plan);
    assert_eq!(run(&again), run(&plan));
}

/// As if a promise were broken whenever an IOC is moved after somebody has subscribed to large
/// arrays.
#[test]
fn a_plan_is_shrunk_to_what_matters() {
    let breaks = |plan: &Plan| {
        let mut steps = plan.steps.iter().map(|step| step.op);
        steps.any(|op| matches!(op, Op::Subscribe { name, .. } if name >= 5))
            && steps.any(|op| matches!(op, Op::Move { .. }))
    };
    let options = minutes(10.0);
    let seed = (0..).find(|&seed| breaks(&Plan::draw(seed, &options)));
    let seed = seed.expect("some story has both");
    let long = Plan::draw(seed, &options);
    let (plan, runs) = shrink_while(seed, &options, breaks);
    assert!(long.steps.len() > 200 && runs < 1000, "{runs}");
    let shape = &plan.shape;
    assert_eq!((shape.clients, shape.iocs, shape.subnets), (1, 1, 1));
    assert_eq!((shape.hostile, shape.gateway), (0, false));
    let [first, second] = plan.steps[..] else {
        panic!("{:?}", plan.steps);
    };
    assert!(
        matches!(
            first.op,
            Op::Subscribe {
                client: 0,
                name: 5,
                ..
            }
        ),
        "{first:?}"
    );
    assert_eq!((second.after_ms, second.op), (0, Op::Move { ioc: 0 }));
}

#[test]
fn stories_without_faults_lose_nothing() {
    let options = Options {
        faults: false,
        hostile: Some(0),
        ..minutes(5.0)
    };
    for seed in 0..10 {
        let report = run_seed(seed, &options).unwrap();
        // Nobody was ever away; a name of the gateway is found after the one behind it.
        assert!(report.recovery.as_secs() <= 2 * 61, "{report:?}");
    }
}
