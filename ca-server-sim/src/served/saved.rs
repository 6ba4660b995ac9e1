//! What clients have of records that go back to what they were.

use ca_proto::Instant;

use super::{FieldKey, RTYP, Served};
use crate::process::{RecordsState, State, differs};
use crate::record::Val;
use crate::state::Waiting;

impl Served {
    /// Makes the records what they were, and has subscribers told of what is another.
    pub(crate) fn rewind(&mut self, now: Instant, state: RecordsState, same: bool) {
        let seen = |served: &Self, key: &FieldKey| -> (Val, State) {
            (served.val(*key), served.records.state(key.record))
        };
        let keys: Vec<FieldKey> = (self.watched.keys().copied())
            .filter(|key| key.field != RTYP)
            .collect();
        let before: Vec<(Val, State)> = keys.iter().map(|key| seen(self, key)).collect();
        let waiting: Waiting = self.tickets.values().copied().collect();
        self.records.take_state(now, state, same, &waiting);
        self.telling = None;
        self.wrote = false;
        let mut last = None;
        for (key, old) in keys.iter().zip(&before) {
            let place = Some((key.record, key.field));
            if differs(old, &seen(self, key)) && last != place {
                // Those with modifiers are told with it.
                last = place;
                self.records.post_again(key.record, key.field);
            }
        }
    }
}
