//! Results of a get of many PVs: objects are made of those that are looked at.

use ca_client::{GetError, Reading as Raw};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList};

use crate::arrived::Arrived;
use crate::arrow::Table;
use crate::channel::Channel;
use crate::errors;
use crate::jobs::{self, About};
use crate::reading::Reading;
use crate::values;

enum Outcome {
    Failed(Py<PyAny>),
    Pending(ca_client::Channel),
    Got(Arrived, ca_client::Channel),
    Refused(GetError),
}

struct Item {
    about: About,
    outcome: Outcome,
}

impl Item {
    const fn raw(&self) -> Option<&Arrived> {
        match &self.outcome {
            Outcome::Got(raw, _) => Some(raw),
            _ => None,
        }
    }

    fn reading(&self, raw: &Arrived, channel: &ca_client::Channel) -> Reading {
        let connection = jobs::connection(channel);
        let meta = self.about.meta.get(connection.as_ref());
        let is_array = jobs::is_array(connection.as_ref());
        Reading::new(raw.clone(), self.about.name.clone(), meta, is_array)
    }

    /// The value, or the exception.
    fn object(&self, py: Python<'_>, as_reading: bool) -> PyResult<(bool, Py<PyAny>)> {
        Ok(match &self.outcome {
            Outcome::Got(raw, channel) => {
                let reading = Bound::new(py, self.reading(raw, channel))?;
                match as_reading {
                    true => (true, reading.into_any().unbind()),
                    false => (true, values::augmented(&reading)?),
                }
            }
            Outcome::Failed(error) => (false, error.clone_ref(py)),
            Outcome::Refused(error) => (false, errors::get(py, error).into_value(py).into_any()),
            // It is filled before anybody sees it.
            Outcome::Pending(_) => (false, py.None()),
        })
    }

    /// Why it did not come, in words.
    fn error(&self, py: Python<'_>) -> Option<String> {
        match &self.outcome {
            Outcome::Got(..) => None,
            Outcome::Refused(error) => Some(error.to_string()),
            Outcome::Failed(error) => Some(error.bind(py).to_string()),
            Outcome::Pending(_) => Some(String::new()),
        }
    }

    /// The number of a state, or any other first element.
    fn number(&self) -> Option<f64> {
        self.raw().and_then(Arrived::first_number)
    }

    /// The text of a string, and that of a state if it is known.
    fn text(&self) -> Option<String> {
        let Outcome::Got(raw, channel) = &self.outcome else {
            return None;
        };
        let head = raw.head();
        match head.native() {
            ca_client::NativeType::String => head.string(0),
            ca_client::NativeType::Enum => {
                let index = raw.as_it_came(1).enum_index()?;
                let meta = self.about.meta.get(jobs::connection(channel).as_ref())?;
                meta.states.as_ref()?.get(usize::from(index)).cloned()
            }
            _ => None,
        }
    }

    /// Nanoseconds since 1970.
    fn timestamp(&self) -> Option<i64> {
        self.raw()?.nanos()
    }

    fn severity(&self) -> Option<u16> {
        self.raw()?.severity()
    }
}

/// What came for each of many PVs, in their order.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Batch {
    items: Vec<Item>,
}

