//! The program `canter`, built as the tests are.

use std::path::PathBuf;
use std::process::Command;

/// Its path.
///
/// # Panics
/// If it cannot be built.
pub fn canter() -> PathBuf {
    // Built already, by who runs the tests of all crates: a build of this program alone would choose other
    // features of the libraries, and so compile them all again.
    if let Some(built) = std::env::var_os("CANTER_PROGRAM") {
        return built.into();
    }
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "canter", "--bin", "canter"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(built.is_ok_and(|status| status.success()), "{build:?}");
    let test = std::env::current_exe().expect("the path of the test");
    let folder = test.parent().and_then(|deps| deps.parent());
    let folder = folder.expect("the folder of the build");
    folder.join(format!("canter{}", std::env::consts::EXE_SUFFIX))
}
