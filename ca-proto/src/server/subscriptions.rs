//! Subscriptions and their updates.

use alloc::sync::Arc;

use super::account::Account;
use super::channels::Channel;
use super::circuit::Circuit;
use super::database::{Database, PvId, SubKey, Subscriber};
use super::error::Violation;
use super::events::{Place, Posted, Queued};
use super::limit::Limit;
use super::reply::{Refusal, Room, put_error};
use crate::dbr::{DbrType, NativeType, Snapshot};
use crate::ids::{Sid, Slots, SubId};
use crate::status::EcaStatus;
use crate::wire::message::{Data, EventMask};
use crate::wire::{Command, Frame, Header, tcp};

/// The subscriptions of one circuit.
pub(super) type Subscriptions = Slots<SubKey, Subscription>;

#[derive(Debug)]
pub(super) struct Subscription {
    pub sid: Sid,
    /// The client's identifier; not unique, not even within a channel.
    pub subid: SubId,
    pub ty: DbrType,
    /// Requested elements; 0 follows the current length.
    pub count: u32,
    /// PV and right of the channel, so that an update need not look at it.
    pub pv: PvId,
    pub readable: bool,
    /// The PV is a scalar of at most 8 bytes, whose values are copied when they are posted.
    pub by_copy: bool,
    pub place: Place,
    /// The next younger subscription of the channel; the youngest has the oldest.
    pub next: SubKey,
}

impl Subscription {
    /// Header of the request, to be repeated in error replies.
    fn request(&self) -> Header {
        Header {
            payload_len: 16,
            data_type: self.ty.0,
            count: self.count,
            p1: self.sid.0,
            p2: self.subid.0,
            ..Header::new(Command::EVENT_ADD)
        }
    }

    /// What to queue of an update.
    const fn posted(&self, update: Posted) -> Posted {
        if self.by_copy {
            update
        } else {
            Posted::Reference
        }
    }
}

/// The state of a PV, prepared for any number of subscriptions.
#[derive(Clone, Copy, Debug)]
pub struct Update(Posted);

impl Update {
    /// From the state that the subscribers are to see.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self(Posted::copy_of(snapshot))
    }
}

/// Header of an update or of a reply to a read: status in P1.
pub(super) fn data_header(
    command: Command,
    ty: DbrType,
    count: u32,
    status: EcaStatus,
    id: u32,
) -> Header {
    Header {
        data_type: ty.0,
        count,
        p1: status.0,
        p2: id,
        ..Header::new(command)
    }
}

/// Elements that count 0 stands for.
pub(super) fn dynamic_count(
    ty: DbrType,
    snapshot: &Snapshot,
    native_count: impl FnOnce() -> u32,
) -> u32 {
    match ty {
        // The reference reports the length of the array, though only one string is filled.
        DbrType::CLASS_NAME => native_count(),
        _ => snapshot.value.count(),
    }
}

impl Circuit {
    pub(super) fn event_add(
        &mut self,
        frame: &Frame<'_>,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        let header = &frame.header;
        let (ty, sid) = (DbrType(header.data_type), Sid(header.p1));
        self.check_type(header.command, ty)?;
        let channel = self.channel(header, sid)?;
        let (cid, pv, readable) = (channel.cid, channel.pv, channel.rights.can_read());
        let Ok(tcp::Request::EventAdd { mask, .. }) = tcp::Request::parse(frame) else {
            let len = header.payload_len;
            let text = format_args!("EVENT_ADD needs 16 bytes of payload, has {len}");
            self.error(header, Some(cid), EcaStatus::INTERNAL, text);
            return Err(Violation::ShortPayload {
                command: header.command,
                len,
            });
        };
        if mask == EventMask(0) || mask.0 > 0xff {
            let text = format_args!("the event mask must be 0x1 to 0xff, is {:#x}", mask.0);
            self.error(header, Some(cid), EcaStatus::ALLOCMEM, text);
            return Err(Violation::BadMask(mask));
        }
        let limit = self.params.max_subscriptions_per_circuit;
        if self.subs.len() >= limit.min(Subscriptions::CAPACITY) {
            self.met = Some(Limit::Subscriptions);
            let text = format_args!("the limit of {limit} subscriptions per circuit is reached");
            self.error(header, Some(cid), EcaStatus::ALLOCMEM, text);
            return Ok(());
        }
        let more = self.subs.growth() + self.events.growth() + db.subscription_bytes();
        if !self.affords(more) {
            if let Some(limit) = self.met {
                self.error(
                    header,
                    Some(cid),
                    EcaStatus::ALLOCMEM,
                    format_args!("{limit}"),
                );
            }
            return Ok(());
        }
        let info = db.info(pv);
        let mut sub = Subscription {
            sid,
            subid: SubId(header.p2),
            ty,
            count: header.count,
            pv,
            readable,
            by_copy: info.count == 1 && info.native != NativeType::String,
            place: self.events.join(),
            next: SubKey(0),
        };
        // The first update tells how things stand, readable or not, whatever the mask says.
        let first = sub.posted(Posted::copy_of(&db.read(pv)));
        let events = &mut self.events;
        let key = self.subs.insert_with(|key| {
            events.post(key, &mut sub.place, first);
            sub.next = key;
            sub
        });
        // Below the capacity of the table, as checked above.
        if let (Ok(key), Some(channel)) = (key, self.channels.get_mut(sid)) {
            if let Some(youngest) = channel.subs.replace(key)
                && let Some(youngest) = self.subs.get_mut(youngest)
            {
                let oldest = core::mem::replace(&mut youngest.next, key);
                if let Some(sub) = self.subs.get_mut(key) {
                    sub.next = oldest;
                }
            }
            self.stats.updates_posted += 1;
            let circuit = self.id;
            db.subscribe(pv, Subscriber { circuit, key }, mask);
            self.sub_bytes += db.subscription_bytes();
            self.settle();
        }
        Ok(())
    }

