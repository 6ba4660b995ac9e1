//! What was found, for people and for programs.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// Latencies are kept with three digits.
const DIGITS: u8 = 3;
/// Longest latency that is told apart, ns: an hour.
const LONGEST: u64 = 3_600_000_000_000;
/// Longest bar of a histogram.
const WIDTH: u64 = 40;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    connect: Connect,
    pub(super) read: Latencies,
    pub(super) throughput: Throughput,
    pub(super) updates: Updates,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) write: Option<Latencies>,
}

/// From the first search to the last connection.
#[derive(Debug, Serialize)]
struct Connect {
    channels: usize,
    seconds: f64,
    per_second: f64,
}

impl Figures {
    /// Whether no channel was connected, so that there was nothing to measure.
    pub(super) const fn is_empty(&self) -> bool {
        self.connect.channels == 0
    }

    pub(super) fn new(channels: usize, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            connect: Connect {
                channels,
                seconds,
                per_second: rate(channels as u64, took),
            },
            read: Latencies::new(),
            throughput: Throughput::default(),
            updates: Updates::default(),
            write: None,
        }
    }
}

fn rate(n: u64, time: Duration) -> f64 {
    match time.is_zero() {
        true => 0.0,
        false => n as f64 / time.as_secs_f64(),
    }
}

/// How long single operations took.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

/// Part of the operations, and its name as a key.
const PERCENTILES: [(f64, &str); 5] = [
    (0.5, "p50_us"),
    (0.9, "p90_us"),
    (0.99, "p99_us"),
    (0.999, "p999_us"),
    (1.0, "max_us"),
];

impl Latencies {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Self(histogram.expect("the bounds are in order and the digits few"))
    }

    pub(super) fn add(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(LONGEST);
        self.0.saturating_record(nanos);
    }

    fn percentile(&self, part: f64) -> f64 {
        self.0.value_at_quantile(part) as f64 / 1e3
    }

    /// Buckets of doubling width: upper end in microseconds, and operations.
    fn buckets(&self) -> Vec<(f64, u64)> {
        let buckets = self.0.iter_log(1000, 2.0);
        let all: Vec<(f64, u64)> = buckets
            .map(|step| {
                let end = step.value_iterated_to() as f64 / 1e3;
                (end, step.count_since_last_iteration())
            })
            .collect();
        let first = all.iter().position(|&(_, count)| count > 0);
        all.into_iter().skip(first.unwrap_or(0)).collect()
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("latencies", 2 + PERCENTILES.len())?;
        object.serialize_field("operations", &self.0.len())?;
        for (part, name) in PERCENTILES {
            object.serialize_field(name, &self.percentile(part))?;
        }
        object.serialize_field("below_us", &self.buckets())?;
        object.end()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations", self.0.len())?;
        for (part, name) in PERCENTILES {
            let name = name.trim_end_matches("_us");
            write!(f, ", {name} {:.1} µs", self.percentile(part))?;
        }
        writeln!(f)?;
        let buckets = self.buckets();
        let most = buckets.iter().map(|&(_, count)| count).max().unwrap_or(0);
        for (end, count) in buckets {
            // What there is has a bar, however short.
            let bar = (count * WIDTH).div_ceil(most.max(1)) as usize;
            let line = format!("  < {end:>9.0} µs {count:>9} {}", "█".repeat(bar));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Reads with many in flight.
#[derive(Debug, Default, Serialize)]
pub(super) struct Throughput {
    in_flight: usize,
    reads: u64,
    reads_per_second: f64,
    bytes_per_second: f64,
}

impl Throughput {
    pub(super) fn new(in_flight: usize, reads: u64, bytes: u64, time: Duration) -> Self {
        Self {
            in_flight,
            reads,
            reads_per_second: rate(reads, time),
            bytes_per_second: rate(bytes, time),
        }
    }
}

/// Updates of all PVs.
#[derive(Debug, Default, Serialize)]
pub(super) struct Updates {
    received: u64,
    /// Lost between server and user, because the latter was slower.
    skipped: u64,
    per_second: f64,
}

impl Updates {
    pub(super) fn new(received: u64, skipped: u64, time: Duration) -> Self {
        Self {
            received,
            skipped,
            per_second: rate(received, time),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connect {
            channels,
            seconds,
            per_second,
        } = self.connect;
        let ms = seconds * 1e3;
        writeln!(
            f,
            "connect     {channels} channels in {ms:.2} ms, {per_second:.0} per second"
        )?;
        write!(f, "read        {}", self.read)?;
        let Throughput {
            in_flight,
            reads,
            reads_per_second,
            bytes_per_second,
        } = self.throughput;
        writeln!(
            f,
            "throughput  {reads} reads with {in_flight} in flight, {reads_per_second:.0} per second, \
             {:.2} MB/s of values",
            bytes_per_second / 1e6
        )?;
        let Updates {
            received,
            skipped,
            per_second,
        } = self.updates;
        writeln!(
            f,
            "updates     {received} received, {skipped} skipped, {per_second:.0} per second"
        )?;
        match &self.write {
            Some(write) => write!(f, "write       {write}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_has_bars_in_proportion() {
        let mut latencies = Latencies::new();
        (0..40).for_each(|_| latencies.add(Duration::from_micros(3)));
        latencies.add(Duration::from_micros(7));
        let text = latencies.to_string();
        let bars: Vec<usize> = text
            .lines()
            .skip(1)
            .map(|line| line.matches('█').count())
            .collect();
        assert_eq!(bars, [40, 1], "{text}");
        assert!(text.starts_with("41 operations, p50 3.0 µs"), "{text}");
    }

    #[test]
    fn nothing_measured_is_no_error() {
        let latencies = Latencies::new();
        assert!(
            latencies.to_string().starts_with("0 operations"),
            "{latencies}"
        );
        assert_eq!(rate(5, Duration::ZERO), 0.0);
    }

    #[test]
    fn a_latency_beyond_the_bounds_is_kept() {
        let mut latencies = Latencies::new();
        latencies.add(Duration::MAX);
        assert!(latencies.percentile(1.0) >= 3.5e9);
    }
}
