//! The kit on the virtual network, with a virtual clock.

mod alarms;
mod alignments;
mod cafe_files;
mod devices;
#[path = "../../../ca-testkit/tests/async_api/dropped.rs"]
mod dropped;
mod examples;
mod group_files;
mod groups;
mod matching;
mod policies;
mod proofs;
mod ramps;
mod rig;
mod scans;
mod snapshots;
mod watches;
mod writes;
