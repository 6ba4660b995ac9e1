//! Every file of the fuzz corpus goes through its target's body.

use std::path::{Path, PathBuf};

use ca_testkit::fuzz;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 7] = [
    ("frame", fuzz::frame),
    ("datagram", fuzz::datagram),
    ("dbr", fuzz::dbr),
    ("client_circuit", fuzz::client_circuit),
    ("server_circuit", fuzz::server_circuit),
    ("world", fuzz::world),
    ("addr_list", fuzz::addr_list),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

fn files(target: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder().join(target)).expect("each target has a corpus");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_named_input_is_handled() {
    for (name, body) in TARGETS {
        let files = files(name);
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let data = std::fs::read(&file).expect("a readable file");
            println!("{}", file.display());
            body(&data);
        }
    }
}

#[test]
fn every_named_input_is_handled_truncated_anywhere() {
    for (name, body) in TARGETS.into_iter().filter(|(name, _)| *name != "world") {
        for file in files(name) {
            let data = std::fs::read(&file).expect("a readable file");
            println!("{}", file.display());
            for end in 0..data.len() {
                body(&data[..end]);
            }
        }
    }
}

#[test]
fn every_folder_and_binary_belongs_to_a_target() {
    let known = |name: &str| TARGETS.iter().any(|(target, _)| *target == name);
    for sub in ["corpus", "fuzz_targets"] {
        let path = folder().join("..").join(sub);
        let mut count = 0;
        for entry in std::fs::read_dir(path).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            assert!(stem.is_some_and(known), "{}", path.display());
            count += 1;
        }
        assert_eq!(count, TARGETS.len());
    }
}
