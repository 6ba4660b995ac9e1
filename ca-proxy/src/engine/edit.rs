//! Changes inside of encoded messages.

use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::Bytes;
use ca_proto::wire::header::EXTENDED_LEN;
use ca_proto::wire::message::SAME_ADDRESS;
use ca_proto::wire::{Frame, Header, tcp};

use super::circuit::PortFor;
use crate::rule::Field;

/// Offset of the header's third field, the port of a search reply.
const DATA_TYPE_AT: usize = 4;
const P1_AT: usize = 8;
const P2_AT: usize = 12;
/// The right to write in `ACCESS_RIGHTS`.
const WRITE: u32 = 2;

/// A search reply that leads to this proxy; `None` if no port of it leads to that server.
///
/// The address becomes "where this came from", which is the proxy for its client. `from` is the
/// address of the sender and stands for such a reply of the server itself.
pub(super) fn reply(data: &Bytes, from: SocketAddrV4, port_for: PortFor<'_>) -> Option<Bytes> {
    let server = server_of(data, *from.ip())?;
    let port = port_for(server)?;
    Some(edited(data, |out| {
        put(out, DATA_TYPE_AT, &port.to_be_bytes());
        put(out, P1_AT, &u32::from(SAME_ADDRESS).to_be_bytes());
    }))
}

/// The server that a search reply names.
fn server_of(data: &[u8], from: Ipv4Addr) -> Option<SocketAddrV4> {
    let (header, _) = Header::decode(data, true)?;
    // Both transports have port and address in the same fields.
    let frame = Frame::new(header, &[]);
    let Ok(tcp::Response::Search { port, server, .. }) = tcp::Response::parse(&frame) else {
        return None;
    };
    let ip = if server == SAME_ADDRESS { from } else { server };
    Some(SocketAddrV4::new(ip, port.0))
}

/// The message with other rights.
pub(super) fn rights(data: &Bytes, rights: u32) -> Bytes {
    edited(data, |out| put(out, P2_AT, &rights.to_be_bytes()))
}

/// A message about rights without that to write.
pub(super) fn without_write(data: Bytes) -> Bytes {
    match Header::decode(&data, true) {
        Some((header, _)) => rights(&data, header.p2 & !WRITE),
        None => data,
    }
}

/// The message with a field that has a value, or some of whose bits are turned.
pub(super) fn corrupt(
    data: &Bytes,
    header_len: usize,
    field: Field,
    value: Option<u32>,
    random: u32,
) -> Bytes {
    let extended = header_len == EXTENDED_LEN;
    let (at, width) = match field {
        Field::Command => (0, 2),
        Field::PayloadLen if extended => (16, 4),
        Field::PayloadLen => (2, 2),
        Field::DataType => (DATA_TYPE_AT, 2),
        Field::Count if extended => (20, 4),
        Field::Count => (6, 2),
        Field::P1 => (P1_AT, 4),
        Field::P2 => (P2_AT, 4),
        Field::Payload(byte) => (header_len.saturating_add(byte), 1),
    };
    edited(data, |out| {
        let Some(place) = out.get_mut(at..).and_then(|rest| rest.get_mut(..width)) else {
            return;
        };
        match value {
            Some(value) => place.copy_from_slice(&value.to_be_bytes()[4 - width..]),
            None => {
                // At least the lowest bit changes.
                let turned = (random | 1).to_be_bytes();
                for (byte, turn) in place.iter_mut().zip(&turned[4 - width..]) {
                    *byte ^= turn;
                }
            }
        }
    })
}

fn edited(data: &[u8], edit: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = data.to_vec();
    edit(&mut out);
    Bytes::from(out)
}

fn put(out: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = out.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
