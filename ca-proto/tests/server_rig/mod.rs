//! A circuit with a small database behind it, spoken to in hexadecimal.
#![allow(dead_code, unreachable_pub)] // Each test binary uses its part.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ca_proto::access::AccessRights;
use ca_proto::alarm::Alarm;
use ca_proto::config::ServerParams;
use ca_proto::dbr::convert;
use ca_proto::dbr::{
    Acknowledge, ConvertError, Metadata, NativeType, PutValue, Snapshot, Value, ValueRef,
};
use ca_proto::ids::CircuitId;
use ca_proto::server::{
    ChannelInfo, Circuit, Conversions, Database, Identity, Put, PutOutcome, PutTicket, PvId,
    RefusedPut, Strided, SubKey, Subscriber, Violation,
};
use ca_proto::status::EcaStatus;
use ca_proto::time::{Instant, Timestamp};
use ca_proto::wire::Deframer;
use ca_proto::wire::message::EventMask;

pub const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000);
/// The stamp of the captures of the reference server.
pub const STAMP: Timestamp = Timestamp {
    secs: 0x4561_652b,
    nanos: 0x1b87_6ae4,
};
/// The value of `dval` in the captures.
pub const PI: f64 = f64::from_bits(0x4009_21fb_5444_2d11);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    Now,
    /// For write-notifies.
    Later,
    /// For plain writes, too.
    LaterAlways,
}

pub struct Pv {
    pub name: &'static str,
    pub now: Snapshot,
    pub count: u32,
    pub rights: AccessRights,
    pub completion: Completion,
    /// What is served is every element of so many.
    pub step: usize,
}

#[derive(Default)]
pub struct TestDb {
    pub pvs: Vec<Pv>,
    pub subs: Vec<(PvId, Subscriber, EventMask)>,
    pub tickets: Vec<PutTicket>,
    pub writers: Vec<Identity>,
    pub put_types: Vec<NativeType>,
    pub open: i32,
    /// Large puts to arrays are converted in turns.
    pub converts: bool,
    /// Statuses of puts that were refused or dropped.
    pub lost: Vec<EcaStatus>,
    /// Conversions that circuits share, if they do.
    pub conversions: Option<RefCell<Conversions>>,
}

pub fn snapshot(value: Value) -> Snapshot {
    Snapshot {
        value,
        alarm: Alarm::NONE,
        stamp: STAMP,
        ack: Acknowledge::default(),
        meta: Metadata::none(),
    }
}

impl TestDb {
    /// The PVs of the captures: `dval`, `ival`, `sval`, `none` (no rights), `ro`, `slow`,
    /// `text` (70 000 chars), `arr` (doubles, 5 of 10).
    pub fn new() -> Self {
        let mut db = Self::default();
        db.add("dval", PI.into(), 1);
        db.add("ival", 42i32.into(), 1);
        db.add("sval", "hello".into(), 1);
        db.add("none", 5i32.into(), 1).rights = AccessRights::NONE;
        db.add("ro", 5i32.into(), 1).rights = AccessRights::READ;
        db.add("slow", 5i32.into(), 1).completion = Completion::Later;
        db.add("text", vec![b'x'; 70_000].into(), 70_000);
        db.add("arr", vec![1.0, 2.0, 3.0, 4.0, 5.0].into(), 10);
        db
    }

    pub fn add(&mut self, name: &'static str, value: Value, count: u32) -> &mut Pv {
        self.pvs.push(Pv {
            name,
            now: snapshot(value),
            count,
            rights: AccessRights::ALL,
            completion: Completion::Now,
            step: 1,
        });
        self.pvs.last_mut().unwrap()
    }

    pub fn pv(&self, name: &str) -> PvId {
        let at = self.pvs.iter().position(|pv| pv.name == name);
        PvId(at.expect("a PV of the test") as u32)
    }

    pub fn get(&mut self, name: &str) -> &mut Pv {
        let PvId(at) = self.pv(name);
        &mut self.pvs[at as usize]
    }
}

