//! Keeps the energy of the beam by the radio frequency: the part of the orbit that looks like the dispersion is an
//! energy that does not fit the circumference, which tides and temperatures change.
//!
//!     cargo run --example energy_feedback -- ring.toml 50

use std::path::Path;

use ca_applications::{Error, Machine, plot, plot::Plot};
use ca_client::Client;
use ca_kit::OpenGroup;
use nalgebra::DVector;

/// Hertz to either side when the dispersion is measured.
const SWING: f64 = 200.0;
/// Part of the deviation that a step takes away.
const GAIN: f64 = 0.5;

/// What the feedback has seen: deviations in hertz before each step.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) deviations: Vec<f64>,
}

async fn put(
    machine: &Machine<'_>,
    frequency: &OpenGroup<'_, Client>,
    hertz: f64,
) -> Result<(), Error> {
    let names = frequency.members().map(|(member, _)| &member.name);
    frequency
        .put(names.map(|name| (name, hertz)))
        .wait()
        .await?
        .into_values()?;
    machine.settle().await;
    Ok(())
}

/// Measures what the frequency does to the orbit, then keeps the orbit of `reference` for so many steps.
pub(crate) async fn run(
    machine: &Machine<'_>,
    reference: Option<DVector<f64>>,
    steps: usize,
) -> Result<Kept, Error> {
    let (orbit, frequency) = (machine.orbit("x").await?, machine.open("frequency").await?);
    let stood: Vec<f64> = frequency.get().await.into_values()?;
    let mut hertz = *stood.first().ok_or("the group \"frequency\" is empty")?;
    let measure = async || -> Result<DVector<f64>, Error> {
        put(machine, &frequency, hertz + SWING).await?;
        let above = orbit.read().await?;
        put(machine, &frequency, hertz - SWING).await?;
        Ok((above - orbit.read().await?) / (2.0 * SWING))
    };
    let dispersion = measure().await;
    put(machine, &frequency, hertz).await?;
    let dispersion = dispersion?;
    let strength = dispersion.norm_squared();
    if strength <= 0.0 {
        return Err("the frequency does not move the beam".into());
    }
    println!(
        "a hertz moves the beam by {:.3e} mm where it moves most",
        dispersion.amax()
    );
    let reference = match reference {
        Some(reference) => reference,
        None => orbit.read().await?,
    };
    let mut deviations = Vec::new();
    for step in 0..steps {
        let beside = orbit.read().await? - &reference;
        let deviation = dispersion.dot(&beside) / strength;
        println!("{step:4} {deviation:8.2} Hz beside");
        deviations.push(deviation);
        hertz -= GAIN * deviation;
        put(machine, &frequency, hertz).await?;
    }
    Ok(Kept { deviations })
}

pub(crate) fn draw(kept: &Kept) -> String {
    let steps = kept.deviations.iter().enumerate();
    Plot::new("Energy feedback", "step", "deviation, Hz")
        .line("", steps.map(|(n, hertz)| (n as f64, *hertz)))
        .svg()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [groups, steps] = words.as_slice() else {
        return Err("usage: energy_feedback GROUPS.toml STEPS".into());
    };
    let client = Client::from_env()?;
    let kept = run(&Machine::load(&client, groups)?, None, steps.parse()?).await?;
    plot::save(Path::new("energy.svg"), &draw(&kept))
}
