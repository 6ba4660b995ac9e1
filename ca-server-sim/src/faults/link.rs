//! What becomes of the messages that leave on a circuit.

use std::collections::BTreeMap;

use ca_proto::Instant;
use ca_proto::rng::Pcg32;
use ca_proto::server::Circuit;
use ca_proto::wire::{Command, Header, SendQueue};
use hashbrown::HashMap;

use super::state::Active;
use super::{Fault, FaultKind, Pattern};

/// Bytes that are held back on a circuit at most; then it sends nothing more until some have left.
const MAX_HELD: usize = 1 << 20;
/// Identifiers of one kind that are remembered for a circuit; further ones belong to no PV.
const MAX_IDS: usize = 262_144;

/// The names behind the identifiers of a circuit.
#[derive(Debug, Default)]
struct Book {
    by_cid: HashMap<u32, Box<[u8]>>,
    by_sid: HashMap<u32, u32>,
    /// Reads and writes that are not answered.
    by_ioid: HashMap<u32, u32>,
    by_subid: HashMap<u32, u32>,
}

fn note<T>(map: &mut HashMap<u32, T>, id: u32, value: T) {
    if map.len() < MAX_IDS || map.contains_key(&id) {
        map.insert(id, value);
    }
}

impl Book {
    fn of(circuit: &Circuit) -> Self {
        let mut book = Self::default();
        for (cid, sid, name) in circuit.names() {
            note(&mut book.by_cid, cid.0, name.into());
            note(&mut book.by_sid, sid.0, cid.0);
        }
        for (subid, sid) in circuit.subscription_names() {
            if let Some(cid) = book.by_sid.get(&sid.0).copied() {
                note(&mut book.by_subid, subid.0, cid);
            }
        }
        book
    }

    fn request(&mut self, header: &Header, payload: &[u8]) {
        let of_sid = self.by_sid.get(&header.p1).copied();
        match (header.command, of_sid) {
            (Command::CREATE_CHAN, _) => {
                let end = payload
                    .iter()
                    .position(|b| *b == 0)
                    .unwrap_or(payload.len());
                let name = payload.get(..end).unwrap_or_default();
                note(&mut self.by_cid, header.p1, name.into());
            }
            (Command::READ_NOTIFY | Command::WRITE_NOTIFY | Command::READ, Some(cid)) => {
                note(&mut self.by_ioid, header.p2, cid);
            }
            (Command::EVENT_ADD, Some(cid)) => note(&mut self.by_subid, header.p2, cid),
            _ => {}
        }
    }

    /// The CID of the channel that a response belongs to.
    fn response(&mut self, header: &Header) -> Option<u32> {
        match header.command {
            Command::CREATE_CHAN => {
                note(&mut self.by_sid, header.p2, header.p1);
                Some(header.p1)
            }
            Command::ACCESS_RIGHTS
            | Command::CREATE_CH_FAIL
            | Command::SERVER_DISCONN
            | Command::ERROR => Some(header.p1),
            Command::CLEAR_CHANNEL => {
                let cid = header.p2;
                self.by_sid.remove(&header.p1);
                self.by_ioid.retain(|_, of| *of != cid);
                self.by_subid.retain(|_, of| *of != cid);
                Some(cid)
            }
            Command::READ_NOTIFY | Command::WRITE_NOTIFY => self.by_ioid.remove(&header.p2),
            Command::READ => Some(header.p1),
            Command::EVENT_ADD => self.by_subid.get(&header.p2).copied(),
            _ => None,
        }
    }
}

/// What is done to a message.
#[derive(Default, Debug)]
struct Verdict {
    lost: bool,
    later: std::time::Duration,
    copies: u32,
    cut: Option<u32>,
}

/// A circuit whose messages are harmed.
#[derive(Debug)]
pub(crate) struct Harm {
    book: Book,
    /// Messages that are to leave at their time, in their order.
    late: BTreeMap<(Instant, u64), Vec<u8>>,
    nth: u64,
    held: usize,
    /// When the last message of a channel leaves that is held back.
    last: HashMap<Option<u32>, Instant>,
    out: SendQueue,
    /// What a circuit that is stalled gives.
    nothing: SendQueue,
    /// The circuit was cut.
    pub ended: bool,
    pub stalled: bool,
    /// Half-open; what was lost cannot be made up for.
    pub dead: bool,
}

impl Harm {
    pub(crate) fn of(circuit: &Circuit) -> Self {
        Self {
            book: Book::of(circuit),
            late: BTreeMap::new(),
            nth: 0,
            held: 0,
            last: HashMap::new(),
            out: SendQueue::new(),
            nothing: SendQueue::new(),
            ended: false,
            stalled: false,
            dead: false,
        }
    }

    /// Takes note of a request.
    pub(crate) fn request(&mut self, header: &Header, payload: &[u8]) {
        self.book.request(header, payload);
    }

