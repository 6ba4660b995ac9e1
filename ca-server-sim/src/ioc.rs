//! The IOC as one state machine without I/O.

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ca_proto::config::ServerParams;
use ca_proto::ids::{CircuitId, Slots};
use ca_proto::server::{
    Account, Circuit, CircuitStats, Endpoint, EndpointStats, Limit, Turn, Violation,
};
use ca_proto::wire::{Deframer, FrameLimits, SendQueue};
use ca_proto::{Alarm, Instant, Timestamp};
use hashbrown::HashMap;

use crate::ahead::MANY;
use crate::builder::IocBuilder;
use crate::db::{Clock, Db, Node, PvHandle};
use crate::faults::{Faults, Harm};
use crate::limits::MetLimits;
use crate::process::Function;
use crate::publish::{Backlog, SLICE};
use crate::question::Observer;
use crate::reads::Source;
use crate::scan::Scans;

/// Units of work ([`Turn`]) that are done before others have their turn: some tenths of a millisecond.
pub(crate) const TURN: usize = 4096;

/// A simulated IOC: PVs, name search, beacons and any number of circuits, without sockets or clock.
///
/// A driver passes in datagrams, frames and the time, and takes out datagrams, the bytes of each
/// circuit and the next deadline. Everything that comes out follows from the seed, the times and the
/// bytes that went in.
///
/// ```text
///   handle_datagram ─► poll_transmit                 datagrams
///   accept, handle_chunk, handle_closed ─► transmit  circuits; poll_woken names those with output
///   handle_timeout ◄─ poll_timeout                   signals, completions, beacons
/// ```
///
/// After a circuit's frames were handled, and for each circuit that [`poll_woken`](Self::poll_woken)
/// names, the driver sends what [`transmit`](Self::transmit) gives.
///
/// # Examples
/// What a program does with its PVs, at any time and while clients are connected:
/// ```
/// use ca_proto::access::AccessRights;
/// use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Instant};
/// use ca_server_sim::{Completion, Ioc, PvSpec};
///
/// let mut ioc = Ioc::builder().pv("gap", PvSpec::double(1.5).alarm(f64::NAN, 10.0)).build()?;
/// let now = Instant::ZERO;
/// ioc.post(now, "gap", 12.0)?; // processes: alarm, time stamp, updates
/// assert_eq!(ioc.number("gap")?, 12.0);
/// assert_eq!(ioc.read("gap")?.alarm.severity, AlarmSeverity::MAJOR);
/// ioc.post(now, "gap.HIHI", 20.0)?; // fields too
/// assert_eq!(ioc.read("gap")?.alarm.severity, AlarmSeverity::NO_ALARM);
/// ioc.set_alarm(now, "gap", Alarm::new(AlarmStatus::COMM, AlarmSeverity::INVALID))?;
/// ioc.set_rights(now, "gap", AccessRights::READ)?; // clients are told
///
/// let shutter = ioc.add(now, "shutter", PvSpec::enumeration(["Closed", "Open"], 0))?;
/// ioc.set_completion(shutter, Completion::Never)?; // puts wait ...
/// ioc.finish_put(now, shutter, EcaStatus::NORMAL)?; // ... until the program ends them
/// ioc.replace(now, "gap", PvSpec::long(7))?; // with another type, as after a restart
/// assert!(ioc.remove(now, shutter));
/// assert_eq!(ioc.pv_names().collect::<Vec<_>>(), ["gap"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Ioc {
    pub(crate) params: Arc<ServerParams>,
    pub(crate) seed: u64,
    pub(crate) db: Db,
    pub(crate) scans: Scans,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) circuits: Slots<CircuitId, Connection>,
    /// What there is of each peer address; only ever asked for one address, so its order does not
    /// matter.
    hosts: HashMap<Ipv4Addr, Host>,
    /// Circuits with output; each at most once, see [`Connection::woken`].
    pub(crate) woken: VecDeque<CircuitId>,
    /// The updates of some circuit fill its queue for the first time since it was transmitted, or
    /// there were as many as one turn may cause.
    pub(crate) pressed: bool,
    /// When it was last looked for idle circuits.
    pub(crate) looked: Instant,
    /// Index of the next circuit to be looked at, if that is under way.
    pub(crate) looking: Option<usize>,
    /// Subscribers that are still to be told.
    pub(crate) backlog: Backlog,
    /// Circuits with something left to do; each at most once, see [`Connection::unsettled`].
    pub(crate) unsettled: VecDeque<CircuitId>,
    /// What is left of circuits that are gone. They count as circuits until nothing is.
    pub(crate) closing: VecDeque<Box<Closing>>,
    /// When something was last done.
    pub(crate) last: Instant,
    pub(crate) limits: MetLimits,
    /// The circuit whose put has set the chain in motion that is being processed.
    pub(crate) wrote: Option<CircuitId>,
    /// Inputs of access security that were posted, and those whose values are to be read.
    pub(crate) heard_inputs: Vec<u32>,
    pub(crate) told_inputs: Vec<u32>,
    pub(crate) left_inputs: crate::access::LeftInputs,
    /// A driver does what links to PVs of other IOCs want.
    pub(crate) linked: bool,
    /// Faults that are on, or were.
    pub(crate) faults: Option<Box<Faults>>,
    /// By how many nanoseconds time stamps are wrong.
    pub(crate) clock_off: i64,
    /// TCP port and number of interfaces of the last start.
    pub(crate) started: (u16, usize),
    /// What is odd about the files that records are from.
    pub(crate) remarks: Option<Box<crate::load::Mistakes>>,
    /// Who is told of values of records.
    pub(crate) observer: Option<Observer>,
    /// Functions of records, until the records are there.
    pub(crate) functions: Vec<(String, Function)>,
    /// Circuits that wait for the program's answer to a put, and until when.
    pub(crate) held: BTreeSet<(Instant, CircuitId)>,
    /// By which a snapshot knows that it is of this IOC.
    pub(crate) identity: Option<Arc<()>>,
    /// The snapshot that consoles and control sockets go back to.
    pub(crate) kept: Option<crate::state::IocSnapshot>,
    /// What it was when it was loaded.
    pub(crate) first: crate::state::First,
}

