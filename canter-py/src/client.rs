//! The client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ca_client::{ClientBuilder, DbrType, MonitorSpec, Pv};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::batch::Batch;
use crate::channel::Channel;
use crate::core::{Recipe, Slot};
use crate::deliver::{Deliveries, Key};
use crate::errors;
use crate::jobs;
use crate::life;
use crate::loops::LoopJobs;
use crate::params::{self, Until};
use crate::updates::Many;
use crate::values;
use crate::world::{self, World};

/// How long the end of a client waits for the end of its circuits.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// A client of Channel Access. It starts with the first channel.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Client {
    pub(crate) slot: Arc<Slot>,
}

/// The settings that were given; what was not comes from the environment at the time of the start.
struct Settings {
    environ: Option<Vec<(String, String)>>,
    addr_list: Option<String>,
    auto_addr_list: Option<bool>,
    name_servers: Vec<std::net::SocketAddrV4>,
    server_port: Option<u16>,
    repeater_port: Option<u16>,
    timeout: Option<Duration>,
    priority: Option<u8>,
    read_only: Option<bool>,
    user: Option<String>,
    host: Option<String>,
}

impl Settings {
    fn builder(&self) -> ClientBuilder {
        let mut builder = match &self.environ {
            Some(environ) => ClientBuilder::from_env(|name| {
                let found = environ.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            }),
            None => ClientBuilder::new(),
        };
        macro_rules! set {
            ($($name:ident),*) => {$(
                if let Some(value) = self.$name.clone() {
                    builder = builder.$name(value);
                }
            )*};
        }
        set!(
            auto_addr_list,
            server_port,
            repeater_port,
            timeout,
            priority,
            read_only,
            user,
            host
        );
        if let Some(list) = &self.addr_list {
            builder = builder.addr_list(list);
        }
        if !self.name_servers.is_empty() {
            builder = builder.name_servers(self.name_servers.iter().copied());
        }
        builder
    }
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (*, environ=None, addr_list=None, auto_addr_list=None, name_servers=None,
        server_port=None, repeater_port=None, timeout=None, priority=None, read_only=None, user=None,
        host=None, world=None, address="10.0.0.1"))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn new(
        environ: Option<Bound<'_, PyDict>>,
        addr_list: Option<String>,
        auto_addr_list: Option<bool>,
        name_servers: Option<Vec<String>>,
        server_port: Option<u16>,
        repeater_port: Option<u16>,
        timeout: Option<f64>,
        priority: Option<u8>,
        read_only: Option<bool>,
        user: Option<String>,
        host: Option<String>,
        world: Option<&World>,
        address: &str,
    ) -> PyResult<Self> {
        if let Some(priority) = priority.filter(|priority| *priority > 99) {
            let message = format!("priority {priority}: priorities of circuits are 0 to 99");
            return Err(errors::bad(message));
        }
        let home = match world {
            Some(world) => Some((world.inner()?.clone(), world::address(address)?)),
            None => None,
        };
        let address = |text: &String| {
            text.parse().map_err(|_| {
                let message = format!(
                    "name server \"{text}\": give an address and a port, as in \"10.0.0.1:5064\""
                );
                errors::bad(message)
            })
        };
        let name_servers = name_servers.unwrap_or_default();
        let settings = Settings {
            environ: environ.map(|given| given.extract_items()).transpose()?,
            addr_list,
            auto_addr_list,
            name_servers: name_servers.iter().map(address).collect::<PyResult<_>>()?,
            server_port,
            repeater_port,
            timeout: timeout.map(params::duration).transpose()?,
            priority,
            read_only,
            user,
            host,
        };
        let recipe: Recipe = Box::new(move || settings.builder());
        Ok(Self {
            slot: Arc::new(Slot::new(recipe, home)),
        })
    }

    /// A channel; it is opened when it is first used.
    #[pyo3(signature = (name, priority=None))]
    fn channel(&self, name: String, priority: Option<u8>) -> Channel {
        Channel::new(self.slot.clone(), name, priority)
    }

    /// Channels of many names, opened together. Names of which no channel can be have one that says so when it is
    /// used.
    fn channels<'py>(&self, py: Python<'py>, names: Vec<String>) -> PyResult<Bound<'py, PyList>> {
        let native = self.slot.core(py)?;
        let Some(core) = native.get() else {
            return Err(errors::closed(py, ""));
        };
        let client = core.client.as_async();
        let opened = life::detached(py, || client.open_all(&names));
        let list = PyList::empty(py);
        for (name, opened) in names.into_iter().zip(opened) {
            let channel = match opened {
                Ok(handle) => Channel::opened(self.slot.clone(), name, native.clone(), handle),
                Err(_) => Channel::new(self.slot.clone(), name, None),
            };
            list.append(Bound::new(py, channel)?)?;
        }
        Ok(list)
    }

    /// What comes from this client, for the thread that runs callbacks.
    fn deliveries(&self, py: Python<'_>) -> PyResult<Deliveries> {
        let core = self.slot.core(py)?;
        Ok(Deliveries { core })
    }

    /// For the operations of a loop that waits by itself; `NotImplementedError` on systems where it cannot.
    fn loop_jobs(&self, py: Python<'_>) -> PyResult<LoopJobs> {
        LoopJobs::new(py, self.slot.core(py)?)
    }

    /// The default time-out in seconds.
    fn timeout(&self, py: Python<'_>) -> PyResult<f64> {
        let native = self.slot.core(py)?;
        let Some(core) = native.get() else {
            return Err(errors::closed(py, ""));
        };
        Ok(core.client.effective_config().timeout().as_secs_f64())
    }

    /// The configuration in use, one setting per line with its origin.
    fn config(&self, py: Python<'_>) -> PyResult<String> {
        let native = self.slot.core(py)?;
        let Some(core) = native.get() else {
            return Err(errors::closed(py, ""));
        };
        Ok(core.client.effective_config().to_string())
    }

    /// What the client holds at this moment.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let native = self.slot.core(py)?;
        let known = PyDict::new(py);
        if let Some(core) = native.get() {
            let stats = core.client.stats();
            known.set_item("channels", stats.channels)?;
            known.set_item("circuits", stats.circuits)?;
            known.set_item("subscriptions", stats.subscriptions)?;
        }
        Ok(known)
    }

    /// Opens channels and waits until they are connected or the time is up: for each `None`, or why not.
    #[pyo3(signature = (channels, timeout=None))]
    fn connect_many<'py>(
        &self,
        py: Python<'py>,
        channels: Vec<Bound<'_, Channel>>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let native = self.slot.core(py)?;
        let Some(core) = native.get() else {
            return Err(errors::closed(py, ""));
        };
        let timeout = timeout.map(params::duration).transpose()?;
        let timeout = timeout.unwrap_or_else(|| core.client.effective_config().timeout());
        let deadline = Instant::now() + timeout;
        let opened: Vec<_> = channels
            .iter()
            .map(|channel| channel.get().handle(py))
            .collect();
        let handles: Vec<_> = opened
            .iter()
            .flatten()
            .map(|(_, handle, _)| handle.clone())
            .collect();
        let all = async {
            let mut results = Vec::with_capacity(handles.len());
            for handle in handles {
                let left = deadline.saturating_duration_since(Instant::now());
                results.push(jobs::connect(handle, left).await);
            }
            results
        };
        let mut results = life::wait(py, &core.client, all)?.into_iter();
        let list = PyList::empty(py);
        for opened in opened {
            let error = match opened {
                Err(error) => Some(error),
                Ok(_) => results
                    .next()
                    .and_then(Result::err)
                    .map(|error| errors::connect(py, &error)),
            };
            list.append(error.map(|error| error.into_value(py)))?;
        }
        Ok(list)
    }

    /// Gets many channels at once under one deadline: a `Batch`. With a callback it runs beside, and the end is
    /// delivered as `callback(batch, error)`.
    #[pyo3(signature = (channels, timeout=None, *, dbr=None, family=2, count=0, describe=false, callback=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn get_many(
        &self,
        py: Python<'_>,
        channels: Vec<Bound<'_, Channel>>,
        timeout: Option<f64>,
        dbr: Option<u16>,
        family: u8,
        count: u32,
        describe: bool,
        callback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let native = self.slot.core(py)?;
        let Some(core) = native.get() else {
            return Err(errors::closed(py, ""));
        };
        let spec = params::read_spec(dbr, family, count)?;
        let timeout = timeout.map(params::duration).transpose()?;
        let timeout = timeout.unwrap_or_else(|| core.client.effective_config().timeout());
        let mut batch = Batch::new(py, &channels);
        let client = core.client.as_async().clone();
        let work = async move {
            let handles = batch.handles();
            let get = client.get_many::<ca_client::Reading>(handles.iter().map(Pv::from));
            let results = get.spec(spec).timeout(timeout).await;
            if describe {
                let unknown = batch.undescribed();
                let pvs = unknown.iter().map(|(channel, _)| Pv::from(channel));
                let described = client.get_many::<ca_client::Reading>(pvs);
                let described = described.family(ca_client::Family::Ctrl).count(1);
                let described = described.timeout(timeout).await;
                for ((channel, about), described) in unknown.iter().zip(described) {
                    if let Some(meta) = described.ok().as_ref().and_then(crate::meta::Meta::of) {
                        about.meta.set(jobs::connection(channel), Arc::new(meta));
                    }
                }
            }
            batch.fill(results);
            batch
        };
        crate::kit::perform(py, &native, callback, work, |py, batch| {
            Ok(Py::new(py, batch)?.into_any())
        })
    }

    /// Delivers `on_updates(updates)` for what comes from many channels, and `on_event(place, word, text)` for what else
    /// happens to one.
    #[pyo3(signature = (channels, on_updates, on_event=None, *, mask=5, depth=None, policy="squash"))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn monitor_many(
        &self,
        py: Python<'_>,
        channels: Vec<Bound<'_, Channel>>,
        on_updates: Py<PyAny>,
        on_event: Option<Py<PyAny>>,
        mask: u16,
        depth: Option<usize>,
        policy: &str,
    ) -> PyResult<Key> {
        let native = self.slot.core(py)?;
        let Some(core) = native.get() else {
            return Err(errors::closed(py, ""));
        };
        let spec = MonitorSpec::family(ca_client::Family::Time)
            .count(0)
            .mask(params::mask(mask))
            .overflow(params::overflow(policy)?)
            .depth(depth.unwrap_or(params::DEPTH));
        let opened = channels.iter().map(|channel| {
            let (_, handle, about) = channel.get().handle(py)?;
            Ok((handle, about))
        });
        let many = Many {
            channels: Arc::new(opened.collect::<PyResult<_>>()?),
            on_updates,
            on_event,
        };
        let keys = life::detached(py, || core.hub.subscribe_many(many, spec));
        let keys = keys.map_err(|error| errors::monitor(py, &error))?;
        Ok(Key {
            core: native,
            keys,
            skipped: Arc::default(),
        })
    }

    /// Puts a value to each channel under one deadline: for each `None`, or why not.
    #[pyo3(signature = (channels, values, until="checked", timeout=None, *, dbr=None))]
    fn put_many<'py>(
        &self,
        py: Python<'py>,
        channels: Vec<Bound<'_, Channel>>,
        values: Vec<Bound<'_, PyAny>>,
        until: &str,
        timeout: Option<f64>,
        dbr: Option<u16>,
    ) -> PyResult<Bound<'py, PyList>> {
        if channels.len() != values.len() {
            let message = format!("{} PVs and {} values", channels.len(), values.len());
            return Err(errors::bad(message));
        }
        let until = params::until(until)?;
        let native = self.slot.core(py)?;
        let Some(core) = native.get() else {
            return Err(errors::closed(py, ""));
        };
        let timeout = timeout.map(params::duration).transpose()?;
        let timeout = timeout.unwrap_or_else(|| core.client.effective_config().timeout());
        let deadline = Instant::now() + timeout;
        let mut given = Vec::with_capacity(channels.len());
        for (channel, value) in channels.iter().zip(&values) {
            given.push(
                channel.get().handle(py).and_then(|(_, handle, about)| {
                    Ok((handle, values::to_wire(value, &about.name)?))
                }),
            );
        }
        // Texts take the form of their channel. What does not connect is told by its put.
        let depends = given
            .iter()
            .flatten()
            .filter(|(handle, value)| jobs::connection(handle).is_none() && value.depends());
        let wanted: Vec<_> = depends.map(|(handle, _)| handle.clone()).collect();
        let connect = async {
            for handle in wanted {
                let left = deadline.saturating_duration_since(Instant::now());
                let _ = jobs::connect(handle, left).await;
            }
        };
        life::wait(py, &core.client, connect)?;
        let mut pairs = Vec::with_capacity(channels.len());
        let mut results: Vec<Option<PyErr>> = Vec::with_capacity(channels.len());
        for given in given {
            let made = given.and_then(|(handle, value)| {
                let value = jobs::for_channel(&handle, value);
                Ok((
                    handle,
                    value.map_err(|error| errors::put_failed(py, error))?,
                ))
            });
            results.push(match made {
                Ok(pair) => {
                    pairs.push(pair);
                    None
                }
                Err(error) => Some(error),
            });
        }
        let client = core.client.as_async();
        let put = async {
            let mut put = client.put_many(pairs.iter().map(|(handle, value)| (handle, value)));
            put = match until {
                Until::Sent => put,
                Until::Checked => put.check(),
                Until::Completed => put.wait(),
            };
            if let Some(code) = dbr {
                put = put.ty(DbrType(code));
            }
            put.timeout(deadline.saturating_duration_since(Instant::now()))
                .await
        };
        let mut put = life::wait(py, &core.client, put)?.into_iter();
        let list = PyList::empty(py);
        for result in results {
            let error = match result {
                Some(error) => Some(error),
                None => put
                    .next()
                    .and_then(Result::err)
                    .map(|error| errors::put(py, &error)),
            };
            list.append(error.map(|error| error.into_value(py)))?;
        }
        Ok(list)
    }

    /// Finds out why a PV does not connect: whether it does, the cause as a word, the remedy, and all of it
    /// as text.
    #[pyo3(signature = (name, timeout=None))]
    fn explain(
        &self,
        py: Python<'_>,
        name: &str,
        timeout: Option<f64>,
    ) -> PyResult<(bool, String, String, String)> {
        let native = self.slot.core(py)?;
        let Some(core) = native.get() else {
            return Err(errors::closed(py, name));
        };
        let mut explain = core.client.as_async().explain(name);
        if let Some(timeout) = timeout {
            explain = explain.timeout(params::duration(timeout)?);
        }
        let found = life::wait(py, &core.client, explain)?;
        let (cause, remedy) = (found.cause.id().to_string(), found.cause.remedy());
        Ok((found.works(), cause, remedy, found.to_string()))
    }

    /// Ends the client: its channels and subscriptions, its circuits, and what waits.
    fn close(&self, py: Python<'_>) {
        self.slot.close(py, CLOSE_PATIENCE);
    }
}

/// Pairs of texts of a dictionary.
trait ExtractItems {
    fn extract_items(&self) -> PyResult<Vec<(String, String)>>;
}

impl ExtractItems for Bound<'_, PyDict> {
    fn extract_items(&self) -> PyResult<Vec<(String, String)>> {
        let pair = |(name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            Ok((name.extract()?, value.str()?.to_string()))
        };
        self.iter().map(pair).collect()
    }
}
