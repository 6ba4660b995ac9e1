//! A channel.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use ca_client::{ConnectError, DbrType, MonitorSpec, TypeSpec};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::{Core, Slot};
use crate::deliver::{Done, Key, OnUpdate};
use crate::errors;
use crate::jobs::{self, About};
use crate::life::{self, Native};
use crate::loops::LoopJobs;
use crate::meta::MetaCache;
use crate::params;
use crate::reading::Reading;
use crate::values;

type Shared = Arc<Native<Core>>;

/// A channel that is open.
type Opened = (Shared, ca_client::Channel, About);

/// The way to one PV; it is opened when it is first used.
#[pyclass(frozen, module = "canter._canter", weakref)]
pub(crate) struct Channel {
    slot: Arc<Slot>,
    name: Arc<str>,
    priority: Option<u8>,
    meta: Arc<MetaCache>,
    opened: Mutex<Option<(Shared, Native<ca_client::Channel>)>>,
}

impl Channel {
    pub(crate) fn new(slot: Arc<Slot>, name: String, priority: Option<u8>) -> Self {
        Self {
            slot,
            name: name.into(),
            priority,
            meta: Arc::default(),
            opened: Mutex::new(None),
        }
    }

    /// One that is open.
    pub(crate) fn opened(
        slot: Arc<Slot>,
        name: String,
        core: Shared,
        handle: ca_client::Channel,
    ) -> Self {
        let channel = Self::new(slot, name, None);
        let opened = (core, Native::new(handle));
        Self {
            opened: Mutex::new(Some(opened)),
            ..channel
        }
    }

    pub(crate) fn about(&self) -> About {
        About {
            name: self.name.clone(),
            meta: self.meta.clone(),
        }
    }

    /// The channel in this process, opened if it is not.
    pub(crate) fn handle(&self, py: Python<'_>) -> PyResult<Opened> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let about = self.about();
        if let Some((core, handle)) = &*opened
            && let Some(handle) = handle.get()
        {
            return Ok((core.clone(), handle.clone(), about));
        }
        let native = self.slot.core(py)?;
        let Some(core) = native.get() else {
            return Err(errors::closed(py, &self.name));
        };
        let client = &core.client.as_async();
        let handle = match self.priority {
            Some(priority) => client.open_with_priority(&*self.name, priority),
            None => client.open(&*self.name),
        };
        let handle = handle.map_err(|error: ConnectError| errors::connect(py, &error))?;
        *opened = Some((native.clone(), Native::new(handle.clone())));
        Ok((native, handle, about))
    }

    fn fetch(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        (dbr, family, count): (Option<u16>, u8, u32),
        describe: bool,
    ) -> PyResult<Reading> {
        let (native, handle, about) = self.handle(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, &self.name))?;
        let spec = params::read_spec(dbr, family, count)?;
        let timeout = self.timeout(core, timeout)?;
        let get = jobs::fetch(handle, about, spec, timeout, describe);
        let fetched = life::wait(py, &core.client, get)?;
        let reading = fetched.reading.map_err(|error| errors::get(py, &error))?;
        let name = self.name.clone();
        Ok(Reading::new(reading, name, fetched.meta, fetched.is_array))
    }

    fn timeout(&self, core: &Core, given: Option<f64>) -> PyResult<std::time::Duration> {
        let given = given.map(params::duration).transpose()?;
        Ok(given.unwrap_or_else(|| core.client.effective_config().timeout()))
    }
}

/// Begins an operation whose end is told by the loop that it belongs to, or by the thread of callbacks.
fn begin(
    core: &Core,
    jobs: Option<&Bound<'_, LoopJobs>>,
    callback: Py<PyAny>,
    job: impl Future<Output = Done> + Send + 'static,
) {
    match jobs {
        Some(jobs) => jobs.get().start(callback, job),
        None => core.hub.start(callback, job),
    }
}

#[pymethods]
impl Channel {
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can be used at this moment.
    #[getter]
    fn connected(&self, py: Python<'_>) -> PyResult<bool> {
        let (_, handle, _) = self.handle(py)?;
        Ok(handle.is_connected())
    }

