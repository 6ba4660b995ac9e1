//! What a client receives: a DBR structure, kept as it came and looked at on demand.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use thiserror::Error;

use super::value::INLINE_LEN;
use super::{
    Acknowledge, DbrType, Element, EnumIndex, EnumStates, Family, Limits, NativeType, Payload,
    Units, Value, ValueRef, convert, meta,
};
use crate::alarm::{Alarm, AlarmSeverity, AlarmStatus};
use crate::text::format::{RealKind, format_real};
use crate::time::Timestamp;
use crate::wire::Frame;

/// A received payload that is not the structure its header claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ReadingError {
    /// The type code is above 38.
    #[error("{0} is no known type")]
    UnknownType(DbrType),
    /// The payload is too short for its type and count.
    #[error("{ty} with {count} elements needs {need} bytes, {len} came")]
    ShortPayload {
        /// Type of the structure.
        ty: DbrType,
        /// Elements that the message claims.
        count: u32,
        /// Bytes that came.
        len: usize,
        /// Bytes that are needed.
        need: u64,
    },
}

/// A value as it came from a server, with whatever its DBR type carries beside it.
///
/// Nothing is decoded before it is asked for. Small values are kept inline, large ones share the
/// buffer they were received in; clones never copy an array.
///
/// Metadata accessors give `None` if the type does not carry the item: [`alarm`](Self::alarm) needs
/// `STS` or more, [`timestamp`](Self::timestamp) `TIME`, [`units`](Self::units) and
/// [`limits`](Self::limits) `GR` or `CTRL` of a number, [`states`](Self::states) those of an enum.
/// Element accessors give `None` beyond the last element and for a type that does not fit.
///
/// # Examples
/// ```
/// use ca_proto::AlarmSeverity;
/// use ca_proto::dbr::{DbrType, Reading};
/// use ca_proto::wire::{Command, Frame, Header};
///
/// // A reply of type TIME_LONG with one element.
/// let payload = [
///     0, 3, 0, 2, 0x45, 0x61, 0x65, 0x2b, 0, 0, 0, 0, 0, 0, 0, 42,
/// ];
/// let frame = Frame::new(Header::new(Command::READ_NOTIFY), &payload);
/// let reading = Reading::from_frame(DbrType(19), 1, &frame)?;
/// assert_eq!(reading.get_f64(0), Some(42.0));
/// assert_eq!(reading.to_string(), "42");
/// let alarm = reading.alarm().expect("TIME types carry it");
/// assert_eq!(alarm.severity, AlarmSeverity::MAJOR);
/// let stamp = reading.timestamp().expect("TIME types carry it");
/// assert_eq!(stamp.to_string(), "2026-11-20T08:19:55.000000000Z");
/// assert_eq!(reading.units(), None);
/// # Ok::<(), ca_proto::dbr::ReadingError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Reading {
    ty: DbrType,
    count: u32,
    data: Payload,
}

impl Reading {
    /// Takes a structure out of a received message.
    ///
    /// A large payload is shared if the frame owns its buffer, else copied. The last string may be
    /// shorter than 40 bytes, as in replies to the obsolete `READ` (`read_action` of EPICS Base).
    ///
    /// # Errors
    /// [`ReadingError`] if the type is unknown or the payload too short for `count` elements.
    pub fn from_frame(ty: DbrType, count: u32, frame: &Frame<'_>) -> Result<Self, ReadingError> {
        let mut reading = Self::empty();
        reading.set(ty, count, frame)?;
        Ok(reading)
    }

    /// A reading without elements, to be [set](Self::set).
    pub const fn empty() -> Self {
        Self {
            ty: DbrType::new(Family::Plain, NativeType::Char),
            count: 0,
            data: Payload::EMPTY,
        }
    }

    /// As [`from_frame`](Self::from_frame), into a reading that has its place already: a move of one
    /// that was only just made costs more than to make it.
    ///
    /// # Errors
    /// As [`from_frame`](Self::from_frame); the reading is as before.
    // hot: every update and every answer to a read.
    #[inline]
    pub fn set(&mut self, ty: DbrType, count: u32, frame: &Frame<'_>) -> Result<(), ReadingError> {
        if !ty.is_valid() {
            return Err(ReadingError::UnknownType(ty));
        }
        let payload = frame.payload();
        let size = ty.size(count);
        if (payload.len() as u64) < size {
            check_short(ty, count, payload.len())?;
        }
        // At most the length of the payload.
        let len = size.min(payload.len() as u64) as usize;
        match frame.shared() {
            // A structure in front of much junk does not keep it alive.
            Some(buffer) if len > INLINE_LEN && len >= buffer.len() / 2 => {
                self.data = Payload::from(buffer.slice(..len));
            }
            _ => self.data.set(&payload[..len]),
        }
        self.ty = ty;
        self.count = count;
        Ok(())
    }

