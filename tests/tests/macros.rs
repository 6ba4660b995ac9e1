//! Macros: ours beside those of EPICS Base (`macLib`).

use ca_server_sim::load::{MacroProblemKind, Macros};
use ca_testkit::world::seed;
use ca_tests::oracle::{self, Dice, hex};
use ca_tests::peer::Python;

const TEXTS: usize = 6_000;

const NAMES: &[&str] = &["A", "B", "C", "AB", "P", "Q"];
/// None opens a reference: where one is not closed the reference reads beyond its text.
const WORDS: &[&str] = &[
    "A", "B", "C", "AB", "x", "1", " ", ",", "=", "$", "$$", ")", "}", "\"", "'", "\\", "\\$",
    "$(A)", "${B}", ":", ".",
];

fn soup(dice: &mut Dice, most: usize) -> String {
    (0..dice.roll(most)).map(|_| dice.of(WORDS)).collect()
}

/// A text whose references are whole.
fn text(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 || dice.roll(5) == 0 {
        return dice
            .of(&[
                "x", "SR", ":", "1", "\"a b\"", "'$(A)'", "\\\"", "", "{$(D)-", "(y)",
            ])
            .into();
    }
    let (a, b) = (text(dice, depth - 1), text(dice, depth - 1));
    let name = dice.of(NAMES);
    match dice.roll(6) {
        0 => format!("$({name})"),
        1 => format!("${{{name}}}"),
        2 => format!("$({name}={a})"),
        3 => format!("$({name},{}={a})", dice.of(NAMES)),
        4 => format!("$({name}={a},{}={b})", dice.of(NAMES)),
        _ => format!("{a}{b}"),
    }
}

fn definitions(dice: &mut Dice) -> String {
    let one = |dice: &mut Dice| match dice.roll(6) {
        0 => dice
            .of(&["A", "AB", "A B=x", "\"P\"='a,b'", "Q=\\,", "=", "\\A=\\\\"])
            .into(),
        _ => format!("{}={}", dice.of(NAMES), text(dice, 2)),
    };
    let many: Vec<String> = (0..dice.roll(5)).map(|_| one(dice)).collect();
    many.join(dice.of(&[",", ", ", " , ", ",,"]))
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn macros_are_expanded_as_by_the_reference() {
    let python = Python::here();
    let mut dice = Dice::new(seed());
    let mut cases = Vec::new();
    for _ in 0..TEXTS {
        let defined = definitions(&mut dice);
        let text = match dice.roll(3) {
            0 if cases.len() % 8 == 0 => soup(&mut dice, 10),
            _ => text(&mut dice, 3),
        };
        cases.push((defined, text));
    }
    let line = |(defined, text): &(String, String)| {
        format!("{} {}\n", hex(defined.as_bytes()), hex(text.as_bytes()))
    };
    let answers = oracle::ask(&python, "macro_oracle.py", cases.iter().map(line).collect());
    let (mut expanded, mut dead) = (0, 0);
    for ((defined, text), theirs) in cases.iter().zip(answers) {
        if theirs == "X" {
            dead += 1;
            continue;
        }
        let mut macros = Macros::new();
        macros.define(defined);
        let ours = macros.expand(text);
        let found = format!(
            "{} {}",
            hex(&ours.text),
            u8::from(!ours.problems.is_empty())
        );
        expanded += usize::from(ours.problems.is_empty());
        // Which macro of a ring is named depends on where the reference began to expand it.
        let ring = hex(b",recursive)");
        if theirs.contains(&ring) {
            assert!(!ours.problems.is_empty(), "{text:?} with {defined:?}");
            continue;
        }
        let shown = ours.text.escape_ascii();
        assert_eq!(
            found, theirs,
            "{text:?} with {defined:?} became \"{shown}\""
        );
    }
    println!("{expanded} of {TEXTS} texts without a problem; the reference died {dead} times");
    assert!(expanded > TEXTS / 4);
}

#[test]
fn macros_that_grow_without_end_are_bounded() {
    let mut macros = Macros::new();
    macros.set("A0", "0123456789");
    for level in 1..40 {
        let before = level - 1;
        macros.set(format!("A{level}"), format!("$(A{before})$(A{before})"));
    }
    let expanded = macros.expand("$(A39)");
    assert_eq!(
        expanded.problems.last().map(|problem| problem.kind),
        Some(MacroProblemKind::TooLarge)
    );
    let deep = format!("{}x{}", "$(A".repeat(10_000), ")".repeat(10_000));
    let expanded = macros.expand(deep);
    assert_eq!(
        expanded.problems.last().map(|problem| problem.kind),
        Some(MacroProblemKind::TooLarge)
    );
}
