//! The machine as the PVs of a simulated IOC (feature `ioc`).
//!
//! ```
//! use std::time::Duration;
//!
//! use ca_ring::{Machine, Options};
//! use ca_server_sim::net::{ModelRun, NetConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let machine = Machine::standard(Options { housekeeping: 0, ..Options::default() })?;
//! let (ioc, pvs) = ca_ring::ioc::describe(&machine);
//! let ioc = ioc.serve(NetConfig::new()).await?;
//! let ring = ModelRun::new(ioc.clone(), &pvs, machine)?;
//! let beats = ring.every(Duration::from_millis(100), |_| {});
//! // ... clients are served at ioc.udp_addr() ...
//! beats.stop();
//! # Ok(())
//! # }
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use ca_server_sim::net::{Model, ModelPvs};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};

use crate::machine::{Machine, Quantity};

/// The PV that counts the steps.
pub const PULSE: &str = "ARIMA-PULSE:ID";

impl Model for Machine {
    fn step(&mut self, t: Duration, set: &[f64], read: &mut [f64]) -> Result<(), String> {
        Self::step(self, t, set, read)
    }

    fn save(&self) -> Vec<u8> {
        Self::save(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        Self::restore(self, state)
    }
}

/// The PVs of a machine, and which of them its steps read and write. Set-points have drive limits; what is read
/// cannot be written.
pub fn describe(machine: &Machine) -> (IocBuilder, ModelPvs) {
    let described = |quantity: &Quantity| {
        PvSpec::double(quantity.value)
            .units(quantity.units)
            .precision(quantity.precision)
            .description(quantity.description)
    };
    let mut builder = Ioc::builder().seed(machine.options().seed);
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
    let count = PvSpec::long(0)
        .description("steps of the model")
        .read_only();
    builder = builder.pv(PULSE, count);
    let names = |all: &[Quantity]| all.iter().map(|quantity| quantity.name.clone()).collect();
    let groups = machine.groups().iter();
    let pvs = ModelPvs {
        set: names(machine.set_points()),
        read: names(machine.read_backs()),
        arrays: groups
            .map(|group| (group.name.to_owned(), group.range.start, group.range.end))
            .collect(),
        pulse: Some(PULSE.to_owned()),
    };
    (builder, pvs)
}

/// The PVs that applications of control rooms ask for, as a file of groups (TOML) of `ca-kit`: `monitors-x`,
/// `monitors-y`, `correctors-x`, `correctors-y`, `focusing`, `defocusing`, `sextupoles`, `tunes`, `beam`,
/// `frequency`.
pub fn groups(machine: &Machine) -> String {
    let is = |part: &'static str| move |name: &str| name.contains(part);
    let monitor = |axis: &'static str| {
        move |name: &str| name.starts_with("ARIDI-BPM-") && name.ends_with(axis)
    };
    let magnets = |positive: Option<bool>| machine.magnets(positive);
    let set = |wanted: &dyn Fn(&str) -> bool| named(machine.set_points(), wanted);
    let read = |wanted: &dyn Fn(&str) -> bool| named(machine.read_backs(), wanted);
    let groups = [
        ("monitors-x", read(&monitor(":X"))),
        ("monitors-y", read(&monitor(":Y"))),
        ("correctors-x", set(&is("-CH-"))),
        ("correctors-y", set(&is("-CV-"))),
        ("focusing", magnets(Some(true))),
        ("defocusing", magnets(Some(false))),
        ("sextupoles", magnets(None)),
        ("tunes", read(&is("ARIDI-TUNE:"))),
        ("beam", read(&is("ARIDI-PCT:"))),
        ("frequency", set(&is(":FREQ"))),
    ];
    let mut text = String::new();
    for (group, names) in groups {
        let _ = writeln!(text, "[group.{group}]\npvs = [");
        for name in names {
            // Names are those of elements, so words without quotes in them.
            let _ = writeln!(text, "    \"{name}\",");
        }
        text.push_str("]\n\n");
    }
    text
}

fn named<'a>(all: &'a [Quantity], wanted: &dyn Fn(&str) -> bool) -> Vec<&'a str> {
    let names = all.iter().map(|quantity| quantity.name.as_str());
    names.filter(|name| wanted(name)).collect()
}
