//! The words of the language, and what each of them is.

use nom::bytes::complete::{tag_no_case, take_while};
use nom::character::complete::{digit1, hex_digit1, one_of};
use nom::combinator::{opt, recognize, verify};
use nom::{IResult, Parser};

use super::{Binary, CalcErrorKind, Many, Unary};

/// A word where an operand may begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opener {
    Number(f64),
    Value,
    Random,
    Argument(u8),
    Paren,
    Unary(Unary),
    /// A function of two arguments.
    Two(Binary),
    Many(Many),
}

/// A word behind an operand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Follower {
    Binary(Binary, Priority),
    Close,
    Comma,
    If,
    Else,
    Assign,
    End,
}

/// How tightly an operator binds.
pub(super) type Priority = u8;

/// Functions and signs bind tighter than any operator.
pub(super) const TIGHTEST: Priority = 7;

type Names<T> = &'static [(&'static str, T)];

/// Words that stand for themselves, the longest first where one begins like another.
const CONSTANTS: Names<f64> = &[
    ("D2R", std::f64::consts::PI / 180.0),
    ("PI", std::f64::consts::PI),
    ("R2D", 180.0 / std::f64::consts::PI),
];

const FUNCTIONS: Names<Opener> = &[
    ("ABS", Opener::Unary(Unary::Abs)),
    ("ACOS", Opener::Unary(Unary::Acos)),
    ("ASIN", Opener::Unary(Unary::Asin)),
    ("ATAN2", Opener::Two(Binary::Atan2)),
    ("ATAN", Opener::Unary(Unary::Atan)),
    ("CEIL", Opener::Unary(Unary::Ceil)),
    ("COSH", Opener::Unary(Unary::Cosh)),
    ("COS", Opener::Unary(Unary::Cos)),
    ("EXP", Opener::Unary(Unary::Exp)),
    ("FINITE", Opener::Many(Many::Finite)),
    ("FLOOR", Opener::Unary(Unary::Floor)),
    ("FMOD", Opener::Two(Binary::Fmod)),
    ("ISINF", Opener::Unary(Unary::IsInf)),
    ("ISNAN", Opener::Many(Many::IsNan)),
    ("LN", Opener::Unary(Unary::Ln)),
    ("LOGE", Opener::Unary(Unary::Ln)),
    ("LOG", Opener::Unary(Unary::Log)),
    ("MAX", Opener::Many(Many::Max)),
    ("MIN", Opener::Many(Many::Min)),
    ("NINT", Opener::Unary(Unary::Nint)),
    ("NOT", Opener::Unary(Unary::BitNot)),
    ("RNDM", Opener::Random),
    ("SINH", Opener::Unary(Unary::Sinh)),
    ("SIN", Opener::Unary(Unary::Sin)),
    ("SQRT", Opener::Unary(Unary::Sqrt)),
    ("SQR", Opener::Unary(Unary::Sqrt)),
    ("TANH", Opener::Unary(Unary::Tanh)),
    ("TAN", Opener::Unary(Unary::Tan)),
    ("VAL", Opener::Value),
    ("!", Opener::Unary(Unary::Not)),
    ("~", Opener::Unary(Unary::BitNot)),
    ("-", Opener::Unary(Unary::Neg)),
    ("(", Opener::Paren),
];

const OPERATORS: Names<Follower> = &[
    ("!=", Follower::Binary(Binary::NotEqual, 3)),
    ("#", Follower::Binary(Binary::NotEqual, 3)),
    ("%", Follower::Binary(Binary::Modulo, 5)),
    ("&&", Follower::Binary(Binary::And, 2)),
    ("&", Follower::Binary(Binary::BitAnd, 2)),
    (")", Follower::Close),
    ("**", Follower::Binary(Binary::Power, 6)),
    ("*", Follower::Binary(Binary::Mul, 5)),
    ("+", Follower::Binary(Binary::Add, 4)),
    (",", Follower::Comma),
    ("-", Follower::Binary(Binary::Sub, 4)),
    ("/", Follower::Binary(Binary::Div, 5)),
    (":=", Follower::Assign),
    (":", Follower::Else),
    (";", Follower::End),
    ("<<", Follower::Binary(Binary::ShiftLeft, 2)),
    ("<=", Follower::Binary(Binary::LessOrEqual, 3)),
    ("<", Follower::Binary(Binary::Less, 3)),
    ("==", Follower::Binary(Binary::Equal, 3)),
    ("=", Follower::Binary(Binary::Equal, 3)),
    (">>>", Follower::Binary(Binary::ShiftRightLogic, 2)),
    (">>", Follower::Binary(Binary::ShiftRight, 2)),
    (">=", Follower::Binary(Binary::GreaterOrEqual, 3)),
    (">", Follower::Binary(Binary::Greater, 3)),
    ("?", Follower::If),
    ("AND", Follower::Binary(Binary::BitAnd, 2)),
    ("OR", Follower::Binary(Binary::BitOr, 1)),
    ("XOR", Follower::Binary(Binary::BitXor, 1)),
    ("^", Follower::Binary(Binary::Power, 6)),
    ("||", Follower::Binary(Binary::Or, 1)),
    ("|", Follower::Binary(Binary::BitOr, 1)),
];

