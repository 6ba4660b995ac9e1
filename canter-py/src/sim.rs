//! Simulated IOCs in the process of Python.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ca_client::TokioRuntime;
use ca_client::ca_proto::dbr::convert;
use ca_server_sim::{
    AccessRights, Alarm, AlarmSeverity, AlarmStatus, Completion, EcaStatus, Metadata, NativeType,
    NetConfig, PutOutcome, PutReport, PvSpec, SimIoc, Value,
};
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::life::{self, Native};
use crate::values;

/// Puts that wait for Python; those above are counted, and not told.
const MAX_WAITING: usize = 1 << 16;

/// The runtime of all IOCs of this process: one thread.
static RUNTIME: Mutex<Option<Native<tokio::runtime::Runtime>>> = Mutex::new(None);

fn runtime() -> PyResult<tokio::runtime::Handle> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = runtime.as_ref().and_then(Native::get) {
        return Ok(running.handle().clone());
    }
    let made = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("canter-ioc")
        .enable_all()
        .build()?;
    let handle = made.handle().clone();
    *runtime = Some(Native::new(made));
    Ok(handle)
}

/// A put by a client, for Python.
struct Told {
    name: String,
    field: String,
    value: Value,
    who: String,
}

#[derive(Default)]
struct Waiting {
    puts: VecDeque<Told>,
    lost: u64,
    ended: bool,
}

#[derive(Default)]
struct Puts {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Puts {
    fn tell(&self, report: &PutReport<'_>) {
        let refused =
            matches!(report.outcome, PutOutcome::Done(status) if status != EcaStatus::NORMAL);
        // A put that completes later is told when it is carried out, not again at its end.
        if !report.carried_out || refused || report.begun.is_some() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.puts.len() >= MAX_WAITING {
            waiting.lost += 1;
            return;
        }
        waiting.puts.push_back(Told {
            name: report.name.to_owned(),
            field: report.field.to_owned(),
            value: report.after.value.clone(),
            who: report.who.to_string(),
        });
        self.changed.notify_one();
    }

    /// Waits for puts; nothing at the end.
    fn take(&self) -> VecDeque<Told> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.puts.is_empty() && !waiting.ended {
            waiting = (self.changed.wait(waiting)).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut waiting.puts)
    }

    fn end(&self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended = true;
        self.changed.notify_all();
    }
}

/// An IOC that serves on sockets of this host.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Ioc {
    ioc: Native<Mutex<SimIoc>>,
    runtime: tokio::runtime::Handle,
    puts: Arc<Puts>,
}

impl Ioc {
    fn sim(&self) -> PyResult<&Mutex<SimIoc>> {
        let elsewhere = || {
            PyRuntimeError::new_err(
                "this IOC lives in the parent of this process; make another one here",
            )
        };
        self.ioc.get().ok_or_else(elsewhere)
    }

    fn with<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut SimIoc, &tokio::runtime::Handle) -> R + Send,
    ) -> PyResult<R> {
        let sim = self.sim()?;
        let runtime = &self.runtime;
        Ok(life::detached(py, || {
            work(
                &mut sim.lock().unwrap_or_else(PoisonError::into_inner),
                runtime,
            )
        }))
    }
}

#[pymethods]
impl Ioc {
    #[new]
    #[pyo3(signature = (pvs, *, toml=None, interface="127.0.0.1", tcp_port=0, udp_port=0, seed=None))]
    fn new(
        py: Python<'_>,
        pvs: Vec<(String, Bound<'_, PyDict>)>,
        toml: Option<String>,
        interface: &str,
        tcp_port: u16,
        udp_port: u16,
        seed: Option<u64>,
    ) -> PyResult<Self> {
        let interface: Ipv4Addr = interface.parse().map_err(|_| {
            PyValueError::new_err(format!(
                "interface \"{interface}\": give an IPv4 address of this host"
            ))
        })?;
        let puts = Arc::<Puts>::default();
        let told = puts.clone();
        let mut builder = ca_server_sim::Ioc::builder().put_log(move |report| told.tell(report));
        if let Some(seed) = seed {
            builder = builder.seed(seed);
        }
        if let Some(text) = toml {
            builder = builder.toml(&text).map_err(refused)?;
        }
        for (name, given) in &pvs {
            builder = builder.pv(name, spec(name, given)?);
        }
        let config = NetConfig::new()
            .interfaces([interface])
            .tcp_port(tcp_port)
            .udp_port(udp_port);
        let runtime = runtime()?;
        let served = life::detached(py, || {
            let ca = Arc::new(TokioRuntime::new(runtime.clone()));
            runtime.block_on(builder.serve_on(ca, config))
        });
        Ok(Self {
            ioc: Native::new(Mutex::new(served.map_err(refused)?)),
            runtime,
            puts,
        })
    }

    /// Where searches are answered: address and port.
    fn udp_addr(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |ioc, _| ioc.udp_addr().to_string())
    }