    pub(super) fn event_cancel(
        &mut self,
        header: &Header,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        // Type and count of the request do not matter; the reference client truncates the count.
        let (sid, subid) = (Sid(header.p1), SubId(header.p2));
        let channel = self.channel(header, sid)?;
        let (cid, pv) = (channel.cid, channel.pv);
        let Some(key) = self.take_subscription(sid, subid) else {
            let text = format_args!("there is no subscription {subid}");
            self.error(header, Some(cid), EcaStatus::BADMONID, text);
            return Err(Violation::UnknownSubscription { sid, subid });
        };
        if let Some(sub) = self.drop_subscription(key) {
            tcp::Response::EventAdd {
                ty: sub.ty,
                count: sub.count,
                status: EcaStatus(sid.0),
                subid,
                data: Data(&[]),
            }
            .encode(&mut self.out);
        }
        let circuit = self.id;
        db.unsubscribe(pv, Subscriber { circuit, key });
        self.sub_bytes -= db.subscription_bytes();
        self.settle();
        Ok(())
    }

    /// Takes the oldest subscription with this identifier off its channel.
    fn take_subscription(&mut self, sid: Sid, subid: SubId) -> Option<SubKey> {
        let channel = self.channels.get_mut(sid)?;
        let youngest = channel.subs?;
        let mut before = youngest;
        loop {
            let key = self.subs.get(before)?.next;
            let sub = self.subs.get(key)?;
            if sub.subid == subid {
                let next = sub.next;
                self.subs.get_mut(before)?.next = next;
                if key == youngest {
                    channel.subs = (before != key).then_some(before);
                }
                return Some(key);
            }
            if key == youngest {
                return None;
            }
            before = key;
        }
    }

    /// The subscription of a channel after `last`, oldest first; `youngest` is the channel's.
    pub(super) fn next_subscription(
        &self,
        youngest: Option<SubKey>,
        last: Option<SubKey>,
    ) -> Option<SubKey> {
        match last {
            Some(last) if Some(last) == youngest => None,
            last => Some(self.subs.get(last.or(youngest)?)?.next),
        }
    }

    pub(super) fn drop_subscription(&mut self, key: SubKey) -> Option<Subscription> {
        self.events.leave(key, &mut self.subs);
        self.subs.remove(key)
    }

    /// Queues an update for a subscription, by the rules of the reference's event queue
    /// (`db_queue_event_log` of EPICS Base). Subscriptions that do not exist, or whose channel is not readable at
    /// the moment, are passed over. Ask [`has_output`](Self::has_output) afterwards.
    pub fn post(&mut self, sub: SubKey, snapshot: &Snapshot) {
        self.post_update(sub, Update::new(snapshot));
    }

    fn post_update(&mut self, sub: SubKey, update: Update) {
        let Some(subscription) = self.subs.get_mut(sub) else {
            return;
        };
        if !subscription.readable {
            return;
        }
        let posted = subscription.posted(update.0);
        self.stats.updates_posted += 1;
        if self.events.post(sub, &mut subscription.place, posted) == Queued::Replaced {
            self.stats.updates_replaced += 1;
        }
    }

