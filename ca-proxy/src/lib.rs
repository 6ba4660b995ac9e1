//! Sits between a client and a server, and does harm by a script.

#![allow(missing_docs, missing_debug_implementations)]

mod actions;
mod control;
pub mod driver;
pub mod engine;
#[doc(hidden)]
pub mod fuzz;
pub mod pattern;
pub mod rule;
pub mod script;
#[cfg(test)]
mod script_tests;
mod words;