/// Entries in the tables of an [`Ioc`] that exist for its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Open circuits.
    pub circuits: usize,
    /// Channels open on PVs and their fields.
    pub channels: usize,
    /// Subscriptions on PVs and their fields.
    pub subscriptions: usize,
    /// PVs that are busy with a write with completion.
    pub puts: usize,
}

/// What there is of one peer address.
#[derive(Debug)]
struct Host {
    circuits: usize,
    account: Arc<Account>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub circuit: Circuit,
    host: Ipv4Addr,
    pub woken: bool,
    /// Messages either way when it was last looked whether the circuit is idle.
    pub seen: u64,
    /// The queue has not been full since it was last transmitted.
    pub fresh: bool,
    /// The circuit cannot go on; the driver is to send what is queued and close it.
    pub broken: bool,
    /// Until when the client may take to announce its version; `None` once it has.
    pub silent_until: Option<Instant>,
    /// It is in the list of those with something left to do.
    pub unsettled: bool,
    /// It waits for the program's answer to a put, or for a value that the program makes, at most until then.
    pub held: Option<Instant>,
    /// What it waits to read.
    pub reads: Option<Source>,
    /// It has waited for what its next request reads.
    pub has_waited: bool,
    /// Faults look at what it says.
    pub harm: Option<Box<Harm>>,
}

/// What is left of a circuit that is gone: its identifier is unknown already.
#[derive(Debug)]
pub(crate) struct Closing {
    id: CircuitId,
    circuit: Circuit,
    pub host: Ipv4Addr,
}

impl Closing {
    /// True if nothing is left.
    pub(crate) fn go_on(&mut self, now: Instant, db: &mut Db, turn: &mut Turn) -> bool {
        self.circuit.close_in_turns(turn, db) && db.forget_circuit(now, self.id, turn)
    }
}

impl Ioc {
    /// Begins the description of an IOC.
    pub fn builder() -> IocBuilder {
        IocBuilder::new()
    }

