//! Conversions between native types as the reference server makes them.
//!
//! Both directions share one table. They differ in the digits of a real number as text, in the text
//! of an enum (the state's for a client, its number for a string field), and in texts to enums,
//! which only exist on writes.
//!
//! One deviation from the reference is deliberate: a real number outside the range of an integer
//! type saturates, where the result of C is undefined (`ca-proto/TRAPS.md`, D13). NaN gives what
//! C gives on x86-64: the smallest `LONG`, and 0 for narrower types.

use alloc::vec::Vec;
use bytes::{BufMut, Bytes};
use thiserror::Error;

use super::value::INLINE_LEN;
use super::{
    DbrType, Element, EnumIndex, Metadata, NativeType, Payload, STRING_LEN, Value, ValueRef,
};
use crate::alarm::AlarmSeverity;
use crate::text::Text40;
use crate::text::format::{RealKind, format_integer, format_real};
use crate::text::parse::{
    self, ParseNumberError, parse_f32, parse_f64, parse_i16, parse_i32, parse_u8,
};

/// Why a value cannot be converted; on the wire `ECA_GETFAIL` or `ECA_PUTFAIL`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The text has no number at its beginning.
    #[error("the text is not a number")]
    NotANumber,
    /// The number does not fit the target type.
    #[error("the number is out of the range of the type")]
    OutOfRange,
    /// The text is none of the state texts, and no number of a state.
    #[error("the text names no state")]
    UnknownState,
    /// There is no such conversion, e.g. from an array of enums to strings, or no such type.
    #[error("there is no conversion between the two types")]
    Unsupported,
    /// The type cannot be read (`PUT_ACKT`) or not be written (`CLASS_NAME`).
    #[error("the type does not exist in this direction")]
    WrongDirection,
    /// The payload holds fewer elements than the message says.
    #[error("the payload is shorter than its element count says")]
    ShortPayload,
}

impl From<ParseNumberError> for ConvertError {
    fn from(error: ParseNumberError) -> Self {
        match error {
            ParseNumberError::NoDigits => Self::NotANumber,
            _ => Self::OutOfRange,
        }
    }
}

/// What a `WRITE` or `WRITE_NOTIFY` asks for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum PutValue<'a> {
    /// Store a value.
    Value(ValueRef<'a>),
    /// `PUT_ACKT`: whether transient alarms need acknowledgement.
    AckTransient(bool),
    /// `PUT_ACKS`: acknowledge alarms up to this severity.
    AckSeverity(AlarmSeverity),
}

/// Cuts the value out of the payload of a `WRITE` or `WRITE_NOTIFY`.
///
/// Structured types are accepted and their metadata ignored, `TIME_STRING` included (the reference
/// fails there by mistake: `ca-proto/TRAPS.md`, D10). The last string may end early, at the end
/// of the payload (`CA_MESSAGE_ALIGN` of EPICS Base).
///
/// # Errors
/// [`ConvertError::ShortPayload`] if `count` elements do not fit the payload (the reference takes
/// the bytes of the next message instead, D1); [`ConvertError::WrongDirection`] for
/// `STSACK_STRING` and `CLASS_NAME`; [`ConvertError::Unsupported`] for codes above 38.
#[inline]
pub fn put_value(ty: DbrType, count: u32, payload: &[u8]) -> Result<PutValue<'_>, ConvertError> {
    // hot: one number without metadata.
    if let (Some(native), 1) = (NativeType::from_code(ty.0), count)
        && native != NativeType::String
        && let Some(data) = payload.get(..native.size())
    {
        let count = 1;
        return Ok(PutValue::Value(ValueRef {
            native,
            count,
            data,
        }));
    }
    put_any(ty, count, payload)
}

fn put_any(ty: DbrType, count: u32, payload: &[u8]) -> Result<PutValue<'_>, ConvertError> {
    if matches!(ty, DbrType::STSACK_STRING | DbrType::CLASS_NAME) {
        return Err(ConvertError::WrongDirection);
    }
    let native = ty.native().ok_or(ConvertError::Unsupported)?;
    let held = payload.len() as u64;
    let need = match native {
        // At least one byte of the last string.
        NativeType::String if count > 0 => ty.size(count - 1) + 1,
        _ => ty.size(count),
    };
    if held < need {
        return Err(ConvertError::ShortPayload);
    }
    // At most the length of the payload.
    let end = ty.size(count).min(held) as usize;
    let data = payload
        .get(ty.value_offset()..end)
        .ok_or(ConvertError::ShortPayload)?;
    if !matches!(ty, DbrType::PUT_ACKT | DbrType::PUT_ACKS) {
        return Ok(PutValue::Value(ValueRef {
            native,
            count,
            data,
        }));
    }
    let word = data.first_chunk().ok_or(ConvertError::ShortPayload)?;
    let word = u16::from_be_bytes(*word);
    Ok(if ty == DbrType::PUT_ACKT {
        PutValue::AckTransient(word != 0)
    } else {
        PutValue::AckSeverity(AlarmSeverity(word))
    })
}

