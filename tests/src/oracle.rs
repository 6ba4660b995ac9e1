//! Functions of EPICS Base as judges: lines of questions, lines of answers.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use crate::peer::Python;

/// What a script of `peers` answers to all questions together, one a line.
///
/// # Panics
/// If the script cannot be run, fails, or leaves a question out.
pub fn ask(python: &Python, script: &str, questions: String) -> Vec<String> {
    let asked = questions.lines().count();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(script);
    let mut child = Command::new(python.program())
        .arg(script)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || stdin.write_all(questions.as_bytes()));
    let output = child.wait_with_output().expect("the oracle ends");
    writer.join().expect("written").expect("written");
    assert!(output.status.success(), "the oracle failed");
    let text = String::from_utf8(output.stdout).expect("ASCII");
    let answers: Vec<String> = text.lines().map(Into::into).collect();
    assert_eq!(answers.len(), asked, "one answer to each question");
    answers
}

/// Dice that fall the same way for the same seed (xorshift).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed.
    pub const fn new(seed: u64) -> Self {
        // Never 0, from which it would not get away.
        Self((0x9e37_79b9_7f4a_7c15 ^ seed) | 1 << 63)
    }

    /// A number below `sides`.
    pub const fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    /// One of these.
    pub const fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())]
    }
}

/// Bytes as hex digits, `-` for none.
pub fn hex(bytes: &[u8]) -> String {
    match bytes {
        [] => "-".into(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
