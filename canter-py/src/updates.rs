//! Updates of many PVs in one object, for callbacks that want columns.

use std::sync::Arc;

use ca_client::Channel;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList};

use crate::arrived::Arrived;
use crate::arrow::Table;
use crate::jobs::{self, About};
use crate::reading::Reading;
use crate::values;

/// PVs of a subscription.
pub(crate) type Channels = Vec<(Channel, About)>;

/// A subscription to many PVs.
pub(crate) struct Many {
    pub(crate) channels: Arc<Channels>,
    pub(crate) on_updates: Py<PyAny>,
    pub(crate) on_event: Option<Py<PyAny>>,
}

/// An update: the place of its PV among those of the subscription, the value, and those left out before it.
pub(crate) struct Row {
    pub(crate) place: u32,
    pub(crate) value: Arrived,
    pub(crate) skipped: u64,
}

/// Updates in the order in which they came.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Updates {
    /// Not the callbacks, which may keep this.
    channels: Arc<Channels>,
    rows: Vec<Row>,
}

impl Updates {
    pub(crate) const fn new(channels: Arc<Channels>, rows: Vec<Row>) -> Self {
        Self { channels, rows }
    }

    fn about(&self, row: &Row) -> Option<&(Channel, About)> {
        self.channels.get(row.place as usize)
    }

    fn object(&self, py: Python<'_>, row: &Row) -> PyResult<Py<PyAny>> {
        let Some((channel, about)) = self.about(row) else {
            return Ok(py.None());
        };
        let connection = jobs::connection(channel);
        let meta = about.meta.get(connection.as_ref());
        let is_array = jobs::is_array(connection.as_ref());
        let reading = Reading::new(row.value.clone(), about.name.clone(), meta, is_array);
        values::augmented(&Bound::new(py, reading)?)
    }

    fn column<'py, const N: usize>(
        &self,
        py: Python<'py>,
        cell: impl Fn(&Row) -> [u8; N],
    ) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, self.rows.len() * N, |buffer| {
            let (cells, _) = buffer.as_chunks_mut::<N>();
            for (to, row) in cells.iter_mut().zip(&self.rows) {
                *to = cell(row);
            }
            Ok(())
        })
    }
}

#[pymethods]
impl Updates {
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    /// Updates that were left out before these, as they came faster than they were taken.
    #[getter]
    fn skipped(&self) -> u64 {
        self.rows.iter().map(|row| row.skipped).sum()
    }

    /// The value of one, which carries what came beside it.
    fn value(&self, py: Python<'_>, index: usize) -> PyResult<Py<PyAny>> {
        let row = self.rows.get(index);
        let row = row.ok_or_else(|| PyIndexError::new_err("there are fewer updates"))?;
        self.object(py, row)
    }

    /// All values.
    fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for row in &self.rows {
            list.append(self.object(py, row)?)?;
        }
        Ok(list)
    }

    /// Places of the PVs among those of the subscription, as 32-bit integers.
    fn places<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.column(py, |row| row.place.to_ne_bytes())
    }

    /// First elements as doubles, NaN for what is no number.
    fn doubles<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.column(py, |row| {
            row.value.first_number().unwrap_or(f64::NAN).to_ne_bytes()
        })
    }

    /// Nanoseconds since 1970 as 64-bit integers.
    fn timestamps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.column(py, |row| {
            row.value.nanos().unwrap_or_default().to_ne_bytes()
        })
    }

    /// Alarm severities as 16-bit integers.
    fn severities<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.column(py, |row| row.value.severity().unwrap_or(3).to_ne_bytes())
    }

    /// The columns `name`, `value`, `timestamp` and `severity` for Arrow: capsules of a schema and an array of
    /// structures.
    fn arrow<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        self.table().capsules(py)
    }
}

impl Updates {
    fn table(&self) -> Table {
        let rows = &self.rows;
        let name = |row| self.about(row).map(|(_, about)| &*about.name);
        let mut table = Table::new(rows.len());
        table.texts("name", rows.iter().map(name));
        table.doubles("value", rows.iter().map(|row| row.value.first_number()));
        table.times("timestamp", rows.iter().map(|row| row.value.nanos()));
        table.words("severity", rows.iter().map(|row| row.value.severity()));
        table
    }
}
