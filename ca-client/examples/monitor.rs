//! Monitors a PV: three updates, with losses of the connection told among them.
//!
//! `cargo run -p ca-client --example monitor` searches as `EPICS_CA_ADDR_LIST` and the like say.

use ca_client::{Client, MonitorEvent, Stamped};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    run(&Client::from_env()?).await
}

/// The example with a client.
///
/// # Errors
/// If the client cannot hold the channel.
pub async fn run(client: &Client) -> Result<()> {
    // Not connected yet: the first update comes when it is.
    let x = client.open("demo:x")?;
    let mut monitor = x.monitor::<Stamped<f64>>().depth(10).start()?;
    let mut updates = 0;
    while updates < 3 {
        match monitor.next().await {
            Some(MonitorEvent::Update { value, skipped }) => {
                println!("{} {:?}, {skipped} skipped", value.value, value.alarm);
                updates += 1;
                x.put(f64::from(updates)).await?;
            }
            Some(event) => println!("{event:?}"),
            None => break,
        }
    }
    Ok(())
}
