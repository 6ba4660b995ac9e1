//! The state machines in memory: updates, reads and connections per second, on one thread.

#![allow(missing_docs)] // Criterion's macros generate undocumented items.

use std::hint::black_box;

use ca_bench::pair::Pair;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 1000;

fn updates(c: &mut Criterion) {
    let mut group = c.benchmark_group("updates");
    group.throughput(Throughput::Elements(BATCH as u64));
    for pvs in [1000, 100_000] {
        let (mut pair, handles, cids) = Pair::new(pvs);
        pair.subscribe(&cids);
        let mut value = 0.0;
        let mut next = 0;
        let mut post_batch = |pair: &mut Pair| {
            for _ in 0..BATCH {
                value += 1.0;
                pair.post(handles[next], value);
                next = (next + 7919) % pvs;
            }
        };
        group.bench_function(BenchmarkId::new("server: post and encode", pvs), |b| {
            b.iter(|| {
                post_batch(&mut pair);
                black_box(pair.fetch())
            });
        });
        group.bench_function(BenchmarkId::new("server and client", pvs), |b| {
            b.iter(|| {
                post_batch(&mut pair);
                pair.fetch();
                pair.deliver();
            });
        });
        group.bench_function(BenchmarkId::new("client: decode and deliver", pvs), |b| {
            post_batch(&mut pair);
            pair.fetch();
            b.iter(|| pair.deliver());
        });
    }
    group.finish();
}

fn reads(c: &mut Criterion) {
    let mut group = c.benchmark_group("reads, 1000 in flight");
    group.throughput(Throughput::Elements(BATCH as u64));
    for pvs in [1000, 100_000] {
        let (mut pair, _, cids) = Pair::new(pvs);
        let mut next = 0;
        group.bench_function(BenchmarkId::new("client and server", pvs), |b| {
            b.iter(|| {
                for _ in 0..BATCH {
                    pair.read(cids[next]);
                    next = (next + 7919) % pvs;
                }
                pair.settle();
            });
        });
        assert!(pair.count.replies >= BATCH as u64);
    }
    group.finish();
}

fn connect(c: &mut Criterion) {
    let mut group = c.benchmark_group("search and create");
    group.sample_size(10);
    for pvs in [1000, 60_000] {
        group.throughput(Throughput::Elements(pvs as u64));
        group.bench_function(BenchmarkId::new("channels", pvs), |b| {
            b.iter_batched(|| (), |()| Pair::new(pvs), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, updates, reads, connect);
criterion_main!(benches);
