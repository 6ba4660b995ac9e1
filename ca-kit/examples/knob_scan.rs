//! Moves a knob through points, looks where a signal is largest, and leaves the knob there.

use std::time::Duration;

use ca_client::Client;
use ca_kit::{Axis, Kit, Settle, near};

const KNOB: &str = "rf:phase:set";
const READ_BACK: &str = "rf:phase:read";
const SIGNAL: &str = "bpm1:x";

/// Gives the place of the maximum, in degrees.
pub(crate) async fn run(client: &Client) -> Result<f64, Box<dyn std::error::Error>> {
    let knob = Axis::linear(KNOB, -30.0, 30.0, 13).settle(Settle::read_back(READ_BACK, 0.1));
    let scan = client
        .scan([knob])
        .observe([SIGNAL])
        .dwell(Duration::from_millis(50));
    let mut rows = scan.rows();
    let mut seen = Vec::new();
    while let Some(row) = rows.next().await {
        // What fails ends the scan, and the knob is put back where it stood.
        let row = row?;
        let signal = row.number(0).ok_or("the signal is no number")?;
        println!("{:6.1} {signal:8.4}", row.at[0]);
        seen.push((row.at[0], signal));
    }
    let best = maximum(&seen).ok_or("there is no maximum within the scan")?;
    let put = client.put_and_match(KNOB, best, READ_BACK, near(best, 0.1));
    let matched = put.timeout(Duration::from_secs(30)).await?;
    println!("maximum at {best:.2}, there after {:?}", matched.elapsed);
    Ok(best)
}

/// Of the parabola through the largest value and its neighbours.
fn maximum(seen: &[(f64, f64)]) -> Option<f64> {
    let best = (0..seen.len()).max_by(|&a, &b| seen[a].1.total_cmp(&seen[b].1))?;
    let [(x0, y0), (x1, y1), (x2, y2)] = *seen.get(best.checked_sub(1)?..=best + 1)? else {
        return None;
    };
    let (left, right) = ((y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1));
    Some((x0 + x1) / 2.0 + left / (left - right) * (x2 - x0) / 2.0)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(&Client::from_env()?).await?;
    Ok(())
}
