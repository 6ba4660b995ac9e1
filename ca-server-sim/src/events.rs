//! What happens by itself: time, and what the database has to say to the circuits.

use std::time::Duration;

use ca_proto::ids::CircuitId;
use ca_proto::server::{Endpoint, PvId};
use ca_proto::{Alarm, Instant};

use crate::db::PvHandle;
use crate::ioc::{Ioc, UPDATES_PER_TURN};
use crate::scan::Member;

/// Time without traffic after which a circuit counts as idle.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

impl Ioc {
    /// Does what is due: samples of signals, completions of puts, beacons.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.limits.now = now;
        for endpoint in &mut self.endpoints {
            endpoint.handle_timeout(now);
        }
        let mut scans = std::mem::take(&mut self.scans);
        scans.run(now, |due, t, members| self.tick(now, due, t, members));
        self.scans = scans;
        self.db.complete_due(now);
        self.expel_silent(now);
        self.feed_starved(now);
        self.settle(now);
        self.release_idle(now);
    }

    /// Has circuits that had nothing to do since the last look give back their buffers. There is no
    /// timer for it: beacons come every 15 s at least.
    fn release_idle(&mut self, now: Instant) {
        if now - self.looked < LOOK_PERIOD {
            return;
        }
        self.looked = now;
        for (_, connection) in self.circuits.iter_mut() {
            let stats = connection.circuit.stats();
            let seen = stats.requests + stats.updates_sent;
            if std::mem::replace(&mut connection.seen, seen) == seen {
                connection.circuit.release();
            }
        }
    }

    /// Samples have the stamp of the time when they were due, so that those made up for differ; only
    /// where the PV has got a later one meanwhile, they have the present.
    fn tick(&mut self, now: Instant, due: Instant, t: Duration, members: &mut Vec<Member>) {
        let stamp = self.db.clock.stamp(due);
        members.retain_mut(|member| {
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
        });
        self.settle(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called. May change with every call
    /// that changes anything.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let endpoints = self.endpoints.iter().filter_map(Endpoint::poll_timeout);
        let completion = self.db.due.first().map(|&(at, _)| at);
        endpoints
            .chain(self.scans.poll_timeout())
            .chain(completion)
            .chain(self.limits.poll_timeout())
            .min()
    }

    /// Carries what the database has to say to the circuits.
    pub(crate) fn settle(&mut self, now: Instant) {
        while self.db.has_news() {
            self.publish();
            self.db.tell_dropped(now);
            for (ticket, status) in std::mem::take(&mut self.db.completed) {
                self.db.log_completed(now, ticket, status);
                if let Some(connection) = self.circuits.get_mut(ticket.circuit) {
                    let circuit = &mut connection.circuit;
                    circuit.complete_put(now, ticket.id, status, &mut self.db);
                    if circuit.has_met_limit() {
                        self.check_limits(now, ticket.circuit);
                    }
                    self.wake(ticket.circuit);
                }
            }
        }
    }

    fn publish(&mut self) {
        // Swapped back, so that a steady stream of updates allocates nothing.
        let mut posts = std::mem::take(&mut self.db.posts);
        for post in posts.drain(..) {
            let Some((update, audience)) = self.db.audience(post.node, post.mask) else {
                continue;
            };
            let update = post.frozen.unwrap_or(update);
            for who in audience {
                self.posted += 1;
                if let Some(connection) = self.circuits.get_mut(who.circuit) {
                    connection.circuit.post_through(who.key, update, &self.db);
                    if connection.fresh && !connection.circuit.is_readable() {
                        connection.fresh = false;
                        self.pressed = true;
                    }
                    if !connection.woken && connection.circuit.has_output() {
                        connection.woken = true;
                        self.woken.push_back(who.circuit);
                    }
                }
            }
        }
        self.db.posts = posts;
        self.pressed |= self.posted >= UPDATES_PER_TURN;
    }

    /// Asks for the rights of every channel again, after an access rule has changed its mind.
    pub fn rights_changed(&mut self, now: Instant) {
        let circuits: Vec<CircuitId> = self.circuits.keys().collect();
        for id in circuits {
            if let Some(connection) = self.circuits.get_mut(id) {
                connection.circuit.rights_changed(now, &mut self.db);
            }
            self.wake(id);
        }
    }

    /// Tells the clients of a node that it is gone.
    pub(crate) fn disconnect(&mut self, nodes: &[PvHandle]) {
        let circuits: Vec<CircuitId> = self.circuits.keys().collect();
        for id in circuits {
            if let Some(connection) = self.circuits.get_mut(id) {
                for node in nodes {
                    let gone = connection.circuit.pv_gone(PvId(node.0), &mut self.db);
                    connection.broken |= gone.is_err();
                }
            }
            self.wake(id);
        }
    }
}
