//! The messages that carry values to a server (`tcpiiu::writeRequest` of EPICS Base).

use bytes::{BufMut, Bytes};

use super::error::OpError;
use crate::dbr::{DbrType, NativeType, STRING_LEN, Value};
use crate::ids::{Cid, Ioid, Sid};
use crate::wire::header::STANDARD_LEN;
use crate::wire::send_queue::SHARE_FROM;
use crate::wire::{Command, Header, SendQueue, align8};

const PADDING: [u8; 8] = [0; 8];

/// Which of the two messages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Write(Cid),
    /// As a write, with the identifier of a request in place of the channel's.
    Checked(Ioid),
    Notify(Ioid),
}

/// Whether a value can travel as this type: 0 to 6 are the type of the value itself, 35 and 36 one
/// 16-bit integer.
// hot: every put.
#[inline]
pub(super) fn check(ty: DbrType, value: &Value) -> Result<(), OpError> {
    if ty.0 == value.native() as u16 && value.native() != NativeType::String {
        return Ok(());
    }
    check_other(ty, value)
}

/// Whether what is not the number of its own type can travel so.
#[cold]
fn check_other(ty: DbrType, value: &Value) -> Result<(), OpError> {
    match ty {
        DbrType::PUT_ACKT | DbrType::PUT_ACKS => {
            if !matches!(value.native(), NativeType::Enum | NativeType::Short) {
                return Err(OpError::BadType(ty));
            }
            if value.count() != 1 {
                return Err(OpError::BadCount {
                    asked: value.count(),
                    available: 1,
                });
            }
        }
        _ if ty.0 != value.native() as u16 => return Err(OpError::BadType(ty)),
        _ => {}
    }
    if value.native() == NativeType::String {
        let value = value.as_ref();
        let unterminated = |i| value.string(i).is_none_or(|text| text.len() >= STRING_LEN);
        if (0..value.count).any(unterminated) {
            return Err(OpError::BadString);
        }
    }
    Ok(())
}

/// Appends the message of a value that passed [`check`]. One string travels with its NUL only,
/// arrays of strings with 40 bytes each; large values are shared, not copied.
// hot: every put.
#[inline]
pub(super) fn encode(queue: &mut SendQueue, kind: Kind, sid: Sid, ty: DbrType, value: &Value) {
    let (command, p2) = match kind {
        Kind::Write(cid) => (Command::WRITE, cid.0),
        Kind::Checked(ioid) => (Command::WRITE, ioid.0),
        Kind::Notify(ioid) => (Command::WRITE_NOTIFY, ioid.0),
    };
    let header = Header {
        data_type: ty.0,
        count: value.count(),
        p1: sid.0,
        p2,
        ..Header::new(command)
    };
    let data = value.as_ref();
    match data.data.first_chunk() {
        Some(double) if (data.native, data.count) == (NativeType::Double, 1) => {
            encode_double(queue, header, *double);
        }
        _ => encode_any(queue, header, value),
    }
}

/// A double, which goes with its header in one piece, as each append looks for room.
#[inline]
fn encode_double(queue: &mut SendQueue, header: Header, double: [u8; 8]) {
    let mut message = [0; STANDARD_LEN + 8];
    let (head, payload) = message.split_at_mut(STANDARD_LEN);
    head.copy_from_slice(&header.standard(8, 1));
    payload.copy_from_slice(&double);
    queue.put_slice(&message);
}

fn encode_any(queue: &mut SendQueue, header: Header, value: &Value) {
    let data = value.as_ref();
    let len = match data.string(0) {
        Some(text) if data.count == 1 => text.len() + 1,
        // A buffer may end with a part of an element.
        _ => data
            .data
            .len()
            .min(data.native.size() * data.count as usize),
    };
    let padded = align8(len);
    let header = Header {
        // Checked against the limit of the client, 32 bits.
        payload_len: padded as u32,
        ..header
    };
    match value.payload().shared() {
        Some(shared) if len >= SHARE_FROM => {
            queue.put(|flat| header.encode(flat));
            queue.put_shared(Bytes::slice(shared, ..len));
            queue.put_slice(&PADDING[..padded - len]);
        }
        _ => queue.put(|flat| {
            header.encode(flat);
            flat.put_slice(&data.data[..len.min(data.data.len())]);
            flat.put_bytes(0, padded - len.min(data.data.len()));
        }),
    }
}
