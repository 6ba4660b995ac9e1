//! A client finds its PV although the network loses its first searches.

use std::error::Error;
use std::sync::Arc;

use ca_client::Client;
use ca_net::TokioRuntime;
use ca_proxy::{Level, Proxy, ProxyConfig};
use ca_server_sim::{Ioc, NetConfig, PvSpec};

const SCRIPT: &str = "
[[rule]]
id = 'deaf'
on = 'search'
action = 'drop'
times = 2
";

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let pvs = Ioc::builder().pv("demo:gap", PvSpec::double(1.5));
    let ioc = pvs.serve(NetConfig::new()).await?;
    let runtime = Arc::new(TokioRuntime::current()?);
    let config = ProxyConfig::new(ioc.udp_addr())
        .script(SCRIPT.parse()?)
        .log(Level::Faults);
    let proxy = Proxy::start(runtime, config)?;
    let client = Client::builder().isolated([proxy.listen()]).build()?;
    println!(
        "demo:gap is {}",
        client.connect("demo:gap").await?.get::<f64>().await?
    );
    for line in proxy.lines().await.unwrap_or_default() {
        println!("{line}");
    }
    println!("{}", proxy.execute("list"));
    client.close().await;
    proxy.stop().await;
    Ok(())
}
