//! Lists through the entries of a slab: no allocation, O(1) removal, order of insertion.

use core::marker::PhantomData;

use crate::ids::{SlotKey, Slots};

/// No identifier: the tables that are linked never use their highest index.
const NIL: u32 = u32::MAX;

/// Neighbours of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    pub(super) const NONE: Self = Self {
        prev: NIL,
        next: NIL,
    };
}

/// An entry that can be in one list.
pub(super) trait Linked {
    fn links(&self) -> &Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// First and last entry of a list.
#[derive(Debug)]
pub(super) struct Chain<K> {
    head: u32,
    tail: u32,
    key: PhantomData<fn() -> K>,
}

impl<K: SlotKey> Chain<K> {
    pub(super) const fn new() -> Self {
        Self {
            head: NIL,
            tail: NIL,
            key: PhantomData,
        }
    }

    pub(super) fn first(&self) -> Option<K> {
        key(self.head)
    }

    pub(super) fn after<T: Linked>(slots: &Slots<K, T>, at: K) -> Option<K> {
        key(slots.get(at)?.links().next)
    }

    pub(super) fn push<T: Linked>(&mut self, slots: &mut Slots<K, T>, new: K) {
        let prev = core::mem::replace(&mut self.tail, new.raw());
        match key(prev).and_then(|prev| slots.get_mut(prev)) {
            Some(last) => last.links_mut().next = new.raw(),
            None => self.head = new.raw(),
        }
        if let Some(entry) = slots.get_mut(new) {
            *entry.links_mut() = Links { prev, next: NIL };
        }
    }

    /// Takes an entry of this list out of it; the entry stays in the slab.
    pub(super) fn unlink<T: Linked>(&mut self, slots: &mut Slots<K, T>, old: K) {
        let Some(entry) = slots.get_mut(old) else {
            return;
        };
        let Links { prev, next } = core::mem::replace(entry.links_mut(), Links::NONE);
        // hot: the only one, as mostly.
        if prev == NIL && next == NIL {
            *self = Self::new();
            return;
        }
        match key(prev).and_then(|prev| slots.get_mut(prev)) {
            Some(before) => before.links_mut().next = next,
            None => self.head = next,
        }
        match key(next).and_then(|next| slots.get_mut(next)) {
            Some(behind) => behind.links_mut().prev = prev,
            None => self.tail = prev,
        }
    }
}

fn key<K: SlotKey>(raw: u32) -> Option<K> {
    (raw != NIL).then(|| K::from_raw(raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ioid;
    use alloc::vec::Vec;

    impl Linked for Links {
        fn links(&self) -> &Links {
            self
        }
        fn links_mut(&mut self) -> &mut Links {
            self
        }
    }

    #[test]
    fn removal_at_every_place_keeps_the_order() {
        for gone in 0..4 {
            let mut slots = Slots::<Ioid, Links>::new();
            let mut chain = Chain::new();
            let mut keys: Vec<Ioid> = (0..4).map(|_| slots.insert(Links::NONE).unwrap()).collect();
            for &key in &keys {
                chain.push(&mut slots, key);
            }
            chain.unlink(&mut slots, keys[gone]);
            slots.remove(keys.remove(gone));
            let new = slots.insert(Links::NONE).unwrap();
            chain.push(&mut slots, new);
            keys.push(new);
            let mut seen = Vec::new();
            let mut at = chain.first();
            while let Some(key) = at {
                seen.push(key);
                at = Chain::after(&slots, key);
            }
            assert_eq!(seen, keys);
        }
    }
}
