//! What it costs to find the PVs of a facility, for the book: `cargo xtask finding`.

use ca_bench::finding::{self, Plant, libca};
use clap::Parser;

/// Find many names on a virtual network, and count datagrams beside a model of libca
#[derive(Parser, Debug)]
struct Args {
    /// Names, of which one in twenty exists nowhere
    #[arg(long, default_value_t = 1_000_000)]
    names: usize,
    /// Servers
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=30_000))]
    servers: u16,
    /// The model of libca alone
    #[arg(long)]
    libca: bool,
}

fn main() {
    let args = Args::parse();
    let plant = Plant {
        names: args.names,
        servers: args.servers.into(),
    };
    let libca = libca::libca(&plant);
    let ours = match args.libca {
        true => finding::Costs::default(),
        false => finding::ours(&plant),
    };
    print!("{}", finding::table(&plant, &ours, &libca));
}