impl Database for TestDb {
    fn serves(&self, name: &[u8]) -> bool {
        let record = name.split(|&b| b == b'.').next().unwrap();
        self.pvs.iter().any(|pv| pv.name.as_bytes() == record)
    }
    fn open(&mut self, name: &[u8]) -> Option<PvId> {
        let at = self.pvs.iter().position(|pv| pv.name.as_bytes() == name)?;
        self.open += 1;
        Some(PvId(at as u32))
    }
    fn close(&mut self, _: PvId) {
        self.open -= 1;
    }
    fn info(&self, pv: PvId) -> ChannelInfo {
        let pv = &self.pvs[pv.0 as usize];
        ChannelInfo {
            native: pv.now.value.native(),
            count: pv.count,
        }
    }
    fn rights(&self, pv: PvId, _: &Identity) -> AccessRights {
        self.pvs[pv.0 as usize].rights
    }
    fn read(&self, pv: PvId) -> Cow<'_, Snapshot> {
        let Pv { now, step, .. } = &self.pvs[pv.0 as usize];
        if *step == 1 {
            return Cow::Borrowed(now);
        }
        let value = now.value.part(0, *step, usize::MAX);
        Cow::Owned(Snapshot {
            value,
            ..now.clone()
        })
    }
    fn read_strided(&self, pv: PvId, elements: u32) -> Option<Strided> {
        let Pv { now, step, .. } = &self.pvs[pv.0 as usize];
        (*step > 1).then(|| Strided {
            start: 0,
            step: *step,
            count: now.value.count().div_ceil(*step as u32).min(elements),
            state: now.clone(),
        })
    }
    fn conversions(&self) -> Option<&RefCell<Conversions>> {
        self.conversions.as_ref()
    }
    fn put(&mut self, _: Instant, put: Put<'_>) -> PutOutcome {
        let pv = &mut self.pvs[put.pv.0 as usize];
        self.writers.push(put.who.as_ref().clone());
        let PutValue::Value(value) = put.value else {
            return PutOutcome::Done(EcaStatus::NORMAL);
        };
        self.put_types.push(value.native);
        let value = match put.converted {
            Some(converted) => Ok(converted.clone()),
            None => convert::write(value, pv.now.value.native(), &pv.now.meta),
        };
        match value {
            Ok(value) => pv.now.value = value,
            Err(_) => return PutOutcome::Done(EcaStatus::PUTFAIL),
        }
        match (pv.completion, put.notify) {
            (Completion::Later | Completion::LaterAlways, Some(ticket)) => {
                self.tickets.push(ticket);
                PutOutcome::Pending
            }
            (Completion::LaterAlways, None) => PutOutcome::Pending,
            _ => PutOutcome::Done(EcaStatus::NORMAL),
        }
    }
    fn converts_puts(&self, pv: PvId) -> Option<(NativeType, u32)> {
        let pv = &self.pvs[pv.0 as usize];
        (self.converts && pv.count > 1).then(|| (pv.now.value.native(), pv.count))
    }
    fn convert_put(&self, pv: PvId, part: ValueRef<'_>) -> Result<Value, ConvertError> {
        let now = &self.pvs[pv.0 as usize].now;
        convert::write(part, now.value.native(), &now.meta)
    }
    fn put_refused(&mut self, _: Instant, put: RefusedPut<'_>) {
        self.lost.push(put.status);
    }
    fn put_dropped(&mut self, put: RefusedPut<'_>) {
        self.lost.push(put.status);
    }
    fn subscribe(&mut self, pv: PvId, who: Subscriber, mask: EventMask) {
        self.subs.push((pv, who, mask));
    }
    fn unsubscribe(&mut self, pv: PvId, who: Subscriber) {
        let before = self.subs.len();
        self.subs.retain(|sub| (sub.0, sub.1) != (pv, who));
        assert_eq!(self.subs.len() + 1, before, "{who:?} was not subscribed");
    }
}

pub struct Rig {
    pub circuit: Circuit,
    pub db: TestDb,
    pub now: Instant,
    deframer: Deframer,
}

