//! Every file of the fuzz corpus for what people write goes through its target's body, with its
//! memory counted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use allocation_counter::measure;

/// What people write: files, arguments and scripts.
fn targets() -> impl Iterator<Item = &'static canter::fuzz::Target> {
    canter::fuzz::TARGETS.iter().chain(ca_proxy::fuzz::TARGETS)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn entries(path: PathBuf) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).expect("a readable folder");
    let mut entries: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    entries.sort();
    entries
}

#[test]
fn every_named_input_is_handled_and_its_beginnings_are() {
    for (name, body, limit) in targets() {
        let files = entries(folder().join("corpus").join(name));
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let data = std::fs::read(&file).expect("a readable file");
            println!("{}", file.display());
            // Large arrays take a while; they are not what a cut is about.
            let from = if data.len() < 2048 { 0 } else { data.len() };
            for end in from..=data.len() {
                let most = measure(|| body(&data[..end])).bytes_max;
                assert!(most <= *limit, "{name} had {most} bytes at one time");
            }
        }
    }
}

#[test]
fn every_folder_and_program_belongs_to_a_target() {
    let ours = targets().map(|(name, ..)| *name);
    let theirs = ca_testkit::fuzz::TARGETS.iter().map(|(name, ..)| *name);
    let known: BTreeSet<_> = ours.chain(theirs).map(str::to_owned).collect();
    for sub in ["corpus", "fuzz_targets"] {
        let stem = |path: PathBuf| path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let there: BTreeSet<_> = entries(folder().join(sub))
            .into_iter()
            .filter_map(stem)
            .collect();
        assert_eq!(there, known, "{sub}");
    }
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).expect("a manifest");
    for name in &known {
        let program = std::fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs")));
        let call = format!("canter_fuzz::run(\"{name}\", data)");
        assert!(program.is_ok_and(|text| text.contains(&call)), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
