//! Arguments of `canter put` to the value that is sent.

use ca_proto::dbr::{EnumIndex, EnumStates, NativeType, STRING_LEN, Value};
use ca_proto::text::parse::{Base, ParseNumberError, parse_signed, strtod};

use crate::exit::UsageError;
use crate::text;

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
    /// By the native type of the PV.
    Native,
    /// As texts that the server converts.
    String,
    /// One text for an array of `CHAR`.
    LongString,
}

/// Makes the value; everything that the server would refuse for certain is refused here.
///
/// # Errors
/// What is wrong with which argument, and what would be right.
pub(crate) fn value(target: &Target<'_>, mode: Mode, args: &[String]) -> Result<Value, UsageError> {
    if is_long_string(target, mode, args) {
        return long_string(target, args);
    }
    if args.len() > target.count.max(1) as usize {
        return Err(too_many(target, args.len()));
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
        NativeType::Enum => all(args, |arg| state(target, arg)),
    }
}

/// Whether the arguments are one text for an array of `CHAR`.
pub(crate) fn is_long_string(target: &Target<'_>, mode: Mode, args: &[String]) -> bool {
    match mode {
        Mode::LongString => true,
        Mode::String => false,
        Mode::Native => target.native == NativeType::Char && target.count > 1 && is_text(args),
    }
}

fn all<T: ca_proto::dbr::Element>(
    args: &[String],
    parse: impl Fn(&str) -> Result<T, UsageError>,
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

/// Whether the arguments are one text rather than numbers.
fn is_text(args: &[String]) -> bool {
    matches!(args, [only] if parse_signed(only.as_bytes(), Base::Prefix).is_err() || only.is_empty())
}

fn too_many(target: &Target<'_>, given: usize) -> UsageError {
    let Target {
        pv, count, native, ..
    } = target;
    if *count <= 1 && *native == NativeType::String {
        return UsageError::new(
            format!("{pv} holds one text, {given} were given"),
            "put the text in quotes if its words belong together",
        );
    }
    UsageError::new(
        format!(
            "{pv} holds {}, {given} were given",
            text::counted(*count, "element")
        ),
        "give fewer values; nothing was sent",
    )
}

fn wrong(target: &Target<'_>, arg: &str, what: &str, remedy: impl Into<String>) -> UsageError {
    UsageError::new(
        format!(
            "`{}` {what}: {} is {}",
            text::printable(arg),
            target.pv,
            article(target.native)
        ),
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

fn strings(target: &Target<'_>, args: &[String]) -> Result<Value, UsageError> {
    for arg in args {
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

fn long_string(target: &Target<'_>, args: &[String]) -> Result<Value, UsageError> {
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
    let mut bytes = arg.clone().into_bytes();
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

fn real(target: &Target<'_>, arg: &str) -> Result<f64, UsageError> {
    let text = arg.trim();
    match strtod(text.as_bytes()) {
        Ok((v, len)) if len == text.len() && len > 0 => Ok(v),
        Err(ParseNumberError::OutOfRange | ParseNumberError::Underflow) => Err(wrong(
            target,
            arg,
            "is beyond the range of 64-bit numbers",
            "give a number between 2.2e-308 and 1.8e308",
        )),
        _ => Err(wrong(
            target,
            arg,
            "is no number",
            "give a number such as 1.5 or -2e3, or use --string to let the server convert a text",
        )),
    }
}

fn single(target: &Target<'_>, arg: &str) -> Result<f32, UsageError> {
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
    arg: &str,
    min: i64,
    max: i64,
) -> Result<T, UsageError> {
    let range = format!("give a whole number between {min} and {max}");
    let number =
        whole(arg).ok_or_else(|| wrong(target, arg, "is no whole number", range.clone()))?;
    T::try_from(number).map_err(|_| wrong(target, arg, "is out of range", range))
}

/// A whole number, decimal or hexadecimal with `0x`; leading zeros do not mean octal. What no
/// `i64` holds becomes the nearest one, which is out of every range that is asked for.
fn whole(arg: &str) -> Option<i64> {
    let text = arg.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (16, hex),
        None => (10, text),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    // Only digits are left, so that the one reason to fail is the size.
    let magnitude = i64::from_str_radix(digits, radix).unwrap_or(i64::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

/// A byte has no sign on the wire: -1 is 255.
fn byte(target: &Target<'_>, arg: &str) -> Result<u8, UsageError> {
    let number = integer::<i16>(target, arg, -128, 255)?;
    match number {
        -128..=255 => Ok(number as u8),
        _ => Err(wrong(
            target,
            arg,
            "is out of range",
            "give a whole number between -128 and 255",
        )),
    }
}

/// Whether a text may be that of a state for which the list has no room, so that the server has to
/// judge: menus of records have more than 16, and longer ones than the 25 bytes that a list holds.
fn is_beyond_list(target: &Target<'_>, arg: &str) -> bool {
    let states = target.states;
    let cut = |state: &[u8]| EnumStates::may_be_cut(state) && arg.as_bytes().starts_with(state);
    let known = states.position(arg.as_bytes()).is_some();
    let number = whole(arg).is_some();
    !known && (!number && states.is_full() || states.iter().any(cut))
}

fn state(target: &Target<'_>, arg: &str) -> Result<EnumIndex, UsageError> {
    let states = target.states;
    if let Some(index) = states.position(arg.as_bytes()) {
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
        .map(|(n, state)| format!("{n} {}", text::line(state)))
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
        let args: Vec<String> = args.iter().map(|&arg| arg.into()).collect();
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
        assert_eq!(
            put(NativeType::Char, 8, &["abc"]),
            Ok(Value::from(*b"abc\0"))
        );
        assert_eq!(put(NativeType::Char, 3, &["abc"]), Ok(Value::from(*b"abc")));
        assert_eq!(
            put(NativeType::Char, 8, &["65", "66"]),
            Ok(Value::from(*b"AB"))
        );
        assert_eq!(
            put_as(Mode::LongString, NativeType::Char, 8, &["65"]),
            Ok(Value::from(*b"65\0"))
        );
        assert!(put(NativeType::Char, 3, &["abcd"]).is_err());
        assert!(put_as(Mode::LongString, NativeType::Double, 8, &["x"]).is_err());
    }

    #[test]
    fn the_server_converts_texts_on_request() {
        assert_eq!(
            put_as(Mode::String, NativeType::Double, 1, &["1.5 mm"]),
            Ok(Value::from("1.5 mm"))
        );
    }
}
