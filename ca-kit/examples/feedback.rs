//! Keeps the beam at a place: from positions of the same pulse to small steps of a corrector.

use std::time::Duration;

use ca_client::Client;
use ca_kit::{GuardError, Kit};

/// Part of the deviation that one step takes away.
const GAIN: f64 = 0.5;
/// What the corrector may be put to, in amperes.
const RANGE: (f64, f64) = (-2.0, 2.0);

/// Steers until the mean position of the monitors is within 0.01 mm of zero; `response` says how far an
/// ampere moves it. Gives how many steps that took.
pub(crate) async fn run(
    client: &Client,
    corrector: &str,
    monitors: &[&str],
    response: f64,
) -> Result<usize, Box<dyn std::error::Error>> {
    let mut rows = client
        .align(monitors)
        .within(Duration::from_millis(1))
        .start()?;
    let corrector = client.connect(corrector).await?;
    for step in 0..100 {
        // Positions of one pulse; what waits from before the last step is left out.
        let mut row = rows.next().await.ok_or("the client was closed")?;
        while let Some(newer) = newest(&mut rows).await {
            row = newer;
        }
        let mean = row.numbers().iter().sum::<f64>() / row.values.len() as f64;
        println!("{step:3} {mean:8.4} mm");
        if mean.abs() < 0.01 {
            return Ok(step);
        }
        let now: f64 = corrector.get().await?;
        let next = now - GAIN * mean / response;
        let put = client
            .put_guarded(&corrector, next)
            .range(RANGE.0, RANGE.1)
            .wait();
        match put.await {
            Err(error @ GuardError::OutsideLimits { .. }) => println!("{error}"),
            other => drop(other?),
        }
    }
    Err("the beam does not come to its place in 100 steps".into())
}

/// A row that is there already.
async fn newest(
    rows: &mut ca_kit::Aligned<'_, Client>,
) -> Option<std::sync::Arc<ca_kit::AlignedRow>> {
    use futures_util::future::FutureExt as _;
    rows.next().now_or_never().flatten()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(&Client::from_env()?, "c1:set", &["bpm1:x", "bpm2:x"], 1.5).await?;
    Ok(())
}
