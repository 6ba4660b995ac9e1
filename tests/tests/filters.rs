//! Filters of channels: the same names in the IOC of EPICS Base and in ours.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

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
    let stories = std::env::var("CANTER_DIFFERENTIAL_FILTERS").ok();
    let stories = stories.and_then(|count| count.parse().ok());
    for seed in first..first + stories.unwrap_or(STORIES) {
        let names = filters::names(seed, NAMES);
        let tell = |names: &[String]| filters::tell(&python, seed, names, STEPS);
        let ends = |names: &[String]| catch_unwind(AssertUnwindSafe(|| tell(names)));
        match ends(&names) {
            Ok(tally) => all.add(tally),
            Err(panic) if stories.is_none() => resume_unwind(panic),
            Err(_) => {
                let guilty = filters::shrink(seed, names, |names| ends(names).is_ok());
                println!("seed {seed} breaks off with {guilty:#?}");
                all.add(Tally::broken(&format!("filters {seed}")));
            }
        }
    }
    println!("{all}");
    assert!(all.is_equal(), "{all}");
    assert!(all.compared > 2_000, "{all}");
}
