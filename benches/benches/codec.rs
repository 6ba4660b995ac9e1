//! The wire in memory: how many frames per second can be split, parsed, encoded and printed.

#![allow(missing_docs)] // Criterion's macros generate undocumented items.

use std::hint::black_box;

use ca_bench::wire::{LIMITS, NAMES, PER_CHUNK, chunk_of_updates, search_datagram, update};
use ca_proto::EcaStatus;
use ca_proto::dbr::DbrType;
use ca_proto::ids::SubId;
use ca_proto::wire::message::Data;
use ca_proto::wire::{Deframer, SendQueue, datagram_frames, tcp, udp};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn updates(c: &mut Criterion) {
    let chunk = chunk_of_updates();
    let mut group = c.benchmark_group("updates of 40 bytes");
    group.throughput(Throughput::Elements(PER_CHUNK.into()));
    group.bench_function("deframe", |b| {
        let mut deframer = Deframer::new(LIMITS);
        b.iter(|| {
            let mut frames = deframer.frames(black_box(&chunk));
            let mut sum = 0u32;
            while let Some(Ok(frame)) = frames.next() {
                sum = sum.wrapping_add(frame.header.p2);
            }
            sum
        });
    });
    group.bench_function("deframe and parse", |b| {
        let mut deframer = Deframer::new(LIMITS);
        b.iter(|| {
            let mut frames = deframer.frames(black_box(&chunk));
            let mut sum = 0u32;
            while let Some(Ok(frame)) = frames.next() {
                if let Ok(tcp::Response::EventAdd { subid, .. }) = tcp::Response::parse(&frame) {
                    sum = sum.wrapping_add(subid.0);
                }
            }
            sum
        });
    });
    group.bench_function("encode", |b| {
        let mut queue = SendQueue::new();
        b.iter(|| {
            for n in 0..PER_CHUNK {
                update(black_box(n)).encode(&mut queue);
            }
            let len = queue.len();
            queue.clear();
            len
        });
    });
    group.finish();
}

fn search(c: &mut Criterion) {
    let datagram = search_datagram();
    let mut group = c.benchmark_group(format!("search datagram of {NAMES} names"));
    group.throughput(Throughput::Elements(NAMES.into()));
    group.bench_function("parse", |b| {
        b.iter(|| {
            let mut bytes = 0;
            for frame in datagram_frames(black_box(&datagram)).flatten() {
                if let Ok(udp::Request::Search { name, .. }) = udp::Request::parse(&frame) {
                    bytes += name.as_bytes().len();
                }
            }
            bytes
        });
    });
    group.finish();
}

fn large_array(c: &mut Criterion) {
    let mut stream = Vec::new();
    let payload = vec![1; 8 << 20];
    tcp::Response::EventAdd {
        ty: DbrType(6),
        count: 1 << 20,
        status: EcaStatus::NORMAL,
        subid: SubId(1),
        data: Data(&payload),
    }
    .encode_into(&mut stream);
    let mut group = c.benchmark_group("array of 8 MiB");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(payload.len() as u64));
    group.bench_function("deframe from chunks of 64 KiB", |b| {
        let mut deframer = Deframer::new(LIMITS);
        b.iter(|| {
            let mut seen = 0;
            for chunk in stream.chunks(64 * 1024) {
                let mut frames = deframer.frames(black_box(chunk));
                while let Some(Ok(frame)) = frames.next() {
                    seen += frame.payload().len();
                }
            }
            seen
        });
    });
    group.finish();
}

criterion_group!(benches, updates, search, large_array);
criterion_main!(benches);
