//! Where the centre of a quadrupole is: the beam goes through it when a change of its strength moves the beam
//! nowhere. What the monitor beside it reads then is where the centre stands.
//!
//!     cargo run --example beam_based_alignment -- ring.toml 3 10

use std::path::Path;

use ca_applications::{Error, Machine, plot, plot::Plot};
use ca_client::Client;
use ca_kit::{Axis, Kit, Settle};
use nalgebra::DVector;

/// Orbits: currents of the corrector, in amperes, beside where it stands.
const BUMPS: [f64; 5] = [-2.0, -1.0, 0.0, 1.0, 2.0];
/// Relative changes of the quadrupole.
const CHANGE: f64 = 0.02;

/// What was measured: positions at the monitor beside the quadrupole, how far the beam moved there and everywhere,
/// and the centre.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) centre: f64,
}

/// Looks at the focusing quadrupole with this number, from 0, with the monitor that stands beside it and a corrector
/// some cells away.
pub(crate) async fn run(
    machine: &Machine<'_>,
    quadrupole: usize,
    (monitor, corrector): (usize, usize),
) -> Result<Found, Error> {
    let name = |group: &str, n: usize| -> Result<String, Error> {
        let member = machine.names(group)?.members().get(n).cloned();
        Ok(member
            .ok_or_else(|| format!("\"{group}\" has no member {n}"))?
            .pv)
    };
    let (knob, magnet) = (
        name("correctors-x", corrector)?,
        name("focusing", quadrupole)?,
    );
    let client = machine.client();
    let (at, strength): (f64, f64) = (client.get(&*knob).await?, client.get(&*magnet).await?);
    let settle = || Settle::Time(machine.pace.settle);
    let bumps = Axis::new(&*knob, BUMPS.map(|bump| at + bump)).settle(settle());
    let changes = [1.0 - CHANGE, 1.0 + CHANGE].map(|part| part * strength);
    let changes = Axis::new(&*magnet, changes).settle(settle());
    let orbit = machine.orbit("x").await?;
    // The last axis is the fastest: two strengths at each orbit. Both are put back at the end.
    let mut rows = client.scan([bumps, changes]).rows();
    let mut pairs: Vec<DVector<f64>> = Vec::new();
    while let Some(row) = rows.next().await {
        row?;
        pairs.push(orbit.read().await?);
    }
    let moved: Vec<_> = pairs
        .chunks_exact(2)
        .map(|pair| (&pair[1] - &pair[0], &pair[0] + &pair[1]))
        .collect();
    // How the beam moves is one shape times how far it is beside the centre: along the largest one.
    let shape = (moved.iter())
        .map(|(moved, _)| moved)
        .max_by(|a, b| a.norm().total_cmp(&b.norm()));
    let shape = shape
        .filter(|shape| shape.norm() > 0.0)
        .ok_or("the quadrupole does not move the beam")?;
    let shape = shape.normalize();
    let mut points = Vec::new();
    for (moved, twice) in &moved {
        let (position, along) = (twice[monitor] / 2.0, moved.dot(&shape));
        println!("{position:9.4} mm: the beam moves by {along:9.5} mm");
        points.push((position, along));
    }
    let centre = zero(&points).ok_or("the quadrupole moves the beam alike at any orbit")?;
    Ok(Found { points, centre })
}

/// Where the straight line through the points is zero (least squares).
fn zero(points: &[(f64, f64)]) -> Option<f64> {
    let mean =
        |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let up: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let slope = up / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    (slope.is_finite() && slope.abs() > 1e-9).then(|| x - y / slope)
}

pub(crate) fn draw(found: &Found) -> String {
    Plot::new(
        "Beam-based alignment",
        "position at the quadrupole, mm",
        "movement of the orbit, mm",
    )
    .dots("measured", found.points.iter().copied())
    .line("", found.points.iter().copied())
    .dots(
        &format!("centre at {:.4} mm", found.centre),
        [(found.centre, 0.0)],
    )
    .svg()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [groups, quadrupole, monitor, corrector] = words.as_slice() else {
        return Err(
            "usage: beam_based_alignment GROUPS.toml QUADRUPOLE MONITOR CORRECTOR, numbers from 0"
                .into(),
        );
    };
    let client = Client::from_env()?;
    let machine = Machine::load(&client, groups)?;
    let beside = (monitor.parse()?, corrector.parse()?);
    let found = run(&machine, quadrupole.parse()?, beside).await?;
    println!("the centre is at {:.4} mm", found.centre);
    plot::save(Path::new("alignment.svg"), &draw(&found))
}
