//! Subscriptions and their updates.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::account::Account;
use super::channels::{CROWD, Channel};
use super::circuit::Circuit;
use super::conversion::{Conversion, long_part, wanted};
use super::database::{Database, PvId, Strided, SubKey, Subscriber};
use super::error::Violation;
use super::event_queue::{Place, Posted, Queued};
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
    /// What the client wants to be told of.
    pub mask: EventMask,
    pub place: Place,
    /// The next younger subscription of the channel; the youngest has the oldest.
    pub next: SubKey,
    /// The next older one; the oldest has the youngest.
    pub before: SubKey,
}

/// The subscriptions of channels that have so many that one is not found by walking along them.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By channel, the client's identifier, and age: that identifier is not unique.
    keys: BTreeMap<(Sid, SubId, u64), SubKey>,
    next_age: u64,
}

/// What a subscription costs in the index, whose nodes may be half empty.
const INDEX_BYTES: usize = 2 * size_of::<((Sid, SubId, u64), SubKey)>();
/// What the subscriptions of a channel cost when their index begins.
pub(super) const INDEXED_BYTES: usize = (CROWD as usize + 1) * INDEX_BYTES;

impl Index {
    pub(super) fn heap(&self) -> usize {
        self.keys.len() * INDEX_BYTES
    }

    fn insert(&mut self, sid: Sid, subid: SubId, key: SubKey) {
        self.keys.insert((sid, subid, self.next_age), key);
        self.next_age += 1;
    }

    /// Takes out the oldest subscription with this identifier.
    fn take(&mut self, sid: Sid, subid: SubId) -> Option<SubKey> {
        let all = (sid, subid, 0)..=(sid, subid, u64::MAX);
        let at = *self.keys.range(all).next()?.0;
        self.keys.remove(&at)
    }

    /// Takes out any subscription of a channel.
    fn take_any(&mut self, sid: Sid) {
        let all = (sid, SubId(0), 0)..=(sid, SubId(u32::MAX), u64::MAX);
        if let Some((&at, _)) = self.keys.range(all).next() {
            self.keys.remove(&at);
        }
    }
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

    /// Header of an update.
    const fn reply(&self, count: u32, status: EcaStatus) -> Header {
        data_header(Command::EVENT_ADD, self.ty, count, status, self.subid.0)
    }

    /// What to repeat if a value cannot be converted, and the header of the update.
    fn long_reply(&self, available: u32) -> (Header, Header) {
        let count = match self.count {
            0 => available,
            count => count,
        };
        (
            self.reply(self.count, EcaStatus::NORMAL),
            self.reply(count, EcaStatus::NORMAL),
        )
    }

    /// What to queue of an update.
    pub(super) const fn posted(&self, update: Posted) -> Posted {
        if self.by_copy {
            update
        } else {
            Posted::Reference
        }
    }
}

/// The state of a PV, prepared for any number of subscriptions.
#[derive(Clone, Copy, Debug)]
pub struct Update(pub(super) Posted);

impl Update {
    /// From the state that the subscribers are to see.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self(Posted::copy_of(snapshot))
    }

    /// Of a PV with more than one element, or none, or of texts: each subscription gets the state at the
    /// time when the update is sent.
    pub const fn by_reference() -> Self {
        Self(Posted::Reference)
    }
}

