//! Benchmarks of Canter
