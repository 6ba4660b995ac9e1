//! An IOC on loopback, with a putter of its own.
//!
//! `cargo run -p ca-server-sim --example serve` prints what to set where clients run, and serves until Ctrl-C.

use ca_server_sim::{EcaStatus, Ioc, NetConfig, PutDecision, PvSpec, SimIoc};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let ioc = run().await?;
    println!("{}", ioc.env_text());
    std::future::pending::<()>().await;
    Ok(())
}

/// The example: an IOC that serves.
///
/// # Errors
/// If no port can be had.
pub async fn run() -> Result<SimIoc> {
    let gap = PvSpec::double(10.0)
        .units("mm")
        .precision(3)
        .control(6.0, 200.0)
        // Whole millimetres only, and none below 8 while nobody looks.
        .on_put(|put| {
            let gap = put.value.as_ref().elements::<f64>();
            match gap.and_then(|mut gap| gap.next()) {
                Some(gap) if gap < 8.0 => PutDecision::Reject(EcaStatus::PUTFAIL),
                Some(gap) => PutDecision::Replace(gap.round().into()),
                None => PutDecision::Accept,
            }
        });
    let ioc = Ioc::builder()
        .pv("demo:gap", gap)
        .pv("demo:note", PvSpec::string("ready"))
        .serve(NetConfig::new())
        .await?;
    ioc.post("demo:note", "serving")?;
    Ok(ioc)
}
