//! All that a change must pass.

use crate::{coverage, instructions, models, platforms, publish, reexports, steps, test, world};

/// Runs every check and prints a summary.
///
/// # Errors
/// Names the number of failed steps.
pub(crate) fn run(options: &test::Options) -> Result<(), String> {
    let mut all = steps::Steps::default();
    all.step("format", || {
        steps::run(&mut steps::cargo(&["fmt", "--all", "--check"]))
    });
    all.step("clippy", || {
        let args = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--features=canter/world",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ];
        steps::run(&mut steps::cargo(&args))
    });
    all.step("documentation", || {
        let mut doc = steps::cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
        steps::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
    all.step("types of public signatures", reexports::run);
    all.step("packages", || publish::run(&publish::Options::default()));
    all.step("dependencies", publish::deny);
    all.step("a blocking client without tokio", publish::without_tokio);
    all.step(
        "other platforms, as far as they compile here",
        platforms::quick,
    );
    if instructions::can() {
        all.step("instruction counts", || {
            instructions::run(&instructions::Options::default())
        });
    } else {
        println!("left out: instruction counts (no valgrind)");
    }
    if coverage::can() {
        all.step("lines of ca-proto that its tests execute", || {
            coverage::run(&coverage::Options::default())
        });
    } else {
        println!("left out: coverage of ca-proto (no llvm-profdata)");
    }
    // As the README has it, without the release build: there must be one program that `cargo run` can mean.
    all.step("the demo", || {
        steps::run(&mut steps::cargo(&[
            "run",
            "--quiet",
            "--",
            "demo",
            "--seconds",
            "2",
        ]))
    });
    // The fuzz targets' corpora are replayed by ca-testkit's own tests, so they need no step here.
    test::add(&mut all, options);
    all.step("models of threads", models::run);
    all.step(
        "2000 facilities in the World, 10 simulated minutes each",
        || world::run(&world::Options::default()),
    );
    all.finish()
}