/// Converts a client's value to the native type of the field it is written to
/// (`dbConvert.c` of EPICS Base). All elements are converted; cut the value with
/// [`ValueRef::truncated`] to the length of the field first.
///
/// An empty text is the number 0 if it is the only element, else not a number. The reference goes
/// by the length of the field instead and also refuses a single empty text for an array field.
///
/// # Errors
/// A [`ConvertError`] for the first element without a conversion; nothing is stored then.
pub fn write(value: ValueRef<'_>, to: NativeType, meta: &Metadata) -> Result<Value, ConvertError> {
    let count = value.held();
    let size = (count as usize)
        .checked_mul(to.size())
        .ok_or(ConvertError::OutOfRange)?;
    let rules = Rules::Write(meta);
    let mut small = [0; INLINE_LEN];
    let data = if size <= INLINE_LEN {
        elements(value, to, rules, &mut &mut small[..])?;
        Payload::copy_from(&small[..size])
    } else {
        let mut out = Vec::with_capacity(size);
        elements(value, to, rules, &mut out)?;
        Payload::from(Bytes::from(out))
    };
    Ok(Value::from_parts(to, count, data))
}

/// As [`write()`], without a copy of a large value that needs no conversion: it is kept as a slice of
/// the buffer it lies in, if most of that is the value.
///
/// # Errors
/// As [`write()`].
pub fn write_from(
    buffer: Option<&Bytes>,
    value: ValueRef<'_>,
    to: NativeType,
    meta: &Metadata,
) -> Result<Value, ConvertError> {
    let data = value.held_data();
    let shared = buffer.filter(|buffer| {
        let (whole, part) = (buffer.as_ptr_range(), data.as_ptr_range());
        let inside = whole.start <= part.start && part.end <= whole.end;
        // Texts are cut at their end, so that not all their bytes are kept.
        let as_it_is = value.native == to && to != NativeType::String;
        as_it_is && inside && data.len() > INLINE_LEN && data.len() >= buffer.len() / 2
    });
    match shared {
        Some(buffer) => {
            let data = Payload::from(buffer.slice_ref(data));
            Ok(Value::from_parts(to, value.held(), data))
        }
        None => write(value, to, meta),
    }
}

/// The direction of a conversion, and what is known about the field.
#[derive(Clone, Copy)]
pub(super) enum Rules<'a> {
    /// From the field to a client (`dbConvert.c` of EPICS Base).
    Read(&'a Metadata),
    /// From a client to the field (`dbConvert.c` of EPICS Base).
    Write(&'a Metadata),
}

/// Digits of a real number that is written to a string field (`PROTOCOL.md`, facts verified on the wire).
const WRITE_PRECISION: i16 = 6;

impl Rules<'_> {
    fn real(self, v: f64, kind: RealKind) -> Text40 {
        let precision = match self {
            Self::Read(meta) => meta.precision,
            Self::Write(_) => WRITE_PRECISION,
        };
        format_real(v, precision, kind)
    }

    /// A state number as text: its name for a client, a number for a string field.
    fn state(self, state: EnumIndex) -> Text40 {
        let Self::Read(meta) = self else {
            return format_integer(state.0);
        };
        let text = meta.states.get(state.0);
        let text = text.unwrap_or_else(|| meta.no_state.text(state.0));
        Text40::from_bytes(text)
    }

    fn parse_state(self, text: &[u8]) -> Result<EnumIndex, ConvertError> {
        match self {
            // String fields have no states.
            Self::Read(_) => Err(ConvertError::Unsupported),
            Self::Write(meta) => parse::match_enum(text, meta.states.iter())
                .map(EnumIndex)
                .ok_or(ConvertError::UnknownState),
        }
    }
}

