//! The expression language of `calc`, `calcout`, `swait` and of access rules.
//!
//! The syntax and its rules of precedence are those of EPICS Base (chapter "Calc Expressions" of the
//! documentation of the `calc` record; `postfix` and `calcPerform` of libCom judge in the tests).
//!
//! # Rules that surprise
//! - Names are told apart by the longest one that fits, upper and lower case alike. What is written
//!   between an operand and the next may be an operator only: `A B` is an error, so is `+5`.
//! - A sign binds tighter than a power: `-2**2` is 4. Powers are taken from left to right: `2**3**2` is
//!   64. `&`, `&&`, `AND` and the shifts bind alike, as do `|`, `||`, `OR` and `XOR`, which bind less.
//! - Bits are those of 32-bit integers: a number above 2^31 becomes a negative one, and only `>>>` takes
//!   a number without sign. `%` and `NINT` take numbers out of range for -2^31.
//! - `ATAN2(x, y)` takes its arguments in this order, unlike C.
//! - `A:=expression;` stores; it stands at the beginning of a part, and the last part is the result.
//!
//! # Bounds
//! A text has at most [`MAX_TEXT`] bytes, an expression as many operations as its text has bytes at most, and
//! evaluation takes each operation once at most: there are no loops.

mod compile;
mod eval;
mod words;

use std::fmt;

use crate::state::codec::{Broken, Reader, Saved, Writer, saved};

/// Arguments of an expression: `A` to `U`.
pub const ARGUMENTS: usize = 21;
/// Bytes that the text of an expression may have. The fields of records hold fewer.
pub const MAX_TEXT: usize = 4096;
/// Numbers that wait for their operator (`CALCPERFORM_STACK`).
const DEPTH: usize = 80;

/// An expression that was understood, ready to be evaluated.
///
/// ```
/// use ca_server_sim::calc::{ARGUMENTS, Expression, Random};
///
/// let expression = Expression::parse("A>B ? MAX(A,B,5) : C:=VAL+1").unwrap_err();
/// assert_eq!(expression.to_string(), "column 21: only A to U at the beginning of a part can be assigned to");
///
/// let expression = Expression::parse("C:=VAL+1; A>B ? MAX(A,B,5) : C*2")?;
/// let mut arguments = [0.0; ARGUMENTS];
/// arguments[1] = 2.0; // B
/// let value = expression.evaluate(&mut arguments, 7.0, &mut Random::default());
/// assert_eq!((value, arguments[2]), (Some(16.0), 8.0));
/// assert_eq!((expression.reads(), expression.stores()), (0b011, 0b100));
/// # Ok::<(), ca_server_sim::calc::CalcError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Expression {
    code: Box<[Op]>,
}

/// One step of an evaluation; numbers wait on a stack.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Op {
    Number(f64),
    /// The value that the record had before.
    Value,
    Random,
    Fetch(u8),
    Store(u8),
    Unary(Unary),
    Binary(Binary),
    /// A function of as many numbers as are given.
    Many(Many, u8),
    /// Takes a number; if it is 0, goes on behind this place.
    Unless(Target),
    /// Goes on behind this place.
    Jump(Target),
}

/// A place in the code; `None` where the branch has no end, which is an error once it is taken.
type Target = Option<u16>;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Unary {
    Neg,
    Not,
    BitNot,
    Abs,
    Acos,
    Asin,
    Atan,
    Ceil,
    Cos,
    Cosh,
    Exp,
    Floor,
    IsInf,
    Ln,
    Log,
    Nint,
    Sin,
    Sinh,
    Sqrt,
    Tan,
    Tanh,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Modulo,
    Power,
    Atan2,
    Fmod,
    Or,
    And,
    BitOr,
    BitAnd,
    BitXor,
    ShiftLeft,
    ShiftRight,
    ShiftRightLogic,
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Many {
    Finite,
    IsNan,
    Max,
    Min,
}

/// Why a text is no expression, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CalcError {
    /// What is wrong.
    pub kind: CalcErrorKind,
    /// Byte of the text at which it was noticed, from 0.
    pub at: usize,
}

