//! The workloads, as a user would write them with the asynchronous client.

use std::time::{Duration, Instant};

use ca_client::{Channel, Client, Monitor, SubSpec, Subscription, Value};
use futures_util::future::{join_all, try_join_all};
use tokio::task::JoinSet;

use crate::meter::{Meter, Sample, ThreadCpu};

/// Whatever goes wrong ends the program.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Time that any operation and the connection of all channels may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Updates of a subscription that may wait: what arrives in one read of a circuit fits.
const DEPTH: usize = 4096;

/// Where a workload runs.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub client: Client,
    /// The server's thread, when it is ours.
    pub server: Option<ThreadCpu>,
}

impl Target {
    fn meter(&self) -> Meter {
        Meter::start(self.server.as_ref())
    }

    async fn open(&self, name: &str) -> Result<Channel> {
        let channel = self.client.channel(name).await?;
        Ok(channel.with_timeout(TIMEOUT))
    }

    async fn open_all(&self, names: &[String]) -> Result<Vec<Channel>> {
        let opened = names.iter().map(|name| {
            let channel = self.client.open(name);
            async {
                let channel = channel?.with_timeout(TIMEOUT);
                channel.connected().await?;
                Result::Ok(channel)
            }
        });
        try_join_all(opened).await
    }
}

/// W1: one read outstanding.
pub(crate) async fn get(target: &Target, name: &str, n: u64) -> Result<Sample> {
    let channel = target.open(name).await?;
    for _ in 0..n / 10 + 1 {
        channel.read::<f64>().await?;
    }
    let mut latencies = Vec::with_capacity(n as usize);
    let meter = target.meter();
    for _ in 0..n {
        let start = Instant::now();
        channel.read::<f64>().await?;
        latencies.push(start.elapsed());
    }
    let sample = meter.stop(n);
    Ok(Sample {
        latencies,
        ..sample
    })
}

/// W2: a read of every channel in flight.
pub(crate) async fn get_together(target: &Target, names: &[String], rounds: u64) -> Result<Sample> {
    let channels = target.open_all(names).await?;
    let round = || async {
        for value in join_all(channels.iter().map(Channel::read::<f64>)).await {
            value?;
        }
        Result::Ok(())
    };
    round().await?;
    let meter = target.meter();
    for _ in 0..rounds {
        round().await?;
    }
    Ok(meter.stop(rounds * channels.len() as u64))
}

/// W3: one put-notify outstanding.
pub(crate) async fn put_notify(target: &Target, name: &str, n: u64) -> Result<Sample> {
    let channel = target.open(name).await?;
    for _ in 0..n / 10 + 1 {
        channel.write_notify(0.0).await?;
    }
    let mut latencies = Vec::with_capacity(n as usize);
    let meter = target.meter();
    for k in 0..n {
        let start = Instant::now();
        channel.write_notify(k as f64).await?;
        latencies.push(start.elapsed());
    }
    let sample = meter.stop(n);
    Ok(Sample {
        latencies,
        ..sample
    })
}

/// W3: puts without an answer, and one read behind them.
pub(crate) async fn put(target: &Target, name: &str, n: u64) -> Result<Sample> {
    let channel = target.open(name).await?;
    channel.write_notify(0.0).await?;
    let meter = target.meter();
    for k in 0..n {
        channel.write(k as f64).await?;
    }
    channel.read::<f64>().await?;
    Ok(meter.stop(n))
}

/// The writer of W4: `rounds` values to each PV as fast as it goes, then the last one negated.
pub(crate) async fn put_rounds(target: &Target, names: &[String], rounds: u64) -> Result<Sample> {
    let channels = target.open_all(names).await?;
    let meter = target.meter();
    for round in 1..=rounds {
        for channel in &channels {
            channel.write(round as f64).await?;
        }
    }
    for channel in &channels {
        channel.write(-(rounds as f64)).await?;
    }
    channels[0].read::<f64>().await?;
    Ok(meter.stop((rounds + 1) * channels.len() as u64))
}

