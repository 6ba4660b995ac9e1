//! The files and folders that the pages name exist.

use std::fs;
use std::path::{Path, PathBuf};

/// The first part of a path into this repository.
const ROOMS: [&str; 10] = [
    "benches",
    "ca-client",
    "ca-net",
    "ca-proto",
    "ca-server-sim",
    "ca-testkit",
    "canter",
    "docs",
    "tests",
    "xtask",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<PathBuf> {
    let in_folder = |folder: PathBuf| {
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "md"))
    };
    in_folder(root())
        .chain(in_folder(root().join("docs/src")))
        .chain([root().join("ca-proto/TRAPS.md")])
        .collect()
}

/// What stands between backquotes on one line and looks like a path into this repository.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|text| {
        let room = text.split_once('/').map(|(room, _)| room);
        room.is_some_and(|room| ROOMS.contains(&room))
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c))
    })
}

#[test]
fn every_path_in_the_pages_exists() {
    let mut seen = 0;
    let mut missing = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for path in paths(&text) {
            seen += 1;
            if !root().join(path).exists() {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(
        seen > 20,
        "only {seen} paths were found: does the test still read the pages?"
    );
}
