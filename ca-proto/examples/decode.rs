//! Frames on the wire: made, taken apart however the stream is cut, and printed.
//!
//! `cargo run -p ca-proto --example decode` prints both.

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Ioid, Sid};
use ca_proto::wire::dump::{Direction, StreamDump};
use ca_proto::wire::{Deframer, FrameLimits, tcp};

fn main() {
    for line in run() {
        println!("{line}");
    }
}

/// The example; what it prints.
pub fn run() -> Vec<String> {
    let read = tcp::Request::ReadNotify {
        ty: DbrType::new(Family::Time, NativeType::Double),
        count: 1,
        sid: Sid(7),
        ioid: Ioid(1),
    };
    let mut bytes = Vec::new();
    for request in [tcp::Request::EventsOn {}, read] {
        request.encode_into(&mut bytes);
    }

    // A stream is cut anywhere.
    let mut deframer = Deframer::new(FrameLimits {
        max_payload: 1 << 14,
        extended: true,
    });
    let mut parsed = Vec::new();
    for chunk in bytes.chunks(10) {
        let mut frames = deframer.frames(chunk);
        while let Some(frame) = frames.next() {
            let frame = frame.expect("what was encoded is a frame");
            let request = tcp::Request::parse(&frame).expect("and a request");
            parsed.push(format!("{request:?}"));
        }
    }

    // The printer of `canter dump` shows the same bytes for people.
    let mut dump = StreamDump::new(Direction::TcpRequest);
    dump.feed(&bytes, |line| parsed.push(line.to_string()));
    parsed
}
