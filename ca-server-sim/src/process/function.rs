//! Functions that `sub` and `aSub` records call (`registryFunction.h` of EPICS Base).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use ca_proto::dbr::Value;

use super::chain::Task;
use super::cx::Cx;
use super::database::Records;
use super::lapsed::Awaited;
use crate::record::{Array, Conversion, Dbf, Id, Val};
use crate::served::to_value;
use crate::state::codec::{Broken, Reader, Saved, Writer, saved};

/// Names a call that is answered later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u64);

/// The stage of `sub` and `aSub` records after such an answer.
pub(crate) const ANSWERED: u8 = u8::MAX;

/// Calls that are answered later.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    last: u64,
    /// Who waits for the answer.
    waiting: Awaited<CallId, ()>,
    /// Status of the answer, until the record goes on.
    answers: BTreeMap<Id, i32>,
    /// The function that was called last wants to answer later.
    later: Option<CallId>,
}

saved!(struct Calls { waiting, answers } kept {
    // A number is never given twice.
    last = 0,
    later = None,
});

impl Saved for CallId {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        u64::load(from).map(Self)
    }
}

impl Calls {
    /// All records that wait.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        let waiting = self.waiting.iter().map(|(_, id, ())| id);
        waiting.chain(self.answers.keys().copied())
    }

    /// Numbers go on behind those of others.
    pub(super) const fn go_on_after(&mut self, other: &Self) {
        self.last = other.last;
    }

    /// Whether the answer is waited for.
    pub(super) fn waits(&self, call: CallId) -> bool {
        self.waiting.contains(call)
    }

    /// Takes the records out whose calls are not meant.
    pub(super) fn split_waiting(&mut self, stays: impl Fn(CallId) -> bool) -> Vec<Id> {
        let gone = self.waiting.iter().map(|(call, ..)| call);
        let gone: Vec<CallId> = gone.filter(|&call| !stays(call)).collect();
        gone.into_iter()
            .filter_map(|call| Some(self.waiting.remove(call)?.0))
            .collect()
    }

    /// Answers without setting anything.
    pub(super) fn answer(&mut self, id: Id) {
        self.answers.insert(id, 0);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.answers.clear();
        self.later = None;
    }

    /// Whether the function that was called last answers later.
    pub(super) const fn take_later(&mut self) -> Option<CallId> {
        self.later.take()
    }

    /// Nobody waits for this answer.
    pub(super) fn forget(&mut self, call: CallId) {
        self.waiting.remove(call);
    }

    /// A record that is gone waits for no answer.
    pub(super) fn forget_record(&mut self, id: Id) {
        self.waiting.forget(id);
        self.answers.remove(&id);
    }

    pub(super) fn take_answer(&mut self, id: Id) -> Option<i32> {
        self.answers.remove(&id)
    }
}

/// A function of `sub` and `aSub` records: it reads the record's fields, sets others, and returns a
/// status. One below 0 raises the alarm of BRSV; an `aSub` writes through its OUT links if it is 0.
#[derive(Clone)]
pub struct Function(Arc<dyn Fn(&mut Call<'_, '_>) -> i32 + Send + Sync>);

impl Function {
    /// Makes a function.
    pub fn new(function: impl Fn(&mut Call<'_, '_>) -> i32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }
}

impl Deref for Function {
    type Target = dyn Fn(&mut Call<'_, '_>) -> i32 + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

/// The record that calls a function.
#[derive(Debug)]
pub struct Call<'a, 'b> {
    cx: &'a mut Cx<'b>,
}

impl<'a, 'b> Call<'a, 'b> {
    pub(super) const fn new(cx: &'a mut Cx<'b>) -> Self {
        Self { cx }
    }

    /// The name of the record.
    pub fn name(&self) -> String {
        let name = self.cx.get(crate::record::common::NAME);
        String::from_utf8_lossy(name.as_text()).into_owned()
    }

    /// The value of a field: a number, a text, an array. `None` if there is no such field.
    pub fn get(&self, field: &str) -> Option<Val> {
        Some(self.cx.get(self.cx.of().find(field)?))
    }

