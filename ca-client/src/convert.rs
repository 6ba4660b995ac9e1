//! Between the types of a program and the types of the wire.

mod wide;

use std::fmt;

use bytes::Bytes;
use ca_proto::alarm::{Alarm, AlarmSeverity};
use ca_proto::dbr::{
    DbrType, Element, EnumIndex, Family, Metadata, NativeType, Reading, STRING_LEN, Value,
    ValueRef, convert,
};
use ca_proto::time::Timestamp;
use thiserror::Error;

use crate::{ReadSpec, TypeSpec};

/// Why a value cannot be what the program asked for, or cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The PV is an array without elements at the moment. Read a `Vec` instead.
    #[error("the array has no elements; read it as a Vec")]
    Empty,
    /// The received value has no sensible form in the wanted type.
    #[error("a {from} does not convert to the wanted type: {reason}")]
    Convert {
        /// Type that was received.
        from: NativeType,
        /// What is in the way.
        reason: convert::ConvertError,
    },
    /// The received number is outside of the wanted type's range.
    #[error("the number {0} is outside of the range of the wanted type")]
    OutOfRange(i64),
    /// What was received as a whole number is infinite or no number at all.
    #[error("the value is not a number, or infinite; read it as an f64")]
    NoNumber,
    /// A whole number above 2⁵³, which a `DOUBLE` does not hold to its last digit.
    #[error(
        "a DBR_DOUBLE does not hold {0} to its last digit, and the wire has no longer type; put it as an f64"
    )]
    Inexact(i128),
    /// A text does not fit a DBR_STRING (39 bytes). Write it to a `CHAR` array as
    /// [`LongString`], for record fields through the modifier `$`.
    #[error(
        "a text of {0} bytes does not fit a DBR_STRING of 39; write a LongString to a CHAR array, \
         for fields of records by the name with `$`"
    )]
    TextTooLong(usize),
    /// A text with a NUL inside, which would end it there.
    #[error("the text has a NUL at offset {0}, which ends texts on the wire")]
    Nul(usize),
    /// A state text that the PV does not have.
    #[error("the PV has no state with this text")]
    UnknownState,
}

/// A type that values of PVs can be read as.
///
/// The server converts: reading an `f64` asks for `DBR_DOUBLE` whatever the PV's native type is.
/// Scalars ask for one element, vectors for as many as the PV has at the moment.
///
/// | Rust | on the wire |
/// |---|---|
/// | `f64`, `f32`, `i32`, `i16`, `u8` | `DOUBLE`, `FLOAT`, `LONG`, `SHORT`, `CHAR` |
/// | `bool`, `u16` | `LONG`, not zero or range-checked |
/// | `u32`, `i64`, `u64` | `DOUBLE`, range-checked, without its fraction; exact up to 2⁵³ |
/// | [`EnumIndex`] | `ENUM` |
/// | `String` | `STRING`, up to 39 bytes; what is not UTF-8 becomes U+FFFD |
/// | [`LongString`] | array of `CHAR` up to the first NUL |
/// | `Vec` of numbers or `String`, [`Strings`] | the whole array |
/// | [`Value`] | the native type, the whole array, arrays without copy |
/// | [`Stamped<T>`] | as `T`, with alarm and time stamp |
/// | [`EnumState`] | `ENUM` with its texts |
/// | [`Reading`] | the native type with alarm and time stamp, the whole array, as it came |
#[diagnostic::on_unimplemented(
    message = "a PV cannot be read as `{Self}`",
    label = "Channel Access has no such type",
    note = "numbers of up to 64 bits, `bool`, `String`, `LongString`, `Vec` of them, `EnumState`, `Stamped<T>`, `Value` and `Reading` can be read"
)]
pub trait FromReading: Sized {
    /// The native type to ask for; `None` for the PV's own.
    const NATIVE: Option<NativeType>;
    /// The element count to ask for; 0 for as many as there are at the moment.
    const COUNT: u32;

    /// The family to ask for: what has to come along with the value.
    const FAMILY: Family = Family::Plain;

    /// Takes the value out of what came. Other types than the one asked for are converted, so
    /// that monitor updates can be used too.
    ///
    /// # Errors
    /// [`ValueError`] when there is no element, or no conversion.
    fn from_reading(reading: &Reading) -> Result<Self, ValueError>;

    /// As [`from_reading`](Self::from_reading), of a reading that nobody else needs.
    ///
    /// # Errors
    /// As [`from_reading`](Self::from_reading).
    #[inline]
    fn from_owned(reading: Reading) -> Result<Self, ValueError> {
        Self::from_reading(&reading)
    }
}

/// What reading a `T` asks the server for.
pub(crate) const fn read_spec<T: FromReading>() -> ReadSpec {
    ReadSpec {
        ty: match T::NATIVE {
            Some(native) => TypeSpec::Exact(DbrType::new(T::FAMILY, native)),
            None => TypeSpec::Family(T::FAMILY),
        },
        count: T::COUNT,
    }
}

