//! Alarm status and severity of a value.

use core::fmt;

/// Defines the named constants of a `u16` newtype, `name()` and `Display`.
macro_rules! named_u16 {
    ($ty:ident { $($value:literal $name:ident $doc:literal,)+ }) => {
        impl $ty {
            $(#[doc = $doc] pub const $name: Self = Self($value);)+

            /// Every known value, in numerical order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The field's name for the value, `None` if the number is unknown.
            ///
            /// The command line tools print `??` for `None` (`val2str` of EPICS Base).
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }

        impl fmt::Debug for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, concat!(stringify!($ty), "({})"), self.0),
                }
            }
        }

        /// The name, or the number if it is unknown.
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => fmt::Display::fmt(&self.0, f),
                }
            }
        }
    };
}

/// What is wrong with a value. Numbers unknown to this table are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AlarmStatus(pub u16);

// `alarm.h` of EPICS Base
named_u16!(AlarmStatus {
    0 NO_ALARM "No alarm.",
    1 READ "The value could not be read from the device.",
    2 WRITE "The value could not be written to the device.",
    3 HIHI "Above the HIHI limit.",
    4 HIGH "Above the HIGH limit.",
    5 LOLO "Below the LOLO limit.",
    6 LOW "Below the LOW limit.",
    7 STATE "The state is one that carries an alarm.",
    8 COS "The state has changed.",
    9 COMM "Communication with the device failed.",
    10 TIMEOUT "The device did not answer in time.",
    11 HWLIMIT "A limit of the hardware is reached.",
    12 CALC "The calculation expression failed.",
    13 SCAN "The record could not be scanned as configured.",
    14 LINK "A link of the record failed.",
    15 SOFT "Raised by software, such as a device driver.",
    16 BAD_SUB "The subroutine of the record is missing or failed.",
    17 UDF "The value is undefined, the record was never processed.",
    18 DISABLE "The record is disabled.",
    19 SIMM "The record is in simulation mode.",
    20 READ_ACCESS "Reading is not permitted.",
    21 WRITE_ACCESS "Writing is not permitted.",
});

/// How bad an alarm is; a greater value is worse. Numbers unknown to this table are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AlarmSeverity(pub u16);

// `alarm.h` of EPICS Base
named_u16!(AlarmSeverity {
    0 NO_ALARM "No alarm.",
    1 MINOR "Attention, the value can be used.",
    2 MAJOR "Action is needed, the value can be used.",
    3 INVALID "The value cannot be trusted.",
});

/// Alarm state of a value: status and severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Alarm {
    /// What is wrong.
    pub status: AlarmStatus,
    /// How bad it is.
    pub severity: AlarmSeverity,
}

impl Alarm {
    /// No alarm.
    pub const NONE: Self = Self::new(AlarmStatus::NO_ALARM, AlarmSeverity::NO_ALARM);

    /// State of a record before its first processing (`recGblResetAlarms` of EPICS Base).
    pub const UNDEFINED: Self = Self::new(AlarmStatus::UDF, AlarmSeverity::INVALID);

    /// An alarm of the given status and severity.
    pub const fn new(status: AlarmStatus, severity: AlarmSeverity) -> Self {
        Self { status, severity }
    }
}

/// `HIHI MAJOR`.
impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.severity)
    }
}
