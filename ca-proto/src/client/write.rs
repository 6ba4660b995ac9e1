//! The messages that carry values to a server (`client-and-tools` 5.5).

use bytes::{BufMut, Bytes};

use super::error::OpError;
use crate::dbr::{DbrType, NativeType, STRING_LEN, Value};
use crate::ids::{Cid, Ioid, Sid};
use crate::wire::send_queue::SHARE_FROM;
use crate::wire::{Command, Header, SendQueue, align8};

const PADDING: [u8; 8] = [0; 8];

/// Which of the two messages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Write(Cid),
    Notify(Ioid),
}

/// Whether a value can travel as this type: 0 to 6 are the type of the value itself, 35 and 36 one
/// 16-bit integer.
pub(super) fn check(ty: DbrType, value: &Value) -> Result<(), OpError> {
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
pub(super) fn encode(queue: &mut SendQueue, kind: Kind, sid: Sid, ty: DbrType, value: &Value) {
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
    let (command, p2) = match kind {
        Kind::Write(cid) => (Command::WRITE, cid.0),
        Kind::Notify(ioid) => (Command::WRITE_NOTIFY, ioid.0),
    };
    let header = Header {
        // Checked against the limit of the client, 32 bits.
        payload_len: padded as u32,
        data_type: ty.0,
        count: data.count,
        p1: sid.0,
        p2,
        ..Header::new(command)
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
