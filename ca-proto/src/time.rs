//! Monotonic time of the state machines and time stamps of values.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A point on a monotonic clock, in nanoseconds since an arbitrary start.
///
/// The state machines never read a clock: the caller passes `now` with every input, from a real
/// clock or from a simulated one. Arithmetic saturates, so that a far deadline is late and never in
/// the past; `u64` nanoseconds reach 584 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// The latest representable instant, used as "never".
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The instant `after` later, or `None` past [`Instant::MAX`].
    pub fn checked_add(self, after: Duration) -> Option<Self> {
        let nanos = u64::try_from(after.as_nanos()).ok()?;
        self.0.checked_add(nanos).map(Self)
    }

    /// The instant `before` earlier, or `None` before [`Instant::ZERO`].
    pub fn checked_sub(self, before: Duration) -> Option<Self> {
        let nanos = u64::try_from(before.as_nanos()).ok()?;
        self.0.checked_sub(nanos).map(Self)
    }

    /// Time from `earlier` to `self`, or `None` if `earlier` is later.
    pub fn checked_duration_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// Time from `earlier` to `self`, zero if `earlier` is later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::MAX`].
    // hot: several times for each request, so without the 128 bits of `Duration::as_nanos`.
    #[inline]
    fn add(self, after: Duration) -> Self {
        let seconds = after.as_secs().saturating_mul(NANOS_PER_SEC);
        let nanos = seconds.saturating_add(after.subsec_nanos().into());
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, after: Duration) {
        *self = *self + after;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::ZERO`].
    fn sub(self, before: Duration) -> Self {
        self.checked_sub(before).unwrap_or(Self::ZERO)
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero if the right side is later.
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// Seconds since the start with nine decimals.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}",
            self.0 / NANOS_PER_SEC,
            self.0 % NANOS_PER_SEC
        )
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({self})")
    }
}

/// Time stamp of a value as the wire carries it: time since 1990-01-01 00:00:00 UTC, the EPICS
/// epoch.
///
/// The fields hold what the peer sent, also a `nanos` outside 0..999 999 999; conversions carry
/// such an excess into the seconds. The 32-bit seconds end in 2126. (`epicsTime.h` of EPICS Base)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since the EPICS epoch.
    pub secs: u32,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

impl Timestamp {
    /// The stamp of a record that was never processed: 0 seconds, 0 nanoseconds.
    pub const UNDEFINED: Self = Self { secs: 0, nanos: 0 };

    /// Seconds from the Unix epoch (1970) to the EPICS epoch (1990).
    pub const EPICS_EPOCH_UNIX_SECS: u64 = 631_152_000;

    /// The last representable stamp, in February 2126.
    const MAX: Self = Self {
        secs: u32::MAX,
        nanos: 999_999_999,
    };

    /// Stamp of `secs` seconds and `nanos` nanoseconds since the Unix epoch.
    ///
    /// Times before the EPICS epoch give [`Timestamp::UNDEFINED`], times after its end the last
    /// stamp.
    pub fn from_unix(secs: i64, nanos: u32) -> Self {
        let total = i128::from(secs) * i128::from(NANOS_PER_SEC) + i128::from(nanos);
        Self::from_unix_nanos(u128::try_from(total).unwrap_or(0))
    }

    /// Stamp of `nanos` nanoseconds since the Unix epoch, limited like [`Timestamp::from_unix`].
    pub fn from_unix_nanos(nanos: u128) -> Self {
        let epoch = u128::from(Self::EPICS_EPOCH_UNIX_SECS * NANOS_PER_SEC);
        Self::from_epoch_nanos(nanos.saturating_sub(epoch))
    }

    /// Time since the Unix epoch.
    pub const fn to_unix(self) -> Duration {
        Duration::new(self.secs as u64 + Self::EPICS_EPOCH_UNIX_SECS, self.nanos)
    }

    /// True for 0/0, which the tools print as `<undefined>`.
    pub const fn is_undefined(self) -> bool {
        self.secs == 0 && self.nanos == 0
    }

    /// Time from `earlier` to `self`, zero if `earlier` is later.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.to_unix().saturating_sub(earlier.to_unix())
    }

    fn from_epoch_nanos(nanos: u128) -> Self {
        let per_sec = u128::from(NANOS_PER_SEC);
        match u32::try_from(nanos / per_sec) {
            // The remainder is below 10^9.
            Ok(secs) => Self {
                secs,
                nanos: (nanos % per_sec) as u32,
            },
            Err(_) => Self::MAX,
        }
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the end of the 32-bit seconds.
    fn add(self, after: Duration) -> Self {
        let nanos = u128::from(self.secs) * u128::from(NANOS_PER_SEC) + u128::from(self.nanos);
        Self::from_epoch_nanos(nanos.saturating_add(after.as_nanos()))
    }
}

/// UTC as `2026-11-20T08:19:55.123456789Z`, or `<undefined>` for 0/0.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_undefined() {
            return f.write_str("<undefined>");
        }
        let unix = self.to_unix();
        // At most 2^32 + 4 seconds after 1990: far inside i64.
        let utc = CivilTime::from_unix_secs(unix.as_secs() as i64);
        write!(f, "{utc}.{:09}Z", unix.subsec_nanos())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

/// A date of the proleptic Gregorian calendar and a time of day, without leap seconds.
///
/// For local time add the zone's offset to the Unix seconds first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilTime {
    /// Year, 1990 for the EPICS epoch.
    pub year: i64,
    /// Month, 1..=12.
    pub month: u8,
    /// Day of the month, 1..=31.
    pub day: u8,
    /// Hour, 0..=23.
    pub hour: u8,
    /// Minute, 0..=59.
    pub minute: u8,
    /// Second, 0..=59.
    pub second: u8,
}

impl CivilTime {
    /// Calendar form of `secs` seconds since 1970-01-01 00:00:00.
    pub fn from_unix_secs(secs: i64) -> Self {
        const SECS_PER_DAY: i64 = 86_400;
        const DAYS_PER_400_YEARS: i64 = 146_097;
        // 1970-01-01 counted in days from 0000-03-01. Years that start in March end with the leap
        // day.
        const DAYS_TO_1970: i64 = 719_468;

        let second_of_day = secs.rem_euclid(SECS_PER_DAY);
        let days = secs.div_euclid(SECS_PER_DAY) + DAYS_TO_1970;
        let era = days.div_euclid(DAYS_PER_400_YEARS);
        let day_of_era = days.rem_euclid(DAYS_PER_400_YEARS);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Months from March have 31, 30, 31, 30, 31 days, twice over: 153 days in 5 months.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        // All remainders below are small and non-negative.
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u8,
            day: day as u8,
            hour: (second_of_day / 3_600) as u8,
            minute: (second_of_day / 60 % 60) as u8,
            second: (second_of_day % 60) as u8,
        }
    }
}

/// `2026-11-20T08:19:55`.
impl fmt::Display for CivilTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )
    }
}
