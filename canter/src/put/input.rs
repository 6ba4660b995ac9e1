//! Arguments of `canter put` to the value that is sent.

use ca_proto::dbr::{EnumIndex, EnumStates, NativeType, STRING_LEN, Value};
use ca_proto::text::parse::{ParseNumberError, strtod};
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, map, opt};
use nom::sequence::preceded;
use nom::{IResult, Parser};

use crate::escape::{self, BadEscape};
use crate::exit::UsageError;

/// The PV that a value is for.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// Name, for messages.
    pub(crate) pv: &'a str,
    /// Native type.
    pub(crate) native: NativeType,
    /// Elements the PV has room for.
    pub(crate) count: u32,
    /// State texts of an enum, as far as the server tells them.
    pub(crate) states: &'a EnumStates,
}

/// How the arguments are to be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// By the native type of the PV: numbers for number types, arrays of `CHAR` among them.
    Native,
    /// As [`Native`](Self::Native), but states by their number only.
    Index,
    /// As texts that the server converts.
    String,
    /// One text for an array of `CHAR`.
    LongString,
}

/// The bytes that the arguments stand for: escapes translated, unless `literal`.
///
/// # Errors
/// A backslash that begins no escape.
pub(crate) fn texts(
    args: &[impl AsRef<std::ffi::OsStr>],
    literal: bool,
) -> Result<Vec<Vec<u8>>, UsageError> {
    let args = args.iter().map(|arg| arg.as_ref().as_encoded_bytes());
    args.map(|arg| match literal {
        true => Ok(arg.to_vec()),
        false => escape::bytes(arg).map_err(|error| {
            UsageError::new(
                format!("{error} in the value `{}`", String::from_utf8_lossy(arg)),
                format!("{}; --literal takes values as they are", BadEscape::REMEDY),
            )
        }),
    })
    .collect()
}

/// Makes the value; everything that the server would refuse for certain is refused here.
///
/// # Errors
/// What is wrong with which argument, and what would be right.
pub(crate) fn value(
    target: &Target<'_>,
    mode: Mode,
    args: &[Vec<u8>],
) -> Result<Value, UsageError> {
    if mode == Mode::LongString {
        return long_string(target, args);
    }
    if args.len() > target.count.max(1) as usize {
        return Err(too_many(target, args));
    }
    let native = match mode {
        Mode::String => NativeType::String,
        _ => target.native,
    };
    match native {
        NativeType::String => strings(target, args),
        NativeType::Double => all(args, |arg| real(target, arg)),
        NativeType::Float => all(args, |arg| single(target, arg)),
        NativeType::Short => all(args, |arg| {
            integer::<i16>(target, arg, i16::MIN.into(), i16::MAX.into())
        }),
        NativeType::Long => all(args, |arg| {
            integer::<i32>(target, arg, i32::MIN.into(), i32::MAX.into())
        }),
        NativeType::Char => all(args, |arg| byte(target, arg)),
        NativeType::Enum if args.iter().any(|arg| is_beyond_list(target, arg)) => {
            strings(target, args)
        }
        NativeType::Enum => all(args, |arg| state(target, mode, arg)),
    }
}

fn all<T: ca_proto::dbr::Element>(
    args: &[Vec<u8>],
    parse: impl Fn(&[u8]) -> Result<T, UsageError>,
) -> Result<Value, UsageError> {
    let elements: Vec<T> = args
        .iter()
        .map(|arg| parse(arg))
        .collect::<Result<_, _>>()?;
    Ok(match elements[..] {
        [only] => Value::scalar(only),
        _ => Value::array(&elements),
    })
}

fn too_many(target: &Target<'_>, args: &[Vec<u8>]) -> UsageError {
    let Target {
        pv, count, native, ..
    } = target;
    let given = args.len();
    if *count <= 1 && *native == NativeType::String {
        return UsageError::new(
            format!("{pv} holds one text, {given} were given"),
            "put the text in quotes if its words belong together",
        );
    }
    let dashed = args.iter().find(|arg| arg.starts_with(b"-"));
    let remedy = match dashed.filter(|arg| *native == NativeType::String || whole(arg).is_none()) {
        Some(arg) => format!(
            "give fewer values; `{}` is none of the options in `canter put --help`, thus a value; nothing was sent",
            escape::line(arg)
        ),
        None => "give fewer values; nothing was sent".to_owned(),
    };
    UsageError::new(
        format!(
            "{pv} holds {}, {given} were given",
            escape::counted(*count, "element")
        ),
        remedy,
    )
}

