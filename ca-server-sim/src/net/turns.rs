//! Whose turn it is among the circuits of one host.
//!
//! A circuit that has more to do than a turn lets the others come first. A host with a hundred circuits would have a
//! hundred turns then for each of everybody else's; so those of one host have theirs one after the other: one of
//! them is ready to go on, the others wait until it has had its turn.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use super::sync::{AtomicBool, Mutex, MutexGuard, Ordering};

/// The circuits of a host.
#[derive(Default)]
pub(super) struct Host {
    line: Mutex<Line>,
    /// One of them has the turn. It is looked at without the lock, which a circuit with little to do never takes.
    busy: AtomicBool,
}

/// Nobody waits while nobody has the turn.
#[derive(Default)]
struct Line {
    /// The ticket of the one that has the turn.
    serving: Option<u64>,
    /// Those that wait for it, by ticket.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

impl Host {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the turn to who has waited longest, who is to be woken.
    fn pass(&self, line: &mut Line) -> Option<Waker> {
        let next = line.waiting.pop_first();
        line.serving = next.as_ref().map(|&(ticket, _)| ticket);
        self.busy.store(next.is_some(), Ordering::Release);
        next.map(|(_, waker)| waker)
    }
}

impl Line {
    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A place at the end.
    fn wait(&mut self, waker: &Waker) -> u64 {
        let ticket = self.ticket();
        self.waiting.insert(ticket, waker.clone());
        ticket
    }
}

/// The place of a circuit among those of its host. Who drops it passes the turn on.
pub(super) struct Place {
    host: Arc<Host>,
    /// It waits, or has the turn.
    ticket: Option<u64>,
}

impl Place {
    pub(super) fn new(host: Arc<Host>) -> Self {
        Self { host, ticket: None }
    }

    /// Whether the circuit may handle input now. If not, it is woken when it may.
    pub(super) fn may_go_on(&mut self, waker: &Waker) -> bool {
        if self.ticket.is_none() && !self.host.busy.load(Ordering::Acquire) {
            return true;
        }
        let mut line = self.host.lock();
        if line.serving.is_none() || line.serving == self.ticket {
            return true;
        }
        let ticket = *self.ticket.get_or_insert_with(|| line.ticket());
        let old = line.waiting.insert(ticket, waker.clone());
        drop(line);
        drop(old);
        false
    }

    /// The circuit has had its turn and is to have another, after those of its host that wait. Whoever is next is
    /// to be woken after a look at the sockets; it may be this one.
    pub(super) fn had_turn(&mut self, waker: &Waker) -> Option<Waker> {
        let mut line = self.host.lock();
        match (self.ticket, line.serving) {
            // It waits, and what it has done was no input.
            (Some(ticket), serving) if serving != Some(ticket) => return Some(waker.clone()),
            // On another thread one that was let in at the same time has taken the turn.
            (None, Some(_)) => {
                self.ticket = Some(line.wait(waker));
                return None;
            }
            _ if line.waiting.is_empty() => {
                let ticket = *self.ticket.get_or_insert_with(|| line.ticket());
                line.serving = Some(ticket);
                self.host.busy.store(true, Ordering::Release);
                return Some(waker.clone());
            }
            _ => self.ticket = Some(line.wait(waker)),
        }
        self.host.pass(&mut line)
    }

    /// The circuit has no more to do for now. Whoever is next is to be woken.
    pub(super) fn leave(&mut self) -> Option<Waker> {
        let ticket = self.ticket?;
        let mut line = self.host.lock();
        if line.serving != Some(ticket) {
            return None;
        }
        self.ticket = None;
        self.host.pass(&mut line)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        // Under one lock: the turn may be passed to it until it is out of the line.
        let mut line = self.host.lock();
        let left = line.waiting.remove(&ticket);
        let next = match line.serving == Some(ticket) {
            true => self.host.pass(&mut line),
            false => None,
        };
        drop(line);
        drop(left);
        next.into_iter().for_each(Waker::wake);
    }
}

#[cfg(all(test, shuttle))]
mod models;
#[cfg(all(test, not(shuttle)))]
mod tests;
