//! Any script with any traffic: what passes is bounded, and nothing is lost without a rule.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_proto::Instant;

use super::control;
use super::engine::{Engine, Level, Opening, Output};
use super::rule::Direction;
use super::script;

const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 40_000);
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 5064);
const LISTEN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 3), 6000);
/// Bytes that come in at once.
const CHUNK: usize = 512;
/// Datagrams taken out after one has come in; a storm of beacons never ends.
const DATAGRAMS: usize = 64;

const MIB: u64 = 1 << 20;

/// Name, body, and the most bytes that one input may have allocated at one time.
pub type Target = (&'static str, fn(&[u8]), u64);

/// Every target of this crate.
pub const TARGETS: &[Target] = &[("proxy", fuzz, 16 * MIB)];

/// A script, and traffic that it is used on.
///
/// # Shape
/// The script; behind a NUL the traffic: a first byte says which way and how the next bytes travel,
/// a second one how many they are.
fn fuzz(data: &[u8]) {
    let (script, traffic) = match data.iter().position(|&byte| byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let script = String::from_utf8_lossy(script);
    let rules = match script::parse(&script) {
        Ok(rules) => rules,
        Err(error) => {
            let lines = script.lines().count() + 1;
            assert!((1..=lines).contains(&error.line), "{error:?}");
            return;
        }
    };
    let plain = rules.is_empty();
    let mut engine = Engine::new(rules, 1, Level::Faults, LISTEN);
    let mut run = Run {
        circuit: open(&mut engine, Instant::ZERO),
        engine,
        now: Instant::ZERO,
        passed: [Vec::new(), Vec::new()],
    };
    let mut sent = [Vec::new(), Vec::new()];
    let mut rest = traffic;
    while let [kind, len, more @ ..] = rest {
        let (bytes, tail) = more.split_at(usize::from(*len).min(more.len()));
        rest = tail;
        let way = Direction::BOTH[usize::from(kind & 1)];
        match kind >> 1 & 3 {
            0 | 1 => {
                sent[way.index()].extend_from_slice(bytes);
                run.stream(way, bytes);
            }
            2 => run.datagram(way, bytes),
            _ => {
                let line = String::from_utf8_lossy(bytes);
                control::execute(&mut run.engine, run.now, &line);
            }
        }
        run.engine.take_log();
        run.now += Duration::from_millis(u64::from(kind >> 3));
    }
    if plain {
        // Search replies are changed without a rule: they name the proxy.
        let way = Direction::Request.index();
        let same = sent[way].starts_with(&run.passed[way]);
        assert!(same, "requests changed without a rule");
    }
    let shown = run.engine.list().len() + run.engine.stats().len();
    assert!(shown > 0);
}

fn open(engine: &mut Engine, now: Instant) -> Option<u64> {
    match engine.open(now, CLIENT, SERVER) {
        Opening::Connect { id, .. } => Some(id),
        Opening::Refuse => None,
    }
}

struct Run {
    engine: Engine,
    circuit: Option<u64>,
    now: Instant,
    passed: [Vec<u8>; 2],
}

impl Run {
    fn stream(&mut self, way: Direction, bytes: &[u8]) {
        let Some(id) = self.circuit else { return };
        for chunk in bytes.chunks(CHUNK) {
            if self.engine.has_room(id, way) {
                let mut port_for = |_: SocketAddrV4| Some(LISTEN.port());
                self.engine
                    .received(self.now, id, way, chunk, &mut port_for);
            }
            for way in Direction::BOTH {
                loop {
                    let n = match self.engine.output(self.now, id, way) {
                        Output::Data(data) => {
                            self.passed[way.index()].extend_from_slice(&data);
                            data.len()
                        }
                        Output::Idle => break,
                        Output::End | Output::Cut(_) => {
                            self.engine.closed(self.now, id, "cut");
                            self.circuit = None;
                            return;
                        }
                    };
                    self.engine.sent(self.now, id, way, n);
                }
            }
        }
    }

    fn datagram(&mut self, way: Direction, bytes: &[u8]) {
        let mut port_for = |_: SocketAddrV4| Some(LISTEN.port());
        self.engine
            .datagram(self.now, way, CLIENT, SERVER, bytes, &mut port_for);
        for _ in 0..DATAGRAMS {
            if self.engine.next_datagram(self.now).is_none() {
                break;
            }
        }
    }
}
