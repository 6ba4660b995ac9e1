//! Judges a server of any make: `cargo run -p ca-conformance --example judge -- 127.0.0.1:5064 PV`.

use std::env;
use std::error::Error;
use std::io;

use ca_conformance::{Target, run};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(server), Some(pv)) = (args.next(), args.next()) else {
        return Err("give HOST:PORT and the name of a number that may be written".into());
    };
    let report = run(&Target::new(server.parse()?, pv), &[])?;
    report.text(&mut io::stdout(), false)?;
    match report.counts().fail {
        0 => Ok(()),
        n => Err(format!("{n} checks failed").into()),
    }
}
