//! Results of a get of many PVs: objects are made of those that are looked at.

use ca_client::{GetError, Reading as Raw};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::channel::Channel;
use crate::errors;
use crate::jobs::{self, About};
use crate::reading::Reading;
use crate::values;

enum Outcome {
    Failed(Py<PyAny>),
    Pending(ca_client::Channel, About),
    Got(Raw, About, ca_client::Channel),
    Refused(GetError),
}

impl Outcome {
    const fn raw(&self) -> Option<&Raw> {
        match self {
            Self::Got(raw, ..) => Some(raw),
            _ => None,
        }
    }
}

/// What came for each of many PVs, in their order.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Batch {
    results: Vec<Outcome>,
}

impl Batch {
    pub(crate) fn new(py: Python<'_>, channels: &[Bound<'_, Channel>]) -> Self {
        let open = |channel: &Bound<'_, Channel>| match channel.get().handle(py) {
            Ok((_, handle, about)) => Outcome::Pending(handle, about),
            Err(error) => Outcome::Failed(error.into_value(py).into_any()),
        };
        let results = channels.iter().map(open).collect();
        Self { results }
    }

    /// The channels that are asked.
    pub(crate) fn handles(&self) -> Vec<ca_client::Channel> {
        let handle = |one: &Outcome| match one {
            Outcome::Pending(handle, _) => Some(handle.clone()),
            _ => None,
        };
        self.results.iter().filter_map(handle).collect()
    }

    /// Those of which nothing is known beside their value.
    pub(crate) fn undescribed(&self) -> Vec<(ca_client::Channel, About)> {
        let unknown = |one: &Outcome| match one {
            Outcome::Pending(handle, about) => {
                let connection = jobs::connection(handle)?;
                let known = about.meta.get(Some(&connection));
                known.is_none().then(|| (handle.clone(), about.clone()))
            }
            _ => None,
        };
        self.results.iter().filter_map(unknown).collect()
    }

    /// Puts the answers where they belong.
    pub(crate) fn fill(&mut self, answers: Vec<Result<Raw, GetError>>) {
        let mut answers = answers.into_iter();
        for one in &mut self.results {
            if let Outcome::Pending(handle, about) = one
                && let Some(answer) = answers.next()
            {
                *one = match answer {
                    Ok(reading) => Outcome::Got(reading, about.clone(), handle.clone()),
                    Err(error) => Outcome::Refused(error),
                };
            }
        }
    }

    fn reading(raw: &Raw, about: &About, channel: &ca_client::Channel) -> Reading {
        let connection = jobs::connection(channel);
        let meta = about.meta.get(connection.as_ref());
        let is_array = jobs::is_array(connection.as_ref());
        Reading::new(raw.clone(), about.name.clone(), meta, is_array)
    }

    /// The value, or the exception.
    fn object(
        &self,
        py: Python<'_>,
        one: &Outcome,
        as_reading: bool,
    ) -> PyResult<(bool, Py<PyAny>)> {
        Ok(match one {
            Outcome::Got(raw, about, channel) => {
                let reading = Bound::new(py, Self::reading(raw, about, channel))?;
                match as_reading {
                    true => (true, reading.into_any().unbind()),
                    false => (true, values::augmented(&reading)?),
                }
            }
            Outcome::Failed(error) => (false, error.clone_ref(py)),
            Outcome::Refused(error) => (false, errors::get(py, error).into_value(py).into_any()),
            // It is filled before anybody sees it.
            Outcome::Pending(..) => (false, py.None()),
        })
    }

    fn column<'py, const N: usize>(
        &self,
        py: Python<'py>,
        cell: impl Fn(Option<&Raw>) -> [u8; N],
    ) -> Bound<'py, PyBytes> {
        let raw = self.results.iter().map(Outcome::raw);
        let bytes: Vec<u8> = raw.flat_map(cell).collect();
        PyBytes::new(py, &bytes)
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.results.len()
    }

    /// Whether it came, and the value or the exception.
    fn result(&self, py: Python<'_>, index: usize) -> PyResult<(bool, Py<PyAny>)> {
        let one = self.results.get(index);
        let one = one.ok_or_else(|| PyIndexError::new_err("there are fewer results"))?;
        self.object(py, one, false)
    }

    /// All of them: values, and exceptions in the places of what did not come.
    fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for one in &self.results {
            list.append(self.object(py, one, false)?.1)?;
        }
        Ok(list)
    }

    /// As `all`, with readings in the places of values.
    fn readings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for one in &self.results {
            list.append(self.object(py, one, true)?.1)?;
        }
        Ok(list)
    }

    /// Places of what did not come, with the exceptions.
    fn errors(&self, py: Python<'_>) -> PyResult<Vec<(usize, Py<PyAny>)>> {
        let failed = |one: &&Outcome| !matches!(one, Outcome::Got(..));
        let all = self.results.iter().enumerate();
        all.filter(|(_, one)| failed(one))
            .map(|(n, one)| Ok((n, self.object(py, one, false)?.1)))
            .collect()
    }

    /// First elements as doubles in the order of this machine, NaN for what did not come or is no number.
    fn doubles<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let number = |raw: Option<&Raw>| raw.and_then(|raw| raw.get_f64(0)).unwrap_or(f64::NAN);
        self.column(py, |raw| number(raw).to_ne_bytes())
    }

    /// Nanoseconds since 1970 as 64-bit integers, 0 for what did not come.
    fn timestamps<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let stamp = |raw: Option<&Raw>| {
            let stamp = raw.and_then(Raw::timestamp)?;
            i64::try_from(stamp.to_unix().as_nanos()).ok()
        };
        self.column(py, |raw| stamp(raw).unwrap_or_default().to_ne_bytes())
    }

    /// Alarm severities as 16-bit integers; 3, which is `INVALID`, for what did not come.
    fn severities<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let severity = |raw: Option<&Raw>| raw.and_then(Raw::severity).map_or(3, |it| it.0);
        self.column(py, |raw| severity(raw).to_ne_bytes())
    }
}