    /// The value of a field as clients see it. `None` if there is no such field, or nothing in it.
    pub fn value(&self, field: &str) -> Option<Value> {
        match self.get(field)? {
            Val::None => None,
            val => Some(to_value(&val, usize::MAX)),
        }
    }

    /// A field as a real number; 0 for what is none.
    pub fn number(&self, field: &str) -> f64 {
        self.get(field)
            .and_then(|val| val.first())
            .map_or(0.0, |val| val.as_f64())
    }

    /// The elements of a field as real numbers.
    pub fn numbers(&self, field: &str) -> Vec<f64> {
        match self.get(field) {
            Some(Val::Array(all)) => all.iter().map(|val| val.as_f64()).collect(),
            Some(val) => vec![val.as_f64()],
            None => Vec::new(),
        }
    }

    /// Sets a field, as far as there is room for it: values become the field's type, and an `aSub`'s NEV
    /// fields tell how many elements there are. Nobody is told before the function returns. Whether there
    /// is such a field, and the value can be its.
    pub fn set(&mut self, field: &str, val: impl Into<Val>) -> bool {
        let val = val.into();
        let Some(index) = self.cx.of().find(field) else {
            return false;
        };
        let support = self.cx.of().support;
        let Some(shape) = (support.array)(&self.cx.view(), index) else {
            if self.cx.of().field(index).dbf == Dbf::NoAccess {
                return false;
            }
            self.cx.set(index, val);
            return true;
        };
        let elements = match &val {
            Val::Array(all) => all.converted(shape.dbf, shape.capacity, &Conversion::PLAIN),
            val => Array::collect([val.clone()], shape.dbf, shape.capacity, &Conversion::PLAIN),
        };
        let Ok(elements) = elements else {
            return false;
        };
        let count = elements.len();
        self.cx.set(index, elements);
        (support.stored)(self.cx, index, count);
        true
    }

    /// The function is not done when it returns: the record stays active (PACT), and goes on when the program
    /// [answers](crate::Ioc::answer_call). What the function returns does not count. Calls at the start (INAM)
    /// are not waited for.
    pub fn later(&mut self) -> CallId {
        let id = self.cx.id();
        let calls = self.cx.calls();
        calls.last += 1;
        let call = CallId(calls.last);
        calls.waiting.insert(call, id, ());
        calls.later = Some(call);
        call
    }

    /// Sets a field to these numbers.
    pub fn set_numbers(&mut self, field: &str, numbers: Vec<f64>) -> bool {
        self.set(field, Array::Double(numbers))
    }
}

impl Records {
    /// Registers a function for `sub` and `aSub` records, which name it in SNAM and INAM; before the
    /// start. A name that no function has warns once, and raises the alarm `BAD_SUB`.
    pub fn register(&mut self, name: &str, function: Function) {
        self.functions.insert(name.into(), function);
    }

    /// Whether there is a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    /// Answers a call: these fields are set, and the record goes on with the status. False if nobody waits for the
    /// answer any more.
    pub fn answer_call(&mut self, call: CallId, fields: Vec<(String, Val)>, status: i32) -> bool {
        let Some((id, ())) = self.calls.waiting.remove(call) else {
            return false;
        };
        self.settle();
        Cx::with(self, id, |cx, _| {
            let mut call = Call::new(cx);
            for (field, val) in fields {
                call.set(&field, val);
            }
        });
        self.calls.answers.insert(id, status);
        let height = self.chain.got.len();
        self.chain.stack.push(Task::Step {
            id,
            stage: ANSWERED,
            height,
        });
        true
    }

    /// Has a record show an alarm beside those of its own, the worse one of them, from when it is processed next.
    /// Severity 0 ends that.
    pub fn force_alarm(&mut self, id: u32, stat: u8, sevr: u8) {
        match sevr {
            0 => drop(self.forced.remove(&id)),
            _ => drop(self.forced.insert(id, (stat, sevr))),
        }
    }

    /// Processes a record, after the chain that is under way.
    pub fn process_now(&mut self, id: u32) {
        self.settle();
        self.chain.stack.push(Task::Process(id));
    }
}
