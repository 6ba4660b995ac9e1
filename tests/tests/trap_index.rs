//! `ca-proto/TRAPS.md` is complete, and the tests that it names exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows of the tables: number and the tests named, as `file::function`.
fn rows(text: &str) -> BTreeMap<&str, Vec<(&str, &str)>> {
    let row = |line| -> Option<(&str, Vec<(&str, &str)>)> {
        let cells: Vec<&str> = str::split(line, '|').map(str::trim).collect();
        let &[_, number, _, tests, _] = &cells[..] else {
            return None;
        };
        let tests = tests.split('`').skip(1).step_by(2);
        let tests = tests.filter_map(|test| test.split_once(".rs::")).collect();
        number
            .ends_with(|c: char| c.is_ascii_digit())
            .then_some((number, tests))
    };
    text.lines().filter_map(row).collect()
}

/// Whether a test function of this name stands in the text of a file, or the name in its list of stories that
/// run on each runtime.
fn has_test(source: &str, name: &str) -> bool {
    let listed = source.split("\non_each! {\n").nth(1).unwrap_or_default();
    let mut listed = listed.lines().take_while(|line| *line != "}");
    if !name.is_empty() && listed.any(|line| line.trim() == name) {
        return true;
    }
    let mut lines = source.lines().map(str::trim);
    let attribute = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
    let function = format!("fn {name}(");
    while lines.by_ref().any(attribute) {
        let next = lines.by_ref().find(|line| line.contains("fn "));
        if next.is_some_and(|line| line.contains(&function)) {
            return true;
        }
    }
    false
}

#[test]
fn every_trap_has_a_test_that_exists() {
    let text = fs::read_to_string(root().join("ca-proto/TRAPS.md")).unwrap();
    let rows = rows(&text);
    let all = [("W", 65), ("C", 50), ("D", 15)];
    let wanted = all.map(|(kind, n)| (1..=n).map(move |n| format!("{kind}{n}")));
    let mut missing = Vec::new();
    for number in wanted.into_iter().flatten() {
        let tests = rows.get(number.as_str()).map_or(&[][..], Vec::as_slice);
        if tests.is_empty() {
            missing.push(format!("{number} has no test"));
        }
        for (file, name) in tests {
            let source = fs::read_to_string(root().join(format!("{file}.rs")));
            if !source.is_ok_and(|source| has_test(&source, name)) {
                missing.push(format!("{number}: there is no {file}.rs::{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert_eq!(rows.len(), 65 + 50 + 15);
}

#[test]
fn only_test_functions_count() {
    let source = "#[test]\nfn a() {\nfn inner() {}\n}\nfn b() {}\n#[tokio::test]\nasync fn c() {";
    assert!(has_test(source, "a") && has_test(source, "c"));
    assert!(!has_test(source, "b") && !has_test(source, "inner") && !has_test(source, ""));
    let listed = "macro_rules! on_each { }\n\non_each! {\n    a\n    b\n}\n\nfn c() {}\n    d\n";
    assert!(has_test(listed, "a") && has_test(listed, "b"));
    assert!(!has_test(listed, "c") && !has_test(listed, "d") && !has_test(listed, ""));
}