    pub(crate) fn empty() -> Self {
        Self {
            params: Arc::default(),
            seed: 0,
            db: Db::default(),
            scans: Scans::default(),
            endpoints: Vec::new(),
            circuits: Slots::new(),
            hosts: HashMap::new(),
            woken: VecDeque::new(),
            pressed: false,
            looked: Instant::ZERO,
            looking: None,
            backlog: Backlog::default(),
            unsettled: VecDeque::new(),
            closing: VecDeque::new(),
            last: Instant::ZERO,
            limits: MetLimits::default(),
            wrote: None,
            heard_inputs: Vec::new(),
            told_inputs: Vec::new(),
            left_inputs: Vec::new(),
            linked: false,
            faults: None,
            clock_off: 0,
            started: (0, 1),
            remarks: None,
            observer: None,
            functions: Vec::new(),
            held: BTreeSet::new(),
            identity: None,
            kept: None,
            first: crate::state::First::default(),
        }
    }

    pub(crate) fn with_params(mut self, params: ServerParams) -> Self {
        self.params = Arc::new(params);
        self
    }

    /// Limits and ports of the server.
    pub fn params(&self) -> &ServerParams {
        &self.params
    }

    /// Replaces limits and ports; counts from the next [`start`](Self::start).
    pub fn set_params(&mut self, params: ServerParams) {
        self.params = Arc::new(params);
    }

    /// Starts, or starts again: search replies announce `tcp_port`, beacons and signals begin, every
    /// PV is processed once. `wall` is the time stamp that belongs to `now`. Circuits that are still
    /// open end; the driver closes their connections.
    pub fn start(&mut self, now: Instant, wall: Timestamp, tcp_port: u16) {
        self.start_interfaces(now, wall, tcp_port, 1);
    }

    /// Like [`start`](Self::start) for a server with several UDP sockets, one for each interface.
    /// Beacons leave through the first.
    pub fn start_interfaces(
        &mut self,
        now: Instant,
        wall: Timestamp,
        tcp_port: u16,
        interfaces: usize,
    ) {
        self.stop(now);
        self.keep_first();
        self.started = (tcp_port, interfaces);
        self.renew_endpoints(now);
        self.set_wall(now, wall);
        self.process_all(now);
    }

    /// All begins: signals, and what is processed at the start.
    pub(crate) fn process_all(&mut self, now: Instant) {
        self.scans.start(self.db.time.of(now));
        let defined = |(handle, record): (PvHandle, &crate::plain::Record)| {
            (!record.undefined).then_some(handle)
        };
        let handles: Vec<PvHandle> = self.db.records().filter_map(defined).collect();
        for handle in handles {
            self.db.process(now, handle, None, Alarm::NONE);
        }
        self.start_records(now);
        self.inputs_stale();
        if self.resets() > 0 {
            // Nobody asks for it at the second start.
            for line in self.take_restored() {
                self.limits.tell(line);
            }
        }
        self.settle(now);
    }

    /// Beacons and search as at the start.
    pub(crate) fn renew_endpoints(&mut self, now: Instant) {
        let (tcp_port, interfaces) = self.started;
        let silent = Arc::new((*self.params).clone().beacon_addrs(Vec::new()));
        let endpoint = |index| {
            let params = if index == 0 { &self.params } else { &silent };
            Endpoint::new(Arc::clone(params), tcp_port, now)
        };
        self.endpoints = (0..interfaces.max(1)).map(endpoint).collect();
    }

    /// Ends all circuits, the search and the beacons, as when the process is killed: nothing more is
    /// said to anyone. The values of the PVs stay.
    pub fn stop(&mut self, now: Instant) {
        self.endpoints.clear();
        self.scans.stop();
        let circuits: Vec<CircuitId> = self.circuits.keys().collect();
        let mut turn = Turn::new(TURN);
        for circuit in circuits {
            self.end(now, circuit, &mut turn);
        }
        self.settle(now);
        self.woken.clear();
        self.limits.stop();
    }

