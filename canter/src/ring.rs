//! `canter ring`: an IOC with a storage ring behind it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ca_ring::{DEFAULT_LATTICE, Lattice, Machine, MachineError, Options, Quantity};
use ca_server_sim::net::{ModelFault, ModelPvs, ModelRun, NetConfig, SimIoc};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};
use clap::Args;
use serde::Serialize;
use tokio::time::sleep;

use crate::console::Console;
use crate::exit::{Outcome, Stop, UsageError};
use crate::interrupt::{interrupted, stdin_ended};
use crate::options::{block_on, seconds};
use crate::text;

#[derive(Args, Debug)]
#[command(after_long_help = "\
The lattice is in a part of the language of MAD-X; `--print-lattice` shows the one that is used without a file.
Correctors are ARIMA-CH-001:I-SET and so on, the orbit is ARIDI-BPM-001:X and ARIDI-ORBIT:X, tunes, current and
lifetime are ARIDI-TUNE:X, ARIDI-PCT:CURRENT, ARIDI-PCT:TAU-HOUR; `--names FILE` writes all of them.")]
pub(crate) struct RingArgs {
    /// A lattice in place of the one that comes with the program
    #[arg(long, value_name = "FILE")]
    lattice: Option<PathBuf>,
    /// Print the lattice that comes with the program, and end
    #[arg(long)]
    print_lattice: bool,
    /// Write the names of all PVs into a file, as JSON
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Time between two steps
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "0.1")]
    period: f64,
    /// Read-backs follow set-points, and there is no beam
    #[arg(long)]
    no_physics: bool,
    /// Temperatures, flows and the like of each device: 100 of them make 60 000 PVs with the lattice that
    /// comes with the program
    #[arg(long, value_name = "N", default_value = "100")]
    housekeeping: usize,
    /// Seed of misalignments, drift and noise
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// UDP and TCP port; 0: any free one
    #[arg(long, value_name = "PORT", default_value = "0")]
    port: u16,
    /// Address to serve at; 0.0.0.0 is all
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    interface: Ipv4Addr,
    /// End after this time
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// End when standard input ends
    #[arg(long)]
    end_with_stdin: bool,
}

/// Read-backs of each device at most: names have two digits.
const MAX_HOUSEKEEPING: usize = 495;
/// Shortest time between two steps, in seconds.
const MIN_PERIOD: f64 = 1e-3;

/// Runs the command.
///
/// # Errors
/// A lattice that is no ring, ports that are taken, or an output that cannot be written.
pub(crate) fn run(args: &RingArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    if args.print_lattice {
        write!(console.out, "{DEFAULT_LATTICE}")?;
        return Ok(Outcome::Ok);
    }
    let machine = machine(args)?;
    if let Some(path) = &args.names {
        let names =
            serde_json::to_vec_pretty(&Names::of(&machine)).map_err(std::io::Error::from)?;
        fs::write(path, names).map_err(|error| UsageError {
            what: format!("{}: {error}", path.display()),
            remedy: "choose a file that can be written".to_owned(),
        })?;
    }
    let (builder, pvs) = describe(&machine, args.seed);
    block_on(async {
        let config = NetConfig::new()
            .interfaces([args.interface])
            .tcp_port(args.port)
            .udp_port(args.port);
        let ioc = builder.serve(config).await.map_err(|error| UsageError {
            what: error.to_string(),
            remedy: "choose another port or address".to_owned(),
        })?;
        let count = ioc.with(|ioc, _| ioc.pv_count());
        let count = text::counted(count as u64, "PV");
        let run = ModelRun::new(ioc.clone(), &pvs, model(machine)).map_err(|error| UsageError {
            what: error.to_string(),
            remedy: "report it".to_owned(),
        })?;
        writeln!(
            console.out,
            "# canter ring serves {count} on {}, UDP port {}",
            ioc.addr(),
            ioc.udp_port()
        )?;
        write!(console.out, "{}", ioc.env_text())?;
        writeln!(console.out, "# Ctrl-C ends it.")?;
        console.out.flush()?;
        let beats = Beats::start(run, Duration::from_secs_f64(args.period));
        let end = async {
            match args
                .seconds
                .and_then(|s| Duration::try_from_secs_f64(s).ok())
            {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = end => {}
            () = interrupted() => {}
            () = stdin_ended(args.end_with_stdin) => {}
        }
        let told = beats.stop();
        finish(&ioc, console, &told).await?;
        Ok(Outcome::Ok)
    })
}

async fn finish(ioc: &SimIoc, console: &mut Console<'_>, told: &Told) -> Result<(), Stop> {
    ioc.stop().await;
    let (steps, times) = (told.steps, &told.times);
    let mut times = times.clone();
    times.sort_unstable();
    let at = |part: f64| {
        let place = (times.len().saturating_sub(1) as f64 * part) as usize;
        times.get(place).map_or(0.0, |t| t.as_secs_f64() * 1e3)
    };
    console.complain(format!(
        "{steps} steps of {:.1} ms, at most {:.1} ms; {} without a beam, {} late",
        at(0.5),
        at(1.0),
        told.failed,
        told.late
    ))?;
    Ok(())
}

fn machine(args: &RingArgs) -> Result<Machine, Stop> {
    let wrong = |what: String, remedy: &str| {
        Stop::from(UsageError {
            what,
            remedy: remedy.to_owned(),
        })
    };
    if args.housekeeping > MAX_HOUSEKEEPING {
        let what = format!("--housekeeping {} is too much", args.housekeeping);
        return Err(wrong(what, "give at most 495"));
    }
    if args.period < MIN_PERIOD {
        let what = format!("--period {} is too short", args.period);
        return Err(wrong(what, "give at least 0.001"));
    }
    let options = Options {
        seed: args.seed,
        physics: !args.no_physics,
        housekeeping: args.housekeeping,
        ..Options::default()
    };
    let Some(path) = &args.lattice else {
        return Machine::standard(options).map_err(|error| wrong(error.to_string(), "report it"));
    };
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| wrong(format!("{shown}: {error}"), "name a file that can be read"))?;
    let made = Lattice::parse(&text)
        .map_err(MachineError::from)
        .and_then(|lattice| Machine::new(lattice, options));
    made.map_err(|error| wrong(format!("{shown}: {error}"), "mend the lattice"))
}