fn wrong(target: &Target<'_>, arg: &[u8], what: &str, remedy: impl Into<String>) -> UsageError {
    let array = if target.native == NativeType::Char && target.count > 1 {
        "an array of CHAR".to_owned()
    } else {
        article(target.native)
    };
    UsageError::new(
        format!("`{}` {what}: {} is {array}", escape::line(arg), target.pv),
        remedy,
    )
}

fn article(native: NativeType) -> String {
    let an = if native == NativeType::Enum {
        "an"
    } else {
        "a"
    };
    format!("{an} {}", native.name())
}

fn strings(target: &Target<'_>, args: &[Vec<u8>]) -> Result<Value, UsageError> {
    for arg in args {
        if arg.contains(&0) {
            return Err(UsageError::new(
                format!(
                    "the text for {} has a NUL, which ends a string of Channel Access",
                    target.pv
                ),
                "leave it out; nothing was sent",
            ));
        }
        if arg.len() >= STRING_LEN {
            return Err(UsageError::new(
                format!(
                    "the text for {} has {} bytes, a string of Channel Access at most {}",
                    target.pv,
                    arg.len(),
                    STRING_LEN - 1
                ),
                "shorten it, or write fields of records by their name with `$` and --long-string",
            ));
        }
    }
    Ok(Value::strings(args))
}

fn long_string(target: &Target<'_>, args: &[Vec<u8>]) -> Result<Value, UsageError> {
    let [arg] = args else {
        return Err(UsageError::new(
            format!("{} takes one text, {} were given", target.pv, args.len()),
            "put the text in quotes",
        ));
    };
    if target.native != NativeType::Char {
        return Err(UsageError::new(
            format!(
                "{} is {}, --long-string is for arrays of CHAR",
                target.pv,
                article(target.native)
            ),
            "leave --long-string out; for fields of records append `$` to the name",
        ));
    }
    let mut bytes = arg.clone();
    // The NUL ends the text for readers of the array; it is left out where there is no room.
    if bytes.len() < target.count as usize {
        bytes.push(0);
    }
    if bytes.len() > target.count as usize {
        return Err(UsageError::new(
            format!(
                "the text has {} bytes, {} holds {}",
                bytes.len(),
                target.pv,
                target.count
            ),
            "shorten the text; nothing was sent",
        ));
    }
    Ok(Value::array(&bytes))
}

fn real(target: &Target<'_>, arg: &[u8]) -> Result<f64, UsageError> {
    let text = arg.trim_ascii();
    match strtod(text) {
        Ok((v, len)) if len == text.len() && len > 0 => Ok(v),
        Err(ParseNumberError::OutOfRange | ParseNumberError::Underflow) => Err(wrong(
            target,
            arg,
            "is beyond the range of 64-bit numbers",
            "give a number between 2.2e-308 and 1.8e308",
        )),
        _ => {
            let usual = "give a number such as 1.5 or -2e3, or use --string to let the server convert a text";
            let hint = written_otherwise(target, arg).unwrap_or_else(|| usual.to_owned());
            Err(wrong(target, arg, "is no number", hint))
        }
    }
}

fn single(target: &Target<'_>, arg: &[u8]) -> Result<f32, UsageError> {
    let v = real(target, arg)?;
    let narrow = v as f32;
    if v.is_finite() && narrow.is_infinite() {
        return Err(wrong(
            target,
            arg,
            "is beyond the range of 32-bit numbers",
            "give a number between -3.4e38 and 3.4e38",
        ));
    }
    Ok(narrow)
}

