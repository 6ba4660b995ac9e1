//! Plans that bytes describe, as a fuzzer makes them.

use std::collections::HashSet;
use std::mem::discriminant;

use ca_testkit::facility::{Plan, run};
use proptest::prelude::*;

#[test]
fn any_bytes_are_a_plan() {
    for len in 0..40 {
        let plan = Plan::from_bytes(&vec![0xa5; len]);
        assert_eq!(plan.steps.len(), len.saturating_sub(4).div_ceil(6));
    }
}

/// What stories from seeds do, bytes can ask for too.
#[test]
fn bytes_ask_for_every_kind_of_operation() {
    // With records and without.
    let kinds = (0..=255u8).flat_map(|kind| {
        [0, 0x20].map(|hosts| {
            let plan = Plan::from_bytes(&[hosts, 0, 0, 0, kind, 1, 2, 3, 4, 5]);
            discriminant(&plan.steps[0].op)
        })
    });
    let drawn = (0..200).flat_map(|seed| {
        let plan = Plan::draw(seed, &Default::default());
        plan.steps.into_iter().map(|step| discriminant(&step.op))
    });
    assert_eq!(kinds.collect::<HashSet<_>>(), drawn.collect::<HashSet<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn promises_hold_in_stories_from_bytes(data in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Err(failure) = run(&Plan::from_bytes(&data)) {
            panic!("{failure}");
        }
    }
}