    /// A reading of what is known to be such a structure.
    #[inline]
    pub(super) const fn from_parts(ty: DbrType, count: u32, data: Payload) -> Self {
        Self { ty, count, data }
    }

    /// Type of the structure.
    pub const fn ty(&self) -> DbrType {
        self.ty
    }

    /// Type of the elements.
    pub fn native(&self) -> NativeType {
        self.value().native
    }

    /// Number of elements.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The structure as it came, without padding.
    pub const fn payload(&self) -> &Payload {
        &self.data
    }

    /// The elements.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        let data = self.data.as_slice();
        ValueRef {
            // The constructor refuses types without one.
            native: self.ty.native().unwrap_or(NativeType::Char),
            count: self.count,
            data: data.get(self.ty.value_offset()..).unwrap_or_default(),
        }
    }

    /// The elements as they came, big-endian; shared with the reading if they are large.
    pub fn value_bytes(&self) -> Bytes {
        match self.data.shared() {
            Some(data) => data.slice(self.ty.value_offset().min(data.len())..),
            None => Bytes::copy_from_slice(self.value().data),
        }
    }

    /// The elements as a value to keep or to send on; large arrays are shared.
    pub fn to_value(&self) -> Value {
        let data = Payload::from(self.value_bytes());
        Value::from_parts(self.native(), self.count, data)
    }
}

/// A payload that is shorter than its structure: the last string may be, down to one byte.
#[cold]
fn check_short(ty: DbrType, count: u32, len: usize) -> Result<(), ReadingError> {
    let need = match (ty.native(), count) {
        (Some(NativeType::String), 1..) => ty.size(count - 1) + 1,
        _ => ty.size(count),
    };
    if (len as u64) < need {
        return Err(ReadingError::ShortPayload {
            ty,
            count,
            len,
            need,
        });
    }
    Ok(())
}

/// What stands beside the value.
impl Reading {
    /// Alarm status and severity.
    pub fn alarm(&self) -> Option<Alarm> {
        let (status, severity) = meta::alarm(self.ty, self.data.as_slice())?;
        Some(Alarm::new(AlarmStatus(status), AlarmSeverity(severity)))
    }

    /// Alarm severity, which [`alarm`](Self::alarm) has too: `None` in the plain family and in
    /// `CLASS_NAME`, which carry none.
    pub fn severity(&self) -> Option<AlarmSeverity> {
        self.alarm().map(|alarm| alarm.severity)
    }

    /// When the value was made, according to the server.
    pub fn timestamp(&self) -> Option<Timestamp> {
        let (secs, nanos) = meta::timestamp(self.ty, self.data.as_slice())?;
        Some(Timestamp { secs, nanos })
    }

    /// Engineering units.
    pub fn units(&self) -> Option<Units> {
        meta::units(self.ty, self.data.as_slice())
    }

    /// Digits after the point that suit the value; real types only.
    pub fn precision(&self) -> Option<i16> {
        meta::precision(self.ty, self.data.as_slice())
    }

    /// Display, alarm, warning and control limits, whatever the native type.
    ///
    /// Limits the server does not define are NaN in real types and 0 in integer types; the control
    /// limits are NaN if the type is not `CTRL`. Bytes are taken as numbers from 0 to 255.
    pub fn limits(&self) -> Option<Limits> {
        meta::limits(self.ty, self.data.as_slice())
    }

    /// The state texts of an enum.
    pub fn states(&self) -> Option<EnumStates> {
        meta::states(self.ty, self.data.as_slice())
    }

    /// The state of acknowledgement, from `STSACK_STRING`.
    pub fn acknowledge(&self) -> Option<Acknowledge> {
        let (transient, severity) = meta::acknowledge(self.ty, self.data.as_slice())?;
        Some(Acknowledge {
            transient: transient != 0,
            severity: AlarmSeverity(severity),
        })
    }
}

