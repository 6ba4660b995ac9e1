//! What it costs to find the PVs of a small facility. `cargo xtask finding` does it with a million names.

use ca_bench::finding::{self, Plant, libca};

#[test]
fn ours_finds_sooner_with_no_more_datagrams_than_libca() {
    let plant = Plant {
        names: 10_000,
        servers: 50,
    };
    let (ours, libca) = (finding::ours(&plant), libca::libca(&plant));
    let table = finding::table(&plant, &ours, &libca);
    println!("{table}");
    for (ours, libca) in [(ours.cold, libca.cold), (ours.storm, libca.storm)] {
        assert!(ours.last <= libca.last, "{table}");
        assert!(ours.datagrams <= libca.datagrams, "{table}");
    }
    let snapshot = include_str!("finding.txt");
    assert_eq!(
        table, snapshot,
        "is it for the better? Then write it into benches/tests/finding.txt:\n{table}"
    );
}
