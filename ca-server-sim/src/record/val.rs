//! Values of fields, and how one type becomes another.

use std::sync::Arc;

use ca_proto::dbr::{ConvertError, NoState};
use ca_proto::text::format::{RealKind, format_real};
use ca_proto::text::parse::{self, match_enum};

use super::field::Dbf;
use super::link::Link;
use super::short::ShortBytes;
use crate::calc::Expression;
use crate::state::codec::saved;

/// The value of a field.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Val {
    /// `DBF_STRING`, without NUL.
    String(ShortBytes),
    /// `DBF_CHAR`
    Char(i8),
    /// `DBF_UCHAR`
    UChar(u8),
    /// `DBF_SHORT`
    Short(i16),
    /// `DBF_USHORT`
    UShort(u16),
    /// `DBF_LONG`
    Long(i32),
    /// `DBF_ULONG`
    ULong(u32),
    /// `DBF_INT64`
    Int64(i64),
    /// `DBF_UINT64`
    UInt64(u64),
    /// `DBF_FLOAT`
    Float(f32),
    /// `DBF_DOUBLE`
    Double(f64),
    /// `DBF_ENUM`, `DBF_MENU` and `DBF_DEVICE`: the number of a choice.
    Enum(u16),
    /// A link as it was parsed.
    Link(Arc<Link>),
    /// An array.
    Array(Arc<Array>),
    /// An expression that was understood: state of a record's support.
    Program(Arc<Expression>),
    /// Nothing: a field that is not for clients.
    None,
}

macro_rules! arrays {
    ($($name:ident $ty:ty,)+) => {
        /// Elements of one type, only those that are set.
        #[derive(Clone, PartialEq, Debug)]
        #[non_exhaustive]
        pub enum Array {
            $(
                #[doc = concat!("Elements of `Dbf::", stringify!($name), "`.")]
                $name(Vec<$ty>),
            )+
        }

        impl Array {
            /// No elements.
            pub fn empty(dbf: Dbf) -> Self {
                match dbf {
                    $(Dbf::$name => Self::$name(Vec::new()),)+
                    Dbf::Menu | Dbf::Device => Self::Enum(Vec::new()),
                    _ => Self::UChar(Vec::new()),
                }
            }

            /// So many zeros, or empty texts.
            pub fn zeros(dbf: Dbf, count: usize) -> Self {
                match dbf {
                    $(Dbf::$name => Self::$name(vec![<$ty>::default(); count]),)+
                    Dbf::Menu | Dbf::Device => Self::Enum(vec![0; count]),
                    _ => Self::UChar(vec![0; count]),
                }
            }

            /// The type of its elements.
            pub const fn dbf(&self) -> Dbf {
                match self {
                    $(Self::$name(_) => Dbf::$name,)+
                }
            }

            /// How many elements it has.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$name(all) => all.len(),)+
                }
            }

            /// Whether it has none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Keeps the first ones only.
            pub fn truncate(&mut self, count: usize) {
                match self {
                    $(Self::$name(all) => all.truncate(count),)+
                }
            }

            /// One element.
            pub fn get(&self, index: usize) -> Option<Val> {
                match self {
                    $(Self::$name(all) => all.get(index).cloned().map(Val::$name),)+
                }
            }

            /// Appends an element, which is of the array's type.
            fn push(&mut self, val: Val) -> Result<(), ConvertError> {
                match (self, val) {
                    $((Self::$name(all), Val::$name(val)) => all.push(val),)+
                    _ => return Err(ConvertError::Unsupported),
                }
                Ok(())
            }
        }
    };
}

arrays! {
    String ShortBytes,
    Char i8,
    UChar u8,
    Short i16,
    UShort u16,
    Long i32,
    ULong u32,
    Int64 i64,
    UInt64 u64,
    Float f32,
    Double f64,
    Enum u16,
}

