//! Reads, puts and connections with the asynchronous client.

use std::time::{Duration, Instant};

use ca_client::{Client, Value};

use crate::meter::{Meter, More};
use crate::{Result, TIMEOUT, open, open_all};

/// Puts between two looks at the clock of a paced writer.
const PACE_STEP: u64 = 16;

/// One operation outstanding; a tenth more as a warm-up.
pub(crate) async fn one_by_one(
    n: u64,
    bytes: Option<usize>,
    mut operation: impl AsyncFnMut(u64) -> Result<()>,
) -> Result<()> {
    for k in 0..n / 10 + 1 {
        operation(k).await?;
    }
    let mut latencies = Vec::with_capacity(n as usize);
    let meter = Meter::start();
    for k in 0..n {
        let start = Instant::now();
        operation(k).await?;
        latencies.push(start.elapsed());
    }
    let produced = None;
    meter.result(
        n,
        More {
            latencies,
            produced,
            bytes,
        },
    );
    Ok(())
}

/// W1.
pub(crate) async fn get(client: &Client, name: &str, n: u64) -> Result<()> {
    let channel = open(client, name).await?;
    one_by_one(n, None, async |_| {
        channel.get::<f64>().await?;
        Ok(())
    })
    .await
}

/// W2.
pub(crate) async fn get_many(client: &Client, names: &[String], rounds: u64) -> Result<()> {
    let channels = open_all(client, names).await?;
    let round = async || {
        for value in client.get_many::<f64>(&channels).timeout(TIMEOUT).await {
            value?;
        }
        Result::Ok(())
    };
    round().await?;
    let meter = Meter::start();
    for _ in 0..rounds {
        round().await?;
    }
    meter.result(rounds * channels.len() as u64, More::default());
    Ok(())
}

/// W3: put-notify.
pub(crate) async fn put_notify(client: &Client, name: &str, n: u64) -> Result<()> {
    let channel = open(client, name).await?;
    one_by_one(n, None, async |k| Ok(channel.put(k as f64).wait().await?)).await
}

/// W3: puts without an answer, and one read behind them.
pub(crate) async fn put(client: &Client, name: &str, n: u64) -> Result<()> {
    let channel = open(client, name).await?;
    channel.get::<f64>().await?;
    let meter = Meter::start();
    for k in 0..n {
        channel.put(k as f64).await?;
    }
    channel.get::<f64>().await?;
    meter.result(n, More::default());
    Ok(())
}

/// The writer of W4.
pub(crate) async fn put_rounds(
    client: &Client,
    names: &[String],
    rounds: u64,
    pace: u32,
) -> Result<()> {
    let channels = open_all(client, names).await?;
    let meter = Meter::start();
    let mut puts = 0;
    let values = (1..=rounds).map(|round| round as f64);
    for value in values.chain([-(rounds as f64)]) {
        for channel in &channels {
            channel.put(value).await?;
            puts += 1;
            if pace > 0 && puts % PACE_STEP == 0 {
                let due = Duration::from_secs_f64(puts as f64 / f64::from(pace));
                tokio::time::sleep_until((meter.started() + due).into()).await;
            }
        }
    }
    channels[0].get::<f64>().await?;
    meter.result(puts, More::default());
    Ok(())
}

/// W5.
pub(crate) async fn connect(client: &Client, names: &[String]) -> Result<()> {
    let meter = Meter::start();
    let channels = open_all(client, names).await?;
    meter.result(channels.len() as u64, More::default());
    Ok(())
}

/// W6: doubles in the order of this machine.
pub(crate) async fn get_array(client: &Client, name: &str, n: u64) -> Result<()> {
    let channel = open(client, name).await?;
    let bytes = channel.get::<Vec<f64>>().await?.len() * size_of::<f64>();
    one_by_one(n, Some(bytes), async |_| {
        channel.get::<Vec<f64>>().await?;
        Ok(())
    })
    .await
}

/// Fills an array of the server, whose length is otherwise that of the last put.
pub(crate) async fn fill(client: &Client, name: &str) -> Result<()> {
    let channel = open(client, name).await?;
    let info = channel.info().ok_or("the client is closed")?;
    let size = info.connection().map_or(0, |connection| connection.count);
    let values: Vec<f64> = (0..size).map(f64::from).collect();
    let meter = Meter::start();
    channel.put(Value::array(&values)).wait().await?;
    meter.result(1, More::default());
    Ok(())
}

/// The writer of W6: frames with their number in them, the last one marked.
pub(crate) async fn put_frames(client: &Client, name: &str, n: u64) -> Result<()> {
    let channel = open(client, name).await?;
    let info = channel.info().ok_or("the client is closed")?;
    let size = info.connection().map_or(0, |connection| connection.count);
    let mut frame = vec![7u8; size as usize];
    let meter = Meter::start();
    for k in 1..=n {
        let mark = if k == n { 0xff } else { 0 };
        let [.., high, low] = k.to_be_bytes();
        frame[..4].copy_from_slice(&[mark, mark, high, low]);
        channel.put(Value::array(&frame)).await?;
    }
    channel.get::<u16>().await?;
    meter.result(n, More::default());
    Ok(())
}
