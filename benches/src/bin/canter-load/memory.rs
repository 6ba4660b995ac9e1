//! W7: states in which the harness looks at the memory of both sides.

use std::io;

use ca_client::{Client, SubSpec};
use futures_util::future::try_join_all;

use crate::meter::resident_kb;
use crate::{Result, open_all};

/// Connects, then subscribes.
pub(crate) async fn run(client: &Client, names: &[String]) -> Result<()> {
    hold("started")?;
    let channels = open_all(client, names).await?;
    hold("connected")?;
    let subscribe = channels.iter().map(|channel| async {
        let mut subscription = channel.subscribe(SubSpec::time())?;
        subscription.next().await;
        Result::Ok(subscription)
    });
    let subscriptions = try_join_all(subscribe).await?;
    hold("subscribed")?;
    drop(subscriptions);
    Ok(())
}

/// Tells that a state is reached and waits for a line. That nothing else happens meanwhile is meant:
/// the client is idle.
fn hold(state: &str) -> Result<()> {
    println!("HOLD {state} rss_kb={}", resident_kb());
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
