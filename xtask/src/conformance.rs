//! The conformance tables.

use crate::{peers, steps};

/// Builds the tools and judges everybody.
///
/// # Errors
/// If the peers cannot be set up, or somebody cannot be judged.
pub(crate) fn run() -> Result<(), String> {
    let python = peers::ensure()?;
    steps::run(&mut steps::cargo(&["build", "--quiet", "-p", "canter"]))?;
    let example = ["run", "--quiet", "-p", "ca-tests", "--example"];
    let mut tables = steps::cargo(&example);
    tables.arg("conformance_tables");
    steps::run(tables.env(peers::VARIABLE, python))
}
