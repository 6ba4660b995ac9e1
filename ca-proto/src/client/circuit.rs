//! One circuit, and the table of all (`tcpiiu` of EPICS Base).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddrV4;
use core::time::Duration;
use hashbrown::HashMap;

use super::flow::Flow;
use super::liveness::Liveness;
use super::types::{Action, CloseReason, Hangup, NameServerState};
use crate::config::ClientParams;
use crate::ids::{Cid, CircuitId, Slots};
use crate::status::EcaStatus;
use crate::time::Instant;
use crate::wire::message::Text;
use crate::wire::{Minor, SendQueue, tcp};

/// An orderly end that takes longer becomes an abort.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The highest version of a server that has not announced its own on the circuit, which is what the
/// reference assumes of name servers (`cac::cac`). A search reply may be somebody else's word, and all
/// servers understand a request for a whole array, only those from 4.13 on one for zero elements.
const UNANNOUNCED: Minor = Minor(11);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Being connected until the deadline.
    Dialing(Instant),
    Ready,
    /// Ending, by abort from the deadline on; its channels are gone and its key is free.
    Closing(Option<Instant>),
}

#[derive(Debug)]
pub(super) struct Circuit {
    pub(super) addr: SocketAddrV4,
    pub(super) priority: u8,
    pub(super) state: State,
    /// The peer's version: assumed from the search reply until it announces its own.
    pub(super) minor: Minor,
    announced: bool,
    /// It sent a message of Channel Access.
    pub(super) spoken: bool,
    /// It sent what is none.
    pub(super) foreign: bool,
    /// What it said without naming a channel, if nothing came later.
    pub(super) last_words: Option<EcaStatus>,
    /// Searches names for us; not closed with its last channel.
    pub(super) name_server: bool,
    woken: bool,
    pub(super) channels: Vec<Cid>,
    /// Channels that the server has created.
    pub(super) ready: u32,
    pub(super) queue: SendQueue,
    /// Bytes queued and not reported as sent, wherever the driver holds them.
    pub(super) unsent: usize,
    pub(super) liveness: Liveness,
    pub(super) flow: Flow,
    /// Not later than the first deadline of a channel being created; `Instant::MAX` without any.
    pub(super) create_due: Instant,
}

impl Circuit {
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// True if requests can be made and updates count.
    pub(super) fn is_live(&self) -> bool {
        self.is_ready() && !self.liveness.is_unresponsive()
    }

    /// True if names may be searched over it: only after the server announced 4.12
    /// (`SearchDestTCP::searchRequest`).
    pub(super) fn is_searchable(&self) -> bool {
        self.name_server && self.announced && self.minor.has_tcp_search() && self.is_live()
    }

    /// Whether names can be searched over it, or why not.
    pub(super) fn search_state(&self) -> NameServerState {
        match self.state {
            State::Ready if self.liveness.is_unresponsive() => NameServerState::Unresponsive,
            State::Ready if !self.announced => NameServerState::Connecting,
            State::Ready if !self.minor.has_tcp_search() => NameServerState::TooOld(self.minor),
            State::Ready => NameServerState::Asked,
            State::Dialing(_) | State::Closing(_) => NameServerState::Connecting,
        }
    }

    /// Why it is gone, by what the driver saw and what the peer had said.
    pub(super) const fn explained(&self, why: CloseReason) -> CloseReason {
        match (why, self.last_words) {
            (CloseReason::Violation, _) if self.foreign => CloseReason::NotChannelAccess,
            (CloseReason::Eof | CloseReason::Reset, Some(status)) => CloseReason::Said(status),
            _ => why,
        }
    }

    /// The server's own word about its version replaces what was assumed (`cac::versionAction`).
    pub(super) const fn announce(&mut self, minor: Minor) {
        self.minor = minor;
        self.announced = true;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Dialing(deadline) => Some(deadline),
            State::Closing(deadline) => deadline,
            State::Ready => {
                let create = (self.create_due != Instant::MAX).then_some(self.create_due);
                self.liveness.poll_timeout().into_iter().chain(create).min()
            }
        }
    }
}

/// All circuits, with what they want from the driver.
#[derive(Debug)]
pub(super) struct Circuits {
    slots: Slots<CircuitId, Circuit>,
    /// Open circuits by server, one per priority.
    directory: HashMap<SocketAddrV4, Vec<CircuitId>>,
    woken: VecDeque<CircuitId>,
    actions: VecDeque<Action>,
    /// Not later than the first deadline of any circuit; `Instant::MAX` without any.
    pub(super) due: Instant,
}

