//! Times as texts (`epicsTimeToStrftime` of EPICS Base), in Universal Time: an IOC of ours has no time zone.

use ca_proto::Timestamp;

/// Seconds from 1970 to 1990.
const EPOCH: u64 = 631_152_000;
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Year, month and day, and day of the year, of a number of days since 1970.
fn civil(days: u64) -> (u64, usize, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut rest) = (1970, days);
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if rest < length {
            break;
        }
        rest -= length;
        year += 1;
    }
    let of_year = rest;
    let lengths = [
        31,
        if leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    for length in lengths {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1, of_year + 1)
}

/// A time in a format of `strftime`, and `%f` or `%06f` for the fraction of a second.
pub(crate) fn format(format: &str, time: Timestamp) -> String {
    let format = if format.is_empty() {
        "%Y-%m-%d %H:%M:%S.%06f"
    } else {
        format
    };
    let seconds = u64::from(time.secs) + EPOCH;
    let (day, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, of_month, of_year) = civil(day);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let weekday = DAYS[((day + 4) % 7) as usize];
    let month_name = MONTHS.get(month).copied().unwrap_or("");
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut digits = String::new();
        let mut kind = chars.next();
        while let Some(c) = kind.filter(char::is_ascii_digit) {
            digits.push(c);
            kind = chars.next();
        }
        out.push_str(&match kind {
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year % 100),
            Some('m') => format!("{:02}", month + 1),
            Some('d') => format!("{of_month:02}"),
            Some('e') => format!("{of_month:2}"),
            Some('j') => format!("{of_year:03}"),
            Some('H') => format!("{hour:02}"),
            Some('I') => format!("{:02}", (hour + 11) % 12 + 1),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('a') => weekday.get(..3).unwrap_or("").to_owned(),
            Some('A') => weekday.to_owned(),
            Some('b' | 'h') => month_name.get(..3).unwrap_or("").to_owned(),
            Some('B') => month_name.to_owned(),
            Some('F') => format!("{year}-{:02}-{of_month:02}", month + 1),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('D') => format!("{:02}/{of_month:02}/{:02}", month + 1, year % 100),
            Some('s') => seconds.to_string(),
            Some('z') => "+0000".to_owned(),
            Some('Z') => "UTC".to_owned(),
            Some('f') => fraction(
                time.nanos,
                digits.trim_start_matches('0').parse().unwrap_or(9),
            ),
            Some('%') => "%".to_owned(),
            Some(other) => format!("%{digits}{other}"),
            None => "%".to_owned(),
        });
    }
    out
}

/// Rounded to so many digits, but never up to the next second.
fn fraction(nanos: u32, digits: u32) -> String {
    let digits = digits.clamp(1, 9);
    let unit = 10u32.pow(9 - digits);
    let most = 10u32.pow(digits) - 1;
    let rounded = nanos.saturating_add(unit / 2) / unit;
    format!("{:0width$}", rounded.min(most), width = digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_universal_time() {
        // 2026-12-01 00:10:30.123456789
        let time = Timestamp::from_unix_nanos(1_796_083_830_123_456_789);
        for (form, shown) in [
            ("", "2026-12-01 00:10:30.123457"),
            ("%a %b %e %Y, day %j", "Tue Dec  1 2026, day 335"),
            ("%I:%M:%S.%03f %p%%", "12:10:30.123 AM%"),
        ] {
            assert_eq!(format(form, time), shown);
        }
    }
}
