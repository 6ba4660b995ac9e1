//! The client core against a scripted peer made of messages; no sockets, a virtual clock.

mod connect;
mod liveness;
mod monitors;
mod ops;
mod properties;
mod rig;