pub fn params() -> ServerParams {
    let mut params = ServerParams::default();
    params.tcp_port = 0x6378;
    params
}

impl Rig {
    /// A circuit just accepted.
    pub fn accepted(params: ServerParams) -> Self {
        let now = Instant::ZERO;
        let circuit = Circuit::new(Arc::new(params), CircuitId(7), PEER, now);
        Self {
            deframer: Deframer::new(circuit.limits()),
            circuit,
            db: TestDb::new(),
            now,
        }
    }

    /// A circuit whose client has announced 4.13.
    pub fn new() -> Self {
        Self::with(params())
    }

    pub fn with(params: ServerParams) -> Self {
        Self::of_version(params, 13)
    }

    pub fn of_version(params: ServerParams, minor: u16) -> Self {
        let mut rig = Self::accepted(params);
        rig.send(&format!("00000000 0000{minor:04x} 00000000 00000000"))
            .unwrap();
        assert_eq!(rig.take(), hex("00000000 0000000d 00000000 00000000"));
        rig
    }

    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let mut frames = self.deframer.frames(bytes);
        while let Some(frame) = frames.next() {
            self.circuit.handle_frame(self.now, &frame, &mut self.db)?;
            frames.set_limits(self.circuit.limits());
        }
        Ok(())
    }

    /// What the client sends.
    pub fn send(&mut self, text: &str) -> Result<(), Violation> {
        self.feed(&bytes(text))
    }

    /// Everything that the server has to send, as hexadecimal words.
    pub fn take(&mut self) -> String {
        words(&self.take_bytes())
    }

    pub fn take_bytes(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let queue = self.circuit.transmit(&self.db);
            if queue.is_empty() {
                assert!(!self.circuit.has_output(), "output announced, none there");
                return all;
            }
            all.extend(queue.to_vec());
            queue.advance(queue.len());
        }
    }

    /// What the server answers.
    pub fn ask(&mut self, text: &str) -> String {
        self.send(text).unwrap();
        self.take()
    }

    /// Sends `request`, expects exactly `reply`, both in the notation of the specification.
    #[track_caller]
    pub fn exchange(&mut self, request: &str, reply: &str) {
        assert_eq!(self.ask(request), hex(reply));
    }

    /// Creates a channel with client id `cid` so that it gets server id `sid`.
    #[track_caller]
    pub fn create(&mut self, sid: u32, cid: u32, name: &str) {
        while (self.circuit.channel_count() as u32) < sid {
            self.send(&create(0xf11e, "ival")).unwrap();
        }
        self.take();
        let reply = self.ask(&create(cid, name));
        assert!(reply.ends_with(&format!("{cid:08x} {sid:08x}")) || self.is_extended(&reply, sid));
    }

    fn is_extended(&self, reply: &str, sid: u32) -> bool {
        reply.contains("0012ffff") && reply.contains(&format!(" {sid:08x} 00000000 "))
    }

    /// Sets a value and posts it to every subscription of the PV whose mask meets `mask`.
    pub fn post(&mut self, name: &str, value: impl Into<Value>, mask: EventMask) {
        let pv = self.db.pv(name);
        self.db.get(name).now.value = value.into();
        let state = self.db.read(pv);
        for (_, sub, wanted) in self.db.subs.iter().filter(|sub| sub.0 == pv) {
            if wanted.intersects(mask) {
                self.circuit.post(sub.key, &state);
            }
        }
    }

    pub fn complete(&mut self, ticket: PutTicket, status: EcaStatus) {
        self.circuit
            .complete_put(self.now, ticket.id, status, &mut self.db);
    }

    pub fn only_sub(&self) -> SubKey {
        assert_eq!(self.db.subs.len(), 1);
        self.db.subs[0].1.key
    }
}

pub fn create(cid: u32, name: &str) -> String {
    let text = text_payload(name);
    let len = text.len() / 2;
    format!("0012{len:04x} 00000000 {cid:08x} 0000000d {text}")
}

