//! How the tunes follow the focusing quadrupoles: all of the family together, by some thousandths.
//!
//!     cargo run --example tune_scan -- ring.toml

use std::path::Path;

use ca_applications::{Error, Machine, plot, plot::Plot};
use ca_client::Client;

/// Points, to either side of where the family stands.
const POINTS: i32 = 5;
/// Relative change from point to point.
const STEP: f64 = 5e-4;

/// A point: relative change of the currents, and both tunes.
pub(crate) type Point = (f64, [f64; 2]);

/// Gives the points, from the weakest to the strongest.
pub(crate) async fn run(machine: &Machine<'_>) -> Result<Vec<Point>, Error> {
    let family = machine.open("focusing").await?;
    let tunes = machine.open("tunes").await?;
    let stood: Vec<f64> = family.get().await.into_values()?;
    let put = async |part: f64| -> Result<(), Error> {
        let names = family.members().map(|(member, _)| &member.name);
        let currents = stood.iter().map(|ampere| ampere * (1.0 + part));
        family
            .put(names.zip(currents))
            .wait()
            .await?
            .into_values()?;
        machine.settle().await;
        Ok(())
    };
    let scan = async || -> Result<Vec<Point>, Error> {
        let mut points = Vec::new();
        for n in -POINTS..=POINTS {
            let part = f64::from(n) * STEP;
            put(part).await?;
            let both: Vec<f64> = tunes.get().await.into_values()?;
            let [x, y] = both[..] else {
                return Err("the group \"tunes\" is to have two PVs".into());
            };
            println!("{:+.2} %: {x:.5} {y:.5}", part * 100.0);
            points.push((part, [x, y]));
        }
        Ok(points)
    };
    let points = scan().await;
    // The family goes back, whatever became of the scan.
    put(0.0).await?;
    points
}

/// Change of both tunes for a change of the family by its whole strength (least squares).
pub(crate) fn slopes(points: &[Point]) -> [f64; 2] {
    let mean =
        |of: &dyn Fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let x = mean(&|p| p.0);
    [0, 1].map(|n| {
        let y = mean(&|p| p.1[n]);
        let up: f64 = points.iter().map(|p| (p.0 - x) * (p.1[n] - y)).sum();
        up / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
    })
}

pub(crate) fn draw(points: &[Point]) -> String {
    let middle = points.get(points.len() / 2).map_or([0.0; 2], |p| p.1);
    let moved = |n: usize| {
        let moved = points
            .iter()
            .map(move |p| (p.0 * 100.0, p.1[n] - middle[n]));
        moved.collect::<Vec<_>>()
    };
    Plot::new("Tunes", "focusing quadrupoles, %", "change of the tune")
        .line("horizontal", moved(0))
        .line("vertical", moved(1))
        .svg()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let groups = std::env::args()
        .nth(1)
        .ok_or("usage: tune_scan GROUPS.toml")?;
    let client = Client::from_env()?;
    let points = run(&Machine::load(&client, groups)?).await?;
    let [x, y] = slopes(&points);
    println!(
        "a per cent of the family moves the tunes by {:+.4} and {:+.4}",
        x / 100.0,
        y / 100.0
    );
    plot::save(Path::new("tunes.svg"), &draw(&points))
}
