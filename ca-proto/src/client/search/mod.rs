//! When which name is searched (`searchTimer` and `disconnectGovernorTimer` of EPICS Base).
//!
//! Unresolved channels live in lanes; lane `i` is tried every `2^i` round trips and a name that is
//! not answered moves one lane up. Differences from the reference, each for a faster or a fairer
//! search: a lane without unanswered names starts at once instead of waiting for a free-running
//! timer; names that exist nowhere do not hold up the others (`Lane::adapt`); a period never exceeds
//! the configured maximum, also after slow answers; a name that cannot fit a datagram blocks nobody
//! (defect 10.1).

mod lane;
mod queues;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::time::Duration;

use self::lane::{Lane, RoundTrip};
use self::queues::{Place, Queues};
use super::traffic::Budget;
use crate::ids::Cid;
use crate::time::Instant;
use crate::wire::message::{SearchFlag, Text};
use crate::wire::{MAX_UDP_SEND, Minor, align8, header::STANDARD_LEN, udp};

/// Lanes for the longest period, 4194.304 s.
const MAX_LANES: usize = 18;
/// Lane in which channels land after a beacon anomaly; 8.192 s at the smallest round trip.
const BOOST_LANE: usize = 8;
/// The lanes, the governor and the congestion control of one client.
///
/// Costs 20 bytes per channel that was ever open at once, searching or not; every operation on one
/// channel is O(1).
#[derive(Debug)]
pub(super) struct SearchScheduler {
    lanes: Vec<Lane>,
    queues: Queues,
    /// Channels in lanes. Without any, no lane is due.
    active: u32,
    start: Instant,
    governor: Duration,
    max_period: Duration,
    /// When the held channels are released; `None` without any.
    release: Option<Instant>,
    round_trip: RoundTrip,
    /// Sequence number of the next datagram.
    sequence: u32,
    budget: Budget,
}

impl SearchScheduler {
    pub(super) fn new(now: Instant, max_period: Duration, governor: Duration, budget: u32) -> Self {
        let mut count = 1;
        while count < MAX_LANES && Duration::from_millis(32 << count) <= max_period {
            count += 1;
        }
        let lanes = (0..count).map(|_| Lane::new(now)).collect();
        Self {
            lanes,
            queues: Queues::new(),
            active: 0,
            start: now,
            governor: governor.max(Duration::from_millis(1)),
            max_period: max_period.max(Duration::from_millis(32)),
            release: None,
            round_trip: RoundTrip::new(),
            sequence: 1,
            budget: Budget::new(now, budget),
        }
    }

    /// Starts to search for a new channel.
    pub(super) fn add(&mut self, now: Instant, cid: Cid) {
        if let Some(index) = self.queues.find(cid) {
            self.take(index);
        }
        let index = self.queues.insert(cid);
        self.enter(index, 0, now);
    }

    /// Makes room for a channel that is not searched for now.
    pub(super) fn know(&mut self, cid: Cid) {
        self.queues.insert(cid);
    }

    /// Forgets a channel, wherever it is.
    pub(super) fn remove(&mut self, now: Instant, cid: Cid) {
        let Some(index) = self.queues.find(cid) else {
            return;
        };
        let place = self.take(index);
        if let Place::Waiting(i) = place {
            // Not a miss: nobody wants the answer any more.
            let lane = &mut self.lanes[usize::from(i)];
            lane.attempts = lane.attempts.saturating_sub(1);
            self.continue_at_once(now, usize::from(i));
        }
    }

    /// Keeps a lost channel until the next tick of the governor, a free-running timer.
    pub(super) fn hold(&mut self, now: Instant, cid: Cid) {
        let Some(index) = self.queues.find(cid) else {
            return;
        };
        self.take(index);
        self.queues.node(index).attempts = 0;
        self.queues.push(index, Place::Held);
        if self.release.is_none() {
            self.release = Some(self.next_tick(now, self.governor));
        }
    }

