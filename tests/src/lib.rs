//! Loopback and interoperation tests of Canter: what they share.
//!
//! `cargo xtask test` sets real EPICS up and runs them all; plain `cargo test` runs those that
//! need nothing but this workspace. Each test prints a [`table::Table`]; `--nocapture` shows it.

pub mod api;
mod book;
pub mod checks;
pub mod conformance;
pub mod differential;
pub mod fixture;
pub mod judge;
pub mod lacks;
pub mod loaded;
pub mod matrix;
pub mod oracle;
pub mod peer;
pub mod ports;
pub mod process;
pub mod program;
pub mod pvs;
pub mod run;
pub mod table;