    /// As [`post`](Self::post), but when the update would take the place of a queued one and the send
    /// queue has room, what waits is encoded first. The reference's event task, which runs beside the
    /// one that posts, does the same.
    pub fn post_through(&mut self, sub: SubKey, update: Update, db: &(impl Database + ?Sized)) {
        let Some(subscription) = self.subs.get_mut(sub) else {
            return;
        };
        if self.events.is_crowded(&subscription.place) && self.is_readable() {
            self.transmit(db);
        }
        self.post_update(sub, update);
    }

    /// Queues the update that every subscription of a channel gets when its rights have changed.
    pub(super) fn post_rights(&mut self, sid: Sid, db: &(impl Database + ?Sized)) {
        let Some(channel) = self.channels.get(sid) else {
            return;
        };
        let readable = channel.rights.can_read();
        let youngest = channel.subs;
        let state = readable.then(|| Posted::copy_of(&db.read(channel.pv)));
        let mut last = None;
        while let Some(key) = self.next_subscription(youngest, last) {
            last = Some(key);
            let Some(sub) = self.subs.get_mut(key) else {
                continue;
            };
            if core::mem::replace(&mut sub.readable, readable) != readable {
                // What is queued may not be seen any more, or says that nothing may be seen.
                self.events.purge(key, &mut self.subs);
            }
            let Some(sub) = self.subs.get_mut(key) else {
                continue;
            };
            let posted = state.map_or(Posted::Reference, |state| sub.posted(state));
            self.stats.updates_posted += 1;
            if self.events.post(key, &mut sub.place, posted) == Queued::Replaced {
                self.stats.updates_replaced += 1;
            }
        }
    }

    /// Encodes queued updates as long as the send queue is below its high-water mark.
    pub(super) fn deliver(&mut self, db: &(impl Database + ?Sized)) {
        let room = self.room;
        let short = room.fits_scalars();
        self.starved = None;
        while self.out.len() < self.params.send_high_water {
            let Some((key, sub, posted)) = self.events.pop(&mut self.subs) else {
                break;
            };
            self.stats.updates_sent += 1;
            // hot: a scalar as it is.
            if let Posted::Scalar(scalar) = posted
                && sub.readable
                && sub.count <= 1
                && short
                && scalar.put(&mut self.out, Command::EVENT_ADD, sub.ty, sub.subid.0)
            {
                continue;
            }
            let sent = send_update(&room, &mut self.out, sub, posted, &self.out_account, db);
            if let Err(refusal) = sent {
                // It waits while something that is being sent, or another circuit of the address,
                // takes the room.
                if let Refusal::NoRoom(limit) = refusal
                    && (limit == Limit::HostBytes || self.out_account.used() > 0)
                {
                    self.stats.updates_sent -= 1;
                    self.events.post(key, &mut sub.place, posted);
                    self.starved = Some(limit);
                    break;
                }
                let Some(channel) = self.channels.get(sub.sid) else {
                    continue;
                };
                let text = format_args!("{}{refusal}", ChannelText(channel));
                let (minor, cid) = (self.minor, Some(channel.cid));
                put_error(
                    &mut self.out,
                    minor,
                    &sub.request(),
                    cid,
                    refusal.status(),
                    text,
                );
                self.stats.errors += 1;
            }
        }
    }
}

fn send_update(
    room: &Room,
    out: &mut crate::wire::SendQueue,
    sub: &Subscription,
    posted: Posted,
    account: &Arc<Account>,
    db: &(impl Database + ?Sized),
) -> Result<(), Refusal> {
    let header =
        |count, status| data_header(Command::EVENT_ADD, sub.ty, count, status, sub.subid.0);
    if !sub.readable {
        return room.put_failure(out, header(sub.count, EcaStatus::NORDACCESS));
    }
    let snapshot = posted.apply(db.read(sub.pv));
    let count = match sub.count {
        0 => dynamic_count(sub.ty, &snapshot, || db.info(sub.pv).count),
        count => count,
    };
    match room.put_value(out, header(count, EcaStatus::NORMAL), &snapshot, account) {
        Err(Refusal::NoConversion) => room.put_failure(out, header(sub.count, EcaStatus::GETFAIL)),
        result => result,
    }
}

/// The name of a channel in an error text.
pub(super) struct ChannelText<'a>(pub &'a Channel);

impl core::fmt::Display for ChannelText<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        crate::wire::name::write_text(f, &self.0.name)
    }
}
