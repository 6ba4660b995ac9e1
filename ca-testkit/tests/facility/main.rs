//! Stories of a whole facility: many seeds, and what they are made of.

mod bytes;
mod every_byte;
mod plans;

use core::time::Duration;

use ca_testkit::facility::{Options, run_seed, shrink};

/// Seeds of a run without `CANTER_SEED`; `CANTER_SEEDS` asks for another number. With `CANTER_FIRST`
/// the first failure ends the test, and is not made shorter.
const SEEDS: u64 = 300;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.trim().parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Simulated minutes of each story, recovery not counted; `CANTER_MINUTES` asks for others.
const MINUTES: f64 = 2.0;

fn run(seeds: impl Iterator<Item = u64>) {
    let options = Options {
        minutes: number("CANTER_MINUTES").map_or(MINUTES, |minutes| minutes as f64),
        ..Options::default()
    };
    let (mut events, mut updates, mut worst, mut failed) = (0, 0, Duration::ZERO, Vec::new());
    for seed in seeds {
        match run_seed(seed, &options) {
            Ok(report) => {
                events += report.events;
                updates += report.updates;
                worst = worst.max(report.recovery);
            }
            Err(failure) => {
                println!("seed {seed}: {}", failure.what);
                if std::env::var_os("CANTER_FIRST").is_some() {
                    panic!("the first failure was asked for");
                }
                // The first story in full, as short as it can be.
                if failed.is_empty() {
                    println!("{}", shrink(seed, &options).expect("it fails"));
                }
                failed.push(seed);
            }
        }
    }
    println!("{events} events, {updates} updates, slowest recovery {worst:?}");
    assert!(failed.is_empty(), "seeds {failed:?} failed; see above");
}

/// One seed, or all with this remainder.
fn seeds(remainder: u64) -> Box<dyn Iterator<Item = u64>> {
    match number("CANTER_SEED") {
        Some(seed) => Box::new((seed..seed + 1).filter(move |seed| seed % 2 == remainder)),
        None => {
            let seeds = number("CANTER_SEEDS").unwrap_or(SEEDS);
            Box::new((remainder..seeds).step_by(2))
        }
    }
}

#[test]
fn promises_hold_in_even_facilities() {
    run(seeds(0));
}

#[test]
fn promises_hold_in_odd_facilities() {
    run(seeds(1));
}
