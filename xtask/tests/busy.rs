//! The busy program beside the tests ends with whoever started it.

use std::process::{Command, Stdio};

#[test]
fn a_busy_program_ends_when_its_standard_input_does() {
    let mut busy = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["busy", "--core", "0"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(busy.try_wait().unwrap(), None, "it is busy");
    drop(busy.stdin.take());
    assert!(busy.wait().unwrap().success());
}
