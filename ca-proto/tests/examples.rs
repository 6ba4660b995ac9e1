//! The examples run.
#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/decode.rs"]
mod decode_example;

#[test]
fn decode() {
    let told = decode_example::run();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[1].starts_with("ReadNotify"), "{told:#?}");
    assert!(told[3].contains("READ_NOTIFY"), "{told:#?}");
}
