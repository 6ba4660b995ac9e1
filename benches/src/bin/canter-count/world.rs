//! Random stories: clients, IOCs and faults on the virtual network.

use ca_testkit::facility::{Options, run_seed};

use crate::Work;

/// Several, because a change of behaviour makes a single one longer or shorter.
const SEEDS: std::ops::Range<u64> = 1..6;
/// Simulated minutes of each, the recovery not counted.
const MINUTES: f64 = 0.5;

/// Runs stories whose seeds are fixed.
pub(crate) fn stories() -> Work {
    Box::new(|| {
        for seed in SEEDS {
            let options = Options {
                minutes: MINUTES,
                ..Options::default()
            };
            let report = run_seed(seed, &options).expect("no promise is broken");
            assert!(report.updates > 0);
        }
    })
}
