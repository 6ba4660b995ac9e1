//! The files and folders that the pages name exist.

use std::fs;
use std::path::{Path, PathBuf};

/// The first part of a path into this repository.
const ROOMS: [&str; 12] = [
    "benches",
    "ca-client",
    "ca-kit",
    "ca-net",
    "ca-proto",
    "ca-server-sim",
    "ca-testkit",
    "canter",
    "canter-py",
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

/// Documents that people who have this repository do not have, spelled so that this file does not name them.
const FOREIGN: [&str; 7] = [
    concat!("wire-and", "-server"),
    concat!("client-and", "-tools"),
    concat!("field", "-facts"),
    concat!("features", ".md"),
    concat!("design", ".md"),
    concat!("ecosystem", ".md"),
    concat!("peers", ".md"),
];

/// The text files that are written by hand.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let end = path.extension().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "corpus", "artifacts"].contains(&&*name) {
                sources(&path, found);
            }
        } else if ["rs", "md", "py", "toml", "hpp", "cpp"].contains(&&*end) {
            found.push(path);
        }
    }
}

/// What looks like a section of a document that is called by a short name: "`name` 1.2".
fn cites_a_section(line: &str) -> bool {
    let mut parts = line.split('`').skip(1);
    while let (Some(name), Some(behind)) = (parts.next(), parts.clone().next()) {
        let named = !name.is_empty()
            && name.contains('-')
            && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let section = behind.strip_prefix(' ').unwrap_or_default();
        let number = section.split(|c: char| !c.is_ascii_digit()).next();
        let is_number = number.is_some_and(|digits| !digits.is_empty());
        if named
            && is_number
            && section
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .starts_with('.')
        {
            return true;
        }
        parts.next();
    }
    false
}

/// A reader can look up every source that is cited: the specification, a function of EPICS Base, or a page
/// of this repository.
#[test]
fn no_comment_cites_a_document_that_is_not_here() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.len() > 400, "only {} files were found", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (at, line) in text.lines().enumerate() {
            let foreign = FOREIGN.iter().any(|name| line.contains(name));
            if foreign || cites_a_section(line) {
                wrong.push(format!("{}:{}: {}", file.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cites_a_section(concat!("see `some-text` ", "6.5")));
    assert!(!cites_a_section("`ca-proto` 0 and `x` 1.5"));
}
