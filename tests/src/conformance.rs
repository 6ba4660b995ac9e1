//! What the conformance runner is to judge: servers with the PVs of `peers/ioc.db`, clients by the
//! scripts in `peers`.

use std::time::Duration;

use ca_conformance::client::ClientTarget;
use ca_conformance::{Report, Target};

use crate::peer::Python;
use crate::ports;

/// Prefix of the servers' PVs.
pub const PREFIX: &str = "CONF";

/// A server at this port.
pub fn server(port: u16) -> Target {
    let name = |suffix: &str| format!("{PREFIX}:{suffix}");
    let mut target = Target::new(ports::at(port), name("double"));
    target.array = Some(name("wf70k"));
    target.enumeration = Some(name("enum"));
    target.string = Some(name("string"));
    target.readonly = Some(name("ro"));
    target.slow = Some(name("slow"));
    target
}

/// One of the libraries that `peers/tool.py` makes tools of.
pub fn client(python: &Python, library: &str) -> ClientTarget {
    let program = |command: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/tool.py");
        let words = [&python.program(), script, library];
        let words = words.into_iter().chain(command.split(' '));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut target = ClientTarget::new(program("get {pv} {timeout}"));
    target.put = Some(program("put {pv} {value} {timeout}"));
    target.monitor = Some(program("monitor {pv} {updates}"));
    target.patience = Duration::from_secs(3);
    target.jobs = 6;
    target
}

/// The report as text.
pub fn text(report: &Report) -> String {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = report.text(&mut text, false);
    String::from_utf8_lossy(&text).into_owned()
}

/// A table in Markdown: a row for each group of checks, a column for each report, `19` where all
/// passed, `18, 1 differ` where not.
pub fn markdown(columns: &[(&str, Report)]) -> String {
    let Some((_, first)) = columns.first() else {
        return String::new();
    };
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut out = format!("| group | checks | {} |\n", names.join(" | "));
    out.push_str(&"|---".repeat(columns.len() + 2));
    out.push_str("|\n");
    for (at, group) in first.groups.iter().enumerate() {
        let cells = columns.iter().map(|(_, report)| {
            let counts = report.groups.get(at).map(|group| group.counts());
            counts.map_or_else(String::new, cell)
        });
        let cells: Vec<String> = cells.collect();
        let line = format!(
            "| `{}` | {} | {} |\n",
            group.name,
            group.checks.len(),
            cells.join(" | ")
        );
        out.push_str(&line);
    }
    let all: Vec<String> = columns
        .iter()
        .map(|(_, report)| cell(report.counts()))
        .collect();
    out + &format!(
        "| all | {} | {} |\n",
        first.checks().count(),
        all.join(" | ")
    )
}

fn cell(counts: ca_conformance::report::Counts) -> String {
    let mut cell = counts.pass.to_string();
    for (number, word) in [
        (counts.fail, "fail"),
        (counts.differs, "differ"),
        (counts.skipped, "not run"),
    ] {
        if number > 0 {
            cell.push_str(&format!(", {number} {word}"));
        }
    }
    cell
}
