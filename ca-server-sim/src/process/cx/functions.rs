//! Functions that the program has registered, and their answers.

use super::Cx;
use crate::process::function::Call;
use crate::record::Id;

impl Cx<'_> {
    /// Calls a function that was registered (`Records::register`); `None` if there is none of the name.
    pub fn call(&mut self, name: &str) -> Option<i32> {
        let function = self.records.functions.get(name)?.clone();
        Some(function(&mut Call::new(self)))
    }

    /// The record.
    pub(in crate::process) const fn id(&self) -> Id {
        self.id
    }

    pub(in crate::process) const fn calls(&mut self) -> &mut crate::process::function::Calls {
        &mut self.records.calls
    }

    /// Whether the function that was called last answers later.
    pub fn answers_later(&mut self) -> bool {
        self.records.calls.take_later().is_some()
    }

    /// Nobody waits for the answer of the function that was called last.
    pub fn forget_call(&mut self) {
        if let Some(call) = self.records.calls.take_later() {
            self.records.calls.forget(call);
        }
    }

    /// The status of a function that has answered later.
    pub fn take_answer(&mut self) -> i32 {
        let id = self.id;
        self.records.calls.take_answer(id).unwrap_or_default()
    }

    /// Whether there is a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.records.functions.contains_key(name)
    }

    /// Says, once for each name, that there is no such function.
    pub fn warn_missing(&mut self, field: &str, name: &str) {
        if self.records.missing.insert(name.into()) {
            let text = format!(
                "{field} is \"{name}\", a function that is not registered; \
                 records that call it hold their values"
            );
            self.warn(text);
        }
    }

    /// Something that is wrong with the record each time it is processed, for the log: the same is said once.
    pub fn warn_once(&mut self, text: String) {
        let key = format!("{}: {text}", self.record().name);
        if self.records.missing.insert(key.into()) {
            self.warn(text);
        }
    }
}
