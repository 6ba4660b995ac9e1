//! Fields of records: which ones there are, and what they look like.

use ca_proto::AlarmStatus;
use ca_proto::dbr::{EnumStates, Metadata, NativeType};

use crate::plain::{Record, RecordType};

/// A field that a channel can be opened on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Field {
    Val,
    Name,
    Desc,
    /// Name of the record type; an attribute, not a field, in the reference.
    Rtyp,
    Sevr,
    Stat,
    Acks,
    Ackt,
    Udf,
    /// Writing it processes the record.
    Proc,
    Egu,
    Prec,
    Hopr,
    Lopr,
    Hihi,
    High,
    Low,
    Lolo,
    Hhsv,
    Hsv,
    Lsv,
    Llsv,
    Hyst,
    Mdel,
    Adel,
    Drvh,
    Drvl,
    Nord,
    Nelm,
    Ftvl,
    /// ZNAM, ONAM, or ZRST to FFST.
    StateText(u8),
    /// ZSV, OSV, or ZRSV to FFSV.
    StateSeverity(u8),
}

/// Prefixes of the state fields of multi-state records.
const STATES: [&[u8; 2]; 16] = [
    b"ZR", b"ON", b"TW", b"TH", b"FR", b"FV", b"SX", b"SV", b"EI", b"NI", b"TE", b"EL", b"TV",
    b"TT", b"FT", b"FF",
];

const SEVERITIES: [&str; 4] = ["NO_ALARM", "MINOR", "MAJOR", "INVALID"];
const NO_YES: [&str; 2] = ["NO", "YES"];
/// `menuFtype`, in the order of its choices.
const ELEMENT_TYPES: [&str; 12] = [
    "STRING", "CHAR", "UCHAR", "SHORT", "USHORT", "LONG", "ULONG", "INT64", "UINT64", "FLOAT",
    "DOUBLE", "ENUM",
];

impl Field {
    /// The one that orders before all others.
    pub(crate) const FIRST: Self = Self::Val;

    /// The name of the field in a record of this type.
    pub(crate) fn name(self, kind: RecordType) -> String {
        let state = |n: u8, end: &str| {
            let prefix = STATES.get(usize::from(n)).copied().unwrap_or(b"??");
            String::from_utf8_lossy(prefix).into_owned() + end
        };
        if kind.is_two_state() {
            let two_state = match self {
                Self::StateText(0) => "ZNAM",
                Self::StateText(_) => "ONAM",
                Self::StateSeverity(0) => "ZSV",
                Self::StateSeverity(_) => "OSV",
                other => return other.common_name(),
            };
            return two_state.to_owned();
        }
        match self {
            Self::StateText(n) => state(n, "ST"),
            Self::StateSeverity(n) => state(n, "SV"),
            other => other.common_name(),
        }
    }

    /// The name of a field that is called the same in every record that has it.
    fn common_name(self) -> String {
        format!("{self:?}").to_uppercase()
    }

    /// The field of this name; the empty name is the value.
    pub(crate) fn find(kind: RecordType, native: NativeType, name: &[u8]) -> Option<Self> {
        let common = match name {
            b"" | b"VAL" => Self::Val,
            b"NAME" => Self::Name,
            b"DESC" => Self::Desc,
            b"RTYP" => Self::Rtyp,
            b"SEVR" => Self::Sevr,
            b"STAT" => Self::Stat,
            b"ACKS" => Self::Acks,
            b"ACKT" => Self::Ackt,
            b"UDF" => Self::Udf,
            b"PROC" => Self::Proc,
            _ => return Self::find_special(kind, native, name),
        };
        Some(common)
    }

    fn find_special(kind: RecordType, native: NativeType, name: &[u8]) -> Option<Self> {
        let array = kind == RecordType::Waveform;
        let field = match name {
            b"EGU" if array || kind.is_numeric() => Self::Egu,
            b"HOPR" if array || kind.is_numeric() => Self::Hopr,
            b"LOPR" if array || kind.is_numeric() => Self::Lopr,
            b"PREC" if array || (kind.is_numeric() && native.is_real()) => Self::Prec,
            b"NORD" if array => Self::Nord,
            b"NELM" if array => Self::Nelm,
            b"FTVL" if array => Self::Ftvl,
            b"DRVH" if kind.has_drive_limits() => Self::Drvh,
            b"DRVL" if kind.has_drive_limits() => Self::Drvl,
            _ if kind.is_numeric() => return Self::find_limit(name),
            _ => return Self::find_state(kind, name),
        };
        Some(field)
    }