/// Appends the [`held`](ValueRef::held) elements of a value as elements of type `to`.
pub(super) fn elements(
    value: ValueRef<'_>,
    to: NativeType,
    rules: Rules<'_>,
    out: &mut impl BufMut,
) -> Result<(), ConvertError> {
    use NativeType::{Char, Double, Enum, Float, Long, Short, String};
    match (value.native, to) {
        (String, String) => texts(value, out),
        (from, to) if from == to => out.put_slice(value.held_data()),
        (String, Enum) => parsed(value, out, |text| rules.parse_state(text))?,
        (String, Short) => numbers_parsed(value, out, parse_i16)?,
        (String, Float) => numbers_parsed(value, out, parse_f32)?,
        (String, Char) => numbers_parsed(value, out, parse_u8)?,
        (String, Long) => numbers_parsed(value, out, parse_i32)?,
        (String, Double) => numbers_parsed(value, out, parse_f64)?,
        (Short, String) => formatted(value, out, |v: i16| format_integer(v)),
        (Char, String) => formatted(value, out, |v: u8| format_integer(v)),
        (Long, String) => formatted(value, out, |v: i32| format_integer(v)),
        (Enum, String) => formatted(value, out, |v| rules.state(v)),
        (Float, String) => {
            formatted(value, out, |v: f32| rules.real(v.into(), RealKind::Float));
        }
        (Double, String) => formatted(value, out, |v| rules.real(v, RealKind::Double)),
        (Short, _) => numbers::<i16>(value, to, out),
        (Float, _) => numbers::<f32>(value, to, out),
        (Enum, _) => numbers::<EnumIndex>(value, to, out),
        (Char, _) => numbers::<u8>(value, to, out),
        (Long, _) => numbers::<i32>(value, to, out),
        (Double, _) => numbers::<f64>(value, to, out),
    }
    Ok(())
}

/// Appends one number as an element of a type; not for texts.
pub(super) fn put_number(v: f64, to: NativeType, out: &mut impl BufMut) {
    numbers::<f64>(
        ValueRef {
            native: NativeType::Double,
            count: 1,
            data: &v.to_be_bytes(),
        },
        to,
        out,
    );
}

/// As [`put_number`], for an integer.
pub(super) fn put_integer(v: i32, to: NativeType, out: &mut impl BufMut) {
    numbers::<i32>(
        ValueRef {
            native: NativeType::Long,
            count: 1,
            data: &v.to_be_bytes(),
        },
        to,
        out,
    );
}

/// The elements as `f64`, which holds every number of every native type; `None` for texts.
pub(super) fn to_f64s(value: ValueRef<'_>) -> Option<Vec<f64>> {
    fn collect<T: Numeric>(value: ValueRef<'_>) -> Vec<f64> {
        decoded::<T>(value).map(|v| v.number().to_f64()).collect()
    }
    Some(match value.native {
        NativeType::String => return None,
        NativeType::Short => collect::<i16>(value),
        NativeType::Float => collect::<f32>(value),
        NativeType::Enum => collect::<EnumIndex>(value),
        NativeType::Char => collect::<u8>(value),
        NativeType::Long => collect::<i32>(value),
        NativeType::Double => collect::<f64>(value),
    })
}

/// The first element as [`to_f64s`] gives it.
pub(super) fn to_f64(value: ValueRef<'_>) -> Option<f64> {
    fn first<T: Numeric>(value: ValueRef<'_>) -> Option<f64> {
        decoded::<T>(value).next().map(|v| v.number().to_f64())
    }
    match value.native {
        NativeType::String => None,
        NativeType::Short => first::<i16>(value),
        NativeType::Float => first::<f32>(value),
        NativeType::Enum => first::<EnumIndex>(value),
        NativeType::Char => first::<u8>(value),
        NativeType::Long => first::<i32>(value),
        NativeType::Double => first::<f64>(value),
    }
}

/// Any number of a native type, exactly.
#[derive(Clone, Copy)]
enum Number {
    Int(i32),
    Real(f64),
}

impl Number {
    fn to_f64(self) -> f64 {
        match self {
            Self::Int(v) => v.into(),
            Self::Real(v) => v,
        }
    }
}

/// An element that is a number; `from_number` keeps the low bits of integers and saturates reals.
trait Numeric: Element {
    fn number(self) -> Number;
    fn from_number(number: Number) -> Self;
}

macro_rules! numeric {
    ($($ty:ty: $number:expr, $int:expr, $real:expr;)*) => {$(
        impl Numeric for $ty {
            fn number(self) -> Number { ($number)(self) }
            fn from_number(number: Number) -> Self {
                match number {
                    Number::Int(v) => ($int)(v),
                    Number::Real(v) => ($real)(v),
                }
            }
        }
    )*};
}

