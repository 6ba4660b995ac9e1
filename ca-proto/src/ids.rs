//! Identifiers on the wire, and the tables that hand them out.
//!
//! Channel Access identifiers are 32-bit numbers chosen by one side and echoed by the other. Ours
//! encode a slab index and a generation, so a lookup is an index and a compare, and a late or
//! forged identifier is told apart from a live one.

use core::fmt;
use core::marker::PhantomData;

use crate::segments::Segments;

/// A 32-bit identifier made of a slab index (low bits) and a generation (high bits).
pub trait SlotKey: Copy + Eq + fmt::Debug {
    /// Bits of the identifier that hold the slab index; the rest is the generation.
    const INDEX_BITS: u32;
    /// Wraps the number as it stands on the wire.
    fn from_raw(raw: u32) -> Self;
    /// The number as it stands on the wire.
    fn raw(self) -> u32;
}

/// Implements [`SlotKey`] for a tuple struct around a `u32`: `slot_key!(Name, index bits)`.
///
/// # Examples
/// ```
/// use ca_proto::ids::Slots;
///
/// #[derive(Clone, Copy, PartialEq, Eq, Debug)]
/// struct TicketId(u32);
/// ca_proto::slot_key!(TicketId, 20);
///
/// let mut tickets: Slots<TicketId, &str> = Slots::new();
/// let id = tickets.insert("first").expect("room");
/// assert_eq!(tickets.get(id), Some(&"first"));
/// ```
#[macro_export]
macro_rules! slot_key {
    ($name:ident, $bits:expr) => {
        impl $crate::ids::SlotKey for $name {
            const INDEX_BITS: u32 = $bits;
            fn from_raw(raw: u32) -> Self {
                Self(raw)
            }
            fn raw(self) -> u32 {
                self.0
            }
        }
    };
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bits:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        slot_key!($name, $bits);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id! {
    /// Channel identifier, chosen by the client; unique among all channels of a client because UDP
    /// search replies carry nothing else.
    Cid, 24
}
id! {
    /// Channel identifier, chosen by the server; unique per circuit. Zero is an ordinary value.
    Sid, 22
}
id! {
    /// Identifier of one read or put-notify, chosen by the client.
    Ioid, 22
}
id! {
    /// Identifier of a subscription, chosen by the client.
    SubId, 24
}
id! {
    /// Identifier of a circuit inside this process; never on the wire.
    CircuitId, 20
}

/// A slab whose keys carry a generation, with first-in first-out reuse of free slots.
///
/// A freed slot rests until every slot freed before it was used again, so a small generation is
/// enough to recognise late identifiers. The table grows in pieces: an insertion moves at most 1024
/// entries, however many there are.
pub struct Slots<K, T> {
    entries: Segments<Entry<T>>,
    /// First and last free slot, linked through [`Slot::Free`].
    free: Option<(u32, u32)>,
    len: usize,
    key: PhantomData<fn() -> K>,
}

struct Entry<T> {
    generation: u32,
    slot: Slot<T>,
}

enum Slot<T> {
    Used(T),
    Free { next: Option<u32> },
}

impl<K: SlotKey, T> Default for Slots<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: SlotKey, T> Slots<K, T> {
    /// Largest number of entries that the key type can tell apart.
    pub const CAPACITY: usize = 1 << K::INDEX_BITS;

    /// An empty table; allocates nothing.
    pub const fn new() -> Self {
        Self {
            entries: Segments::new(),
            free: None,
            len: 0,
            key: PhantomData,
        }
    }

    const fn generations() -> u32 {
        1 << (32 - K::INDEX_BITS)
    }

    fn split(key: K) -> (usize, u32) {
        let raw = key.raw();
        let index = raw & ((1 << K::INDEX_BITS) - 1);
        (index as usize, raw >> K::INDEX_BITS)
    }

    fn join(index: u32, generation: u32) -> K {
        K::from_raw(index | generation << K::INDEX_BITS)
    }

    /// Number of live entries.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True without live entries.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that the table has allocated. They stay as they are when entries are removed.
    pub fn heap(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<T>>()
    }

    /// Bytes of memory that the next [`insert`](Self::insert) allocates; mostly none.
    pub fn growth(&self) -> usize {
        match self.free.is_none() && self.entries.len() == self.entries.capacity() {
            true => size_of::<Entry<T>>() * self.entries.step(),
            false => 0,
        }
    }

    /// The key that the next [`insert`](Self::insert) gives out; `None` when the table is full.
    pub fn next_key(&self) -> Option<K> {
        let index = self
            .free
            .map_or(self.entries.len(), |(head, _)| head as usize);
        let generation = self.entries.get(index).map_or(0, |entry| entry.generation);
        (index < Self::CAPACITY).then(|| Self::join(index as u32, generation))
    }

    /// Stores a value and returns its new key, or gives the value back when the table is full
    /// ([`CAPACITY`](Self::CAPACITY)).
    #[inline(always)]
    pub fn insert(&mut self, value: T) -> Result<K, T> {
        self.insert_with(|_| value)
    }

    /// Like [`insert`](Self::insert), for values that want to know their own key.
    ///
    /// # Errors
    /// The value, built with a meaningless key, when the table is full.
    // hot: in line, so that the value is made where it stays.
    #[inline(always)]
    pub fn insert_with(&mut self, value: impl FnOnce(K) -> T) -> Result<K, T> {
        if let Some((head, tail)) = self.free {
            let Some(entry) = self.entries.get_mut(head as usize) else {
                unreachable!("the free list links only slots that exist")
            };
            let Slot::Free { next } = entry.slot else {
                unreachable!("the free list links only free slots")
            };
            let key = Self::join(head, entry.generation);
            entry.slot = Slot::Used(value(key));
            self.free = next.map(|next| (next, tail));
            self.len += 1;
            return Ok(key);
        }
        if self.entries.len() >= Self::CAPACITY {
            return Err(value(Self::join(0, 0)));
        }
        let key = Self::join(self.entries.len() as u32, 0);
        self.entries.push(Entry {
            generation: 0,
            slot: Slot::Used(value(key)),
        });
        self.len += 1;
        Ok(key)
    }

    /// The value behind a live key.
    #[inline]
    pub fn get(&self, key: K) -> Option<&T> {
        let (index, generation) = Self::split(key);
        match self.entries.get(index) {
            Some(Entry {
                generation: g,
                slot: Slot::Used(value),
            }) if *g == generation => Some(value),
            _ => None,
        }
    }

    /// The value behind a live key.
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let (index, generation) = Self::split(key);
        match self.entries.get_mut(index) {
            Some(Entry {
                generation: g,
                slot: Slot::Used(value),
            }) if *g == generation => Some(value),
            _ => None,
        }
    }

    /// True if the key is live.
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Takes the value out and retires the key.
    #[inline]
    pub fn remove(&mut self, key: K) -> Option<T> {
        let (index, generation) = Self::split(key);
        let entry = self.entries.get_mut(index)?;
        if entry.generation != generation || matches!(entry.slot, Slot::Free { .. }) {
            return None;
        }
        entry.generation = (generation + 1) % Self::generations();
        let Slot::Used(value) = core::mem::replace(&mut entry.slot, Slot::Free { next: None })
        else {
            unreachable!("the key was live")
        };
        let index = index as u32;
        self.free = match self.free {
            None => Some((index, index)),
            Some((head, tail)) => {
                if let Some(tail) = self.entries.get_mut(tail as usize) {
                    tail.slot = Slot::Free { next: Some(index) };
                }
                Some((head, index))
            }
        };
        self.len -= 1;
        Some(value)
    }

    /// Slots, used and free: the indices that [`at`](Self::at) knows are below.
    pub fn slots(&self) -> usize {
        self.entries.len()
    }

    /// The live entry at an index: for going through a large table in several turns.
    pub fn at(&self, index: usize) -> Option<(K, &T)> {
        let entry = self.entries.get(index)?;
        match &entry.slot {
            Slot::Used(value) => Some((Self::join(index as u32, entry.generation), value)),
            Slot::Free { .. } => None,
        }
    }

    /// Gives back a part of the memory of an empty table that is not used any more; false if there was
    /// none left, or the table is not empty. Identifiers begin again.
    pub fn release_part(&mut self) -> bool {
        if self.len > 0 {
            return false;
        }
        self.free = None;
        self.entries.drop_last()
    }

    /// Live entries in order of their index.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| match &entry.slot {
                Slot::Used(value) => Some((Self::join(index as u32, entry.generation), value)),
                Slot::Free { .. } => None,
            })
    }

    /// Live entries in order of their index.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        self.entries
            .iter_mut()
            .enumerate()
            .filter_map(|(index, entry)| {
                let key = Self::join(index as u32, entry.generation);
                match &mut entry.slot {
                    Slot::Used(value) => Some((key, value)),
                    Slot::Free { .. } => None,
                }
            })
    }

    /// Keys of live entries in order of their index.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.iter().map(|(key, _)| key)
    }
}