/// A ring as the model of an IOC.
fn model(mut machine: Machine) -> impl FnMut(Duration, &[f64], &mut [f64]) -> Result<(), String> {
    move |t, set, read| machine.step(t, set, read)
}

/// The PVs of a ring.
fn describe(machine: &Machine, seed: u64) -> (IocBuilder, ModelPvs) {
    let described = |quantity: &Quantity| {
        PvSpec::double(quantity.value)
            .units(quantity.units)
            .precision(quantity.precision)
            .description(quantity.description)
    };
    let mut builder = Ioc::builder().seed(seed);
    for quantity in machine.set_points() {
        let (low, high) = quantity.limits;
        builder = builder.pv(&*quantity.name, described(quantity).control(low, high));
    }
    for quantity in machine.read_backs() {
        builder = builder.pv(&*quantity.name, described(quantity).read_only());
    }
    for group in machine.groups() {
        let spec = PvSpec::array(vec![0.0f64; group.range.len()])
            .units(group.units)
            .description(group.description)
            .read_only();
        builder = builder.pv(group.name, spec);
    }
    let pulse = "ARIMA-PULSE:ID".to_owned();
    let count = PvSpec::long(0)
        .description("steps of the model")
        .read_only();
    builder = builder.pv(&*pulse, count);
    let names = |all: &[Quantity]| all.iter().map(|quantity| quantity.name.clone()).collect();
    let groups = machine.groups().iter();
    let pvs = ModelPvs {
        set: names(machine.set_points()),
        read: names(machine.read_backs()),
        arrays: groups
            .map(|group| (group.name.to_owned(), group.range.start, group.range.end))
            .collect(),
        pulse: Some(pulse),
    };
    (builder, pvs)
}

/// The file of names.
#[derive(Serialize, Debug)]
struct Names<'a> {
    set_points: Vec<&'a str>,
    read_backs: Vec<&'a str>,
    arrays: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn of(machine: &'a Machine) -> Self {
        let names = |all: &'a [Quantity]| all.iter().map(|quantity| &*quantity.name).collect();
        Self {
            set_points: names(machine.set_points()),
            read_backs: names(machine.read_backs()),
            arrays: machine.groups().iter().map(|group| group.name).collect(),
        }
    }
}

/// What became of the steps.
#[derive(Clone, Debug, Default)]
struct Told {
    steps: u64,
    failed: u64,
    /// Steps that began after their time.
    late: u64,
    /// How long the last ones took.
    times: Vec<Duration>,
}

/// Times of steps that are kept.
const MAX_TIMES: usize = 10_000;

/// The thread that steps.
struct Beats {
    stop: mpsc::Sender<()>,
    told: Arc<Mutex<Told>>,
    thread: thread::JoinHandle<()>,
}

impl Beats {
    fn start<M: ca_server_sim::net::Model + 'static>(
        mut run: ModelRun<M>,
        period: Duration,
    ) -> Self {
        let (stop, stopped) = mpsc::channel();
        let told = Arc::new(Mutex::new(Told::default()));
        let tells = Arc::clone(&told);
        let thread = thread::spawn(move || {
            let started = Instant::now();
            let without_beam = AtomicBool::new(false);
            let mut due = Duration::ZERO;
            loop {
                let begun = started.elapsed();
                let done = run.step(begun);
                let took = started.elapsed() - begun;
                note(&tells, &done, took, begun > due + period);
                say_once(&without_beam, done);
                due = (due + period).max(begun);
                let wait = due.saturating_sub(started.elapsed());
                match stopped.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Self { stop, told, thread }
    }

    fn stop(self) -> Told {
        // It may have ended by a panic, which says so itself.
        let _ = self.stop.send(());
        let _ = self.thread.join();
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }
}

fn note(told: &Mutex<Told>, done: &Result<(), ModelFault>, took: Duration, late: bool) {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    told.steps += 1;
    told.failed += u64::from(done.is_err());
    told.late += u64::from(late);
    if told.times.len() < MAX_TIMES {
        told.times.push(took);
    }
}

/// Says when the beam is lost, and when it is back.
fn say_once(without_beam: &AtomicBool, done: Result<(), ModelFault>) {
    let before = without_beam.swap(done.is_err(), Ordering::Relaxed);
    match done {
        Err(fault) if !before => crate::background::say(&format!("no beam: {fault}")),
        Ok(()) if before => crate::background::say("the beam is back"),
        _ => {}
    }
}
