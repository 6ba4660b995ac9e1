//! The client core against a scripted peer made of messages; no sockets, a virtual clock.

mod connect;
mod failures;
mod finding;
mod late;
mod limits;
mod liveness;
mod monitors;
mod network;
mod ops;
mod properties;
mod rig;
mod told;
mod traps;
