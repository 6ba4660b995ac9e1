//! Wall clock, processor time and context switches, and the line in which a run tells them.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// A measurement under way.
#[derive(Debug)]
pub(crate) struct Meter {
    server: Option<Server>,
    switches: i64,
    cpu: Duration,
    start: Instant,
}

/// The process on the other side, with what it had used at the start.
#[derive(Debug)]
struct Server {
    pid: i32,
    clock: ClockId,
    switches: i64,
    cpu: Duration,
}

/// What a run gives beside times.
#[derive(Debug, Default)]
pub(crate) struct More {
    /// Time of each operation, when they came one after the other.
    pub latencies: Vec<Duration>,
    /// Updates that were produced, when some may have been squashed.
    pub produced: Option<u64>,
    /// Bytes of an operation, when they count.
    pub bytes: Option<usize>,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self {
            server: Server::from_env(),
            switches: own_switches(),
            cpu: time_of(ClockId::CLOCK_PROCESS_CPUTIME_ID),
            start: Instant::now(),
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.start
    }

    /// Ends the measurement and prints it.
    pub(crate) fn result(self, ops: u64, mut more: More) {
        let elapsed = self.start.elapsed();
        let cpu = time_of(ClockId::CLOCK_PROCESS_CPUTIME_ID) - self.cpu;
        let mut line = format!(
            "RESULT ops={ops} secs={:.9} cpu_ns={} switches={}",
            elapsed.as_secs_f64(),
            cpu.as_nanos(),
            own_switches() - self.switches,
        );
        let mut add = |key: &str, value: f64| {
            let _ = write!(line, " {key}={value:.3}");
        };
        if let Some(server) = self.server {
            let cpu = time_of(server.clock).saturating_sub(server.cpu);
            add("server_cpu_ns", cpu.as_nanos() as f64);
            let switches = switches_of(server.pid) - server.switches;
            add("server_switches", switches as f64);
        }
        more.latencies.sort_unstable();
        for (key, part) in [
            ("p50_us", 0.5),
            ("p90_us", 0.9),
            ("p99_us", 0.99),
            ("max_us", 1.0),
        ] {
            let at = (more.latencies.len() as f64 * part) as usize;
            let last = more.latencies.len().saturating_sub(1);
            if let Some(latency) = more.latencies.get(at.min(last)) {
                add(key, latency.as_secs_f64() * 1e6);
            }
        }
        if let Some(produced) = more.produced {
            add("produced", produced as f64);
            add("lost", 1.0 - ops as f64 / produced.max(1) as f64);
        }
        if let Some(bytes) = more.bytes {
            add("bytes", bytes as f64);
        }
        add("rss_kb", resident_kb() as f64);
        println!("{line}");
    }
}

impl Server {
    fn from_env() -> Option<Self> {
        let pid = std::env::var("BENCH_SERVER_PID").ok()?.parse().ok()?;
        let clock = clock_getcpuclockid(Pid::from_raw(pid)).ok()?;
        Some(Self {
            pid,
            clock,
            switches: switches_of(pid),
            cpu: time_of(clock),
        })
    }
}

fn time_of(clock: ClockId) -> Duration {
    clock.now().map_or(Duration::ZERO, Duration::from)
}

fn own_switches() -> i64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.voluntary_context_switches())
}

/// Voluntary context switches of all threads of a process.
fn switches_of(pid: i32) -> i64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    let of = |status: String| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<i64>().ok()
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
        .filter_map(of)
        .sum()
}

/// Resident set of this process, KiB.
pub(crate) fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}
