//! What a circuit does in turns, because a client decides how much it is: deleting channels with all
//! that hangs on them, asking for the rights of all channels again, starting puts that waited.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::channels::Channel;
use super::circuit::Circuit;
use super::conversion::Conversion;
use super::database::{Database, PutId, PutTicket, PvId, Strided, SubKey, Subscriber};
use super::error::Violation;
use super::event_queue::{Posted, Queued};
use super::long_put::LongPut;
use super::reply::Refusal;
use super::turn::Turn;
use crate::access::AccessRights;
use crate::ids::Sid;
use crate::time::Instant;
use crate::wire::{Header, tcp};

/// Units of work: a subscription or a put that is dropped, with its entries in queues and tables.
const DROP: usize = 3;
/// Units of work: a put that is started.
const START: usize = 16;
/// Units of work of a call that is to do everything that is usual at once.
const AT_ONCE: usize = 4096;

/// Units of work that deleting a channel does at once.
const FEW: usize = 256;

/// Work that is left. Few circuits have any.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// Deleted channels: their identifiers are free, and nobody hears of them any more.
    debris: VecDeque<Debris>,
    sweep: Option<Sweep>,
    /// Channels whose first write-notify is to be started.
    puts: VecDeque<Sid>,
    /// Values that are being converted, in the order in which they were asked for.
    conversions: VecDeque<Conversion>,
    /// The write whose value is being converted.
    put: Option<LongPut>,
}

/// What hangs on a deleted channel.
#[derive(Debug)]
struct Debris {
    sid: Sid,
    pv: PvId,
    /// Its subscriptions in a circle.
    subs: Option<SubKey>,
    /// Its unfinished write-notifies.
    puts: Option<PutId>,
    /// What the channel is charged with.
    bytes: usize,
}

/// A walk through all channels, asking for their rights and whether their PV is still there.
#[derive(Debug, Default)]
struct Sweep {
    /// Index of the next channel.
    at: usize,
    /// Something has changed since it began: another walk follows.
    again: bool,
    /// The channel whose subscriptions are being told, and the one that was told last.
    telling: Option<(Sid, Option<SubKey>)>,
}

impl Circuit {
    fn unfinished(&mut self) -> &mut Unfinished {
        self.unfinished.get_or_insert_with(Box::default)
    }

    /// Deleted channels are still being taken apart, or replies being made: no update is sent and nothing
    /// more is asked until that is over.
    pub(super) fn is_held(&self) -> bool {
        let held = |unfinished: &Unfinished| {
            !unfinished.debris.is_empty()
                || !unfinished.conversions.is_empty()
                || unfinished.put.is_some()
        };
        self.unfinished.as_deref().is_some_and(held)
    }

    /// Has a value converted in turns; the request is repeated in the reply if it cannot be.
    pub(super) fn convert_later(
        &mut self,
        request: &Header,
        reply: Header,
        source: Strided,
    ) -> Result<(), Refusal> {
        let waiting = (self.unfinished.iter()).flat_map(|left| &left.conversions);
        let queued = self.out.len() + waiting.map(Conversion::size).sum::<usize>();
        let account = &self.out_account;
        let (reply, charge) = self.room.admit_large(queued, reply, &source, account)?;
        let conversion = Conversion::new(*request, reply, source, charge);
        self.unfinished().conversions.push_back(conversion);
        Ok(())
    }

    pub(super) fn pop_conversion(&mut self) -> Option<Conversion> {
        self.unfinished.as_mut()?.conversions.pop_front()
    }

    pub(super) fn push_conversion(&mut self, conversion: Conversion) {
        self.unfinished().conversions.push_front(conversion);
    }

    pub(super) fn take_long_put(&mut self) -> Option<LongPut> {
        self.unfinished.as_mut()?.put.take()
    }

    pub(super) fn set_long_put(&mut self, put: Option<LongPut>) {
        self.unfinished().put = put;
    }

    /// Whether a write is being converted: what is asked behind it comes later.
    pub fn has_long_put(&self) -> bool {
        (self.unfinished.as_deref()).is_some_and(|unfinished| unfinished.put.is_some())
    }

    pub(super) fn has_sweep(&self) -> bool {
        let sweep = |unfinished: &Unfinished| unfinished.sweep.is_some();
        self.unfinished.as_deref().is_some_and(sweep)
    }

