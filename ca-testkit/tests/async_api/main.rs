//! The asynchronous client and the IOC's drivers, unchanged, on the virtual network.

mod cancel;
mod dropped;
mod rig;
mod runtime;
mod stories;
