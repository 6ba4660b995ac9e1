//! Waiting until PVs are what is wanted, with or without putting something before.

use std::time::Duration;

use ca_client::{Channel as Handle, Value};
use ca_kit::{Condition, Kit, Level, MatchError, Matched};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{condition, perform};
use crate::channel::Channel;
use crate::client::Client;
use crate::errors::{self, Facts};
use crate::params;
use crate::values;

/// A set-point with its value, or none; the PV that is looked at; what that is to be.
type Row<'py> = (
    Option<Bound<'py, Channel>>,
    Bound<'py, PyAny>,
    Bound<'py, Channel>,
    Bound<'py, PyTuple>,
);

/// What is to be done, without anything of Python.
struct Plan {
    wanted: Vec<(Handle, Condition)>,
    settings: Vec<(Handle, Value, Handle, Condition)>,
    trigger: Option<(Handle, Value)>,
    compare: bool,
    number: Option<usize>,
    hold: Duration,
    wait: bool,
    timeout: Duration,
}

impl Plan {
    async fn run(self, client: ca_client::Client) -> Result<Matched, MatchError> {
        let settings = (self.settings.iter())
            .map(|(set, value, read, wanted)| (set, value.clone(), read, wanted.clone()));
        let mut op = match (self.settings.is_empty(), self.compare) {
            (true, _) => {
                let wanted = self.wanted.iter();
                client.wait_until_all(wanted.map(|(pv, condition)| (pv, condition.clone())))
            }
            (false, true) => client.compare_and_match(settings),
            (false, false) => client.put_and_match_all(settings),
        };
        op = op.hold(self.hold).timeout(self.timeout);
        if let Some(number) = self.number {
            op = op.number(number);
        }
        if self.wait {
            op = op.wait();
        }
        if let Some((pv, value)) = &self.trigger {
            op = op.trigger(pv, value.clone());
        }
        op.await
    }
}

fn to_put(channel: &Bound<'_, Channel>, value: &Bound<'_, PyAny>) -> PyResult<(Handle, Value)> {
    let py = channel.py();
    let (_, handle, about) = channel.get().handle(py)?;
    let value = values::to_wire(value, &about.name)?.for_type(None);
    let unfit = |reason: values::Unfit| {
        let message = format!("cannot write \"{}\": {reason}", about.name);
        errors::plain(py, "ValueProblem", &about.name, message, None)
    };
    Ok((handle, value.map_err(unfit)?))
}

#[pymethods]
impl Client {
    /// Waits until PVs are what is wanted; rows with a set-point put their value before, all rows of a call or none.
    /// `compare` leaves alone what is so already, `number` of them suffice, `trigger` is put behind all others.
    #[pyo3(signature = (rows, *, compare=false, number=None, hold=0.0, wait=false, timeout=None, trigger=None,
        callback=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn match_many(
        &self,
        py: Python<'_>,
        rows: Vec<Row<'_>>,
        compare: bool,
        number: Option<usize>,
        hold: f64,
        wait: bool,
        timeout: Option<f64>,
        trigger: Option<(Bound<'_, Channel>, Bound<'_, PyAny>)>,
        callback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let native = self.slot.core(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, ""))?;
        let timeout = timeout.map(params::duration).transpose()?;
        let mut plan = Plan {
            wanted: Vec::new(),
            settings: Vec::new(),
            trigger: trigger.map(|(pv, value)| to_put(&pv, &value)).transpose()?,
            compare,
            number,
            hold: params::duration(hold)?,
            wait,
            timeout: timeout.unwrap_or_else(|| core.client.effective_config().timeout()),
        };
        for (set, value, read, wanted) in &rows {
            let (_, read, _) = read.get().handle(py)?;
            let wanted = condition(wanted)?;
            match set {
                Some(set) => {
                    let (set, value) = to_put(set, value)?;
                    plan.settings.push((set, value, read, wanted));
                }
                None => plan.wanted.push((read, wanted)),
            }
        }
        let client = core.client.as_async().clone();
        perform(py, &native, callback, plan.run(client), matched)
    }
}

fn matched(py: Python<'_>, result: Result<Matched, MatchError>) -> PyResult<Py<PyAny>> {
    let matched = result.map_err(|error| failed(py, &error))?;
    let levels = matched
        .levels
        .iter()
        .map(|level| match level {
            None => Ok(py.None()),
            Some(Level::Text(text)) => Ok(text.into_pyobject(py)?.into_any().unbind()),
            Some(level) => Ok(level.number().into_pyobject(py)?.into_any().unbind()),
        })
        .collect::<PyResult<Vec<_>>>()?;
    let known = PyDict::new(py);
    known.set_item("levels", levels)?;
    known.set_item("matching", matched.matching)?;
    known.set_item("put", matched.put)?;
    known.set_item("elapsed", matched.elapsed.as_secs_f64())?;
    Ok(known.into_any().unbind())
}

fn failed(py: Python<'_>, error: &MatchError) -> PyErr {
    let kind = match error {
        MatchError::Impossible { .. } => "ValueProblem",
        MatchError::Number { .. } => "BadRequest",
        MatchError::NoAccess { .. } => "AccessDenied",
        MatchError::TimedOut(_) => "Unmatched",
        MatchError::Put { error, before: 0 } => return errors::put(py, error),
        MatchError::Put { .. } => "PutError",
        MatchError::Open(error) => return errors::connect(py, error),
        MatchError::Monitor(error) => return errors::monitor(py, error),
        MatchError::Closed { .. } => "Closed",
        _ => "CanterError",
    };
    // Of who is not there it is told how far it came.
    let phase = match error {
        MatchError::TimedOut(missing) => match missing.standing.first().map(|it| &it.at) {
            Some(ca_kit::At::NotConnected(Some(error))) => error.phase(),
            _ => None,
        },
        _ => None,
    };
    errors::exception(
        py,
        Facts {
            kind,
            message: error.to_string(),
            pv: error.pv(),
            peer: error.server(),
            phase,
            elapsed: error.elapsed(),
            remedy: Some(error.remedy().to_owned()),
            status: None,
        },
    )
}