pub fn read_notify(ty: u16, count: u16, sid: u32, ioid: u32) -> String {
    format!("000f0000 {ty:04x}{count:04x} {sid:08x} {ioid:08x}")
}

pub fn event_add(ty: u16, count: u16, sid: u32, subid: u32, mask: u16) -> String {
    format!(
        "00010010 {ty:04x}{count:04x} {sid:08x} {subid:08x} 00000000 00000000 00000000 {mask:04x}0000"
    )
}

/// A name as a payload in hexadecimal: NUL-terminated and padded.
pub fn text_payload(name: &str) -> String {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Hexadecimal digits to bytes; white space does not count.
pub fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2));
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Bytes as words of 8 digits.
pub fn words(bytes: &[u8]) -> String {
    let word = |chunk: &[u8]| chunk.iter().map(|b| format!("{b:02x}")).collect::<String>();
    bytes.chunks(4).map(word).collect::<Vec<_>>().join(" ")
}

/// Hexadecimal text in the form of [`words`].
pub fn hex(text: &str) -> String {
    words(&bytes(text))
}

/// A received message: command, type, count, P1, P2, payload.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    pub command: u16,
    pub ty: u16,
    pub count: u32,
    pub p1: u32,
    pub p2: u32,
    pub payload: Vec<u8>,
}

impl Message {
    pub fn f64(&self, at: usize) -> f64 {
        f64::from_be_bytes(self.payload[at..at + 8].try_into().unwrap())
    }
    pub fn i32(&self, at: usize) -> i32 {
        i32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
    /// The text of an `ERROR`.
    pub fn text(&self) -> String {
        let from = if self.payload[2..4] == [0xff, 0xff] {
            24
        } else {
            16
        };
        let text = &self.payload[from..];
        let end = text.iter().position(|&b| b == 0).unwrap();
        String::from_utf8(text[..end].to_vec()).unwrap()
    }
}

pub fn messages(bytes: &[u8]) -> Vec<Message> {
    let limits = ca_proto::wire::FrameLimits {
        max_payload: u32::MAX,
        extended: true,
    };
    let mut deframer = Deframer::new(limits);
    let mut frames = deframer.frames(bytes);
    let mut all = Vec::new();
    while let Some(frame) = frames.next() {
        let frame = frame.unwrap();
        let h = frame.header;
        all.push(Message {
            command: h.command.0,
            ty: h.data_type,
            count: h.count,
            p1: h.p1,
            p2: h.p2,
            payload: frame.payload().to_vec(),
        });
    }
    assert_eq!(deframer.buffered(), 0);
    all
}

impl Rig {
    pub fn take_messages(&mut self) -> Vec<Message> {
        messages(&self.take_bytes())
    }
    pub fn ask_messages(&mut self, text: &str) -> Vec<Message> {
        self.send(text).unwrap();
        self.take_messages()
    }
}

/// A circuit with one channel `big` of doubles.
pub fn with_array(elements: usize) -> Rig {
    let mut rig = Rig::new();
    rig.db
        .add("big", vec![1.5; elements].into(), elements as u32);
    rig.create(0, 1, "big");
    rig
}

pub const VALUE: EventMask = EventMask::VALUE;

/// A circuit with `n` channels of `ival`-like PVs, one LONG subscription on each, ids from 0.
pub fn subscribed(n: usize) -> Rig {
    let mut rig = Rig::new();
    for sid in 0..n as u32 {
        let name: &'static str = format!("pv{sid}").leak();
        rig.db.add(name, (-1i32).into(), 1);
        rig.create(sid, sid, name);
        rig.ask(&event_add(5, 1, sid, sid, 1));
    }
    rig
}

/// `(subscription id, value)` of each update.
pub fn updates(rig: &mut Rig) -> Vec<(u32, i32)> {
    let all = rig.take_messages();
    all.iter()
        .map(|m| {
            assert_eq!((m.command, m.p1), (1, 1));
            (m.p2, m.i32(0))
        })
        .collect()
}

pub fn values(rig: &mut Rig) -> Vec<i32> {
    updates(rig).into_iter().map(|(_, value)| value).collect()
}
