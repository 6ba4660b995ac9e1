//! The words of `ca-kit`: matches, ramps, scans, groups with snapshots.
//!
//! Each is a future that owns what it needs: it is waited for in the thread of the call, or runs beside with its end
//! delivered to a callback, which is how asyncio has it.

mod cafe;
mod group;
mod matching;
mod ramp;
mod scan;

use std::sync::Arc;

use ca_kit::Condition;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::core::Core;
use crate::deliver::Done;
use crate::errors;
use crate::life::{self, Native};

pub(crate) use cafe::{load_cafe_collections, load_cafe_groups, load_cafe_snapshot};
pub(crate) use group::load_groups;
pub(crate) use scan::Rows;

/// The result of some work as an object, or the exception.
type Make<T> = fn(Python<'_>, T) -> PyResult<Py<PyAny>>;

/// Does some work here, or beside: then the callback is called with the result and the exception.
pub(crate) fn perform<T: Send + 'static>(
    py: Python<'_>,
    native: &Arc<Native<Core>>,
    callback: Option<Py<PyAny>>,
    work: impl Future<Output = T> + Send + 'static,
    make: Make<T>,
) -> PyResult<Py<PyAny>> {
    let core = native.get().ok_or_else(|| errors::closed(py, ""))?;
    let Some(callback) = callback else {
        return make(py, life::wait(py, &core.client, work)?);
    };
    core.hub.start(callback, async move {
        let output = work.await;
        Done::Other(Box::new(move |py| make(py, output)))
    });
    Ok(py.None())
}

/// What a PV is to be: `("near", value, tolerance)`, `("between", low, high)`, `("text", text)`.
pub(crate) fn condition(given: &Bound<'_, PyTuple>) -> PyResult<Condition> {
    let word: String = given.get_item(0)?.extract()?;
    let number = |place: usize| given.get_item(place)?.extract::<f64>();
    match &*word {
        "near" => Ok(ca_kit::near(number(1)?, number(2)?)),
        "between" => Ok(ca_kit::between(number(1)?, number(2)?)),
        "text" => Ok(ca_kit::text(given.get_item(1)?.extract::<String>()?)),
        other => {
            let message = format!("condition \"{other}\": it is \"near\", \"between\" or \"text\"");
            Err(errors::bad(message))
        }
    }
}

/// Pauses, resumes and aborts scans and ramps, from any thread.
#[pyclass(frozen, module = "canter._canter")]
#[derive(Default)]
pub(crate) struct Control(pub(crate) ca_kit::Control);

#[pymethods]
impl Control {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Holds before the next step, until it is resumed or aborted.
    fn pause(&self) {
        self.0.pause();
    }

    /// Goes on.
    fn resume(&self) {
        self.0.resume();
    }

    /// Ends it, for good.
    fn abort(&self) {
        self.0.abort();
    }

    #[getter]
    fn paused(&self) -> bool {
        self.0.is_paused()
    }

    #[getter]
    fn aborted(&self) -> bool {
        self.0.is_aborted()
    }
}
