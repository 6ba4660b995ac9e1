//! The examples run.

#[path = "../examples/lost_search.rs"]
mod lost_search;

#[test]
fn a_lost_search() {
    lost_search::main().expect("it finds its PV");
}
