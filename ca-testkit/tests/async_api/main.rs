//! The asynchronous client and the IOC's drivers, unchanged, on the virtual network.

mod beacons;
mod busy;
mod cancel;
mod cycles;
mod dropped;
mod drops;
mod explain;
mod finding;
mod hostile;
mod many;
mod nowhere;
mod old_servers;
mod random;
mod rig;
mod runtime;
mod scripted;
mod sets;
mod stories;
