//! What files said of each record, as far as it takes to see what another reading of them says otherwise.

use crate::load::RecordDef;

/// Stand for all `info`s, and all aliases, of a record among its fields.
pub(crate) const INFOS: u16 = u16::MAX;
pub(crate) const ALIASES: u16 = u16::MAX - 1;

/// A hash for each field that is set, in the order of the records: six bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Described {
    ends: Vec<u32>,
    fields: Vec<u16>,
    hashes: Vec<u32>,
    /// Where the record of a number is; nothing while each is at its own.
    places: Option<Vec<u32>>,
}

impl Described {
    /// Of so many records with so many fields.
    pub(crate) fn with_room(records: usize, fields: usize) -> Self {
        Self {
            ends: Vec::with_capacity(records),
            fields: Vec::with_capacity(fields),
            hashes: Vec::with_capacity(fields),
            places: None,
        }
    }

    /// Adds what files say of the next record. `place` gives the index of a field in the record's type.
    pub(crate) fn push(&mut self, record: &RecordDef, place: impl Fn(u16) -> Option<u16>) {
        for field in &record.fields {
            if let Some(index) = place(field.index) {
                self.entry(index, hash(SEED, field.value.bytes()));
            }
        }
        let of_aliases = record.aliases.iter().flat_map(|alias| &alias.infos);
        let infos = record.infos.iter().chain(of_aliases);
        let infos = infos.fold(SEED, |sum, info| {
            hash(hash(hash(sum, &info.name), b"="), info.value.bytes())
        });
        if infos != SEED {
            self.entry(INFOS, infos);
        }
        let aliases = record.aliases.iter();
        let aliases = aliases.fold(SEED, |sum, alias| hash(hash(sum, &alias.name), b","));
        if aliases != SEED {
            self.entry(ALIASES, aliases);
        }
        self.end();
    }

    fn entry(&mut self, field: u16, hash: u64) {
        self.fields.push(field);
        // The upper half is as good as the lower one.
        self.hashes.push((hash ^ (hash >> 32)) as u32);
    }

    /// The next record begins.
    pub(crate) fn end(&mut self) {
        self.ends
            .push(u32::try_from(self.fields.len()).unwrap_or(u32::MAX));
    }

    pub(crate) fn shrink(&mut self) {
        self.ends.shrink_to_fit();
        self.fields.shrink_to_fit();
        self.hashes.shrink_to_fit();
    }

    /// Records with these numbers are what this says, in its order.
    pub(crate) fn number(&mut self, ids: &[u32]) {
        let most = ids.iter().max().map_or(0, |&most| most as usize + 1);
        let mut places = vec![u32::MAX; most];
        for (&id, place) in ids.iter().zip(0..) {
            if let Some(at) = places.get_mut(id as usize) {
                *at = place;
            }
        }
        self.places = Some(places);
    }

    /// A record is none of the files any more.
    pub(crate) fn forget(&mut self, id: u32) {
        let all = 0..u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        let places = self.places.get_or_insert_with(|| all.collect());
        if let Some(place) = places.get_mut(id as usize) {
            *place = u32::MAX;
        }
    }

    fn range(&self, id: u32) -> Option<std::ops::Range<usize>> {
        let place = match &self.places {
            Some(places) => *places.get(id as usize)? as usize,
            None => id as usize,
        };
        let end = *self.ends.get(place)? as usize;
        let begin = place
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        Some(begin.map_or(0, |&begin| begin as usize)..end)
    }

    /// Whether files describe the record of this number.
    pub(crate) fn describes(&self, id: u32) -> bool {
        self.range(id).is_some()
    }

    fn of(&self, id: u32) -> impl Iterator<Item = (u16, u32)> + '_ {
        let range = self.range(id).unwrap_or(0..0);
        let fields = self.fields.get(range.clone()).unwrap_or_default();
        let hashes = self.hashes.get(range).unwrap_or_default();
        fields.iter().copied().zip(hashes.iter().copied())
    }

    /// The fields of a record of which another reading, where it has another number, says something else.
    pub(crate) fn changed(&self, id: u32, other: &Self, number: u32) -> Vec<u16> {
        let (old, new) = (|| self.of(id), || other.of(number));
        // Most are the same, in the same order.
        if old().eq(new()) {
            return Vec::new();
        }
        let mut changed: Vec<u16> = new()
            .filter(|entry| !old().any(|other| other == *entry))
            .map(|(field, _)| field)
            .collect();
        let left = old().filter(|&(field, _)| !new().any(|(other, _)| other == field));
        changed.extend(left.map(|(field, _)| field));
        changed
    }
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, which goes on from `sum`.
fn hash(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
