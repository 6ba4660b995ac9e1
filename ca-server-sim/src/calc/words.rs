//! The words of the language, and what each of them is.

use nom::bytes::complete::{tag_no_case, take_while};
use nom::character::complete::{digit1, hex_digit1, one_of};
use nom::combinator::{opt, recognize, verify};
use nom::{IResult, Parser};

use super::{Binary, CalcErrorKind, Dialect, Many, Unary, Word};

/// A word where an operand may begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opener<'a> {
    Number(f64),
    Value,
    Random,
    Argument(u8),
    /// A text, or the text or array of an argument.
    Text(&'a [u8]),
    Wide(u8),
    Paren,
    Unary(Unary),
    /// A function of two arguments.
    Two(Binary),
    Many(Many),
    /// A word of a larger dialect: an operand, or a function of as many values as it takes.
    Word(Word),
    /// A parabola, through what a mask says or all.
    Fit(bool),
    Until,
}

/// A word behind an operand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Follower {
    Binary(Binary, Priority),
    Word(Word, Priority),
    Close,
    Comma,
    If,
    Else,
    Assign,
    End,
    /// `[` or `{`, and what it does.
    Bracket(Word),
    CloseBracket,
    CloseBrace,
}

/// How tightly an operator binds.
pub(super) type Priority = u8;

/// Functions and signs bind tighter than any operator.
pub(super) const TIGHTEST: Priority = 9;

type Names<T> = &'static [(&'static str, T)];

/// Words that stand for themselves.
const CONSTANTS: Names<f64> = &[
    ("D2R", std::f64::consts::PI / 180.0),
    ("PI", std::f64::consts::PI),
    ("R2D", 180.0 / std::f64::consts::PI),
];

/// Those of all dialects.
const FUNCTIONS: Names<Opener<'static>> = &[
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

const FUNCTIONS_OF_NUMBERS: Names<Opener<'static>> = &[("FMOD", Opener::Two(Binary::Fmod))];

/// Those that both larger dialects have.
const FUNCTIONS_OF_BOTH: Names<Opener<'static>> = &[
    ("@", Opener::Word(Word::FetchAt)),
    ("@@", Opener::Word(Word::FetchWideAt)),
    ("DBL", Opener::Word(Word::Number)),
    ("INT", Opener::Unary(Unary::Nint)),
    ("LEN", Opener::Word(Word::Length)),
    ("NRNDM", Opener::Word(Word::NormalRandom)),
    ("R2S", Opener::Number(180.0 * 3600.0 / std::f64::consts::PI)),
    (
        "S2R",
        Opener::Number(std::f64::consts::PI / (180.0 * 3600.0)),
    ),
    ("UNTIL", Opener::Until),
];

const FUNCTIONS_OF_TEXTS: Names<Opener<'static>> = &[
    ("$E", Opener::Word(Word::Escape)),
    ("$P", Opener::Word(Word::Print)),
    ("$R", Opener::Word(Word::Read)),
    ("$S", Opener::Word(Word::Scan)),
    ("$T", Opener::Word(Word::Unescape)),
    ("$W", Opener::Word(Word::Write)),
    ("ADD_XOR8", Opener::Word(Word::AddXor8)),
    ("AMODBUS", Opener::Word(Word::AsciiModbus)),
    ("BYTE", Opener::Word(Word::Byte)),
    ("CRC16", Opener::Word(Word::Crc16)),
    ("ESC", Opener::Word(Word::Escape)),
    ("LRC", Opener::Word(Word::Lrc)),
    ("MODBUS", Opener::Word(Word::Modbus)),
    ("PRINTF", Opener::Word(Word::Print)),
    ("READ", Opener::Word(Word::Read)),
    ("SSCANF", Opener::Word(Word::Scan)),
    ("STR", Opener::Word(Word::Widen)),
    ("SVAL", Opener::Word(Word::WideValue)),
    ("TR_ESC", Opener::Word(Word::Unescape)),
    ("WRITE", Opener::Word(Word::Write)),
    ("XOR8", Opener::Word(Word::Xor8)),
];

const FUNCTIONS_OF_ARRAYS: Names<Opener<'static>> = &[
    ("AMAX", Opener::Word(Word::Largest)),
    ("AMIN", Opener::Word(Word::Smallest)),
    ("ANEG", Opener::Word(Word::NotBelowZero)),
    ("APOS", Opener::Word(Word::NotAboveZero)),
    ("ARNDM", Opener::Word(Word::RandomArray)),
    ("ARR", Opener::Word(Word::Widen)),
    ("AVAL", Opener::Word(Word::WideValue)),
    ("AVG", Opener::Word(Word::Average)),
    ("CAT", Opener::Word(Word::Append)),
    ("CUM", Opener::Word(Word::RunningSum)),
    ("DERIV", Opener::Word(Word::Derive)),
    ("FITMPOLY", Opener::Word(Word::MaskedParabola)),
    ("FITMQ", Opener::Fit(true)),
    ("FITPOLY", Opener::Word(Word::Parabola)),
    ("FITQ", Opener::Fit(false)),
    ("FWHM", Opener::Word(Word::Width)),
    ("IX", Opener::Word(Word::Index)),
    ("IXMAX", Opener::Word(Word::PlaceOfLargest)),
    ("IXMIN", Opener::Word(Word::PlaceOfSmallest)),
    ("IXNZ", Opener::Word(Word::PlaceOfNonZero)),
    ("IXZ", Opener::Word(Word::PlaceOfCrossing)),
    ("NDERIV", Opener::Word(Word::DeriveOver)),
    ("NSMOO", Opener::Word(Word::SmoothTimes)),
    ("SMOO", Opener::Word(Word::Smooth)),
    ("STD", Opener::Word(Word::Deviation)),
    ("SUM", Opener::Word(Word::Sum)),
];

