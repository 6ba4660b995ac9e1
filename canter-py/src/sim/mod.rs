//! Simulated IOCs in the process of Python.

mod frames;
mod model;
mod proxy;
mod snapshot;
mod spec;
mod told;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use ca_client::{DbrType, Family, NativeType, TokioRuntime};
use ca_server_sim::ca_net::Runtime;
use ca_server_sim::ca_net::tap::Tap;
use ca_server_sim::process::CallId;
use ca_server_sim::{
    Alarm, AlarmSeverity, AlarmStatus, BuildError, Completion, EcaStatus, FileErrors, IocBuilder,
    NetConfig, PutAnswer, QuestionId, RecordFiles, ServeError, SimIoc, Step, Value,
};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::errors;
use crate::life::{self, Native};
use crate::values;
use crate::world::{self, World};
use frames::Frames;
pub(crate) use model::ModelSteps;
pub(crate) use proxy::Proxy;
pub(crate) use snapshot::Snapshot;
use spec::{refused, rights, spec, unknown};
use told::{Queue, Told};

/// The runtime of all IOCs of this process: one thread.
static RUNTIME: Mutex<Option<Native<tokio::runtime::Runtime>>> = Mutex::new(None);

pub(super) fn runtime() -> PyResult<tokio::runtime::Handle> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = runtime.as_ref().and_then(Native::get) {
        return Ok(running.handle().clone());
    }
    let made = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("canter-ioc")
        .enable_all()
        .build()
        .map_err(|error| Python::attach(|py| errors::cannot_serve(py, &error.to_string())))?;
    let handle = made.handle().clone();
    *runtime = Some(Native::new(made));
    Ok(handle)
}

/// An IOC whose puts, questions, reads and functions are told to Python.
fn told_to(queue: &Arc<Queue>) -> IocBuilder {
    let (puts, questions, values) = (queue.clone(), queue.clone(), queue.clone());
    let reads = queue.clone();
    ca_server_sim::Ioc::builder()
        .put_log(move |report| puts.put(report))
        .questions(move |question| questions.add(Told::Question(question)))
        .observer(move |value| values.observed(value))
        .reads(move |name| reads.add(Told::Read(name.to_owned())))
}

/// An IOC that serves on sockets of this host.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Ioc {
    ioc: Native<SimIoc>,
    home: Home,
    queue: Arc<Queue>,
    frames: Option<Arc<Frames>>,
}

impl Ioc {
    fn sim(&self) -> PyResult<&SimIoc> {
        let elsewhere = || {
            PyRuntimeError::new_err(
                "this IOC lives in the parent of this process; make another one here",
            )
        };
        self.ioc.get().ok_or_else(elsewhere)
    }

    fn handle(&self) -> PyResult<SimIoc> {
        self.sim().cloned()
    }

    fn with<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&SimIoc, &Home) -> R + Send,
    ) -> PyResult<R> {
        let sim = self.sim()?;
        let home = &self.home;
        Ok(life::detached(py, || work(sim, home)))
    }
}

/// What moves the bytes of an IOC.
enum Home {
    Tokio(tokio::runtime::Handle),
    World(Arc<world::Inner>),
}

impl Home {
    fn block_on<F: Future>(&self, future: F) -> PyResult<F::Output> {
        match self {
            Self::Tokio(runtime) => Ok(runtime.block_on(future)),
            Self::World(world) => world.finish(future).map_err(world::stuck),
        }
    }
}

/// Files and texts of records: `file` or `text`, what it is, and its macros.
type Source = (String, String, String);

fn record_files(
    sources: Vec<Source>,
    dbd: Vec<String>,
    directories: Vec<String>,
    hold_unknown: bool,
) -> PyResult<RecordFiles> {
    let mut files = RecordFiles::new();
    if hold_unknown {
        files = files.hold_unknown();
    }
    for name in dbd {
        files = files.dbd(name);
    }
    for directory in directories {
        files = files.directory(directory);
    }
    for (kind, what, macros) in sources {
        files = match &*kind {
            "file" => files.file(what, macros),
            "text" => files.text(what, macros),
            other => {
                let message = format!("records come from a file or a text, not from a {other}");
                return Err(errors::bad(message));
            }
        };
    }
    Ok(files)
}

/// What is wrong in files of records, as `canter.sim.DatabaseError`.
fn file_errors(py: Python<'_>, errors: &FileErrors) -> PyErr {
    let raise = || -> PyResult<PyErr> {
        let mistakes = errors.mistakes();
        let list = PyList::empty(py);
        for one in mistakes.iter() {
            let place = one.place.map(|place| mistakes.sources().locate(place));
            let (file, line, column) = match &place {
                Some(at) => (&*at.file, at.line, at.column),
                None => ("", 0, 0),
            };
            let remedy = one.remedy.as_str();
            list.append((
                one.kind.name(),
                one.message.as_str(),
                remedy,
                file,
                line,
                column,
            ))?;
        }
        let class = PyModule::import(py, "canter.sim._errors")?.getattr("DatabaseError")?;
        Ok(PyErr::from_value(
            class.call1((mistakes.render(false), list))?,
        ))
    };
    raise().unwrap_or_else(|error| error)
}

