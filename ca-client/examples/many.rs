//! Many PVs in one request, each with its own result.
//!
//! `cargo run -p ca-client --example many` searches as `EPICS_CA_ADDR_LIST` and the like say.

use std::time::Duration;

use ca_client::Client;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    run(&Client::from_env()?).await
}

/// The example with a client.
///
/// # Errors
/// If a value cannot be put.
pub async fn run(client: &Client) -> Result<()> {
    for result in client
        .put_many([("demo:x", 1.0), ("demo:y", 2.0)])
        .wait()
        .await
    {
        result?;
    }
    let names = ["demo:x", "demo:y", "demo:nobody"];
    let values = client.get_many::<f64>(names);
    for (name, value) in names
        .iter()
        .zip(values.timeout(Duration::from_millis(300)).await)
    {
        match value {
            Ok(value) => println!("{name} {value}"),
            Err(error) => println!("{name}: {}", error.remedy()),
        }
    }
    Ok(())
}
