//! Benchmarks of Canter.
//!
//! `cargo bench -p ca-bench --bench codec` and `--bench cores` measure the wire and the state machines in
//! memory with criterion. `cargo xtask bench` measures over real sockets on 127.0.0.1, beside libca, the
//! real IOC and bare sockets (`peers/`); our side of it is the program `canter-load`. Figures are to be
//! read as ratios within one run: absolute times depend on the machine and its neighbours.

pub mod finding;
pub mod pair;
pub mod plant;
pub mod server;
#[cfg(target_os = "linux")]
pub mod siege;
pub mod wire;