/// Header of an update or of a reply to a read: status in P1.
pub(super) const fn data_header(
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

/// Units of work: a subscription that is installed or cancelled.
const SUBSCRIBE: usize = 4;

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
        self.spent += SUBSCRIBE;
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
        let more =
            self.subs.growth() + self.events.growth() + db.subscription_bytes() + INDEX_BYTES;
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
            mask,
            place: self.events.join(),
            next: SubKey(0),
            before: SubKey(0),
        };
        // The first update tells how things stand, readable or not, whatever the mask says.
        let first = db.first_update(pv, mask, sub.by_copy);
        let first = first.map(|update| sub.posted(update.0));
        let events = &mut self.events;
        let key = self.subs.insert_with(|key| {
            if let Some(first) = first {
                events.post(key, &mut sub.place, first);
            }
            (sub.next, sub.before) = (key, key);
            sub
        });
        // Below the capacity of the table, as checked above.
        if let Ok(key) = key {
            self.link(sid, key);
            self.stats.updates_posted += u64::from(first.is_some());
            let circuit = self.id;
            db.subscribe(pv, Subscriber { circuit, key }, mask);
            self.sub_bytes += db.subscription_bytes();
            self.settle();
        }
        Ok(())
    }

    /// Puts a subscription behind the youngest of its channel.
    fn link(&mut self, sid: Sid, key: SubKey) {
        let Some(channel) = self.channels.get_mut(sid) else {
            return;
        };
        if let Some(youngest) = channel.subs.youngest() {
            let oldest = self.subs.get(youngest).map_or(key, |sub| sub.next);
            self.set_links(youngest, None, Some(key));
            self.set_links(oldest, Some(key), None);
            self.set_links(key, Some(youngest), Some(oldest));
        }
        let Some(channel) = self.channels.get_mut(sid) else {
            return;
        };
        let begins = channel.subs.add(key);
        let (youngest, indexed) = (channel.subs.youngest(), channel.subs.is_indexed());
        if begins {
            let mut last = None;
            while let Some(next) = self.next_subscription(youngest, last) {
                self.remember(sid, next);
                last = Some(next);
            }
        } else if indexed {
            self.remember(sid, key);
        }
    }

    fn set_links(&mut self, key: SubKey, before: Option<SubKey>, next: Option<SubKey>) {
        if let Some(sub) = self.subs.get_mut(key) {
            sub.before = before.unwrap_or(sub.before);
            sub.next = next.unwrap_or(sub.next);
        }
    }

    fn remember(&mut self, sid: Sid, key: SubKey) {
        if let Some(sub) = self.subs.get(key) {
            let index = self.index.get_or_insert_with(Box::default);
            index.insert(sid, sub.subid, key);
        }
    }

    /// Forgets some subscription of a channel that is being taken apart.
    pub(super) fn forget_one(&mut self, sid: Sid) {
        if let Some(index) = &mut self.index {
            index.take_any(sid);
        }
    }

    /// Takes a subscription out of the circle: the one that was before it, unless it was alone.
    pub(super) fn unlink(&mut self, key: SubKey) -> Option<SubKey> {
        let sub = self.subs.get(key)?;
        let (before, next) = (sub.before, sub.next);
        if before == key {
            return None;
        }
        self.set_links(before, None, Some(next));
        self.set_links(next, Some(before), None);
        Some(before)
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
        self.spent += SUBSCRIBE;
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
        let list = self.channels.get(sid)?.subs;
        let key = match list.is_indexed() {
            true => self.index.as_mut()?.take(sid, subid)?,
            false => self.find_subscription(list.youngest(), subid)?,
        };
        let before = self.unlink(key).unwrap_or(key);
        let youngest = list.youngest()?;
        let channel = self.channels.get_mut(sid)?;
        channel
            .subs
            .remove(if youngest == key { before } else { youngest });
        Some(key)
    }

    fn find_subscription(&self, youngest: Option<SubKey>, subid: SubId) -> Option<SubKey> {
        let mut last = None;
        while let Some(key) = self.next_subscription(youngest, last) {
            if self.subs.get(key)?.subid == subid {
                return Some(key);
            }
            last = Some(key);
        }
        None
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
        if self.unfinished.is_some() && !self.channels.contains(subscription.sid) {
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
        if self.events.is_crowded(&subscription.place) && self.has_room() {
            let before = self.stats.updates_sent;
            self.transmit_some(db);
            self.spent += (self.stats.updates_sent - before) as usize;
        }
        self.post_update(sub, update);
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
            let sid = sub.sid;
            let sent = match source(sub, posted, db) {
                Source::Long(source) => {
                    let (request, reply) = sub.long_reply(source.count);
                    match self.convert_later(&request, reply, source) {
                        // The updates behind it come later.
                        Ok(()) => break,
                        refused => refused,
                    }
                }
                Source::Hidden => {
                    let header = sub.reply(sub.count, EcaStatus::NORDACCESS);
                    room.put_failure(&mut self.out, header)
                }
                Source::State(state) => {
                    send_update(&room, &mut self.out, sub, &state, &self.out_account, db)
                }
            };
            if let Err(refusal) = sent {
                let Some(sub) = self.subs.get_mut(key) else {
                    continue;
                };
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
                let request = sub.request();
                let Some(channel) = self.channels.get(sid) else {
                    continue;
                };
                let text = format_args!("{}{refusal}", ChannelText(channel));
                let (minor, cid) = (self.minor, Some(channel.cid));
                put_error(&mut self.out, minor, &request, cid, refusal.status(), text);
                self.stats.errors += 1;
            }
        }
    }
}

/// What an update is made of.
enum Source<'a> {
    /// The client may not see it.
    Hidden,
    /// The state, of which the value is small or as it is asked for.
    State(Cow<'a, Snapshot>),
    /// A value that is converted in turns.
    Long(Strided),
}

fn source<'a>(sub: &Subscription, posted: Posted, db: &'a (impl Database + ?Sized)) -> Source<'a> {
    if !sub.readable {
        return Source::Hidden;
    }
    if !sub.by_copy
        && let Some(part) = long_part(db, sub.pv, sub.ty, sub.count)
    {
        return Source::Long(part);
    }
    let wanted = wanted(sub.ty, sub.count);
    let state = posted.apply(db.read_update(sub.pv, sub.ty, wanted));
    match !sub.by_copy && Conversion::is_long(sub.ty, wanted, &state) {
        true => Source::Long(Strided::whole(state.into_owned())),
        false => Source::State(state),
    }
}

fn send_update(
    room: &Room,
    out: &mut crate::wire::SendQueue,
    sub: &Subscription,
    state: &Snapshot,
    account: &Arc<Account>,
    db: &(impl Database + ?Sized),
) -> Result<(), Refusal> {
    let count = match sub.count {
        0 => dynamic_count(sub.ty, state, || db.info(sub.pv).count),
        count => count,
    };
    match room.put_value(out, sub.reply(count, EcaStatus::NORMAL), state, account) {
        Err(Refusal::NoConversion) => {
            room.put_failure(out, sub.reply(sub.count, EcaStatus::GETFAIL))
        }
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
