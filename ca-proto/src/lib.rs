//! EPICS Channel Access wire protocol and state machines, without I/O.
#![no_std]

extern crate alloc;

pub mod alarm;
pub mod status;
pub mod time;
