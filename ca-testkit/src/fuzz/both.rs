//! A client and an IOC on a wire whose bytes are edited on the way.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::BTreeMap;

use ca_proto::Instant;
use ca_proto::access::AccessRights;
use ca_proto::client::{ReadSpec, SubSpec, Token, TypeSpec};
use ca_proto::config::{ClientParams, ServerParams};
use ca_proto::dbr::{Family, Value};
use ca_proto::wire::SERVER_PORT;
use ca_proto::wire::message::EventMask;

use crate::host::{Answer, ClientHost, CloseKind, Host, HostInput, HostOutput, IocHost};
use crate::net::ConnId;

const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), SERVER_PORT);
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 50_000);
/// Names of PVs, the last of which nobody serves.
const NAMES: [&str; 5] = ["x0", "x1", "x2", "x3", "nobody"];
/// The PV that has to be readable in the end.
const PROOF: &str = "x0";
/// Largest message that the IOC answers, in bytes.
const MAX_PAYLOAD: u32 = 1 << 20;
/// Bytes that each end may send before the other has taken some.
const WINDOW: usize = 64 * 1024;
/// Bytes that may wait in one queue: the largest message, and what is encoded before the first look
/// at the window.
const MAX_QUEUED: usize = 4 << 20;
/// Events handled in one piece of time; more mean that the two talk for ever without time passing.
const MAX_EVENTS: usize = 100_000;
/// Slowest search: it bounds how long everything takes to come back.
const SEARCH_PERIOD: Duration = Duration::from_secs(60);
/// Time for everything to come back: two searches, an unresponsive period, a hold-off.
const RECOVERY: Duration = Duration::from_secs(400);

/// Instructions and edits, drawn from the input.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn next(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    fn word(&mut self) -> usize {
        usize::from(self.next()) << 8 | usize::from(self.next())
    }

    const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Most bytes arrive as they are.
    fn edit(&mut self, data: &mut Vec<u8>) {
        if data.is_empty() {
            return;
        }
        let len = data.len();
        match self.next() {
            0..=199 => {}
            200..=219 => {
                let at = self.word() % len;
                data[at] = self.next();
            }
            220..=229 => {
                let at = self.word() % len;
                let more = self.next();
                data.splice(at..at, (0..more).map(|n| n.wrapping_mul(37)));
            }
            230..=237 => {
                let at = self.word() % len;
                let end = (at + usize::from(self.next())).min(len);
                data.drain(at..end);
            }
            238..=245 => {
                let at = self.word() % len;
                let end = (at + usize::from(self.next())).min(len);
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
            246..=251 => data.truncate(self.word() % len),
            _ => data.rotate_left(16.min(len)),
        }
    }
}

struct Both<'a> {
    tape: Tape<'a>,
    now: Instant,
    client: ClientHost,
    ioc: IocHost,
    /// Streams: number at the client, number at the IOC; whether the IOC reads, what it has not read.
    streams: BTreeMap<ConnId, Stream>,
    accepted: u64,
    tokens: Vec<Token>,
}

struct Stream {
    far: ConnId,
    reading: bool,
    held: Vec<u8>,
}

/// A client and an IOC talk, operations and edits of the wire are drawn from the bytes. Neither
/// panics or contradicts itself; once the wire is honest, the client reads what the IOC holds.
///
/// # Panics
/// If that is not so.
pub fn both_circuits(data: &[u8]) {
    let params = ClientParams::default()
        .search_addrs(vec![SERVER])
        .max_search_period(SEARCH_PERIOD);
    let mut ioc = super::ioc();
    ioc.set_params(ServerParams::default().max_payload(MAX_PAYLOAD));
    let now = Instant::ZERO;
    let mut both = Both {
        tape: Tape(&data[..data.len().min(super::MAX_STORY)]),
        now,
        client: ClientHost::new(params, CLIENT.port(), now),
        ioc: IocHost::new(ioc, SERVER.port(), SERVER.port(), now),
        streams: BTreeMap::new(),
        accepted: 0,
        tokens: Vec::new(),
    };
    both.client.open(now, PROOF);
    both.run(Duration::from_millis(50));
    while !both.tape.is_over() {
        both.operate();
    }
    both.heal();
}

