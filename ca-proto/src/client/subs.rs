//! Subscriptions: the wish, which survives every loss, and what is installed on a server.

use alloc::collections::VecDeque;

use super::chain::{Chain, Linked, Links};
use super::types::{SubSpec, Token};
use crate::dbr::{DbrType, NativeType};
use crate::ids::{Cid, CircuitId, Slots, SubId};
use crate::wire::Minor;

/// Subscriptions of a client, those awaiting the confirmation of their cancel included.
const MAX_SUBS: usize = Slots::<SubId, Subscription>::CAPACITY - 1;
/// Identifiers of cancelled subscriptions that stay reserved until the confirmation comes.
const MAX_CANCELLED: usize = 4096;
/// Payload limit of servers below 4.9, in bytes.
pub(super) const SMALL_LIMIT: u32 = 16_384;

/// What the server knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Installed {
    No,
    /// With this type and count on this circuit; updates are expected.
    On(CircuitId, DbrType, u32),
    /// Cancelled: in no list; updates are dropped until the confirmation comes.
    Cancelled(CircuitId),
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) token: Token,
    pub(super) cid: Cid,
    pub(super) spec: SubSpec,
    pub(super) installed: Installed,
    links: Links,
}

impl Linked for Subscription {
    fn links(&self) -> &Links {
        &self.links
    }
    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// All subscriptions; each is in the list of its channel, in order of creation.
#[derive(Debug)]
pub(super) struct Subs {
    slots: Slots<SubId, Subscription>,
    cancelled: VecDeque<SubId>,
}

impl Subs {
    pub(super) const fn new() -> Self {
        Self {
            slots: Slots::new(),
            cancelled: VecDeque::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// `None` when the table is full.
    pub(super) fn insert(
        &mut self,
        list: &mut Chain<SubId>,
        cid: Cid,
        spec: SubSpec,
        token: Token,
    ) -> Option<SubId> {
        if self.slots.len() >= MAX_SUBS {
            return None;
        }
        let sub = Subscription {
            token,
            cid,
            spec,
            installed: Installed::No,
            links: Links::NONE,
        };
        let subid = self.slots.insert(sub).ok()?;
        list.push(&mut self.slots, subid);
        Some(subid)
    }

    pub(super) fn get(&self, subid: SubId) -> Option<&Subscription> {
        self.slots.get(subid)
    }

    pub(super) fn get_mut(&mut self, subid: SubId) -> Option<&mut Subscription> {
        self.slots.get_mut(subid)
    }

    pub(super) fn after(&self, subid: SubId) -> Option<SubId> {
        Chain::after(&self.slots, subid)
    }

    /// Removes a subscription from its list and the table.
    pub(super) fn remove(&mut self, list: &mut Chain<SubId>, subid: SubId) {
        list.unlink(&mut self.slots, subid);
        self.slots.remove(subid);
    }

    /// Takes a subscription out of its list; its identifier stays reserved until
    /// [`confirmed`](Self::confirmed).
    pub(super) fn cancel(&mut self, list: &mut Chain<SubId>, subid: SubId, circuit: CircuitId) {
        list.unlink(&mut self.slots, subid);
        let Some(sub) = self.slots.get_mut(subid) else {
            return;
        };
        sub.installed = Installed::Cancelled(circuit);
        self.cancelled.push_back(subid);
        if self.cancelled.len() > MAX_CANCELLED
            && let Some(oldest) = self.cancelled.pop_front()
        {
            self.confirmed(oldest);
        }
    }

    /// A circuit is gone: no confirmation comes over it any more.
    pub(super) fn circuit_closed(&mut self, circuit: CircuitId) {
        let gone = Installed::Cancelled(circuit);
        let slots = &mut self.slots;
        self.cancelled.retain(|&subid| match slots.get(subid) {
            Some(sub) if sub.installed == gone => {
                slots.remove(subid);
                false
            }
            Some(sub) => matches!(sub.installed, Installed::Cancelled(_)),
            None => false,
        });
    }

    /// Frees the identifier of a cancelled subscription.
    pub(super) fn confirmed(&mut self, subid: SubId) {
        let sub = self.slots.get(subid);
        if sub.is_some_and(|sub| matches!(sub.installed, Installed::Cancelled(_))) {
            self.slots.remove(subid);
        }
    }
}

/// Type and count to ask for: never more than the channel has, never count 0 from servers below
/// 4.13 (trap 23), never above what servers below 4.9 can send. `None` for types that cannot be
/// read.
pub(super) fn request(
    spec: &SubSpec,
    native: NativeType,
    count: u32,
    minor: Minor,
) -> Option<(DbrType, u32)> {
    let ty = spec.ty.resolve(native)?;
    let mut wanted = spec.count.min(count);
    if spec.count == 0 && !minor.has_dynamic_count() {
        wanted = count;
    }
    if !minor.has_extended_header() {
        let element = (ty.size(1) - ty.size(0)).max(1);
        let room = u64::from(SMALL_LIMIT).saturating_sub(ty.size(0)) / element;
        wanted = wanted.min(u32::try_from(room).unwrap_or(u32::MAX));
    }
    Some((ty, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::TypeSpec;
    use crate::dbr::Family;
    use crate::wire::message::EventMask;

    fn asked(count: u32, native: u32, minor: u16) -> u32 {
        let spec = SubSpec {
            ty: TypeSpec::Family(Family::Time),
            count,
            mask: EventMask::VALUE,
        };
        let (ty, count) = request(&spec, NativeType::Double, native, Minor(minor)).unwrap();
        assert_eq!(ty, DbrType(20));
        count
    }

    /// "count > native count is sent with the native count"; trap 23.
    #[test]
    fn count_is_clamped_to_the_channel_and_zero_is_for_4_13() {
        assert_eq!(asked(5, 3, 13), 3);
        assert_eq!(asked(2, 3, 13), 2);
        assert_eq!(asked(0, 3, 13), 0);
        assert_eq!(asked(0, 3, 12), 3);
        // 16 + 8 * 2046 = 16384.
        assert_eq!(asked(0, 100_000, 8), 2046);
    }

    #[test]
    fn cancelled_identifiers_rest_until_confirmed_and_are_bounded() {
        let mut subs = Subs::new();
        let mut list = Chain::new();
        let spec = SubSpec {
            ty: TypeSpec::Family(Family::Time),
            count: 0,
            mask: EventMask::VALUE,
        };
        let new = |subs: &mut Subs, list: &mut Chain<SubId>| {
            let subid = subs.insert(list, Cid(0), spec, Token(0)).unwrap();
            subs.cancel(list, subid, CircuitId(0));
            subid
        };
        let first = new(&mut subs, &mut list);
        for _ in 1..MAX_CANCELLED {
            new(&mut subs, &mut list);
        }
        assert!(subs.get(first).is_some());
        let last = new(&mut subs, &mut list);
        assert!(subs.get(first).is_none());
        subs.confirmed(last);
        assert!(subs.get(last).is_none());
        assert_eq!(subs.slots.len(), MAX_CANCELLED - 1);
    }
}
