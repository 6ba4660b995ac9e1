//! Bodies of the fuzz targets: any bytes are handled without a panic, within bounds.
//!
//! The targets in `fuzz/` are one line each; the corpus beside them is replayed by an ordinary test.
//! Bodies for the grammars of the command line tools are in `canter`.

mod both;
mod user_text;

use core::net::{Ipv4Addr, SocketAddrV4};

use bytes::BytesMut;
use ca_proto::client::{
    Action, Client, Deliver, Lifecycle, More, ReadSpec, Reply, SubSpec, Token, TypeSpec, Update,
};
use ca_proto::config::{ClientParams, ServerParams};
use ca_proto::dbr::{Acknowledge, DbrType, Family, NativeType, Reading, Snapshot, convert};
use ca_proto::ids::{Cid, CircuitId, Sid};
use ca_proto::wire::dump::{self, Direction, StreamDump};
use ca_proto::wire::message::{EventMask, Port, SAME_ADDRESS};
use ca_proto::wire::{
    Command, Deframer, Frame, FrameError, FrameLimits, Header, Minor, PvName, SERVER_PORT,
    datagram_frames, tcp, udp,
};
use ca_proto::{Alarm, Instant, Timestamp};
use ca_server_sim::Ioc;

use crate::api::Pvs;
use crate::facility::{self, Plan};
pub use both::both_circuits;
pub use user_text::{addr_list, env, from_text, to_text};

/// Name, body, and the most bytes that one input may have allocated at one time.
pub type Target = (&'static str, fn(&[u8]), u64);

const MIB: u64 = 1 << 20;

/// Every target of this crate.
pub const TARGETS: &[Target] = &[
    ("frame", frame, 16 * MIB),
    ("datagram", datagram, 4 * MIB),
    ("dbr", dbr, 8 * MIB),
    ("from_text", from_text, 8 * MIB),
    ("to_text", to_text, MIB),
    ("client_circuit", client_circuit, 16 * MIB),
    ("server_circuit", server_circuit, 16 * MIB),
    ("both_circuits", both_circuits, 32 * MIB),
    ("world", world, 32 * MIB),
    ("addr_list", addr_list, 4 * MIB),
    ("env", env, 4 * MIB),
];

/// Payload limit of the deframers here, in bytes.
const MAX_PAYLOAD: u32 = 1 << 20;
/// Bytes that a core may have waiting after input of at most a few kilobytes.
const MAX_OUTPUT: usize = 4 << 20;
/// Longest input looked at, in bytes.
const MAX_INPUT: usize = 16 * 1024;

/// Longest structure and text looked at, in bytes: more of the same tells nothing new.
const MAX_VALUE: usize = 1024;
/// Elements converted into every type. All types of all conversions of long arrays took most of the time
/// of a target, so that it tried few inputs.
const MAX_ELEMENTS: u32 = 6;
/// Longest story, in bytes: a few dozen operations and what happens to the bytes they cause. Longer ones
/// repeat themselves, and take the time of many others.
const MAX_STORY: usize = 256;

const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), SERVER_PORT);
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 50_000);

/// An IOC with doubles, a long and an array.
fn ioc() -> Ioc {
    let mut list = Pvs::default();
    list.ai("x0", 1.0);
    list.ai("x1", 2.0);
    list.longin("x2", 3);
    list.waveform("x3", &[4.0; 5]);
    list.ai("x4", 5.0);
    list.build(ServerParams::default(), 1)
}

fn cut(data: &[u8]) -> &[u8] {
    &data[..data.len().min(MAX_INPUT)]
}

/// A stream is split into the same frames however it is cut; every frame parses and prints.
pub fn frame(data: &[u8]) {
    let data = cut(data);
    let limits = FrameLimits {
        max_payload: MAX_PAYLOAD,
        extended: true,
    };
    let read = |sizes: &mut dyn FnMut() -> usize| {
        let mut deframer = Deframer::new(limits);
        let mut seen: Vec<Result<(Header, Vec<u8>), FrameError>> = Vec::new();
        let mut rest = data;
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(sizes().clamp(1, rest.len()));
            rest = tail;
            let mut frames = deframer.frames(chunk);
            while let Some(frame) = frames.next() {
                seen.push(frame.map(|frame| (frame.header, frame.payload().to_vec())));
            }
        }
        (seen, deframer.buffered())
    };
    let whole = read(&mut || data.len());
    let mut at = 0;
    let by_data = read(&mut || {
        at += 1;
        usize::from(data[at % data.len()])
    });
    assert_eq!(whole, read(&mut || 1));
    assert_eq!(whole, by_data);
    assert!(whole.1 <= data.len());
    for (header, payload) in whole.0.into_iter().flatten() {
        let frame = Frame::new(header, &payload);
        if let Ok(message) = tcp::Request::parse(&frame) {
            let mut out = Vec::new();
            message.encode_into(&mut out);
        }
        if let Ok(message) = tcp::Response::parse(&frame) {
            let mut out = Vec::new();
            message.encode_into(&mut out);
        }
    }
    for direction in [Direction::TcpRequest, Direction::TcpResponse] {
        let mut lines = 0;
        StreamDump::new(direction).feed(data, |line| lines += line.to_string().len());
    }
}

