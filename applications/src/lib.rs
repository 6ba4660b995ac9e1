//! What the applications in `examples` share: the names of a machine, its orbit, pictures.
//!
//! Each application takes a file of groups (`ca_kit::Groups`) with the names of its PVs, so it runs against any
//! IOC that serves them: `canter ring --groups ring.toml` writes those of the virtual ring.
//!
//! | group | what |
//! |---|---|
//! | `monitors-x`, `monitors-y` | beam positions, in the order of the ring |
//! | `correctors-x`, `correctors-y` | currents of correctors |
//! | `focusing`, `defocusing` | currents of the two families of quadrupoles |
//! | `tunes` | horizontal and vertical tune |
//! | `frequency` | the radio frequency |

mod machine;
pub mod plot;
pub mod table;

pub use machine::{Error, Machine, Orbit, Pace, rms};