impl<K: SlotKey, T: fmt::Debug> fmt::Debug for Slots<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn the_next_key_is_the_one_given_out() {
        let mut slots: Slots<Sid, u8> = Slots::new();
        for n in 0..20 {
            let next = slots.next_key();
            let key = slots.insert(n).unwrap();
            assert_eq!(next, Some(key));
            if n % 3 == 0 {
                slots.remove(key);
            }
        }
    }

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Tiny(u32);
    slot_key!(Tiny, 2);

    #[test]
    fn a_full_table_gives_the_value_back() {
        let mut slots: Slots<Tiny, u8> = Slots::new();
        let full = Slots::<Tiny, u8>::CAPACITY as u8;
        let keys: Vec<Tiny> = (0..full).map(|n| slots.insert(n).unwrap()).collect();
        assert_eq!(slots.next_key(), None);
        assert_eq!(slots.insert(full).err(), Some(full));
        assert_eq!((slots.len(), slots.get(keys[1])), (keys.len(), Some(&1)));
        assert_eq!(slots.remove(keys[1]), Some(1));
        assert!(slots.insert(full).is_ok());
    }

    #[test]
    fn stale_keys_find_nothing() {
        let mut slots: Slots<Ioid, &str> = Slots::new();
        let a = slots.insert("a").unwrap();
        assert_eq!(slots.remove(a), Some("a"));
        let b = slots.insert("b").unwrap();
        assert_ne!(a, b);
        assert_eq!(slots.get(a), None);
        assert_eq!(slots.remove(a), None);
        assert_eq!(slots.get(b), Some(&"b"));
    }

    #[test]
    fn freed_slots_are_reused_oldest_first() {
        let mut slots: Slots<Sid, u8> = Slots::new();
        let keys: Vec<Sid> = (0..3).map(|n| slots.insert(n).unwrap()).collect();
        slots.remove(keys[1]);
        slots.remove(keys[0]);
        let index = |k: Sid| k.0 & ((1 << Sid::INDEX_BITS) - 1);
        assert_eq!(index(slots.insert(7).unwrap()), index(keys[1]));
        assert_eq!(index(slots.insert(8).unwrap()), index(keys[0]));
        assert_eq!(index(slots.insert(9).unwrap()), 3);
        assert_eq!(slots.len(), 4);
    }

    #[test]
    fn generations_wrap_without_leaving_their_bits() {
        let mut slots: Slots<SubId, ()> = Slots::new();
        let first = slots.insert(()).unwrap();
        let mut key = first;
        for _ in 0..256 {
            slots.remove(key);
            key = slots.insert(()).unwrap();
        }
        assert_eq!(key, first);
    }
}
