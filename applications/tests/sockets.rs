//! The whole ring at ten steps a second on sockets of this host, with clients that monitor it: nothing is lost.
//!
//! In short with two clients and few steps; `CANTER_RING_CLIENTS=100 CANTER_RING_STEPS=100 cargo test --release
//! -p ca-applications --test sockets -- --nocapture` is the long form. It prints the time of the processor: of the
//! thread that serves, of a step with its posts, and of all clients; and how long reads take meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ca_client::{Client, Monitor, MonitorEvent};
use ca_ring::{Machine, Options, ioc};
use ca_server_sim::ServerParams;
use ca_server_sim::net::{ModelRun, NetConfig, SimIoc};
use tokio::runtime::{Builder, Runtime};

/// Monitors of a client.
const EACH: usize = 600;
const PERIOD: Duration = Duration::from_millis(100);
/// What a slow machine may need for all that is awaited.
const IN_TIME: Duration = Duration::from_secs(300);

fn asked(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |n| n.parse().expect("a number"))
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// Seconds that this thread had of the processor.
#[cfg(unix)]
fn of_thread() -> f64 {
    use nix::time::{ClockId, clock_gettime};
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock");
    Duration::from(used).as_secs_f64()
}

#[cfg(not(unix))]
fn of_thread() -> f64 {
    f64::NAN
}

/// An IOC on a thread of its own, which tells what that has had of the processor.
struct Served {
    ioc: SimIoc,
    handle: tokio::runtime::Handle,
}

impl Served {
    fn start(builder: ca_server_sim::IocBuilder) -> Self {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let runtime = runtime();
            runtime.block_on(async {
                let ioc = builder.serve(NetConfig::new()).await.expect("free ports");
                let handle = tokio::runtime::Handle::current();
                tell.send(Self { ioc, handle }).expect("somebody waits");
                std::future::pending::<()>().await;
            });
        });
        told.recv().expect("it serves")
    }

    fn processor(&self) -> f64 {
        let (tell, told) = mpsc::channel();
        self.handle.spawn(async move {
            let _ = tell.send(of_thread());
        });
        told.recv().expect("it serves")
    }
}

/// What the clients tell of themselves.
enum Told {
    /// All have the state at the start.
    Ready,
    Done {
        updates: usize,
        processor: f64,
    },
}

async fn connect(ioc: &SimIoc, names: &[String]) -> (Vec<Client>, Vec<Monitor<f64>>) {
    let (mut clients, mut monitors) = (Vec::new(), Vec::new());
    for part in names.chunks(EACH) {
        let client = Client::builder().isolated([ioc.udp_addr()]);
        let client = client.timeout(IN_TIME).build().expect("a socket");
        for name in part {
            let channel = client.open(name).expect("a name");
            monitors.push(channel.monitor::<f64>().start().expect("a monitor"));
        }
        clients.push(client);
    }
    for monitor in &mut monitors {
        while !matches!(next(monitor).await, MonitorEvent::Update { .. }) {}
    }
    (clients, monitors)
}

async fn next(monitor: &mut Monitor<f64>) -> MonitorEvent<f64> {
    let event = tokio::time::timeout(IN_TIME, monitor.next()).await;
    event.expect("an update is lost").expect("an open client")
}

/// All clients on one thread; each monitor is to have one update for each step.
fn clients(
    ioc: SimIoc,
    names: Vec<String>,
    steps: usize,
    tell: &mpsc::Sender<Told>,
) -> Result<(), mpsc::SendError<Told>> {
    runtime().block_on(async {
        let (clients, mut monitors) = connect(&ioc, &names).await;
        tell.send(Told::Ready)?;
        let begun = of_thread();
        let mut updates = 0;
        for step in 1..=steps {
            for (monitor, name) in monitors.iter_mut().zip(&names) {
                match next(monitor).await {
                    MonitorEvent::Update { value, skipped: 0 } if value.is_finite() => updates += 1,
                    other => panic!("step {step}, {name}: {other:?}"),
                }
            }
        }
        let processor = of_thread() - begun;
        for monitor in &mut monitors {
            assert!(monitor.try_next().is_none(), "one update for a step");
        }
        for client in &clients {
            client.close().await;
        }
        tell.send(Told::Done { updates, processor })
    })
}

