//! Scans, row by row.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ca_client::Channel as Handle;
use ca_kit::{Axis, Kit, ScanError, ScanFault, ScanRestore, ScanRow, Settle};
use futures_util::future::{self, Either};
use futures_util::lock::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::sync::{mpsc, oneshot};

use super::{Control, perform};
use crate::arrived::Arrived;
use crate::channel::Channel;
use crate::client::Client;
use crate::core::Core;
use crate::errors::{self, Facts};
use crate::jobs::{self, About};
use crate::life::Native;
use crate::params;
use crate::reading::Reading;

type Row = Option<Result<ScanRow, ScanError>>;
type Scanning = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An axis: its channel, its points, and how it settles: `("completion",)`, `("time", s)`, or
/// `("read_back", channel, tolerance, s or None)`.
type Given<'py> = (Bound<'py, Channel>, Vec<f64>, Bound<'py, PyAny>);

/// The rows of a scan: who asks for one moves the scan on until there is one.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Rows {
    native: Arc<Native<Core>>,
    ask: mpsc::UnboundedSender<oneshot::Sender<Row>>,
    scanning: Arc<Mutex<Option<Scanning>>>,
    observed: Arc<Vec<(Handle, About)>>,
}

/// What is to be done, without anything of Python.
struct Plan {
    axes: Vec<Axis>,
    observe: Vec<Handle>,
    dwell: Duration,
    restore: ScanRestore,
    timeout: Duration,
    control: ca_kit::Control,
}

impl Plan {
    /// Goes from point to point as rows are asked for.
    async fn run(
        self,
        client: ca_client::Client,
        mut asked: mpsc::UnboundedReceiver<oneshot::Sender<Row>>,
    ) {
        let scan = client.scan(self.axes).observe(self.observe.iter());
        let scan = scan.dwell(self.dwell).restore(self.restore);
        let scan = scan.timeout(self.timeout).control(&self.control);
        let mut rows = scan.rows();
        // A row whose asker gave up is that of the next one.
        let mut kept = None;
        while let Some(reply) = asked.recv().await {
            let row = match kept.take() {
                Some(row) => row,
                None => rows.next().await,
            };
            kept = reply.send(row).err();
        }
    }
}

fn settle(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<Settle> {
    let word: String = given.get_item(0)?.extract()?;
    match &*word {
        "completion" => Ok(Settle::Completion),
        "time" => {
            let time = params::duration(given.get_item(1)?.extract()?)?;
            Ok(Settle::Time(time))
        }
        "read_back" => {
            let channel = given.get_item(1)?.cast_into::<Channel>()?;
            let (_, handle, _) = channel.get().handle(py)?;
            let settle = Settle::read_back(&handle, given.get_item(2)?.extract()?);
            match given.get_item(3)?.extract::<Option<f64>>()? {
                Some(seconds) => Ok(settle.within(params::duration(seconds)?)),
                None => Ok(settle),
            }
        }
        other => {
            let message =
                format!("settle \"{other}\": it is \"completion\", \"time\" or \"read_back\"");
            Err(errors::bad(message))
        }
    }
}

fn restore(word: &str) -> PyResult<ScanRestore> {
    match word {
        "always" => Ok(ScanRestore::Always),
        "on_failure" => Ok(ScanRestore::OnFailure),
        "never" => Ok(ScanRestore::Never),
        other => {
            let message =
                format!("restore=\"{other}\": it is \"always\", \"on_failure\" or \"never\"");
            Err(errors::bad(message))
        }
    }
}

#[pymethods]
impl Client {
    /// A scan; it begins with its first row.
    #[pyo3(signature = (axes, observe, *, dwell=0.0, restore="always", timeout=None, control=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn scan(
        &self,
        py: Python<'_>,
        axes: Vec<Given<'_>>,
        observe: Vec<Bound<'_, Channel>>,
        dwell: f64,
        restore: &str,
        timeout: Option<f64>,
        control: Option<Bound<'_, Control>>,
    ) -> PyResult<Rows> {
        let native = self.slot.core(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, ""))?;
        let timeout = timeout.map(params::duration).transpose()?;
        let mut plan = Plan {
            axes: Vec::with_capacity(axes.len()),
            observe: Vec::with_capacity(observe.len()),
            dwell: params::duration(dwell)?,
            restore: self::restore(restore)?,
            timeout: timeout.unwrap_or_else(|| core.client.effective_config().timeout()),
            control: control.map(|it| it.get().0.clone()).unwrap_or_default(),
        };
        for (channel, points, how) in axes {
            let (_, handle, _) = channel.get().handle(py)?;
            plan.axes
                .push(Axis::new(&handle, points).settle(settle(py, &how)?));
        }
        let mut observed = Vec::with_capacity(observe.len());
        for channel in observe {
            let (_, handle, about) = channel.get().handle(py)?;
            plan.observe.push(handle.clone());
            observed.push((handle, about));
        }
        let (ask, asked) = mpsc::unbounded_channel();
        let scanning: Scanning = Box::pin(plan.run(core.client.as_async().clone(), asked));
        Ok(Rows {
            native,
            ask,
            scanning: Arc::new(Mutex::new(Some(scanning))),
            observed: Arc::new(observed),
        })
    }
}

