//! Where a loop cannot wait for the descriptor of a client, its operations end in the thread of callbacks.

use std::sync::Arc;

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;

use crate::core::Core;
use crate::deliver::Done;
use crate::life::Native;

/// There are none.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct LoopJobs(std::convert::Infallible);

impl LoopJobs {
    pub(crate) fn new(_py: Python<'_>, _native: Arc<Native<Core>>) -> PyResult<Self> {
        Err(PyNotImplementedError::new_err(
            "loops of this system cannot wait for a client",
        ))
    }

    pub(crate) fn start(&self, _: Py<PyAny>, _: impl Future<Output = Done> + Send + 'static) {
        match self.0 {}
    }
}
