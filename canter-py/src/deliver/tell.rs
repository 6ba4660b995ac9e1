//! What was taken becomes calls: of whom, and with which objects.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ca_client::{ClientEvent, Events, MonitorEvent, MonitorKey};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{Call, Done, Hub, OnUpdate, Subscriber, lock};
use crate::arrived::Arrived;
use crate::errors;
use crate::jobs;
use crate::meta::Meta;
use crate::reading::Reading;
use crate::updates::{Many, Row, Updates};
use crate::values;

fn call<'py, A>(py: Python<'py>, function: Py<PyAny>, args: A) -> PyResult<Option<Call<'py>>>
where
    A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    PyErr: From<A::Error>,
{
    Ok(Some((function, args.into_pyobject(py)?)))
}
/// Updates of subscriptions to many PVs, until they are told.
#[derive(Default)]
pub(super) struct Gathered {
    /// By subscription, with the place in `all` of the one that was added to last.
    places: HashMap<usize, usize>,
    all: VecDeque<(Arc<Many>, Vec<Row>)>,
    last: usize,
}

impl Gathered {
    // hot: every update.
    fn add(&mut self, many: &Arc<Many>, row: Row) {
        if let Some((last, rows)) = self.all.get_mut(self.last)
            && Arc::ptr_eq(last, many)
        {
            return rows.push(row);
        }
        let all = &mut self.all;
        // They are kept until they are told, so that no other has its address.
        let place = self.places.entry(Arc::as_ptr(many).addr());
        self.last = *place.or_insert_with(|| {
            all.push_back((many.clone(), Vec::new()));
            all.len() - 1
        });
        if let Some((_, rows)) = self.all.get_mut(self.last) {
            rows.push(row);
        }
    }

    /// Tells one subscription of its updates; nothing when all are told.
    pub(super) fn tell<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Call<'py>>> {
        self.places.clear();
        self.last = 0;
        let Some((many, rows)) = self.all.pop_front() else {
            return Ok(None);
        };
        let updates = Updates::new(many.channels.clone(), rows);
        call(
            py,
            many.on_updates.clone_ref(py),
            (Bound::new(py, updates)?,),
        )
    }
}
impl Hub {
    /// What an update makes somebody call. Who was unsubscribed meanwhile is not called any more.
    pub(super) fn value<'py>(
        &self,
        py: Python<'py>,
        gathered: &mut Gathered,
        key: MonitorKey,
        (value, skipped): (Arrived, u64),
    ) -> PyResult<Option<Call<'py>>> {
        let entry = match lock(&self.subscribers).get(&key) {
            Some(Subscriber::User(entry)) => entry.clone(),
            Some(Subscriber::Many(many, place)) => {
                let row = Row {
                    place: *place,
                    value,
                    skipped,
                };
                gathered.add(many, row);
                return Ok(None);
            }
            Some(Subscriber::Describes(about, channel)) => {
                if let Some(meta) = Meta::of(value.head()) {
                    about.meta.set(jobs::connection(channel), Arc::new(meta));
                }
                return Ok(None);
            }
            // It was taken away meanwhile.
            None => return Ok(None),
        };
        let connection = jobs::connection(&entry.channel);
        let meta = entry.about.meta.get(connection.as_ref());
        let name = entry.about.name.clone();
        let is_array = jobs::is_array(connection.as_ref());
        let reading = Bound::new(py, Reading::new(value, name, meta, is_array))?;
        match &entry.on_update {
            OnUpdate::Reading(function) => call(py, function.clone_ref(py), (reading, skipped)),
            OnUpdate::Value(function, left_out) => {
                left_out.fetch_add(skipped, Ordering::Relaxed);
                call(py, function.clone_ref(py), (values::augmented(&reading)?,))
            }
        }
    }

    pub(super) fn event<'py>(
        &self,
        py: Python<'py>,
        key: MonitorKey,
        event: &MonitorEvent,
    ) -> PyResult<Option<Call<'py>>> {
        let (on_event, place) = match lock(&self.subscribers).get(&key) {
            Some(Subscriber::User(entry)) => {
                (entry.on_event.as_ref().map(|it| it.clone_ref(py)), None)
            }
            Some(Subscriber::Many(many, place)) => {
                let on_event = many.on_event.as_ref().map(|it| it.clone_ref(py));
                (on_event, Some(*place))
            }
            _ => return Ok(None),
        };
        let (word, told) = match event {
            MonitorEvent::Connected => ("connected", None),
            MonitorEvent::Disconnected => ("disconnected", None),
            MonitorEvent::Failed(status) => ("failed", Some(status.to_string())),
            MonitorEvent::Malformed(what) => ("malformed", Some(what.to_string())),
            other => ("failed", Some(format!("{other:?}"))),
        };
        match (on_event, place) {
            (Some(on_event), Some(place)) => call(py, on_event, (place, word, told)),
            (Some(on_event), None) => call(py, on_event, (word, told)),
            (None, _) => Ok(None),
        }
    }

    pub(crate) fn done<'py>(
        &self,
        py: Python<'py>,
        callback: Py<PyAny>,
        done: Done,
    ) -> PyResult<Option<Call<'py>>> {
        let none = || py.None();
        let failed = |error: PyErr| (none(), error.into_value(py).into_any());
        let (result, error) = match done {
            Done::Got(about, fetched) => match fetched.reading {
                Ok(reading) => {
                    let it = Reading::new(reading, about.name, fetched.meta, fetched.is_array);
                    (Bound::new(py, it)?.into_any().unbind(), none())
                }
                Err(error) => failed(errors::get(py, &error)),
            },
            Done::Put(Err(error)) => failed(errors::put_failed(py, error)),
            Done::Connected(Err(error)) => failed(errors::connect(py, &error)),
            Done::Put(Ok(())) | Done::Connected(Ok(())) => (none(), none()),
            Done::Other(make) => match make(py) {
                Ok(made) => (made, none()),
                Err(error) => failed(error),
            },
            Done::Happened(number, event, events) => {
                return self.happened(py, callback, (number, event, events));
            }
        };
        call(py, callback, (result, error))
    }

    fn happened<'py>(
        &self,
        py: Python<'py>,
        callback: Py<PyAny>,
        (number, event, events): (u64, Option<ClientEvent>, Events),
    ) -> PyResult<Option<Call<'py>>> {
        let Some(event) = event.filter(|_| lock(&self.watches).contains(&number)) else {
            lock(&self.watches).remove(&number);
            return Ok(None);
        };
        let told = match event {
            ClientEvent::Connected { .. } => ("connected", None),
            ClientEvent::Disconnected { why, .. } => ("disconnected", Some(why.to_string())),
            ClientEvent::AccessRights { rights, .. } => {
                let word = match (rights.can_read(), rights.can_write()) {
                    (true, true) => "read/write",
                    (true, false) => "read-only",
                    (false, true) => "write-only",
                    (false, false) => "no access",
                };
                ("rights", Some(word.to_owned()))
            }
            ClientEvent::Exception { text, status, .. } => {
                ("exception", Some(format!("{status}: {text}")))
            }
            other => ("other", Some(format!("{other:?}"))),
        };
        let function = callback.clone_ref(py);
        self.watch_on(number, callback, events);
        call(py, function, told)
    }
}
