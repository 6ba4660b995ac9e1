//! Differences that stand in `PROTOCOL.md`, each as narrow as its reason.

use ca_proto::dbr::NativeType;

use super::{Question, values};

/// What an answer says beside its numbers.
struct Parts<'a> {
    /// Count, alarm and precision.
    head: &'a str,
    /// Units, where there are any.
    units: &'a str,
    /// Display, alarm, warning and control limits, where there are any.
    limits: Vec<&'a str>,
    elements: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (rest, elements) = text.rsplit_once(' ')?;
        let mut parts = Self {
            head: rest,
            units: "",
            limits: Vec::new(),
            elements: elements.split(',').collect(),
        };
        if let Some((head, described)) = rest.split_once("units ") {
            let mut words: Vec<&str> = described.rsplitn(5, ' ').collect();
            parts.units = words.pop()?;
            words.reverse();
            parts.head = head;
            parts.limits = words.iter().flat_map(|range| range.split("..")).collect();
        }
        Some(parts)
    }
}

/// An integer type of the protocol as the smallest and the largest number that some field of it holds: one
/// without sign, too.
fn range(ty: &str) -> Option<(f64, f64)> {
    Some(match ty {
        "CHAR" => (-128.0, 255.0),
        "SHORT" | "ENUM" => (-32768.0, 65535.0),
        "LONG" => (-2_147_483_648.0, 4_294_967_295.0),
        _ => return None,
    })
}

/// Whether a number is one that saturation ends at, in an integer of this width: as it is, or with the sign that
/// its bits have in a type without or with one.
fn is_end(number: &str, ty: &str) -> bool {
    let ends: &[f64] = match ty {
        "CHAR" => &[-128.0, 127.0, 128.0, 255.0, -1.0, 0.0],
        "SHORT" | "ENUM" => &[-32768.0, 32767.0, 32768.0, 65535.0, -1.0, 0.0],
        "LONG" => &[
            -2_147_483_648.0,
            2_147_483_647.0,
            2_147_483_648.0,
            4_294_967_295.0,
            -1.0,
            0.0,
        ],
        _ => return false,
    };
    number
        .parse()
        .is_ok_and(|number: f64| ends.contains(&number))
}

/// Whether all numbers that differ are ones that an integer of this width does not hold, as the answer in reals
/// says, and ours is at an end.
fn saturated(real: &[&str], ours: &[&str], truth: &[&str], ty: &str) -> bool {
    let Some((least, most)) = range(ty) else {
        return false;
    };
    let signed = match ty {
        "CHAR" => 127.0,
        "SHORT" => 32767.0,
        "LONG" => 2_147_483_647.0,
        _ => most,
    };
    let beyond = |truth: &str| {
        let number: f64 = truth.parse().unwrap_or(f64::NAN);
        !(least..=most).contains(&number) || number > signed
    };
    real.len() == ours.len()
        && real.len() == truth.len()
        && real
            .iter()
            .zip(ours)
            .zip(truth)
            .all(|((real, ours), truth)| real == ours || beyond(truth) && is_end(ours, ty))
}

/// What x86-64 makes of a real, in an integer that does not hold it.
fn wrapped(number: f64) -> impl Iterator<Item = f64> {
    let within = |bits: i32| number >= -2f64.powi(bits) && number < 2f64.powi(bits);
    let long = if within(31) { number as i32 } else { i32::MIN };
    let wide = if within(63) { number as i64 } else { i64::MIN };
    let all = [
        f64::from(long as i8),
        f64::from(long as u8),
        f64::from(long as i16),
        f64::from(long as u16),
        f64::from(long),
        f64::from(wide as u32),
        f64::from(wide as u32 as i32),
    ];
    all.into_iter()
        .filter(move |&wrapped| wrapped != number.trunc())
}

/// Whether a number may be what became of one that stories write.
fn is_wrapped(real: &str) -> bool {
    let real: Option<f64> = real.parse().ok();
    real.is_some_and(|real| {
        values::extremes()
            .flat_map(wrapped)
            .any(|number| number == real)
    })
}

/// W2, where it has reached a field that holds an integer, so that both IOCs hold other values from then on.
pub(super) fn is_stored_saturated(asked: &Question<'_>, real: &str, ours: &str) -> bool {
    if real.contains('|') || ours.contains('|') {
        return false;
    }
    let ty = match asked.native {
        Some(NativeType::Char) => "CHAR",
        Some(NativeType::Short) => "SHORT",
        Some(NativeType::Enum) => "ENUM",
        Some(NativeType::Long) => "LONG",
        // Fields without sign, and those of 64 bits.
        Some(NativeType::Double) => "LONG",
        _ => return false,
    };
    let same = |ty: &str| {
        let parts = (Parts::of(real), Parts::of(ours));
        let (Some(real), Some(ours)) = parts else {
            return false;
        };
        // The alarms of the record may follow from it already.
        real.head.split(' ').next() == ours.head.split(' ').next()
            && (real.units, &real.limits) == (ours.units, &ours.limits)
            && real.elements.len() == ours.elements.len()
            && real.elements != ours.elements
            && real
                .elements
                .iter()
                .zip(&ours.elements)
                .all(|(real, ours)| {
                    real == ours || is_wrapped(real) && *ours != "0.0" && is_end(ours, ty)
                })
    };
    // A field of 16 bits without sign is read as LONG, and one of 32 as DOUBLE.
    same(ty) || asked.integer && ty == "LONG" && same("SHORT")
}

