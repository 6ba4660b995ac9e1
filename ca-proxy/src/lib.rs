//! A proxy between a Channel Access client and a server that harms what passes by a script.
//!
//! It loses, delays, repeats, reorders and corrupts messages, cuts, stalls and throttles circuits,
//! changes access rights and makes storms of beacons, so that a client or a server can be tested against
//! what networks and other programs do. The program `canter proxy` is its face on the command line; here
//! it runs inside of a test, on any [`Runtime`].
//!
//! - [`Script`] is parsed from TOML with one `[[rule]]` per fault.
//! - [`Proxy::start`] opens the sockets; [`Proxy::execute`] switches rules on and off while it runs, by
//!   the lines of the line protocol; [`Proxy::lines`] tells what happened; [`Proxy::stop`] ends it.
//! - The same traffic at the same times and the same [`seed`](ProxyConfig::seed) have the same faults.
//!
//! `examples/lost_search.rs` puts it between a client and an IOC.

mod actions;
mod config;
mod control;
mod driver;
mod engine;
#[doc(hidden)]
pub mod fuzz;
mod pattern;
mod rule;
mod script;
#[cfg(test)]
mod script_tests;
mod words;

/// The crates of which types stand in signatures, for whatever is not re-exported here by name.
pub use ca_net;
pub use ca_proto;

pub use ca_net::{Runtime, TokioRuntime};
pub use config::{ProxyConfig, StartError};
pub use driver::Proxy;
pub use engine::Level;
pub use pattern::Pattern;
pub use script::{Script, ScriptError};
