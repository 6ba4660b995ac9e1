//! Access security: the same `.acf` file in the IOC of EPICS Base and in ours.

use ca_tests::differential::{Tally, access};
use ca_tests::peer::Python;

/// Files, each with its story.
const STORIES: u64 = 6;
const STEPS: usize = 60;

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn clients_are_told_the_same_rights_and_their_puts_end_the_same_way() {
    let python = Python::here();
    let first = std::env::var("CANTER_DIFFERENTIAL_FIRST").ok();
    let first = first.and_then(|first| first.parse().ok()).unwrap_or(1);
    let mut all = Tally::default();
    for seed in first..first + STORIES {
        all.add(access::tell(&python, seed, STEPS));
    }
    println!("{all}");
    assert!(all.is_equal(), "{all}");
    assert!(all.compared > 1_500, "{all}");
}