/// The same with something else coming along.
pub(crate) const fn with_family(spec: ReadSpec, family: Family) -> ReadSpec {
    let ty = match spec.ty {
        TypeSpec::Exact(ty) => match ty.native() {
            Some(native) => TypeSpec::Exact(DbrType::new(family, native)),
            None => TypeSpec::Family(family),
        },
        TypeSpec::Family(_) => TypeSpec::Family(family),
    };
    ReadSpec { ty, ..spec }
}

pub(crate) const fn with_type(spec: ReadSpec, ty: DbrType) -> ReadSpec {
    ReadSpec {
        ty: TypeSpec::Exact(ty),
        ..spec
    }
}

fn elements<T: Element>(value: ValueRef<'_>) -> Result<Vec<T>, ValueError> {
    if let Some(elements) = value.elements() {
        return Ok(elements.collect());
    }
    let converted = converted(value, T::NATIVE)?;
    Ok(converted
        .as_ref()
        .elements()
        .map_or_else(Vec::new, Iterator::collect))
}

fn first<T: Element>(value: ValueRef<'_>) -> Result<T, ValueError> {
    if let Some(mut elements) = value.elements() {
        return elements.next().ok_or(ValueError::Empty);
    }
    let converted = converted(value, T::NATIVE)?;
    let first = converted.as_ref().elements().and_then(|mut all| all.next());
    first.ok_or(ValueError::Empty)
}

fn converted(value: ValueRef<'_>, to: NativeType) -> Result<Value, ValueError> {
    convert::write(value, to, &Metadata::default()).map_err(|reason| ValueError::Convert {
        from: value.native,
        reason,
    })
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

macro_rules! elements {
    ($($ty:ty),*) => {$(
        impl FromReading for $ty {
            const NATIVE: Option<NativeType> = Some(<Self as Element>::NATIVE);
            const COUNT: u32 = 1;
            fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
                first(reading.value())
            }
        }

        impl FromReading for Vec<$ty> {
            const NATIVE: Option<NativeType> = Some(<$ty as Element>::NATIVE);
            const COUNT: u32 = 0;
            fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
                elements(reading.value())
            }
        }

        impl IntoValue for $ty {
            fn into_value(self) -> Result<Value, ValueError> {
                Ok(Value::scalar(self))
            }
        }

        impl IntoValue for Vec<$ty> {
            fn into_value(self) -> Result<Value, ValueError> {
                Ok(Value::array(&self))
            }
        }

        impl IntoValue for &Vec<$ty> {
            fn into_value(self) -> Result<Value, ValueError> {
                Ok(Value::array(self))
            }
        }

        impl IntoValue for &[$ty] {
            fn into_value(self) -> Result<Value, ValueError> {
                Ok(Value::array(self))
            }
        }

        impl<const N: usize> IntoValue for [$ty; N] {
            fn into_value(self) -> Result<Value, ValueError> {
                Ok(Value::array(&self))
            }
        }
    )*};
}

/// A type that can be written to PVs; the server converts to the PV's native type.
///
/// Numbers travel in their own type, `bool` and `u16` as `LONG`, `u32`, `i64` and `u64` as `DOUBLE` (an error
/// above 2⁵³), texts as `STRING` (a state text selects the state of an enum), [`LongString`] as an array of `CHAR`. `Value` and
/// `Bytes`-backed arrays are sent without a copy.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be put to a PV",
    label = "Channel Access has no such type",
    note = "numbers, `bool`, texts, `LongString`, lists of numbers or texts, and `Value` can be put"
)]
pub trait IntoValue {
    /// Makes the value that is sent.
    ///
    /// # Errors
    /// [`ValueError`] for a text that the wire would cut.
    fn into_value(self) -> Result<Value, ValueError>;
}

elements!(f64, f32, i32, i16, u8, EnumIndex);

impl FromReading for bool {
    const NATIVE: Option<NativeType> = Some(NativeType::Long);
    const COUNT: u32 = 1;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        Ok(first::<i32>(reading.value())? != 0)
    }
}

impl FromReading for u16 {
    const NATIVE: Option<NativeType> = Some(NativeType::Long);
    const COUNT: u32 = 1;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        let number = first::<i32>(reading.value())?;
        Self::try_from(number).map_err(|_| ValueError::OutOfRange(number.into()))
    }
}

impl FromReading for String {
    const NATIVE: Option<NativeType> = Some(NativeType::String);
    const COUNT: u32 = 1;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        let value = reading.value();
        if value.native == NativeType::String {
            return value.string(0).map(lossy).ok_or(ValueError::Empty);
        }
        let text = converted(value, NativeType::String)?;
        text.as_ref().string(0).map(lossy).ok_or(ValueError::Empty)
    }
}

/// Several strings; `Vec<String>` can be read and put as well.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Strings(pub Vec<String>);

impl FromReading for Strings {
    const NATIVE: Option<NativeType> = Some(NativeType::String);
    const COUNT: u32 = 0;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        let value = reading.value();
        let texts = (0..value.count).map_while(|n| value.string(n)).map(lossy);
        Ok(Self(texts.collect()))
    }
}

/// A text in an array of `CHAR`: longer than the 39 bytes of a `DBR_STRING`.
///
/// The way to texts of records above 39 bytes is the field name with `$` (`X.NAME$`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LongString(pub String);

