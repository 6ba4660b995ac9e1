//! What happens by itself: time, and what the database has to say to the circuits.

use std::hint::black_box;
use std::time::Duration;

use ca_proto::ids::CircuitId;
use ca_proto::server::{Endpoint, Turn};
use ca_proto::{Alarm, Instant};

use crate::ioc::{Ioc, TURN};
use crate::publish::SLICE;
use crate::scan::{Member, Target};

/// Time without traffic after which a circuit counts as idle.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Units of work: the buffers of an idle circuit, which are given back.
const RELEASE: usize = 16;
/// Units of work: a put of which a circuit is told that it is complete.
const COMPLETE: usize = 8;
/// Bytes that no allocator takes from those that it keeps for small pieces.
const LARGE_PIECE: usize = 4096;

impl Ioc {
    /// Does what is due: samples of signals, completions of puts, beacons; and of the [work](Self::work)
    /// that is left as much as one turn allows.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.last = now;
        if self.db.time.until().is_some() {
            self.advance_step(now);
        }
        if self.faults.is_some() {
            self.tick_faults(now);
        }
        if !self.is_down() {
            for endpoint in &mut self.endpoints {
                endpoint.handle_timeout(now);
            }
        }
        let mut turn = Turn::new(TURN);
        let mut part = turn.part(TURN / 4);
        self.scan(now, &mut part);
        self.tick_records(now, &mut part);
        self.db.complete_due(now, &mut part);
        self.release_held(now);
        self.expel_silent(now, &mut part);
        turn.join(part);
        self.feed_starved(now);
        self.work_in(now, turn);
    }

    fn scan(&mut self, now: Instant, turn: &mut Turn) {
        if self.db.holds_signals() {
            return;
        }
        let mut scans = std::mem::take(&mut self.scans);
        let time = self.db.time.of(now);
        scans.run(time, turn, self, Self::sample, |ioc| ioc.settle(now));
        self.scans = scans;
    }

    /// Has circuits that had nothing to do since the last look give back their buffers. There is no
    /// timer for it: beacons come every 15 s at least.
    fn release_idle(&mut self, now: Instant, turn: &mut Turn) {
        if self.looking.is_none() && now - self.looked >= LOOK_PERIOD {
            self.looked = now;
            self.db.conversions.borrow_mut().release();
            self.looking = Some(0);
        }
        let Some(first) = self.looking else { return };
        let mut next = first;
        while next < self.circuits.slots() && !turn.is_over() {
            turn.spend(1);
            if let Some((id, _)) = self.circuits.at(next)
                && let Some(connection) = self.circuits.get_mut(id)
            {
                let stats = connection.circuit.stats();
                let seen = stats.requests + stats.updates_sent;
                if std::mem::replace(&mut connection.seen, seen) == seen {
                    turn.spend(RELEASE);
                    connection.circuit.release();
                }
            }
            next += 1;
        }
        self.looking = (next < self.circuits.slots()).then_some(next);
    }

    /// Samples have the stamp of the time when they were due, so that those made up for differ; only
    /// where the PV has got a later one meanwhile, they have the present.
    fn sample(&mut self, _: Instant, due: Instant, t: Duration, member: &mut Member) -> bool {
        let now = self.last;
        // What time stands still for is made now.
        let due = match self.db.time.is_frozen() {
            true => now,
            false => self.db.time.real_of(due).unwrap_or(now),
        };
        let pv = match member.pv {
            Target::Pv(pv) => pv,
            Target::Field(key) => {
                let served = self.db.served.as_ref();
                if !served.is_some_and(|served| served.has_signal(key.record)) {
                    return false;
                }
                let sample = member.signal.0.sample(t, &mut member.rng);
                // A sample that the field cannot have changes nothing.
                let _ = self.post_field(now, key, "", &sample);
                return true;
            }
        };
        let stamp = self.db.clock.stamp(due);
        let Some(record) = self.db.record(pv) else {
            return false;
        };
        let overtaken = record.snapshot.stamp > stamp;
        let at = if overtaken { now } else { due };
        let sample = member.signal.0.sample(t, &mut member.rng);
        // A sample that the PV cannot hold changes nothing.
        if let Ok(value) = self.db.fit(pv, sample) {
            self.db.process(at, pv, Some(value), Alarm::NONE);
        }
        true
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; at once, which is a time that has
    /// passed, while [work](Self::has_work) is left. May change with every call that changes anything.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let endpoints = self.endpoints.iter().filter_map(Endpoint::poll_timeout);
        let endpoints = endpoints.filter(|_| !self.is_down());
        endpoints
            .chain(self.database_timeout())
            .chain(self.held.first().map(|&(until, _)| until))
            .chain(self.limits.poll_timeout())
            .chain(self.faults_timeout())
            .chain((self.has_work() || self.db.time.until().is_some()).then_some(self.last))
            .min()
            // A snapshot from anywhere may say that something was due long ago.
            .map(|at| at.max(self.last))
    }

    /// Whether [`work`](Self::work) is left.
    pub fn has_work(&self) -> bool {
        !self.backlog.is_empty()
            || self.has_access_work()
            || !self.unsettled.is_empty()
            || !self.closing.is_empty()
            || self.looking.is_some()
            || self.db.has_news()
            || (self.is_running()
                && self
                    .db
                    .served
                    .as_ref()
                    .is_some_and(|served| served.has_work()))
    }

    /// Does a turn of the work that was left, because it would have held up everybody: telling very many
    /// subscribers, taking apart circuits and channels with very many subscriptions or puts, telling
    /// of rights. A turn is some tenths of a millisecond; a driver lets others have theirs in between.
    /// [`handle_timeout`](Self::handle_timeout) does the same.
    pub fn work(&mut self, now: Instant) {
        self.work_in(now, Turn::new(TURN));
    }

    /// All that there is to do shares the turn; each kind gets its part of it, so that none waits for
    /// another to end.
    fn work_in(&mut self, now: Instant, mut turn: Turn) {
        let all = turn.left();
        for kind in [
            Self::settle_in,
            Self::publish_backlog,
            Self::work_on_records,
            Self::work_on_circuits,
            Self::work_on_closing,
            Self::release_idle,
        ] {
            let mut part = turn.part(all / 6);
            kind(self, now, &mut part);
            turn.join(part);
        }
        // What the others have not needed: very many records scan.
        self.work_on_records(now, &mut turn);
        self.join_memory(all - turn.left());
    }

    /// What a turn has given back in small pieces is joined at the end of that turn. An allocator as that of
    /// glibc keeps such pieces apart until it is asked for a large one, and then joins all that there are:
    /// some milliseconds, if a circuit with very many channels was taken apart meanwhile.
    pub(crate) fn join_memory(&self, spent: usize) {
        if spent >= SLICE {
            drop(black_box(Vec::<u8>::with_capacity(LARGE_PIECE)));
        }
    }

    /// Carries what the database has to say to the circuits, as much as one turn allows.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.settle_in(now, &mut Turn::new(TURN / 2));
    }

    pub(crate) fn settle_in(&mut self, now: Instant, turn: &mut Turn) {
        self.last = now;
        self.db.now = now;
        loop {
            self.publish(turn);
            self.run_records(now, turn, true);
            self.db.tell_dropped(now);
            self.complete(now, turn);
            self.settle_access(turn);
            self.db.begin_next(now, turn);
            if !self.db.has_news() || turn.is_over() {
                break;
            }
        }
        // What is left is told in order.
        self.publish(turn);
    }

    /// Tells circuits of puts that are complete.
    fn complete(&mut self, now: Instant, turn: &mut Turn) {
        while !turn.is_over()
            && let Some((ticket, status)) = self.db.completed.pop_front()
        {
            turn.spend(COMPLETE);
            self.db.log_completed(now, ticket, status);
            if let Some(connection) = self.circuits.get_mut(ticket.circuit) {
                let circuit = &mut connection.circuit;
                circuit.complete_put(now, ticket.id, status, &mut self.db);
                turn.spend(circuit.take_spent());
                if circuit.has_met_limit() {
                    self.check_limits(now, ticket.circuit);
                }
                self.wake(ticket.circuit);
                self.note_work(ticket.circuit);
            }
        }
    }

    /// Asks for the rights of every channel again, after an access rule has changed its mind. The new ones
    /// count from now on; clients with very many channels are told by and by.
    pub fn rights_changed(&mut self, now: Instant) {
        self.look_again(now);
    }

    /// Has all circuits look at their channels: for changed rights, and PVs that are gone.
    pub(crate) fn look_again(&mut self, now: Instant) {
        let circuits: Vec<CircuitId> = self.circuits.keys().collect();
        for id in circuits {
            if let Some(connection) = self.circuits.get_mut(id) {
                connection.circuit.look_again();
            }
            self.note_work(id);
        }
        self.last = now;
        let mut turn = Turn::new(TURN / 2);
        self.work_on_circuits(now, &mut turn);
        self.settle(now);
        self.join_memory(TURN / 2 - turn.left());
    }

    /// Remembers a circuit that has something left to do.
    pub(crate) fn note_work(&mut self, id: CircuitId) {
        if let Some(connection) = self.circuits.get_mut(id)
            && !connection.unsettled
            && connection.circuit.has_work()
        {
            connection.unsettled = true;
            self.unsettled.push_back(id);
        }
    }

    /// Circuits take turns.
    fn work_on_circuits(&mut self, now: Instant, turn: &mut Turn) {
        while !turn.is_over()
            && let Some(id) = self.unsettled.pop_front()
        {
            if self.is_in_chain() {
                // It may write to records, which would finish the chain at once.
                self.run_records(now, turn, true);
                if self.is_in_chain() {
                    self.unsettled.push_front(id);
                    return;
                }
            }
            let Some(connection) = self.circuits.get_mut(id) else {
                continue;
            };
            let mut slice = Turn::new(SLICE.min(turn.left()));
            let before = slice.left();
            let circuit = &mut connection.circuit;
            circuit.work(now, &mut slice, &mut self.db);
            turn.spend((before - slice.left()).max(1) + circuit.take_spent());
            connection.broken |= circuit.is_broken();
            connection.unsettled = false;
            let again = circuit.has_work();
            let met = circuit.has_met_limit();
            if !again && !connection.woken {
                // Its driver may have waited to hand in more.
                connection.woken = true;
                self.woken.push_back(id);
            }
            if met {
                self.check_limits(now, id);
            }
            self.note_work(id);
            if self.db.has_news() {
                self.settle_in(now, turn);
            }
        }
    }

    fn work_on_closing(&mut self, now: Instant, turn: &mut Turn) {
        while !turn.is_over()
            && let Some(mut closing) = self.closing.pop_front()
        {
            let mut slice = Turn::new(SLICE.min(turn.left()));
            let before = slice.left();
            let done = closing.go_on(now, &mut self.db, &mut slice);
            turn.spend((before - slice.left()).max(1));
            match done {
                true => self.leave(closing.host),
                false => self.closing.push_back(closing),
            }
            if self.db.has_news() {
                self.settle_in(now, turn);
            }
        }
    }
}
