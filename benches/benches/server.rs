//! The IOC core alone: requests made beforehand, replies thrown away, no socket and no clock.
//!
//! ```text
//! cargo bench -p ca-bench --bench server [-- [MODE…] [--pvs N] [--rounds N] [--scatter]]
//!     MODE       get put notify update fan post; all without
//!     --pvs      PVs that take turns (default 1000 and 100 000)
//!     --rounds   times that 64 KiB of requests are handled (default 200)
//!     --scatter  visits the PVs in an order that no prefetcher guesses
//! ```
//!
//! Instruction counts: run it under callgrind twice with different numbers of rounds.

use std::env;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant as Clock;

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::wire::message::{Data, EventMask, Text};
use ca_proto::wire::{Deframer, Minor, tcp};
use ca_proto::{Instant, Timestamp};
use ca_server_sim::{Ioc, PvHandle, PvSpec};

const DOUBLE: DbrType = DbrType::new(Family::Plain, NativeType::Double);
const TIME_DOUBLE: DbrType = DbrType::new(Family::Time, NativeType::Double);
/// What one read from a socket brings.
const CHUNK: usize = 64 * 1024;
/// Chunks that are handled in turn. A prime, so that large numbers of PVs are all visited.
const REQUESTS: usize = 67;
/// Circuits of `fan`.
const READERS: u16 = 100;

struct Peer {
    circuit: CircuitId,
    deframer: Deframer,
}

struct Bench {
    ioc: Ioc,
    now: Instant,
    handles: Vec<PvHandle>,
    /// Bytes that the IOC had to send.
    sent: usize,
}

impl Bench {
    fn new(pvs: usize) -> Self {
        let specs = (0..pvs).map(|n| (format!("B:{n}"), PvSpec::double(0.0)));
        let mut ioc = Ioc::builder().pvs(specs).build().expect("valid PVs");
        ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
        let handle = |n| ioc.handle(&format!("B:{n}")).expect("it was added");
        Self {
            handles: (0..pvs).map(handle).collect(),
            ioc,
            now: Instant::ZERO,
            sent: 0,
        }
    }

    /// A circuit with channels to the first PVs; their server ids count from 0.
    fn connect(&mut self, port: u16, channels: usize) -> Peer {
        let peer = SocketAddrV4::new(Ipv4Addr::from(port as u32 + 1), port);
        let circuit = self.ioc.accept(self.now, peer).expect("below the limit");
        let deframer = Deframer::new(self.ioc.limits(circuit));
        let mut peer = Peer { circuit, deframer };
        let mut requests = Vec::new();
        let minor = Minor::CURRENT;
        let (priority, sequence) = (0, 0);
        tcp::Request::Version {
            priority,
            minor,
            sequence,
        }
        .encode_into(&mut requests);
        for n in 0..channels {
            let name = format!("B:{n}");
            let (cid, name) = (Cid(n as u32), Text::new(name.as_bytes()));
            tcp::Request::CreateChan { cid, minor, name }.encode_into(&mut requests);
        }
        self.feed(&mut peer, &requests);
        peer
    }

    fn subscribe(&mut self, peer: &mut Peer, channels: usize) {
        let mut requests = Vec::new();
        for n in 0..channels as u32 {
            let (sid, subid) = (Sid(n), SubId(n));
            let mask = EventMask::VALUE | EventMask::ALARM;
            tcp::Request::EventAdd {
                ty: TIME_DOUBLE,
                count: 1,
                sid,
                subid,
                mask,
            }
            .encode_into(&mut requests);
        }
        self.feed(peer, &requests);
    }

    /// Hands in chunks as the driver does, and sends what comes of them.
    fn feed(&mut self, peer: &mut Peer, requests: &[u8]) {
        for mut chunk in requests.chunks(CHUNK) {
            loop {
                let done = self
                    .ioc
                    .handle_readable(self.now, peer.circuit, &mut peer.deframer, chunk)
                    .expect("nothing is wrong with the requests");
                chunk = &chunk[done..];
                self.drain();
                if chunk.is_empty() && self.ioc.is_readable(peer.circuit) {
                    break;
                }
            }
        }
    }

