//! The client that must not notice.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use ca_client::{BuildError, Client};
use hdrhistogram::Histogram;

/// Longest latency that is told from longer ones, in microseconds.
const LONGEST: u64 = 60_000_000;
/// An operation that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the honest client saw, in microseconds.
#[derive(Debug)]
pub struct Latency {
    /// Search, channel and first value of a PV.
    pub connect: Histogram<u64>,
    /// One value of a channel that is open.
    pub read: Histogram<u64>,
    /// A put with completion.
    pub put: Histogram<u64>,
    /// Operations without an answer, or with a wrong one.
    pub failed: u64,
}

/// A client of this server only, which hears beacons by a repeater at this port.
///
/// # Errors
/// As [`ClientBuilder::build`](ca_client::ClientBuilder::build).
pub fn client(server: SocketAddrV4, repeater: u16) -> Result<Client, BuildError> {
    Client::builder()
        .isolated([server])
        .repeater_port(repeater)
        .own_repeater(true)
        .timeout(PATIENCE)
        .build()
}

/// Works for so many rounds, one after each pause: opens `note` and reads it, reads `x`, puts `x` and
/// waits for the completion, reads back what was put.
///
/// # Errors
/// If `x` cannot be opened, or a histogram made.
pub async fn honest(
    client: &Client,
    rounds: u32,
    pause: Duration,
) -> Result<Latency, Box<dyn std::error::Error>> {
    let micros = || Histogram::new_with_bounds(1, LONGEST, 3);
    let mut seen = Latency {
        connect: micros()?,
        read: micros()?,
        put: micros()?,
        failed: 0,
    };
    let x = client.connect("x").await?;
    for round in 0..rounds {
        tokio::time::sleep(pause).await;
        let start = Instant::now();
        let note = async {
            client
                .connect("note")
                .await
                .ok()?
                .get::<String>()
                .await
                .ok()
        };
        let note = note.await;
        note_time(&mut seen.connect, start);
        seen.failed += u64::from(note.as_deref() != Some("hello"));
        let start = Instant::now();
        let put = x.put(f64::from(round)).wait().await;
        note_time(&mut seen.put, start);
        seen.failed += u64::from(put.is_err());
        let start = Instant::now();
        let read = x.get::<f64>().await;
        note_time(&mut seen.read, start);
        seen.failed += u64::from(read.ok() != Some(f64::from(round)));
    }
    Ok(seen)
}

fn note_time(histogram: &mut Histogram<u64>, since: Instant) {
    histogram.saturating_record(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
}
