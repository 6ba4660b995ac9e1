//! Set-points that are moved step by step.

use std::time::Duration;

use ca_client::Channel as Handle;
use ca_kit::{Kit, RampError, Ramped};
use pyo3::prelude::*;

use super::{Control, perform};
use crate::channel::Channel;
use crate::client::Client;
use crate::errors::{self, Facts};
use crate::params;

/// What is to be done, without anything of Python.
struct Plan {
    pv: Handle,
    to: f64,
    steps: Option<u64>,
    rate: Option<f64>,
    step_size: Option<f64>,
    period: Option<Duration>,
    read_back: Option<(Handle, f64)>,
    wait: bool,
    timeout: Duration,
    control: ca_kit::Control,
}

impl Plan {
    async fn run(self, client: ca_client::Client) -> Result<Ramped, RampError> {
        let mut ramp = client.ramp(&self.pv, self.to);
        if let Some(steps) = self.steps {
            ramp = ramp.steps(steps);
        }
        if let Some(rate) = self.rate {
            ramp = ramp.rate(rate);
        }
        if let Some(size) = self.step_size {
            ramp = ramp.step_size(size);
        }
        if let Some(period) = self.period {
            ramp = ramp.period(period);
        }
        if let Some((pv, tolerance)) = &self.read_back {
            ramp = ramp.read_back(pv, *tolerance);
        }
        if self.wait {
            ramp = ramp.wait();
        }
        ramp.timeout(self.timeout).control(&self.control).await
    }
}

#[pymethods]
impl Client {
    /// Moves a set-point step by step: where it stood, where it stands, the steps, and the seconds.
    #[pyo3(signature = (channel, to, *, steps=None, rate=None, step_size=None, period=None, read_back=None,
        tolerance=0.0, wait=false, timeout=None, control=None, callback=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn ramp(
        &self,
        py: Python<'_>,
        channel: &Bound<'_, Channel>,
        to: f64,
        steps: Option<u64>,
        rate: Option<f64>,
        step_size: Option<f64>,
        period: Option<f64>,
        read_back: Option<Bound<'_, Channel>>,
        tolerance: f64,
        wait: bool,
        timeout: Option<f64>,
        control: Option<Bound<'_, Control>>,
        callback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (native, pv, _) = channel.get().handle(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, ""))?;
        let read_back = read_back.map(|channel| channel.get().handle(py));
        let timeout = timeout.map(params::duration).transpose()?;
        let plan = Plan {
            pv,
            to,
            steps,
            rate,
            step_size,
            period: period.map(params::duration).transpose()?,
            read_back: read_back
                .transpose()?
                .map(|(_, handle, _)| (handle, tolerance)),
            wait,
            timeout: timeout.unwrap_or_else(|| core.client.effective_config().timeout()),
            control: control.map(|it| it.get().0.clone()).unwrap_or_default(),
        };
        let client = core.client.as_async().clone();
        perform(py, &native, callback, plan.run(client), ramped)
    }
}

fn ramped(py: Python<'_>, result: Result<Ramped, RampError>) -> PyResult<Py<PyAny>> {
    let done = result.map_err(|error| failed(py, &error))?;
    let row = (done.from, done.to, done.steps, done.elapsed.as_secs_f64());
    Ok(row.into_pyobject(py)?.into_any().unbind())
}

fn failed(py: Python<'_>, error: &RampError) -> PyErr {
    let (kind, pv, peer) = match error {
        RampError::Option { pv, .. } => ("BadRequest", &**pv, None),
        RampError::Impossible { pv, .. } | RampError::OutsideLimits { pv, .. } => {
            ("ValueProblem", &**pv, None)
        }
        RampError::NoAccess { pv } => ("AccessDenied", &**pv, None),
        RampError::Get(error) => return errors::get(py, error),
        RampError::Monitor(error) => return errors::monitor(py, error),
        RampError::Put { error, .. } => ("RampError", error.pv(), error.server()),
        RampError::NotFollowed { read_back, .. } => ("Unmatched", &**read_back, None),
        RampError::Aborted { pv, .. } => ("Aborted", &**pv, None),
        _ => ("RampError", "", None),
    };
    errors::exception(
        py,
        Facts {
            kind,
            message: error.to_string(),
            pv,
            peer,
            phase: None,
            elapsed: Duration::ZERO,
            remedy: None,
            status: None,
        },
    )
}
