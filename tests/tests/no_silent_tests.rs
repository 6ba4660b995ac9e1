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

#[test]
fn no_test_passes_where_it_tests_nothing() {
    let mut wrong = Vec::new();
    for file in tests() {
        let text = fs::read_to_string(&file).unwrap();
        let excuses = EXCUSES.into_iter().filter(|excuse| text.contains(excuse));
        wrong.extend(excuses.map(|excuse| format!("{}: {excuse}", file.display())));
        // Directly, or through a function that all of a file's tests call.
        let (needs, ignored) = (text.contains(PEERS), text.contains("#[ignore = \"needs "));
        if needs && !ignored {
            wrong.push(format!("{}: {PEERS} without #[ignore]", file.display()));
        }
    }
    wrong.retain(|line| !line.contains(file!()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