impl Circuits {
    pub(super) fn new() -> Self {
        Self {
            slots: Slots::new(),
            directory: HashMap::new(),
            woken: VecDeque::new(),
            actions: VecDeque::new(),
            due: Instant::MAX,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// The open circuit with this key.
    pub(super) fn find(&self, addr: SocketAddrV4, priority: u8) -> Option<CircuitId> {
        let of_priority = |&&c: &&CircuitId| self.get(c).is_some_and(|x| x.priority == priority);
        self.directory.get(&addr)?.iter().find(of_priority).copied()
    }

    /// The open circuits to a server, oldest first.
    pub(super) fn to_server(&self, addr: SocketAddrV4) -> &[CircuitId] {
        self.directory.get(&addr).map_or(&[], Vec::as_slice)
    }

    /// Makes a circuit with its first messages and asks for the connection; the limit that it would
    /// exceed when there are too many. The names of user and host are sent whatever version is assumed
    /// (defect 10.7): servers
    /// below 4.1, which ignore them, are extinct.
    pub(super) fn open(
        &mut self,
        now: Instant,
        params: &ClientParams,
        addr: SocketAddrV4,
        priority: u8,
        minor: Minor,
    ) -> Result<CircuitId, &'static str> {
        if self.slots.len() >= params.max_circuits {
            return Err("max_circuits");
        }
        // Counted only when it can matter.
        if self.slots.len() >= params.max_dials && self.dialing() >= params.max_dials {
            return Err("max_dials");
        }
        let mut queue = SendQueue::new();
        let version = tcp::Request::Version {
            priority: u16::from(priority),
            minor: Minor::CURRENT,
            sequence: 0,
        };
        version.encode(&mut queue);
        let name = Text::new(params.user.as_bytes());
        tcp::Request::ClientName { name }.encode(&mut queue);
        let name = Text::new(params.host.as_bytes());
        tcp::Request::HostName { name }.encode(&mut queue);
        let circuit = Circuit {
            addr,
            priority,
            state: State::Dialing(now + params.connect_timeout),
            minor: minor.min(UNANNOUNCED),
            announced: false,
            spoken: false,
            foreign: false,
            last_words: None,
            name_server: false,
            woken: false,
            channels: Vec::new(),
            ready: 0,
            unsent: queue.len(),
            queue,
            liveness: Liveness::new(now, params.connection_timeout, params.echo_timeout),
            flow: Flow::default(),
            create_due: Instant::MAX,
        };
        let c = self.slots.insert(circuit).map_err(|_| "max_circuits")?;
        self.directory.entry(addr).or_default().push(c);
        self.actions.push_back(Action::Dial { circuit: c, addr });
        self.refresh(c);
        Ok(c)
    }

    /// Gives a connection that is being made another deadline.
    pub(super) fn dial_until(&mut self, c: CircuitId, deadline: Instant) {
        if let Some(circuit) = self.slots.get_mut(c)
            && let State::Dialing(until) = &mut circuit.state
        {
            *until = deadline;
        }
        self.refresh(c);
    }

    fn dialing(&self) -> usize {
        let all = self.slots.iter();
        all.filter(|(_, circuit)| matches!(circuit.state, State::Dialing(_)))
            .count()
    }

    pub(super) fn get(&self, c: CircuitId) -> Option<&Circuit> {
        self.slots.get(c)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (CircuitId, &Circuit)> {
        self.slots.iter()
    }

    /// After changes that can bring a deadline forward call [`refresh`](Self::refresh).
    pub(super) fn get_mut(&mut self, c: CircuitId) -> Option<&mut Circuit> {
        self.slots.get_mut(c)
    }

    /// Queues output and wakes the circuit's driver.
    // hot: in line, so that a header is made in registers.
    #[inline(always)]
    pub(super) fn send(&mut self, now: Instant, c: CircuitId, write: impl FnOnce(&mut SendQueue)) {
        let Some(circuit) = self.slots.get_mut(c) else {
            return;
        };
        // hot: one look at the table for all of it.
        let before = circuit.queue.len();
        write(&mut circuit.queue);
        let idle = circuit.unsent == 0;
        circuit.unsent += circuit.queue.len() - before;
        if idle && circuit.is_ready() {
            // Its other deadlines have not moved.
            self.due = self.due.min(circuit.liveness.started_sending(now));
        }
        if !circuit.woken && !matches!(circuit.state, State::Dialing(_)) {
            circuit.woken = true;
            self.woken.push_back(c);
        }
    }

    /// Queues output behind what the driver is already at work on, so that neither it nor the clock is
    /// needed; false if there is none.
    #[inline]
    pub(super) fn send_behind(&mut self, c: CircuitId, write: impl FnOnce(&mut SendQueue)) -> bool {
        let busy = |circuit: &&mut Circuit| circuit.unsent > 0;
        let Some(circuit) = self.slots.get_mut(c).filter(busy) else {
            return false;
        };
        let before = circuit.queue.len();
        write(&mut circuit.queue);
        circuit.unsent += circuit.queue.len() - before;
        true
    }

    /// Output that was taken for sent was not.
    pub(super) fn put_back(&mut self, now: Instant, c: CircuitId, bytes: usize) {
        let Some(circuit) = self.slots.get_mut(c).filter(|_| bytes > 0) else {
            return;
        };
        let idle = circuit.unsent == 0;
        circuit.unsent += bytes;
        if idle && circuit.is_ready() {
            self.due = self.due.min(circuit.liveness.started_sending(now));
        }
    }

    pub(super) fn wake(&mut self, c: CircuitId) {
        if let Some(circuit) = self.slots.get_mut(c)
            && !matches!(circuit.state, State::Dialing(_))
            && !core::mem::replace(&mut circuit.woken, true)
        {
            self.woken.push_back(c);
        }
    }

    pub(super) fn pop_woken(&mut self) -> Option<CircuitId> {
        loop {
            let c = self.woken.pop_front()?;
            if let Some(circuit) = self.slots.get_mut(c) {
                circuit.woken = false;
                return Some(c);
            }
        }
    }

    pub(super) fn pop_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Brings the common deadline forward if this circuit needs it.
    pub(super) fn refresh(&mut self, c: CircuitId) {
        if let Some(at) = self.get(c).and_then(Circuit::poll_timeout) {
            self.due = self.due.min(at);
        }
    }

    /// The circuits whose deadline has come; costs nothing before the first one has. Afterwards the
    /// caller handles them and calls [`settle`](Self::settle).
    pub(super) fn take_due(&self, now: Instant) -> Vec<CircuitId> {
        if self.due > now {
            return Vec::new();
        }
        let is_due = |circuit: &Circuit| circuit.poll_timeout().is_some_and(|at| at <= now);
        let due = self.slots.iter().filter(|(_, circuit)| is_due(circuit));
        due.map(|(c, _)| c).collect()
    }

    /// Finds the next deadline once those that came were handled.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.due <= now {
            let next = self.slots.iter().filter_map(|(_, x)| x.poll_timeout());
            self.due = next.min().unwrap_or(Instant::MAX);
        }
    }

