//! Time stamps as people at the console read them.

use std::io;
use std::sync::OnceLock;

use ca_proto::Timestamp;
use jiff::tz::TimeZone;

use crate::console::Console;
use crate::escape;
use crate::options::variable;

/// Characters of a time, for those that are undefined.
pub(crate) const WIDTH: usize = 26;

/// The zone of `TZ` or of this host; without one times are UTC.
fn zone() -> Option<&'static TimeZone> {
    static ZONE: OnceLock<Option<TimeZone>> = OnceLock::new();
    ZONE.get_or_init(|| TimeZone::try_system().ok()).as_ref()
}

/// Says it when times are not those of the zone that the user asked for. For commands that are going
/// to show times.
///
/// # Errors
/// Those of the console.
pub(crate) fn warn_of_zone(console: &mut Console<'_>) -> io::Result<()> {
    // Without the variable, a host that tells no zone has UTC for everybody.
    let Some(name) = variable("TZ").filter(|name| !name.is_empty() && zone().is_none()) else {
        return Ok(());
    };
    console.complain(format_args!(
        "warning: TZ is `{}`, which is no time zone known here: times are UTC; write a name such as \
         Europe/Berlin, or a rule such as CET-1CEST,M3.5.0,M10.5.0/3",
        escape::printable(&name)
    ))
}

/// Local time with microseconds, as the reference tools print it: `2026-11-20 08:21:05.868406`.
pub(crate) fn local(stamp: Timestamp) -> String {
    in_zone(stamp, zone().unwrap_or(&TimeZone::UTC))
}

fn in_zone(stamp: Timestamp, zone: &TimeZone) -> String {
    if stamp.is_undefined() {
        return "<undefined>".to_owned();
    }
    let unix = stamp.to_unix();
    let known = i64::try_from(unix.as_secs())
        .ok()
        .and_then(|secs| jiff::Timestamp::new(secs, unix.subsec_nanos().cast_signed()).ok());
    match known {
        Some(time) => {
            let zoned = time.to_zoned(zone.clone());
            zoned.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
        }
        None => stamp.to_string(),
    }
}

/// The time of this host's clock.
pub(crate) fn now() -> Timestamp {
    let unix = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_unix_nanos(unix.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zones come with the program: nothing is asked of the host.
    #[test]
    fn zones_are_known_without_a_database_of_the_host() {
        let zones = jiff::tz::TimeZoneDatabase::bundled();
        let at = Timestamp::from_unix(1_784_894_400, 0);
        for (name, shown) in [
            ("America/New_York", "2026-07-24 08:00:00.000000"),
            ("Asia/Kolkata", "2026-07-24 17:30:00.000000"),
            ("UTC", "2026-07-24 12:00:00.000000"),
        ] {
            assert_eq!(in_zone(at, &zones.get(name).unwrap()), shown, "{name}");
        }
    }
}