/// Those of all dialects.
const OPERATORS: Names<Follower> = &[
    ("!=", Follower::Binary(Binary::NotEqual, 5)),
    ("#", Follower::Binary(Binary::NotEqual, 5)),
    ("%", Follower::Binary(Binary::Modulo, 7)),
    ("&&", Follower::Binary(Binary::And, 3)),
    ("&", Follower::Binary(Binary::BitAnd, 3)),
    (")", Follower::Close),
    ("**", Follower::Binary(Binary::Power, 8)),
    ("*", Follower::Binary(Binary::Mul, 7)),
    ("+", Follower::Binary(Binary::Add, 6)),
    (",", Follower::Comma),
    ("-", Follower::Binary(Binary::Sub, 6)),
    ("/", Follower::Binary(Binary::Div, 7)),
    (":=", Follower::Assign),
    (":", Follower::Else),
    (";", Follower::End),
    ("<<", Follower::Binary(Binary::ShiftLeft, 3)),
    ("<=", Follower::Binary(Binary::LessOrEqual, 5)),
    ("<", Follower::Binary(Binary::Less, 5)),
    ("==", Follower::Binary(Binary::Equal, 5)),
    ("=", Follower::Binary(Binary::Equal, 5)),
    (">>", Follower::Binary(Binary::ShiftRight, 3)),
    (">=", Follower::Binary(Binary::GreaterOrEqual, 5)),
    (">", Follower::Binary(Binary::Greater, 5)),
    ("?", Follower::If),
    ("AND", Follower::Binary(Binary::BitAnd, 3)),
    ("OR", Follower::Binary(Binary::BitOr, 2)),
    ("XOR", Follower::Binary(Binary::BitXor, 2)),
    ("^", Follower::Binary(Binary::Power, 8)),
    ("||", Follower::Binary(Binary::Or, 2)),
    ("|", Follower::Binary(Binary::BitOr, 2)),
];

const OPERATORS_OF_NUMBERS: Names<Follower> =
    &[(">>>", Follower::Binary(Binary::ShiftRightLogic, 3))];

const OPERATORS_OF_BOTH: Names<Follower> = &[
    ("[", Follower::Bracket(Word::Part)),
    ("{", Follower::Bracket(Word::Patch)),
    ("]", Follower::CloseBracket),
    ("}", Follower::CloseBrace),
    (">?", Follower::Word(Word::Greater, 4)),
    ("<?", Follower::Word(Word::Lesser, 4)),
];

const OPERATORS_OF_TEXTS: Names<Follower> = &[
    ("-|", Follower::Binary(Binary::Sub, 6)),
    ("|-", Follower::Word(Word::WithoutLast, 6)),
];

impl Dialect {
    const fn functions(self) -> [Names<Opener<'static>>; 2] {
        match self {
            Self::Numbers => [FUNCTIONS_OF_NUMBERS, &[]],
            Self::Texts => [FUNCTIONS_OF_BOTH, FUNCTIONS_OF_TEXTS],
            Self::Arrays => [FUNCTIONS_OF_BOTH, FUNCTIONS_OF_ARRAYS],
        }
    }

    const fn operators(self) -> [Names<Follower>; 2] {
        match self {
            Self::Numbers => [OPERATORS_OF_NUMBERS, &[]],
            Self::Texts => [OPERATORS_OF_BOTH, OPERATORS_OF_TEXTS],
            Self::Arrays => [OPERATORS_OF_BOTH, &[]],
        }
    }

    const fn last_argument(self) -> u8 {
        match self {
            Self::Numbers => b'U',
            Self::Texts | Self::Arrays => b'P',
        }
    }

    /// Whether `INF` and `NAN` are numbers.
    const fn has_special_numbers(self) -> bool {
        !matches!(self, Self::Arrays)
    }
}

/// The text without the blanks that it begins with (`isspace`).
pub(super) fn skip_blanks(text: &[u8]) -> &[u8] {
    let blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    let taken: IResult<_, _, ()> = take_while(blank)(text);
    taken.map_or(text, |(rest, _)| rest)
}

