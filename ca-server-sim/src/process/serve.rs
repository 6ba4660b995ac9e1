//! What a server asks of records, beside reading and writing them.

use std::sync::Arc;

use ca_proto::dbr::{Acknowledge, ConvertError, NoState};
use ca_proto::server::Turn;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, Timestamp};

use super::database::{FieldError, Records};
use super::event::{ALL_FIELDS, Post};
use super::notify::{Completion, NotifyId, Place};
use super::put::PutError;
use crate::record::{Array, Dbf, Record, Val};

/// What all fields of a record share.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct State {
    /// Its time.
    pub time: Timestamp,
    /// Its alarm.
    pub alarm: Alarm,
    /// What of its alarms is to be acknowledged.
    pub ack: Acknowledge,
}

impl State {
    pub(super) fn of(record: &Record) -> Self {
        let severity = |number: u8| AlarmSeverity(number.into());
        Self {
            time: record.time,
            alarm: Alarm::new(AlarmStatus(record.stat.into()), severity(record.sevr)),
            ack: Acknowledge {
                transient: record.ackt,
                severity: severity(record.acks),
            },
        }
    }
}

impl Records {
    /// Time, alarm and acknowledgement of a record.
    pub fn state(&self, id: u32) -> State {
        State::of(self.record(id))
    }

    /// The first elements of an array as another type.
    ///
    /// # Errors
    /// For the first element without a conversion.
    pub fn read_elements(
        &self,
        id: u32,
        field: u16,
        to: Dbf,
        limit: usize,
    ) -> Result<Val, ConvertError> {
        self.read_array(id, field, to, limit)
    }

    /// Elements as the type of an array field, as writing them would make them.
    ///
    /// # Errors
    /// For the first element without a conversion.
    pub fn fit_elements(&self, id: u32, field: u16, val: &Val) -> Result<Array, ConvertError> {
        let shape = self.shape(id, field).ok_or(ConvertError::Unsupported)?;
        let how = self.view(id).conversion_to(field, val);
        match val {
            Val::Array(all) => all.converted(shape.dbf, usize::MAX, &how.borrow()),
            val => Array::collect([val.clone()], shape.dbf, 1, &how.borrow()),
        }
    }

    /// Sets a text field to bytes that are no UTF-8, as of a file in Latin-1.
    ///
    /// # Errors
    /// As [`Self::set_field`]; for a field that is no text.
    pub fn set_bytes(&mut self, id: u32, field: &str, value: &[u8]) -> Result<(), FieldError> {
        let of = self.type_of(id).clone();
        let text = of.find(field).filter(|&index| {
            let info = of.field(index);
            info.dbf == Dbf::String && value.len() < usize::from(info.size)
        });
        match text {
            Some(index) => {
                self.record_mut(id).set(&of, index, Val::text(value));
                if Some(index) == of.value {
                    self.record_mut(id).udf = 0;
                }
                Ok(())
            }
            None => self.set_field(id, field, &String::from_utf8_lossy(value)),
        }
    }

    /// Whether a record works on something, or others wait for it with puts: another put with notify would
    /// wait.
    pub fn is_busy(&self, id: u32) -> bool {
        let record = self.record(id);
        record.pact || record.notify != 0 || self.notifies.queued.contains_key(&id)
    }

    /// What the states of a record without a text are called.
    pub fn no_state(&self, id: u32) -> NoState {
        self.type_of(id).support.no_state
    }

    /// Whether a chain is being processed: a put would finish it first.
    pub fn is_in_chain(&self) -> bool {
        !self.chain.stack.is_empty()
    }

    /// As [`Self::run`], and also until there is something to tell of all fields of a record, whose values
    /// are not captured: who has posts told before it goes on tells them as they were.
    pub fn run_until_told(&mut self, turn: &mut Turn, only_chain: bool) {
        let schema = Arc::clone(&self.schema);
        while !turn.is_over() {
            let broad = |post: &Post| post.field == ALL_FIELDS;
            if self.posts.back().is_some_and(broad) || (only_chain && !self.is_in_chain()) {
                return;
            }
            if !self.step(&schema) {
                return;
            }
            turn.spend(1);
        }
    }

    /// The next post in their order.
    pub fn pop_post(&mut self) -> Option<Post> {
        loop {
            let post = self.posts.pop_front()?;
            let left = self.posts.len();
            if !self.lapsed_posts.passes(Some(post.record), left) {
                return Some(post);
            }
        }
    }

    /// Whether there are posts that nobody has taken.
    pub fn has_posts(&self) -> bool {
        !self.posts.is_empty()
    }

    /// The next put that is complete.
    pub fn pop_completion(&mut self) -> Option<Completion> {
        self.notifies.done.pop_front()
    }

    /// How a put has ended, if it was the last one to end.
    pub fn take_completed(&mut self, notify: NotifyId) -> Option<Result<(), PutError>> {
        let last = self.notifies.done.back()?;
        let result = (last.id == notify).then_some(last.result)?;
        self.notifies.done.pop_back();
        Some(result)
    }

    /// Whether a put still waits for a busy record.
    pub fn is_queued(&self, notify: NotifyId) -> bool {
        matches!(self.notifies.places.get(&notify.0), Some(Place::Queued(_)))
    }

    /// Whether there are puts that are complete, of which nobody was told.
    pub fn has_completions(&self) -> bool {
        !self.notifies.done.is_empty()
    }

    /// The names of all records, in the order in which they were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.records.iter().map(|record| &*record.name);
        names.filter(|name| !name.is_empty())
    }

    /// Whether they were started.
    pub fn is_started(&self) -> bool {
        self.started
    }
}
