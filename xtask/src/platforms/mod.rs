//! Platforms other than the one of development: built, and run where an emulator can.

mod report;
mod rows;
mod session;
mod talk;
mod toolchain;

use report::Results;
use rows::{PLATFORMS, Platform};
use session::{Outcome, Session};

/// Options of `cargo xtask platforms`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only what is compiled and needs nothing linked: bare metal and WebAssembly, as CI does
    #[arg(long)]
    quick: bool,
    /// Only platforms in whose name or target this occurs; repeatable
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,
    /// Only these parts; repeatable
    #[arg(long, value_name = "PART", value_parser = ["core", "client", "ioc", "tools"])]
    part: Vec<String>,
    /// Write the table into the book, with what earlier runs found of platforms that this one leaves out
    #[arg(long)]
    book: bool,
    /// Tell what each platform needs, and what of it is missing here
    #[arg(long)]
    needs: bool,
}

impl Options {
    fn wants(&self, platform: &Platform) -> bool {
        let named = |word: &String| {
            let word = word.to_lowercase();
            platform.name.to_lowercase().contains(&word) || platform.target.contains(&word)
        };
        let quick = matches!(platform.name, "bare metal" | "WebAssembly");
        (self.only.is_empty() || self.only.iter().any(named)) && (quick || !self.quick)
    }

    fn wants_part(&self, part: rows::Part) -> bool {
        self.part.is_empty()
            || self
                .part
                .iter()
                .any(|name| part.name().eq_ignore_ascii_case(name))
    }
}

/// The part that CI runs.
///
/// # Errors
/// Names the number of failures; what cannot be run here is none.
pub(crate) fn quick() -> Result<(), String> {
    run(&Options {
        quick: true,
        ..Options::default()
    })
}

/// Goes through the platforms, one after the other. What this machine lacks is told and left out.
///
/// # Errors
/// Names the number of failures.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let wanted: Vec<_> = PLATFORMS
        .iter()
        .filter(|platform| options.wants(platform))
        .collect();
    if wanted.is_empty() {
        let names: Vec<_> = PLATFORMS.iter().map(|platform| platform.name).collect();
        return Err(format!("no such platform; there are: {}", names.join("; ")));
    }
    if options.needs {
        for platform in wanted {
            let told = Session::new(platform).map_or_else(|missing| missing, |_| "all here".into());
            println!("{} ({}): {told}", platform.name, platform.target);
        }
        return Ok(());
    }
    let mut results = Results::load()?;
    let mut failed = 0;
    for platform in wanted {
        failed += one(platform, options, &mut results)?;
    }
    println!("\n{}", results.table());
    if options.book {
        results.write_book()?;
    }
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of what could be run failed")),
    }
}

/// All jobs of a platform; the number of those that failed.
fn one(platform: &Platform, options: &Options, results: &mut Results) -> Result<usize, String> {
    let session = Session::new(platform);
    let mut failed = 0;
    for job in platform
        .jobs
        .iter()
        .filter(|job| options.wants_part(job.part))
    {
        let title = format!("{}, {}", platform.name, job.part.name());
        println!("\n==> {title}");
        let outcome = match &session {
            Ok(session) => session.run(job.work),
            Err(missing) => Outcome::NotRun(missing.clone()),
        };
        match &outcome {
            Outcome::Passed(text) => println!("<== {title}: {text}"),
            Outcome::Failed(reason) => {
                failed += 1;
                println!("<== {title}: FAILED: {reason}");
            }
            Outcome::NotRun(reason) => println!("<== {title}: left out: {reason}"),
        }
        results.note(platform, job.part, &outcome)?;
    }
    Ok(failed)
}
