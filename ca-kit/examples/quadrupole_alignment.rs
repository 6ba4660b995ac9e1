//! Where the centre of a quadrupole is: the beam goes through it when a change of its strength does not move
//! the beam further down. The reading of the monitor beside it is its offset then.

use std::time::Duration;

use ca_client::Client;
use ca_kit::{Axis, Kit, Settle};

/// Gives the reading of `beside` with the beam in the centre of the quadrupole, in millimetres.
pub(crate) async fn run(
    client: &Client,
    (corrector, quadrupole): (&str, &str),
    (beside, behind): (&str, &str),
) -> Result<f64, Box<dyn std::error::Error>> {
    let settle = || Settle::Time(Duration::from_millis(100));
    let strength: f64 = client.get(quadrupole).await?;
    let orbit = Axis::linear(corrector, -0.5, 0.5, 5).settle(settle());
    let change = Axis::new(quadrupole, [0.95, 1.05].map(|part| part * strength)).settle(settle());
    // The last axis is the fastest: two strengths at each orbit. Both are put back at the end.
    let mut rows = client
        .scan([orbit, change])
        .observe([beside, behind])
        .rows();
    let (mut points, mut low) = (Vec::new(), None);
    while let Some(row) = rows.next().await {
        let row = row?;
        let (at, further) = row
            .number(0)
            .zip(row.number(1))
            .ok_or("a position is no number")?;
        match low.take() {
            None => low = Some((at, further)),
            Some((before, behind)) => points.push(((at + before) / 2.0, further - behind)),
        }
    }
    for (at, moved) in &points {
        println!("{at:8.4} mm: the beam behind moves by {moved:8.4} mm");
    }
    zero(&points).ok_or_else(|| "the quadrupole does not move the beam at any orbit".into())
}

/// Where the straight line through the points is zero (least squares).
fn zero(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let up: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let across: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let slope = up / across;
    (slope.is_finite() && slope.abs() > 1e-9).then(|| x - y / slope)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::from_env()?;
    let centre = run(&client, ("c1:set", "q1:set"), ("bpm1:x", "bpm2:x")).await?;
    println!("the centre is at {centre:.3} mm");
    Ok(())
}