fn serve_error(py: Python<'_>, error: ServeError) -> PyErr {
    match error {
        ServeError::Build(BuildError::Files(errors)) => file_errors(py, &errors),
        ServeError::Build(error) => refused(error),
        other => errors::cannot_serve(py, &other.to_string()),
    }
}

#[pymethods]
impl Ioc {
    #[new]
    #[pyo3(signature = (pvs, *, toml=None, records=Vec::new(), dbd=Vec::new(), directories=Vec::new(),
        hold_unknown=false, functions=Vec::new(), interface="127.0.0.1", tcp_port=0, udp_port=0, seed=None, frames=false, world=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn new(
        py: Python<'_>,
        pvs: Vec<(String, Bound<'_, PyDict>)>,
        toml: Option<String>,
        records: Vec<Source>,
        dbd: Vec<String>,
        directories: Vec<String>,
        hold_unknown: bool,
        functions: Vec<String>,
        interface: &str,
        tcp_port: u16,
        udp_port: u16,
        seed: Option<u64>,
        frames: bool,
        world: Option<&World>,
    ) -> PyResult<Self> {
        let interface: Ipv4Addr = interface.parse().map_err(|_| {
            errors::bad(format!(
                "interface \"{interface}\": give an IPv4 address of this host"
            ))
        })?;
        let world = world.map(World::inner).transpose()?.cloned();
        let queue = Arc::new(Queue::new(world.as_ref().map(|world| world.bell.clone())));
        let mut builder = told_to(&queue);
        if let Some(seed) = seed {
            builder = builder.seed(seed);
        }
        if let Some(text) = toml {
            builder = builder.toml(&text).map_err(refused)?;
        }
        for (name, given) in &pvs {
            builder = builder.pv(name, spec(name, given)?);
        }
        builder = builder.record_files(&record_files(records, dbd, directories, hold_unknown)?);
        for name in functions {
            let function = told::function(&name, queue.clone());
            builder = builder.function(name, function);
        }
        let config = NetConfig::new()
            .interfaces([interface])
            .tcp_port(tcp_port)
            .udp_port(udp_port);
        let home = match world {
            Some(world) => Home::World(world),
            None => Home::Tokio(runtime()?),
        };
        let frames = frames.then(Arc::<Frames>::default);
        let served = life::detached(py, || {
            let mut ca: Arc<dyn Runtime> = match &home {
                Home::Tokio(runtime) => Arc::new(TokioRuntime::new(runtime.clone())),
                Home::World(world) => world.host(interface),
            };
            if let Some(frames) = &frames {
                ca = Arc::new(Tap::new(ca, frames.clone()));
            }
            home.block_on(builder.serve_on(ca, config))
        })?;
        Ok(Self {
            ioc: Native::new(served.map_err(|error| serve_error(py, error))?),
            home,
            queue,
            frames,
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
        let value = self.value(py, name, value)?;
        self.with(py, |ioc, _| ioc.post(name, value))?
            .map_err(|error| unknown(name, &error))
    }

    /// Sets the values of many PVs at once: names and values. What cannot be set raises after the others are.
    fn post_many(&self, py: Python<'_>, all: Vec<(String, Bound<'_, PyAny>)>) -> PyResult<()> {
        let mut first = None;
        for (name, value) in all {
            if let Err(error) = self.post(py, &name, &value) {
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Sets the value of a record of a file as its device does, with an alarm of severity and status.
    #[pyo3(signature = (name, value=None, alarm=None, process=true))]
    fn write_record(
        &self,
        py: Python<'_>,
        name: &str,
        value: Option<&Bound<'_, PyAny>>,
        alarm: Option<(u16, u16)>,
        process: bool,
    ) -> PyResult<()> {
        let value = value.map(|value| self.value(py, name, value)).transpose()?;
        let alarm = alarm.map(|(sevr, stat)| Alarm::new(AlarmStatus(stat), AlarmSeverity(sevr)));
        self.with(py, |ioc, _| {
            ioc.with(|ioc, now| ioc.write_record(now, name, value.as_ref(), alarm, process))
        })?
        .map_err(|error| unknown(name, &error))
    }

    /// Value, severity, status and time stamp.
    fn read<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyTuple>> {
        let it = self
            .with(py, |ioc, _| ioc.read(name))?
            .map_err(|error| unknown(name, &error))?;
        let value = values::plain(py, it.value.as_ref(), it.value.count() != 1)?;
        let stamp = i64::try_from(it.stamp.to_unix().as_nanos()).unwrap_or_default();
        (value, it.alarm.severity.0, it.alarm.status.0, stamp).into_pyobject(py)
    }

    /// The (first) value as a text: that of a state, numbers with the digits of the PV.
    fn text(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        let it = self
            .with(py, |ioc, _| ioc.read(name))?
            .map_err(|error| unknown(name, &error))?;
        let ty = DbrType::new(Family::Plain, NativeType::String);
        let mut text = Vec::new();
        let encoded = it.encode(ty, it.value.count().min(1), &mut text);
        encoded.map_err(|error| refused(format!("\"{name}\" has no text: {error}")))?;
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn set_alarm(&self, py: Python<'_>, name: &str, severity: u16, status: u16) -> PyResult<()> {
        let alarm = Alarm::new(AlarmStatus(status), AlarmSeverity(severity));
        self.with(py, |ioc, _| {
            ioc.with(|ioc, now| ioc.set_alarm(now, name, alarm))
        })?
        .map_err(|error| unknown(name, &error))
    }

    fn set_rights(&self, py: Python<'_>, name: &str, read: bool, write: bool) -> PyResult<()> {
        let rights = rights(read, write);
        self.with(py, |ioc, _| {
            ioc.with(|ioc, now| ioc.set_rights(now, name, rights))
        })?
        .map_err(|error| unknown(name, &error))
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
        .map_err(|error| unknown(name, &error))
    }

    fn add(&self, py: Python<'_>, name: &str, given: &Bound<'_, PyDict>) -> PyResult<()> {
        let spec = spec(name, given)?;
        let added = self.with(py, |ioc, _| ioc.with(|ioc, now| ioc.add(now, name, spec)))?;
        added.map(drop).map_err(refused)
    }

    fn remove(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.with(py, |ioc, _| ioc.with(|ioc, now| ioc.remove(now, name)))
    }

    fn freeze(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |ioc, _| ioc.freeze())
    }

    fn thaw(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |ioc, _| ioc.thaw())
    }

    fn is_frozen(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |ioc, _| ioc.is_frozen())
    }

    /// Goes on to the next event, or so many seconds; how many those were, `None` if nothing will be due.
    #[pyo3(signature = (seconds))]
    fn step(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<Option<f64>> {
        let step = match seconds {
            None => Step::Event,
            Some(seconds) => Step::Time(crate::params::duration(seconds)?),
        };
        let went = self.with(py, |ioc, _| ioc.step(step))?.map_err(refused)?;
        Ok(went.map(|went| went.as_secs_f64()))
    }

    fn snapshot(&self, py: Python<'_>) -> PyResult<Snapshot> {
        let taken = self.with(py, |ioc, _| ioc.snapshot())?;
        taken.map(Snapshot).map_err(refused)
    }

    fn rewind(&self, py: Python<'_>, snapshot: &Snapshot) -> PyResult<()> {
        self.with(py, |ioc, _| ioc.rewind(&snapshot.0))?
            .map_err(refused)
    }

    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |ioc, home| home.block_on(ioc.start()))??
            .map_err(|error| serve_error(py, error))
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |ioc, home| home.block_on(ioc.stop()))?
    }

    /// Whether puts to this PV, record or field of a record are told before they are carried out.
    fn ask(&self, py: Python<'_>, name: &str, asked: bool) -> PyResult<()> {
        self.with(py, |ioc, _| ioc.with(|ioc, _| ioc.ask(name, asked)))?
            .map_err(|error| unknown(name, &error))
    }

    /// Whether reads of this PV or record are told before they are answered.
    fn ask_read(&self, py: Python<'_>, name: &str, asked: bool) -> PyResult<()> {
        self.with(py, |ioc, _| ioc.with(|ioc, _| ioc.ask_read(name, asked)))?
            .map_err(|error| unknown(name, &error))
    }

    /// Answers who waits to read.
    fn finish_read(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.with(py, |ioc, _| ioc.with(|ioc, now| ioc.finish_read(now, name)))?
            .map_err(|error| unknown(name, &error))
    }

    /// Whether values that a record posts are told, whoever writes them.
    fn observe(&self, py: Python<'_>, name: &str, observed: bool) -> PyResult<()> {
        self.with(py, |ioc, _| ioc.with(|ioc, _| ioc.observe(name, observed)))?
            .map_err(|error| unknown(name, &error))
    }

    /// Answers a put that waits: `accept` (with another value, if one is given), `done` or `reject`. Whether
    /// somebody waits for it.
    #[pyo3(signature = (id, answer, value=None, name=""))]
    fn answer(
        &self,
        py: Python<'_>,
        id: u64,
        answer: &str,
        value: Option<&Bound<'_, PyAny>>,
        name: &str,
    ) -> PyResult<bool> {
        let answer = match (answer, value) {
            ("accept", None) => PutAnswer::Accept,
            ("accept", Some(value)) => PutAnswer::Replace(self.value(py, name, value)?),
            ("done", _) => PutAnswer::Done,
            ("reject", _) => PutAnswer::Reject(EcaStatus::PUTFAIL),
            (other, _) => {
                let message = format!("an answer is accept, done or reject, not \"{other}\"");
                return Err(errors::bad(message));
            }
        };
        self.with(py, |ioc, _| {
            ioc.with(|ioc, now| ioc.answer(now, QuestionId(id), answer))
        })
    }

    /// Answers a function of a record: fields to be set, and the status.
    fn answer_call(
        &self,
        py: Python<'_>,
        id: u64,
        fields: Vec<(String, Bound<'_, PyAny>)>,
        status: i32,
    ) -> PyResult<bool> {
        let value = |(field, value): (String, Bound<'_, PyAny>)| {
            let wire = values::to_wire(&value, &field)?.for_type(None);
            let wire = wire.map_err(|error| refused(format!("field {field}: {error}")))?;
            Ok((field, wire))
        };
        let fields = fields
            .into_iter()
            .map(value)
            .collect::<PyResult<Vec<_>>>()?;
        self.with(py, |ioc, _| {
            ioc.with(|ioc, now| ioc.answer_call(now, CallId(id), fields, status))
        })
    }

    /// Ends the put with completion that a PV is busy with; whether there was one.
    fn finish_put(&self, py: Python<'_>, name: &str, status: u32) -> PyResult<bool> {
        self.with(py, |ioc, _| {
            ioc.with(|ioc, now| ioc.finish_put(now, name, EcaStatus(status)))
        })?
        .map_err(|error| unknown(name, &error))
    }

    /// Replaces a PV by another one of the same name, perhaps of another type.
    fn replace(&self, py: Python<'_>, name: &str, given: &Bound<'_, PyDict>) -> PyResult<()> {
        let spec = spec(name, given)?;
        let replaced = self.with(py, |ioc, _| {
            ioc.with(|ioc, now| ioc.replace(now, name, spec))
        })?;
        replaced.map(drop).map_err(refused)
    }

    /// What clients make it hold: circuits, channels, subscriptions, puts, questions.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (counts, questions) = self.with(py, |ioc, _| {
            ioc.with(|ioc, _| (ioc.counts(), ioc.open_questions()))
        })?;
        let known = PyDict::new(py);
        known.set_item("circuits", counts.circuits)?;
        known.set_item("channels", counts.channels)?;
        known.set_item("subscriptions", counts.subscriptions)?;
        known.set_item("puts", counts.puts)?;
        known.set_item("questions", questions)?;
        Ok(known)
    }

    /// Remarks about the files of records, as text.
    fn remarks(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |ioc, _| {
            ioc.with(|ioc, _| {
                let remarks = ioc.file_remarks();
                remarks.map_or_else(String::new, |remarks| remarks.render(false))
            })
        })
    }

    /// The last messages between it and its clients, and how many older ones there were; `None` if they are
    /// not kept.
    fn frames(&self) -> Option<(u64, Vec<String>)> {
        self.frames.as_ref().map(|frames| frames.lines())
    }

    /// Waits for what is to be told: tuples that begin with `put`, `ask`, `read`, `value` or `call`. `None` at the end.
    fn wait_told<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let all = life::detached(py, || self.queue.take());
        if all.is_empty() {
            return Ok(None);
        }
        let list = PyList::empty(py);
        for one in all {
            list.append(told::tuple(py, one)?)?;
        }
        Ok(Some(list))
    }

    /// As `wait_told`, and an empty list if there is nothing.
    fn take_told<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for one in self.queue.take_now() {
            list.append(told::tuple(py, one)?)?;
        }
        Ok(list)
    }

    /// Puts that were not told, because too many waited.
    fn lost_puts(&self) -> u64 {
        self.queue.lost()
    }

    /// Ends what waits for something to be told.
    fn end_told(&self) {
        self.queue.end();
    }
}

impl Ioc {
    /// A value in the form that suits a PV, as with a put.
    fn value(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
        let value = values::to_wire(value, name)?;
        let value = self.with(py, |ioc, _| {
            let native = match value.depends() {
                true => ioc.read(name).ok().map(|it| it.value.native()),
                false => None,
            };
            value.for_type(native)
        })?;
        value.map_err(|error| {
            let message = format!("PV \"{name}\": {error}");
            let remedy = Some("give a value of its type and size".to_owned());
            errors::plain(py, "ValueProblem", name, message, remedy)
        })
    }
}
