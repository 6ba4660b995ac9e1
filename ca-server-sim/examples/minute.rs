//! A minute of scans in virtual time: neither sockets nor a clock, so that it takes about a millisecond.

use std::time::Duration;

use ca_server_sim::{Instant, Ioc, Timestamp};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How often two records were processed, and what a third one made of it.
///
/// # Errors
/// If the records are described wrongly.
pub fn run() -> Result<[f64; 3]> {
    let mut ioc = Ioc::from_db(
        r#"record(calc, "fast") { field(CALC, "VAL+1") field(SCAN, ".1 second") }
           record(calc, "slow") { field(CALC, "VAL+1") field(SCAN, "5 second") field(FLNK, "sum") }
           record(calc, "sum") { field(INPA, "fast") field(INPB, "slow") field(CALC, "A+B") }"#,
    )?;
    let begin = Instant::ZERO;
    ioc.start(begin, Timestamp::from_unix(1_800_000_000, 0), 5064);
    let end = begin + Duration::from_secs(60);
    // What is due next says the IOC, as it says it to a driver with sockets.
    while let Some(due) = ioc.poll_timeout().filter(|&due| due <= end) {
        ioc.handle_timeout(due);
    }
    Ok([ioc.number("fast")?, ioc.number("slow")?, ioc.number("sum")?])
}

fn main() -> Result<()> {
    let [fast, slow, sum] = run()?;
    println!("fast {fast}, slow {slow}, sum {sum}");
    Ok(())
}
