//! Expressions: ours beside those of EPICS Base (`postfix`, `calcPerform`), bit for bit.

use std::fmt::Write as _;

use ca_server_sim::calc::{ARGUMENTS, Expression, Random};
use ca_testkit::world::seed;
use ca_tests::oracle::{self, Dice};
use ca_tests::peer::Python;

const EXPRESSIONS: usize = 40_000;
/// How many times so many: what `cargo xtask differential` sets.
const ROUNDS: &str = "CANTER_DIFFERENTIAL_ROUNDS";

/// Words of the language, and some that it does not have.
const WORDS: &[&str] = &[
    "A",
    "b",
    "C",
    "U",
    "V",
    "VAL",
    "1",
    "0",
    ".5",
    "2.",
    "1e3",
    "1e",
    "0x1F",
    "0xffffffff",
    "0x",
    "1e400",
    "1e-310",
    "4294967295",
    "INF",
    "nan",
    "NAN(1)",
    "infinity",
    "PI",
    "D2R",
    "R2D",
    "(",
    ")",
    "(",
    ")",
    ",",
    "-",
    "-",
    "!",
    "~",
    "NOT",
    "ABS",
    "ACOS",
    "ASIN",
    "ATAN",
    "ATAN2",
    "CEIL",
    "COS",
    "COSH",
    "EXP",
    "FINITE",
    "FLOOR",
    "FMOD",
    "ISINF",
    "ISNAN",
    "LN",
    "LOG",
    "LOGE",
    "MAX",
    "MIN",
    "NINT",
    "SIN",
    "SINH",
    "SQR",
    "SQRT",
    "TAN",
    "TANH",
    "!=",
    "#",
    "%",
    "&",
    "&&",
    "*",
    "**",
    "+",
    "/",
    "?",
    ":",
    ":=",
    ";",
    "<",
    "<<",
    "<=",
    "=",
    "==",
    ">",
    ">=",
    ">>",
    ">>>",
    "AND",
    "OR",
    "XOR",
    "^",
    "|",
    "||",
    " ",
    "\t",
    "_",
    "é",
];
const CONSTANTS: &[&str] = &[
    "A",
    "B",
    "c",
    "d",
    "E",
    "K",
    "U",
    "VAL",
    "0",
    "1",
    "2",
    "3",
    "7",
    "31",
    "32",
    "0.5",
    "1.5",
    "1e9",
    "1e10",
    "1e300",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "0x80000000",
    "PI",
    "D2R",
    "INF",
    "NAN",
];
const UNARY: &[&str] = &[
    "-", "!", "~", "NOT ", "ABS", "ACOS", "ASIN", "ATAN", "CEIL", "COS", "COSH", "EXP", "FINITE",
    "FLOOR", "ISINF", "ISNAN", "LN", "LOG", "LOGE", "NINT", "SIN", "SINH", "SQR", "SQRT", "TAN",
    "TANH", "MAX", "MIN",
];
const BINARY: &[&str] = &[
    "!=", "#", "%", "&", "&&", "*", "**", "+", "-", "/", "<", "<<", "<=", "=", "==", ">", ">=",
    ">>", ">>>", " AND ", " or ", " XOR ", "^", "|", "||",
];
const NUMBERS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.5,
    3.0,
    7.0,
    -8.0,
    31.0,
    33.0,
    100.25,
    -1e-5,
    1e9,
    -3e9,
    3e9,
    2147483647.0,
    -2147483648.0,
    2147483648.0,
    4294967295.0,
    4294967296.5,
    1e18,
    1e19,
    -1e19,
    1e300,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    f64::MIN_POSITIVE,
    5e-324,
];

/// Draws expressions.
struct Drawn(Dice);

impl std::ops::Deref for Drawn {
    type Target = Dice;

    fn deref(&self) -> &Dice {
        &self.0
    }
}

impl std::ops::DerefMut for Drawn {
    fn deref_mut(&mut self) -> &mut Dice {
        &mut self.0
    }
}

impl Drawn {
    fn number(&mut self) -> f64 {
        match self.roll(3) {
            0 => self.roll(2001) as f64 / 100.0 - 10.0,
            _ => self.of(NUMBERS),
        }
    }

