//! What clients have of records that go back to what they were.

use ca_proto::Instant;

use super::{FieldKey, RTYP, Served};
use crate::process::{RecordsState, differs};
use crate::state::Waiting;

impl Served {
    /// Makes the records what they were, and `state` what they are. Returns what is subscribed to, in its order, for
    /// [`tell_back`](Self::tell_back).
    pub(crate) fn rewind(
        &mut self,
        now: Instant,
        state: &mut RecordsState,
        same: bool,
    ) -> Vec<FieldKey> {
        let keys: Vec<FieldKey> = (self.watched.keys().copied())
            .filter(|key| key.field != RTYP)
            .collect();
        let waiting: Waiting = self.tickets.values().copied().collect();
        let records = self.watched.keys().map(|key| key.record);
        let records = records.chain(self.observed.iter().copied());
        self.records.take_state(now, state, same, &waiting, records);
        self.telling = None;
        self.wrote = false;
        keys
    }

    /// Has subscribers told of what is another than before.
    pub(crate) fn tell_back(&mut self, before: &RecordsState, keys: &[FieldKey]) {
        let mut last = None;
        for key in keys {
            let place = Some((key.record, key.field));
            if last == place {
                // Those with modifiers are told with it.
                continue;
            }
            let old = before.val(self.records.schema(), key.record, key.field);
            let new = (self.val(*key), self.records.state(key.record));
            if old.is_some_and(|old| differs(&old, &new)) {
                last = place;
                self.records.post_again(key.record, key.field);
            }
        }
    }
}
