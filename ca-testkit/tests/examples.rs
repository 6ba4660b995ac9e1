//! The examples run.
#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/world.rs"]
mod world_example;

#[test]
fn world() {
    // The IOC starts with the value that it was described with.
    assert_eq!(world_example::run(), [1.0, 2.0, 1.0]);
}