    /// A reply came; `sequence` is that of the request if the reply's datagram repeats it. Gives the time since
    /// the request, if it is the answer to the last one.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        cid: Cid,
        sequence: Option<u32>,
    ) -> Option<Duration> {
        let index = self.queues.find(cid)?;
        let Place::Waiting(i) = self.take(index) else {
            return None;
        };
        let lane = &mut self.lanes[usize::from(i)];
        let window = lane.end.wrapping_sub(lane.begin);
        if sequence.is_some_and(|n| n.wrapping_sub(lane.begin) >= window) {
            return None;
        }
        let round_trip = now - lane.fired;
        self.round_trip.measured(round_trip);
        lane.responses += 1;
        self.continue_at_once(now, usize::from(i));
        Some(round_trip)
    }

    /// A beacon anomaly: channels above the boost lane move down to it.
    pub(super) fn boost(&mut self, now: Instant) {
        let target = self.boost_lane();
        let start = self.boost_start(now);
        self.collect(target + 1, target, start);
    }

    /// Everything that is not found yet starts over in lane 0, because a new place to ask appeared.
    pub(super) fn restart(&mut self, now: Instant) {
        self.collect(1, 0, now);
    }

    /// Datagrams that carried this name since the channel was opened or lost.
    pub(super) fn attempts(&self, cid: Cid) -> u32 {
        self.queues.attempts(cid)
    }

    /// Releases held channels and starts the tries that are due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.release_held(now);
        self.budget.handle_timeout(now);
        self.fire_due(now);
    }

    /// Releases held channels only, while there is nobody to ask.
    pub(super) fn release_held(&mut self, now: Instant) {
        if self.release.is_some_and(|at| at <= now) {
            self.move_all(Place::Held, 0, now);
            self.release = None;
        }
    }

    /// Next time at which [`handle_timeout`](Self::handle_timeout) or [`poll`](Self::poll) has
    /// something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        // hot: asked after every request, mostly when all channels are found.
        if self.active == 0 {
            return self.release;
        }
        let lanes = self.lanes.iter().filter_map(|lane| lane.due);
        lanes.chain(self.release).chain(self.budget.blocked).min()
    }

    /// The governor's next tick alone, while there is nobody to ask.
    pub(super) const fn poll_release(&self) -> Option<Instant> {
        self.release
    }

    /// Whether there is any channel in a lane or held.
    pub(super) const fn is_searching(&self) -> bool {
        self.active > 0 || self.release.is_some()
    }

    /// Times that searches had to wait for the budget.
    pub(super) const fn delays(&self) -> u64 {
        self.budget.delays
    }

    /// Writes the next datagram that is due into `buf`, which is to be sent to so many addresses; the names in it,
    /// 0 when there is none.
    pub(super) fn poll<'n>(
        &mut self,
        now: Instant,
        buf: &mut Vec<u8>,
        copies: usize,
        name: impl Fn(Cid) -> Option<&'n [u8]>,
    ) -> u32 {
        self.fire_due(now);
        for i in 0..self.lanes.len() {
            if self.lanes[i].left == 0 {
                continue;
            }
            // What goes to name servers alone costs nobody a datagram.
            if copies > 0 && !self.budget.allows(now) {
                return 0;
            }
            let names = self.fill(now, i, buf, &name);
            if names > 0 {
                self.budget.spend(now, copies);
                return names;
            }
        }
        0
    }

    /// Tries start in ascending order, so that what leaves one lane is sent with the next.
    fn fire_due(&mut self, now: Instant) {
        for i in 0..self.lanes.len() {
            if self.lanes[i].due.is_some_and(|due| due <= now) {
                self.fire(now, i);
            }
        }
    }

    /// The steps of 2.5 up to the sending.
    fn fire(&mut self, now: Instant, i: usize) {
        let again = now + self.period(i);
        self.lanes[i].due = Some(again);
        if self.lanes[i].left > 0 {
            // The caller has not fetched the last try's datagrams.
            return;
        }
        let up = (i + 1).min(self.lanes.len() - 1);
        self.move_all(Place::Waiting(i as u8), up, now);
        if i > self.boost_lane() && self.lanes[i].responses > 0 {
            let start = self.boost_start(now);
            self.move_all(Place::Pending(i as u8), self.boost_lane(), start);
        }
        let has_work = self.queues.head(Place::Pending(i as u8)).is_some();
        let lane = &mut self.lanes[i];
        lane.adapt();
        lane.fired = now;
        lane.attempts = 0;
        lane.responses = 0;
        lane.begin = self.sequence;
        lane.end = self.sequence;
        // 1 to 64.
        lane.left = if has_work { lane.frames as u32 } else { 0 };
        lane.due = has_work.then_some(again);
    }

    /// The sending steps of 2.5, one datagram at a time.
    fn fill<'n>(
        &mut self,
        now: Instant,
        i: usize,
        buf: &mut Vec<u8>,
        name: impl Fn(Cid) -> Option<&'n [u8]>,
    ) -> u32 {
        buf.clear();
        udp::Request::Version {
            valid: 1,
            minor: Minor::CURRENT,
            sequence: self.sequence,
        }
        .encode_into(buf);
        let (pending, waiting) = (Place::Pending(i as u8), Place::Waiting(i as u8));
        let mut names = 0;
        while let Some(index) = self.queues.head(pending) {
            let cid = self.queues.node(index).cid;
            let Some(name) = name(cid) else {
                self.take(index);
                continue;
            };
            let fits = buf.len() + STANDARD_LEN + align8(name.len() + 1) <= MAX_UDP_SEND;
            if !fits && names > 0 {
                break;
            }
            self.queues.unlink(index);
            self.queues.push(index, waiting);
            if !fits {
                continue;
            }
            udp::Request::Search {
                reply: SearchFlag::DONT_REPLY,
                minor: Minor::CURRENT,
                cid,
                cid2: cid,
                name: Text::new(name),
            }
            .encode_into(buf);
            let node = self.queues.node(index);
            node.attempts = node.attempts.saturating_add(1);
            names += 1;
        }
        let more = self.queues.head(pending).is_some();
        let lane = &mut self.lanes[i];
        lane.attempts += names;
        lane.left = if names > 0 && more {
            lane.left.saturating_sub(1)
        } else {
            0
        };
        if names > 0 {
            self.sequence = self.sequence.wrapping_add(1);
            lane.end = self.sequence;
        }
        self.continue_at_once(now, i);
        names
    }

    fn boost_lane(&self) -> usize {
        BOOST_LANE.min(self.lanes.len() - 1)
    }

    /// The boost lane starts in the phase of a free-running timer when it was idle: all clients that
    /// heard the same beacon would search at the same moment otherwise.
    fn boost_start(&self, now: Instant) -> Instant {
        self.next_tick(now, self.period(self.boost_lane()))
    }

    fn period(&self, i: usize) -> Duration {
        let seconds = self.round_trip.estimate() * f64::from(1_u32 << i);
        Duration::from_secs_f64(seconds).min(self.max_period)
    }

    /// The first tick after `now` of a timer that runs since the start.
    fn next_tick(&self, now: Instant, period: Duration) -> Instant {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let since = now.as_nanos().saturating_sub(self.start.as_nanos());
        now + Duration::from_nanos(period - since % period)
    }

    /// Every name of the last try was answered and more are waiting: no pause
    /// (`searchTimer::uninstallChanDueToSuccessfulSearchResponse`).
    fn continue_at_once(&mut self, now: Instant, i: usize) {
        let more = self.queues.head(Place::Pending(i as u8)).is_some();
        let lane = &mut self.lanes[i];
        if more && lane.left == 0 && lane.responses >= lane.attempts {
            lane.due = Some(now);
        }
    }

    /// Moves everything in lanes `from..` to lane `target`.
    fn collect(&mut self, from: usize, target: usize, start: Instant) {
        for i in from..self.lanes.len() {
            self.move_all(Place::Pending(i as u8), target, start);
            self.move_all(Place::Waiting(i as u8), target, start);
        }
    }

    fn move_all(&mut self, from: Place, target: usize, start: Instant) {
        while let Some(index) = self.queues.head(from) {
            self.take(index);
            self.enter(index, target, start);
        }
    }

    /// Appends a channel to a lane; an empty lane is then due at `start`.
    fn enter(&mut self, index: u32, i: usize, start: Instant) {
        let lane = &mut self.lanes[i];
        lane.due = lane.due.or(Some(start));
        self.active += 1;
        self.queues.push(index, Place::Pending(i as u8));
    }

    /// Takes a channel out of its list; an empty lane has no timer.
    fn take(&mut self, index: u32) -> Place {
        let place = self.queues.unlink(index);
        match place {
            Place::Pending(i) | Place::Waiting(i) => {
                self.active -= 1;
                let empty = self.queues.head(Place::Pending(i)).is_none()
                    && self.queues.head(Place::Waiting(i)).is_none();
                if empty {
                    let lane = &mut self.lanes[usize::from(i)];
                    lane.due = None;
                    lane.left = 0;
                }
            }
            Place::Held if self.queues.head(Place::Held).is_none() => self.release = None,
            Place::Held | Place::Nowhere => {}
        }
        place
    }
}
