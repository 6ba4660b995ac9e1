//! Developer tasks of Canter, run as `cargo xtask TASK`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(target_os = "linux")]
mod bench;
mod busy;
mod ci;
mod conformance;
mod coverage;
mod differential;
mod fuzz;
mod instructions;
mod interpreters;
mod load;
mod models;
mod mutants;
mod optics;
mod peers;
mod picture;
mod platforms;
mod publish;
mod python;
mod reexports;
mod steps;
mod test;
mod together;
mod world;

/// Developer tasks of Canter.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Set up the Python environment with real EPICS in it and print its interpreter.
    Peers,
    /// Run all tests, the interop tests against real EPICS included.
    Test(test::Options),
    /// Take a core's time for nothing, beside tests.
    #[command(hide = true)]
    Busy(busy::Options),
    /// Run all that a change must pass: format, lints, documentation, tests.
    Ci(test::Options),
    /// Judge our server and clients and those of other projects; prints the tables of the book.
    Conformance,
    /// Let pyAT compute the optics of rings anew, and compare ours.
    Optics,
    /// Compare our records with those of the real IOC, story by story.
    Differential(differential::Options),
    /// Measure which lines of ca-proto its tests execute; fails below 95 %.
    Coverage(coverage::Options),
    /// Run the fuzz targets in turn (needs a nightly compiler and cargo-fuzz).
    Fuzz(fuzz::Options),
    /// Run client and IOC on threads whose order a scheduler chooses.
    Models,
    /// Tell stories of whole facilities on a virtual network, in release.
    World(world::Options),
    /// Plant deliberate bugs and see whether the World notices each.
    Mutants(mutants::Options),
    /// Run client and IOCs under churn for minutes; fails unless memory and descriptors stay flat.
    Soak(load::Options),
    /// Show what an honest client notices of attacks on an IOC, on real sockets (Linux).
    Siege(load::Options),
    /// Measure tens of thousands of records, ours beside the real IOC (Linux).
    Scale(load::Options),
    /// Count what finding a million names costs, beside a model of libca's schedule.
    Finding(load::Options),
    /// Make the packages of all crates that are published, and look at what they hold.
    Publish(publish::Options),
    /// Hold dependencies to deny.toml: licences, duplicates, sources, advisories.
    Deny,
    /// See that types in public signatures can be named with the crate alone.
    Reexports,
    /// Build the Python wheel, install it in an environment of its own and run its tests.
    Python(python::Options),
    /// Draw the picture of the README: the demo on a terminal (needs `script` of util-linux).
    Picture(picture::Options),
    /// Build for other platforms and run there what an emulator can: big-endian, 32 bits, Windows, musl.
    Platforms(platforms::Options),
    /// Count instructions of fixed work and compare them with the committed counts (needs valgrind).
    Instructions(instructions::Options),
    /// Measure client and IOC beside libca, the real IOC and bare sockets.
    #[cfg(target_os = "linux")]
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Peers => peers::ensure().map(|python| println!("{}", python.display())),
        Task::Test(options) => test::run(&options),
        Task::Busy(options) => busy::run(&options),
        Task::Ci(options) => ci::run(&options),
        Task::Conformance => conformance::run(),
        Task::Optics => optics::run(),
        Task::Differential(options) => differential::run(&options),
        Task::Coverage(options) => coverage::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Models => models::run(),
        Task::World(options) => world::run(&options),
        Task::Mutants(options) => mutants::run(&options),
        Task::Soak(options) => load::run("canter-soak", &options),
        Task::Siege(options) => load::run("canter-siege", &options),
        Task::Scale(options) => load::run_beside_real("canter-scale", &options),
        Task::Finding(options) => load::run("canter-finding", &options),
        Task::Publish(options) => publish::run(&options),
        Task::Deny => publish::deny(),
        Task::Reexports => reexports::run(),
        Task::Python(options) => {
            let real_epics = std::env::var_os(peers::VARIABLE).map(std::path::PathBuf::from);
            python::run(&options, real_epics.as_deref())
        }
        Task::Picture(options) => picture::run(&options),
        Task::Platforms(options) => platforms::run(&options),
        Task::Instructions(options) => instructions::run(&options),
        #[cfg(target_os = "linux")]
        Task::Bench(options) => bench::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}