/// W4: a task for each subscription, until each has seen the negative value. `ready` is called when
/// all have their first value.
pub(crate) async fn monitor(
    target: &Target,
    names: &[String],
    ready: impl FnOnce(),
) -> Result<Sample> {
    let channels = target.open_all(names).await?;
    let mut subscriptions = Vec::new();
    for channel in &channels {
        subscriptions.push(channel.subscribe(SubSpec::time().depth(DEPTH))?);
    }
    for subscription in &mut subscriptions {
        first(subscription).await?;
    }
    ready();
    // The time starts with the first update.
    let begin = subscriptions[0].next().await;
    let meter = target.meter();
    let mut tasks: JoinSet<Result<(u64, f64)>> = JoinSet::new();
    for subscription in subscriptions {
        tasks.spawn(count(subscription));
    }
    let (mut delivered, mut produced) = (u64::from(begin.is_some()), 0);
    while let Some(ended) = tasks.join_next().await {
        let (updates, last) = ended??;
        delivered += updates;
        // Rounds 1 to n, and the end.
        produced += (-last) as u64 + 1;
    }
    let sample = meter.stop(delivered);
    Ok(Sample {
        squashed: produced.saturating_sub(delivered),
        ..sample
    })
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
async fn count(mut subscription: Subscription) -> Result<(u64, f64)> {
    let mut updates = 0;
    while let Some(item) = subscription.next().await {
        let Monitor::Update { reading, .. } = item else {
            continue;
        };
        updates += 1;
        let value: f64 = reading.get(0).ok_or("an update without a number")?;
        if value < 0.0 {
            return Ok((updates, value));
        }
    }
    Err("the subscription has ended".into())
}

/// W5: all channels at once.
pub(crate) async fn connect(target: &Target, names: &[String]) -> Result<Sample> {
    let meter = target.meter();
    let channels = target.open_all(names).await?;
    Ok(meter.stop(channels.len() as u64))
}

/// W6: reads of a large array, one after the other.
pub(crate) async fn get_array(target: &Target, name: &str, n: u64) -> Result<Sample> {
    let channel = target.open(name).await?;
    let mut bytes = 0;
    for _ in 0..3 {
        bytes = channel.reading().await?.value().data.len() as u64;
    }
    let meter = target.meter();
    for _ in 0..n {
        channel.reading().await?;
    }
    let sample = meter.stop(n);
    Ok(Sample { bytes, ..sample })
}

/// The writer of W6: numbered frames, the last one marked.
pub(crate) async fn put_frames(target: &Target, name: &str, n: u16) -> Result<Sample> {
    let channel = target.open(name).await?;
    let size = channel
        .info()
        .and_then(|info| info.connection().map(|c| c.count));
    let mut frame = vec![7u8; size.unwrap_or_default() as usize];
    let meter = target.meter();
    for k in 1..=n {
        let mark = if k == n { 0xff } else { 0 };
        let [high, low] = k.to_be_bytes();
        frame[..4].copy_from_slice(&[mark, mark, high, low]);
        channel.write(Value::array(&frame)).await?;
    }
    channel.read::<u16>().await.ok();
    Ok(meter.stop(n.into()))
}

/// W6: frames by monitor, up to the marked one.
pub(crate) async fn monitor_frames(
    target: &Target,
    name: &str,
    ready: impl FnOnce(),
) -> Result<Sample> {
    let channel = target.open(name).await?;
    let mut subscription = channel.subscribe(SubSpec::time())?;
    first(&mut subscription).await?;
    ready();
    let (mut meter, mut frames) = (target.meter(), 0);
    loop {
        let Some(item) = subscription.next().await else {
            return Err("the subscription has ended".into());
        };
        let Monitor::Update { reading, .. } = item else {
            continue;
        };
        if frames == 0 {
            meter = target.meter();
        }
        frames += 1;
        let data = reading.value().data;
        if let [0xff, 0xff, high, low, ..] = *data {
            let produced = u64::from(u16::from_be_bytes([high, low]));
            let sample = meter.stop(frames);
            return Ok(Sample {
                bytes: data.len() as u64,
                squashed: produced.saturating_sub(frames),
                ..sample
            });
        }
    }
}
