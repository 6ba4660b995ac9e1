//! Command numbers.

use core::fmt;

/// Command number of a message (header offset 0); numbers without a name are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Command(pub u16);

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $number:literal),* $(,)?) => {
        #[allow(missing_docs)] // The names are the specification's; the messages carry the text.
        impl Command {
            $($(#[$doc])* pub const $name: Self = Self($number);)*
        }

        impl Command {
            /// Every named command in order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The specification's name without its `CA_PROTO_` prefix.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

commands! {
    VERSION = 0,
    EVENT_ADD = 1,
    EVENT_CANCEL = 2,
    READ = 3,
    WRITE = 4,
    /// Extinct; a server answers it as an unknown command.
    SNAPSHOT = 5,
    SEARCH = 6,
    /// Extinct; a server answers it as an unknown command.
    BUILD = 7,
    EVENTS_OFF = 8,
    EVENTS_ON = 9,
    READ_SYNC = 10,
    ERROR = 11,
    CLEAR_CHANNEL = 12,
    /// The beacon.
    RSRV_IS_UP = 13,
    NOT_FOUND = 14,
    READ_NOTIFY = 15,
    /// Extinct; a server answers it as an unknown command.
    READ_BUILD = 16,
    REPEATER_CONFIRM = 17,
    CREATE_CHAN = 18,
    WRITE_NOTIFY = 19,
    CLIENT_NAME = 20,
    HOST_NAME = 21,
    ACCESS_RIGHTS = 22,
    ECHO = 23,
    REPEATER_REGISTER = 24,
    /// Extinct; a server answers it as an unknown command.
    SIGNAL = 25,
    CREATE_CH_FAIL = 26,
    SERVER_DISCONN = 27,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "COMMAND_{}", self.0),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