/// What is wrong with an expression; the distinctions are those of `calcErrorStr` of EPICS Base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CalcErrorKind {
    /// Several parts have a result.
    TooMany,
    /// A number cannot be read, or is out of range.
    Literal,
    /// Something else than an argument stands before `:=`.
    Assignment,
    /// A comma outside of parentheses.
    Comma,
    /// `)` without `(`.
    NotOpen,
    /// `(` without `)`.
    StillOpen,
    /// `?` and `:` do not belong together.
    Conditional,
    /// An operand is missing at the end.
    Incomplete,
    /// An operator or function has too few operands.
    Underflow,
    /// Too many numbers wait for their operator, or the text is too long.
    TooDeep,
    /// No operand or operator has this name.
    Syntax,
    /// The text is empty.
    Empty,
}

impl CalcErrorKind {
    /// The number that EPICS Base gives to the error (`CALC_ERR_…` in `postfix.h`).
    pub const fn number(self) -> i16 {
        match self {
            Self::TooMany => 1,
            Self::Literal => 2,
            Self::Assignment => 3,
            Self::Comma => 4,
            Self::NotOpen => 5,
            Self::StillOpen => 6,
            Self::Conditional => 7,
            Self::Incomplete => 8,
            Self::Underflow => 9,
            Self::TooDeep => 10,
            Self::Syntax => 11,
            Self::Empty => 12,
        }
    }
}

impl fmt::Display for CalcErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "only the last part may have a result; the others assign",
            Self::Literal => "this is no number, or one out of range",
            Self::Assignment => "only A to U at the beginning of a part can be assigned to",
            Self::Comma => "a comma belongs between the arguments of a function, in parentheses",
            Self::NotOpen => "`)` without `(`",
            Self::StillOpen => "`(` without `)`",
            Self::Conditional => "`?` and `:` do not belong together",
            Self::Incomplete => "something is missing at the end",
            Self::Underflow => "an operand is missing",
            Self::TooDeep => "the expression is too long or too deeply nested",
            Self::Syntax => "no operand or operator is called so here",
            Self::Empty => "the expression is empty",
        })
    }
}

impl fmt::Display for CalcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.at + 1, self.kind)
    }
}

impl std::error::Error for CalcError {}

/// The numbers of `RNDM`, 0 to 1: a sequence of 65 536 that follows from its start, as in EPICS Base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Random(u16);

impl Random {
    /// A sequence with a start of its own.
    pub const fn new(seed: u16) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1533).wrapping_add(0x3141);
        f64::from(self.0) / 65535.0
    }
}

impl Default for Random {
    /// The start that EPICS Base has.
    fn default() -> Self {
        Self(0xa3bf)
    }
}

saved!(struct Expression { code });
saved!(enum Op {
    0 Number(number),
    1 Value,
    2 Random,
    3 Fetch(index),
    4 Store(index),
    5 Unary(unary),
    6 Binary(binary),
    7 Many(many, count),
    8 Unless(target),
    9 Jump(target),
});
saved!(enum Unary {
    0 Neg, 1 Not, 2 BitNot, 3 Abs, 4 Acos, 5 Asin, 6 Atan, 7 Ceil, 8 Cos, 9 Cosh, 10 Exp, 11 Floor, 12 IsInf, 13 Ln,
    14 Log, 15 Nint, 16 Sin, 17 Sinh, 18 Sqrt, 19 Tan, 20 Tanh,
});
saved!(enum Binary {
    0 Add, 1 Sub, 2 Mul, 3 Div, 4 Modulo, 5 Power, 6 Atan2, 7 Fmod, 8 Or, 9 And, 10 BitOr, 11 BitAnd, 12 BitXor,
    13 ShiftLeft, 14 ShiftRight, 15 ShiftRightLogic, 16 NotEqual, 17 Less, 18 LessOrEqual, 19 Equal, 20 GreaterOrEqual,
    21 Greater,
});
saved!(enum Many { 0 Finite, 1 IsNan, 2 Max, 3 Min });

impl Expression {
    /// Whether it comes to an end: what it jumps to is behind.
    pub(crate) fn goes_on(&self) -> bool {
        self.code.iter().zip(0..).all(|(op, at)| match op {
            Op::Unless(Some(target)) | Op::Jump(Some(target)) => *target > at,
            _ => true,
        })
    }
}

impl Saved for Random {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        u16::load(from).map(Self)
    }
}