impl Batch {
    pub(crate) fn new(py: Python<'_>, channels: &[Bound<'_, Channel>]) -> Self {
        let open = |channel: &Bound<'_, Channel>| match channel.get().handle(py) {
            Ok((_, handle, about)) => Item {
                about,
                outcome: Outcome::Pending(handle),
            },
            Err(error) => Item {
                about: channel.get().about(),
                outcome: Outcome::Failed(error.into_value(py).into_any()),
            },
        };
        let items = channels.iter().map(open).collect();
        Self { items }
    }

    /// The channels that are asked.
    pub(crate) fn handles(&self) -> Vec<ca_client::Channel> {
        let handle = |item: &Item| match &item.outcome {
            Outcome::Pending(handle) => Some(handle.clone()),
            _ => None,
        };
        self.items.iter().filter_map(handle).collect()
    }

    /// Those of which nothing is known beside their value.
    pub(crate) fn undescribed(&self) -> Vec<(ca_client::Channel, About)> {
        let unknown = |item: &Item| match &item.outcome {
            Outcome::Pending(handle) => {
                let connection = jobs::connection(handle)?;
                let known = item.about.meta.get(Some(&connection));
                known
                    .is_none()
                    .then(|| (handle.clone(), item.about.clone()))
            }
            _ => None,
        };
        self.items.iter().filter_map(unknown).collect()
    }

    /// Puts the answers where they belong.
    pub(crate) fn fill(&mut self, answers: Vec<Result<Raw, GetError>>) {
        let mut answers = answers.into_iter();
        for item in &mut self.items {
            if let Outcome::Pending(handle) = &item.outcome
                && let Some(answer) = answers.next()
            {
                item.outcome = match answer {
                    Ok(reading) => Outcome::Got(Arrived::new(reading), handle.clone()),
                    Err(error) => Outcome::Refused(error),
                };
            }
        }
    }

    fn column<'py, const N: usize>(
        &self,
        py: Python<'py>,
        cell: impl Fn(&Item) -> [u8; N],
    ) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, self.items.len() * N, |buffer| {
            let (cells, _) = buffer.as_chunks_mut::<N>();
            for (to, item) in cells.iter_mut().zip(&self.items) {
                *to = cell(item);
            }
            Ok(())
        })
    }

    fn objects<'py>(&self, py: Python<'py>, as_readings: bool) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for item in &self.items {
            list.append(item.object(py, as_readings)?.1)?;
        }
        Ok(list)
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.items.len()
    }

    /// Names of the PVs.
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.items.iter().map(|item| &*item.about.name))
    }

    /// Whether it came, and the value or the exception.
    fn result(&self, py: Python<'_>, index: usize) -> PyResult<(bool, Py<PyAny>)> {
        let item = self.items.get(index);
        let item = item.ok_or_else(|| PyIndexError::new_err("there are fewer results"))?;
        item.object(py, false)
    }

    /// All of them: values, and exceptions in the places of what did not come.
    fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.objects(py, false)
    }

    /// As `all`, with readings in the places of values.
    fn readings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.objects(py, true)
    }

    /// Places of what did not come, with the exceptions.
    fn errors(&self, py: Python<'_>) -> PyResult<Vec<(usize, Py<PyAny>)>> {
        let all = self.items.iter().enumerate();
        all.filter(|(_, item)| item.raw().is_none())
            .map(|(n, item)| Ok((n, item.object(py, false)?.1)))
            .collect()
    }

    /// First elements as doubles in the order of this machine, NaN for what did not come or is no number.
    fn doubles<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.column(py, |item| item.number().unwrap_or(f64::NAN).to_ne_bytes())
    }

    /// Nanoseconds since 1970 as 64-bit integers, 0 for what did not come.
    fn timestamps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.column(py, |item| {
            item.timestamp().unwrap_or_default().to_ne_bytes()
        })
    }

    /// Alarm severities as 16-bit integers; 3, which is `INVALID`, for what did not come.
    fn severities<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.column(py, |item| item.severity().unwrap_or(3).to_ne_bytes())
    }

    /// The columns `name`, `value`, `text`, `timestamp`, `severity` and `error` for Arrow: capsules of a schema and
    /// an array of structures.
    #[pyo3(signature = (names=None))]
    fn arrow<'py>(
        &self,
        py: Python<'py>,
        names: Option<Vec<String>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        self.table(py, names).capsules(py)
    }
}

impl Batch {
    fn table(&self, py: Python<'_>, names: Option<Vec<String>>) -> Table {
        let items = &self.items;
        let mut table = Table::new(items.len());
        match &names {
            Some(names) => table.texts("name", names.iter().map(|name| Some(&**name))),
            None => table.texts("name", items.iter().map(|item| Some(&*item.about.name))),
        }
        table.doubles("value", items.iter().map(Item::number));
        let texts: Vec<_> = items.iter().map(Item::text).collect();
        table.texts("text", texts.iter().map(Option::as_deref));
        table.times("timestamp", items.iter().map(Item::timestamp));
        table.words("severity", items.iter().map(Item::severity));
        let errors: Vec<_> = items.iter().map(|item| item.error(py)).collect();
        table.texts("error", errors.iter().map(Option::as_deref));
        table
    }
}
