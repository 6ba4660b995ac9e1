//! The same records in the IOC of EPICS Base and in ours: `cargo xtask differential` tells many stories of them.

use ca_server_sim::record::Schema;
use ca_tests::differential::story::{Story, read_defaults, shrink, tell};
use ca_tests::differential::{LIVE, Tally};
use ca_tests::peer::Python;

/// How many stories, and the first seed: what `cargo xtask differential` sets.
const SEEDS: &str = "CANTER_DIFFERENTIAL_SEEDS";
const FIRST: &str = "CANTER_DIFFERENTIAL_FIRST";
/// Stories that are told by default.
const FEW: u64 = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn every_field_of_a_default_record_is_the_same_in_every_type() {
    let python = Python::here();
    let tally = read_defaults(&python, &LIVE);
    println!("{tally}");
    assert!(tally.is_equal(), "{tally}");
    assert!(tally.compared > 25_000, "{tally}");
}

/// Record types of support modules, which the real IOC at hand has not.
const OF_MODULES: [&str; 10] = [
    "busy",
    "epid",
    "motor",
    "scalcout",
    "scaler",
    "sseq",
    "swait",
    "throttle",
    "timestamp",
    "transform",
];

/// Default records of the types of Base of which no random stories are told yet.
#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn fields_of_all_other_types_are_served() {
    let python = Python::here();
    // Names of types are static here.
    let schema = Schema::base();
    let held: Vec<&'static str> = (schema.types())
        .filter(|of| !LIVE.contains(&&*of.name) && !OF_MODULES.contains(&&*of.name))
        .map(|of| &*Box::leak(of.name.clone()))
        .collect();
    let tally = read_defaults(&python, &held);
    println!("{tally}");
    let different: u64 = tally.kinds.values().map(|(count, _)| count).sum();
    assert!(
        tally.compared > 50_000 && different < tally.compared / 10,
        "{tally}"
    );
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn random_stories_go_the_same_way() {
    let python = Python::here();
    let first = number(FIRST).unwrap_or(1);
    let mut all = Tally::default();
    for seed in first..first + number(SEEDS).unwrap_or(FEW) {
        let story = Story::new(seed);
        let tally = tell(&python, &story);
        let new = tally
            .kinds
            .keys()
            .find(|kind| !all.kinds.contains_key(*kind))
            .cloned();
        if let Some(kind) = new
            && number(SEEDS).is_some()
        {
            let short = shrink(&python, &story, &kind, 24);
            println!("seed {seed}, {kind}: {:?}\n{}", short.puts, short.db());
        }
        all.add(tally);
    }
    println!("{all}");
    assert!(all.is_equal(), "{all}");
}
