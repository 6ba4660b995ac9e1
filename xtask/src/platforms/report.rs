//! What was found, kept between runs, and its table in the book.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::Outcome;
use super::rows::{PLATFORMS, Part, Platform};
use super::toolchain::home;
use crate::steps;

const BOOK: &str = "docs/src/platforms.md";
const BEGIN: &str = "<!-- begin: written by `cargo xtask platforms --book` -->\n";
const END: &str = "<!-- end: written by `cargo xtask platforms --book` -->\n";
const NOT_RUN: &str = "not run";

/// What each part of each platform last did.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// By target, and name of the part.
    cells: BTreeMap<String, BTreeMap<String, String>>,
}

impl Results {
    fn file() -> PathBuf {
        home().join("results.json")
    }

    /// What earlier runs found.
    ///
    /// # Errors
    /// Names a file that is not theirs.
    pub(crate) fn load() -> Result<Self, String> {
        let file = Self::file();
        let Ok(text) = fs::read(&file) else {
            return Ok(Self::default());
        };
        let cells = serde_json::from_slice(&text);
        let cells = cells.map_err(|error| format!("{}: {error}; remove it", file.display()))?;
        Ok(Self { cells })
    }

    /// Notes an outcome, in the file too. What cannot be run here does not replace what was found before.
    pub(crate) fn note(
        &mut self,
        platform: &Platform,
        part: Part,
        outcome: &Outcome,
    ) -> Result<(), String> {
        let text = match outcome {
            Outcome::Passed(text) => text.clone(),
            Outcome::Failed(reason) => format!("**failed**: {}", in_a_cell(reason)),
            Outcome::NotRun(_) => return Ok(()),
        };
        let row = self.cells.entry(platform.target.to_owned()).or_default();
        row.insert(part.name().to_owned(), text);
        let json = serde_json::to_string_pretty(&self.cells).map_err(|error| error.to_string())?;
        steps::write(&Self::file(), &json)
    }

    /// All platforms, as a table in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("| platform | how |");
        for part in Part::ALL {
            let _ = write!(text, " {} |", part.name());
        }
        text += "\n|---|---|---|---|---|---|\n";
        for platform in PLATFORMS {
            let _ = write!(
                text,
                "| {}, `{}` | {} |",
                platform.name,
                platform.target,
                platform.runner.told()
            );
            for part in Part::ALL {
                let _ = write!(text, " {} |", self.cell(platform, part));
            }
            text.push('\n');
        }
        text
    }

    fn cell(&self, platform: &Platform, part: Part) -> &str {
        if !platform.jobs.iter().any(|job| job.part == part) {
            return "";
        }
        let row = self.cells.get(platform.target);
        row.and_then(|row| row.get(part.name()))
            .map_or(NOT_RUN, String::as_str)
    }

    /// Puts the table into the book.
    ///
    /// # Errors
    /// When the page lacks the place for it.
    pub(crate) fn write_book(&self) -> Result<(), String> {
        let file = steps::root().join(BOOK);
        let page = fs::read_to_string(&file).map_err(|error| format!("{BOOK}: {error}"))?;
        let parts = page.split_once(BEGIN).zip(page.split_once(END));
        let ((before, _), (_, after)) =
            parts.ok_or_else(|| format!("{BOOK} has no place for the table"))?;
        steps::write(
            &file,
            &format!("{before}{BEGIN}\n{}\n{END}{after}", self.table()),
        )
    }
}

/// One short line, which does not end a cell.
fn in_a_cell(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default().replace('|', "/");
    line.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rows::Work;
    use super::*;

    #[test]
    fn every_platform_has_a_row_and_says_what_was_not_run() {
        let mut results = Results::default();
        let row = results
            .cells
            .entry("wasm32-unknown-unknown".into())
            .or_default();
        row.insert("core".into(), "compiles".into());
        let table = results.table();
        assert_eq!(table.lines().count(), PLATFORMS.len() + 2);
        assert!(table.contains(
            "| WebAssembly, `wasm32-unknown-unknown` | compiled | compiles |  | not run |  |"
        ));
    }

    #[test]
    fn a_platform_that_is_compiled_only_has_nothing_that_runs() {
        for platform in PLATFORMS {
            let runs = platform
                .jobs
                .iter()
                .any(|job| !matches!(job.work, Work::Check(_)));
            assert_eq!(runs, platform.linker.is_some(), "{}", platform.name);
        }
    }

    #[test]
    fn a_reason_stays_in_its_cell() {
        assert_eq!(in_a_cell("a | b\nc"), "a / b");
    }
}