    /// An expression that means something.
    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 || self.roll(6) == 0 {
            return self.of(CONSTANTS).into();
        }
        let mut inner = || self.expression(depth - 1);
        let (a, b, c) = (inner(), inner(), inner());
        match self.roll(12) {
            0..=2 => format!("{}({a})", self.of(UNARY)),
            3..=5 => format!("({a}){}({b})", self.of(BINARY)),
            6 | 7 => format!("{a}{}{b}", self.of(BINARY)),
            8 => format!("{}({a},{b})", self.of(&["ATAN2", "FMOD", "MAX", "min"])),
            9 => format!(
                "{}({a},{b},{c})",
                self.of(&["MAX", "MIN", "FINITE", "ISNAN"])
            ),
            10 => format!("({a}?{b}:{c})"),
            _ => format!("{a}?{b}:{c}"),
        }
    }

    fn text(&mut self) -> String {
        match self.roll(4) {
            0 => (0..self.roll(8)).map(|_| self.of(WORDS)).collect(),
            1 => {
                let (first, second) = (self.expression(2), self.expression(2));
                let argument = char::from(b'A' + self.roll(ARGUMENTS) as u8);
                format!(
                    "{argument}:={first};{second}{}",
                    self.of(&["", ";", "?A", ",1", ")"])
                )
            }
            _ => self.expression(3),
        }
    }
}

fn bits(number: f64) -> String {
    // Which of the many that are no numbers it is is not defined.
    let number = if number.is_nan() { f64::NAN } else { number };
    format!("{:016x}", number.to_bits())
}

fn ours(text: &str, value: f64, mut arguments: [f64; ARGUMENTS]) -> String {
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(error) => return format!("E {}", error.kind.number()),
    };
    match expression.evaluate(&mut arguments, value, &mut Random::default()) {
        Some(value) => {
            let all = std::iter::once(value).chain(arguments);
            all.map(bits).collect::<Vec<_>>().join(" ")
        }
        None => "F".into(),
    }
}

/// What the reference says to each line.
fn theirs(python: &Python, lines: String) -> Vec<String> {
    // Numbers that are none, whatever their bits.
    let tidy = |word: &str| match u64::from_str_radix(word, 16) {
        Ok(number) if word.len() == 16 => bits(f64::from_bits(number)),
        _ => word.into(),
    };
    let tidy_line = |line: &String| line.split(' ').map(tidy).collect::<Vec<String>>().join(" ");
    let answers = oracle::ask(python, "calc_oracle.py", lines);
    answers.iter().map(tidy_line).collect()
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn expressions_are_equal_bit_for_bit() {
    let python = Python::here();
    let rounds = std::env::var(ROUNDS)
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    for round in 0..rounds.unwrap_or(1) {
        compare(&python, Drawn(Dice::new(seed().wrapping_add(round))));
    }
}

/// Compares [`EXPRESSIONS`] of them.
fn compare(python: &Python, mut dice: Drawn) {
    let (mut lines, mut cases) = (String::new(), Vec::new());
    while cases.len() < EXPRESSIONS {
        let text = dice.text();
        if text.is_empty() {
            continue;
        }
        let value = dice.number();
        let arguments: [f64; ARGUMENTS] = std::array::from_fn(|_| dice.number());
        lines.push_str(&oracle::hex(text.as_bytes()));
        for number in std::iter::once(value).chain(arguments) {
            write!(lines, " {:016x}", number.to_bits()).expect("a string");
        }
        lines.push('\n');
        cases.push((text, value, arguments));
    }
    let answers = theirs(python, lines);
    let (mut values, mut refused, mut dead) = (0, 0, 0);
    for ((text, value, arguments), theirs) in cases.iter().zip(&answers) {
        match theirs.as_bytes() {
            b"X" => {
                dead += 1;
                continue;
            }
            [b'E', ..] => refused += 1,
            _ => values += 1,
        }
        let ours = ours(text, *value, *arguments);
        assert_eq!(ours, *theirs, "{text:?} with VAL {value} and {arguments:?}");
    }
    println!("{values} values and {refused} refusals equal; the reference died {dead} times");
    assert!(values > EXPRESSIONS / 2 && refused > EXPRESSIONS / 20);
}