    /// What the client may do with a channel at this moment.
    pub(super) fn rights_now(
        &self,
        channel: &Channel,
        db: &(impl Database + ?Sized),
    ) -> AccessRights {
        match self.has_sweep() {
            // The walk may not have come to it.
            true => db.rights(channel.pv, &self.identity),
            false => channel.rights,
        }
    }

    /// Whether [`work`](Self::work) has something to do. What waits until replies have drained does not
    /// count.
    pub fn has_work(&self) -> bool {
        let Some(unfinished) = &self.unfinished else {
            return false;
        };
        !unfinished.debris.is_empty()
            || !unfinished.conversions.is_empty()
            || !unfinished.puts.is_empty()
            || unfinished.put.is_some()
            || (unfinished.sweep.is_some() && self.has_room() && !self.broken)
    }

    /// True if nothing is left that could not be done at once, not even what waits until replies have drained.
    pub const fn is_settled(&self) -> bool {
        self.unfinished.is_none()
    }

    /// Goes on with what could not be done at once, until the turn is over: taking apart what was
    /// deleted, telling of rights, starting puts that waited.
    pub fn work(&mut self, now: Instant, turn: &mut Turn, db: &mut (impl Database + ?Sized)) {
        self.clear_debris(turn, db);
        self.convert(turn, db);
        self.go_on_with_put(now, turn, db);
        self.start_ready(now, turn, db);
        self.sweep(turn, db);
        self.forget_finished();
    }

    pub(super) fn forget_finished(&mut self) {
        let done = |left: &Unfinished| {
            left.debris.is_empty()
                && left.puts.is_empty()
                && left.put.is_none()
                && left.sweep.is_none()
                && left.conversions.is_empty()
        };
        if self.unfinished.as_deref().is_some_and(done) {
            self.unfinished = None;
        }
    }

    /// As [`work`](Self::work), for what one request or event leaves in most cases.
    pub(super) fn work_at_once(&mut self, now: Instant, db: &mut (impl Database + ?Sized)) {
        if self.unfinished.is_some() {
            self.work(now, &mut Turn::new(AT_ONCE), db);
        }
    }

    /// Takes a channel out: from now on its identifier is unknown. What hangs on it is dropped in turns.
    pub(super) fn delete_channel(&mut self, sid: Sid) -> Option<Channel> {
        let channel = self.channels.remove(sid)?;
        let debris = Debris {
            sid,
            pv: channel.pv,
            subs: channel.subs.youngest(),
            puts: channel.puts.map(|(first, _)| first),
            bytes: channel.bytes(),
        };
        self.unfinished().debris.push_back(debris);
        Some(channel)
    }

    /// Takes apart what one channel mostly has.
    pub(super) fn clear_few(&mut self, db: &mut (impl Database + ?Sized)) {
        let mut turn = Turn::new(FEW);
        self.clear_debris(&mut turn, db);
        self.spent += FEW - turn.left();
        self.forget_finished();
    }

    fn clear_debris(&mut self, turn: &mut Turn, db: &mut (impl Database + ?Sized)) {
        while !turn.is_over()
            && let Some(mut debris) =
                (self.unfinished.as_mut()).and_then(|left| left.debris.pop_front())
        {
            if self.clear(&mut debris, turn, db) {
                self.drop_long_put(debris.sid, db);
                db.close(debris.pv);
                self.channel_bytes -= debris.bytes;
            } else {
                self.unfinished().debris.push_front(debris);
            }
        }
        self.settle();
    }

    /// True if nothing is left of it.
    fn clear(
        &mut self,
        debris: &mut Debris,
        turn: &mut Turn,
        db: &mut (impl Database + ?Sized),
    ) -> bool {
        turn.spend(DROP);
        let circuit = self.id;
        while let Some(youngest) = debris.subs {
            if turn.is_over() {
                return false;
            }
            turn.spend(DROP);
            let Some(key) = self.subs.get(youngest).map(|sub| sub.next) else {
                debris.subs = None;
                break;
            };
            let last = self.unlink(key).is_none();
            self.forget_one(debris.sid);
            self.drop_subscription(key);
            self.sub_bytes -= db.subscription_bytes();
            db.unsubscribe(debris.pv, Subscriber { circuit, key });
            if last {
                debris.subs = None;
            }
        }
        while let Some(id) = debris.puts {
            if turn.is_over() {
                return false;
            }
            turn.spend(DROP);
            debris.puts = self.drop_put(debris.pv, id, db);
            // Only the first may be with the database; the others are unknown to it.
            db.withdraw(debris.pv, PutTicket { circuit, id });
        }
        true
    }

