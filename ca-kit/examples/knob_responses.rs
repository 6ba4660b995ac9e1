//! How much each corrector moves the beam at each position monitor.

use std::time::Duration;

use ca_client::Client;
use ca_kit::{Axis, Group, Kit, Settle};

const KICK: f64 = 0.2;

/// Gives a row for each monitor with a number for each corrector, in millimetres per ampere.
pub(crate) async fn run(
    client: &Client,
    correctors: &[&str],
    monitors: &[&str],
) -> Result<Vec<Vec<f64>>, Box<dyn std::error::Error>> {
    // Everything there is found before the first corrector moves.
    let all = correctors.iter().chain(monitors).copied();
    let group = client.open_group(Group::of("matrix", all)?)?;
    if let Some(missing) = group.connected().await.iter().find(|it| !it.is_connected()) {
        return Err(format!("{} is not there", missing.name).into());
    }
    let set_points = group.get::<f64>().await;
    let mut matrix = vec![Vec::new(); monitors.len()];
    for &corrector in correctors {
        let Some(Ok(at)) = set_points.get(corrector) else {
            return Err(format!("{corrector} has no set-point").into());
        };
        let kicks = Axis::new(corrector, [at - KICK, at + KICK]);
        let kicks = kicks.settle(Settle::Time(Duration::from_millis(100)));
        // The corrector is put back at the end, and when something fails.
        let mut rows = client.scan([kicks]).observe(monitors).rows();
        let mut ends = Vec::new();
        while let Some(row) = rows.next().await {
            ends.push(row?);
        }
        for (n, row) in matrix.iter_mut().enumerate() {
            let [low, high] = [0, 1].map(|end: usize| ends.get(end).and_then(|it| it.number(n)));
            let (low, high) = low.zip(high).ok_or("a position is no number")?;
            row.push((high - low) / (2.0 * KICK));
        }
    }
    for (monitor, row) in monitors.iter().zip(&matrix) {
        println!("{monitor} {row:8.3?}");
    }
    Ok(matrix)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (correctors, monitors) = (["c1:set", "c2:set"], ["bpm1:x", "bpm2:x", "bpm3:x"]);
    run(&Client::from_env()?, &correctors, &monitors).await?;
    Ok(())
}
