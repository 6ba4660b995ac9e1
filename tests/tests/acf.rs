//! Access security: our decisions beside those of EPICS Base (`asLib`).

use ca_server_sim::access::rules::{Client, Inputs};
use ca_server_sim::load::{InMemory, access_security};
use ca_testkit::world::seed;
use ca_tests::oracle::{self, Dice, hex};
use ca_tests::peer::Python;

const FILES: usize = 3_000;

const USERS: &[&str] = &["alice", "bob", "Alice", "eve"];
const HOSTS: &[&str] = &["cs1", "CS1", "far.example.org", "x"];
const GROUPS: &[&str] = &["DEFAULT", "a", "b", "missing"];

/// Group, level, user and host.
type Question<'a> = (&'a str, i32, &'a str, &'a str);

fn list(dice: &mut Dice, words: &[&'static str]) -> String {
    let count = 1 + dice.roll(3);
    let words: Vec<String> = (0..count)
        .map(|_| match dice.roll(3) {
            0 => format!("\"{}\"", dice.of(words)),
            _ => dice.of(words).into(),
        })
        .collect();
    words.join(dice.of(&[",", ", ", " , "]))
}

/// One of the good ones, and now and then one of the bad ones.
fn mostly(dice: &mut Dice, good: &[&'static str], bad: &[&'static str]) -> &'static str {
    match dice.roll(25) {
        0 => dice.of(bad),
        _ => dice.of(good),
    }
}

fn rule(dice: &mut Dice) -> String {
    let mut text = format!(
        "RULE({},{}{})",
        mostly(dice, &["0", "1", "1", "2"], &["\"1\"", "x", "1x"]),
        mostly(
            dice,
            &["READ", "WRITE", "WRITE", "NONE", "\"READ\""],
            &["1", "UAG"]
        ),
        mostly(
            dice,
            &["", "", ",TRAPWRITE", ",NOTRAPWRITE"],
            &[",TRAP", ",", ",READ,TRAPWRITE"]
        ),
    );
    if dice.roll(3) > 0 {
        text.push('{');
        for _ in 0..1 + dice.roll(3) {
            text.push_str(&match dice.roll(12) {
                0..4 => format!("UAG({})", list(dice, &["u", "v"])),
                4..8 => format!("HAG({})", list(dice, &["h", "g"])),
                8..11 => {
                    let good = ["A", "A=1", "B>A", "A+B", "1", "A?B:1", "0.995"];
                    format!("CALC(\"{}\")", mostly(dice, &good, &["A=", "A:=1;A", ""]))
                }
                _ => mostly(
                    dice,
                    &["CALC(A)", "CALC(\"B\")"],
                    &["NEW(x)", "UAG(nix)", "", "NEW(\"a\",1)"],
                )
                .into(),
            });
        }
        text.push('}');
    }
    text
}

fn file(dice: &mut Dice) -> String {
    let mut text = String::new();
    for (word, name, members) in [
        ("UAG", "u", USERS),
        ("UAG", "v", USERS),
        ("HAG", "h", HOSTS),
        ("HAG", "g", HOSTS),
    ] {
        text.push_str(&match dice.roll(6) {
            0 => format!("{word}({name})\n"),
            _ => format!("{word}({name}) {{{}}}\n", list(dice, members)),
        });
    }
    for name in ["DEFAULT", "a", "b"] {
        if dice.roll(5) == 0 {
            continue;
        }
        text.push_str(&format!("ASG({name})"));
        if dice.roll(8) > 0 {
            text.push_str(" {\n");
            for _ in 0..1 + dice.roll(4) {
                text.push_str(&match dice.roll(5) {
                    0 => format!(
                        "INP{}({})\n",
                        dice.of(&["A", "B", "L"]),
                        dice.of(&["pv", "\"x.VAL\"", "pv.B"])
                    ),
                    _ => rule(dice) + "\n",
                });
            }
            text.push('}');
        }
        text.push_str(dice.of(&["\n", " # note\n", "\r\n"]));
    }
    if dice.roll(12) == 0 {
        text.push_str(dice.of(&[
            "}",
            "ASG(a)",
            "FUTURE(x)\n",
            "FUTURE(x) { y }",
            "UAG(123) {x}",
            "UAG(w) {}",
            "ASG(w) {}",
            "RULE(1,READ)",
            "\"q",
            "ASG(INPA)",
            "UAG(w) {ASG}",
        ]))
    }
    text
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn rights_are_those_that_the_reference_gives() {
    let python = Python::here();
    let mut dice = Dice::new(seed());
    let mut cases = Vec::new();
    for _ in 0..FILES {
        let text = file(&mut dice);
        let values = [dice.of(&[0.0, 1.0, 0.995, 2.0]), dice.of(&[0.0, 1.0, 1.5])];
        let questions: Vec<(&str, i32, &str, &str)> = (0..8)
            .map(|_| {
                (
                    dice.of(GROUPS),
                    dice.roll(3) as i32,
                    dice.of(USERS),
                    dice.of(HOSTS),
                )
            })
            .collect();
        cases.push((text, values, questions));
    }
    let line = |(text, values, questions): &(String, [f64; 2], Vec<Question<'_>>)| {
        let mut line = format!("{} {} {}", hex(text.as_bytes()), values[0], values[1]);
        for (group, level, user, host) in questions {
            line.push_str(&format!(" {group},{level},{user},{host}"));
        }
        line + "\n"
    };
    let answers = oracle::ask(&python, "acf_oracle.py", cases.iter().map(line).collect());
    let (mut good, mut dead, mut different) = (0, 0, Vec::new());
    for ((text, values, questions), theirs) in cases.iter().zip(answers) {
        if theirs == "X" {
            dead += 1;
            continue;
        }
        let files = InMemory::from([("x.acf", text.as_bytes())]);
        let (security, mistakes) = access_security(&files, "x.acf", "");
        let mut inputs = Inputs::default();
        inputs.values[..2].copy_from_slice(values);
        let ours: Vec<String> = questions
            .iter()
            .map(|&(group, level, user, host)| {
                let decision = security.decide(group, level, Client { user, host }, &inputs);
                let trap = if decision.traps_writes { "t" } else { "" };
                format!("{}{trap}", decision.access as u8)
            })
            .collect();
        let ours = match mistakes.has_errors() {
            true => "bad".into(),
            false => ours.join(" "),
        };
        good += usize::from(ours != "bad");
        if ours != theirs {
            different.push(format!("{text}\n-- values {values:?}, {questions:?}\n-- ours: {ours}\n-- theirs: {theirs}\n{mistakes}"));
        }
    }
    println!("{good} of {FILES} files are read; the reference died {dead} times");
    let shown = different
        .iter()
        .take(8)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n\n");
    assert!(different.is_empty(), "{} differ:\n{shown}", different.len());
    assert!(good > FILES / 4);
}
