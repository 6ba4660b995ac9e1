//! A vector that grows and shrinks in pieces.

use alloc::vec::Vec;

/// Elements of a piece. A table with a million entries doubles in no moment of its life: growing by a
/// piece moves at most this many elements, and giving a piece back frees no more.
const LEN: usize = 1024;

/// Elements in pieces of [`LEN`]; they stay where they are once there are more.
#[derive(Debug)]
pub(crate) struct Segments<T> {
    /// The first piece, which grows by doubling: most tables have no other.
    first: Vec<T>,
    more: Vec<Vec<T>>,
}

impl<T> Segments<T> {
    pub(crate) const fn new() -> Self {
        Self {
            first: Vec::new(),
            more: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self.more.last() {
            Some(last) => self.more.len() * LEN + last.len(),
            None => self.first.len(),
        }
    }

    /// Elements that there is memory for.
    pub(crate) fn capacity(&self) -> usize {
        match self.more.last() {
            Some(last) => self.more.len() * LEN + last.capacity(),
            None => self.first.capacity(),
        }
    }

    /// Elements by which a full table grows.
    pub(crate) fn step(&self) -> usize {
        match self.more.is_empty() && self.first.len() < LEN {
            // As `Vec` does.
            true => self.first.len().clamp(4, LEN),
            false => LEN,
        }
    }

    /// Makes room for so many more elements, or as many as still fit into the piece.
    pub(crate) fn reserve_exact(&mut self, more: usize) {
        let piece = match self.first.len() < LEN {
            true => &mut self.first,
            false => self.last(more),
        };
        let more = more.min(LEN - piece.len());
        piece.reserve_exact(more);
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(LEN) {
            None => self.first.get(index),
            Some(beyond) => self.more.get(beyond / LEN)?.get(beyond % LEN),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match index.checked_sub(LEN) {
            None => self.first.get_mut(index),
            Some(beyond) => self.more.get_mut(beyond / LEN)?.get_mut(beyond % LEN),
        }
    }

    // hot: in line, so that the element is made where it stays.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: T) {
        if self.first.len() < LEN {
            self.first.push(value);
        } else {
            self.last(LEN).push(value);
        }
    }

    /// The piece that has room for another element, behind a full first one; a new one begins with
    /// this capacity.
    #[cold]
    #[inline(never)]
    fn last(&mut self, capacity: usize) -> &mut Vec<T> {
        if self.more.last().is_none_or(|last| last.len() == LEN) {
            self.more.push(Vec::with_capacity(capacity.min(LEN)));
        }
        let last = self.more.len() - 1;
        &mut self.more[last]
    }

    /// Frees the last piece; false if there was none.
    pub(crate) fn drop_last(&mut self) -> bool {
        if self.more.pop().is_some() {
            return true;
        }
        let had = self.first.capacity() > 0;
        self.first = Vec::new();
        had
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.more.iter().flatten())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(self.more.iter_mut().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_in_every_piece_and_pieces_are_given_back_one_by_one() {
        let mut table = Segments::new();
        let all = 3 * LEN + 5;
        for n in 0..all {
            assert_eq!(table.len(), n);
            table.push(n);
        }
        assert!((0..all).all(|n| table.get(n) == Some(&n)));
        assert_eq!(table.get(all), None);
        *table.get_mut(2 * LEN).unwrap() = 7;
        assert_eq!(table.iter().nth(2 * LEN), Some(&7));
        assert_eq!(table.iter_mut().count(), all);
        let mut pieces = 0;
        while table.drop_last() {
            pieces += 1;
        }
        assert_eq!((pieces, table.len()), (4, 0));
    }

    #[test]
    fn growth_moves_no_more_than_a_piece() {
        let mut table = Segments::new();
        for n in 0..10 * LEN {
            table.push(n);
        }
        let at: Vec<*const usize> = [0, LEN, 5 * LEN]
            .map(|n| core::ptr::from_ref(table.get(n).unwrap()))
            .into();
        for n in 0..100 * LEN {
            table.push(n);
        }
        let after: Vec<*const usize> = [0, LEN, 5 * LEN]
            .map(|n| core::ptr::from_ref(table.get(n).unwrap()))
            .into();
        assert_eq!(at, after);
    }
}
