//! DBR: the structures in which values travel.

pub mod brief;
pub mod convert;
pub mod layout;
pub mod meta;
pub mod reading;
pub mod snapshot;
pub mod value;

use core::fmt;

pub use brief::Brief;
pub use convert::{ConvertError, PutValue};
pub use meta::{EnumStates, Limits, Metadata, NoState, Range, Units};
pub use reading::{Reading, ReadingError};
pub use snapshot::{Acknowledge, Snapshot};
pub use value::{Element, EnumIndex, Payload, Value, ValueRef};

/// Bytes of one `DBR_STRING` element.
pub const STRING_LEN: usize = 40;

/// The seven native types, in the order of their wire codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum NativeType {
    /// 40 bytes of text, NUL-terminated.
    String = 0,
    /// `i16`, also called INT.
    Short = 1,
    /// `f32`.
    Float = 2,
    /// `u16` index into up to 16 state texts.
    Enum = 3,
    /// `u8`.
    Char = 4,
    /// `i32`.
    Long = 5,
    /// `f64`.
    Double = 6,
}

impl NativeType {
    /// All seven in order of their codes.
    pub const ALL: [Self; 7] = [
        Self::String,
        Self::Short,
        Self::Float,
        Self::Enum,
        Self::Char,
        Self::Long,
        Self::Double,
    ];

    /// The type with this wire code.
    pub const fn from_code(code: u16) -> Option<Self> {
        if code < 7 {
            Some(Self::ALL[code as usize])
        } else {
            None
        }
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::String => STRING_LEN,
            Self::Short | Self::Enum => 2,
            Self::Float | Self::Long => 4,
            Self::Char => 1,
            Self::Double => 8,
        }
    }

    /// `STRING`, `SHORT`, … without a prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "STRING",
            Self::Short => "SHORT",
            Self::Float => "FLOAT",
            Self::Enum => "ENUM",
            Self::Char => "CHAR",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
        }
    }

    /// True for `FLOAT` and `DOUBLE`, which have a precision.
    pub const fn is_real(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }
}

impl fmt::Display for NativeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DBF_{}", self.name())
    }
}

/// The families of DBR types: what travels beside the value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum Family {
    /// The value alone.
    #[default]
    Plain = 0,
    /// Alarm status and severity.
    Sts = 1,
    /// Alarm and time stamp.
    Time = 2,
    /// Alarm, units, precision, display, alarm and warning limits; state texts for enums.
    Gr = 3,
    /// As [`Gr`](Self::Gr), and control limits.
    Ctrl = 4,
}

impl Family {
    /// All five in order of their codes.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Sts, Self::Time, Self::Gr, Self::Ctrl];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Sts => "STS_",
            Self::Time => "TIME_",
            Self::Gr => "GR_",
            Self::Ctrl => "CTRL_",
        }
    }
}

/// A DBR type code as it stands in a message; codes above 38 are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct DbrType(pub u16);

impl DbrType {
    /// Write-only: whether transient alarms need acknowledgement (`u16`).
    pub const PUT_ACKT: Self = Self(35);
    /// Write-only: severity being acknowledged (`u16`).
    pub const PUT_ACKS: Self = Self(36);
    /// Read-only: alarm, acknowledgement state and text.
    pub const STSACK_STRING: Self = Self(37);
    /// Read-only: name of the record type.
    pub const CLASS_NAME: Self = Self(38);
    /// Number of codes, 0 to 38.
    pub const COUNT: u16 = 39;

    /// The code of a native type in a family.
    pub const fn new(family: Family, native: NativeType) -> Self {
        Self(family as u16 * 7 + native as u16)
    }

    /// True for codes 0 to 38.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.0 < Self::COUNT
    }

    /// The family of codes 0 to 34; `None` for the special ones and for unknown codes.
    pub const fn family(self) -> Option<Family> {
        if self.0 < 35 {
            Some(Family::ALL[(self.0 / 7) as usize])
        } else {
            None
        }
    }

    /// The type of the elements; `None` for unknown codes.
    #[inline]
    pub const fn native(self) -> Option<NativeType> {
        // hot: looked up, as every access to an element asks for it.
        if self.is_valid() {
            Some(Self::NATIVES[self.0 as usize])
        } else {
            None
        }
    }

    const NATIVES: [NativeType; Self::COUNT as usize] = {
        let mut natives = [NativeType::String; Self::COUNT as usize];
        let mut code = 0;
        while code < 35 {
            natives[code] = NativeType::ALL[code % 7];
            code += 1;
        }
        // Both carry one u16; the other two carry a text.
        natives[35] = NativeType::Enum;
        natives[36] = NativeType::Enum;
        natives
    };

    /// Bytes before the first element (`dbr_value_offset` of the reference); 0 for unknown codes.
    #[inline]
    pub const fn value_offset(self) -> usize {
        layout::value_offset(self)
    }

    /// Unpadded bytes of a structure with `count` elements; 64 bits because the product of two
    /// fields of a message overflows 32.
    #[inline]
    pub const fn size(self, count: u32) -> u64 {
        // hot: looked up, as every update and reply is measured.
        let (offset, element) = layout::sizes(self);
        offset + element * count as u64
    }

    /// The code with this name, with or without the prefix `DBR_`; `INT` is accepted for `SHORT`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("DBR_").unwrap_or(name);
        match name {
            "PUT_ACKT" => return Some(Self::PUT_ACKT),
            "PUT_ACKS" => return Some(Self::PUT_ACKS),
            "STSACK_STRING" => return Some(Self::STSACK_STRING),
            "CLASS_NAME" => return Some(Self::CLASS_NAME),
            _ => {}
        }
        let (family, native) = Family::ALL
            .into_iter()
            .rev()
            .find_map(|family| Some((family, name.strip_prefix(family.prefix())?)))?;
        let native = if native == "INT" { "SHORT" } else { native };
        let native = NativeType::ALL.into_iter().find(|n| n.name() == native)?;
        Some(Self::new(family, native))
    }
}

impl fmt::Display for DbrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.family(), self.native()) {
            (Self::PUT_ACKT, ..) => f.write_str("DBR_PUT_ACKT"),
            (Self::PUT_ACKS, ..) => f.write_str("DBR_PUT_ACKS"),
            (Self::STSACK_STRING, ..) => f.write_str("DBR_STSACK_STRING"),
            (Self::CLASS_NAME, ..) => f.write_str("DBR_CLASS_NAME"),
            (_, Some(family), Some(native)) => {
                write!(f, "DBR_{}{}", family.prefix(), native.name())
            }
            _ => write!(f, "DBR_{}", self.0),
        }
    }
}

impl fmt::Debug for DbrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
