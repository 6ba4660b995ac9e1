//! Subscriptions with the asynchronous client.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use ca_client::{Client, Monitor, SubSpec, Subscription};
use tokio::task::{JoinSet, LocalSet};

use crate::meter::{Meter, More};
use crate::{Result, TIMEOUT, open, open_all};

/// Updates of a subscription that may wait: what arrives in one read of a circuit fits.
const DEPTH: usize = 4096;

/// W4: updates until each subscription has seen the negative value.
pub(crate) async fn updates(client: &Client, names: &[String], circuits: u8) -> Result<()> {
    let mut subscriptions = Vec::new();
    for priority in 0..circuits.max(1) {
        let mut channels = Vec::new();
        for name in names {
            channels.push(client.open_with(name, priority)?.with_timeout(TIMEOUT));
        }
        for channel in &channels {
            channel.connected().await?;
            subscriptions.push(channel.subscribe(SubSpec::time().depth(DEPTH))?);
        }
    }
    for subscription in &mut subscriptions {
        first(subscription).await?;
    }
    println!("READY");
    // The time starts with the first update of any of them.
    let began = Rc::new(Began::default());
    let tasks = LocalSet::new();
    let counting: Vec<_> = subscriptions
        .into_iter()
        .map(|subscription| tasks.spawn_local(count(subscription, began.clone())))
        .collect();
    let all = async {
        let (mut delivered, mut produced) = (0, 0);
        for ended in counting {
            let (updates, last) = ended.await??;
            delivered += updates;
            // Rounds 1 to n, and the end.
            produced += (-last) as u64 + 1;
        }
        Result::Ok((delivered, produced))
    };
    let (delivered, produced) = tasks.run_until(all).await?;
    let meter = began.0.take().ok_or("no update")?;
    finish(meter, delivered, produced, None);
    Ok(())
}

/// The measurement, from the first update on.
#[derive(Default)]
struct Began(Cell<Option<Meter>>, Cell<bool>);

impl Began {
    fn note(&self) {
        if !self.1.replace(true) {
            self.0.set(Some(Meter::start()));
        }
    }
}

/// Waits for the value that a subscription begins with.
async fn first(subscription: &mut Subscription) -> Result<()> {
    loop {
        match subscription.next().await {
            Some(Monitor::Update { .. }) => return Ok(()),
            Some(_) => {}
            None => return Err("the subscription has ended".into()),
        }
    }
}

/// Counts updates up to a negative one, which is returned too.
async fn count(mut subscription: Subscription, began: Rc<Began>) -> Result<(u64, f64)> {
    let mut updates = 0;
    while let Some(item) = subscription.next().await {
        let Monitor::Update { reading, .. } = item else {
            continue;
        };
        began.note();
        updates += 1;
        let value: f64 = reading.get(0).ok_or("an update without a number")?;
        if value < 0.0 {
            return Ok((updates, value));
        }
    }
    Err("the subscription has ended".into())
}

/// W6: frames up to the marked one.
pub(crate) async fn frames(client: &Client, name: &str) -> Result<()> {
    let channel = open(client, name).await?;
    let mut subscription = channel.subscribe(SubSpec::time())?;
    first(&mut subscription).await?;
    println!("READY");
    let (mut meter, mut frames) = (Meter::start(), 0);
    while let Some(item) = subscription.next().await {
        let Monitor::Update { reading, .. } = item else {
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
        let mut subscription = channel.subscribe(SubSpec::time())?;
        first(&mut subscription).await?;
        watchers.spawn(async move { while subscription.next().await.is_some() {} });
    }
    println!("READY");
    let mut latencies = Vec::with_capacity(n as usize);
    let meter = Meter::start();
    for _ in 0..n {
        let start = Instant::now();
        read.read::<f64>().await?;
        latencies.push(start.elapsed());
    }
    meter.result(
        n,
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