impl Array {
    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = Val> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The bytes of its elements as in the memory of a little-endian machine; texts have 40.
    pub(crate) fn each_byte(&self, mut take: impl FnMut(u8)) {
        for element in self.iter() {
            let (bytes, size): (Vec<u8>, usize) = match &element {
                Val::String(text) => (text.to_vec(), 40),
                Val::Float(n) => (n.to_le_bytes().into(), 4),
                Val::Double(n) => (n.to_le_bytes().into(), 8),
                Val::UInt64(n) => (n.to_le_bytes().into(), 8),
                other => {
                    let size = match other {
                        Val::Char(_) | Val::UChar(_) => 1,
                        Val::Short(_) | Val::UShort(_) | Val::Enum(_) => 2,
                        Val::Long(_) | Val::ULong(_) => 4,
                        _ => 8,
                    };
                    (other.as_i64().to_le_bytes().into(), size)
                }
            };
            let padded = bytes.into_iter().chain(std::iter::repeat(0));
            padded.take(size).for_each(&mut take);
        }
    }

    /// The same elements as another type, up to `limit` of them.
    ///
    /// # Errors
    /// For the first element without a conversion.
    pub fn converted(
        &self,
        to: Dbf,
        limit: usize,
        how: &Conversion<'_>,
    ) -> Result<Self, ConvertError> {
        if self.dbf() == to && self.len() <= limit {
            return Ok(self.clone());
        }
        let mut new = Self::empty(to);
        for val in self.iter().take(limit) {
            new.push(val.convert(to, how)?)?;
        }
        Ok(new)
    }

    /// Of single values, up to `limit` of them.
    ///
    /// # Errors
    /// As [`Self::converted`].
    pub fn collect(
        vals: impl IntoIterator<Item = Val>,
        to: Dbf,
        limit: usize,
        how: &Conversion<'_>,
    ) -> Result<Self, ConvertError> {
        let mut new = Self::empty(to);
        for val in vals.into_iter().take(limit) {
            new.push(val.convert(to, how)?)?;
        }
        Ok(new)
    }
}

/// What a conversion between numbers and texts depends on.
#[derive(Clone, Copy, Debug)]
pub struct Conversion<'a> {
    /// Digits behind the point of a real number.
    pub precision: i16,
    /// The texts of a choice's numbers.
    pub choices: Choices<'a>,
}

/// The texts of the choices of a field.
#[derive(Clone, Copy, Debug)]
pub enum Choices<'a> {
    /// Of no menu: the number is the text.
    Number,
    /// States of a record, and what those without a text are called.
    States(&'a [Box<[u8]>], NoState),
    /// A menu, or the device supports of a record type.
    Texts(&'a [Box<str>]),
}

impl Conversion<'_> {
    /// As for a record type that says nothing: six digits, choices as numbers.
    pub const PLAIN: Self = Self {
        precision: 6,
        choices: Choices::Number,
    };
}

impl Default for Conversion<'_> {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl Choices<'_> {
    fn find(&self, text: &[u8]) -> Option<u16> {
        match self {
            Self::Number => parse::parse_u16(text).ok(),
            // An empty text is that of the first state without one (`put_enum_str`).
            // Two states without names have the empty one.
            Self::States([], none)
                if text.is_empty() && none.from == 0 && !none.text.is_empty() =>
            {
                Some(0)
            }
            Self::States(all, none) if text.is_empty() => {
                let beyond =
                    (!all.is_empty() && all.len() < usize::from(none.from)).then_some(all.len());
                let empty = all.iter().position(|text| text.is_empty()).or(beyond);
                empty.and_then(|place| u16::try_from(place).ok())
            }
            Self::States(all, _) => match_enum(text, all.iter().map(|text| &**text)),
            Self::Texts(all) => match_enum(text, all.iter().map(|text| text.as_bytes())),
        }
    }
}

/// A real number to an integer: towards zero, as far as the type goes; NaN is 0, and the smallest number
/// of 32 and 64 bits, as C gives on x86-64.
trait FromReal {
    fn from_real(value: f64) -> Self;
}

macro_rules! from_real {
    ($($ty:ty, $signed:ty = $nan:expr),+) => {
        $(impl FromReal for $ty {
            fn from_real(value: f64) -> Self {
                // Negative numbers of a type without sign are taken by their bits, as on x86-64.
                let low = value < 0.0 && Self::MIN == 0;
                match value.is_nan() {
                    true => $nan,
                    false if low => (value as $signed) as Self,
                    false => value as Self,
                }
            }
        })+
    };
}
from_real!(
    i8,
    i8 = 0,
    u8,
    i8 = 0,
    i16,
    i16 = 0,
    u16,
    i16 = 0,
    i32,
    i32 = Self::MIN,
    u32,
    i32 = 0,
    i64,
    i64 = Self::MIN,
    u64,
    i64 = 1 << 63
);

