//! The wire alone.

use std::hint::black_box;

use ca_bench::wire::{LIMITS, NAMES, PER_CHUNK, chunk_of_updates, search_datagram, update};
use ca_proto::wire::{Deframer, SendQueue, datagram_frames, tcp, udp};

use crate::Work;

const ROUNDS: usize = 50;

/// Splits and parses a chunk of updates.
pub(crate) fn parse() -> Work {
    let chunk = chunk_of_updates();
    let mut deframer = Deframer::new(LIMITS);
    Box::new(move || {
        for _ in 0..ROUNDS {
            let mut frames = deframer.frames(black_box(&chunk));
            let mut found = 0;
            while let Some(Ok(frame)) = frames.next() {
                let parsed = tcp::Response::parse(&frame);
                found += u32::from(matches!(parsed, Ok(tcp::Response::EventAdd { .. })));
            }
            assert_eq!(found, PER_CHUNK);
        }
    })
}

/// Encodes a chunk of updates.
pub(crate) fn encode() -> Work {
    let mut queue = SendQueue::new();
    Box::new(move || {
        for _ in 0..ROUNDS {
            (0..PER_CHUNK).for_each(|n| update(black_box(n)).encode(&mut queue));
            black_box(queue.len());
            queue.clear();
        }
    })
}

/// Parses a full search datagram.
pub(crate) fn search() -> Work {
    let datagram = search_datagram();
    Box::new(move || {
        for _ in 0..20 * ROUNDS {
            let mut found = 0;
            for frame in datagram_frames(black_box(&datagram)).flatten() {
                let parsed = udp::Request::parse(&frame);
                found += u32::from(matches!(parsed, Ok(udp::Request::Search { .. })));
            }
            assert_eq!(found, NAMES);
        }
    })
}
