//! No test passes because what it needs is missing: it is ignored, with the reason, and fails when it is
//! run nevertheless.

use std::fs;
use std::path::{Path, PathBuf};

/// What tests that need real EPICS begin with.
const PEERS: &str = "Python::here()";
/// Ways to say in passing that nothing was tested.
const EXCUSES: [&str; 3] = [
    concat!("println!(\"not ", "run"),
    concat!("Python::find", "() else"),
    concat!("let Ok(python) = ", "Python"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The tests of all rooms.
fn tests() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for room in fs::read_dir(root).unwrap() {
        sources(&room.unwrap().path().join("tests"), &mut found);
    }
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

/// A function of a file of tests.
struct Function<'a> {
    name: &'a str,
    /// The lines of attributes right above it.
    attributes: String,
    body: &'a str,
}

/// Functions at any depth, each to the line that closes it: what stands at the indentation of `fn`.
fn functions(text: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    let (mut attributes, mut start) = (String::new(), 0);
    for line in text.split_inclusive('\n') {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let signature = code.trim_start_matches("pub(crate) ");
        let signature = signature
            .trim_start_matches("pub ")
            .trim_start_matches("async ");
        if let Some(rest) = signature.strip_prefix("fn ") {
            let name = rest
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next();
            let body = &text[start..];
            let end = format!("\n{indent}}}\n");
            let body = body.find(&end).map_or(body, |end| &body[..end]);
            found.push(Function {
                name: name.unwrap_or_default(),
                attributes: std::mem::take(&mut attributes),
                body,
            });
        } else if code.starts_with("#[") {
            attributes += code;
        } else if !code.starts_with("//") {
            attributes.clear();
        }
        start += line.len();
    }
    found
}

/// The tests of a file that need real EPICS, directly or through functions of the file, and are not ignored.
fn unguarded(text: &str) -> Vec<&str> {
    let functions = functions(text);
    let mut needing: Vec<&str> = Vec::new();
    loop {
        let before = needing.len();
        for function in &functions {
            let calls = |name: &&str| function.body.contains(&format!("{name}("));
            let new = !needing.contains(&function.name);
            if new && (function.body.contains(PEERS) || needing.iter().any(calls)) {
                needing.push(function.name);
            }
        }
        if needing.len() == before {
            break;
        }
    }
    let wrong = functions.iter().filter(|function| {
        let is_test = function.attributes.contains("test]");
        let ignored = function.attributes.contains("#[ignore = \"needs ");
        is_test && !ignored && needing.contains(&function.name)
    });
    wrong.map(|function| function.name).collect()
}

#[test]
fn each_test_is_looked_at() {
    let text = format!(
        "fn helper() {{\n    {PEERS};\n}}\n\nfn more() {{\n    helper();\n}}\n\n\
         #[test]\n#[ignore = \"needs real EPICS\"]\nfn told() {{\n    more();\n}}\n\n\
         #[test]\nfn silent() {{\n    more();\n}}\n\n#[test]\nfn plain() {{\n    other();\n}}\n"
    );
    assert_eq!(unguarded(&text), ["silent"]);
}

#[test]
fn no_test_passes_where_it_tests_nothing() {
    let mut wrong = Vec::new();
    for file in tests() {
        let text = fs::read_to_string(&file).unwrap();
        let excuses = EXCUSES.into_iter().filter(|excuse| text.contains(excuse));
        wrong.extend(excuses.map(|excuse| format!("{}: {excuse}", file.display())));
        let tests = unguarded(&text).into_iter();
        wrong.extend(tests.map(|test| format!("{}: {test} without #[ignore]", file.display())));
    }
    wrong.retain(|line| !line.contains(file!()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
