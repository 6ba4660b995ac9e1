//! PVs that move by themselves, without sockets: time is what the program says.
//!
//! `cargo run -p ca-server-sim --example signals`

use std::time::Duration;

use ca_server_sim::signals::Sine;
use ca_server_sim::{AlarmSeverity, Instant, Ioc, PvSpec, Timestamp};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    for (value, severity) in run()? {
        println!("{value:6.3} {severity:?}");
    }
    Ok(())
}

/// The example: values and alarms of a period, each tenth of it.
///
/// # Errors
/// If the PV is described wrongly.
pub fn run() -> Result<Vec<(f64, AlarmSeverity)>> {
    let period = Duration::from_secs(1);
    let pv = PvSpec::double(0.0)
        .warning(-0.9, 0.9)
        .signal(Sine::new(-1.0, 1.0, period), period / 10);
    let mut ioc = Ioc::builder().pv("demo:sine", pv).build()?;
    ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
    let mut values = Vec::new();
    while values.len() < 10 {
        let due = ioc.poll_timeout().ok_or("a signal is always due")?;
        ioc.handle_timeout(due);
        let state = ioc.read("demo:sine")?;
        values.push((ioc.number("demo:sine")?, state.alarm.severity));
    }
    Ok(values)
}
