//! Clock arithmetic and EPICS time stamps.

use core::time::Duration;

use ca_proto::time::{CivilTime, Instant, Timestamp};
use proptest::prelude::*;

#[test]
fn instants_saturate_at_both_ends() {
    let t = Instant::from_nanos(5);
    assert_eq!(t + Duration::from_nanos(7), Instant::from_nanos(12));
    assert_eq!(t + Duration::MAX, Instant::MAX);
    assert_eq!(t - Duration::from_secs(1), Instant::ZERO);
    assert_eq!(t - Instant::from_nanos(9), Duration::ZERO);
    assert_eq!(Instant::from_nanos(9) - t, Duration::from_nanos(4));
    assert_eq!(Instant::MAX.checked_add(Duration::from_nanos(1)), None);
    assert_eq!(t.checked_sub(Duration::from_nanos(6)), None);
    assert_eq!(t.checked_duration_since(Instant::from_nanos(6)), None);
}

#[test]
fn instants_print_as_seconds() {
    let t = Instant::from_nanos(12_000_000_345);
    assert_eq!(t.to_string(), "12.000000345");
    assert_eq!(format!("{t:?}"), "Instant(12.000000345)");
}

#[test]
fn the_stamp_seen_on_the_wire_prints_as_utc() {
    // `epicsTime.h` of EPICS Base
    let stamp = Timestamp {
        secs: 0x4561_652b,
        nanos: 123_456_789,
    };
    assert_eq!(stamp.to_string(), "2026-11-20T08:19:55.123456789Z");
    assert_eq!(stamp.to_unix().as_secs(), 1_164_010_795 + 631_152_000);
}

#[test]
fn zero_is_undefined_and_the_epoch_is_1990() {
    assert!(Timestamp::UNDEFINED.is_undefined());
    assert_eq!(Timestamp::default().to_string(), "<undefined>");
    let first = Timestamp { secs: 0, nanos: 1 };
    assert!(!first.is_undefined());
    assert_eq!(first.to_string(), "1990-01-01T00:00:00.000000001Z");
}

#[test]
fn unix_times_outside_the_epoch_are_limited() {
    assert_eq!(Timestamp::from_unix(0, 0), Timestamp::UNDEFINED);
    assert_eq!(Timestamp::from_unix(i64::MIN, 5), Timestamp::UNDEFINED);
    let last = Timestamp::from_unix(i64::MAX, u32::MAX);
    assert_eq!((last.secs, last.nanos), (u32::MAX, 999_999_999));
    assert_eq!(Timestamp::from_unix_nanos(u128::MAX), last);
    assert_eq!(last + Duration::MAX, last);
    assert_eq!(last.to_string(), "2126-02-07T06:28:15.999999999Z");
}

#[test]
fn excess_nanoseconds_carry() {
    let odd = Timestamp {
        secs: 10,
        nanos: 2_500_000_000,
    };
    assert_eq!(odd.to_string(), "1990-01-01T00:00:12.500000000Z");
    let sum = odd + Duration::from_millis(500);
    assert_eq!((sum.secs, sum.nanos), (13, 0));
    assert_eq!(
        sum.saturating_duration_since(odd),
        Duration::from_millis(500)
    );
    assert_eq!(odd.saturating_duration_since(sum), Duration::ZERO);
    let carried = Timestamp::from_unix(631_152_000, 1_000_000_001);
    assert_eq!((carried.secs, carried.nanos), (1, 1));
}

#[test]
fn calendar_knows_leap_days() {
    for (secs, text) in [
        (0, "1970-01-01T00:00:00"),
        (-1, "1969-12-31T23:59:59"),
        (951_782_399, "2000-02-28T23:59:59"),
        (951_782_400, "2000-02-29T00:00:00"),
        (951_868_800, "2000-03-01T00:00:00"),
        (1_709_164_800, "2024-02-29T00:00:00"),
        (4_107_542_399, "2100-02-28T23:59:59"),
        (4_107_542_400, "2100-03-01T00:00:00"),
        (-2_208_988_800, "1900-01-01T00:00:00"),
        (-62_135_596_800, "0001-01-01T00:00:00"),
        (253_402_300_799, "9999-12-31T23:59:59"),
    ] {
        assert_eq!(CivilTime::from_unix_secs(secs).to_string(), text);
    }
}

proptest! {
    #[test]
    fn unix_and_epics_times_round_trip(secs: u32, nanos in 0u32..1_000_000_000) {
        let stamp = Timestamp { secs, nanos };
        prop_assert_eq!(Timestamp::from_unix_nanos(stamp.to_unix().as_nanos()), stamp);
        prop_assert_eq!(Timestamp::from_unix(i64::from(secs) + 631_152_000, nanos), stamp);
    }

    #[test]
    fn the_calendar_advances_without_gaps(day in -1_000_000i64..1_000_000) {
        let today = CivilTime::from_unix_secs(day * 86_400 + 86_399);
        let tomorrow = CivilTime::from_unix_secs((day + 1) * 86_400);
        prop_assert!(today < tomorrow);
        prop_assert!(tomorrow.day == today.day + 1 || (tomorrow.day == 1 && today.day >= 28));
        prop_assert_eq!((tomorrow.hour, tomorrow.minute, tomorrow.second), (0, 0, 0));
    }
}

#[test]
fn instants_go_forward_in_place() {
    let mut t = Instant::from_nanos(5);
    t += Duration::from_nanos(7);
    assert_eq!(t, Instant::from_nanos(12));
    t += Duration::MAX;
    assert_eq!(t, Instant::MAX);
}
