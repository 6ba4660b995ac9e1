//! What a record type's table says of a field.

use crate::state::codec::saved;

/// The type of a field in a record (`DBF_…` of EPICS Base).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Dbf {
    /// Text of limited length.
    String,
    /// Signed, 8 bits.
    Char,
    /// Unsigned, 8 bits.
    UChar,
    /// Signed, 16 bits.
    Short,
    /// Unsigned, 16 bits.
    UShort,
    /// Signed, 32 bits.
    Long,
    /// Unsigned, 32 bits.
    ULong,
    /// Signed, 64 bits.
    Int64,
    /// Unsigned, 64 bits.
    UInt64,
    /// Real, 32 bits.
    Float,
    /// Real, 64 bits.
    Double,
    /// Number of a state, whose text the record has.
    Enum,
    /// Number of a choice of a menu.
    Menu,
    /// Number of a device support (`DTYP`).
    Device,
    /// Where a value comes from.
    InLink,
    /// Where a value goes to.
    OutLink,
    /// What is processed next.
    FwdLink,
    /// Not for clients: state of the record's support, or an array whose type another field tells.
    NoAccess,
}

impl Dbf {
    /// The types that an array of a record may have, by their number in `menuFtype`.
    pub const ARRAYS: [Self; 12] = [
        Self::String,
        Self::Char,
        Self::UChar,
        Self::Short,
        Self::UShort,
        Self::Long,
        Self::ULong,
        Self::Int64,
        Self::UInt64,
        Self::Float,
        Self::Double,
        Self::Enum,
    ];

    /// Whether it is one of the three kinds of links.
    pub const fn is_link(self) -> bool {
        matches!(self, Self::InLink | Self::OutLink | Self::FwdLink)
    }

    /// Whether it is held as a number of 16 bits that stands for a text.
    pub const fn is_choice(self) -> bool {
        matches!(self, Self::Enum | Self::Menu | Self::Device)
    }

    /// Whether it is a number of any kind that stands for nothing else.
    pub const fn is_number(self) -> bool {
        matches!(
            self,
            Self::Char
                | Self::UChar
                | Self::Short
                | Self::UShort
                | Self::Long
                | Self::ULong
                | Self::Int64
                | Self::UInt64
                | Self::Float
                | Self::Double
        )
    }

    /// Whether it is a floating-point number.
    pub const fn is_real(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }
}

/// What else happens when a field is written (`special` of EPICS Base).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Special {
    /// Nothing.
    Plain,
    /// It cannot be written.
    NoMod,
    /// The record's support says where the value is: an array.
    DbAddr,
    /// The record changes its place in the scan lists.
    Scan,
    /// The record changes its access security group.
    As,
    /// The record's support looks at it.
    Mod,
    /// As [`Mod`](Self::Mod): clears.
    Reset,
    /// As [`Mod`](Self::Mod): conversion from raw values.
    LinConv,
    /// As [`Mod`](Self::Mod): an expression.
    Calc,
    /// Alarms are acknowledged.
    AlarmAck,
}

impl Special {
    /// Whether the record type's own function is asked.
    pub const fn asks_support(self) -> bool {
        matches!(self, Self::Mod | Self::Reset | Self::LinConv | Self::Calc)
    }
}

/// One line of the table of a record type that is built in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FieldDef {
    /// Its name, in capitals.
    pub name: &'static str,
    /// Its type.
    pub dbf: Dbf,
    /// Bytes of a text, its NUL included; 0 for other types.
    pub size: u16,
    /// The menu of a [`Dbf::Menu`].
    pub menu: &'static str,
    /// The value it has when a file says nothing, as a file would write it.
    pub initial: &'static str,
    /// Access security level: 0 for what operators change, 1 for configuration.
    pub asl: u8,
    /// What else happens when it is written.
    pub special: Special,
    /// Writing it processes a passive record.
    pub pp: bool,
    /// Writing it tells those who subscribed to properties.
    pub prop: bool,
    /// For whom the field is of interest, from 0 (everybody) to 4 (programmers).
    pub interest: u8,
}

impl FieldDef {
    const fn new(dbf: Dbf) -> Self {
        Self {
            name: "",
            dbf,
            size: 0,
            menu: "",
            initial: "",
            asl: 1,
            special: Special::Plain,
            pp: false,
            prop: false,
            interest: 0,
        }
    }

    pub(super) const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
    pub(super) const fn asl0(self) -> Self {
        Self { asl: 0, ..self }
    }
    pub(super) const fn pp(self) -> Self {
        Self { pp: true, ..self }
    }
    pub(super) const fn prop(self) -> Self {
        Self { prop: true, ..self }
    }
    pub(super) const fn special(self, special: Special) -> Self {
        Self { special, ..self }
    }
    pub(super) const fn initial(self, initial: &'static str) -> Self {
        Self { initial, ..self }
    }
    pub(super) const fn interest(self, interest: u8) -> Self {
        Self { interest, ..self }
    }
}

macro_rules! constructors {
    ($($name:ident $dbf:ident,)+) => {
        $(pub(super) const fn $name() -> FieldDef { FieldDef::new(Dbf::$dbf) })+
    };
}

constructors! {
    uchar UChar,
    short Short,
    ushort UShort,
    long Long,
    ulong ULong,
    float Float,
    int64 Int64,
    uint64 UInt64,
    double Double,
    enumeration Enum,
    device Device,
    inlink InLink,
    outlink OutLink,
    fwdlink FwdLink,
    noaccess NoAccess,
}

/// A text of this many bytes, its NUL included.
pub(super) const fn string(size: u16) -> FieldDef {
    let mut field = FieldDef::new(Dbf::String);
    field.size = size;
    field
}

/// A choice of a menu.
pub(super) const fn menu(name: &'static str) -> FieldDef {
    let mut field = FieldDef::new(Dbf::Menu);
    field.menu = name;
    field
}

/// The table of a record type: `FIELDS`, and a constant for the index of each field, by which functions
/// of the record type address it. The first argument is the index of the first one.
macro_rules! fields {
    ($first:expr, $($name:ident => $field:expr,)+) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u16)]
        enum Index { $($name,)+ }
        $(
            #[doc = concat!("Index of ", stringify!($name), ".")]
            #[allow(dead_code)]
            pub(crate) const $name: u16 = $first + Index::$name as u16;
        )+
        /// The fields in order of their indices.
        pub(crate) const FIELDS: &[FieldDef] = &[$($field.named(stringify!($name)),)+];
    };
}
pub(crate) use fields;

saved!(enum Dbf {
    0 String, 1 Char, 2 UChar, 3 Short, 4 UShort, 5 Long, 6 ULong, 7 Int64, 8 UInt64, 9 Float, 10 Double, 11 Enum,
    12 Menu, 13 Device, 14 InLink, 15 OutLink, 16 FwdLink, 17 NoAccess,
});