/// Reads one PV again and again; how long that took, in ascending order.
fn reads(ioc: &SimIoc, name: &str, over: &AtomicBool) -> Vec<Duration> {
    runtime().block_on(async {
        let client = Client::builder()
            .isolated([ioc.udp_addr()])
            .timeout(IN_TIME);
        let client = client.build().expect("a socket");
        let channel = client.connect(name).await.expect("it is served");
        let mut times = Vec::new();
        while !over.load(Ordering::Acquire) {
            let begun = Instant::now();
            channel.get::<f64>().await.expect("a value");
            times.push(begun.elapsed());
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        client.close().await;
        times.sort_unstable();
        times
    })
}

fn shown(times: &[Duration]) -> String {
    let at = |part: f64| {
        let place = (times.len().saturating_sub(1) as f64 * part) as usize;
        times.get(place).map_or(f64::NAN, |t| t.as_secs_f64() * 1e3)
    };
    format!(
        "{} reads: median {:.2} ms, 99 % within {:.2} ms, longest {:.2} ms",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

#[test]
fn nothing_is_lost_on_sockets() {
    let count = asked("CANTER_RING_CLIENTS", 2);
    let steps = asked("CANTER_RING_STEPS", 5);
    let machine = Machine::standard(Options::default()).expect("a ring");
    let quantities = machine.read_backs().iter();
    let names: Vec<String> = quantities.map(|q| q.name.clone()).collect();
    // Beam and supplies come first: many of those stand still to the last digit.
    let names = names[names.len() - count * EACH..].to_vec();
    let (builder, pvs) = ioc::describe(&machine);
    let params = ServerParams::default().max_circuits_per_host(count + 8);
    let served = Served::start(builder.params(params));
    let one = names[0].clone();
    let mut run = ModelRun::new(served.ioc.clone(), &pvs, machine).expect("its PVs");
    run.step(Duration::ZERO).expect("a step");

    let over = Arc::new(AtomicBool::new(false));
    let (ioc, reading) = (served.ioc.clone(), over.clone());
    let quiet = {
        let (ioc, one, over) = (ioc.clone(), one.clone(), AtomicBool::new(false));
        thread::scope(|scope| {
            let reader = scope.spawn(|| reads(&ioc, &one, &over));
            thread::sleep(PERIOD * 5);
            over.store(true, Ordering::Release);
            reader.join().expect("it reads")
        })
    };
    let (tell, told) = mpsc::channel();
    let everyone = {
        let ioc = ioc.clone();
        thread::spawn(move || clients(ioc, names, steps, &tell).expect("somebody waits"))
    };
    let Ok(Told::Ready) = told.recv() else {
        panic!("the clients are not there");
    };
    let reader = thread::spawn(move || reads(&ioc, &one, &reading));
    let (begun, before) = (Instant::now(), served.processor());
    let mut of_steps = Vec::new();
    for n in 1..=steps as u32 {
        let due = begun + PERIOD * n;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let used = of_thread();
        run.step(PERIOD * n).expect("a step");
        of_steps.push(Duration::from_secs_f64(of_thread() - used));
    }
    let Ok(Told::Done { updates, processor }) = told.recv() else {
        panic!("the clients ended");
    };
    let (took, served) = (begun.elapsed().as_secs_f64(), served.processor() - before);
    over.store(true, Ordering::Release);
    everyone.join().expect("they end");
    let busy = reader.join().expect("it reads");
    of_steps.sort_unstable();
    assert_eq!(updates, count * EACH * steps);
    println!(
        "{count} clients of {EACH} monitors, {steps} steps in {took:.1} s: {updates} updates, none lost; of a core, the \
         IOC's thread had {:.1} %, the steps {:.1} %, all clients {:.1} %; a step with its posts took {:.1} ms of the \
         processor, at most {:.1}\nwithout steps {}\nbeside steps {}",
        100.0 * served / took,
        100.0 * of_steps.iter().sum::<Duration>().as_secs_f64() / took,
        100.0 * processor / took,
        of_steps[of_steps.len() / 2].as_secs_f64() * 1e3,
        of_steps[of_steps.len() - 1].as_secs_f64() * 1e3,
        shown(&quiet),
        shown(&busy)
    );
}
