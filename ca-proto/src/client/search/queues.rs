//! First-in first-out lists of channels, linked through one node per channel.

use alloc::vec::Vec;

use super::MAX_LANES;
use crate::ids::{Cid, SlotKey};

const NIL: u32 = u32::MAX;

/// Where a channel is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In no list: resolved, or closed.
    Nowhere,
    /// To be searched when the lane is due.
    Pending(u8),
    /// Searched, no answer yet.
    Waiting(u8),
    /// Lost; waits for the governor's next tick.
    Held,
}

impl Place {
    const LISTS: usize = 2 * MAX_LANES + 1;

    const fn list(self) -> Option<usize> {
        match self {
            Self::Nowhere => None,
            Self::Pending(i) => Some(2 * i as usize),
            Self::Waiting(i) => Some(2 * i as usize + 1),
            Self::Held => Some(2 * MAX_LANES),
        }
    }
}

/// The links of one channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) cid: Cid,
    prev: u32,
    next: u32,
    place: Place,
    /// Datagrams that carried the name since the channel was opened or lost.
    pub(super) attempts: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

/// All lists. Nodes are found by the slab index inside the channel's identifier.
#[derive(Debug)]
pub(super) struct Queues {
    nodes: Vec<Node>,
    lists: [List; Place::LISTS],
}

impl Queues {
    pub(super) const fn new() -> Self {
        let empty = List {
            head: NIL,
            tail: NIL,
        };
        Self {
            nodes: Vec::new(),
            lists: [empty; Place::LISTS],
        }
    }

    /// Makes a node for a channel, in no list. A former channel of the same slab index is unlinked.
    pub(super) fn insert(&mut self, cid: Cid) -> u32 {
        let index = Self::index(cid);
        let node = Node {
            cid,
            prev: NIL,
            next: NIL,
            place: Place::Nowhere,
            attempts: 0,
        };
        if self.nodes.len() <= index {
            self.nodes.resize(index + 1, node);
        }
        // Below 2^24.
        let at = index as u32;
        self.unlink(at);
        self.nodes[index] = node;
        at
    }

    /// The node of a channel, unless a newer one took its place.
    pub(super) fn find(&self, cid: Cid) -> Option<u32> {
        let index = Self::index(cid);
        let node = self.nodes.get(index)?;
        (node.cid == cid).then_some(index as u32)
    }

    pub(super) fn attempts(&self, cid: Cid) -> u32 {
        let node = self.find(cid).and_then(|i| self.nodes.get(i as usize));
        node.map_or(0, |node| node.attempts)
    }

    pub(super) fn node(&mut self, index: u32) -> &mut Node {
        &mut self.nodes[index as usize]
    }

    pub(super) fn head(&self, place: Place) -> Option<u32> {
        let head = self.lists[place.list()?].head;
        (head != NIL).then_some(head)
    }

    /// Appends a node that is in no list.
    pub(super) fn push(&mut self, index: u32, place: Place) {
        let Some(list) = place.list() else { return };
        let prev = core::mem::replace(&mut self.lists[list].tail, index);
        if prev == NIL {
            self.lists[list].head = index;
        } else {
            self.nodes[prev as usize].next = index;
        }
        let node = self.node(index);
        (node.prev, node.next, node.place) = (prev, NIL, place);
    }

    /// Takes a node out of its list and tells which that was.
    pub(super) fn unlink(&mut self, index: u32) -> Place {
        let node = self.node(index);
        let place = core::mem::replace(&mut node.place, Place::Nowhere);
        let (prev, next) = (node.prev, node.next);
        let Some(list) = place.list() else {
            return place;
        };
        match prev {
            NIL => self.lists[list].head = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            NIL => self.lists[list].tail = prev,
            _ => self.nodes[next as usize].prev = prev,
        }
        place
    }

    fn index(cid: Cid) -> usize {
        (cid.0 & ((1 << Cid::INDEX_BITS) - 1)) as usize
    }
}
