//! Reads and put-notifies that are waiting for their answer.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::chain::{Chain, Linked, Links};
use super::types::Token;
use crate::ids::{Cid, CircuitId, Ioid, Slots, SubId};
use crate::time::Instant;

/// Operations that can be pending at once, abandoned ones included.
const MAX_OPS: usize = 1 << 21;
/// Identifiers of abandoned operations that stay reserved until the late answer comes.
const MAX_ABANDONED: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OpKind {
    Read,
    Write,
    /// A plain write, followed by a read whose answer says that the server has looked at it.
    Checked,
    /// A read whose answer is an update (`tcpiiu::responsiveCircuitNotify` of EPICS Base).
    Refresh(SubId),
    /// Cancelled or timed out: the late answer frees the identifier, or the end of the channel
    /// or circuit, after which none can come.
    Abandoned,
}

impl OpKind {
    /// Whether somebody waits for the answer.
    pub(super) const fn is_answered(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::Checked)
    }
}

#[derive(Debug)]
pub(super) struct Op {
    pub(super) token: Token,
    /// `Instant::MAX` without a deadline.
    pub(super) deadline: Instant,
    pub(super) cid: Cid,
    pub(super) circuit: CircuitId,
    pub(super) kind: OpKind,
    links: Links,
}

impl Op {
    pub(super) const fn new(
        token: Token,
        deadline: Instant,
        cid: Cid,
        circuit: CircuitId,
        kind: OpKind,
    ) -> Self {
        Self {
            token,
            deadline,
            cid,
            circuit,
            kind,
            links: Links::NONE,
        }
    }
}

impl Linked for Op {
    fn links(&self) -> &Links {
        &self.links
    }
    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// The pending operations of all circuits; each is in the list of its channel, in order of issue.
#[derive(Debug)]
pub(super) struct Ops {
    slots: Slots<Ioid, Op>,
    abandoned: VecDeque<Ioid>,
    /// Not later than the earliest deadline; `Instant::MAX` without any.
    next_expiry: Instant,
}

impl Ops {
    pub(super) const fn new() -> Self {
        Self {
            slots: Slots::new(),
            abandoned: VecDeque::new(),
            next_expiry: Instant::MAX,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Registers an operation; `None` when the table is full.
    // hot: every read. In line, so that the fields go where they stay: so soon after they were written, a
    // move, which takes several at once, would wait for them.
    #[inline(always)]
    pub(super) fn insert(&mut self, list: &mut Chain<Ioid>, op: Op) -> Option<Ioid> {
        if self.slots.len() >= MAX_OPS {
            return None;
        }
        self.next_expiry = self.next_expiry.min(op.deadline);
        let ioid = self.slots.insert(op).ok()?;
        list.push(&mut self.slots, ioid);
        Some(ioid)
    }

    pub(super) fn get(&self, ioid: Ioid) -> Option<&Op> {
        self.slots.get(ioid)
    }

    /// Ends an operation of this list.
    // hot: inline, so that nobody makes the operation that nobody looks at.
    #[inline]
    pub(super) fn remove(&mut self, list: &mut Chain<Ioid>, ioid: Ioid) -> Option<Op> {
        list.unlink(&mut self.slots, ioid);
        self.slots.remove(ioid)
    }

    /// Ends the oldest operation of a list.
    pub(super) fn pop(&mut self, list: &mut Chain<Ioid>) -> Option<Op> {
        let ioid = list.first()?;
        self.remove(list, ioid)
    }

    /// Ends an operation for its owner; it stays in its list, so that its identifier is reserved.
    /// Returns one that has been reserved for too long, to be removed.
    #[must_use]
    pub(super) fn abandon(&mut self, ioid: Ioid) -> Option<Ioid> {
        let op = self.slots.get_mut(ioid)?;
        op.kind = OpKind::Abandoned;
        op.deadline = Instant::MAX;
        self.abandoned.push_back(ioid);
        if self.abandoned.len() <= MAX_ABANDONED {
            return None;
        }
        let oldest = self.abandoned.pop_front()?;
        let op = self.slots.get(oldest)?;
        (op.kind == OpKind::Abandoned).then_some(oldest)
    }

    /// The operations whose deadline has come. Costs nothing before the first one has.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Ioid> {
        let mut expired = Vec::new();
        if self.next_expiry > now {
            return expired;
        }
        self.next_expiry = Instant::MAX;
        for (ioid, op) in self.slots.iter() {
            if op.deadline <= now {
                expired.push(ioid);
            } else {
                self.next_expiry = self.next_expiry.min(op.deadline);
            }
        }
        expired
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (self.next_expiry != Instant::MAX).then_some(self.next_expiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(deadline: u64) -> Op {
        let at = Instant::from_nanos(deadline);
        Op::new(Token(deadline), at, Cid(0), CircuitId(0), OpKind::Read)
    }

    #[test]
    fn one_timer_serves_all_deadlines() {
        let mut ops = Ops::new();
        let mut list = Chain::new();
        let ids: Vec<Ioid> = [30, 10, 20]
            .map(|n| ops.insert(&mut list, op(n)).unwrap())
            .into();
        assert_eq!(ops.poll_timeout(), Some(Instant::from_nanos(10)));
        assert_eq!(ops.expired(Instant::from_nanos(9)), []);
        assert_eq!(ops.expired(Instant::from_nanos(20)), [ids[1], ids[2]]);
        assert_eq!(ops.poll_timeout(), Some(Instant::from_nanos(30)));
    }

    #[test]
    fn a_full_table_takes_no_more_until_one_has_ended() {
        let mut ops = Ops::new();
        let mut list = Chain::new();
        for _ in 0..MAX_OPS {
            assert!(ops.insert(&mut list, op(1)).is_some());
        }
        assert_eq!(ops.insert(&mut list, op(1)), None);
        ops.pop(&mut list);
        assert!(ops.insert(&mut list, op(1)).is_some());
    }

    /// Traps 11 and 31: an abandoned identifier is not given to the next operation.
    #[test]
    fn abandoned_identifiers_rest_until_their_answer_and_are_bounded() {
        let mut ops = Ops::new();
        let mut list = Chain::new();
        let first = ops.insert(&mut list, op(1)).unwrap();
        let mut too_many = ops.abandon(first);
        for n in 0..MAX_ABANDONED {
            assert_eq!(too_many, None, "{n}");
            let ioid = ops.insert(&mut list, op(1)).unwrap();
            too_many = ops.abandon(ioid);
        }
        assert_eq!(too_many, Some(first));
        while ops.pop(&mut list).is_some() {}
        assert_eq!(ops.len(), 0, "the end of a channel frees them all");
    }
}
