//! The production client and the production IOC on threads whose order a scheduler chooses: each task
//! and each user is a thread of its own, and every lock and every atomic of ours is a place where
//! another one may have its turn.
//!
//! The clock hardly goes: what waits for a deadline waits for ever, so a wake-up that is lost shows as
//! threads that all wait. In half of the schedules time passes between any two looks at the clock, so that
//! a deadline that falls between the look for what is due and the setting of a timer shows, too. The network stands for the system and is not part of the models.
//!
//! It needs `--cfg shuttle`: `cargo xtask models`.
#![cfg(shuttle)]

mod check;
mod client;
mod rig;
mod runtime;
mod server;
mod stream;
