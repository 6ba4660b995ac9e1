//! ECA status codes, the results of Channel Access requests.

use core::fmt;

/// Result of a request: `number << 3 | severity`. Values unknown to this table are kept.
///
/// Names are those of the field without the `ECA_` prefix; only `ECA_16KARRAYCLIENT` is called
/// [`EcaStatus::ARRAY16KCLIENT`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EcaStatus(pub u32);

/// Severity of an [`EcaStatus`], its three low bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EcaSeverity {
    /// 0: the request failed, the application can go on.
    Warning,
    /// 1: the request succeeded.
    Success,
    /// 2: the request failed, usually for a mistake of the caller.
    Error,
    /// 3: success with a remark.
    Info,
    /// 4: a failure that is not repairable; no known code uses it alone.
    Severe,
    /// 6: severe and error. The unassigned 5 and 7 count as fatal too.
    Fatal,
}

impl EcaSeverity {
    /// The word that starts the reference's exception block; severities from 4 on are all `Fatal`
    /// (`ca_client_context::exception` of EPICS Base).
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warning => "Warning",
            Self::Success => "Success",
            Self::Error => "Error",
            Self::Info => "Info",
            Self::Severe | Self::Fatal => "Fatal",
        }
    }

    const fn from_bits(bits: u32) -> Self {
        match bits & 7 {
            0 => Self::Warning,
            1 => Self::Success,
            2 => Self::Error,
            3 => Self::Info,
            4 => Self::Severe,
            _ => Self::Fatal,
        }
    }

    const fn bits(self) -> u32 {
        match self {
            Self::Warning => 0,
            Self::Success => 1,
            Self::Error => 2,
            Self::Info => 3,
            Self::Severe => 4,
            Self::Fatal => 6,
        }
    }
}

/// Text for message numbers above the table (`ca_message` of EPICS Base).
const UNKNOWN_MESSAGE: &str = "new CA message number known only by server - see caerr.h";

macro_rules! eca_table {
    ($($number:literal $ident:ident $name:literal $severity:ident $message:literal,)+) => {
        impl EcaStatus {
            $(
                #[doc = concat!("`", $name, "`: ", $message, ".")]
                pub const $ident: Self = Self($number << 3 | EcaSeverity::$severity.bits());
            )+

            /// Every known status, in numerical order.
            pub const ALL: &'static [Self] = &[$(Self::$ident),+];

            /// The field's name with prefix, such as `ECA_GETFAIL`; `None` for an unknown value.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$ident => Some($name),)+
                    _ => None,
                }
            }

            /// Text for people. Depends on the message number only, as in the reference.
            pub const fn message(self) -> &'static str {
                match self.number() {
                    $($number => $message,)+
                    _ => UNKNOWN_MESSAGE,
                }
            }
        }
    };
}