numeric! {
    i16: |v| Number::Int(i32::from(v)), |v: i32| v as i16, |v: f64| v as i16;
    i32: Number::Int, |v| v, |v: f64| if v.is_nan() { Self::MIN } else { v as Self };
    u8: |v| Number::Int(i32::from(v)), |v: i32| v as u8, real_to_byte;
    EnumIndex: |v: EnumIndex| Number::Int(v.0.into()), |v| EnumIndex(v as u16), real_to_state;
    f32: |v| Number::Real(f64::from(v)), |v: i32| v as f32, real_to_single;
    f64: Number::Real, f64::from, |v| v;
}

/// A byte has no sign on the wire, so both -128..=-1 and 128..=255 are within its range: the
/// reference sends a limit of -10 as 0xf6 (`PROTOCOL.md`, facts verified on the wire).
fn real_to_byte(v: f64) -> u8 {
    if v < 0.0 { (v as i8) as u8 } else { v as u8 }
}

/// Negative numbers that fit 16 bits are sent as these bits, as from x86-64 servers (verified on the
/// wire: -2.75 as `ENUM` is 0xfffe).
fn real_to_state(v: f64) -> EnumIndex {
    EnumIndex(if v < 0.0 { (v as i16) as u16 } else { v as u16 })
}

/// Keeps finite numbers finite and non-zero numbers from zero (`epicsConvertDoubleToFloat`).
fn real_to_single(v: f64) -> f32 {
    let magnitude = libm::fabs(v);
    let sign = if v < 0.0 { -1.0 } else { 1.0 };
    if magnitude == 0.0 || !v.is_finite() {
        v as f32
    } else if magnitude >= f64::from(f32::MAX) {
        sign * f32::MAX
    } else if magnitude <= f64::from(f32::MIN_POSITIVE) {
        sign * f32::MIN_POSITIVE
    } else {
        v as f32
    }
}

fn decoded<T: Element>(value: ValueRef<'_>) -> impl Iterator<Item = T> {
    let data = value.held_data();
    data.chunks_exact(T::NATIVE.size()).map(T::from_wire)
}

fn numbers<T: Numeric>(value: ValueRef<'_>, to: NativeType, out: &mut impl BufMut) {
    fn cast<T: Numeric, U: Numeric>(value: ValueRef<'_>, out: &mut impl BufMut) {
        // hot: arrays whose type differs from the one asked for.
        decoded::<T>(value).for_each(|v| U::from_number(v.number()).put(out));
    }
    match to {
        // Texts are made by `formatted`.
        NativeType::String => out.put_bytes(0, value.held() as usize * STRING_LEN),
        NativeType::Short => cast::<T, i16>(value, out),
        NativeType::Float => cast::<T, f32>(value, out),
        NativeType::Enum => cast::<T, EnumIndex>(value, out),
        NativeType::Char => cast::<T, u8>(value, out),
        NativeType::Long => cast::<T, i32>(value, out),
        NativeType::Double => cast::<T, f64>(value, out),
    }
}

fn formatted<T: Element>(value: ValueRef<'_>, out: &mut impl BufMut, format: impl Fn(T) -> Text40) {
    decoded(value).for_each(|v| out.put_slice(format(v).as_wire()));
}

fn texts(value: ValueRef<'_>, out: &mut impl BufMut) {
    for index in 0..value.held() {
        let text = value.string(index).unwrap_or_default();
        out.put_slice(Text40::from_bytes(text).as_wire());
    }
}

fn parsed<T: Element>(
    value: ValueRef<'_>,
    out: &mut impl BufMut,
    parse: impl Fn(&[u8]) -> Result<T, ConvertError>,
) -> Result<(), ConvertError> {
    for index in 0..value.held() {
        // At most 39 bytes count (`db_access.h` of EPICS Base).
        let text = Text40::from_bytes(value.string(index).unwrap_or_default());
        parse(text.as_bytes())?.put(out);
    }
    Ok(())
}

fn numbers_parsed<T: Element>(
    value: ValueRef<'_>,
    out: &mut impl BufMut,
    parse: impl Fn(&[u8]) -> Result<T, ParseNumberError>,
) -> Result<(), ConvertError> {
    let alone = value.held() == 1;
    parsed(value, out, |text| match text {
        [] if !alone => Err(ConvertError::NotANumber),
        _ => Ok(parse(text)?),
    })
}
