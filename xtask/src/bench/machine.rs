//! What the machine is and does: load of others, datagrams, processor time, pinning.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use super::plan::Pin;

/// Ticks per second in `/proc/stat`; fixed for user space.
const HZ: f64 = 100.0;
/// Cores that all processes together may keep busy before a case begins.
const QUIET: f64 = 0.3;
const SAMPLE: Duration = Duration::from_millis(100);
const QUICK_SAMPLE: Duration = Duration::from_millis(80);

/// Time to wait for quiet in a whole run; afterwards loads are only recorded.
#[derive(Debug)]
pub(crate) struct Gate {
    left: Duration,
    longest: Duration,
    sample: Duration,
}

impl Gate {
    pub(crate) fn new(quick: bool) -> Self {
        let (left, longest) = if quick { (20, 2) } else { (90, 5) };
        Self {
            left: Duration::from_secs(left),
            longest: Duration::from_secs(longest),
            sample: if quick { QUICK_SAMPLE } else { SAMPLE },
        }
    }

    /// Waits until the machine is quiet, our servers included, and returns the cores that were busy
    /// at the last look.
    pub(crate) fn pass(&mut self) -> f64 {
        let start = Instant::now();
        loop {
            let (before, at) = (busy(), Instant::now());
            thread::sleep(self.sample);
            let load = (busy() - before) / at.elapsed().as_secs_f64();
            let waited = start.elapsed();
            if load < QUIET || waited > self.longest.min(self.left) {
                self.left = self.left.saturating_sub(waited.saturating_sub(self.sample));
                return load;
            }
        }
    }
}

/// Core seconds that were not idle since the system started.
pub(crate) fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = (stat.lines().next().unwrap_or_default())
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    let used = [0, 1, 2, 5, 6, 7].map(|at| ticks.get(at).copied().unwrap_or(0.0));
    used.iter().sum::<f64>() / HZ
}

/// Processor seconds of a process, all its threads included.
pub(crate) fn cpu_of(pid: i32) -> f64 {
    let clock = clock_getcpuclockid(Pid::from_raw(pid));
    let time = clock.and_then(ClockId::now);
    time.map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// Processor seconds of our children that have ended.
pub(crate) fn cpu_of_ended() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return 0.0;
    };
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// Resident set of a process, bytes.
pub(crate) fn resident(pid: i32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kb: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kb * 1024.0)
}

/// Datagrams of this network namespace.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Datagrams {
    pub sent: f64,
    /// Dropped because a receive buffer was full, or otherwise on receipt.
    pub dropped: f64,
}

impl Datagrams {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
        let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
            return Self::default();
        };
        let of = |wanted: &str| {
            let pair = (names.split(' ').zip(values.split(' '))).find(|(name, _)| *name == wanted);
            pair.and_then(|(_, value)| value.parse::<f64>().ok())
        };
        Self {
            sent: of("OutDatagrams").unwrap_or(0.0),
            // The first includes the second.
            dropped: of("InErrors")
                .unwrap_or(0.0)
                .max(of("RcvbufErrors").unwrap_or(0.0)),
        }
    }
}

/// The cores that we may use.
#[derive(Clone, Debug)]
pub(crate) struct Cores(Vec<usize>);

impl Cores {
    pub(crate) fn allowed() -> Self {
        let set = sched_getaffinity(Pid::this()).unwrap_or_default();
        let is_set = |&core: &usize| set.is_set(core).unwrap_or(false);
        Self((0..CpuSet::count()).filter(is_set).collect())
    }

    pub(crate) fn can(&self, pin: Pin) -> bool {
        pin != Pin::Split || self.0.len() > 1
    }

    /// Cores of the server and of the client.
    fn of(&self, pin: Pin) -> [&[usize]; 2] {
        match (pin, &self.0[..]) {
            (Pin::Same, [first, ..]) => [std::slice::from_ref(first); 2],
            (Pin::Split, [first, second, ..]) => {
                [std::slice::from_ref(first), std::slice::from_ref(second)]
            }
            (_, all) => [all, all],
        }
    }

    /// Moves the server, and whatever we start from here on.
    pub(crate) fn pin(&self, pin: Pin, server: Option<i32>) {
        let [servers, clients] = self.of(pin);
        let threads = server.map(|pid| fs::read_dir(format!("/proc/{pid}/task")));
        for thread in threads.into_iter().flatten().flatten().flatten() {
            if let Some(id) = thread.file_name().to_str().and_then(|id| id.parse().ok()) {
                set(Pid::from_raw(id), servers);
            }
        }
        set(Pid::from_raw(0), clients);
    }

    /// Two numbers for a program that pins itself and its peer.
    pub(crate) fn words(&self, pin: Pin) -> Option<String> {
        let [servers, clients] = self.of(pin);
        (pin != Pin::Free).then(|| format!("{} {}", servers[0], clients[0]))
    }

    /// Lets go of what comes from here on.
    pub(crate) fn release(&self) {
        set(Pid::from_raw(0), &self.0);
    }
}

fn set(thread: Pid, cores: &[usize]) {
    let mut wanted = CpuSet::new();
    for &core in cores {
        let _ = wanted.set(core);
    }
    // A thread that has ended meanwhile need not be moved.
    let _ = sched_setaffinity(thread, &wanted);
}

/// Processor, cores, system.
pub(crate) fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = (cpus.lines()).find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = Cores::allowed().0.len();
    let model = model.unwrap_or("unknown processor");
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}
