//! Texts of values, as the reports of EPICS Base have them.

use ca_proto::text::printf::{write_e, write_f};

use crate::process::Records;
use crate::record::{Choices, Dbf, Link, LinkProcess, LinkTo, Val};

/// A real number as a report on fields has it (`realToString` of `dbStaticLib.c`): as few digits as tell it, 14 of
/// them for a double and 6 for a float.
pub(super) fn real(value: f64, double: bool) -> String {
    let (delta, digits) = match double {
        true => (1e-15, 14),
        false => (1e-6, 6),
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs();
    if magnitude < f64::from(i32::MAX) {
        let whole = value.trunc();
        if (value - whole).abs() < magnitude * delta {
            return format!("{}", whole as i32);
        }
    }
    if !value.is_finite() {
        return match value {
            _ if value.is_nan() => "nan".to_owned(),
            _ if value > 0.0 => "inf".to_owned(),
            _ => "-inf".to_owned(),
        };
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let power = magnitude.log10().trunc() as i32;
    let mut text = String::new();
    // Writing to a text cannot fail.
    if !(-2..=6).contains(&power) {
        let _ = write_e(&mut text, magnitude, digits);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
        let mut mantissa = shortened(mantissa, digits);
        if !mantissa.contains('.') {
            mantissa.push_str(".0");
        }
        return format!("{sign}{mantissa}e{exponent}");
    }
    let behind = usize::try_from(digits as i32 - power).unwrap_or(0);
    let _ = write_f(&mut text, magnitude, behind);
    match behind {
        0 => format!("{sign}{text}"),
        _ => format!("{sign}{}", shortened(&text, digits)),
    }
}

/// Without zeros at the end, and without nines where the last digits are only noise.
fn shortened(text: &str, digits: usize) -> String {
    let mut all = text.as_bytes().to_vec();
    let (mut end, mut round) = (all.len() - 1, false);
    while end > 0 {
        match all[end] {
            b'.' => {
                end -= 1;
                break;
            }
            b'0' => {
                end -= 1;
                continue;
            }
            digit if !round && (end < digits || digit < b'8') => break,
            _ => {}
        }
        if all[end - 1] == b'.' {
            if round {
                end = end.saturating_sub(2);
            }
            break;
        }
        if all[end - 1] != b'9' {
            break;
        }
        round = true;
        end -= 1;
    }
    all.truncate(end + 1);
    let mut carry = round;
    while carry {
        if all[end] < b'9' {
            all[end] += 1;
            carry = false;
        } else if end == 0 {
            all[0] = b'0';
            all.insert(0, b'1');
            carry = false;
        } else {
            all[end] = b'0';
            end -= 1;
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// A text with escapes for what cannot be printed (`epicsStrnEscapedFromRaw`).
pub(crate) fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            11 => out.push_str("\\v"),
            b'\\' | b'\'' | b'"' => {
                out.push('\\');
                out.push(byte.into());
            }
            b' '..=b'~' => out.push(byte.into()),
            byte => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

/// The value of a field as `dbpr` and `dbl` show it (`dbGetString`); `None` for what is not for clients.
pub(super) fn of_field(records: &Records, id: u32, field: u16) -> Option<String> {
    let of = records.type_of(id);
    let info = of.field(field);
    if info.dbf == Dbf::NoAccess {
        return None;
    }
    let val = records.raw(id, field);
    Some(match (&val, info.dbf) {
        (Val::String(text), _) => String::from_utf8_lossy(text).into_owned(),
        (Val::Link(link), _) => link.to_string(),
        (val, Dbf::Menu | Dbf::Device) => {
            let number = val.as_u16();
            let text = match records.schema().choices(of, info) {
                Choices::Texts(all) => all.get(usize::from(number)).map(|text| text.to_string()),
                _ => None,
            };
            match (text, info.dbf) {
                (Some(text), _) => text,
                (None, Dbf::Device) => String::new(),
                (None, _) => number.to_string(),
            }
        }
        (Val::Float(number), _) => real(f64::from(*number), false),
        (Val::Double(number), _) => real(*number, true),
        (Val::Char(number), _) => number.to_string(),
        (Val::UChar(number), _) => number.to_string(),
        (Val::Short(number), _) => number.to_string(),
        (Val::UShort(number) | Val::Enum(number), _) => number.to_string(),
        (Val::Long(number), _) => number.to_string(),
        // `base(HEX)` of the reference: the raw values of states.
        (Val::ULong(number), _)
            if matches!(&*of.name, "mbbi" | "mbbo") && info.name.ends_with("VL") =>
        {
            format!("0x{number:x}")
        }
        (Val::ULong(number), _) => number.to_string(),
        (Val::Int64(number), _) => number.to_string(),
        (Val::UInt64(number), _) => number.to_string(),
        _ => String::new(),
    })
}

/// The word for the kind of a link (`pamaplinkType`).
pub(super) fn kind(link: &Link) -> &'static str {
    match link {
        Link::Constant(_) => "CONSTANT",
        Link::Json(_) => "JSON_LINK",
        Link::Pv(pv) => match (pv.to, pv.process) {
            (_, LinkProcess::Ca | LinkProcess::Change | LinkProcess::ChangeIfPassive)
            | (LinkTo::Remote, _) => "CA_LINK",
            _ => "DB_LINK",
        },
        Link::Hardware(address) => {
            let has = |letter| address.contains(letter);
            match address.as_bytes() {
                [b'#', b'C', ..] => "VME_IO",
                [b'#', b'B', ..] => "CAMAC_IO",
                [b'#', b'R', ..] => "RF_IO",
                [b'#', b'V', ..] => "VXI_IO",
                [b'#', ..] if has('C') => "AB_IO",
                [b'#', ..] if has('P') => "BITBUS_IO",
                [b'#', ..] if has('B') => "BBGPIB_IO",
                [b'#', ..] => "GPIB_IO",
                _ => "INST_IO",
            }
        }
    }
}

/// Whether a name matches a pattern: `*` any number of characters, `?` one (`epicsStrGlobMatch`).
pub(super) fn matches(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.as_bytes(), pattern.as_bytes());
    let (mut at, mut here) = (0, 0);
    // Where to go on if what follows the last star does not fit.
    let mut star = None;
    while at < name.len() {
        match pattern.get(here) {
            Some(b'*') => {
                star = Some((here + 1, at));
                here += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[at] => {
                here += 1;
                at += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    (here, at) = (back, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[here..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reals_have_as_few_digits_as_tell_them() {
        let all = [
            (1.5, "1.5"),
            (0.1, "0.1"),
            (-0.3, "-0.3"),
            (100_000.0, "100000"),
            (1e10, "1.0e+10"),
            (1.25e-7, "1.25e-07"),
            (2.0 / 3.0, "0.66666666666667"),
            (0.999_999_999_999_999_9, "1"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "nan"),
        ];
        for (value, text) in all {
            assert_eq!(real(value, true), text, "{value}");
        }
        assert_eq!(real(f64::from(0.1f32), false), "0.1");
        assert_eq!(real(f64::from(1.1e-9f32), false), "1.1e-09");
    }

    #[test]
    fn patterns_are_those_of_the_reference() {
        for (name, pattern, fits) in [
            ("sr:gap", "sr:*", true),
            ("sr:gap", "*gap", true),
            ("sr:gap", "sr?gap", true),
            ("sr:gap", "*g*p*", true),
            ("sr:gap", "gap", false),
            ("", "*", true),
            ("aaab", "*ab", true),
        ] {
            assert_eq!(matches(name, pattern), fits, "{name} {pattern}");
        }
    }
}
