//! W7: states in which the harness looks at the memory of both sides.

use std::io;

use ca_client::{Client, MonitorEvent, MonitorSpec};

use crate::meter::resident_kb;
use crate::{Result, open_all};

/// Connects, then subscribes.
pub(crate) async fn run(client: &Client, names: &[String]) -> Result<()> {
    hold("started")?;
    let channels = open_all(client, names).await?;
    hold("connected")?;
    let mut set = client.monitor_set();
    for channel in &channels {
        set.add(channel, MonitorSpec::time())?;
    }
    let mut waiting = channels.len();
    while waiting > 0 {
        let batch = set.next_batch().await.ok_or("the client is closed")?;
        let first = batch.filter(|(_, item)| matches!(item, MonitorEvent::Update { .. }));
        waiting = waiting.saturating_sub(first.count());
    }
    hold("subscribed")?;
    Ok(())
}

/// Tells that a state is reached and waits for a line. That nothing else happens meanwhile is meant:
/// the client is idle.
fn hold(state: &str) -> Result<()> {
    println!("HOLD {state} rss_kb={}", resident_kb());
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
