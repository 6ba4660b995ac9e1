//! The linear optics of a storage ring: what a simulated IOC needs to answer as a machine does.
//!
//! A [`Lattice`] is a list of elements. [`Lattice::optics`] gives tunes, beta functions, dispersion,
//! chromaticity and emittance, [`Lattice::orbit`] the closed orbit with misaligned magnets, correctors and
//! sextupoles, [`Lattice::response`] what correctors do to it.
//!
//! ```
//! use ca_ring::Lattice;
//!
//! let ring = Lattice::parse(
//!     "energy = 2.4e9;
//!      qf: quadrupole, l = 0.5, k1 = 1.2;   qd: quadrupole, l = 0.5, k1 = -1.2;
//!      b: sbend, l = 1.0, angle = 2*pi/40;  o1: drift, l = 0.25;  o2: drift, l = 0.5;
//!      bpm: monitor;                        ch: kicker, hkick = 0;
//!      cell: line = (o1, b, o2, bpm, qf, ch, o1, o1, b, o2, qd, o1);
//!      ring: line = (20*cell);",
//! )?;
//! let optics = ring.optics()?;
//! assert!((optics.tune[0] - 5.219_941_586).abs() < 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "ioc")]
pub mod ioc;
mod lattice;
mod machine;
mod matrix;
mod memory;
mod optics;
mod orbit;
mod parse;

pub use lattice::{Element, Kind, Lattice};
pub use machine::{DEFAULT_LATTICE, Group, Machine, MachineError, Options, Quantity};
pub use matrix::{Matrix, Vector};
pub use optics::{Optics, OpticsError, Plane, Twiss};
pub use orbit::{Orbit, Response};
pub use parse::{Mistake, ParseError};