    /// Has the first write-notify of a channel started, when it is its turn.
    pub(super) fn ready(&mut self, sid: Sid) {
        self.unfinished().puts.push_back(sid);
    }

    /// Starts what mostly waits.
    pub(super) fn start_few(&mut self, now: Instant, db: &mut (impl Database + ?Sized)) {
        if self.unfinished.is_some() {
            let mut turn = Turn::new(FEW);
            self.start_ready(now, &mut turn, db);
            self.spent += FEW - turn.left();
            self.forget_finished();
        }
    }

    fn start_ready(&mut self, now: Instant, turn: &mut Turn, db: &mut (impl Database + ?Sized)) {
        while !turn.is_over()
            && !self.has_long_put()
            && let Some(sid) = (self.unfinished.as_mut()).and_then(|left| left.puts.pop_front())
        {
            turn.spend(START);
            self.start_waiting(now, sid, db);
        }
    }

    /// Has all channels looked at: for rights that have changed, and PVs that are gone. Until a channel
    /// was looked at its rights are asked for with each request, and no update is sent.
    pub fn look_again(&mut self) {
        if self.channels.is_empty() {
            return;
        }
        match &mut self.unfinished().sweep {
            Some(sweep) => sweep.again = true,
            none => *none = Some(Sweep::default()),
        }
    }

    /// Rights that change while the client does not read are told once: the walk stops while the queue
    /// is full.
    pub(super) fn sweep(&mut self, turn: &mut Turn, db: &(impl Database + ?Sized)) {
        while !turn.is_over()
            && self.has_room()
            && !self.broken
            && let Some(mut sweep) = (self.unfinished.as_mut()).and_then(|left| left.sweep.take())
        {
            let goes_on = match sweep.telling {
                Some(_) => {
                    self.tell_subscriptions(&mut sweep, turn, db);
                    true
                }
                None => self.look_at_next(&mut sweep, turn, db),
            };
            if goes_on {
                self.unfinished().sweep = Some(sweep);
            } else if sweep.again {
                self.unfinished().sweep = Some(Sweep::default());
            }
        }
    }

    /// False when there are no more channels.
    fn look_at_next(
        &mut self,
        sweep: &mut Sweep,
        turn: &mut Turn,
        db: &(impl Database + ?Sized),
    ) -> bool {
        if sweep.at >= self.channels.slots() {
            return false;
        }
        turn.spend(1);
        let found = self.channels.at(sweep.at);
        sweep.at += 1;
        let Some((sid, channel)) = found else {
            return true;
        };
        let (pv, cid) = (channel.pv, channel.cid);
        if db.is_gone(pv) {
            if !self.minor.has_server_disconnect() {
                self.broken = true;
                return false;
            }
            self.delete_channel(sid);
            self.send_late(&tcp::Response::ServerDisconn { cid });
            return true;
        }
        let rights = db.rights(pv, &self.identity);
        if let Some(channel) = self.channels.get_mut(sid)
            && core::mem::replace(&mut channel.rights, rights) != rights
        {
            self.send_rights(cid, rights);
            sweep.telling = Some((sid, None));
        }
        true
    }

