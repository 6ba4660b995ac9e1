//! Puts: sent, checked and completed; and what errors tell.
//!
//! `cargo run -p ca-client --example put` searches as `EPICS_CA_ADDR_LIST` and the like say.

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
/// If the PV is not there.
pub async fn run(client: &Client) -> Result<()> {
    let x = client.connect("demo:x").await?;
    x.put(1.0).await?; // on its way
    x.put(2.0).check().await?; // the server has taken it
    x.put(3.0).wait().timeout(Duration::from_secs(60)).await?; // all that follows is done
    if let Err(error) = x.put("no number").wait().await {
        println!("{error}");
        println!("{} at {:?}: {}", error.pv(), error.server(), error.remedy());
    }
    assert_eq!(x.get::<f64>().await?, 3.0);
    Ok(())
}
