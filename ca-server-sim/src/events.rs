//! What happens by itself: time, and what the database has to say to the circuits.

use std::time::Duration;

use ca_proto::ids::CircuitId;
use ca_proto::server::{Endpoint, Turn};
use ca_proto::{Alarm, Instant};

use crate::ioc::{Ioc, TURN};
use crate::publish::SLICE;
use crate::scan::Member;

/// Time without traffic after which a circuit counts as idle.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

impl Ioc {
    /// Does what is due: samples of signals, completions of puts, beacons; and of the [work](Self::work)
    /// that is left as much as one turn allows.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.last = now;
        for endpoint in &mut self.endpoints {
            endpoint.handle_timeout(now);
        }
        let mut turn = Turn::new(TURN / 2);
        self.scan(now, &mut turn);
        self.db.complete_due(now, &mut turn);
        self.expel_silent(now, &mut turn);
        self.feed_starved(now);
        self.work(now);
    }

    fn scan(&mut self, now: Instant, turn: &mut Turn) {
        let mut scans = std::mem::take(&mut self.scans);
        scans.run(now, turn, self, Self::sample, |ioc| ioc.settle(now));
        self.scans = scans;
    }

    /// Has circuits that had nothing to do since the last look give back their buffers. There is no
    /// timer for it: beacons come every 15 s at least.
    fn release_idle(&mut self, now: Instant) {
        if self.looking.is_none() && now - self.looked >= LOOK_PERIOD {
            self.looked = now;
            self.looking = Some(0);
        }
        let Some(first) = self.looking else { return };
        let next = first + TURN / 4;
        for index in first..next {
            if let Some((id, _)) = self.circuits.at(index)
                && let Some(connection) = self.circuits.get_mut(id)
            {
                let stats = connection.circuit.stats();
                let seen = stats.requests + stats.updates_sent;
                if std::mem::replace(&mut connection.seen, seen) == seen {
                    connection.circuit.release();
                }
            }
        }
        self.looking = (next < self.circuits.slots()).then_some(next);
    }

    /// Samples have the stamp of the time when they were due, so that those made up for differ; only
    /// where the PV has got a later one meanwhile, they have the present.
    fn sample(&mut self, now: Instant, due: Instant, t: Duration, member: &mut Member) -> bool {
        let stamp = self.db.clock.stamp(due);
        let Some(record) = self.db.record(member.pv) else {
            return false;
        };
        let overtaken = record.snapshot.stamp > stamp;
        let at = if overtaken { now } else { due };
        let sample = member.signal.0.sample(t, &mut member.rng);
        // A sample that the PV cannot hold changes nothing.
        if let Ok(value) = self.db.fit(member.pv, sample) {
            self.db.process(at, member.pv, Some(value), Alarm::NONE);
        }
        true
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; at once, which is a time that has
    /// passed, while [work](Self::has_work) is left. May change with every call that changes anything.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let endpoints = self.endpoints.iter().filter_map(Endpoint::poll_timeout);
        let completion = self.db.due.first().map(|&(at, _)| at);
        endpoints
            .chain(self.scans.poll_timeout())
            .chain(completion)
            .chain(self.limits.poll_timeout())
            .chain(self.has_work().then_some(self.last))
            .min()
    }

    /// Whether [`work`](Self::work) is left.
    pub fn has_work(&self) -> bool {
        !self.backlog.is_empty()
            || !self.unsettled.is_empty()
            || !self.closing.is_empty()
            || self.looking.is_some()
            || self.db.has_news()
    }

    /// Does a turn of the work that was left, because it would have held up everybody: telling very many
    /// subscribers, taking apart circuits and channels with very many subscriptions or puts, telling
    /// of rights. A turn is some tenths of a millisecond; a driver lets others have theirs in between.
    /// [`handle_timeout`](Self::handle_timeout) does the same.
    pub fn work(&mut self, now: Instant) {
        self.settle(now);
        self.publish_backlog(&mut Turn::new(TURN / 2));
        self.work_on_circuits(now, &mut Turn::new(TURN / 4));
        self.work_on_closing(now, &mut Turn::new(TURN / 4));
        self.release_idle(now);
    }

    /// Carries what the database has to say to the circuits, as much as one turn allows.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.settle_in(now, &mut Turn::new(TURN / 2));
    }

    pub(crate) fn settle_in(&mut self, now: Instant, turn: &mut Turn) {
        self.last = now;
        loop {
            self.publish(turn);
            self.db.tell_dropped(now);
            self.complete(now, turn);
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
            turn.spend(4);
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
        self.work_on_circuits(now, &mut Turn::new(TURN));
        self.settle(now);
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
