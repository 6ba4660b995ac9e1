//! Filters of channels: the same names in the IOC of EPICS Base and in ours.

use ca_tests::differential::{Tally, filters};
use ca_tests::peer::Python;

const STORIES: u64 = 1;
const NAMES: usize = 120;
const STEPS: usize = 40;

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn channels_with_filters_tell_the_same() {
    let python = Python::here();
    let first = std::env::var("CANTER_DIFFERENTIAL_FIRST").ok();
    let first = first.and_then(|first| first.parse().ok()).unwrap_or(1);
    let mut all = Tally::default();
    for seed in first..first + STORIES {
        all.add(filters::tell(&python, seed, NAMES, STEPS));
    }
    println!("{all}");
    assert!(all.is_equal(), "{all}");
    assert!(all.compared > 2_000, "{all}");
}
