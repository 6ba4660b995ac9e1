//! The state of a PV at one moment, and how it is written into a DBR structure.

use alloc::sync::Arc;
use bytes::{BufMut, Bytes};

use super::convert::{self, Rules};
use super::layout::{self, Field, MAX_STATES, STATE_LEN, UNITS_LEN};
use super::{ConvertError, DbrType, Metadata, NativeType, Value};
use crate::alarm::{Alarm, AlarmSeverity};
use crate::text::Text40;
use crate::time::Timestamp;

/// Alarm acknowledgement state of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledge {
    /// ACKT: whether transient alarms need acknowledgement.
    pub transient: bool,
    /// ACKS: highest severity not yet acknowledged.
    pub severity: AlarmSeverity,
}

impl Default for Acknowledge {
    /// As a record starts: transient alarms need acknowledgement, nothing is pending.
    fn default() -> Self {
        Self {
            transient: true,
            severity: AlarmSeverity::NO_ALARM,
        }
    }
}

/// A PV at one moment. Clones share arrays and metadata and never allocate.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    /// The value in the PV's native type.
    pub value: Value,
    /// Alarm status and severity.
    pub alarm: Alarm,
    /// When the value was made.
    pub stamp: Timestamp,
    /// Acknowledgement state.
    pub ack: Acknowledge,
    /// Units, limits and the like.
    pub meta: Arc<Metadata>,
}

impl Snapshot {
    /// Alarm severity; [`alarm`](Self::alarm) has the status too.
    pub const fn severity(&self) -> AlarmSeverity {
        self.alarm.severity
    }

    /// Appends the DBR structure of type `ty` with exactly `count` elements, without padding.
    ///
    /// Elements beyond the value are zeros; with `count` 0 only the part before the value is
    /// written. Every byte is defined, also in pads and behind texts. The
    /// caller has compared [`DbrType::size`] with its limit before. Scalars do not allocate.
    ///
    /// # Errors
    /// A [`ConvertError`] if an element has no conversion to the type
    /// ([`ConvertError::WrongDirection`] for `PUT_ACKT` and `PUT_ACKS`); what was appended until
    /// then is of no use, the caller cuts it off.
    ///
    /// # Panics
    /// As the methods of [`BufMut`]: if `out` has no room and cannot grow.
    pub fn encode(
        &self,
        ty: DbrType,
        count: u32,
        out: &mut impl BufMut,
    ) -> Result<(), ConvertError> {
        let native = readable(ty)?;
        self.put_meta(ty, native, out);
        let held = if ty == DbrType::CLASS_NAME {
            self.put_class(count, out)
        } else {
            self.put_elements(native, count, out)?
        };
        let rest = u64::from(count - held) * native.size() as u64;
        // Beyond the address space no buffer could be limited either.
        out.put_bytes(0, usize::try_from(rest).unwrap_or(usize::MAX));
        Ok(())
    }

    /// As [`encode`](Self::encode), without a copy of the elements if they are a shared array of
    /// the type asked for: then only the part before the value is appended, and the bytes that
    /// follow are returned.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    ///
    /// # Panics
    /// As [`encode`](Self::encode).
    pub fn encode_shared(
        &self,
        ty: DbrType,
        count: u32,
        out: &mut impl BufMut,
    ) -> Result<Option<Bytes>, ConvertError> {
        if let Some(elements) = self.shareable(ty, count) {
            self.put_meta(ty, self.value.native(), out);
            return Ok(Some(elements));
        }
        self.encode(ty, count, out).map(|()| None)
    }

    /// The first `count` elements if they are shared and need no conversion. Strings do: they are
    /// sent with a NUL, whatever came in.
    fn shareable(&self, ty: DbrType, count: u32) -> Option<Bytes> {
        let native = self.value.native();
        ty.family()?;
        if self.cuts_text(native, count) {
            return None;
        }
        if ty.native() != Some(native) || native == NativeType::String {
            return None;
        }
        let shared = self.value.payload().shared()?;
        let len = (count as usize).checked_mul(native.size())?;
        (len <= shared.len()).then(|| shared.slice(..len))
    }