    fn tcp_addr(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |ioc, _| ioc.addr().to_string())
    }

    /// The environment with which clients find this IOC, and no other.
    fn env(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, String)>> {
        self.with(py, |ioc, _| ioc.env())
    }

    fn names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with(py, |ioc, _| {
            ioc.with(|ioc, _| ioc.pv_names().map(str::to_owned).collect())
        })
    }

    fn is_running(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |ioc, _| ioc.is_running())
    }

    /// Sets a value or field, as the program of an IOC does.
    fn post(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = values::to_wire(value, name)?;
        self.with(py, |ioc, _| {
            // A text takes the form that suits the PV, as with a put.
            let native = match value.depends() {
                true => ioc.read(name).ok().map(|it| it.value.native()),
                false => None,
            };
            match value.for_type(native) {
                Ok(value) => ioc.post(name, value).map_err(unknown),
                Err(error) => Err(refused(format!("PV \"{name}\": {error}"))),
            }
        })?
    }

    /// Value, severity, status and time stamp.
    fn read<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyTuple>> {
        let it = self.with(py, |ioc, _| ioc.read(name))?.map_err(unknown)?;
        let value = values::plain(py, it.value.as_ref(), it.value.count() != 1)?;
        let stamp = i64::try_from(it.stamp.to_unix().as_nanos()).unwrap_or_default();
        (value, it.alarm.severity.0, it.alarm.status.0, stamp).into_pyobject(py)
    }

    fn set_alarm(&self, py: Python<'_>, name: &str, severity: u16, status: u16) -> PyResult<()> {
        let alarm = Alarm::new(AlarmStatus(status), AlarmSeverity(severity));
        self.with(py, |ioc, _| {
            ioc.with(|ioc, now| ioc.set_alarm(now, name, alarm))
        })?
        .map_err(unknown)
    }

    fn set_rights(&self, py: Python<'_>, name: &str, read: bool, write: bool) -> PyResult<()> {
        let rights = rights(read, write);
        self.with(py, |ioc, _| {
            ioc.with(|ioc, now| ioc.set_rights(now, name, rights))
        })?
        .map_err(unknown)
    }

    /// When puts with completion are answered: after so many seconds, or never.
    #[pyo3(signature = (name, after))]
    fn set_completion(&self, py: Python<'_>, name: &str, after: Option<f64>) -> PyResult<()> {
        let completion = match after {
            Some(seconds) => Completion::After(crate::params::duration(seconds)?),
            None => Completion::Never,
        };
        self.with(py, |ioc, _| {
            ioc.with(|ioc, _| ioc.set_completion(name, completion))
        })?
        .map_err(unknown)
    }

    fn add(&self, py: Python<'_>, name: &str, given: &Bound<'_, PyDict>) -> PyResult<()> {
        let spec = spec(name, given)?;
        let added = self.with(py, |ioc, _| ioc.with(|ioc, now| ioc.add(now, name, spec)))?;
        added.map(drop).map_err(refused)
    }

    fn remove(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.with(py, |ioc, _| ioc.with(|ioc, now| ioc.remove(now, name)))
    }

    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |ioc, runtime| runtime.block_on(ioc.start()))?
            .map_err(refused)
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |ioc, runtime| runtime.block_on(ioc.stop()))
    }

    /// Waits for puts of clients: names, fields, values and who it was. `None` after `end_puts`.
    fn wait_puts<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let puts = life::detached(py, || self.puts.take());
        if puts.is_empty() {
            return Ok(None);
        }
        let list = PyList::empty(py);
        for put in puts {
            let value = values::plain(py, put.value.as_ref(), put.value.count() != 1)?;
            list.append((put.name, put.field, value, put.who))?;
        }
        Ok(Some(list))
    }

    /// Puts that were not told, because too many waited.
    fn lost_puts(&self) -> u64 {
        self.puts
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lost
    }

    fn end_puts(&self) {
        self.puts.end();
    }
}

const fn rights(read: bool, write: bool) -> AccessRights {
    match (read, write) {
        (true, true) => AccessRights::ALL,
        (true, false) => AccessRights::READ,
        (false, true) => AccessRights::WRITE,
        (false, false) => AccessRights::NONE,
    }
}

