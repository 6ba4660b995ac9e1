//! Snapshots of an IOC in the hands of Python.

use std::path::PathBuf;

use ca_server_sim::IocSnapshot;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::spec::refused;
use crate::life;

/// The state of an IOC at one moment. `bytes` is what a file has.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Snapshot(pub(super) IocSnapshot);

#[pymethods]
impl Snapshot {
    #[new]
    fn new(bytes: Vec<u8>) -> PyResult<Self> {
        IocSnapshot::from_bytes(bytes).map(Self).map_err(refused)
    }

    /// From a file.
    #[staticmethod]
    fn read(py: Python<'_>, file: PathBuf) -> PyResult<Self> {
        let read = life::detached(py, || IocSnapshot::read(&file));
        let named = |error| match error {
            error @ ca_server_sim::SnapshotError::File { .. } => refused(error),
            error => refused(format!("{}: {error}", file.display())),
        };
        read.map(Self).map_err(named)
    }

    /// Writes it to a file, as a whole or not at all.
    fn write(&self, py: Python<'_>, file: PathBuf) -> PyResult<()> {
        life::detached(py, || self.0.write(file)).map_err(refused)
    }

    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.as_bytes())
    }

    fn __repr__(&self) -> String {
        let (bytes, taken) = (self.0.as_bytes().len(), self.0.taken());
        format!("<snapshot of {taken}, {bytes} bytes>")
    }
}