/// Elements as numbers and texts.
impl Reading {
    /// Element `index`, if the elements are of type `T`; no conversion.
    #[inline]
    pub fn get<T: Element>(&self, index: u32) -> Option<T> {
        let value = self.value();
        let bytes = value.element_bytes(index)?;
        (value.native == T::NATIVE).then(|| T::from_wire(bytes))
    }

    /// All elements, if they are of type `T`; no conversion.
    pub fn to_vec<T: Element>(&self) -> Option<Vec<T>> {
        Some(self.value().elements()?.collect())
    }

    /// Element `index` as a number, from any type but strings; exact for all of them.
    pub fn get_f64(&self, index: u32) -> Option<f64> {
        let value = self.value();
        let element = ValueRef {
            native: value.native,
            count: 1,
            data: value.element_bytes(index)?,
        };
        convert::to_f64(element)
    }

    /// All elements as numbers, from any type but strings; exact for all of them.
    pub fn to_f64s(&self) -> Option<Vec<f64>> {
        convert::to_f64s(self.value())
    }

    /// The elements of a `CHAR` array, without a copy.
    pub fn bytes(&self) -> Option<&[u8]> {
        let value = self.value();
        (value.native == NativeType::Char).then_some(value.data)
    }

    /// The text in a `CHAR` array up to its first NUL (a long string); bytes that are not UTF-8
    /// become U+FFFD.
    pub fn long_string(&self) -> Option<Cow<'_, str>> {
        let bytes = self.bytes()?;
        let text = bytes.split(|&b| b == 0).next()?;
        Some(String::from_utf8_lossy(text))
    }

    /// The state number of an enum.
    pub fn enum_index(&self) -> Option<u16> {
        Some(self.get::<EnumIndex>(0)?.0)
    }

    /// The text of the state of an enum, if the type carries the texts (`GR` and `CTRL`).
    pub fn enum_label(&self) -> Option<Cow<'_, str>> {
        let text = self.state_text(self.enum_index()?)?;
        Some(String::from_utf8_lossy(text))
    }

    fn state_text(&self, state: u16) -> Option<&[u8]> {
        meta::state(self.ty, self.data.as_slice(), state)
    }

    /// Element `index` as text for humans.
    ///
    /// Real numbers have the precision of the structure if it carries one, else as many digits as
    /// tell the number from all others; enums give the text of their state if the structure
    /// carries it, else the number; bytes are numbers.
    pub fn string(&self, index: u32) -> Option<String> {
        let value = self.value();
        match value.native {
            NativeType::String => {
                let text = value.string(index)?;
                Some(String::from_utf8_lossy(text).into_owned())
            }
            NativeType::Short => self.get::<i16>(index).map(|v| v.to_string()),
            NativeType::Char => self.get::<u8>(index).map(|v| v.to_string()),
            NativeType::Long => self.get::<i32>(index).map(|v| v.to_string()),
            NativeType::Enum => self.get::<EnumIndex>(index).map(|v| self.state_string(v.0)),
            NativeType::Float => self.get::<f32>(index).map(|v| match self.precision() {
                Some(precision) => real_string(v.into(), precision, RealKind::Float),
                None => alloc::format!("{v:?}"),
            }),
            NativeType::Double => self.get::<f64>(index).map(|v| match self.precision() {
                Some(precision) => real_string(v, precision, RealKind::Double),
                None => alloc::format!("{v:?}"),
            }),
        }
    }

    /// All elements as [`string`](Self::string) gives them.
    pub fn strings(&self) -> impl Iterator<Item = String> {
        (0..self.count).map_while(|index| self.string(index))
    }

    fn state_string(&self, state: u16) -> String {
        match self.state_text(state) {
            Some(text) => String::from_utf8_lossy(text).into_owned(),
            None => state.to_string(),
        }
    }
}

fn real_string(v: f64, precision: i16, kind: RealKind) -> String {
    // The blanks in front of the exponent form align columns.
    let text = format_real(v, precision, kind).to_string();
    text.trim_start().to_string()
}

/// All elements as text, with blanks between them.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, text) in self.strings().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&text)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Elements that are shown.
        const SHOWN: u32 = 8;
        write!(f, "{}[{}] {{", self.ty, self.count)?;
        for index in 0..self.count.min(SHOWN) {
            write!(f, " {}", self.string(index).unwrap_or_default())?;
        }
        f.write_str(if self.count > SHOWN { " … }" } else { " }" })
    }
}
