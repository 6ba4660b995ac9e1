//! Random stories: clients, IOCs and faults on the virtual network.

use ca_testkit::random::run_seed;

use crate::Work;

/// Several, because a change of behaviour makes a single one longer or shorter.
const SEEDS: std::ops::Range<u64> = 1..6;
const OPS: usize = 100;

/// Runs stories whose seeds are fixed.
pub(crate) fn stories() -> Work {
    Box::new(|| {
        for seed in SEEDS {
            let report = run_seed(seed, OPS).expect("no promise is broken");
            assert_eq!(report.ops, OPS);
        }
    })
}