/// The text without the blanks that it begins with (`isspace`).
pub(super) fn skip_blanks(text: &[u8]) -> &[u8] {
    let blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    let taken: IResult<_, _, ()> = take_while(blank)(text);
    taken.map_or(text, |(rest, _)| rest)
}

/// The word at the beginning of the text, where an operand is needed, and what is left behind it.
pub(super) fn opener(text: &[u8]) -> Result<(&[u8], Opener), CalcErrorKind> {
    match text {
        [b'0'..=b'9' | b'.', ..] => return number(text),
        _ if starts(text, "INF") || starts(text, "NAN") => return number(text),
        _ => {}
    }
    if let Some((rest, number)) = find(CONSTANTS, text) {
        return Ok((rest, Opener::Number(number)));
    }
    if let Some(found) = find(FUNCTIONS, text) {
        return Ok(found);
    }
    match text {
        [letter @ (b'A'..=b'U' | b'a'..=b'u'), rest @ ..] => {
            let index = letter.to_ascii_uppercase() - b'A';
            Ok((rest, Opener::Argument(index)))
        }
        _ => Err(CalcErrorKind::Syntax),
    }
}

/// The word at the beginning of the text, behind an operand.
pub(super) fn follower(text: &[u8]) -> Result<(&[u8], Follower), CalcErrorKind> {
    find(OPERATORS, text).ok_or(CalcErrorKind::Syntax)
}

fn find<T: Copy>(names: Names<T>, text: &[u8]) -> Option<(&[u8], T)> {
    let first = text.first()?.to_ascii_uppercase();
    let fits = |(name, what): &(&str, T)| {
        // Most begin otherwise.
        if name.as_bytes().first() != Some(&first) {
            return None;
        }
        let taken: IResult<_, _, ()> = tag_no_case(*name)(text);
        taken.ok().map(|(rest, _)| (rest, *what))
    };
    names.iter().find_map(fits)
}

fn starts(text: &[u8], name: &str) -> bool {
    let head = text.get(..name.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
}

/// A number as `strtod` takes it, or after `0x` the bits of a 32-bit integer.
fn number(text: &[u8]) -> Result<(&[u8], Opener), CalcErrorKind> {
    let (rest, number) = if starts(text, "0X") {
        hexadecimal(text)
    } else if starts(text, "INF") || starts(text, "NAN") {
        special(text)
    } else {
        decimal(text)
    }
    .map_err(|_| CalcErrorKind::Literal)?;
    let number = number.ok_or(CalcErrorKind::Literal)?;
    Ok((rest, Opener::Number(number)))
}

/// `None` for a number that 32 bits do not hold. `0x` alone is a 0, and a syntax error behind it.
fn hexadecimal(text: &[u8]) -> IResult<&[u8], Option<f64>, ()> {
    let digits: IResult<_, _, ()> = (tag_no_case("0X"), hex_digit1).parse(text);
    let Ok((rest, (_, digits))) = digits else {
        return Ok((&text[1..], Some(0.0)));
    };
    let bits = str::from_utf8(digits)
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    Ok((rest, bits.map(|bits| f64::from(bits as i32))))
}

fn special(text: &[u8]) -> IResult<&[u8], Option<f64>, ()> {
    if starts(text, "NAN") {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let payload = (tag_no_case("("), take_while(word), tag_no_case(")"));
        let (rest, _) = (tag_no_case("NAN"), opt(payload)).parse(text)?;
        return Ok((rest, Some(f64::NAN)));
    }
    let (rest, _) = (tag_no_case("INF"), opt(tag_no_case("INITY"))).parse(text)?;
    Ok((rest, Some(f64::INFINITY)))
}

/// `None` for a number that a double does not hold in full.
fn decimal(text: &[u8]) -> IResult<&[u8], Option<f64>, ()> {
    let digits = take_while(|byte: u8| byte.is_ascii_digit());
    let fraction = opt((
        tag_no_case("."),
        take_while(|byte: u8| byte.is_ascii_digit()),
    ));
    let some = |text: &[u8]| text.iter().any(u8::is_ascii_digit);
    let mantissa = verify(recognize((digits, fraction)), some);
    let exponent = (one_of("eE"), opt(one_of("+-")), digit1);
    let (rest, number) = recognize((mantissa, opt(exponent))).parse(text)?;
    let zero = || {
        !number
            .iter()
            .take_while(|byte| !matches!(byte, b'e' | b'E'))
            .any(|byte| (b'1'..=b'9').contains(byte))
    };
    let read = str::from_utf8(number)
        .ok()
        .and_then(|number| number.parse::<f64>().ok());
    // Like `ERANGE` of `strtod`: what overflows, and what is too small to be exact.
    let held = read.filter(|number| number.is_normal() || (*number == 0.0 && zero()));
    Ok((rest, held))
}