    const fn find_limit(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"HIHI" => Self::Hihi,
            b"HIGH" => Self::High,
            b"LOW" => Self::Low,
            b"LOLO" => Self::Lolo,
            b"HHSV" => Self::Hhsv,
            b"HSV" => Self::Hsv,
            b"LSV" => Self::Lsv,
            b"LLSV" => Self::Llsv,
            b"HYST" => Self::Hyst,
            b"MDEL" => Self::Mdel,
            b"ADEL" => Self::Adel,
            _ => return None,
        })
    }

    fn find_state(kind: RecordType, name: &[u8]) -> Option<Self> {
        if kind.is_two_state() {
            return match name {
                b"ZNAM" => Some(Self::StateText(0)),
                b"ONAM" => Some(Self::StateText(1)),
                b"ZSV" => Some(Self::StateSeverity(0)),
                b"OSV" => Some(Self::StateSeverity(1)),
                _ => None,
            };
        }
        if !kind.is_multi_state() {
            return None;
        }
        let (prefix, suffix) = name.split_at_checked(2)?;
        let index = STATES.iter().position(|state| *state == prefix)? as u8;
        match suffix {
            b"ST" => Some(Self::StateText(index)),
            b"SV" => Some(Self::StateSeverity(index)),
            _ => None,
        }
    }

    /// Access security level (`asl` of the record types of EPICS Base): 0 for what operators write, 1 for the rest.
    pub(crate) const fn access_level(self) -> i32 {
        match self {
            Self::Val => 0,
            _ => 1,
        }
    }

    /// Type of the field's value.
    pub(crate) const fn native(self, record: &Record) -> NativeType {
        match self {
            Self::Val => record.native(),
            Self::Name | Self::Desc | Self::Rtyp | Self::Egu | Self::StateText(_) => {
                NativeType::String
            }
            Self::Sevr | Self::Stat | Self::Acks | Self::Ackt | Self::Ftvl => NativeType::Enum,
            Self::Hhsv | Self::Hsv | Self::Lsv | Self::Llsv | Self::StateSeverity(_) => {
                NativeType::Enum
            }
            Self::Udf | Self::Proc => NativeType::Char,
            Self::Prec => NativeType::Short,
            // Unsigned 32-bit fields are served as DOUBLE (`dbDBRnewToDBRold` of EPICS Base).
            Self::Nord | Self::Nelm => NativeType::Double,
            _ if record.native().is_real() || record.is_array() => NativeType::Double,
            _ => NativeType::Long,
        }
    }

    /// Bytes of a string field, which is the element count of its long form.
    pub(crate) const fn text_size(self) -> u32 {
        match self {
            Self::Name => 61,
            Self::Desc => 41,
            Self::Egu => 16,
            Self::StateText(_) => 26,
            _ => 40,
        }
    }

    /// Whether clients are told that they can write. RTYP says so and then refuses
    /// (`casAccessRightsCB` of EPICS Base).
    pub(crate) const fn is_writable(self) -> bool {
        !matches!(
            self,
            Self::Name
                | Self::Sevr
                | Self::Stat
                | Self::Acks
                | Self::Ackt
                | Self::Nord
                | Self::Nelm
                | Self::Ftvl
        )
    }

    /// Whether a change is a change of properties of the whole record.
    pub(crate) const fn is_property(self) -> bool {
        !matches!(
            self,
            Self::Val
                | Self::Desc
                | Self::Udf
                | Self::Proc
                | Self::Hyst
                | Self::Mdel
                | Self::Adel
                | Self::StateSeverity(_)
        )
    }

    /// Whether a put makes a passive record process, and thereby check its alarms.
    pub(crate) const fn processes(self) -> bool {
        matches!(
            self,
            Self::Udf
                | Self::Proc
                | Self::Hihi
                | Self::High
                | Self::Low
                | Self::Lolo
                | Self::Hhsv
                | Self::Hsv
                | Self::Lsv
                | Self::Llsv
                | Self::Drvh
                | Self::Drvl
                | Self::StateSeverity(_)
        )
    }

    /// Whether the field is in units of the value and so has its units, precision and limits.
    pub(crate) const fn shares_metadata(self) -> bool {
        matches!(
            self,
            Self::Val
                | Self::Hopr
                | Self::Lopr
                | Self::Hihi
                | Self::High
                | Self::Low
                | Self::Lolo
                | Self::Hyst
                | Self::Mdel
                | Self::Adel
                | Self::Drvh
                | Self::Drvl
        )
    }

    const fn menu(self) -> Menu {
        match self {
            Self::Sevr | Self::Acks | Self::StateSeverity(_) => Menu::Severity,
            Self::Hhsv | Self::Hsv | Self::Lsv | Self::Llsv => Menu::Severity,
            Self::Stat => Menu::Status,
            Self::Ackt => Menu::NoYes,
            Self::Ftvl => Menu::ElementType,
            _ => Menu::None,
        }
    }

    /// Metadata of a field that does not share the record's: the class, and the choices of a menu.
    pub(crate) fn metadata(self, kind: RecordType) -> Metadata {
        let states = match self.menu() {
            Menu::None => EnumStates::default(),
            Menu::Severity => EnumStates::new(SEVERITIES),
            Menu::NoYes => EnumStates::new(NO_YES),
            Menu::ElementType => EnumStates::new(ELEMENT_TYPES),
            // Cut to 16 of 22, as on the wire (`db_access.h` of EPICS Base).
            Menu::Status => EnumStates::new(AlarmStatus::ALL.iter().filter_map(|s| s.name())),
        };
        Metadata {
            states,
            class: kind.name().into(),
            no_state: kind.no_state(),
            ..Metadata::default()
        }
    }
}

#[derive(Clone, Copy)]
enum Menu {
    None,
    Severity,
    Status,
    NoYes,
    ElementType,
}

/// The choice of `menuFtype` for a native type.
pub(crate) const fn element_type(native: NativeType) -> u16 {
    match native {
        NativeType::String => 0,
        NativeType::Char => 2,
        NativeType::Short => 3,
        NativeType::Long => 5,
        NativeType::Float => 9,
        NativeType::Double => 10,
        NativeType::Enum => 11,
    }
}
