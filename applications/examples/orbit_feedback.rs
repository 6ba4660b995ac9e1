//! Keeps the orbit: small steps of all correctors by the pseudo-inverse of the response.
//!
//!     cargo run --example orbit_feedback -- ring.toml response-x.csv x 100

use std::path::Path;

use ca_applications::{Error, Machine, plot, plot::Plot, rms, table::Table};
use ca_client::Client;
use nalgebra::{DMatrix, DVector};

/// Part of the deviation that a step takes away.
const GAIN: f64 = 0.5;
/// Singular values below this part of the largest are noise, and not corrected.
const CUT: f64 = 1e-3;

/// What the feedback has seen.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The orbit before the first step, and after the last.
    pub(crate) orbits: [DVector<f64>; 2],
    /// Root mean square of the orbit before each step.
    pub(crate) rms: Vec<f64>,
}

/// What the correctors are to do for an orbit.
pub(crate) fn inverse(response: &DMatrix<f64>) -> Result<DMatrix<f64>, Error> {
    let decomposed = response.clone().svd(true, true);
    let largest = decomposed.singular_values.max();
    if largest <= 0.0 {
        return Err("the correctors do not move the beam: measure the response again".into());
    }
    Ok(decomposed.pseudo_inverse(CUT * largest)?)
}

/// Steers to zero for so many steps.
pub(crate) async fn run(
    machine: &Machine<'_>,
    plane: &str,
    response: &Table,
    steps: usize,
) -> Result<Kept, Error> {
    let inverse = inverse(&response.values)?;
    let orbit = machine.orbit(plane).await?;
    let correctors = machine.open(&format!("correctors-{plane}")).await?;
    let names: Vec<_> = (correctors.members())
        .map(|(member, _)| member.name.clone())
        .collect();
    if names != response.columns || orbit.names() != response.rows {
        return Err("the response is that of other monitors or correctors".into());
    }
    let mut set = DVector::from_vec(correctors.get::<f64>().await.into_values()?);
    let first = orbit.read().await?;
    let (mut seen, mut now) = (Vec::new(), first.clone());
    for step in 0..steps {
        seen.push(rms(&now));
        println!(
            "{step:4} {:10.6} mm rms, at most {:.6}",
            rms(&now),
            now.amax()
        );
        set -= &inverse * &now * GAIN;
        let put = correctors.put(names.iter().zip(set.iter().copied()));
        put.wait().await?.into_values()?;
        machine.settle().await;
        now = orbit.read().await?;
    }
    Ok(Kept {
        orbits: [first, now],
        rms: seen,
    })
}

/// The orbit before and after.
pub(crate) fn draw(kept: &Kept, plane: &str) -> [String; 2] {
    let along = |orbit: &DVector<f64>| {
        let numbered = orbit.iter().enumerate();
        numbered
            .map(|(n, at)| ((n + 1) as f64, *at))
            .collect::<Vec<_>>()
    };
    let orbit = Plot::new(&format!("Orbit, plane {plane}"), "monitor", "mm")
        .line("before", along(&kept.orbits[0]))
        .line("with feedback", along(&kept.orbits[1]));
    let steps = kept.rms.iter().enumerate().map(|(n, rms)| (n as f64, *rms));
    let history = Plot::new("Orbit feedback", "step", "mm rms").logarithmic();
    [orbit.svg(), history.line("", steps).svg()]
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [groups, response, plane, steps] = words.as_slice() else {
        return Err("usage: orbit_feedback GROUPS.toml RESPONSE.csv x|y STEPS".into());
    };
    let client = Client::from_env()?;
    let response = Table::load(Path::new(response))?;
    let machine = Machine::load(&client, groups)?;
    let kept = run(&machine, plane, &response, steps.parse()?).await?;
    let [orbit, history] = draw(&kept, plane);
    plot::save(Path::new(&format!("orbit-{plane}.svg")), &orbit)?;
    plot::save(Path::new(&format!("feedback-{plane}.svg")), &history)
}