    /// Appends the name of the record type, which is one string whatever the count.
    fn put_class(&self, count: u32, out: &mut impl BufMut) -> u32 {
        if count == 0 {
            return 0;
        }
        out.put_slice(Text40::from(&*self.meta.class).as_wire());
        1
    }

    /// Appends up to `count` elements and tells how many there were.
    fn put_elements(
        &self,
        native: NativeType,
        count: u32,
        out: &mut impl BufMut,
    ) -> Result<u32, ConvertError> {
        let all = self.value.as_ref();
        // The NUL is among the zeros that follow.
        let some = all.truncated(count - u32::from(self.cuts_text(native, count)));
        // Arrays have no state texts (`dbConvert.c` of EPICS Base).
        let texts = (all.native, native) == (NativeType::Enum, NativeType::String);
        if texts && all.count > 1 && count > 0 {
            return Err(ConvertError::Unsupported);
        }
        convert::elements(some, native, Rules::Read(&self.meta), out)?;
        Ok(some.held())
    }

    /// Whether a long string does not fit `count` elements.
    fn cuts_text(&self, native: NativeType, count: u32) -> bool {
        self.meta.long_string
            && native == NativeType::Char
            && count > 0
            && count < self.value.count()
    }

    /// Appends all that stands before the value.
    fn put_meta(&self, ty: DbrType, native: NativeType, out: &mut impl BufMut) {
        let meta = &*self.meta;
        // Only real fields have a precision, only enums have states (`db_access.h` and `dbConvert.c` of EPICS Base).
        let real = self.value.native().is_real();
        let integer = matches!(
            self.value.native(),
            NativeType::Short | NativeType::Long | NativeType::Enum
        );
        let states = (self.value.native() == NativeType::Enum).then_some(&meta.states);
        for (field, ..) in layout::fields(ty) {
            match field {
                Field::Status => out.put_u16(self.alarm.status.0),
                Field::Severity => out.put_u16(self.alarm.severity.0),
                Field::Seconds => out.put_u32(self.stamp.secs),
                Field::Nanoseconds => out.put_u32(self.stamp.nanos),
                Field::Precision => out.put_i16(if real { meta.precision } else { 0 }),
                Field::Units => put_text(meta.units.as_bytes(), UNITS_LEN - 1, UNITS_LEN, out),
                Field::Limit(limit) => match meta.limits.get(limit) {
                    // Undefined limits are 0 in integer types, NaN in the others, whatever the value
                    // is (`get_alarm` in Base's `dbAccess.c`).
                    v if v.is_nan() && !native.is_real() => convert::put_number(0.0, native, out),
                    v if v.is_nan() => convert::put_number(v, native, out),
                    // Limits of an integer are integers, of which the low bits are sent.
                    v if integer => convert::put_integer(v as i32, native, out),
                    v => convert::put_number(v, native, out),
                },
                // At most 16.
                Field::StateCount => {
                    out.put_u16(states.map_or(0, |s| s.len().min(MAX_STATES) as u16));
                }
                Field::States => {
                    for index in 0..MAX_STATES as u16 {
                        let text = states.and_then(|s| s.get(index)).unwrap_or_default();
                        // One that is longer is cut so that its NUL fits.
                        let most = STATE_LEN - usize::from(text.len() > STATE_LEN);
                        put_text(text, most, STATE_LEN, out);
                    }
                }
                Field::AckTransient => out.put_u16(self.ack.transient.into()),
                Field::AckSeverity => out.put_u16(self.ack.severity.0),
                Field::Pad(len) => out.put_bytes(0, len.into()),
            }
        }
    }
}

/// The type of the elements of a structure that can be read.
fn readable(ty: DbrType) -> Result<NativeType, ConvertError> {
    match ty {
        DbrType::PUT_ACKT | DbrType::PUT_ACKS => Err(ConvertError::WrongDirection),
        _ => ty.native().ok_or(ConvertError::Unsupported),
    }
}

/// Appends `size` bytes: at most `max` of a text, then zeros.
fn put_text(text: &[u8], max: usize, size: usize, out: &mut impl BufMut) {
    let len = text.len().min(max);
    out.put_slice(&text[..len]);
    out.put_bytes(0, size - len);
}
