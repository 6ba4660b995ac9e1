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
use std::time::{Duration, Instant as Clock};

use ca_bench::server::{CHUNK, DOUBLE, Server};
use ca_proto::ids::{Cid, Ioid, Sid};
use ca_proto::wire::message::Data;
use ca_proto::wire::tcp;
use ca_server_sim::PvHandle;

/// Chunks that are handled in turn. A prime, so that large numbers of PVs are all visited.
const REQUESTS: usize = 67;
/// Circuits of `fan`.
const READERS: u16 = 100;

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
    let mut bench = Server::new(pvs);
    let handle = |n| bench.ioc.handle(&format!("B:{n}")).expect("it was added");
    let handles: Vec<PvHandle> = (0..pvs).map(handle).collect();
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
        bench.now += Duration::from_micros(10);
        if mode == "post" {
            let start = Clock::now();
            for n in 0..1000 {
                value += 1.0;
                let pv = handles[next()];
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
