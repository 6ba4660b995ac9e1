//! How far each corrector moves the beam at each monitor.
//!
//!     cargo run --example response_matrix -- ring.toml x

use std::path::Path;

use ca_applications::{Error, Machine, plot, table::Table};
use ca_client::Client;
use nalgebra::DMatrix;

/// Amperes to either side.
const KICK: f64 = 0.1;

/// Gives rows of monitors and columns of correctors, in the monitors' units per ampere.
pub(crate) async fn run(machine: &Machine<'_>, plane: &str) -> Result<Table, Error> {
    let orbit = machine.orbit(plane).await?;
    let correctors = machine.open(&format!("correctors-{plane}")).await?;
    let stood: Vec<f64> = correctors.get().await.into_values()?;
    let columns: Vec<String> = (correctors.members())
        .map(|(member, _)| member.name.clone())
        .collect();
    let mut values = DMatrix::zeros(orbit.names().len(), columns.len());
    for (n, (name, at)) in columns.iter().zip(&stood).enumerate() {
        let mut measured = Vec::new();
        let measure = async |measured: &mut Vec<_>| -> Result<(), Error> {
            for kick in [KICK, -KICK] {
                correctors
                    .put([(name, at + kick)])
                    .wait()
                    .await?
                    .into_values()?;
                machine.settle().await;
                measured.push(orbit.read().await?);
            }
            Ok(())
        };
        // The corrector goes back, whatever becomes of the measurement.
        let done = measure(&mut measured).await;
        correctors.put([(name, *at)]).wait().await?.into_values()?;
        done?;
        let column = (&measured[0] - &measured[1]) / (2.0 * KICK);
        println!(
            "{:3}/{} {name}: up to {:.3} /A",
            n + 1,
            columns.len(),
            column.amax()
        );
        values.set_column(n, &column);
    }
    machine.settle().await;
    let rows = orbit.names();
    Ok(Table {
        rows,
        columns,
        values,
    })
}

/// The matrix as a field of colours.
pub(crate) fn draw(response: &Table, plane: &str) -> String {
    let title = format!("Orbit response, plane {plane}");
    plot::field(&title, ["corrector", "monitor"], "mm/A", &response.values)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let groups = words
        .next()
        .ok_or("usage: response_matrix GROUPS.toml [x|y]")?;
    let plane = words.next().unwrap_or_else(|| "x".to_owned());
    let client = Client::from_env()?;
    let response = run(&Machine::load(&client, groups)?, &plane).await?;
    response.save(Path::new(&format!("response-{plane}.csv")))?;
    plot::save(
        Path::new(&format!("response-{plane}.svg")),
        &draw(&response, &plane),
    )
}