/// Why a difference is known, if it is: `PROTOCOL.md` has the numbers.
pub(super) fn known(asked: &Question<'_>, real: &str, ours: &str) -> Option<&'static str> {
    let what = asked.what;
    let ty = what.rsplit('_').next().unwrap_or_default();
    let described = what.starts_with("DBR_GR_") || what.starts_with("DBR_CTRL_");
    if asked.field.ends_with('$') && what.starts_with("DBR_") && is_padded(real, ours) {
        return Some("S21: a long string is as long as its text in all types");
    }
    if asked.field.ends_with('$') && has_signs(what) && is_padded(&without_signs(real), ours) {
        return Some("S54: characters beyond 127 are what they are as CHAR");
    }
    if what.starts_with("told") && is_same_text(asked.field, real, ours) {
        return Some("S33: the alarm and the time are those of when it was posted");
    }
    if what.starts_with("told") && asked.by_reference && is_told_once(real, ours) {
        return Some("S48: one update stands for all that wait");
    }
    if !what.starts_with("DBR_") {
        return None;
    }
    let (a, b) = (Parts::of(real)?, Parts::of(ours)?);
    if a.head != b.head {
        return None;
    }
    let truth = asked.truth.and_then(Parts::of);
    let within = |real: &[&str], ours: &[&str], truth: Option<&[&str]>| {
        real == ours || truth.is_some_and(|truth| saturated(real, ours, truth, ty))
    };
    let elements = truth.as_ref().map(|truth| &truth.elements[..]);
    if !within(&a.elements, &b.elements, elements) {
        return None;
    }
    let limits = truth.as_ref().map(|truth| &truth.limits[..]);
    if a.units == b.units && within(&a.limits, &b.limits, limits) {
        return Some("W2: numbers beyond an integer's range saturate");
    }
    // Arguments whose links the reference does not find, or that are constant: what was in memory.
    if described && is_argument(asked) && b.units.is_empty() {
        let (Some((_, theirs)), Some((none, control))) =
            (a.limits.split_at_checked(6), b.limits.split_at_checked(6))
        else {
            return None;
        };
        let truth = limits.and_then(|all| all.get(6..));
        if none.iter().all(|n| ["0.0", "NaN"].contains(n)) && within(theirs, control, truth) {
            return Some("S42: memory of the reference");
        }
    }
    None
}

/// Arguments and last arguments of expressions, and values of a `seq`.
fn is_argument(asked: &Question<'_>) -> bool {
    let field = asked.field;
    match asked.of {
        "calc" | "calcout" | "sel" | "sub" => {
            let letter = field.strip_prefix('L').filter(|rest| !rest.is_empty());
            matches!(letter.unwrap_or(field).as_bytes(), [b'A'..=b'U'])
        }
        "seq" => field.starts_with("DO") && !field.starts_with("DOL"),
        _ => false,
    }
}

/// Whether ours is the same without what fills the field up: zeros, or what was there before behind a NUL.
fn is_padded(real: &str, ours: &str) -> bool {
    let (Some(real), Some(ours)) = (Parts::of(real), Parts::of(ours)) else {
        return false;
    };
    let head = |head: &str| head.split_once(' ').map(|(_, rest)| rest.to_owned());
    let filled = |n: &&str| ["0.0", "\"0\"", "\"\""].contains(n);
    let rest = real.elements.strip_prefix(&ours.elements[..]);
    let rest = rest.or_else(|| (ours.elements == [""]).then_some(&real.elements[..]));
    let ended = ours.elements.last().is_some_and(filled);
    head(real.head) == head(ours.head) && rest.is_some_and(|rest| ended || rest.iter().all(filled))
}

/// Whether characters have a sign in this type.
fn has_signs(what: &str) -> bool {
    what.starts_with("DBR_") && !what.ends_with("_CHAR")
}

/// Elements that are characters, each as it is without a sign.
fn without_signs(told: &str) -> String {
    let Some((head, elements)) = told.rsplit_once(' ') else {
        return told.to_owned();
    };
    let each = elements.split(',').map(|element| {
        let quotes = element.starts_with('"');
        let number: Option<f64> = element.trim_matches('"').parse().ok();
        let number = number.map(|n| match n {
            n if (-128.0..0.0).contains(&n) => n + 256.0,
            n if n >= 65408.0 => n - 65280.0,
            n => n,
        });
        match (number, quotes) {
            (Some(n), true) => format!("\"{n}\""),
            (Some(n), false) => format!("{n:?}"),
            (None, _) => element.to_owned(),
        }
    });
    format!("{head} {}", each.collect::<Vec<_>>().join(","))
}

/// Whether the reference has told less often of the same: the last value is the same, and the alarm is that of one
/// of ours.
fn is_told_once(real: &str, ours: &str) -> bool {
    let (theirs, mine): (Vec<_>, Vec<_>) =
        (real.split(" | ").collect(), ours.split(" | ").collect());
    let value = |told: Option<&&str>| {
        told.and_then(|told| told.rsplit(' ').next())
            .map(str::to_owned)
    };
    let head = |told: &str| told.rsplit_once(' ').map(|(head, _)| head.to_owned());
    !real.is_empty()
        && theirs.len() < mine.len()
        && value(theirs.last()) == value(mine.last())
        && theirs
            .iter()
            .all(|told| mine.iter().any(|one| head(one) == head(told)))
}

/// A text that is told: the alarm is that of when it is sent, as of plain PVs.
fn is_same_text(field: &str, real: &str, ours: &str) -> bool {
    let text = |told: &str| match field.ends_with('$') {
        true => told.rsplit_once(' ').map(|(_, text)| text.to_owned()),
        false => told.split_once(" \"").map(|(_, text)| text.to_owned()),
    };
    text(real).is_some() && text(real) == text(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(
        of: &'a str,
        field: &'a str,
        what: &'a str,
        truth: Option<&'a str>,
    ) -> Question<'a> {
        Question {
            of,
            field,
            what,
            context: "",
            native: None,
            integer: false,
            by_reference: true,
            truth,
        }
    }

    #[test]
    fn only_numbers_beyond_an_integer_may_differ() {
        let truth = "x1 0/0 prec 0 units  0.0..0.0 NaN..NaN NaN..NaN -1e300..1e300 70000.0";
        let short = asked("ai", "VAL", "DBR_STS_SHORT", Some(truth));
        assert!(known(&short, "x1 0/0 4464.0", "x1 0/0 32767.0").is_some());
        assert!(known(&short, "x1 0/0 4464.0", "x1 0/0 5.0").is_none());
        assert!(known(&short, "x1 0/0 4464.0", "x1 3/1 32767.0").is_none());
        let long = asked("ai", "VAL", "DBR_STS_LONG", Some(truth));
        assert!(known(&long, "x1 0/0 70000.0", "x1 0/0 2147483647.0").is_none());
    }

    #[test]
    fn a_field_may_hold_what_was_drawn_and_wraps() {
        let mut asked = asked("longout", "DISA", "DBR_TIME_SHORT", None);
        (asked.native, asked.integer) = (Some(NativeType::Short), true);
        assert!(is_stored_saturated(
            &asked,
            "x1 3/3 32767.0",
            "x1 3/3 -32768.0"
        ));
        assert!(is_stored_saturated(&asked, "x1 0/0 0.0", "x1 15/3 32767.0"));
        assert!(!is_stored_saturated(&asked, "x1 0/0 4.0", "x1 0/0 32767.0"));
        assert!(!is_stored_saturated(&asked, "x1 0/0 0.0", "x1 0/0 3.0"));
        assert!(!is_stored_saturated(&asked, "x1 0/0 3.0", "x1 15/3 3.0"));
    }

    #[test]
    fn only_what_nobody_has_set_may_be_memory() {
        let [real, ours] = ["xyz", ""].map(|units| {
            format!("x1 0/0 prec 0 units {units} 0.0..0.0 NaN..NaN NaN..NaN -1e300..1e300 1.0")
        });
        for (of, field, is_known) in [
            ("calc", "LB", true),
            ("calc", "B", true),
            ("calc", "LALM", false),
            ("ai", "B", false),
        ] {
            let asked = asked(of, field, "DBR_CTRL_DOUBLE", None);
            assert_eq!(
                known(&asked, &real, &ours).is_some(),
                is_known,
                "{of}.{field}"
            );
            assert!(known(&asked, &ours, &real).is_none(), "ours has none");
        }
    }

    #[test]
    fn characters_of_a_long_string_may_have_a_sign() {
        let string = asked("ai", "DESC$", "DBR_STS_STRING", None);
        let real = "x4 0/0 \"-75\",\"32\",\"0\",\"0\"";
        assert!(known(&string, real, "x3 0/0 \"181\",\"32\",\"0\"").is_some());
        assert!(known(&string, real, "x3 0/0 \"180\",\"32\",\"0\"").is_none());
        let char = asked("ai", "DESC$", "DBR_STS_CHAR", None);
        assert!(known(&char, "x2 0/0 -75.0,0.0", "x2 0/0 181.0,0.0").is_none());
    }

    #[test]
    fn an_update_that_waits_stands_for_others() {
        let told = asked("mbbo", "VAL", "told 4", None);
        let ours = "x1 0/0 4.0 | x1 14/3 4.0";
        assert!(known(&told, "x1 0/0 4.0", ours).is_some());
        assert!(known(&told, "x1 0/0 5.0", ours).is_none());
        assert!(known(&told, "x1 3/1 4.0", ours).is_none());
        assert!(known(&told, "", ours).is_none());
        assert!(known(&told, ours, "x1 0/0 4.0").is_none());
    }
}
