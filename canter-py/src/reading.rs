//! A value as it came, with what came beside it.

use std::sync::Arc;

use ca_client::{NativeType, Range};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::arrived::Arrived;
use crate::meta::Meta;
use crate::values;

/// Elements of an array that are shown of it.
const SHOWN: u32 = 100;

/// What a server told of a PV at one time.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Reading {
    pub(crate) reading: Arrived,
    pub(crate) name: Arc<str>,
    pub(crate) meta: Option<Arc<Meta>>,
    /// Whether the PV is an array, also while it has one element.
    pub(crate) is_array: bool,
}

impl Reading {
    /// Of a channel with this element count, and what is known of it if the reading does not tell.
    pub(crate) fn new(
        reading: Arrived,
        name: Arc<str>,
        known: Option<Arc<Meta>>,
        is_array: bool,
    ) -> Self {
        let meta = Meta::of(reading.head()).map(Arc::new).or(known);
        let is_array = is_array || reading.count() != 1;
        Self {
            reading,
            name,
            meta,
            is_array,
        }
    }
}

#[pymethods]
impl Reading {
    /// The value, which carries this reading.
    #[getter]
    pub(crate) fn value(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        values::augmented(slf)
    }

    /// The value as a plain `float`, `int`, `str`, array or list.
    #[getter]
    fn plain(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        values::plain_arrived(py, &self.reading, self.is_array)
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Type on the wire, as its number.
    #[getter]
    fn dbr(&self) -> u16 {
        self.reading.head().ty().0
    }

    /// Type of the elements: `DOUBLE`, `STRING` and the like.
    #[getter]
    fn native(&self) -> &'static str {
        self.reading.head().native().name()
    }

    #[getter]
    fn count(&self) -> u32 {
        self.reading.count()
    }

    #[getter]
    fn is_array(&self) -> bool {
        self.is_array
    }

    /// Nanoseconds since 1970, UTC.
    #[getter]
    fn timestamp(&self) -> Option<u64> {
        let stamp = self.reading.head().timestamp()?;
        u64::try_from(stamp.to_unix().as_nanos()).ok()
    }

    /// Seconds since 1990 and nanoseconds, as on the wire.
    #[getter]
    fn stamp(&self) -> Option<(u32, u32)> {
        let stamp = self.reading.head().timestamp()?;
        Some((stamp.secs, stamp.nanos))
    }

    #[getter]
    fn severity(&self) -> Option<u16> {
        self.reading.head().alarm().map(|alarm| alarm.severity.0)
    }

    #[getter]
    fn status(&self) -> Option<u16> {
        self.reading.head().alarm().map(|alarm| alarm.status.0)
    }

    #[getter]
    fn alarm_text(&self) -> Option<(String, String)> {
        let alarm = self.reading.head().alarm()?;
        Some((alarm.severity.to_string(), alarm.status.to_string()))
    }

    #[getter]
    fn units(&self) -> Option<&str> {
        self.meta.as_ref()?.units.as_deref()
    }

    #[getter]
    fn precision(&self) -> Option<i16> {
        self.meta.as_ref()?.precision
    }

    #[getter]
    fn enums<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let states = self.meta.as_ref().and_then(|meta| meta.states.as_ref());
        states.map(|states| PyTuple::new(py, states)).transpose()
    }

    /// The state's text of an enum.
    #[getter]
    fn label(&self) -> Option<String> {
        let index = self.reading.as_it_came(1).enum_index()?;
        let states = self.meta.as_ref()?.states.as_ref()?;
        states.get(usize::from(index)).cloned()
    }

    /// The limits by the names of the `CTRL` structures; those that are not defined are NaN.
    #[getter]
    fn limits<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(limits) = self.meta.as_ref().and_then(|meta| meta.limits) else {
            return Ok(None);
        };
        let known = PyDict::new(py);
        let set = |lower: &str, upper: &str, range: Range| {
            known.set_item(lower, range.lower)?;
            known.set_item(upper, range.upper)
        };
        set("lower_disp_limit", "upper_disp_limit", limits.display)?;
        set("lower_alarm_limit", "upper_alarm_limit", limits.alarm)?;
        set("lower_warning_limit", "upper_warning_limit", limits.warning)?;
        set("lower_ctrl_limit", "upper_ctrl_limit", limits.control)?;
        Ok(Some(known))
    }

    /// The elements as they came: big-endian, `STRING` elements of 40 bytes.
    fn raw<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.reading.as_it_came(u32::MAX).value().data)
    }

    /// The text in an array of `CHAR` up to its NUL; of other types the text of the first element.
    fn long_string(&self) -> Option<String> {
        if self.reading.head().native() != NativeType::Char {
            return self.reading.as_it_came(1).string(0);
        }
        let whole = self.reading.as_it_came(u32::MAX);
        whole.long_string().map(|text| text.into_owned())
    }

    fn __repr__(&self) -> String {
        let more = if self.reading.count() > SHOWN {
            " …"
        } else {
            ""
        };
        let shown = self.reading.as_it_came(SHOWN);
        let shown: Vec<String> = shown.strings().take(SHOWN as usize).collect();
        format!("<Reading {:?} {}{more}>", self.name, shown.join(" "))
    }
}
