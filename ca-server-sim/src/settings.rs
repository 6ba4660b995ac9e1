//! Limits of the server as text.

use std::ops::Range;
use std::time::Duration;

use ca_proto::config::ServerParams;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

/// A time that is written as a number of seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct Seconds(Duration);

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        let time = Duration::try_from_secs_f64(seconds).map(Self);
        time.map_err(|_| format!("{seconds} is no time in seconds"))
    }
}

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

macro_rules! settings {
    ($($name:ident: $ty:ty;)+) => {
        /// Settings that somebody has written down; they replace those of the parameters.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Settings {
            $($name: Option<$ty>,)+
        }

        impl Settings {
            pub(crate) fn apply(&self, params: &mut ServerParams) {
                $(if let Some(value) = self.$name {
                    params.$name = value.into();
                })+
            }

            /// Settings of `other` win.
            pub(crate) fn merge(&mut self, other: Self) {
                $(self.$name = other.$name.or(self.$name);)+
            }
        }

        /// Names of the limits that [`IocBuilder::limits`](crate::IocBuilder::limits) and the table `[limits]` of a file take:
        /// fields of [`ServerParams`].
        pub const LIMIT_NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

settings! {
    max_circuits: usize;
    max_circuits_per_host: usize;
    version_timeout: Seconds;
    stall_timeout: Seconds;
    max_channels_per_circuit: usize;
    max_subscriptions_per_circuit: usize;
    max_pending_puts_per_circuit: usize;
    max_waiting_put_bytes: u32;
    max_bytes_per_circuit: usize;
    max_bytes_per_host: usize;
    max_shared_bytes: usize;
    max_payload: u32;
    send_high_water: usize;
    max_name_bytes: usize;
    search_replies_per_second: u32;
    search_replies_per_second_per_host: u32;
}

impl Settings {
    /// One limit of a table.
    ///
    /// # Errors
    /// Why the value is none.
    pub(crate) fn single(
        name: &str,
        value: DeValue<'_>,
        span: Range<usize>,
    ) -> Result<Self, String> {
        let mut table = DeTable::new();
        let key = Spanned::new(span.clone(), name.into());
        table.insert(key, Spanned::new(span.clone(), value));
        let table = Deserializer::from(Spanned::new(span, table));
        Self::deserialize(table).map_err(|error| error.message().to_owned())
    }
}