    /// True between [`start`](Self::start) and [`stop`](Self::stop).
    pub fn is_running(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// Says anew which time stamp belongs to `now`, should the clocks have drifted apart.
    pub fn set_wall(&mut self, now: Instant, wall: Timestamp) {
        self.db.clock = Clock::new(now, self.shifted_wall(wall));
    }

    /// Takes a datagram from the (first) UDP socket.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddrV4, data: &[u8]) {
        self.handle_datagram_on(0, now, from, data);
    }

    /// Takes a datagram from the UDP socket of the given interface.
    pub fn handle_datagram_on(
        &mut self,
        interface: usize,
        now: Instant,
        from: SocketAddrV4,
        data: &[u8],
    ) {
        if self.faults.is_some() {
            if self.is_down() {
                return;
            }
            self.answer_as_twin(from, data);
        }
        if let Some(endpoint) = self.endpoints.get_mut(interface) {
            endpoint.handle_datagram(now, from, data, &self.db);
            if let Some(limit) = endpoint.take_limit() {
                self.met(now, limit, from);
            }
        }
    }

    /// Writes the next datagram of the (first) UDP socket into `buf`, which is cleared first, and
    /// returns its destination.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<SocketAddrV4> {
        self.poll_transmit_on(0, now, buf)
    }

    /// Like [`poll_transmit`](Self::poll_transmit) for the UDP socket of the given interface.
    pub fn poll_transmit_on(
        &mut self,
        interface: usize,
        now: Instant,
        buf: &mut Vec<u8>,
    ) -> Option<SocketAddrV4> {
        if self.faults.is_none() {
            return self.endpoints.get_mut(interface)?.poll_transmit(now, buf);
        }
        while !self.is_down() {
            match self.endpoints.get_mut(interface)?.poll_transmit(now, buf) {
                Some(to) if !self.is_silenced(buf) => return Some(to),
                Some(_) => {}
                None => break,
            }
        }
        // Behind the others: the first answer to a search is the true one.
        let faults = self.faults.as_mut().filter(|_| interface == 0)?;
        let (to, datagram) = faults.datagrams.pop_front()?;
        buf.clear();
        buf.extend_from_slice(&datagram);
        Some(to)
    }

    /// A new circuit for a connection from `peer`; `None` if the IOC is not running or has as many
    /// circuits as it may, in all or from this host: the driver sends
    /// [`refusal`](Self::refusal) as far as it can at once, and closes the connection.
    pub fn accept(&mut self, now: Instant, peer: SocketAddrV4) -> Option<CircuitId> {
        let host = *peer.ip();
        if !self.is_running() || self.is_refused(peer) {
            return None;
        }
        let (from_host, account) = match self.admit(host) {
            Ok(admitted) => admitted,
            Err(limit) => {
                self.met(now, limit, peer);
                return None;
            }
        };
        let silent_until = now + self.params.version_timeout;
        let params = &self.params;
        let id = self.circuits.insert_with(|id| Connection {
            circuit: Circuit::with_account(Arc::clone(params), id, peer, account, now),
            host,
            woken: false,
            seen: 0,
            fresh: true,
            broken: false,
            silent_until: Some(silent_until),
            unsettled: false,
            held: None,
            reads: None,
            has_waited: false,
            harm: None,
        });
        let id = id.ok()?;
        let from_host = self.hosts.entry(host).or_insert(from_host);
        from_host.circuits += 1;
        self.limits.greet(id, silent_until);
        if self
            .faults
            .as_ref()
            .is_some_and(|faults| faults.harms_links())
        {
            self.arm_links();
            self.mark_links();
        }
        self.wake(id);
        Some(id)
    }

    /// The account of an address, and that of a new circuit from there.
    fn admit(&self, host: Ipv4Addr) -> Result<(Host, Arc<Account>), Limit> {
        let known = self.hosts.get(&host);
        let circuits = known.map_or(0, |host| host.circuits);
        if self.circuits.len() + self.closing.len() >= self.params.max_circuits {
            return Err(Limit::Circuits);
        }
        if circuits >= self.params.max_circuits_per_host {
            return Err(Limit::CircuitsPerHost);
        }
        let account = match known {
            Some(host) => Arc::clone(&host.account),
            None => Account::of_host(&self.params),
        };
        let of_circuit = Account::of_circuit(&self.params, &account)?;
        Ok((Host { circuits, account }, of_circuit))
    }

    /// Bytes that the circuits of an address make the IOC hold, as they are charged. What a driver
    /// still sends counts.
    pub fn held_by(&self, host: Ipv4Addr) -> usize {
        self.hosts.get(&host).map_or(0, |host| host.account.used())
    }

    /// The bytes for a connection that [`accept`](Self::accept) has refused: an error that the
    /// client shows to its user. Empty if the IOC is not running.
    pub fn refusal(&self, peer: SocketAddrV4) -> Vec<u8> {
        if !self.is_running() || self.is_refused(peer) {
            return Vec::new();
        }
        let limit = self.admit(*peer.ip()).err();
        limit.map(Circuit::refusal).unwrap_or_default()
    }

    /// What the deframer of a circuit may accept; to be asked again after each frame.
    pub fn limits(&self, circuit: CircuitId) -> FrameLimits {
        match self.circuits.get(circuit) {
            Some(connection) => connection.circuit.limits(),
            None => FrameLimits {
                max_payload: 0,
                extended: false,
            },
        }
    }

    /// Handles a received chunk: its frames one after the other, as long as their replies find room
    /// ([`is_readable`](Self::is_readable)). It stops when the updates that the chunk causes have filled the
    /// queue of a circuit, so that its driver can send them before more take their place: once until
    /// that circuit is [transmitted](Self::transmit), so a client that does not read holds nobody up.
    /// It also stops when a turn is over ([`work`](Self::work)), or what it asked before is not yet done:
    /// then others have their turn.
    ///
    /// Returns the bytes of the chunk that were handled; the driver keeps the rest, lets the woken
    /// circuits send, and hands it in when the circuit is readable; at once, and even if there is no rest,
    /// while the IOC [`is_pressed`](Self::is_pressed).
    ///
    /// # Errors
    /// [`Violation`] if the circuit has to be closed: the driver sends what
    /// [`transmit`](Self::transmit) gives, closes, and calls [`handle_closed`](Self::handle_closed). Frames
    /// behind the violation are dropped.
    pub fn handle_chunk(
        &mut self,
        now: Instant,
        circuit: CircuitId,
        deframer: &mut Deframer,
        chunk: &[u8],
    ) -> Result<usize, Violation> {
        self.pressed = false;
        if self.is_deaf(circuit) {
            return Ok(chunk.len());
        }
        let handled = self.handle_turn(now, circuit, deframer, chunk);
        // Deleted channels: it goes on by itself.
        self.pressed |= (self.circuit(circuit))
            .is_some_and(|circuit| circuit.has_room() && !circuit.is_readable());
        handled
    }

    /// Whether the last [`handle_chunk`](Self::handle_chunk) stopped so that others have their turn: its
    /// driver yields, and hands in what is left.
    pub const fn is_pressed(&self) -> bool {
        self.pressed
    }

    fn handle_turn(
        &mut self,
        now: Instant,
        circuit: CircuitId,
        deframer: &mut Deframer,
        chunk: &[u8],
    ) -> Result<usize, Violation> {
        self.last = now;
        self.db.now = now;
        let mut turn = Turn::new(TURN);
        let mut frames = deframer.frames(chunk);
        let channels = |c: &Connection| c.circuit.channel_count();
        let many = self.circuits.get(circuit).map_or(0, channels) >= MANY;
        // Requests that were looked ahead at.
        let mut ahead = if many { 0 } else { usize::MAX };
        while self.is_readable(circuit) && !self.pressed {
            if turn.is_over() || self.must_wait(circuit, frames.rest()) {
                self.pressed = true;
                break;
            }
            if self.db.tells_reads() {
                if self.waits_to_read(now, circuit, frames.next_header()) {
                    break;
                }
                ahead = 1;
            }
            if ahead == 0 {
                ahead = self.look_ahead(circuit, frames.rest()).max(1);
            }
            let Some(connection) = self.circuits.get_mut(circuit) else {
                break;
            };
            // hot: frames that concern nobody else follow each other without more ado.
            let result = loop {
                if ahead == 0 {
                    break Some(Ok(()));
                }
                ahead -= 1;
                frames.set_limits(connection.circuit.limits());
                let next = frames.next();
                let Some(frame) = &next else {
                    break None;
                };
                if let (Some(harm), Ok(frame)) = (&mut connection.harm, frame) {
                    harm.request(&frame.header, frame.payload());
                }
                let result = connection.circuit.handle_frame(now, frame, &mut self.db);
                let circuit = &mut connection.circuit;
                turn.spend(1 + circuit.take_spent());
                let alone = !self.db.has_news() && !self.db.is_asking() && !circuit.has_met_limit();
                if result.is_err() || !alone || turn.is_over() || !circuit.is_readable() {
                    break Some(result);
                }
            };
            connection.broken |= matches!(result, Some(Err(_)));
            let is_asking = self.db.is_asking();
            if connection.silent_until.is_some() || connection.circuit.has_met_limit() {
                self.check_limits(now, circuit);
            }
            self.note_work(circuit);
            if is_asking {
                self.hold_back(now, circuit);
            }
            if self.db.served.as_ref().is_some_and(|served| served.wrote) {
                self.wrote = Some(circuit);
            }
            if self.db.has_news() {
                let mut settling = Turn::new(turn.left().clamp(SLICE, TURN));
                let before = settling.left();
                self.settle_in(now, &mut settling);
                turn.spend(before - settling.left());
            }
            self.wake(circuit);
            match result {
                Some(result) => result?,
                None => break,
            }
        }
        let handled = chunk.len() - frames.remaining();
        self.join_memory(TURN - turn.left());
        self.hold_input(now, circuit, deframer);
        Ok(handled)
    }

    /// A put whose PV is still telling its subscribers of an earlier one waits, so that none is left out;
    /// other requests go on.
    ///
    /// A put to a record waits while a chain of records is being processed, and until all is told that they
    /// have posted; and whoever put waits with everything until what it has set in motion is done.
    fn must_wait(&self, circuit: CircuitId, rest: &[u8]) -> bool {
        let served = self.db.served.as_ref();
        let occupied = served.is_some_and(|served| served.is_occupied());
        if occupied && self.wrote == Some(circuit) && served.is_some_and(|served| served.wrote) {
            return true;
        }
        if self.backlog.is_empty() && !occupied {
            return false;
        }
        let pv = (self.circuit(circuit)).and_then(|circuit| circuit.next_write(rest));
        pv.is_some_and(|pv| match self.db.target(pv) {
            Some((record, ..)) => self.backlog.has(record),
            None => occupied && self.db.field(pv).is_some(),
        })
    }

    /// False while the replies of a circuit do not drain, and while it waits for the program's answer to a put:
    /// the driver stops reading from it.
    pub fn is_readable(&self, circuit: CircuitId) -> bool {
        let connection = self.circuits.get(circuit);
        connection.is_some_and(|it| it.held.is_none() && it.circuit.is_readable())
    }

    /// True if the driver has to close the circuit once its output is sent: it violated the
    /// protocol, cannot be told that a PV is gone, or does not exist any more.
    pub fn is_broken(&self, circuit: CircuitId) -> bool {
        self.circuits.get(circuit).is_none_or(|c| c.broken)
    }

    /// What is to be sent on a circuit now; `None` if the circuit is gone. Call again when it has
    /// drained, as updates wait until there is room.
    pub fn transmit(&mut self, circuit: CircuitId) -> Option<&mut SendQueue> {
        let connection = self.circuits.get_mut(circuit)?;
        connection.woken = false;
        connection.fresh = true;
        connection.circuit.transmit_some(&self.db);
        connection.broken |= connection.circuit.is_broken();
        if !connection.unsettled && !connection.circuit.is_settled() {
            connection.unsettled = true;
            self.unsettled.push_back(circuit);
        }
        if connection.circuit.is_starved() {
            let (limit, peer) = connection.circuit.starved_by();
            self.limits.starve(self.last, circuit);
            self.limits.met(self.last, limit, peer, &self.params);
        }
        Some(match connection.harm.is_some() {
            true => connection.harmed(self.last, self.faults.as_deref_mut()),
            false => connection.circuit.queue_mut(),
        })
    }

    /// A circuit that has got output since it was last named or [transmitted](Self::transmit).
    pub fn poll_woken(&mut self) -> Option<CircuitId> {
        loop {
            let id = self.woken.pop_front()?;
            // Those that were transmitted meanwhile have been served.
            if let Some(connection) = self.circuits.get_mut(id)
                && std::mem::take(&mut connection.woken)
            {
                return Some(id);
            }
        }
    }

    pub(crate) fn wake(&mut self, id: CircuitId) {
        if let Some(connection) = self.circuits.get_mut(id)
            && !connection.woken
            && (connection.broken
                || connection.circuit.has_output()
                || connection
                    .harm
                    .as_ref()
                    .is_some_and(|harm| harm.has_output()))
        {
            connection.woken = true;
            self.woken.push_back(id);
        }
    }

    /// Forgets a circuit whose connection is gone.
    /// What is left of very many channels, subscriptions and puts is cleared away by and by; as long as
    /// that takes, the circuit counts.
    pub fn handle_closed(&mut self, now: Instant, circuit: CircuitId) {
        self.last = now;
        let mut turn = Turn::new(TURN / 2);
        self.end(now, circuit, &mut turn);
        self.settle(now);
        self.join_memory(TURN / 2 - turn.left());
    }

    fn end(&mut self, now: Instant, id: CircuitId, turn: &mut Turn) {
        let Some(connection) = self.circuits.remove(id) else {
            return;
        };
        self.limits.forget(id, connection.silent_until);
        if let Some(until) = connection.held {
            self.held.remove(&(until, id));
        }
        if let Some(source) = connection.reads {
            self.db.forget_reader(source, id);
        }
        let Connection { circuit, host, .. } = connection;
        let mut closing = Closing { id, circuit, host };
        match closing.go_on(now, &mut self.db, turn) {
            true => self.leave(host),
            false => self.closing.push_back(Box::new(closing)),
        }
    }

    /// A host has one circuit less.
    pub(crate) fn leave(&mut self, host: Ipv4Addr) {
        if let Some(count) = self.hosts.get_mut(&host) {
            count.circuits -= 1;
            if count.circuits == 0 {
                self.hosts.remove(&host);
            }
        }
    }

    /// Entries in the tables that clients fill, for tests of what is given back.
    pub fn counts(&self) -> Counts {
        let of_node = |node: &Node| match node {
            Node::Record(record) => (record.open as usize, record.subs.len()),
            // Its channels are counted with those of its record.
            Node::View(view) => (0, view.subs.len()),
            Node::Field(channel) => (channel.open as usize, channel.subs.len()),
            Node::Gone(record) => record
                .as_ref()
                .map_or((0, 0), |record| (record.open as usize, record.subs.len())),
        };
        let nodes = self.db.nodes.iter().map(|(_, node)| of_node(node));
        let (channels, subscriptions) =
            nodes.fold((0, 0), |sum, node| (sum.0 + node.0, sum.1 + node.1));
        Counts {
            circuits: self.circuits.len(),
            channels,
            subscriptions,
            puts: self.db.busy.len()
                + self.db.completed.len()
                + self.db.served.as_ref().map_or(0, |served| served.pending()),
        }
    }

    /// Open circuits, in the order of their identifiers.
    pub fn circuits(&self) -> impl Iterator<Item = CircuitId> {
        self.circuits.keys()
    }

    /// A circuit's state machine, to look at.
    pub fn circuit(&self, id: CircuitId) -> Option<&Circuit> {
        self.circuits.get(id).map(|connection| &connection.circuit)
    }

    /// Counters of a circuit.
    pub fn circuit_stats(&self, id: CircuitId) -> Option<CircuitStats> {
        self.circuit(id).map(Circuit::stats)
    }

    /// Counters of the (first) UDP socket.
    pub fn endpoint_stats(&self) -> Option<EndpointStats> {
        self.endpoints.first().map(Endpoint::stats)
    }
}
