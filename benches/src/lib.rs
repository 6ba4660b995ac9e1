//! Benchmarks of Canter.
//!
//! `cargo bench -p ca-bench --bench codec` and `--bench cores` measure the wire and the state machines in
//! memory with criterion; `--bench loopback` is a load program over real sockets on 127.0.0.1. Figures
//! are to be read as ratios within one run: absolute times depend on the machine and its neighbours.

pub mod pair;
