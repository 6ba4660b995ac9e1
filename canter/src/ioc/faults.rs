//! Scripts of faults.

use std::path::Path;

use ca_server_sim::faults::{FaultScript, ScriptMistakes};
use ca_server_sim::net::SimIoc;

use super::IocArgs;
use crate::escape;
use crate::exit::{Stop, UsageError};

/// Reads the script, if one is named.
pub(super) fn read(args: &IocArgs) -> Result<Option<(&Path, FaultScript)>, Stop> {
    let Some(path) = args.faults.as_deref() else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| UsageError {
        what: format!("{}: {error}", path.display()),
        remedy: "name a file that can be read".to_owned(),
    })?;
    let script = FaultScript::parse(&text);
    let script = script.map_err(|mistakes| wrong(path, &mistakes))?;
    Ok(Some((path, script)))
}

/// Begins it, with an IOC that has all its PVs.
pub(super) fn begin(args: &IocArgs, ioc: &SimIoc) -> Result<(), Stop> {
    let Some((path, script)) = read(args)? else {
        return Ok(());
    };
    let begun = ioc.with(|ioc, now| ioc.run_faults(now, &script));
    begun.map_err(|mistakes| wrong(path, &mistakes))
}

fn wrong(path: &Path, mistakes: &ScriptMistakes) -> Stop {
    let lines = mistakes.to_string();
    let lines: Vec<_> = lines.lines().map(escape::printable).collect();
    let mistakes = lines.join("\n");
    Stop::from(UsageError {
        what: format!("{}:\n{mistakes}", path.display()),
        remedy: "mend the script; the book has the words of faults".to_owned(),
    })
}