    /// Queues the update that every subscription of a channel gets when its rights have changed
    /// (`casAccessRightsCB` of EPICS Base).
    fn tell_subscriptions(
        &mut self,
        sweep: &mut Sweep,
        turn: &mut Turn,
        db: &(impl Database + ?Sized),
    ) {
        let Some((sid, mut last)) = sweep.telling.take() else {
            return;
        };
        let Some(channel) = self.channels.get(sid) else {
            return;
        };
        let readable = channel.rights.can_read();
        let youngest = channel.subs.youngest();
        // One that was cancelled meanwhile is no place to go on from.
        if last.is_some_and(|last| self.subs.get(last).is_none_or(|sub| sub.sid != sid)) {
            last = None;
        }
        // Only that of a single element is copied.
        let (pv, filtered) = (channel.pv, db.is_filtered(channel.pv));
        let state = readable.then(|| Posted::copy_of(&db.read_first(pv, 1)));
        while let Some(key) = self.next_subscription(youngest, last) {
            if turn.is_over() {
                sweep.telling = Some((sid, last));
                return;
            }
            turn.spend(2);
            last = Some(key);
            let Some(sub) = self.subs.get_mut(key) else {
                return;
            };
            if core::mem::replace(&mut sub.readable, readable) != readable {
                // What is queued may not be seen any more, or says that nothing may be seen.
                self.events.purge(key, &mut self.subs);
            }
            let Some(sub) = self.subs.get_mut(key) else {
                return;
            };
            let mut posted = state.map_or(Posted::Reference, |state| sub.posted(state));
            if filtered {
                match db.first_update(pv, sub.mask, sub.by_copy) {
                    Some(update) => posted = sub.posted(update.0),
                    None => continue,
                }
            }
            self.stats.updates_posted += 1;
            if self.events.post(key, &mut sub.place, posted) == Queued::Replaced {
                self.stats.updates_replaced += 1;
            }
        }
    }

    /// Asks for the rights of all channels again. Changed ones are told to the client, then each
    /// subscription of those channels gets an update (`casAccessRightsCB` of EPICS Base). As much as is usual is done
    /// at once, the rest by [`work`](Self::work).
    pub fn rights_changed(&mut self, now: Instant, db: &mut (impl Database + ?Sized)) {
        self.look_again();
        self.work_at_once(now, db);
    }

    /// Deletes every channel of a PV that is gone and tells the client (`SERVER_DISCONN`), all at once.
    ///
    /// # Errors
    /// [`Violation::CannotDisconnectChannel`] for a client before 4.7, whose circuit has to be
    /// closed instead.
    pub fn pv_gone(
        &mut self,
        pv: PvId,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        for index in 0..self.channels.slots() {
            let Some((sid, channel)) = self.channels.at(index) else {
                continue;
            };
            if channel.pv != pv {
                continue;
            }
            if !self.minor.has_server_disconnect() {
                self.broken = true;
                return Err(Violation::CannotDisconnectChannel(self.minor));
            }
            let cid = channel.cid;
            self.delete_channel(sid);
            self.send_late(&tcp::Response::ServerDisconn { cid });
        }
        self.clear_debris(&mut Turn::unlimited(), db);
        self.forget_finished();
        Ok(())
    }

    /// Releases all channels and subscriptions, all at once; when the stream is gone.
    /// Write-notifies that are with the database complete unheard.
    pub fn close(&mut self, db: &mut (impl Database + ?Sized)) {
        self.close_in_turns(&mut Turn::unlimited(), db);
    }

    /// As [`close`](Self::close), until the turn is over; to be called again until it says true. The
    /// circuit must get no more requests.
    pub fn close_in_turns(&mut self, turn: &mut Turn, db: &mut (impl Database + ?Sized)) -> bool {
        if !core::mem::replace(&mut self.closing, true) {
            self.broken = true;
            self.out.clear();
            self.late = Vec::new();
            if let Some(unfinished) = &mut self.unfinished {
                unfinished.sweep = None;
                for conversion in unfinished.conversions.drain(..) {
                    conversion.abandon(db.conversions());
                }
            }
        }
        while !turn.is_over() {
            self.clear_debris(turn, db);
            let debris = |left: &Unfinished| !left.debris.is_empty();
            if self.unfinished.as_deref().is_some_and(debris) {
                return false;
            }
            let index = self.closed;
            if index < self.channels.slots() && !self.channels.is_empty() {
                self.closed += 1;
                turn.spend(1);
                if let Some((sid, _)) = self.channels.at(index) {
                    self.delete_channel(sid);
                }
                continue;
            }
            // A piece of a table is as much memory as some hundred entries.
            turn.spend(64);
            let released = self.channels.release_part()
                || self.subs.release_part()
                || self.puts.release_part()
                || self.events.release_part();
            self.settle();
            if !released {
                self.unfinished = None;
                return true;
            }
        }
        false
    }
}