/// The word at the beginning of the text, where an operand is needed, and what is left behind it.
pub(super) fn opener(dialect: Dialect, text: &[u8]) -> Result<(&[u8], Opener<'_>), CalcErrorKind> {
    let special = dialect.has_special_numbers() && (starts(text, "INF") || starts(text, "NAN"));
    match text {
        [b'0'..=b'9' | b'.', ..] => return number(dialect, text),
        _ if special => return number(dialect, text),
        [quote @ (b'"' | b'\''), rest @ ..] if dialect == Dialect::Texts => {
            return Ok(quoted(*quote, rest));
        }
        _ => {}
    }
    let [first, second] = dialect.functions();
    let words = find(&[FUNCTIONS, first, second], text);
    if let Some((_, rest, number)) = find(&[CONSTANTS], text)
        && words.is_none_or(|(word, ..)| word < text.len() - rest.len())
    {
        return Ok((rest, Opener::Number(number)));
    }
    if let Some((_, rest, found)) = words {
        return Ok((rest, found));
    }
    let index = |letter: u8, last: u8| {
        let letter = letter.to_ascii_uppercase();
        (b'A'..=last).contains(&letter).then(|| letter - b'A')
    };
    match text {
        [first, second, rest @ ..]
            if dialect != Dialect::Numbers && first.eq_ignore_ascii_case(second) =>
        {
            let letter = index(*first, b'L').map(Opener::Wide);
            let single = || index(*first, dialect.last_argument()).map(Opener::Argument);
            match letter {
                Some(wide) => Ok((rest, wide)),
                None => single()
                    .map(|one| (&text[1..], one))
                    .ok_or(CalcErrorKind::Syntax),
            }
        }
        [letter, rest @ ..] => index(*letter, dialect.last_argument())
            .map(|index| (rest, Opener::Argument(index)))
            .ok_or(CalcErrorKind::Syntax),
        [] => Err(CalcErrorKind::Syntax),
    }
}

/// A text up to the next quote like the one before it, or to the end.
fn quoted(quote: u8, rest: &[u8]) -> (&[u8], Opener<'_>) {
    let end = rest.iter().position(|&byte| byte == quote);
    let (text, behind) = rest.split_at(end.unwrap_or(rest.len()));
    (behind.get(1..).unwrap_or_default(), Opener::Text(text))
}

/// The word at the beginning of the text, behind an operand.
pub(super) fn follower(dialect: Dialect, text: &[u8]) -> Result<(&[u8], Follower), CalcErrorKind> {
    let [first, second] = dialect.operators();
    let found = find(&[OPERATORS, first, second], text);
    found
        .map(|(_, rest, word)| (rest, word))
        .ok_or(CalcErrorKind::Syntax)
}

/// The longest of the words that the text begins with: its length, what is left, and what it is.
fn find<'a, T: Copy>(all: &[Names<T>], text: &'a [u8]) -> Option<(usize, &'a [u8], T)> {
    let first = text.first()?.to_ascii_uppercase();
    let mut longest: Option<(usize, &[u8], T)> = None;
    for (name, what) in all.iter().copied().flatten() {
        // Most begin otherwise.
        if name.as_bytes().first() != Some(&first)
            || longest.is_some_and(|(length, ..)| length >= name.len())
        {
            continue;
        }
        let taken: IResult<_, _, ()> = tag_no_case(*name)(text);
        if let Ok((rest, _)) = taken {
            longest = Some((name.len(), rest, *what));
        }
    }
    longest
}

fn starts(text: &[u8], name: &str) -> bool {
    let head = text.get(..name.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
}

/// A number as `strtod` takes it, or after `0x` the bits of a 32-bit integer.
fn number(dialect: Dialect, text: &[u8]) -> Result<(&[u8], Opener<'_>), CalcErrorKind> {
    if dialect != Dialect::Numbers {
        return loose(text);
    }
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

/// A number as `strtod` reads it, whatever it says of its range.
fn loose(text: &[u8]) -> Result<(&[u8], Opener<'_>), CalcErrorKind> {
    use ca_proto::text::parse::{ParseNumberError, strtod};

    let (number, length) = match strtod(text) {
        Ok(read) => read,
        Err(ParseNumberError::NoDigits) => return Err(CalcErrorKind::Literal),
        Err(_) => {
            let (rest, digits) = decimal_digits(text).map_err(|_| CalcErrorKind::Literal)?;
            let number = str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok());
            (
                number.ok_or(CalcErrorKind::Literal)?,
                text.len() - rest.len(),
            )
        }
    };
    let rest = text.get(length..).unwrap_or_default();
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

fn decimal_digits(text: &[u8]) -> IResult<&[u8], &[u8], ()> {
    let digits = take_while(|byte: u8| byte.is_ascii_digit());
    let fraction = opt((
        tag_no_case("."),
        take_while(|byte: u8| byte.is_ascii_digit()),
    ));
    let some = |text: &[u8]| text.iter().any(u8::is_ascii_digit);
    let mantissa = verify(recognize((digits, fraction)), some);
    let exponent = (one_of("eE"), opt(one_of("+-")), digit1);
    recognize((mantissa, opt(exponent))).parse(text)
}

/// `None` for a number that a double does not hold in full.
fn decimal(text: &[u8]) -> IResult<&[u8], Option<f64>, ()> {
    let (rest, number) = decimal_digits(text)?;
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