fn narrow(value: f64) -> f32 {
    let magnitude = value.abs();
    let limited = if !value.is_finite() || value == 0.0 {
        magnitude
    } else {
        magnitude.clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX))
    };
    limited.copysign(value) as f32
}

macro_rules! number {
    ($self:expr, $integer:ident, $real:ident => $result:expr, $r:expr, $other:expr) => {
        match $self {
            Val::Char(n) => {
                let $integer = *n;
                $result
            }
            Val::UChar(n) => {
                let $integer = *n;
                $result
            }
            Val::Short(n) => {
                let $integer = *n;
                $result
            }
            Val::UShort(n) | Val::Enum(n) => {
                let $integer = *n;
                $result
            }
            Val::Long(n) => {
                let $integer = *n;
                $result
            }
            Val::ULong(n) => {
                let $integer = *n;
                $result
            }
            Val::Int64(n) => {
                let $integer = *n;
                $result
            }
            Val::UInt64(n) => {
                let $integer = *n;
                $result
            }
            Val::Float(n) => {
                let $real = f64::from(*n);
                $r
            }
            Val::Double(n) => {
                let $real = *n;
                $r
            }
            _ => $other,
        }
    };
}

#[allow(clippy::cast_lossless, clippy::unnecessary_cast)] // one text for all types
impl Val {
    /// What a field has of which nothing is said.
    pub fn zero(dbf: Dbf) -> Self {
        match dbf {
            Dbf::String => Self::String(ShortBytes::default()),
            Dbf::Char => Self::Char(0),
            Dbf::UChar => Self::UChar(0),
            Dbf::Short => Self::Short(0),
            Dbf::UShort => Self::UShort(0),
            Dbf::Long => Self::Long(0),
            Dbf::ULong => Self::ULong(0),
            Dbf::Int64 => Self::Int64(0),
            Dbf::UInt64 => Self::UInt64(0),
            Dbf::Float => Self::Float(0.0),
            Dbf::Double => Self::Double(0.0),
            Dbf::Enum | Dbf::Menu | Dbf::Device => Self::Enum(0),
            Dbf::InLink | Dbf::OutLink | Dbf::FwdLink => Self::Link(Link::none()),
            Dbf::NoAccess => Self::None,
        }
    }