#[pymethods]
impl Rows {
    /// The next row, which the scan goes to: point, points, where the axes were put, their read-backs, what was
    /// observed, seconds since the begin, and the time in nanoseconds. `None` at the end.
    #[pyo3(signature = (callback=None))]
    fn next(&self, py: Python<'_>, callback: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let (reply, row) = oneshot::channel();
        let asked = self.ask.send(reply).is_ok();
        let (scanning, observed) = (self.scanning.clone(), self.observed.clone());
        let next = async move {
            if !asked {
                return (None, observed);
            }
            let mut scanning = scanning.lock().await;
            let Some(running) = scanning.as_mut() else {
                return (None, observed);
            };
            let row = match future::select(row, running).await {
                Either::Left((row, _)) => row.ok().flatten(),
                Either::Right(((), _)) => None,
            };
            if row.is_none() {
                *scanning = None;
            }
            (row, observed)
        };
        perform(py, &self.native, callback, next, made)
    }
}

fn made(py: Python<'_>, (row, observed): (Row, Arc<Vec<(Handle, About)>>)) -> PyResult<Py<PyAny>> {
    let Some(row) = row else {
        return Ok(py.None());
    };
    let row = row.map_err(|error| failed(py, &error))?;
    let values = PyList::empty(py);
    for (value, (handle, about)) in row.values.into_iter().zip(observed.iter()) {
        match value {
            Ok(reading) => {
                let connection = jobs::connection(handle);
                let is_array = jobs::is_array(connection.as_ref());
                let meta = about.meta.get(connection.as_ref());
                let reading =
                    Reading::new(Arrived::new(reading), about.name.clone(), meta, is_array);
                values.append(crate::values::augmented(&Bound::new(py, reading)?)?)?;
            }
            Err(error) => values.append(errors::get(py, &error).into_value(py))?,
        }
    }
    let stamp = i64::try_from(row.timestamp.to_unix().as_nanos()).unwrap_or_default();
    let elapsed = row.elapsed.as_secs_f64();
    let made = (
        row.point,
        row.of,
        row.at,
        row.read_backs,
        values,
        elapsed,
        stamp,
    );
    Ok(made.into_pyobject(py)?.into_any().unbind())
}

fn failed(py: Python<'_>, error: &ScanError) -> PyErr {
    let (kind, pv) = match &*error.fault {
        ScanFault::Empty | ScanFault::TooMany => ("BadRequest", ""),
        ScanFault::OutsideLimits { pv, .. } | ScanFault::Impossible { pv, .. } => {
            ("ValueProblem", &**pv)
        }
        ScanFault::NoAccess { pv } => ("AccessDenied", &**pv),
        ScanFault::Aborted => ("Aborted", ""),
        ScanFault::Get(error) => ("ScanError", error.pv()),
        ScanFault::Monitor(error) => ("ScanError", error.pv()),
        ScanFault::Put(error) => ("ScanError", error.pv()),
        ScanFault::NotThere { read_back, .. } => ("Unmatched", &**read_back),
        _ => ("ScanError", ""),
    };
    errors::exception(
        py,
        Facts {
            kind,
            message: error.to_string(),
            pv,
            peer: None,
            phase: None,
            elapsed: Duration::ZERO,
            remedy: None,
            status: None,
        },
    )
}