/// A datagram is read by client, server and repeater code and printed.
pub fn datagram(data: &[u8]) {
    let data = cut(data);
    for frame in datagram_frames(data).flatten() {
        if let Ok(message) = udp::Request::parse(&frame) {
            message.encode_into(&mut Vec::new());
        }
        if let Ok(message) = udp::Response::parse(&frame) {
            message.encode_into(&mut Vec::new());
        }
    }
    for direction in [Direction::UdpRequest, Direction::UdpResponse] {
        let mut text = String::new();
        dump::datagram(&mut text, data, direction).expect("a string takes everything");
    }
    let (mut client, _) = client_with_channel();
    let mut out = Vec::new();
    client.handle_datagram(Instant::ZERO, SERVER, data, &mut Ignore);
    while client.poll_transmit(Instant::ZERO, &mut out).is_some() {}
    let mut ioc = ioc();
    ioc.start(Instant::ZERO, Timestamp::default(), SERVER_PORT);
    ioc.handle_datagram(Instant::ZERO, CLIENT, data);
    let mut total = 0;
    while ioc.poll_transmit(Instant::ZERO, &mut out).is_some() {
        total += out.len();
    }
    assert!(total <= MAX_OUTPUT);
}

/// A DBR structure of any type and count is decoded, printed, converted and encoded again.
///
/// # Shape
/// Two bytes type, two bytes count, then the payload.
pub fn dbr(data: &[u8]) {
    let [t0, t1, c0, c1, payload @ ..] = &data[..data.len().min(MAX_VALUE)] else {
        return;
    };
    let ty = DbrType(u16::from_be_bytes([*t0, *t1]));
    let count = u32::from(u16::from_be_bytes([*c0, *c1]));
    let header = Header {
        data_type: ty.0,
        count,
        ..Header::new(Command::READ_NOTIFY)
    };
    if let Ok(reading) = Reading::from_frame(ty, count, &Frame::new(header, payload)) {
        read_everything(&reading);
    }
    let Ok(put) = convert::put_value(ty, count, payload) else {
        return;
    };
    let convert::PutValue::Value(value) = put else {
        return;
    };
    let value = value.truncated(MAX_ELEMENTS);
    let share = Share::of(data);
    let meta = Snapshot {
        value: value.to_value(),
        alarm: Alarm::default(),
        stamp: Timestamp::default(),
        ack: Acknowledge::default(),
        meta: ca_proto::dbr::Metadata::none(),
    };
    for native in NativeType::ALL {
        if let Ok(converted) = convert::write(value, native, &meta.meta) {
            let snapshot = Snapshot {
                value: converted,
                ..meta.clone()
            };
            encode_everything(&snapshot, share);
        }
    }
}

fn read_everything(reading: &Reading) {
    let value = reading.value();
    for at in [0, 1, value.count.saturating_sub(1), u32::MAX] {
        let _ = reading.get_f64(at);
        let _ = reading.string(at);
    }
    let _ = (reading.alarm(), reading.timestamp(), reading.units());
    let _ = (reading.precision(), reading.limits(), reading.states());
    let _ = (reading.acknowledge(), reading.to_f64s());
}

/// A part of all types, which the input chooses: the others have their turn with other inputs.
#[derive(Clone, Copy)]
struct Share(u16);

impl Share {
    const PARTS: u16 = 8;

    fn of(data: &[u8]) -> Self {
        Self(
            data.iter()
                .fold(0, |sum: u16, &byte| sum.wrapping_add(byte.into()))
                % Self::PARTS,
        )
    }

    /// Its types, of every family and native type in turn, and the one beyond the last.
    fn types(self) -> impl Iterator<Item = DbrType> {
        let all = self.0..=DbrType::COUNT;
        all.step_by(Self::PARTS.into()).map(DbrType)
    }
}

fn encode_everything(snapshot: &Snapshot, share: Share) {
    let mut out = BytesMut::new();
    for ty in share.types() {
        for count in [0, 1, snapshot.value.count().saturating_add(1)] {
            out.clear();
            if snapshot.encode(ty, count, &mut out).is_ok() {
                assert_eq!(out.len() as u64, ty.size(count), "{ty} {count}");
            }
        }
    }
}

#[derive(Debug)]
struct Ignore;

