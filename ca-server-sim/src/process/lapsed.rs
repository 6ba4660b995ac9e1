//! What waits for records, or names them, when they go.
//!
//! A record that is removed is looked for in no queue. What a queue holds of it is passed over when its turn comes
//! ([`Lapsed`]), for the number of the record may be another's by then; what waits for an answer is found by the record
//! ([`Awaited`]). So a removal takes as long as what it ends, however much else is under way.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use crate::record::Id;
use crate::state::codec::{Broken, Reader, Saved, Writer, saved};

/// Records that went, with the numbers below which what names them is theirs, and not of those that have their numbers
/// since.
///
/// For a queue that is first in, first out the numbers are places in it: [`Self::leave`] and [`Self::passes`]. At most
/// as many as there are numbers of records.
#[derive(Clone, Debug, Default)]
pub(super) struct Lapsed {
    /// How many the queue has given, counted as long as something in it has lapsed.
    passed: u64,
    until: HashMap<Id, u64>,
}

saved!(struct Lapsed { passed, until });

impl Lapsed {
    /// A record goes: what has a number below this one is of no use any more.
    pub(super) fn lapse(&mut self, id: Id, below: u64) {
        self.until.insert(id, below);
    }

    /// Whether what has this number lapsed.
    pub(super) fn has(&self, id: Id, number: u64) -> bool {
        self.until.get(&id).is_some_and(|&below| number < below)
    }

    /// No number from this one on has lapsed.
    pub(super) fn end(&self) -> u64 {
        self.until.values().copied().max().unwrap_or(0)
    }

    /// A record goes while so many are in the queue.
    pub(super) fn leave(&mut self, id: Id, queued: usize) {
        if queued > 0 {
            self.lapse(id, self.passed + queued as u64);
        }
    }

    /// Whether nothing has lapsed.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// The next of the queue is taken, perhaps of a record, and so many stay; whether it has lapsed.
    #[inline]
    pub(super) fn passes(&mut self, id: Option<Id>, left: usize) -> bool {
        !self.is_empty() && self.passes_some(id, left)
    }

    fn passes_some(&mut self, id: Option<Id>, left: usize) -> bool {
        let lapsed = id.is_some_and(|id| self.has(id, self.passed));
        self.passed += 1;
        if left == 0 {
            *self = Self::default();
        }
        lapsed
    }

    /// Whether what is at a place of the queue as it is has not lapsed.
    pub(super) fn keeps(&self, id: Id, place: u64) -> bool {
        !self.has(id, self.passed + place)
    }

    /// Nothing is left that could have lapsed.
    pub(super) fn clear(&mut self) {
        if !self.is_empty() {
            *self = Self::default();
        }
    }
}

/// Records that wait for answers, by the numbers of these and by themselves.
#[derive(Clone, Debug)]
pub(super) struct Awaited<K, V> {
    by_number: BTreeMap<K, (Id, V)>,
    of: HashMap<Id, BTreeSet<K>>,
}

impl<K, V> Default for Awaited<K, V> {
    fn default() -> Self {
        Self {
            by_number: BTreeMap::new(),
            of: HashMap::new(),
        }
    }
}

impl<K: Copy + Ord, V: Copy> Awaited<K, V> {
    pub(super) fn insert(&mut self, number: K, id: Id, with: V) {
        self.remove(number);
        self.by_number.insert(number, (id, with));
        self.of.entry(id).or_default().insert(number);
    }

    pub(super) fn contains(&self, number: K) -> bool {
        self.by_number.contains_key(&number)
    }

    /// Who waits for this answer, and does so no more.
    pub(super) fn remove(&mut self, number: K) -> Option<(Id, V)> {
        let (id, with) = self.by_number.remove(&number)?;
        if let Some(numbers) = self.of.get_mut(&id) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.of.remove(&id);
            }
        }
        Some((id, with))
    }

    /// A record waits for nothing any more.
    pub(super) fn forget(&mut self, id: Id) {
        for number in self.of.remove(&id).unwrap_or_default() {
            self.by_number.remove(&number);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, Id, V)> {
        let all = self.by_number.iter();
        all.map(|(&number, &(id, with))| (number, id, with))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<K: Saved + Copy + Ord, V: Saved + Copy> Saved for Awaited<K, V> {
    fn save(&self, to: &mut Writer) {
        self.by_number.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        let all = BTreeMap::<K, (Id, V)>::load(from)?;
        let mut awaited = Self::default();
        for (number, (id, with)) in all {
            awaited.insert(number, id, with);
        }
        Ok(awaited)
    }
}
