//! What is measured.

use std::cell::Cell;
use std::time::{Duration, Instant};

use ca_client::{Channel, Client, MonitorEvent, MonitorSpec, Reading, Value};
use futures_util::future::{join_all, try_join_all};

use super::figures::{Latencies, Throughput, Updates};
use crate::failure::Failure;

/// The PV that failed, and why.
type Outcome = Result<(), (String, Failure)>;

fn failed<E>(channel: &Channel, error: &E) -> (String, Failure)
where
    Failure: for<'a> From<&'a E>,
{
    (
        crate::escape::printable(&channel.name()).into_owned(),
        Failure::from(error),
    )
}

/// Reads one PV after the other.
pub(super) async fn reads(channels: &[Channel], time: Duration, into: &mut Latencies) -> Outcome {
    let begin = Instant::now();
    for channel in channels.iter().cycle() {
        let start = Instant::now();
        channel
            .get::<Reading>()
            .await
            .map_err(|error| failed(channel, &error))?;
        into.add(start.elapsed());
        if begin.elapsed() >= time {
            break;
        }
    }
    Ok(())
}

/// Keeps so many reads in flight.
pub(super) async fn throughput(
    channels: &[Channel],
    in_flight: usize,
    time: Duration,
    into: &mut Throughput,
) -> Outcome {
    let begin = Instant::now();
    let (reads, bytes) = (Cell::new(0), Cell::new(0));
    let keep_reading = |first: usize| {
        let (reads, bytes) = (&reads, &bytes);
        async move {
            // Each begins with another PV.
            for channel in channels.iter().cycle().skip(first % channels.len()) {
                let reading = channel.get::<Reading>().await;
                let reading = reading.map_err(|error| failed(channel, &error))?;
                reads.set(reads.get() + 1);
                bytes.set(bytes.get() + reading.value().data.len() as u64);
                if begin.elapsed() >= time {
                    break;
                }
            }
            Ok(())
        }
    };
    let outcome = try_join_all((0..in_flight).map(keep_reading)).await;
    *into = Throughput::new(in_flight, reads.get(), bytes.get(), begin.elapsed());
    outcome.map(drop)
}

/// Counts updates beyond the first ones.
pub(super) async fn updates(
    client: &Client,
    channels: &[Channel],
    time: Duration,
    into: &mut Updates,
) -> Outcome {
    let mut set = client.monitor_set();
    for channel in channels {
        set.add(channel, MonitorSpec::time())
            .map_err(|error| failed(channel, &error))?;
    }
    let (mut waiting, mut began) = (channels.len(), None);
    let (mut received, mut skipped) = (0, 0);
    let counting = async {
        while let Some(batch) = set.next_batch().await {
            for (_, item) in batch {
                let MonitorEvent::Update { skipped: lost, .. } = item else {
                    continue;
                };
                if waiting > 0 {
                    waiting -= 1;
                    continue;
                }
                began.get_or_insert_with(Instant::now);
                received += 1;
                skipped += lost;
            }
        }
    };
    let begin = Instant::now();
    // That the time is up is the usual end.
    let _ = tokio::time::timeout(time, counting).await;
    *into = Updates::new(received, skipped, begin.elapsed());
    Ok(())
}

/// Writes back what each PV has, one after the other.
pub(super) async fn writes(channels: &[Channel], time: Duration, into: &mut Latencies) -> Outcome {
    let values = join_all(channels.iter().map(Channel::get::<Value>)).await;
    let mut pairs = Vec::new();
    for (channel, value) in channels.iter().zip(values) {
        pairs.push((channel, value.map_err(|error| failed(channel, &error))?));
    }
    let begin = Instant::now();
    for (channel, value) in pairs.iter().cycle() {
        let start = Instant::now();
        channel
            .put(value.clone())
            .wait()
            .await
            .map_err(|error| failed(channel, &error))?;
        into.add(start.elapsed());
        if begin.elapsed() >= time {
            break;
        }
    }
    Ok(())
}