    /// Nothing is held back.
    pub(crate) fn is_idle(&self) -> bool {
        self.late.is_empty() && self.out.is_empty() && !self.stalled && !self.dead && !self.ended
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty() && !self.stalled
    }

    /// When a message leaves that is held back.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.late.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets go what is due; true if there is any.
    pub(crate) fn release(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(entry) = self.late.first_entry()
            && entry.key().0 <= now
        {
            let message = entry.remove();
            self.held -= message.len();
            self.out.put_slice(&message);
            any = true;
        }
        if self.late.is_empty() {
            self.last.clear();
        }
        any
    }

    /// Takes what a circuit has to send, as far as it may.
    pub(crate) fn pass(
        &mut self,
        now: Instant,
        queue: &mut SendQueue,
        faults: &mut BTreeMap<u32, Active>,
        is_of: impl Fn(&Fault) -> bool,
        rng: &mut Pcg32,
    ) {
        if self.dead || self.ended {
            queue.clear();
            if self.dead {
                self.out.clear();
            }
            return;
        }
        // What is not taken makes the circuit stop, as for a client that does not read.
        if self.stalled || self.held >= MAX_HELD {
            return;
        }
        let bytes = queue.to_vec();
        queue.clear();
        let mut rest = bytes.as_slice();
        while !self.ended
            && let Some((header, len)) = Header::decode(rest, true)
            && let Some((message, behind)) =
                rest.split_at_checked(len + header.payload_len as usize)
        {
            rest = behind;
            let channel = self.book.response(&header);
            let name = channel.and_then(|cid| self.book.by_cid.get(&cid));
            let verdict = judge(&header, name.map(|name| &**name), faults, &is_of, rng);
            self.message(now, channel, message, &verdict);
        }
    }

    /// What leaves now.
    pub(crate) fn leaves(&mut self) -> &mut SendQueue {
        match self.stalled {
            true => &mut self.nothing,
            false => &mut self.out,
        }
    }

    fn message(&mut self, now: Instant, channel: Option<u32>, message: &[u8], verdict: &Verdict) {
        if let Some(bytes) = verdict.cut {
            let part = message.get(..bytes as usize).unwrap_or(message);
            self.out.put_slice(part);
            self.ended = true;
            return;
        }
        if verdict.lost {
            return;
        }
        let before = self.last.get(&channel).copied();
        let due = (now + verdict.later).max(before.unwrap_or(now));
        for _ in 0..=verdict.copies {
            if due <= now {
                self.out.put_slice(message);
                continue;
            }
            self.nth += 1;
            self.held += message.len();
            self.late.insert((due, self.nth), message.to_vec());
            self.last.insert(channel, due);
        }
    }
}

fn judge(
    header: &Header,
    name: Option<&[u8]>,
    faults: &mut BTreeMap<u32, Active>,
    is_of: &impl Fn(&Fault) -> bool,
    rng: &mut Pcg32,
) -> Verdict {
    let mut verdict = Verdict::default();
    for active in faults.values_mut() {
        let fault = &active.fault;
        if !fault.kind.is_of_messages()
            || !concerns(fault, header.command)
            || !about(fault.pv.as_ref(), name)
            || !is_of(fault)
        {
            continue;
        }
        active.matched += 1;
        if active.matched <= fault.after
            || fault.times.is_some_and(|times| active.harmed >= times)
            || (fault.probability < 1.0 && rng.f64() >= fault.probability)
        {
            continue;
        }
        active.harmed += 1;
        match fault.kind {
            FaultKind::Delay { by, jitter } => {
                let more = if jitter.is_zero() { 0.0 } else { rng.f64() };
                verdict.later += by + jitter.mul_f64(more);
            }
            FaultKind::Slow { by } => verdict.later += by,
            FaultKind::Duplicate { copies } => verdict.copies += copies,
            FaultKind::Cut { bytes } => verdict.cut = Some(bytes),
            _ => verdict.lost = true,
        }
        if verdict.lost || verdict.cut.is_some() {
            break;
        }
    }
    verdict
}

/// Whether a fault is of messages of this command. Without `on` it is of answers and updates, not of the talk that
/// keeps the circuit.
fn concerns(fault: &Fault, command: Command) -> bool {
    match (fault.kind, fault.on) {
        (FaultKind::Slow { .. } | FaultKind::Never, _) => command == Command::WRITE_NOTIFY,
        (_, Some(on)) => on == command,
        (_, None) => command != Command::VERSION && command != Command::ECHO,
    }
}

fn about(pattern: Option<&Pattern>, name: Option<&[u8]>) -> bool {
    match (pattern, name) {
        (None, _) => true,
        (Some(pattern), Some(name)) => pattern.matches_channel(name),
        // What belongs to no channel that is known.
        (Some(pattern), None) => pattern.as_str() == "*",
    }
}
