//! Statistics of the IOC as PVs, by the names that screens for the module iocStats show.

use std::fs;
use std::time::{Duration, Instant};

use ca_server_sim::Value;
use ca_server_sim::net::SimIoc;
use tokio::task::JoinHandle;

use super::control;
use crate::background::say;

/// The records; the prefix is the macro `IOC`.
pub(super) const RECORDS: &str = include_str!("stats.db");
/// Between two looks at what is asked for.
const TICK: Duration = Duration::from_secs(1);
/// Ticks of `/proc`, in a second.
const HZ: f64 = 100.0;

/// What keeps them up to date, until it is dropped.
#[derive(Debug)]
pub(super) struct Stats(JoinHandle<()>);

impl Stats {
    /// Keeps the PVs with this prefix up to date.
    pub(super) fn start(ioc: &SimIoc, prefix: &str) -> Self {
        let keeper = Keeper {
            ioc: ioc.clone(),
            prefix: prefix.to_owned(),
            begun: Instant::now(),
            starts: 0,
            asked: 0.0,
            resets: 0,
            load: None,
        };
        Self(tokio::spawn(keeper.run()))
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The PV that says how often, what is done then, and when it was done last.
type Look = (&'static str, fn(&mut Keeper), Option<Instant>);

struct Keeper {
    ioc: SimIoc,
    prefix: String,
    begun: Instant,
    starts: i32,
    /// How often SYSRESET had been processed.
    asked: f64,
    /// How often the IOC had rebooted.
    resets: u64,
    /// When the load was looked at last, with the processor time of the IOC, and that of the machine: used and all.
    load: Option<(Instant, f64, (f64, f64))>,
}

impl Keeper {
    async fn run(mut self) {
        self.begin();
        let mut due: [Look; 4] = [
            ("CA_UPD_TIME", Self::clients, None),
            ("MEM_UPD_TIME", Self::memory, None),
            ("LOAD_UPD_TIME", Self::loads, None),
            ("FD_UPD_TIME", Self::descriptors, None),
        ];
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.ioc.with(|ioc, _| ioc.resets()) != self.resets {
                // By a fault; what was posted before is gone.
                self.begin();
                due.iter_mut().for_each(|(.., last)| *last = None);
            }
            self.text("UPTIME", &uptime(self.begun.elapsed()));
            for (period, look, last) in &mut due {
                let period = Duration::from_secs_f64(self.number(period).clamp(1.0, 60.0));
                // A tick comes a little early or late.
                let since = last.map(|last| last.elapsed() + TICK / 2);
                if since.is_none_or(|since| since >= period) {
                    *last = Some(Instant::now());
                    look(&mut self);
                }
            }
            if self.number("SYSRESET") > self.asked {
                self.restart().await;
            }
        }
    }

    /// What does not change until the next start.
    fn begin(&mut self) {
        self.begun = Instant::now();
        self.starts += 1;
        self.asked = self.number("SYSRESET");
        self.resets = self.ioc.with(|ioc, _| ioc.resets());
        let now = jiff::Zoned::now().strftime("%m/%d/%Y %H:%M:%S").to_string();
        self.text("STARTTOD", &now);
        self.post("START_CNT", self.starts);
        let records = self.ioc.with(|ioc, _| ioc.record_count());
        self.post("RECORD_CNT", records as f64);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.post("CPU_CNT", processors as f64);
        self.post("SUSP_TASK_CNT", 0.0);
        self.post("PROCESS_ID", f64::from(std::process::id()));
        #[cfg(unix)]
        self.post("PARENT_ID", f64::from(std::os::unix::process::parent_id()));
        let version = concat!("Canter ", env!("CARGO_PKG_VERSION"));
        self.text("EPICS_VERS", version);
        self.long("EPICS_VERSION", version);
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let kernel = match read("/proc/sys/kernel/osrelease").trim() {
            "" => std::env::consts::OS.to_owned(),
            release => format!("Linux {release}"),
        };
        self.text("KERNEL_VERS", &kernel);
        let host = std::env::var("HOSTNAME").ok();
        let host = host.unwrap_or_else(|| read("/proc/sys/kernel/hostname"));
        self.text("HOSTNAME", host.trim());
        let here = std::env::current_dir().map(|here| here.display().to_string());
        let here = here.unwrap_or_default();
        self.text("APP_DIR1", &here);
        let behind: String = here.chars().skip(39).collect();
        self.text("APP_DIR2", &behind);
        self.long("APP_DIR", &here);
        for name in ["ENGINEER", "LOCATION"] {
            self.text(name, &std::env::var(name).unwrap_or_default());
        }
    }

    fn clients(&mut self) {
        let counts = self.ioc.with(|ioc, _| ioc.counts());
        self.post("CA_CLNT_CNT", counts.circuits as f64);
        self.post("CA_CONN_CNT", counts.channels as f64);
    }

    fn memory(&mut self) {
        let kb = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        };
        for (name, value) in [
            ("MEM_USED", kb("/proc/self/status", "VmRSS:")),
            ("MEM_FREE", kb("/proc/meminfo", "MemAvailable:")),
            ("MEM_MAX", kb("/proc/meminfo", "MemTotal:")),
        ] {
            self.known(name, value.map(|kb| kb * 1024.0));
        }
    }

    fn loads(&mut self) {
        let Some((own, (used, all))) = own_time().zip(machine_time()) else {
            self.known("IOC_CPU_LOAD", None);
            return self.known("SYS_CPU_LOAD", None);
        };
        let now = Instant::now();
        if let Some((at, before, (was_used, was_all))) = self.load.replace((now, own, (used, all)))
        {
            let seconds = (now - at).as_secs_f64().max(1e-3);
            self.post("IOC_CPU_LOAD", 100.0 * (own - before) / seconds);
            let all = (all - was_all).max(1e-3);
            self.post("SYS_CPU_LOAD", 100.0 * (used - was_used) / all);
        }
    }

    fn descriptors(&mut self) {
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        let most = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        self.known("FD_MAX", most);
        let open = fs::read_dir("/proc/self/fd").ok();
        self.known("FD_CNT", open.map(|open| open.count() as f64));
    }

    /// Ends all circuits and serves again on the same ports; all PVs are as they were loaded, but for what autosave
    /// restores.
    async fn restart(&mut self) {
        say(&format!("{}:SYSRESET: the IOC reboots", self.prefix));
        let mut rebooted = self.ioc.reboot().await;
        while let Err(error) = rebooted {
            say(&control::cannot_start(&error));
            tokio::time::sleep(TICK).await;
            rebooted = self.ioc.start().await.map(|()| Ok(()));
        }
        if let Ok(Err(error)) = rebooted {
            say(&format!("values stay: {error}"));
        }
        self.begin();
    }

    fn name(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    fn number(&self, name: &str) -> f64 {
        let name = self.name(name);
        let number = self.ioc.with(|ioc, _| ioc.number(name.as_str()));
        number.unwrap_or(0.0)
    }

    fn post(&self, name: &str, value: impl Into<Value>) {
        // Who reads other files anew may have removed it.
        let _ = self.ioc.post(self.name(name).as_str(), value);
    }

    /// What this system does not tell stays undefined.
    fn known(&self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.post(name, value);
        }
    }

    fn text(&self, name: &str, text: &str) {
        self.post(name, Value::string(text));
    }

    fn long(&self, name: &str, text: &str) {
        self.post(name, Value::array(text.as_bytes()));
    }
}

/// `3 days, 01:02:03`.
fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        days => format!("{days} days, {clock}"),
    }
}

/// Processor time of this process, in seconds.
fn own_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may have blanks.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / HZ)
}

/// Processor time of the machine in seconds: what was used, and all.
fn machine_time() -> Option<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    let all: f64 = ticks.iter().take(8).sum();
    // Idle, and waiting for a disk.
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Some(((all - idle) / HZ, all / HZ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_screens_have_them() {
        let told = |seconds| uptime(Duration::from_secs(seconds));
        assert_eq!(told(5), "00:00:05");
        assert_eq!(told(86_399), "23:59:59");
        assert_eq!(told(86_400), "1 day, 00:00:00");
        assert_eq!(told(3 * 86_400 + 3723), "3 days, 01:02:03");
    }
}
