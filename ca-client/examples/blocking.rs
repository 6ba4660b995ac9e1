//! The same words without an async runtime: `call()` where the async client has `.await`.
//!
//! `cargo run -p ca-client --example blocking` searches as `EPICS_CA_ADDR_LIST` and the like say.

use ca_client::blocking::Client;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    run(&Client::from_env()?)
}

/// The example with a client.
///
/// # Errors
/// If the PV is not there.
pub fn run(client: &Client) -> Result<()> {
    let x = client.connect("demo:x").call()?;
    x.put(4.0).wait().call()?;
    println!("{}", x.get::<f64>().call()?);
    for event in x.monitor::<f64>().start()? {
        println!("{event:?}");
        if event.value().is_some() {
            break;
        }
    }
    Ok(())
}
