//! The frames: every message re-encodes to the bytes that were captured.

use ca_proto::wire::dump::{Direction, DumpFrame};
use ca_proto::wire::{Deframer, Frame, FrameLimits, SendQueue, datagram_frames, tcp, udp};

use super::{Capture, captures};

/// Messages that do not come out as they were captured, and why: all of them were made by hand to
/// see what the IOC does with them. What libca, the IOC and the repeater sent has no exception.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("echo.extended", "the header is longer than need be"),
    (
        "create_chan.empty",
        "no payload; we end the empty name with a NUL",
    ),
    ("bad_length", "4 bytes of payload, no frame"),
    ("host_name.late", "P1 has no meaning in HOST_NAME"),
    ("client_name.late", "P1 has no meaning in CLIENT_NAME"),
    (
        "host_name.empty",
        "no payload; we end the empty name with a NUL",
    ),
    ("host_name.no_nul", "unterminated; the last byte is lost"),
    (
        "write.CLASS_NAME.extended",
        "the header is longer than need be",
    ),
];

/// The same message, decoded and encoded again; in words if it could not be decoded.
fn again(capture: &Capture, frame: &Frame<'_>) -> Result<Vec<u8>, String> {
    let mut queue = SendQueue::new();
    macro_rules! through {
        ($kind:ty) => {
            <$kind>::parse(frame)
                .map(|message| message.encode(&mut queue))
                .map_err(|error| error.to_string())
        };
    }
    match capture.direction {
        Direction::TcpRequest => through!(tcp::Request<'_>),
        Direction::TcpResponse => through!(tcp::Response<'_>),
        Direction::UdpRequest => through!(udp::Request<'_>),
        Direction::UdpResponse => through!(udp::Response<'_>),
    }?;
    Ok(queue.to_vec())
}

/// Runs `check` on the frame that the captured bytes are.
fn with_frame<T>(
    capture: &Capture,
    check: impl FnOnce(&Frame<'_>) -> Result<T, String>,
) -> Result<T, String> {
    if matches!(
        capture.direction,
        Direction::UdpRequest | Direction::UdpResponse
    ) {
        let frame = datagram_frames(&capture.bytes).next();
        return check(
            &frame
                .ok_or("no frame")?
                .map_err(|error| error.to_string())?,
        );
    }
    let mut deframer = Deframer::new(FrameLimits {
        max_payload: 1 << 20,
        extended: true,
    });
    let mut frames = deframer.frames(&capture.bytes);
    let frame = frames.next().ok_or("no whole frame")?;
    check(&frame.map_err(|error| error.to_string())?)
}

fn problem(capture: &Capture) -> Option<String> {
    let outcome = with_frame(capture, |frame| {
        let line = DumpFrame {
            frame,
            direction: capture.direction,
        };
        println!("{:9} {:40} {line}", capture.source, capture.name);
        if line.is_malformed() && capture.source != "client" {
            return Err(format!("malformed: {line}"));
        }
        again(capture, frame)
    });
    match outcome {
        Err(error) => Some(error),
        Ok(bytes) if bytes != capture.bytes => Some(format!("comes out as {bytes:02x?}")),
        Ok(_) => None,
    }
}

#[test]
fn every_captured_message_comes_out_as_it_was() {
    let mut used = vec![false; EXCEPTIONS.len()];
    let mut wrong = Vec::new();
    for capture in captures().iter().filter(|c| !c.bytes.is_empty()) {
        let Some(problem) = problem(capture) else {
            continue;
        };
        let known = EXCEPTIONS
            .iter()
            .position(|(name, _)| capture.name == *name && capture.source == "client");
        match known {
            Some(at) => used[at] = true,
            None => wrong.push(format!(
                "{}: {} from {}: {problem}\n    was {:02x?}",
                capture.file, capture.name, capture.source, capture.bytes
            )),
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
    for ((name, reason), used) in EXCEPTIONS.iter().zip(used) {
        assert!(
            used,
            "{name} comes out as it was: it is no exception ({reason})"
        );
    }
}
