//! A model in Python behind an IOC: vectors in, vectors out, one time stamp for each step.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ca_server_sim::net::{Model, ModelFault, ModelPvs, ModelRun};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::Ioc;
use crate::errors;
use crate::life::{self, Native};

/// The function of Python, which gets the time and the set-points, and gives the read-backs: both as the bytes
/// of doubles.
struct Computed {
    function: Py<PyAny>,
    /// What it raised.
    raised: Option<PyErr>,
}

impl Model for Computed {
    fn step(&mut self, t: Duration, set: &[f64], read: &mut [f64]) -> Result<(), String> {
        let function = &self.function;
        let computed = life::attached(|py| -> PyResult<()> {
            let given = PyBytes::new_with(py, size_of_val(set), |bytes| {
                let (to, _) = bytes.as_chunks_mut();
                for (to, from) in to.iter_mut().zip(set) {
                    *to = from.to_ne_bytes();
                }
                Ok(())
            })?;
            let made = function.bind(py).call1((t.as_secs_f64(), given))?;
            if made.is_none() {
                return Ok(());
            }
            let (from, _) = made.cast::<PyBytes>()?.as_bytes().as_chunks();
            if from.len() != read.len() {
                let (made, there) = (from.len(), read.len());
                let message = format!("the model gives {made} values for {there} read-backs");
                return Err(errors::bad(message));
            }
            for (to, from) in read.iter_mut().zip(from) {
                *to = f64::from_ne_bytes(*from);
            }
            Ok(())
        });
        computed.map_err(|error| {
            let text = error.to_string();
            self.raised = Some(error);
            text
        })
    }
}

/// Steps of a model.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct ModelSteps {
    run: Native<Mutex<ModelRun<Computed>>>,
}

#[pymethods]
impl ModelSteps {
    #[new]
    #[pyo3(signature = (ioc, function, set, read, arrays, pulse=None))]
    fn new(
        ioc: &Ioc,
        function: Py<PyAny>,
        set: Vec<String>,
        read: Vec<String>,
        arrays: Vec<(String, usize, usize)>,
        pulse: Option<String>,
    ) -> PyResult<Self> {
        let pvs = ModelPvs {
            set,
            read,
            arrays,
            pulse,
        };
        let model = Computed {
            function,
            raised: None,
        };
        let served = ioc.handle()?;
        let run = ModelRun::new(served, &pvs, model);
        let run = run.map_err(|error| errors::bad(error.to_string()))?;
        Ok(Self {
            run: Native::new(Mutex::new(run)),
        })
    }

    /// Does a step, so many seconds after the first one.
    ///
    /// What is wrong is raised: the exception of the function, or `ValueError` for what it gives. The read-backs
    /// show it as an INVALID alarm until a step succeeds.
    fn step(&self, py: Python<'_>, t: f64) -> PyResult<()> {
        let t = crate::params::duration(t)?;
        let gone = || PyRuntimeError::new_err("this model belongs to the parent of this process");
        let run = self.run.get().ok_or_else(gone)?;
        let (fault, raised) = life::detached(py, || {
            let mut run = run.lock().unwrap_or_else(PoisonError::into_inner);
            let fault = run.step(t).err();
            (fault, run.with_model(|model| model.raised.take()))
        });
        match (fault, raised) {
            (None, _) => Ok(()),
            (Some(_), Some(error)) => Err(error),
            (Some(fault @ ModelFault::NotFinite { .. }), None) => {
                Err(errors::bad(fault.to_string()))
            }
            (Some(fault), None) => Err(PyRuntimeError::new_err(fault.to_string())),
        }
    }
}