    /// Waits until it can be used.
    #[pyo3(signature = (timeout=None))]
    fn connect(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let (native, handle, _) = self.handle(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, &self.name))?;
        let timeout = self.timeout(core, timeout)?;
        let connected = life::wait(py, &core.client, jobs::connect(handle, timeout))?;
        connected.map_err(|error| errors::connect(py, &error))
    }

    /// The value, which carries what came beside it.
    #[pyo3(signature = (timeout=None, *, dbr=None, family=2, count=0, describe=true))]
    fn get(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        dbr: Option<u16>,
        family: u8,
        count: u32,
        describe: bool,
    ) -> PyResult<Py<PyAny>> {
        let reading = self.fetch(py, timeout, (dbr, family, count), describe)?;
        values::augmented(&Bound::new(py, reading)?)
    }

    /// What came, of which the value is a part.
    #[pyo3(signature = (timeout=None, *, dbr=None, family=2, count=0, describe=false))]
    fn read(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        dbr: Option<u16>,
        family: u8,
        count: u32,
        describe: bool,
    ) -> PyResult<Reading> {
        self.fetch(py, timeout, (dbr, family, count), describe)
    }

    /// Puts a value; `until` says how long it waits.
    #[pyo3(signature = (value, until="checked", timeout=None, *, dbr=None))]
    fn put(
        &self,
        py: Python<'_>,
        value: &Bound<'_, PyAny>,
        until: &str,
        timeout: Option<f64>,
        dbr: Option<u16>,
    ) -> PyResult<()> {
        let until = params::until(until)?;
        let (native, handle, _) = self.handle(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, &self.name))?;
        let timeout = self.timeout(core, timeout)?;
        let value = values::to_wire(value, &self.name)?;
        let put = jobs::put(handle, value, dbr.map(DbrType), until, timeout);
        let put = life::wait(py, &core.client, put)?;
        put.map_err(|error| errors::put_failed(py, error))
    }

    /// As `read`, beside: the end is delivered as `callback(reading, error)`.
    #[pyo3(signature = (callback, timeout=None, *, dbr=None, family=2, count=0, describe=false, jobs=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn start_read(
        &self,
        py: Python<'_>,
        callback: Py<PyAny>,
        timeout: Option<f64>,
        dbr: Option<u16>,
        family: u8,
        count: u32,
        describe: bool,
        jobs: Option<&Bound<'_, LoopJobs>>,
    ) -> PyResult<()> {
        let (native, handle, about) = self.handle(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, &self.name))?;
        let spec = params::read_spec(dbr, family, count)?;
        let timeout = self.timeout(core, timeout)?;
        let get = jobs::fetch(handle, about.clone(), spec, timeout, describe);
        begin(
            core,
            jobs,
            callback,
            async move { Done::Got(about, get.await) },
        );
        Ok(())
    }

    /// As `put`, beside: the end is delivered as `callback(None, error)`.
    #[pyo3(signature = (callback, value, until="checked", timeout=None, *, dbr=None, jobs=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn start_put(
        &self,
        py: Python<'_>,
        callback: Py<PyAny>,
        value: &Bound<'_, PyAny>,
        until: &str,
        timeout: Option<f64>,
        dbr: Option<u16>,
        jobs: Option<&Bound<'_, LoopJobs>>,
    ) -> PyResult<()> {
        let until = params::until(until)?;
        let (native, handle, _) = self.handle(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, &self.name))?;
        let timeout = self.timeout(core, timeout)?;
        let value = values::to_wire(value, &self.name)?;
        let put = jobs::put(handle, value, dbr.map(DbrType), until, timeout);
        begin(core, jobs, callback, async move { Done::Put(put.await) });
        Ok(())
    }

    /// As `connect`, beside: the end is delivered as `callback(None, error)`.
    #[pyo3(signature = (callback, timeout=None, *, jobs=None))]
    fn start_connect(
        &self,
        py: Python<'_>,
        callback: Py<PyAny>,
        timeout: Option<f64>,
        jobs: Option<&Bound<'_, LoopJobs>>,
    ) -> PyResult<()> {
        let (native, handle, _) = self.handle(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, &self.name))?;
        let timeout = self.timeout(core, timeout)?;
        let connect = jobs::connect(handle, timeout);
        begin(core, jobs, callback, async move {
            Done::Connected(connect.await)
        });
        Ok(())
    }

    /// Delivers `on_update(reading, skipped)` for each update, or `on_update(value)` with `values`, and
    /// `on_event(word, text)` for what else happens. With `describe` the description is kept up to date, too.
    #[pyo3(signature = (on_update, on_event=None, *, mask=5, dbr=None, family=2, count=0, depth=None,
        max_bytes=None, policy="squash", describe=false, values=false))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn monitor(
        &self,
        py: Python<'_>,
        on_update: Py<PyAny>,
        on_event: Option<Py<PyAny>>,
        mask: u16,
        dbr: Option<u16>,
        family: u8,
        count: u32,
        depth: Option<usize>,
        max_bytes: Option<usize>,
        policy: &str,
        describe: bool,
        values: bool,
    ) -> PyResult<Key> {
        let (native, handle, about) = self.handle(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, &self.name))?;
        let mut spec = match params::type_spec(dbr, family)? {
            TypeSpec::Exact(ty) => MonitorSpec::exact(ty),
            TypeSpec::Family(family) => MonitorSpec::family(family),
        };
        spec = spec
            .count(count)
            .mask(params::mask(mask))
            .overflow(params::overflow(policy)?)
            .depth(depth.unwrap_or(params::DEPTH));
        if let Some(bytes) = max_bytes {
            spec = spec.max_bytes(bytes);
        }
        let describe = describe.then(|| {
            let ctrl = MonitorSpec::family(ca_client::Family::Ctrl);
            ctrl.count(1).mask(ca_client::EventMask::PROPERTY)
        });
        let skipped = Arc::<AtomicU64>::default();
        let on_update = match values {
            true => OnUpdate::Value(on_update, skipped.clone()),
            false => OnUpdate::Reading(on_update),
        };
        let callbacks = (on_update, on_event);
        let keys = core
            .hub
            .subscribe(&handle, about, spec, describe, callbacks);
        let keys = keys.map_err(|error| errors::monitor(py, &error))?;
        Ok(Key {
            core: native,
            keys,
            skipped,
        })
    }

    /// Delivers `on_event(word, text)` for connects, disconnects and new rights, until `unwatch`.
    fn watch(&self, py: Python<'_>, on_event: Py<PyAny>) -> PyResult<u64> {
        let (native, handle, _) = self.handle(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, &self.name))?;
        Ok(core.hub.watch(on_event, handle.changes()))
    }

    fn unwatch(&self, py: Python<'_>, number: u64) -> PyResult<bool> {
        let (native, _, _) = self.handle(py)?;
        Ok(native.get().is_some_and(|core| core.hub.unwatch(number)))
    }

    /// What is known of the channel at this moment.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (_, handle, _) = self.handle(py)?;
        let known = PyDict::new(py);
        known.set_item("name", &*self.name)?;
        let info = handle.info();
        let info = info.ok_or_else(|| errors::closed(py, &self.name))?;
        known.set_item("connected", info.is_connected())?;
        known.set_item("server", info.server().map(|server| server.to_string()))?;
        known.set_item("searches", info.search_attempts)?;
        known.set_item("trouble", info.trouble.map(|trouble| trouble.to_string()))?;
        known.set_item("priority", info.priority)?;
        let rights = info.rights();
        known.set_item("can_read", rights.can_read())?;
        known.set_item("can_write", rights.can_write())?;
        if let Some(connection) = info.connection() {
            known.set_item("native", connection.native.name())?;
            known.set_item("dbr", connection.native as u16)?;
            known.set_item("count", connection.count)?;
            known.set_item("minor", connection.minor.0)?;
        }
        Ok(known)
    }

    /// Closes the channel; it is opened again when it is used.
    fn close(&self) {
        let closed = self
            .opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(closed);
    }

    fn __repr__(&self) -> String {
        format!("<canter._canter.Channel {:?}>", self.name)
    }
}
