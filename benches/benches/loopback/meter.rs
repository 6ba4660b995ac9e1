//! Wall clock, processor time of single threads, percentiles.

use std::fs;
use std::time::{Duration, Instant};

/// Processor time that a thread has used, from the scheduler's own count, which is exact to the
/// nanosecond where `/proc/self/stat` counts ticks of 10 ms.
#[derive(Clone, Debug)]
pub(crate) struct ThreadCpu(String);

impl ThreadCpu {
    /// The calling thread.
    pub(crate) fn current() -> Self {
        let link = fs::read_link("/proc/thread-self").unwrap_or_default();
        Self(format!("/proc/{}/schedstat", link.display()))
    }

    /// Nanoseconds so far; 0 where the system does not tell.
    pub(crate) fn nanos(&self) -> u64 {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let first = text.split(' ').next();
        first.and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// The thread's number, to pin it.
    pub(crate) fn id(&self) -> &str {
        self.0.rsplit('/').nth(1).unwrap_or_default()
    }
}

/// What one run of a workload gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Operations done.
    pub ops: u64,
    /// Time they took together.
    pub elapsed: Duration,
    /// Time of each operation, when they came one after the other.
    pub latencies: Vec<Duration>,
    /// Bytes of one operation, when that is what counts.
    pub bytes: u64,
    /// Updates that were squashed into later ones.
    pub squashed: u64,
    /// Processor nanoseconds of the client's thread.
    pub client_cpu: u64,
    /// Processor nanoseconds of the server's thread, when it is ours.
    pub server_cpu: u64,
}

impl Sample {
    pub(crate) fn rate(&self) -> f64 {
        self.ops as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency below which this part of the operations stays, in microseconds.
    pub(crate) fn percentile(&self, part: f64) -> Option<f64> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * part) as usize;
        let found = sorted.get(at.min(sorted.len().saturating_sub(1)))?;
        Some(found.as_secs_f64() * 1e6)
    }

    pub(crate) fn cpu_per_op(&self, nanos: u64) -> f64 {
        nanos as f64 / self.ops.max(1) as f64
    }

    /// Part of the produced updates that was squashed.
    pub(crate) fn squashed_part(&self) -> f64 {
        self.squashed as f64 / (self.ops + self.squashed).max(1) as f64
    }
}

/// A measurement under way.
#[derive(Debug)]
pub(crate) struct Meter {
    start: Instant,
    client: ThreadCpu,
    client_start: u64,
    server: Option<ThreadCpu>,
    server_start: u64,
}

impl Meter {
    pub(crate) fn start(server: Option<&ThreadCpu>) -> Self {
        let client = ThreadCpu::current();
        Self {
            client_start: client.nanos(),
            server_start: server.map_or(0, ThreadCpu::nanos),
            client,
            server: server.cloned(),
            start: Instant::now(),
        }
    }

    pub(crate) fn stop(self, ops: u64) -> Sample {
        Sample {
            ops,
            elapsed: self.start.elapsed(),
            client_cpu: self.client.nanos() - self.client_start,
            server_cpu: self.server.map_or(0, |cpu| cpu.nanos()) - self.server_start,
            ..Sample::default()
        }
    }
}
