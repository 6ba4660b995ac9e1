//! Every file of the fuzz corpus goes through its target's body, with its memory counted.

use std::path::{Path, PathBuf};

use allocation_counter::measure;
use ca_testkit::fuzz::{TARGETS, Target};

fn files(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let entries = std::fs::read_dir(folder.join(target)).expect("each target has a corpus");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    files
}

fn run((name, body, limit): &Target, data: &[u8]) {
    let most = measure(|| body(data)).bytes_max;
    assert!(most <= *limit, "{name} had {most} bytes at one time");
}

#[test]
fn every_named_input_is_handled() {
    for target in TARGETS {
        let files = files(target.0);
        assert!(!files.is_empty(), "{} has no corpus", target.0);
        for file in files {
            let data = std::fs::read(&file).expect("a readable file");
            println!("{}", file.display());
            run(target, &data);
        }
    }
}

#[test]
fn every_named_input_is_handled_truncated_anywhere() {
    // A story is long, and a beginning of it is another story.
    let short = |target: &&Target| !["world", "both_circuits"].contains(&target.0);
    for target in TARGETS.iter().filter(short) {
        for file in files(target.0) {
            let data = std::fs::read(&file).expect("a readable file");
            println!("{}", file.display());
            for end in 0..data.len() {
                run(target, &data[..end]);
            }
        }
    }
}
