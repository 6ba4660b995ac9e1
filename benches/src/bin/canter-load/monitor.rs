//! Subscriptions with the asynchronous client.

use std::time::{Duration, Instant};

use ca_client::{Client, Monitor, MonitorEvent, MonitorSet, MonitorSpec, Reading};
use tokio::task::JoinSet;

use crate::meter::{Meter, More};
use crate::{Result, open, open_all};

/// Updates of a subscription that may wait: what arrives in one read of a circuit fits.
const DEPTH: usize = 4096;
/// Longest time of reads beside a firehose.
const FAIR: Duration = Duration::from_secs(2);

/// W4: updates until each subscription has seen the negative value.
pub(crate) async fn updates(client: &Client, names: &[String], circuits: u8) -> Result<()> {
    let mut set = client.monitor_set();
    for priority in 0..circuits.max(1) {
        let mut channels = Vec::new();
        for name in names {
            channels.push(client.open_with_priority(name, priority)?);
        }
        for channel in &channels {
            channel.connected().await?;
            set.add(channel, MonitorSpec::time().depth(DEPTH))?;
        }
    }
    let mut waiting = set.len();
    let mut begun = vec![false; keys(&set)];
    while waiting > 0 {
        let (key, item) = set.next().await.ok_or("the set has ended")?;
        if item.value().is_some() && !std::mem::replace(&mut begun[key.index()], true) {
            waiting -= 1;
        }
    }
    println!("READY");
    let (mut meter, mut delivered, mut produced, mut running) = (None, 0, 0, set.len());
    while running > 0 {
        let batch = set.next_batch().await.ok_or("the set has ended")?;
        // The time starts with the first update.
        meter.get_or_insert_with(Meter::start);
        for (_, item) in batch {
            let MonitorEvent::Update { value: reading, .. } = item else {
                continue;
            };
            delivered += 1;
            let value: f64 = reading.get(0).ok_or("an update without a number")?;
            if value < 0.0 {
                // Rounds 1 to n, and the end.
                produced += (-value) as u64 + 1;
                running -= 1;
            }
        }
    }
    let meter = meter.ok_or("no updates")?;
    finish(meter, delivered, produced, None);
    Ok(())
}

/// Length of a table that is indexed by the keys of a set.
fn keys(set: &MonitorSet) -> usize {
    set.keys().map(|key| key.index() + 1).max().unwrap_or(0)
}

/// Waits for the value that a subscription begins with.
async fn first(subscription: &mut Monitor) -> Result<()> {
    loop {
        match subscription.next().await {
            Some(MonitorEvent::Update { .. }) => return Ok(()),
            Some(_) => {}
            None => return Err("the subscription has ended".into()),
        }
    }
}

/// W6: frames up to the marked one.
pub(crate) async fn frames(client: &Client, name: &str) -> Result<()> {
    let channel = open(client, name).await?;
    let mut subscription = channel.monitor::<Reading>().start()?;
    first(&mut subscription).await?;
    println!("READY");
    let (mut meter, mut frames) = (Meter::start(), 0);
    while let Some(item) = subscription.next().await {
        let MonitorEvent::Update { value: reading, .. } = item else {
            continue;
        };
        if frames == 0 {
            meter = Meter::start();
        }
        frames += 1;
        let data = reading.value().data;
        if let [0xff, 0xff, high, low, ..] = *data {
            let produced = u64::from(u16::from_be_bytes([high, low]));
            finish(meter, frames, produced, Some(data.len()));
            return Ok(());
        }
    }
    Err("the subscription has ended".into())
}

/// Reads the last PV, one read outstanding, while the others are monitored.
pub(crate) async fn beside(client: &Client, names: &[String], n: u64) -> Result<()> {
    let mut channels = open_all(client, names).await?;
    let read = channels.pop().ok_or("no PV names")?;
    let mut watchers: JoinSet<()> = JoinSet::new();
    for channel in &channels {
        let mut subscription = channel.monitor::<Reading>().start()?;
        first(&mut subscription).await?;
        watchers.spawn(async move { while subscription.next().await.is_some() {} });
    }
    println!("READY");
    let mut latencies = Vec::with_capacity(n as usize);
    let meter = Meter::start();
    while (latencies.len() as u64) < n && meter.started().elapsed() < FAIR {
        let start = Instant::now();
        read.get::<f64>().await?;
        latencies.push(start.elapsed());
    }
    meter.result(
        latencies.len() as u64,
        More {
            latencies,
            ..More::default()
        },
    );
    Ok(())
}

fn finish(meter: Meter, delivered: u64, produced: u64, bytes: Option<usize>) {
    let more = More {
        produced: Some(produced),
        bytes,
        ..More::default()
    };
    meter.result(delivered, more);
}