fn integer<T: TryFrom<i64>>(
    target: &Target<'_>,
    arg: &[u8],
    min: i64,
    max: i64,
) -> Result<T, UsageError> {
    let mut range = format!("give a whole number between {min} and {max}");
    if target.native == NativeType::Char && target.count > 1 {
        range.push_str(", or -S (--long-string) to write a text");
    }
    let number = whole(arg).or_else(|| whole_real(arg));
    let number = number.ok_or_else(|| {
        let hint = written_otherwise(target, arg).unwrap_or_else(|| range.clone());
        wrong(target, arg, "is no whole number", hint)
    })?;
    T::try_from(number)
        .ok()
        .filter(|_| (min..=max).contains(&number))
        .ok_or_else(|| wrong(target, arg, "is out of range", range))
}

/// A whole number, decimal or hexadecimal with `0x`; leading zeros do not mean octal. What no
/// `i64` holds becomes the nearest one, which is out of every range that is asked for.
fn whole(arg: &[u8]) -> Option<i64> {
    let (_, number) = all_consuming(whole_number).parse(arg.trim_ascii()).ok()?;
    Some(number)
}

/// A whole number that is written with a point or an exponent, such as `2.0` and `1e6`. What no `i64` holds
/// is out of every range.
fn whole_real(arg: &[u8]) -> Option<i64> {
    let text = arg.trim_ascii();
    match strtod(text) {
        // Saturates.
        Ok((v, len)) if len == text.len() && v.is_finite() && v.fract() == 0.0 => Some(v as i64),
        Err(ParseNumberError::OutOfRange) => Some(i64::MAX),
        _ => None,
    }
}

/// What to write in place of a list in one argument, or of a decimal comma.
fn written_otherwise(target: &Target<'_>, arg: &[u8]) -> Option<String> {
    let text = arg.trim_ascii();
    let is_number = |part: &[u8]| {
        let part = part.trim_ascii();
        strtod(part).is_ok_and(|(_, len)| len > 0 && len == part.len())
    };
    let inner = match text {
        [b'[' | b'(' | b'{', inner @ .., b']' | b')' | b'}'] => inner,
        all => all,
    };
    let parts: Vec<&[u8]> = (inner.split(|b| b", ;\t".contains(b)))
        .filter(|part| !part.is_empty())
        .collect();
    let is_single = parts.len() == 1 && inner == text;
    if parts.is_empty() || is_single || !parts.iter().all(|part| is_number(part)) {
        return None;
    }
    Some(match parts.len() {
        _ if target.count > 1 => format!(
            "give each element as an argument of its own, as in `canter put {} 1 2 3`",
            target.pv
        ),
        2 if text.contains(&b',') => "write a point in place of the comma".to_owned(),
        _ => format!("give one number; {} is no array", target.pv),
    })
}

fn whole_number(input: &[u8]) -> IResult<&[u8], i64> {
    // Only digits are left, so that the one reason to fail is the size.
    let number = |radix| {
        move |digits: &[u8]| {
            i64::from_str_radix(&escape::latin_1(digits), radix).unwrap_or(i64::MAX)
        }
    };
    let hex = take_while1(|b: u8| b.is_ascii_hexdigit());
    let magnitude = alt((
        map(preceded(tag_no_case("0x"), hex), number(16)),
        map(digit1, number(10)),
    ));
    let sign = opt(alt((char('-'), char('+'))));
    map((sign, magnitude), |(sign, magnitude)| match sign {
        Some('-') => -magnitude,
        _ => magnitude,
    })
    .parse(input)
}

/// A byte has no sign on the wire: -1 is 255.
fn byte(target: &Target<'_>, arg: &[u8]) -> Result<u8, UsageError> {
    Ok(integer::<i16>(target, arg, -128, 255)? as u8)
}

/// Whether a text may be that of a state for which the list has no room, so that the server has to
/// judge: menus of records have more than 16, and longer ones than the 25 bytes that a list holds.
fn is_beyond_list(target: &Target<'_>, arg: &[u8]) -> bool {
    let states = target.states;
    let cut = |state: &[u8]| EnumStates::may_be_cut(state) && arg.starts_with(state);
    let known = states.position(arg).is_some();
    let number = whole(arg).is_some();
    !known && (!number && states.is_full() || states.iter().any(cut))
}