    /// Asks the driver to close a circuit whose channels are gone. Its key is free at once; its
    /// identifier when the driver has reported the end.
    pub(super) fn hang_up(&mut self, now: Instant, c: CircuitId, how: Hangup) {
        self.unlist(c);
        let Some(circuit) = self.slots.get_mut(c) else {
            return;
        };
        // A connection that does not exist yet has nothing to say.
        let how = match circuit.state {
            State::Dialing(_) => Hangup::Abort,
            _ => how,
        };
        circuit.state = State::Closing(match how {
            Hangup::Orderly => Some(now + CLOSE_TIMEOUT),
            Hangup::Abort => None,
        });
        self.actions.push_back(Action::Hangup { circuit: c, how });
        self.refresh(c);
    }

    /// Forgets a circuit.
    pub(super) fn remove(&mut self, c: CircuitId) -> Option<Circuit> {
        self.unlist(c);
        let removed = self.slots.remove(c);
        if self.slots.is_empty() {
            self.due = Instant::MAX;
        }
        removed
    }

    /// Open circuits in order of their identifiers' index.
    pub(super) fn keys(&self) -> Vec<CircuitId> {
        self.slots.keys().collect()
    }

    fn unlist(&mut self, c: CircuitId) {
        let Some(circuit) = self.slots.get(c) else {
            return;
        };
        let addr = circuit.addr;
        if let Some(list) = self.directory.get_mut(&addr) {
            list.retain(|&other| other != c);
            if list.is_empty() {
                self.directory.remove(&addr);
            }
        }
    }
}
