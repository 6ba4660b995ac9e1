//! `canter lint`: what is wrong, or odd, in files of records.

use ca_server_sim::base_dbd;
use ca_server_sim::load::{self, Dbd, Disk, Loaded, Loader, Mistake, Mistakes, Weight};
use clap::Args;
use serde::Serialize;

use crate::console::Console;
use crate::escape;
use crate::exit::{Outcome, Stop, UsageError};

#[derive(Args, Debug)]
#[command(after_help = "\
Files are read in the order given, as dbLoadDatabase (.dbd), dbLoadTemplate (.substitutions) and dbLoadRecords
(all others) would, and all their mistakes are told at once: what an IOC refuses is an error, what it takes although
it is hardly meant a warning. Then the records as a whole: links that lead nowhere, rings of links, CP links that
cause storms, records that scan too often, names defined twice, names too long.

  canter lint x.db
  canter lint -D site.dbd -I templates -m P=SR plant.substitutions
  canter lint x.db --json | jq .message

Those who know msi: -I is the same, -m is -M, and a `substitute` line in a template works; undefined macros are told
as with -V. Exit codes: 0 no errors, 1 errors (with --strict also warnings), 2 wrong usage or a file that is not there.")]
pub(crate) struct LintArgs {
    /// Files of records: .db, .template, .vdb, .substitutions
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Read record types from this file before; repeatable [default: the record types of `canter ioc`]
    #[arg(short = 'D', long = "dbd", value_name = "FILE")]
    dbd: Vec<String>,
    /// Take record types and devices that no .dbd file describes, as `canter ioc --hold-unknown`
    #[arg(long)]
    hold_unknown: bool,
    /// Look for files in these directories, `a:b`, behind the current one; repeatable [default: EPICS_DB_INCLUDE_PATH]
    #[arg(short = 'I', long = "include", value_name = "PATH")]
    include: Vec<String>,
    /// Macros for all files, `A=1,B=2`; repeatable
    #[arg(short = 'm', long = "macros", value_name = "MACROS")]
    macros: Vec<String>,
    /// Look at the files only, not at the records as a whole
    #[arg(long)]
    no_links: bool,
    /// Warnings count as errors for the exit code
    #[arg(long)]
    strict: bool,
    /// One JSON object a line for each mistake
    #[arg(long)]
    json: bool,
}

/// A mistake for programs.
#[derive(Serialize)]
struct JsonMistake<'a> {
    severity: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    remedy: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Readings of the file in which it was found.
    times: usize,
}

impl<'a> JsonMistake<'a> {
    fn of(all: &Mistakes, one: &'a Mistake) -> Self {
        let at = one.place.map(|place| all.sources().locate(place));
        let at = at.as_ref();
        Self {
            severity: match one.weight {
                Weight::Error => "error",
                Weight::Warning => "warning",
            },
            kind: one.kind.name(),
            file: at.map(|at| at.file.to_string()),
            line: at.map(|at| at.line),
            column: at.map(|at| at.column),
            message: &one.message,
            remedy: &one.remedy,
            notes: one.notes.iter().cloned().chain(all.chain(one)).collect(),
            times: one.times,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When a file named by an option is not there, when the output cannot be written.
pub(crate) fn run(args: &LintArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let loaded = read(args)?;
    let mistakes = &loaded.mistakes;
    if args.json {
        for one in mistakes.iter() {
            let line = serde_json::to_string(&JsonMistake::of(mistakes, one))
                .map_err(std::io::Error::from)?;
            writeln!(console.out, "{line}")?;
        }
    } else {
        if !mistakes.is_empty() {
            writeln!(console.out, "{}\n", mistakes.render(console.paint.is_on()))?;
        }
        let count = |number: usize, what| escape::counted(number as u64, what);
        let (errors, warnings) = (mistakes.errors(), mistakes.warnings());
        writeln!(
            console.out,
            "{}, {} in {}",
            count(errors, "error"),
            count(warnings, "warning"),
            count(loaded.records.len(), "record")
        )?;
    }
    let fails = mistakes.has_errors() || (args.strict && mistakes.warnings() > 0);
    Ok(if fails {
        Outcome::PvFailed
    } else {
        Outcome::Ok
    })
}

fn read(args: &LintArgs) -> Result<Loaded, Stop> {
    let is_dbd = |name: &String| name.ends_with(".dbd");
    let types = match args.dbd.is_empty() && !args.files.iter().any(is_dbd) {
        true => base_dbd(),
        false => Dbd::new(),
    };
    let named = args.dbd.iter().chain(&args.files);
    for name in named.filter(|name| name.contains('/')) {
        if let Err(error) = std::fs::metadata(name) {
            let what = format!("cannot read {}: {error}", escape::printable(name));
            return Err(UsageError::new(what, "name a file that is there").into());
        }
    }
    let mut loader = Loader::with(&Disk, types).directory(".");
    if args.hold_unknown {
        loader = loader.hold_unknown();
    }
    let paths = match args.include.is_empty() {
        true => std::env::var("EPICS_DB_INCLUDE_PATH").into_iter().collect(),
        false => args.include.clone(),
    };
    for directory in paths.iter().flat_map(|path| path.split(':')) {
        loader = loader.directory(directory);
    }
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str()) {
            loader = loader.variable(name, value);
        }
    }
    let macros = args.macros.join(",");
    for name in &args.dbd {
        loader.dbd(name, &macros);
    }
    for name in &args.files {
        loader.file(name, &macros);
    }
    let mut loaded = loader.finish();
    let missing = |one: &&Mistake| one.place.is_none() && one.kind == load::MistakeKind::File;
    if let Some(one) = loaded.mistakes.iter().find(missing) {
        return Err(UsageError::new(one.message.clone(), one.remedy.clone()).into());
    }
    if !args.no_links {
        load::lint(&mut loaded);
    }
    Ok(loaded)
}