fn refused(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn unknown(error: ca_server_sim::PostError) -> PyErr {
    match error {
        ca_server_sim::PostError::UnknownPv { .. } => PyKeyError::new_err(error.to_string()),
        other => PyValueError::new_err(other.to_string()),
    }
}

fn native(pv: &str, word: &str) -> PyResult<NativeType> {
    Ok(match word {
        "double" => NativeType::Double,
        "float" => NativeType::Float,
        "long" => NativeType::Long,
        "short" => NativeType::Short,
        "char" => NativeType::Char,
        "string" => NativeType::String,
        other => {
            let message = format!(
                "PV \"{pv}\": type \"{other}\"; there are double, float, long, short, char, string, \
                 text and enum"
            );
            return Err(PyValueError::new_err(message));
        }
    })
}

/// The first value of a PV.
fn first(pv: &str, given: &Bound<'_, PyDict>) -> PyResult<PvSpec> {
    let missing = || PyTypeError::new_err(format!("PV \"{pv}\" has no value"));
    let value = given.get_item("value")?.ok_or_else(missing)?;
    let states = given.get_item("states")?;
    let word: Option<String> = given.get_item("type")?.map(|it| it.extract()).transpose()?;
    match (word.as_deref(), states) {
        (None | Some("enum"), Some(states)) => {
            let states: Vec<String> = states.extract()?;
            let index = match value.extract::<u16>() {
                Ok(index) => Some(index),
                Err(_) => {
                    let text: String = value.extract()?;
                    let at = states.iter().position(|state| *state == text);
                    at.and_then(|at| u16::try_from(at).ok())
                }
            };
            let index = index.ok_or_else(|| {
                PyValueError::new_err(format!("PV \"{pv}\": the value is none of the states"))
            })?;
            Ok(PvSpec::enumeration(states, index))
        }
        (Some("text"), _) => Ok(PvSpec::text(value.extract::<String>()?)),
        (word, _) => {
            let wire = values::to_wire(&value, pv)?.for_type(None);
            let mut wire = wire.map_err(|error| refused(format!("PV \"{pv}\": {error}")))?;
            if let Some(to) = word.map(|word| native(pv, word)).transpose()? {
                let converted = convert::write(wire.as_ref(), to, &Metadata::default());
                wire = converted.map_err(|reason| {
                    PyValueError::new_err(format!("PV \"{pv}\": the value is no {to}: {reason}"))
                })?;
            }
            let is_array = value.hasattr("__len__")? && value.extract::<String>().is_err();
            Ok(match is_array {
                true => PvSpec::array(wire),
                false => PvSpec::value(wire),
            })
        }
    }
}

fn spec(pv: &str, given: &Bound<'_, PyDict>) -> PyResult<PvSpec> {
    let mut spec = first(pv, given)?;
    for (key, value) in given.iter() {
        let key: String = key.extract()?;
        spec = match &*key {
            "value" | "type" | "states" => spec,
            "units" => spec.units(value.extract::<String>()?),
            "precision" => spec.precision(value.extract()?),
            "description" => spec.description(value.extract::<String>()?),
            "capacity" => spec.capacity(value.extract()?),
            "hysteresis" => spec.hysteresis(value.extract()?),
            "value_deadband" => spec.value_deadband(value.extract()?),
            "archive_deadband" => spec.archive_deadband(value.extract()?),
            "display" | "control" | "alarm" | "warning" => {
                let (low, high) = value.extract()?;
                match &*key {
                    "display" => spec.display(low, high),
                    "control" => spec.control(low, high),
                    "alarm" => spec.alarm(low, high),
                    _ => spec.warning(low, high),
                }
            }
            "read_only" if value.extract()? => spec.read_only(),
            "undefined" if value.extract()? => spec.undefined(),
            "read_only" | "undefined" => spec,
            "completes_after" => match value.extract::<Option<f64>>()? {
                Some(seconds) => {
                    let time: Duration = crate::params::duration(seconds)?;
                    spec.completes_after(time)
                }
                None => spec.completes_never(),
            },
            other => {
                let message = format!(
                    "PV \"{pv}\": nothing of a PV is called \"{other}\"; there are value, type, states, \
                     units, precision, description, capacity, hysteresis, value_deadband, \
                     archive_deadband, display, control, alarm, warning, read_only, undefined and \
                     completes_after"
                );
                return Err(PyTypeError::new_err(message));
            }
        };
    }
    Ok(spec)
}
