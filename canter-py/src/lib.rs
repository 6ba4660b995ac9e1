//! The layer between `ca-client` and Python: client, channel, batch, deliveries, simulated IOC.
//!
//! It is thin: what a user sees is written in Python (`python/canter`), and what the wire says in Rust
//! (`ca-client`). Here is what only can be between them: where the GIL is released and taken
//! (`life.rs`), how values and errors become objects, and how everything that comes for Python waits
//! until one thread takes it in one go (`deliver.rs`).

mod arrived;
mod arrow;
mod batch;
mod channel;
mod client;
mod core;
mod deliver;
mod errors;
mod fits;
mod jobs;
mod kit;
mod life;
#[cfg_attr(not(unix), path = "no_loops.rs")]
mod loops;
mod meta;
mod params;
mod reading;
mod sim;
mod updates;
mod values;
mod world;

use pyo3::prelude::*;

/// The Rust layer of the package `canter`.
#[pymodule(gil_used = true)]
fn _canter(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<client::Client>()?;
    module.add_class::<channel::Channel>()?;
    module.add_class::<reading::Reading>()?;
    module.add_class::<arrived::Lent>()?;
    module.add_class::<batch::Batch>()?;
    module.add_class::<deliver::Deliveries>()?;
    module.add_class::<deliver::Calls>()?;
    module.add_class::<deliver::Key>()?;
    module.add_class::<updates::Updates>()?;
    module.add_class::<loops::LoopJobs>()?;
    module.add_class::<kit::Control>()?;
    module.add_class::<kit::Rows>()?;
    module.add_class::<sim::Ioc>()?;
    module.add_function(wrap_pyfunction!(kit::load_groups, module)?)?;
    module.add_function(wrap_pyfunction!(kit::load_cafe_collections, module)?)?;
    module.add_function(wrap_pyfunction!(kit::load_cafe_groups, module)?)?;
    module.add_function(wrap_pyfunction!(kit::load_cafe_snapshot, module)?)?;
    module.add_class::<sim::ModelSteps>()?;
    module.add_class::<sim::Proxy>()?;
    module.add_class::<sim::Snapshot>()?;
    module.add_class::<world::World>()?;
    module.add_function(wrap_pyfunction!(life::prepare_exit, module)?)?;
    module.add_function(wrap_pyfunction!(life::after_fork, module)?)?;
    module.add_function(wrap_pyfunction!(life::generation, module)?)?;
    Ok(())
}