    /// A text.
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::String(text.as_ref().into())
    }

    /// Whether both are the same, bit for bit (`-0.0` is not `0.0`, and NaN is NaN).
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            _ => self == other,
        }
    }

    /// As a real number; texts and links are 0.
    #[inline]
    pub fn as_f64(&self) -> f64 {
        if let Self::Double(number) = self {
            return *number;
        }
        number!(self, n, r => n as f64, r, 0.0)
    }

    /// As an integer: reals towards zero.
    pub fn as_i64(&self) -> i64 {
        number!(self, n, r => n as i64, i64::from_real(r), 0)
    }

    /// As a number of 32 bits.
    #[inline]
    pub fn as_i32(&self) -> i32 {
        if let Self::Long(number) = self {
            return *number;
        }
        number!(self, n, r => n as i32, i32::from_real(r), 0)
    }

    /// As a number of 32 bits without sign.
    pub fn as_u32(&self) -> u32 {
        number!(self, n, r => n as u32, u32::from_real(r), 0)
    }

    /// As a number of 16 bits without sign.
    #[inline]
    pub fn as_u16(&self) -> u16 {
        if let Self::Enum(number) = self {
            return *number;
        }
        number!(self, n, r => n as u16, u16::from_real(r), 0)
    }

    /// The text of a text.
    pub fn as_text(&self) -> &[u8] {
        match self {
            Self::String(text) => text,
            _ => b"",
        }
    }

    /// How many elements it has.
    pub fn count(&self) -> usize {
        match self {
            Self::Array(array) => array.len(),
            _ => 1,
        }
    }

    /// Its first element.
    pub fn first(&self) -> Option<Self> {
        match self {
            Self::Array(array) => array.get(0),
            _ => Some(self.clone()),
        }
    }

    /// As the value of another type (`dbConvert.c`, `dbFastLinkConv.c` of EPICS Base); of an array its
    /// first element.
    ///
    /// # Errors
    /// [`ConvertError`]: a text that is no number or names no choice, a choice without text.
    pub fn convert(&self, to: Dbf, how: &Conversion<'_>) -> Result<Self, ConvertError> {
        if let Self::Array(array) = self {
            let first = array.get(0).ok_or(ConvertError::ShortPayload)?;
            return first.convert(to, how);
        }
        match (self, to) {
            // hot: what is of the type already.
            (Self::Double(n), Dbf::Double) => return Ok(Self::Double(*n)),
            (Self::Long(n), Dbf::Long) => return Ok(Self::Long(*n)),
            (Self::UShort(n), Dbf::UShort) => return Ok(Self::UShort(*n)),
            (Self::Enum(n), Dbf::Enum | Dbf::Menu | Dbf::Device) => return Ok(Self::Enum(*n)),
            (Self::String(text), _) => return from_text(text, to, how),
            _ => {}
        }
        if to == Dbf::String {
            return self.to_text(how).map(Self::String);
        }
        number!(self, n, r => Ok(match to {
            Dbf::Char => Self::Char(n as i8),
            Dbf::UChar => Self::UChar(n as u8),
            Dbf::Short => Self::Short(n as i16),
            Dbf::UShort => Self::UShort(n as u16),
            Dbf::Long => Self::Long(n as i32),
            Dbf::ULong => Self::ULong(n as u32),
            Dbf::Int64 => Self::Int64(n as i64),
            Dbf::UInt64 => Self::UInt64(n as u64),
            Dbf::Float => Self::Float(narrow(n as f64)),
            Dbf::Double => Self::Double(n as f64),
            Dbf::Enum | Dbf::Menu | Dbf::Device => Self::Enum(n as u16),
            _ => return Err(ConvertError::Unsupported),
        }), Ok(match to {
            Dbf::Char => Self::Char(i8::from_real(r)),
            Dbf::UChar => Self::UChar(u8::from_real(r)),
            Dbf::Short => Self::Short(i16::from_real(r)),
            Dbf::UShort => Self::UShort(u16::from_real(r)),
            Dbf::Long => Self::Long(i32::from_real(r)),
            Dbf::ULong => Self::ULong(u32::from_real(r)),
            Dbf::Int64 => Self::Int64(i64::from_real(r)),
            Dbf::UInt64 => Self::UInt64(u64::from_real(r)),
            Dbf::Float => Self::Float(narrow(r)),
            Dbf::Double => Self::Double(r),
            Dbf::Enum | Dbf::Menu | Dbf::Device => Self::Enum(u16::from_real(r)),
            _ => return Err(ConvertError::Unsupported),
        }), Err(ConvertError::Unsupported))
    }

    /// As a text of any length.
    ///
    /// # Errors
    /// For a choice that has no text, and what has no text at all.
    pub fn to_text(&self, how: &Conversion<'_>) -> Result<ShortBytes, ConvertError> {
        Ok(match self {
            Self::String(text) => text.clone(),
            Self::Enum(n) => match how.choices {
                Choices::Number => n.to_string().into_bytes().into(),
                Choices::States(all, none) => {
                    let text = all.get(usize::from(*n)).map(|text| &**text);
                    text.unwrap_or_else(|| none.text(*n)).into()
                }

                Choices::Texts(all) => {
                    // A number of no choice is its own text (`SSCN`), unless there are none at all.
                    let number = || {
                        if all.is_empty() {
                            String::new()
                        } else {
                            n.to_string()
                        }
                    };
                    let text = all.get(usize::from(*n));
                    text.map_or_else(number, |text| text.to_string())
                        .into_bytes()
                        .into()
                }
            },
            Self::Float(n) => format_real(f64::from(*n), how.precision, RealKind::Float)
                .as_bytes()
                .into(),
            Self::Double(n) => format_real(*n, how.precision, RealKind::Double)
                .as_bytes()
                .into(),
            Self::Link(link) => link.to_string().into_bytes().into(),
            Self::Array(array) => {
                return array.get(0).ok_or(ConvertError::ShortPayload)?.to_text(how);
            }
            Self::Program(_) | Self::None => return Err(ConvertError::Unsupported),
            _ => {
                number!(self, n, _r => n.to_string().into_bytes().into(), ShortBytes::default(), ShortBytes::default())
            }
        })
    }
}

