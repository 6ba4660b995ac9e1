//! Time stamps and the standard library's times. A conversion reads no clock; `std` is in scope here
//! alone.

extern crate std;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// Limited like [`Timestamp::from_unix`]: times before 1990 give [`Timestamp::UNDEFINED`], times after
/// February 2126 the last stamp.
///
/// # Examples
/// ```
/// use ca_proto::Timestamp;
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
///
/// let time = UNIX_EPOCH + Duration::new(1_800_000_000, 123_456_789);
/// let stamp = Timestamp::from(time);
/// assert_eq!(stamp, Timestamp::from_unix(1_800_000_000, 123_456_789));
/// assert_eq!(SystemTime::from(stamp), time);
/// assert!(Timestamp::from(UNIX_EPOCH).is_undefined());
/// ```
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let unix = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_nanos(unix.as_nanos())
    }
}

/// [`Timestamp::UNDEFINED`] gives the EPICS epoch, the beginning of 1990: ask
/// [`is_undefined`](Timestamp::is_undefined) before. To the resolution of the system's clock, which is
/// 100 ns on Windows.
impl From<Timestamp> for SystemTime {
    fn from(stamp: Timestamp) -> Self {
        UNIX_EPOCH + stamp.to_unix()
    }
}