impl Deliver for Ignore {
    fn update(&mut self, _: Token, update: Update<'_>) {
        if let Ok(reading) = Reading::from_frame(update.ty, update.count, update.frame) {
            read_everything(&reading);
        }
    }
    fn reply(&mut self, _: Token, _: Reply<'_>) {}
    fn lifecycle(&mut self, _: Token, _: Lifecycle) {}
}

/// A client that searches for one name.
fn client_with_channel() -> (Client, Cid) {
    let params = ClientParams::default().search_addrs(vec![SERVER]);
    let mut client = Client::new(params.into(), Instant::ZERO);
    let name = PvName::new("x0").expect("a valid name");
    let cid = client
        .open_channel(Instant::ZERO, name, 0)
        .expect("an empty table has room");
    (client, cid)
}

/// A client whose channel was found, created and connected.
fn connected_client() -> (Client, Cid, CircuitId, Deframer) {
    let (mut client, cid) = client_with_channel();
    let now = Instant::ZERO + core::time::Duration::from_millis(50);
    client.handle_timeout(now, &mut Ignore);
    let mut out = Vec::new();
    while client.poll_transmit(now, &mut out).is_some() {}
    let mut found = Vec::new();
    udp::Response::Search {
        port: Port(SERVER_PORT),
        server: SAME_ADDRESS,
        cid,
        minor: Minor::CURRENT,
    }
    .encode_into(&mut found);
    client.handle_datagram(now, SERVER, &found, &mut Ignore);
    let mut circuit = None;
    while let Some(action) = client.poll_action() {
        if let Action::Dial { circuit: c, .. } = action {
            circuit = Some(c);
        }
    }
    let circuit = circuit.expect("a found channel is dialled");
    client.handle_connected(now, circuit);
    let mut deframer = Deframer::new(client.limits(circuit));
    let mut created = Vec::new();
    tcp::Response::Version {
        priority: 0,
        minor: Minor::CURRENT,
    }
    .encode_into(&mut created);
    tcp::Response::AccessRights { cid, rights: 3 }.encode_into(&mut created);
    tcp::Response::CreateChan {
        ty: DbrType(NativeType::Double as u16),
        count: 5,
        cid,
        sid: Sid(1),
    }
    .encode_into(&mut created);
    client
        .handle_chunk(
            now,
            circuit,
            &mut deframer,
            &created,
            More::Drained,
            &mut Ignore,
        )
        .expect("an honest server");
    (client, cid, circuit, deframer)
}

/// A connected client with operations under way gets any bytes.
pub fn client_circuit(data: &[u8]) {
    let data = cut(data);
    let (mut client, cid, circuit, mut deframer) = connected_client();
    let mut now = Instant::ZERO + core::time::Duration::from_millis(60);
    let ty = TypeSpec::Family(Family::Time);
    let read = ReadSpec { ty, count: 0 };
    let sub = SubSpec {
        ty,
        count: 0,
        mask: EventMask::VALUE,
    };
    client
        .read(now, cid, read, Token(1), None)
        .expect("the channel is connected");
    client
        .subscribe(now, cid, sub, Token(2))
        .expect("the channel is open");
    let mut rest = data;
    let mut at = 0;
    while !rest.is_empty() {
        at += 1;
        let size = usize::from(data[(at * 7) % data.len()]).clamp(1, rest.len());
        let (chunk, tail) = rest.split_at(size);
        rest = tail;
        now += core::time::Duration::from_millis(1);
        deframer.set_limits(client.limits(circuit));
        let more = More::Drained;
        let result = client.handle_chunk(now, circuit, &mut deframer, chunk, more, &mut Ignore);
        if result.is_err() {
            let why = ca_proto::client::CloseReason::Violation;
            client.handle_closed(now, circuit, why, &mut Ignore);
            break;
        }
        if let Some(queue) = client.transmit(now, circuit) {
            assert!(queue.len() <= MAX_OUTPUT);
            queue.clear();
        }
    }
    while client.poll_event().is_some() {}
    client.shutdown(now);
    while client.poll_action().is_some() {}
}

/// An IOC gets any bytes on a circuit.
pub fn server_circuit(data: &[u8]) {
    let data = cut(data);
    let mut ioc = ioc();
    let mut now = Instant::ZERO;
    // A read of more elements than there are is answered with zeros, up to the largest message.
    ioc.set_params(ServerParams::default().max_payload(MAX_PAYLOAD));
    ioc.start(now, Timestamp::default(), SERVER_PORT);
    let circuit = ioc.accept(now, CLIENT).expect("the first circuit");
    let mut deframer = Deframer::new(ioc.limits(circuit));
    let mut rest = data;
    let mut at = 0;
    while !rest.is_empty() {
        at += 1;
        let size = usize::from(data[(at * 7) % data.len()]).clamp(1, rest.len());
        let (mut chunk, tail) = rest.split_at(size);
        rest = tail;
        now += core::time::Duration::from_millis(1);
        ioc.handle_timeout(now);
        // As a driver does: replies drain before more requests are taken.
        let result = loop {
            let handled = ioc.handle_chunk(now, circuit, &mut deframer, chunk);
            if let Some(queue) = ioc.transmit(circuit) {
                assert!(queue.len() <= MAX_OUTPUT);
                queue.clear();
            }
            match handled {
                Ok(n) if n < chunk.len() => chunk = &chunk[n..],
                other => break other,
            }
        };
        if result.is_err() {
            break;
        }
    }
    ioc.handle_closed(now, circuit);
    assert!(ioc.transmit(circuit).is_none());
}

/// A client and an IOC on a bad network, and a story that the bytes tell.
///
/// # Panics
/// If a promise is broken.
pub fn world(data: &[u8]) {
    let plan = Plan::from_bytes(&data[..data.len().min(MAX_STORY)]);
    if let Err(failure) = facility::run(&plan) {
        panic!("{failure}");
    }
}