fn from_text(text: &[u8], to: Dbf, how: &Conversion<'_>) -> Result<Val, ConvertError> {
    Ok(match to {
        Dbf::String => Val::String(text.into()),
        Dbf::Char => Val::Char(parse::parse_i8(text)?),
        Dbf::UChar => Val::UChar(parse::parse_u8(text)?),
        Dbf::Short => Val::Short(parse::parse_i16(text)?),
        Dbf::UShort => Val::UShort(parse::parse_u16(text)?),
        Dbf::Long => Val::Long(parse::parse_i32(text)?),
        Dbf::ULong => Val::ULong(parse::parse_u32(text)?),
        Dbf::Int64 => Val::Int64(parse::parse_i64(text)?),
        Dbf::UInt64 => Val::UInt64(parse::parse_u64(text)?),
        Dbf::Float => Val::Float(parse::parse_f32(text)?),
        Dbf::Double => Val::Double(parse::parse_f64(text)?),
        Dbf::Enum | Dbf::Menu | Dbf::Device => {
            Val::Enum(how.choices.find(text).ok_or(ConvertError::UnknownState)?)
        }
        _ => return Err(ConvertError::Unsupported),
    })
}

macro_rules! from {
    ($($ty:ty => $name:ident),+) => {
        $(impl From<$ty> for Val {
            fn from(value: $ty) -> Self {
                Self::$name(value)
            }
        })+
    };
}
from!(i8 => Char, u8 => UChar, i16 => Short, i32 => Long, u32 => ULong, i64 => Int64, u64 => UInt64, f32 => Float, f64 => Double);

impl From<&str> for Val {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<Array> for Val {
    fn from(array: Array) -> Self {
        Self::Array(Arc::new(array))
    }
}

saved!(enum Val {
    0 None,
    1 String(text),
    2 Char(number),
    3 UChar(number),
    4 Short(number),
    5 UShort(number),
    6 Long(number),
    7 ULong(number),
    8 Int64(number),
    9 UInt64(number),
    10 Float(number),
    11 Double(number),
    12 Enum(number),
    13 Link(link),
    14 Array(array),
    15 Program(program),
});
saved!(enum Array {
    0 String(all),
    1 Char(all),
    2 UChar(all),
    3 Short(all),
    4 UShort(all),
    5 Long(all),
    6 ULong(all),
    7 Int64(all),
    8 UInt64(all),
    9 Float(all),
    10 Double(all),
    11 Enum(all),
});

impl Val {
    /// Whether it may be the value of a field of this type: what a file says of it need not be.
    pub(crate) fn suits(&self, dbf: Dbf) -> bool {
        match (self, dbf) {
            (Self::String(_), Dbf::String)
            | (Self::Char(_), Dbf::Char)
            | (Self::UChar(_), Dbf::UChar)
            | (Self::Short(_), Dbf::Short)
            | (Self::UShort(_), Dbf::UShort)
            | (Self::Long(_), Dbf::Long)
            | (Self::ULong(_), Dbf::ULong)
            | (Self::Int64(_), Dbf::Int64)
            | (Self::UInt64(_), Dbf::UInt64)
            | (Self::Float(_), Dbf::Float)
            | (Self::Double(_), Dbf::Double)
            | (Self::Enum(_), Dbf::Enum | Dbf::Menu | Dbf::Device)
            | (Self::Link(_), Dbf::InLink | Dbf::OutLink | Dbf::FwdLink) => true,
            (Self::Program(program), Dbf::NoAccess) => program.goes_on(),
            (Self::Link(_), Dbf::NoAccess) => false,
            (_, Dbf::NoAccess) => true,
            _ => false,
        }
    }
}