// Numbers, names and severities: `caerr.h` of EPICS Base. Texts of the codes in use: `ca_message` of EPICS
// Base, spelling kept because compatible tools print them.
eca_table! {
    0 NORMAL "ECA_NORMAL" Success "Normal successful completion",
    1 MAXIOC "ECA_MAXIOC" Error "Too many server connections at once",
    2 UKNHOST "ECA_UKNHOST" Error "Host name unknown",
    3 UKNSERV "ECA_UKNSERV" Error "Network service unknown",
    4 SOCK "ECA_SOCK" Error "No socket could be allocated",
    5 CONN "ECA_CONN" Warning "Could not connect to host or service",
    6 ALLOCMEM "ECA_ALLOCMEM" Warning "Unable to allocate additional dynamic memory",
    7 UKNCHAN "ECA_UKNCHAN" Warning "Channel is unknown",
    8 UKNFIELD "ECA_UKNFIELD" Warning "Field is not suitable for this channel",
    9 TOLARGE "ECA_TOLARGE" Warning
        "The requested data transfer is greater than available memory or EPICS_CA_MAX_ARRAY_BYTES",
    10 TIMEOUT "ECA_TIMEOUT" Warning "User specified timeout on IO operation expired",
    11 NOSUPPORT "ECA_NOSUPPORT" Warning "Feature is planned but not supported",
    12 STRTOBIG "ECA_STRTOBIG" Warning "String is unreasonably long",
    13 DISCONNCHID "ECA_DISCONNCHID" Error "Request ignored on a disconnected channel",
    14 BADTYPE "ECA_BADTYPE" Error "The data type specifed is invalid",
    15 CHIDNOTFND "ECA_CHIDNOTFND" Info "Remote channel was not found",
    16 CHIDRETRY "ECA_CHIDRETRY" Info "Some named channels are not located yet",
    17 INTERNAL "ECA_INTERNAL" Fatal "Channel Access Internal Failure",
    18 DBLCLFAIL "ECA_DBLCLFAIL" Warning "Local database operation failed",
    19 GETFAIL "ECA_GETFAIL" Warning "Channel read request failed",
    20 PUTFAIL "ECA_PUTFAIL" Warning "Channel write request failed",
    21 ADDFAIL "ECA_ADDFAIL" Warning "Subscription request failed",
    22 BADCOUNT "ECA_BADCOUNT" Warning "Invalid element count requested",
    23 BADSTR "ECA_BADSTR" Error "Invalid string",
    24 DISCONN "ECA_DISCONN" Warning "Virtual circuit disconnect",
    25 DBLCHNL "ECA_DBLCHNL" Warning "Identical process variable names on multiple servers",
    26 EVDISALLOW "ECA_EVDISALLOW" Error
        "Request inappropriate within subscription (monitor) update callback",
    27 BUILDGET "ECA_BUILDGET" Warning "Fetching the value failed during channel search",
    28 NEEDSFP "ECA_NEEDSFP" Warning "Task lacks the floating point option",
    29 OVEVFAIL "ECA_OVEVFAIL" Warning "Event queue overflow prevented the first update",
    30 BADMONID "ECA_BADMONID" Error "Bad event subscription (monitor) identifier",
    31 NEWADDR "ECA_NEWADDR" Warning "Channel has moved to a new address",
    32 NEWCONN "ECA_NEWCONN" Info "New or resumed connection",
    33 NOCACTX "ECA_NOCACTX" Warning "Task is not attached to a client context",
    34 DEFUNCT "ECA_DEFUNCT" Fatal "Obsolete feature was requested",
    35 EMPTYSTR "ECA_EMPTYSTR" Warning "Empty string was supplied",
    36 NOREPEATER "ECA_NOREPEATER" Warning "Repeater could not be started",
    37 NOCHANMSG "ECA_NOCHANMSG" Warning "Search reply matches no channel",
    38 DLCKREST "ECA_DLCKREST" Warning "Dead connection is being reset",
    39 SERVBEHIND "ECA_SERVBEHIND" Warning "Server is late or silent",
    40 NOCAST "ECA_NOCAST" Warning "No interface can broadcast",
    41 BADMASK "ECA_BADMASK" Error "Invalid event selection mask",
    42 IODONE "ECA_IODONE" Info "IO operations have completed",
    43 IOINPROGRESS "ECA_IOINPROGRESS" Info "IO operations are in progress",
    44 BADSYNCGRP "ECA_BADSYNCGRP" Error "Invalid synchronous group identifier",
    45 PUTCBINPROG "ECA_PUTCBINPROG" Error "Put callback timed out",
    46 NORDACCESS "ECA_NORDACCESS" Warning "Read access denied",
    47 NOWTACCESS "ECA_NOWTACCESS" Warning "Write access denied",
    48 ANACHRONISM "ECA_ANACHRONISM" Error "Requested feature is no longer supported",
    49 NOSEARCHADDR "ECA_NOSEARCHADDR" Warning "Empty PV search address list",
    50 NOCONVERT "ECA_NOCONVERT" Warning
        "No reasonable data conversion between client and server types",
    51 BADCHID "ECA_BADCHID" Error "Invalid channel identifier",
    52 BADFUNCPTR "ECA_BADFUNCPTR" Error "Invalid function pointer",
    53 ISATTACHED "ECA_ISATTACHED" Warning "Thread is already attached to a client context",
    54 UNAVAILINSERV "ECA_UNAVAILINSERV" Warning "Not supported by attached service",
    55 CHANDESTROY "ECA_CHANDESTROY" Warning "User destroyed channel",
    56 BADPRIORITY "ECA_BADPRIORITY" Error "Invalid channel priority",
    57 NOTTHREADED "ECA_NOTTHREADED" Error
        "Preemptive callback not enabled - additional threads may not join context",
    58 ARRAY16KCLIENT "ECA_16KARRAYCLIENT" Warning
        "Client's protocol revision does not support transfers exceeding 16k bytes",
    59 CONNSEQTMO "ECA_CONNSEQTMO" Warning "Virtual circuit connection sequence aborted",
    60 UNRESPTMO "ECA_UNRESPTMO" Warning "Virtual circuit unresponsive",
}

impl EcaStatus {
    /// True if the success bit is set, that is for success and info codes.
    pub const fn is_success(self) -> bool {
        self.0 & 1 != 0
    }

    /// The severity in the three low bits.
    pub const fn severity(self) -> EcaSeverity {
        EcaSeverity::from_bits(self.0)
    }

    /// The message number, the value without its three severity bits.
    pub const fn number(self) -> u32 {
        self.0 >> 3
    }
}

/// `ECA_GETFAIL: Channel read request failed`, or `ECA status 0x1234` for an unknown value.
/// `ECA_GETFAIL: Channel read request failed`; the alternate form `{:#}` is the name alone, for
/// dumps of frames.
impl fmt::Display for EcaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) if f.alternate() => f.write_str(name),
            Some(name) => write!(f, "{name}: {}", self.message()),
            None if f.alternate() => write!(f, "{:#x}", self.0),
            None => write!(f, "ECA status {:#x}", self.0),
        }
    }
}

impl fmt::Debug for EcaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "EcaStatus({:#x})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The low three bits of a status are its severity (`caerr.h` of EPICS Base).
    #[test]
    fn severities_keep_their_bits() {
        for bits in [0, 1, 2, 3, 4, 6] {
            assert_eq!(EcaSeverity::from_bits(bits).bits(), bits);
        }
        for unassigned in [5, 7] {
            assert_eq!(EcaSeverity::from_bits(unassigned), EcaSeverity::Fatal);
        }
    }
}