impl fmt::Display for LongString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromReading for LongString {
    const NATIVE: Option<NativeType> = Some(NativeType::Char);
    const COUNT: u32 = 0;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        let value = reading.value();
        let bytes = match value.native {
            NativeType::Char => value.data,
            _ => return String::from_reading(reading).map(Self),
        };
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        Ok(Self(lossy(bytes.get(..end).unwrap_or_default())))
    }
}

/// What came, as it is: the native type with alarm and time stamp, all elements.
impl FromReading for Reading {
    const NATIVE: Option<NativeType> = None;
    const COUNT: u32 = 0;
    const FAMILY: Family = Family::Time;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        Ok(reading.clone())
    }
    #[inline]
    fn from_owned(reading: Reading) -> Result<Self, ValueError> {
        Ok(reading)
    }
}

impl FromReading for Value {
    const NATIVE: Option<NativeType> = None;
    const COUNT: u32 = 0;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        Ok(reading.to_value())
    }
}

/// The elements as they came: big-endian, without copy for arrays.
impl FromReading for Bytes {
    const NATIVE: Option<NativeType> = None;
    const COUNT: u32 = 0;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        Ok(reading.value_bytes())
    }
}

/// A value with its alarm and time stamp.
#[derive(Clone, PartialEq, Debug)]
pub struct Stamped<T> {
    /// The value.
    pub value: T,
    /// Alarm status and severity.
    pub alarm: Alarm,
    /// When the server made the value.
    pub timestamp: Timestamp,
}

impl<T> Stamped<T> {
    /// Alarm severity; [`alarm`](Self::alarm) has the status too.
    pub const fn severity(&self) -> AlarmSeverity {
        self.alarm.severity
    }
}

impl<T: FromReading> FromReading for Stamped<T> {
    const NATIVE: Option<NativeType> = T::NATIVE;
    const COUNT: u32 = T::COUNT;
    const FAMILY: Family = Family::Time;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        Ok(Self {
            value: T::from_reading(reading)?,
            alarm: reading.alarm().unwrap_or_default(),
            timestamp: reading.timestamp().unwrap_or_default(),
        })
    }
}

/// The state of an enum: its index, and its text when the PV has one for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EnumState {
    /// Index of the state, usually 0 to 15.
    pub index: u16,
    /// Text of the state, up to 25 bytes; what is not UTF-8 becomes U+FFFD.
    pub label: Option<String>,
}

/// The text, or the index if there is none.
impl fmt::Display for EnumState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Some(label) => f.pad(label),
            None => fmt::Display::fmt(&self.index, f),
        }
    }
}

impl FromReading for EnumState {
    const NATIVE: Option<NativeType> = Some(NativeType::Enum);
    const COUNT: u32 = 1;
    const FAMILY: Family = Family::Gr;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        let EnumIndex(index) = first(reading.value())?;
        let states = reading.states();
        let label = states.as_ref().and_then(|states| states.get(index));
        Ok(Self {
            index,
            label: label.map(lossy),
        })
    }
}

impl IntoValue for Value {
    fn into_value(self) -> Result<Value, ValueError> {
        Ok(self)
    }
}

impl IntoValue for &Value {
    fn into_value(self) -> Result<Value, ValueError> {
        Ok(self.clone())
    }
}

impl IntoValue for bool {
    fn into_value(self) -> Result<Value, ValueError> {
        i32::from(self).into_value()
    }
}

fn check_text(text: &str) -> Result<(), ValueError> {
    if let Some(at) = text.bytes().position(|b| b == 0) {
        return Err(ValueError::Nul(at));
    }
    if text.len() >= STRING_LEN {
        return Err(ValueError::TextTooLong(text.len()));
    }
    Ok(())
}

impl IntoValue for &str {
    fn into_value(self) -> Result<Value, ValueError> {
        check_text(self)?;
        Ok(Value::string(self))
    }
}

impl IntoValue for String {
    fn into_value(self) -> Result<Value, ValueError> {
        self.as_str().into_value()
    }
}

impl IntoValue for &String {
    fn into_value(self) -> Result<Value, ValueError> {
        self.as_str().into_value()
    }
}

impl IntoValue for Strings {
    fn into_value(self) -> Result<Value, ValueError> {
        self.0.iter().try_for_each(|text| check_text(text))?;
        Ok(Value::strings(&self.0))
    }
}

impl<const N: usize> IntoValue for [&str; N] {
    fn into_value(self) -> Result<Value, ValueError> {
        self.iter().try_for_each(|text| check_text(text))?;
        Ok(Value::strings(&self))
    }
}

impl IntoValue for LongString {
    /// With a NUL at its end, as the reference tools send it.
    fn into_value(self) -> Result<Value, ValueError> {
        if let Some(at) = self.0.bytes().position(|b| b == 0) {
            return Err(ValueError::Nul(at));
        }
        let mut bytes = self.0.into_bytes();
        bytes.push(0);
        Ok(Value::from_wire(NativeType::Char, Bytes::from(bytes)))
    }
}