    fn drain(&mut self) {
        while let Some(id) = self.ioc.poll_woken() {
            while let Some(queue) = self.ioc.transmit(id) {
                if queue.is_empty() {
                    break;
                }
                self.sent += queue.len();
                queue.advance(black_box(queue.len()));
            }
        }
    }
}

/// Order in which the PVs are visited.
fn order(pvs: usize, scatter: bool) -> impl FnMut() -> usize {
    let (mut next, step) = (0, if scatter { 7919 } else { 1 });
    move || {
        let at = next;
        next = (next + step) % pvs;
        at
    }
}

/// A chunk of requests, and how many they are.
fn chunk(mode: &str, value: &mut f64, mut next: impl FnMut() -> usize) -> (u64, Vec<u8>) {
    let (mut count, mut bytes) = (0, Vec::new());
    while bytes.len() < CHUNK - 64 {
        let sid = Sid(if mode == "fan" { 0 } else { next() as u32 });
        *value += 1.0;
        let data = f64::to_be_bytes(*value);
        let (ty, data, ioid, cid) = (DOUBLE, Data(&data), Ioid(count as u32), Cid(0));
        let request = match mode {
            "get" => tcp::Request::ReadNotify {
                ty,
                count: 1,
                sid,
                ioid,
            },
            "notify" => tcp::Request::WriteNotify {
                ty,
                count: 1,
                sid,
                ioid,
                data,
            },
            _ => tcp::Request::Write {
                ty,
                count: 1,
                sid,
                cid,
                data,
            },
        };
        request.encode_into(&mut bytes);
        count += 1;
    }
    (count, bytes)
}

/// Runs a mode; returns operations and seconds.
fn run(mode: &str, pvs: usize, rounds: usize, scatter: bool) -> (u64, f64) {
    let mut next = order(pvs, scatter);
    let mut bench = Bench::new(pvs);
    let mut writer = bench.connect(1000, pvs);
    match mode {
        "update" | "post" => {
            let mut reader = bench.connect(1001, pvs);
            bench.subscribe(&mut reader, pvs);
        }
        "fan" => {
            for n in 0..READERS {
                let mut reader = bench.connect(1001 + n, 1);
                bench.subscribe(&mut reader, 1);
            }
        }
        _ => {}
    }
    bench.sent = 0;
    let (mut count, mut value, mut seconds) = (0, 0.0, 0.0);
    // Several, so that each has values of its own.
    let mut requests: Vec<(u64, Vec<u8>)> = Vec::new();
    for _ in 0..REQUESTS {
        requests.push(chunk(mode, &mut value, &mut next));
    }
    for round in 0..rounds {
        bench.now += std::time::Duration::from_micros(10);
        if mode == "post" {
            let start = Clock::now();
            for n in 0..1000 {
                value += 1.0;
                let pv = bench.handles[next()];
                bench.ioc.post(bench.now, pv, value).expect("it exists");
                count += 1;
                if n % 100 == 99 {
                    bench.drain();
                }
            }
            seconds += start.elapsed().as_secs_f64();
            continue;
        }
        let (each, bytes) = &requests[round % REQUESTS];
        count += each;
        let start = Clock::now();
        bench.feed(&mut writer, bytes);
        seconds += start.elapsed().as_secs_f64();
    }
    assert!(bench.sent > 0 || mode == "put", "nothing was sent");
    if mode == "fan" {
        count *= u64::from(READERS);
    }
    (count, seconds)
}

fn main() {
    let (mut modes, mut sizes, mut rounds, mut scatter) = (Vec::new(), vec![], 200, false);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse().ok()).expect("a number");
        match arg.as_str() {
            // Cargo says so of every benchmark.
            "--bench" => {}
            "--pvs" => sizes.push(number()),
            "--rounds" => rounds = number(),
            "--scatter" => scatter = true,
            _ => modes.push(arg),
        }
    }
    if modes.is_empty() {
        modes = ["get", "put", "notify", "update", "fan", "post"]
            .map(String::from)
            .into();
    }
    if sizes.is_empty() {
        sizes = vec![1000, 100_000];
    }
    for mode in &modes {
        for &pvs in &sizes {
            let (count, seconds) = run(mode, pvs, rounds, scatter);
            let each = seconds * 1e9 / count as f64;
            println!("{mode:8} {pvs:7} PVs  {count:9} operations  {each:8.1} ns each");
        }
    }
}
