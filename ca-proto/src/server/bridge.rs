//! Conversions without a change of type, until the general ones are there.

use bytes::{BufMut, Bytes};

use crate::alarm::AlarmSeverity;
use crate::dbr::layout::{Field, fields};
use crate::dbr::{ConvertError, DbrType, Snapshot, ValueRef};

/// A value cut out of a write.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum PutValue<'a> {
    /// Elements in the client's type.
    Value(ValueRef<'a>),
    /// ACKT.
    AckTransient(bool),
    /// ACKS.
    AckSeverity(AlarmSeverity),
}

pub(super) fn put_value(
    ty: DbrType,
    count: u32,
    payload: &[u8],
) -> Result<PutValue<'_>, ConvertError> {
    let native = match (ty.family(), ty.native()) {
        (Some(_), Some(native)) => native,
        (None, Some(_)) if ty.0 < 37 => {
            let [high, low, ..] = *payload else {
                return Err(ConvertError::ShortPayload);
            };
            let word = u16::from_be_bytes([high, low]);
            return Ok(if ty == DbrType::PUT_ACKT {
                PutValue::AckTransient(word != 0)
            } else {
                PutValue::AckSeverity(AlarmSeverity(word))
            });
        }
        _ => return Err(ConvertError::WrongDirection),
    };
    let data = payload
        .get(ty.value_offset()..)
        .ok_or(ConvertError::ShortPayload)?;
    let len = native.size() as u64 * u64::from(count);
    let data = match data.get(..usize::try_from(len).unwrap_or(usize::MAX)) {
        Some(data) => data,
        None if native.size() == 40 && count > 0 && data.len() as u64 > len - 40 => data,
        None => return Err(ConvertError::ShortPayload),
    };
    Ok(PutValue::Value(ValueRef {
        native,
        count,
        data,
    }))
}

pub(super) fn encode_shared(
    snapshot: &Snapshot,
    ty: DbrType,
    count: u32,
    out: &mut impl BufMut,
) -> Result<Option<Bytes>, ConvertError> {
    if ty == DbrType::CLASS_NAME {
        out.put_slice(snapshot.meta.class.as_bytes());
        out.put_bytes(0, 40 - snapshot.meta.class.len());
        return Ok(None);
    }
    if ty.family().is_none() || ty.native() != Some(snapshot.value.native()) {
        return Err(ConvertError::Unsupported);
    }
    for (field, _, size) in fields(ty) {
        match field {
            Field::Status => out.put_u16(snapshot.alarm.status.0),
            Field::Severity => out.put_u16(snapshot.alarm.severity.0),
            Field::Seconds => out.put_u32(snapshot.stamp.secs),
            Field::Nanoseconds => out.put_u32(snapshot.stamp.nanos),
            _ => out.put_bytes(0, size),
        }
    }
    let size = snapshot.value.native().size() as u64;
    let len = (size * u64::from(count.min(snapshot.value.count()))) as usize;
    if let Some(data) = snapshot.value.payload().shared() {
        return Ok(Some(data.slice(..len)));
    }
    out.put_slice(&snapshot.value.as_ref().data[..len]);
    Ok(None)
}
