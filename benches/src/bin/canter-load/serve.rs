//! Our IOC as a process of its own.

use std::env;

use ca_client::Value;
use ca_server_sim::net::NetConfig;
use ca_server_sim::{Ioc, PvSpec};
use tokio::io::AsyncReadExt;

use crate::Result;

/// Elements of the array `WF`, 8 MB.
const WAVE_LEN: usize = 1_000_000;
/// Bytes of the image `IMG`.
const IMAGE_LEN: usize = 1360 * 1024 * 3;

/// Serves doubles, the array and the image on the port that `EPICS_CAS_SERVER_PORT` names, until
/// standard input is closed.
pub(crate) async fn run(prefix: &str, count: u64) -> Result<()> {
    let port = env::var("EPICS_CAS_SERVER_PORT")?.parse()?;
    let doubles = (0..count).map(|n| (format!("{prefix}{n}"), PvSpec::double(0.0)));
    let config = NetConfig::new()
        .udp_port(port)
        .tcp_port(port)
        .exact(true)
        .repeater(None);
    let ioc = Ioc::builder()
        .pvs(doubles)
        .pv("WF", PvSpec::array(Value::array(&vec![1.5; WAVE_LEN])))
        .pv("IMG", PvSpec::array(Value::array(&vec![7u8; IMAGE_LEN])))
        .serve(config)
        .await?;
    let mut ignored = [0; 64];
    while tokio::io::stdin().read(&mut ignored).await? > 0 {}
    ioc.stop().await;
    Ok(())
}
