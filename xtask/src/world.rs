//! Many seeds of the World, in release.

use crate::steps;

/// Seeds of a run that names neither seeds nor minutes, as CI wants them.
pub(crate) const SEEDS: u64 = 2000;

/// How many stories, or for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Minutes by the clock, one seed after the other
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<f64>,
    /// Number of seeds [default: 2000]
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            minutes: None,
            seeds: None,
            from: 1,
        }
    }
}

/// Runs the seeds with `canter world`, which prints simulated time, events per second and what
/// fails.
///
/// # Errors
/// Says that a promise was broken.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let from = options.from.to_string();
    let (flag, number) = match options.minutes {
        Some(minutes) => ("--for", minutes.to_string()),
        None => ("--seeds", options.seeds.unwrap_or(SEEDS).to_string()),
    };
    // The code of a release, with lines in the trace of a panic; CI has it built for the instruction counts.
    let mut args = vec!["run", "--profile", "profiling", "--quiet"];
    args.extend(["--package", "canter"]);
    args.extend(["--features", "world", "--", "world", "--seed", &from]);
    args.extend([flag, &number]);
    steps::run(&mut steps::cargo(&args))
}
