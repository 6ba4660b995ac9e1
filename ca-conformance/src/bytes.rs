//! Requests as bytes: those that clients send, and those that none should.

use ca_proto::wire::{Command, Header, align8};

/// The minor version that the checks announce where nothing else is under test.
pub(super) const MINOR: u16 = 13;

/// A message with the shortest header that holds it; the payload is filled up with zeros to a
/// multiple of 8.
pub(super) fn message(
    command: Command,
    data_type: u16,
    count: u32,
    p1: u32,
    p2: u32,
    payload: &[u8],
) -> Vec<u8> {
    let padded = align8(payload.len());
    let header = Header {
        command,
        payload_len: u32::try_from(padded).unwrap_or(u32::MAX),
        data_type,
        count,
        p1,
        p2,
    };
    let mut out = Vec::with_capacity(header.encoded_len() + padded);
    header.encode(&mut out);
    let end = out.len() + padded;
    out.extend_from_slice(payload);
    out.resize(end, 0);
    out
}

/// A message of nothing but a header.
pub(super) fn bare(command: Command, data_type: u16, count: u32, p1: u32, p2: u32) -> Vec<u8> {
    message(command, data_type, count, p1, p2, &[])
}

/// The 16 bytes of a header as they are given, right or wrong.
pub(super) fn short_header(command: u16, size: u16, data_type: u16, count: u16) -> Vec<u8> {
    [command, size, data_type, count]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .chain([0; 8])
        .collect()
}

/// An extended header as it is given, whether it is needed or not.
pub(super) fn long_header(
    command: Command,
    data_type: u16,
    p1: u32,
    p2: u32,
    size: u32,
    count: u32,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    for half in [command.0, 0xffff, data_type, 0] {
        out.extend_from_slice(&half.to_be_bytes());
    }
    for word in [p1, p2, size, count] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out
}

/// Text with its NUL.
pub(super) fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = text.as_ref().to_vec();
    out.push(0);
    out
}

/// `VERSION` of a circuit, always with a standard header: the server knows no other one yet.
pub(super) fn version(priority: u16, minor: u16) -> Vec<u8> {
    short_header(Command::VERSION.0, 0, priority, minor)
}

/// `VERSION` at the head of a search datagram.
pub(super) fn search_version(minor: u16, sequence: u32) -> Vec<u8> {
    bare(Command::VERSION, 1, minor.into(), sequence, 0)
}

/// `SEARCH` with the same id in both places.
pub(super) fn search(flag: u16, id: u32, name: impl AsRef<[u8]>) -> Vec<u8> {
    message(Command::SEARCH, flag, MINOR.into(), id, id, &text(name))
}

/// `CREATE_CHAN`.
pub(super) fn create(cid: u32, minor: u16, name: impl AsRef<[u8]>) -> Vec<u8> {
    message(Command::CREATE_CHAN, 0, 0, cid, minor.into(), &text(name))
}

/// `EVENT_ADD` with the sixteen bytes of payload that carry the mask.
pub(super) fn event_add(data_type: u16, count: u32, sid: u32, id: u32, mask: u16) -> Vec<u8> {
    let mut payload = [0; 16];
    payload[12..14].copy_from_slice(&mask.to_be_bytes());
    message(Command::EVENT_ADD, data_type, count, sid, id, &payload)
}

/// `CLIENT_NAME` and `HOST_NAME` of this program.
pub(super) fn names() -> Vec<u8> {
    let mut out = message(Command::CLIENT_NAME, 0, 0, 0, 0, &text("conformance"));
    out.extend(message(Command::HOST_NAME, 0, 0, 0, 0, &text("localhost")));
    out
}

/// A number as an element of a base type, the way a client would convert it.
pub(super) fn element(base: u16, value: f64) -> Vec<u8> {
    match base {
        0 => {
            let mut text = value.to_string().into_bytes();
            text.resize(40, 0);
            text
        }
        1 => (value as i16).to_be_bytes().to_vec(),
        2 => (value as f32).to_be_bytes().to_vec(),
        3 => (value as u16).to_be_bytes().to_vec(),
        4 => vec![value as u8],
        5 => (value as i32).to_be_bytes().to_vec(),
        _ => value.to_be_bytes().to_vec(),
    }
}
