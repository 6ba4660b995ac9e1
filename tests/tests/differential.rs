//! The same records in the IOC of EPICS Base and in ours: `cargo xtask differential` tells many stories of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ca_tests::differential::both::{read_defaults, shrink, tell};
use ca_tests::differential::story::{Put, Story};
use ca_tests::differential::{LIVE, Tally};
use ca_tests::peer::Python;

/// How many seeds, and the first one: what `cargo xtask differential` sets.
const SEEDS: &str = "CANTER_DIFFERENTIAL_SEEDS";
const FIRST: &str = "CANTER_DIFFERENTIAL_FIRST";
/// Seeds by default.
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
    assert!(tally.compared > 75_000, "{tally}");
}

/// The stories of a seed: one of many records, and one of a single record, whose type is the seed's.
fn stories(seed: u64) -> [Story; 2] {
    let of = LIVE[(seed % LIVE.len() as u64) as usize];
    [Story::chains(seed), Story::sweep(seed, of)]
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn random_stories_go_the_same_way() {
    let python = Python::here();
    let first = number(FIRST).unwrap_or(1);
    let mut all = Tally::default();
    for story in (first..first + number(SEEDS).unwrap_or(FEW)).flat_map(stories) {
        // A server that ends on the way is a difference as well, and the other stories are told.
        let told = catch_unwind(AssertUnwindSafe(|| tell(&python, &story)));
        let tally = told.unwrap_or_else(|_| Tally::broken(&story.title));
        let new = tally
            .kinds
            .keys()
            .find(|kind| !all.kinds.contains_key(*kind))
            .cloned();
        if let Some(kind) = new
            && number(SEEDS).is_some()
        {
            println!("{}\n", tally.first.join("\n"));
            println!("links: {:?}\n{}", tally.setting, story.db());
            let mut done: Vec<String> = story.puts.iter().map(Put::to_string).collect();
            done.truncate(tally.reached().unwrap_or(done.len()));
            println!("{}\n", done.join("\n"));
            if std::env::var_os("CANTER_DIFFERENTIAL_SHRINK").is_some() {
                let short = shrink(&python, &story, &kind, 24);
                println!("{}, {kind}: {:?}\n{}", short.title, short.puts, short.db());
            }
        }
        all.add(tally);
    }
    println!("{all}");
    assert!(all.is_equal(), "{all}");
}
