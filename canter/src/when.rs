//! Time stamps as people at the console read them.

use ca_proto::Timestamp;
use jiff::tz::TimeZone;

/// Local time with microseconds, as the reference tools print it: `2026-11-20 08:21:05.868406`.
pub(crate) fn local(stamp: Timestamp) -> String {
    if stamp.is_undefined() {
        return "<undefined>".to_owned();
    }
    let unix = stamp.to_unix();
    let known = i64::try_from(unix.as_secs())
        .ok()
        .and_then(|secs| jiff::Timestamp::new(secs, unix.subsec_nanos().cast_signed()).ok());
    match known {
        Some(time) => {
            let zoned = time.to_zoned(TimeZone::system());
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