fn state(target: &Target<'_>, mode: Mode, arg: &[u8]) -> Result<EnumIndex, UsageError> {
    let states = target.states;
    if mode != Mode::Index
        && let Some(index) = states.position(arg)
    {
        return Ok(EnumIndex(index));
    }
    let number = whole(arg).and_then(|number| u16::try_from(number).ok());
    match number {
        Some(index)
            if states.is_empty() || states.is_full() || usize::from(index) < states.len() =>
        {
            Ok(EnumIndex(index))
        }
        _ if states.is_empty() => Err(wrong(
            target,
            arg,
            "is no state",
            "the server tells no state texts; give the number of a state, or use --string",
        )),
        _ => Err(wrong(
            target,
            arg,
            "is no state",
            format!("states are {}", state_list(states)),
        )),
    }
}

/// `0 Idle, 1 Moving`.
fn state_list(states: &EnumStates) -> String {
    let texts = states.iter().enumerate();
    let texts: Vec<String> = texts
        .map(|(n, state)| format!("{n} {}", escape::line(state)))
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(native: NativeType, count: u32, args: &[&str]) -> Result<Value, String> {
        put_as(Mode::Native, native, count, args)
    }

    fn put_as(mode: Mode, native: NativeType, count: u32, args: &[&str]) -> Result<Value, String> {
        let states = EnumStates::new(["Idle", "Moving", "Fault"]);
        let target = Target {
            pv: "X",
            native,
            count,
            states: &states,
        };
        let args = texts(args, false).map_err(|error| error.to_string())?;
        value(&target, mode, &args).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_become_the_native_type() {
        assert_eq!(
            put(NativeType::Double, 1, &["-2e3"]),
            Ok(Value::from(-2000.0))
        );
        assert_eq!(put(NativeType::Float, 1, &["0.5"]), Ok(Value::from(0.5f32)));
        assert_eq!(put(NativeType::Short, 1, &["-7"]), Ok(Value::from(-7i16)));
        assert_eq!(put(NativeType::Long, 1, &["0x10"]), Ok(Value::from(16)));
        assert_eq!(put(NativeType::Long, 1, &["010"]), Ok(Value::from(10)));
        assert_eq!(put(NativeType::Char, 1, &["-1"]), Ok(Value::from(255u8)));
        assert_eq!(
            put(NativeType::Double, 3, &["1", "2"]),
            Ok(Value::from([1.0, 2.0]))
        );
        assert!(put(NativeType::Double, 1, &["nan"]).is_ok());
    }

    #[test]
    fn a_sign_stands_before_a_number_only_and_its_size_is_no_matter() {
        let long = |arg| put(NativeType::Long, 1, &[arg]);
        for arg in ["-0x-8000000000000000", "0x+8", "--1", "-", "0x", "+-1"] {
            let error = long(arg).unwrap_err();
            assert!(error.contains("is no whole number"), "{error}");
        }
        for arg in [
            "99999999999999999999",
            "-9223372036854775808",
            "0x8000000000000000",
        ] {
            let error = long(arg).unwrap_err();
            assert!(error.contains("is out of range"), "{error}");
        }
        assert_eq!(long("-0x80000000"), Ok(Value::from(i32::MIN)));
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point_or_an_exponent() {
        let long = |arg| put(NativeType::Long, 1, &[arg]);
        for (arg, number) in [
            ("1e3", 1000),
            ("1.0", 1),
            ("5.", 5),
            ("-2.50e1", -25),
            ("0x1p4", 16),
            (" 2e0 ", 2),
        ] {
            assert_eq!(long(arg), Ok(Value::from(number)), "{arg}");
        }
        for (arg, what) in [
            ("1.5", "is no whole number"),
            ("1e-1", "is no whole number"),
            ("nan", "is no whole number"),
            ("inf", "is no whole number"),
            ("1e10", "is out of range"),
            ("-1e300", "is out of range"),
            ("1e999", "is out of range"),
        ] {
            let error = long(arg).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        assert_eq!(put(NativeType::Char, 1, &["6.5e1"]), Ok(Value::from(b'A')));
    }

    /// As other tools, languages and people write numbers.
    #[test]
    fn what_is_written_otherwise_is_told_how() {
        for (count, arg, hint) in [
            (1, "1,5", "write a point in place of the comma"),
            (5, "1,5", "as in `canter put X 1 2 3`"),
            (5, "1 2 3", "as in `canter put X 1 2 3`"),
            (5, "[1, 2, 3]", "as in `canter put X 1 2 3`"),
            (1, "1 2 3", "X is no array"),
            (1, "[1]", "X is no array"),
            (1, "1.5mm", "give a number such as 1.5"),
            (5, "", "give a number such as 1.5"),
            (1, ",", "give a number such as 1.5"),
        ] {
            let error = put(NativeType::Double, count, &[arg]).unwrap_err();
            assert!(error.contains(hint), "{arg}: {error}");
        }
        let error = put(NativeType::Long, 3, &["1,2"]).unwrap_err();
        assert!(error.contains("as in `canter put X 1 2 3`"), "{error}");
    }

    #[test]
    fn what_is_no_number_is_named_with_its_pv_and_type() {
        assert_eq!(
            put(NativeType::Long, 1, &["1.7"]).unwrap_err(),
            "error: `1.7` is no whole number: X is a LONG\n \
             hint: give a whole number between -2147483648 and 2147483647"
        );
        let error = put(NativeType::Double, 1, &["1,5"]).unwrap_err();
        assert!(
            error.contains("`1,5` is no number: X is a DOUBLE"),
            "{error}"
        );
        let error = put(NativeType::Short, 1, &["40000"]).unwrap_err();
        assert!(error.contains("is out of range"), "{error}");
        let error = put(NativeType::Float, 1, &["1e39"]).unwrap_err();
        assert!(error.contains("32-bit"), "{error}");
        let error = put(NativeType::Char, 1, &["300"]).unwrap_err();
        assert!(error.contains("-128 and 255"), "{error}");
    }

    #[test]
    fn a_state_is_given_by_text_or_number() {
        assert_eq!(
            put(NativeType::Enum, 1, &["Moving"]),
            Ok(EnumIndex(1).into())
        );
        assert_eq!(put(NativeType::Enum, 1, &["2"]), Ok(EnumIndex(2).into()));
        for bad in ["moving", "3", "-1"] {
            let error = put(NativeType::Enum, 1, &[bad]).unwrap_err();
            assert!(
                error.contains("states are 0 Idle, 1 Moving, 2 Fault"),
                "{error}"
            );
        }
    }

    /// A list of 16 may be the beginning of a longer one, a text of 25 bytes that of a longer text.
    #[test]
    fn what_a_list_of_states_cannot_hold_is_left_to_the_server() {
        let put = |states: &EnumStates, arg: &str| {
            let target = Target {
                pv: "X.SCAN",
                native: NativeType::Enum,
                count: 1,
                states,
            };
            value(&target, Mode::Native, &[arg.into()]).map_err(|error| error.to_string())
        };
        let many = EnumStates::new((0..19).map(|n| format!("state {n}")));
        assert_eq!(put(&many, "state 3"), Ok(EnumIndex(3).into()));
        assert_eq!(put(&many, "state 17"), Ok(Value::from("state 17")));
        assert_eq!(put(&many, "17"), Ok(EnumIndex(17).into()));
        let long = "a text of more than twenty-five bytes";
        let cut = EnumStates::new(["short", long]);
        assert_eq!(put(&cut, long), Ok(Value::from(long)));
        assert_eq!(put(&cut, "short"), Ok(EnumIndex(0).into()));
        assert!(put(&cut, "other").is_err());
        assert!(put(&cut, "2").is_err());
    }

    #[test]
    fn more_values_than_elements_are_refused() {
        let error = put(NativeType::Double, 2, &["1", "2", "3"]).unwrap_err();
        assert!(
            error.contains("X holds 2 elements, 3 were given"),
            "{error}"
        );
        let error = put(NativeType::String, 1, &["two", "words"]).unwrap_err();
        assert!(error.contains("quotes"), "{error}");
    }

    #[test]
    fn texts_longer_than_a_string_are_refused_not_cut() {
        let error = put(NativeType::String, 1, &["x".repeat(40).as_str()]).unwrap_err();
        assert!(error.contains("has 40 bytes"), "{error}");
        assert!(put(NativeType::String, 1, &["x".repeat(39).as_str()]).is_ok());
    }

    #[test]
    fn a_text_for_a_char_array_ends_with_nul_if_there_is_room() {
        let text = |count, text| put_as(Mode::LongString, NativeType::Char, count, &[text]);
        assert_eq!(text(8, "abc"), Ok(Value::from(*b"abc\0")));
        assert_eq!(text(3, "abc"), Ok(Value::from(*b"abc")));
        assert_eq!(text(8, "65"), Ok(Value::from(*b"65\0")));
        assert_eq!(text(8, "-5V"), Ok(Value::from(*b"-5V\0")));
        assert_eq!(text(8, r"\xb0C\\"), Ok(Value::from(*b"\xb0C\\\0")));
        assert_eq!(text(8, ""), Ok(Value::array(&[0u8])));
        assert!(text(3, "abcd").is_err());
        assert!(put_as(Mode::LongString, NativeType::Double, 8, &["x"]).is_err());
    }

    #[test]
    fn an_array_of_char_takes_numbers_whatever_they_look_like() {
        let put = |args: &[&str]| put(NativeType::Char, 8, args);
        assert_eq!(put(&["65", "66"]), Ok(Value::from(*b"AB")));
        assert_eq!(put(&["000000"]), Ok(Value::from(0u8)));
        for (arg, what) in [
            ("2024", "is out of range"),
            ("abc", "is no whole number"),
            ("", "is no whole number"),
        ] {
            assert_eq!(
                put(&[arg]).unwrap_err(),
                format!(
                    "error: `{arg}` {what}: X is an array of CHAR\n \
                     hint: give a whole number between -128 and 255, or -S (--long-string) to write a text"
                )
            );
        }
        let error = put(&["-129"]).unwrap_err();
        assert!(error.contains("is out of range"), "{error}");
    }

    #[test]
    fn numbers_may_begin_with_a_minus_in_every_form() {
        for (arg, want) in [
            ("-1e-3", -1e-3),
            ("-.5", -0.5),
            ("-5.", -5.0),
            ("-0x10", -16.0),
            ("-inf", f64::NEG_INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("+1", 1.0),
        ] {
            assert_eq!(
                put(NativeType::Double, 1, &[arg]),
                Ok(Value::from(want)),
                "{arg}"
            );
        }
        assert_eq!(put(NativeType::Long, 1, &["-0x10"]), Ok(Value::from(-16)));
        assert_eq!(put(NativeType::String, 1, &["-5V"]), Ok(Value::from("-5V")));
    }

    #[test]
    fn texts_and_states_that_are_no_utf8_are_given_with_escapes() {
        let states = EnumStates::new([&b"z\xfc"[..], b"auf", b"1"]);
        let target = Target {
            pv: "X",
            native: NativeType::Enum,
            count: 1,
            states: &states,
        };
        let state_of = |mode, arg: &str| {
            value(&target, mode, &texts(&[arg], false).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(state_of(Mode::Native, r"z\xfc"), Ok(EnumIndex(0).into()));
        assert_eq!(state_of(Mode::Native, "1"), Ok(EnumIndex(2).into()));
        assert_eq!(state_of(Mode::Index, "1"), Ok(EnumIndex(1).into()));
        let error = state_of(Mode::Native, "zü").unwrap_err();
        assert!(error.contains(r"states are 0 z\xfc, 1 auf, 2 1"), "{error}");
        assert_eq!(
            put(NativeType::String, 1, &[r"20 \xb0C"]),
            Ok(Value::strings(&[b"20 \xb0C"]))
        );
    }

    #[test]
    fn a_backslash_is_an_escape_or_refused_or_taken_as_it_is() {
        let error = put(NativeType::String, 1, &[r"C:\data"]).unwrap_err();
        assert!(
            error.contains(r"`\dat` is no escape in the value `C:\data`"),
            "{error}"
        );
        assert!(error.contains("--literal"), "{error}");
        assert_eq!(texts(&[r"C:\new"], true).unwrap(), [br"C:\new"]);
        let error = put(NativeType::String, 1, &[r"a\0b"]).unwrap_err();
        assert!(error.contains("has a NUL"), "{error}");
    }

    #[test]
    fn the_server_converts_texts_on_request() {
        assert_eq!(
            put_as(Mode::String, NativeType::Double, 1, &["1.5 mm"]),
            Ok(Value::from("1.5 mm"))
        );
    }
}
