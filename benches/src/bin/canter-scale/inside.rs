//! What is measured within this process, by the time that its thread had.

use std::time::Duration;

use ca_bench::plant::{Scans, plant};
use ca_bench::server::Server;
use ca_proto::{Instant, Timestamp};
use ca_server_sim::Ioc;
use ca_server_sim::net::NetConfig;
use nix::time::{ClockId, clock_gettime};

/// Processor time of this thread.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Processor and elapsed time of reading a hundred records and serving them on free ports.
pub(crate) fn from_db() -> Result<(Duration, Duration), String> {
    let db = plant(100, Scans::Half);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let (before, begun) = (cpu(), std::time::Instant::now());
    let served = runtime.block_on(async {
        let ioc = Ioc::from_db(&db).map_err(|error| error.to_string())?;
        let config = NetConfig::new().repeater(None);
        let ioc = ioc.serve(config).await;
        let ioc = ioc.map_err(|error| error.to_string())?;
        let took = (cpu() - before, begun.elapsed());
        ioc.stop().await;
        Ok::<_, String>(took)
    })?;
    Ok(served)
}

/// A minute of scans of as many records in virtual time.
pub(crate) fn minute(records: usize) -> Result<Duration, String> {
    let db = plant(records, Scans::Half);
    let mut ioc = Ioc::from_db(&db).map_err(|error| error.to_string())?;
    ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
    let before = cpu();
    let end = Instant::ZERO + Duration::from_secs(60);
    while let Some(at) = ioc.poll_timeout().filter(|&at| at <= end) {
        ioc.handle_timeout(at);
    }
    Ok(cpu() - before)
}

/// The longest time for which the IOC is held while as many records, each with a subscriber, are all posted at one
/// instant: what a read on another circuit waits for at most, beside the system.
pub(crate) fn longest_hold(records: usize) -> Result<(Duration, Duration), String> {
    let mut db = String::new();
    for n in 0..records {
        db.push_str(&format!(
            "record(calc, \"B:{n}\") {{ field(CALC, \"VAL+1\") field(SCAN, \"1 second\") }}\n"
        ));
    }
    let ioc = Ioc::from_db(&db).map_err(|error| error.to_string())?;
    let mut server = Server {
        ioc,
        now: Instant::ZERO,
        sent: 0,
    };
    let wall = Timestamp::from_unix(1_800_000_000, 0);
    server.ioc.start(server.now, wall, 5064);
    server.drain();
    let mut peer = server.connect(1000, records);
    server.subscribe(&mut peer, records);
    let (mut longest, mut whole) = (Duration::ZERO, Duration::ZERO);
    for second in 1..=3 {
        server.now = Instant::ZERO + Duration::from_secs(second);
        let before = cpu();
        let mut hold = |work: &mut dyn FnMut(&mut Server)| {
            let begun = cpu();
            work(&mut server);
            longest = longest.max(cpu() - begun);
            server.ioc.has_work() || server.ioc.poll_timeout().is_some_and(|at| at <= server.now)
        };
        while hold(&mut |server| server.ioc.handle_timeout(server.now)) {
            // What was posted goes out in between, as a driver does it.
            hold(&mut |server| {
                if let Some(id) = server.ioc.poll_woken()
                    && let Some(queue) = server.ioc.transmit(id)
                {
                    let length = queue.len();
                    queue.advance(length);
                }
            });
        }
        server.drain();
        whole = whole.max(cpu() - before);
    }
    Ok((longest, whole))
}