impl Both<'_> {
    fn operate(&mut self) {
        let now = self.now;
        let name = NAMES[usize::from(self.tape.next()) % NAMES.len()];
        let spec = TypeSpec::Family(Family::ALL[usize::from(self.tape.next()) % Family::ALL.len()]);
        let number = self.tape.next();
        let count = u32::from(number % 8);
        // A refused operation is an answer, too.
        match self.tape.next() % 12 {
            0 | 1 => {
                let _ = self.client.read(now, name, ReadSpec { ty: spec, count });
            }
            2 | 3 => {
                let mask = EventMask::VALUE | EventMask::ALARM;
                let spec = SubSpec {
                    ty: spec,
                    count,
                    mask,
                };
                self.tokens.extend(self.client.subscribe(now, name, spec));
            }
            4 => {
                if let Some(token) = self.tokens.pop() {
                    self.client.unsubscribe(now, token);
                }
            }
            5 | 6 => {
                let _ = self.client.write_notify(now, name, &value(name, number));
            }
            7 => {
                let _ = self.client.write(now, name, &value(name, number));
            }
            8 => {
                // The name that nobody serves is refused.
                let _ = self
                    .ioc
                    .with(|ioc| ioc.post(now, name, value(name, number)));
            }
            9 => {
                let rights = AccessRights::from_bits(u32::from(number));
                let _ = self.ioc.with(|ioc| ioc.set_rights(now, name, rights));
            }
            10 => self.client.close(now, name),
            _ => self.run(Duration::from_millis(u64::from(number) * 100)),
        }
        self.run(Duration::from_millis(1));
    }

    /// Every circuit is broken, every right is given; from here on nothing is edited.
    fn heal(&mut self) {
        let now = self.now;
        for name in NAMES {
            let _ = self
                .ioc
                .with(|ioc| ioc.set_rights(now, name, AccessRights::ALL));
        }
        for conn in self.streams.keys().copied().collect::<Vec<_>>() {
            self.close(conn, CloseKind::Reset);
        }
        self.client.open(now, PROOF);
        // Not longer than it takes, which mostly is a second: idle hours find nothing.
        let end = self.now + RECOVERY;
        while self.now < end && !(self.client.is_connected(PROOF) && self.is_answered()) {
            self.run(Duration::from_secs(1));
        }
        assert!(self.client.is_connected(PROOF), "{PROOF} did not come back");
        let spec = ReadSpec {
            ty: TypeSpec::Family(Family::Plain),
            count: 0,
        };
        let token = self.client.read(self.now, PROOF, spec);
        let token = token.expect("a connected channel can be read");
        self.run(Duration::from_secs(1));
        let held = self.ioc.ioc().read(PROOF).expect("the IOC has it").value;
        match self.client.answer(token) {
            Some(Answer::Read(reading)) => assert_eq!(reading.to_value(), held),
            other => panic!("{PROOF} was read with {other:?}"),
        }
        let unanswered: Vec<_> = self.client.unanswered().collect();
        assert!(unanswered.is_empty(), "never answered: {unanswered:?}");
    }

    fn is_answered(&self) -> bool {
        self.client.unanswered().next().is_none()
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MAX_EVENTS {
            self.talk();
            let timers = [self.client.poll_timeout(), self.ioc.poll_timeout()];
            let Some(next) = timers.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.client.handle_timeout(self.now);
            self.ioc.handle_timeout(self.now);
        }
        panic!("no end of events within {time:?}");
    }

    /// Carries everything that either wants to send.
    fn talk(&mut self) {
        for _ in 0..MAX_EVENTS {
            if let Some(output) = self.client.poll_output(self.now) {
                self.by_client(output);
            } else if let Some(output) = self.ioc.poll_output(self.now) {
                self.by_ioc(output);
            } else {
                self.check();
                return;
            }
        }
        panic!("they talk for ever");
    }

    fn check(&mut self) {
        if let Some(what) = self.client.complaint() {
            panic!("{what}");
        }
        assert!(self.client.queued() <= MAX_QUEUED);
        let (sending, received) = self.ioc.queued();
        assert!(sending <= MAX_QUEUED && received <= MAX_QUEUED);
    }

    fn by_client(&mut self, output: HostOutput) {
        match output {
            HostOutput::Dial { conn, to } if to.port() == SERVER.port() => self.accept(conn),
            HostOutput::Dial { conn, .. } => {
                let how = CloseKind::Refused;
                self.client
                    .handle(self.now, HostInput::Closed { conn, how });
            }
            HostOutput::Datagram { to, mut data, .. } if to == SERVER => {
                self.tape.edit(&mut data);
                let input = HostInput::Datagram {
                    port: SERVER.port(),
                    from: CLIENT,
                    data: &data,
                };
                self.ioc.handle(self.now, input);
            }
            HostOutput::Send { conn, mut data } => {
                self.tape.edit(&mut data);
                if let Some(stream) = self.streams.get_mut(&conn) {
                    stream.held.extend(data);
                    self.feed(conn);
                    let window = WINDOW;
                    self.client
                        .handle(self.now, HostInput::Writable { conn, window });
                }
            }
            HostOutput::Shutdown { conn } => self.close(conn, CloseKind::Eof),
            HostOutput::Close { conn } | HostOutput::Abort { conn } => {
                if let Some(stream) = self.streams.remove(&conn) {
                    let (conn, how) = (stream.far, CloseKind::Reset);
                    self.ioc.handle(self.now, HostInput::Closed { conn, how });
                }
            }
            _ => {}
        }
    }

    fn accept(&mut self, conn: ConnId) {
        self.accepted += 1;
        let stream = Stream {
            far: ConnId(self.accepted),
            reading: true,
            held: Vec::new(),
        };
        let input = HostInput::Accepted {
            conn: stream.far,
            port: SERVER.port(),
            peer: CLIENT,
            window: WINDOW,
        };
        self.ioc.handle(self.now, input);
        self.streams.insert(conn, stream);
        let window = WINDOW;
        self.client
            .handle(self.now, HostInput::Connected { conn, window });
    }

    /// Hands the IOC what it wants to read.
    fn feed(&mut self, conn: ConnId) {
        let Some(stream) = self.streams.get_mut(&conn) else {
            return;
        };
        if stream.reading && !stream.held.is_empty() {
            let data = std::mem::take(&mut stream.held);
            let input = HostInput::Data {
                conn: stream.far,
                data: &data,
                full: false,
            };
            self.ioc.handle(self.now, input);
        }
    }

    fn near(&self, far: ConnId) -> Option<ConnId> {
        let mut streams = self.streams.iter();
        streams.find_map(|(conn, stream)| (stream.far == far).then_some(*conn))
    }

    fn by_ioc(&mut self, output: HostOutput) {
        match output {
            HostOutput::Datagram { to, mut data, .. } if to == CLIENT => {
                self.tape.edit(&mut data);
                let input = HostInput::Datagram {
                    port: CLIENT.port(),
                    from: SERVER,
                    data: &data,
                };
                self.client.handle(self.now, input);
            }
            HostOutput::Send { conn, mut data } => {
                self.tape.edit(&mut data);
                let window = WINDOW;
                if let Some(near) = self.near(conn) {
                    let input = HostInput::Data {
                        conn: near,
                        data: &data,
                        full: false,
                    };
                    self.client.handle(self.now, input);
                }
                self.ioc
                    .handle(self.now, HostInput::Writable { conn, window });
            }
            HostOutput::Read { conn, enabled } => {
                if let Some(near) = self.near(conn) {
                    if let Some(stream) = self.streams.get_mut(&near) {
                        stream.reading = enabled;
                    }
                    self.feed(near);
                }
            }
            HostOutput::Close { conn } | HostOutput::Abort { conn } => {
                if let Some(conn) = self.near(conn) {
                    self.streams.remove(&conn);
                    let how = CloseKind::Eof;
                    self.client
                        .handle(self.now, HostInput::Closed { conn, how });
                }
            }
            _ => {}
        }
    }

    /// Ends a stream for both.
    fn close(&mut self, conn: ConnId, how: CloseKind) {
        let Some(stream) = self.streams.remove(&conn) else {
            return;
        };
        let far = stream.far;
        self.ioc
            .handle(self.now, HostInput::Closed { conn: far, how });
        self.client
            .handle(self.now, HostInput::Closed { conn, how });
    }
}

/// A value of the type of a PV.
fn value(name: &str, number: u8) -> Value {
    match name {
        "x2" => Value::scalar(i32::from(number)),
        "x3" => Value::array(&[f64::from(number); 5]),
        _ => Value::scalar(f64::from(number)),
    }
}
