//! What an IOC has to tell Python: puts that were carried out, puts and reads that wait for an answer, and functions of
//! records. It waits here until a thread of Python takes it, all in one go.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ca_server_sim::process::{Call, CallId, Function};
use ca_server_sim::{EcaStatus, Observed, PutOutcome, PutQuestion, PutReport, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;

use crate::values;
use crate::world::Bell;

/// Puts and values that are told when they have happened; those above are counted, and not told. What waits for an answer
/// is bounded by what clients may have under way, and by the number of records.
const MAX_TOLD: usize = 1 << 16;

/// Inputs of `sub` and `aSub` records.
const INPUTS: &str = "ABCDEFGHIJKLMNOPQRSTU";

/// Something for Python.
pub(super) enum Told {
    Put {
        name: String,
        field: String,
        value: Value,
        who: String,
    },
    Question(PutQuestion),
    Value(Observed),
    /// Somebody waits to read this PV.
    Read(String),
    Call {
        id: CallId,
        function: Arc<str>,
        record: String,
        inputs: Vec<(String, Value)>,
    },
}

#[derive(Default)]
struct Waiting {
    all: VecDeque<Told>,
    /// Puts among them.
    puts: usize,
    lost: u64,
    ended: bool,
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Of the world that the IOC lives in.
    bell: Option<Arc<Bell>>,
}

impl Queue {
    pub(super) fn new(bell: Option<Arc<Bell>>) -> Self {
        Self {
            bell,
            ..Self::default()
        }
    }

    fn tell(&self) {
        self.changed.notify_one();
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    /// What there is at this moment.
    pub(super) fn take_now(&self) -> VecDeque<Told> {
        let mut waiting = self.lock();
        waiting.puts = 0;
        std::mem::take(&mut waiting.all)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, report: &PutReport<'_>) {
        let refused =
            matches!(report.outcome, PutOutcome::Done(status) if status != EcaStatus::NORMAL);
        // A put that completes later is told when it is carried out, not again at its end.
        if !report.carried_out || refused || report.begun.is_some() {
            return;
        }
        let mut waiting = self.lock();
        if waiting.puts >= MAX_TOLD {
            waiting.lost += 1;
            return;
        }
        waiting.puts += 1;
        waiting.all.push_back(Told::Put {
            name: report.name.to_owned(),
            field: report.field.to_owned(),
            value: report.after.value.clone(),
            who: report.who.to_string(),
        });
        self.tell();
    }

    pub(super) fn add(&self, told: Told) {
        self.lock().all.push_back(told);
        self.tell();
    }

    /// A value that a record has posted.
    pub(super) fn observed(&self, observed: Observed) {
        let mut waiting = self.lock();
        if waiting.puts >= MAX_TOLD {
            waiting.lost += 1;
            return;
        }
        waiting.puts += 1;
        waiting.all.push_back(Told::Value(observed));
        self.tell();
    }

    /// Waits until there is something; nothing at the end.
    pub(super) fn take(&self) -> VecDeque<Told> {
        let mut waiting = self.lock();
        while waiting.all.is_empty() && !waiting.ended {
            waiting = (self.changed.wait(waiting)).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.puts = 0;
        std::mem::take(&mut waiting.all)
    }

    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    pub(super) fn lost(&self) -> u64 {
        self.lock().lost
    }
}

/// A function of records that Python answers.
pub(super) fn function(name: &str, queue: Arc<Queue>) -> Function {
    let name: Arc<str> = name.into();
    Function::new(move |call: &mut Call<'_, '_>| {
        let fields = INPUTS.chars().map(String::from);
        let fields = fields.chain(["VAL".to_owned()]);
        let inputs = fields.filter_map(|field| Some((field.clone(), call.value(&field)?)));
        let inputs = inputs.collect();
        let id = call.later();
        queue.add(Told::Call {
            id,
            function: name.clone(),
            record: call.name(),
            inputs,
        });
        0
    })
}

fn plain(py: Python<'_>, value: &Value) -> PyResult<Py<PyAny>> {
    values::plain(py, value.as_ref(), value.count() != 1)
}

/// A tuple whose first member says what it is.
pub(super) fn tuple<'py>(py: Python<'py>, told: Told) -> PyResult<Bound<'py, PyTuple>> {
    match told {
        Told::Put {
            name,
            field,
            value,
            who,
        } => ("put", name, field, plain(py, &value)?, who).into_pyobject(py),
        Told::Value(it) => {
            let value = plain(py, &it.value)?;
            ("value", it.record, value).into_pyobject(py)
        }
        Told::Read(name) => ("read", name).into_pyobject(py),
        Told::Question(it) => {
            let value = plain(py, &it.value)?;
            let who = it.who.to_string();
            ("ask", it.id.0, it.name, it.field, value, who, it.notify).into_pyobject(py)
        }
        Told::Call {
            id,
            function,
            record,
            inputs,
        } => {
            let given = PyDict::new(py);
            for (field, value) in inputs {
                given.set_item(field, plain(py, &value)?)?;
            }
            ("call", id.0, &*function, record, given).into_pyobject(py)
        }
    }
}
