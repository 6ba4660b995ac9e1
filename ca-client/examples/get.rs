//! Gets PVs: once by name, and again and again through a channel.
//!
//! `cargo run -p ca-client --example get` searches as `EPICS_CA_ADDR_LIST` and the like say.

use ca_client::{Client, Stamped};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    run(&Client::from_env()?).await
}

/// The example with a client.
///
/// # Errors
/// If the PV is not there.
pub async fn run(client: &Client) -> Result<()> {
    println!("once: {}", client.get::<f64>("demo:x").await?);

    let x = client.connect("demo:x").await?;
    let units = x.metadata().await?.units();
    for _ in 0..3 {
        let now: Stamped<f64> = x.get().await?;
        println!("{} {units:?} at {}", now.value, now.timestamp);
    }
    Ok(())
}
