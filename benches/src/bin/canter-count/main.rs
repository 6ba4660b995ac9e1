//! Fixed work whose instructions `cargo xtask instructions` counts with callgrind.
//!
//! `canter-count` alone lists the names, `canter-count NAME` does the work of one. Nothing here
//! depends on time, threads or random keys, so that two runs of one program count the same. Only what
//! happens within [`measured`] is counted.

mod codec;
mod cores;
mod drivers;
mod server;
mod world;

use std::process::ExitCode;

/// Work that is set up and ready to be counted.
type Work = Box<dyn FnMut()>;

/// A name, and what prepares its work.
type Entry = (&'static str, fn() -> Work);

const WORKLOADS: [Entry; 19] = [
    ("codec/parse", codec::parse),
    ("codec/encode", codec::encode),
    ("codec/search", codec::search),
    ("client/updates", cores::updates),
    ("cores/connect", cores::connect),
    ("cores/reads", cores::reads),
    ("server/reads", server::reads),
    ("server/puts", server::puts),
    ("server/put-notifies", server::put_notifies),
    ("server/updates", server::updates),
    ("server/fan-out", server::fan_out),
    ("world/stories", world::stories),
    ("drivers/reads", drivers::reads),
    ("drivers/reads-together", drivers::reads_together),
    ("drivers/reads-joined", drivers::reads_joined),
    ("drivers/puts", drivers::puts),
    ("drivers/updates", drivers::updates),
    ("drivers/reads-recorded", drivers::reads_recorded),
    ("drivers/updates-recorded", drivers::updates_recorded),
];

/// Where callgrind begins to count, and where it ends: a name that no inlining removes.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        for (name, _) in WORKLOADS {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, prepare)) = WORKLOADS.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("no workload {wanted}");
        return ExitCode::FAILURE;
    };
    measured(&mut prepare());
    ExitCode::SUCCESS
}
