//! The expression language of `calc`, `calcout`, `swait` and of access rules, and its two larger dialects.
//!
//! One parser reads all three; what words there are, and what a value is, depends on the dialect:
//!
//! | dialect | of | values | evaluated by |
//! |---|---|---|---|
//! | numbers | EPICS Base (`postfix`, `calcPerform`) | numbers | [`Expression::evaluate`] |
//! | [texts] | `scalcout`, `transform` of the calc module | numbers and texts | [`Texts::evaluate`] |
//! | [arrays] | `acalcout` of the calc module | numbers and arrays | [`Arrays::evaluate`] |
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
//! A text has at most [`MAX_TEXT`] bytes, and an expression as many operations as its text has bytes at most.
//! Evaluation takes each operation once at most, but for `UNTIL` of the larger dialects: its loops go round
//! [`MAX_LOOPS`] times together, and all that an evaluation does is counted, up to [`MAX_STEPS`].

pub mod arrays;
mod compile;
mod eval;
mod machine;
mod random;
pub mod texts;
mod words;

pub use arrays::Arrays;
pub use machine::{Fault, MAX_LOOPS, MAX_STEPS};
pub use random::Random;
pub use texts::Texts;

use std::fmt;

use crate::state::codec::saved;

/// Arguments of an expression: `A` to `U`.
pub const ARGUMENTS: usize = 21;
/// Bytes that the text of an expression may have. The fields of records hold fewer.
pub const MAX_TEXT: usize = 4096;
/// Numbers that wait for their operator (`CALCPERFORM_STACK`).
const DEPTH: usize = 80;
/// `UNTIL` that an expression may have.
const MAX_UNTILS: usize = 10;

/// Which words there are, and what values they are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dialect {
    Numbers,
    Texts,
    Arrays,
}

impl Dialect {
    /// Values that wait for their operator.
    const fn depth(self) -> usize {
        match self {
            Self::Numbers => DEPTH,
            Self::Texts => 30,
            Self::Arrays => 20,
        }
    }
}

/// An expression that was understood, ready to be evaluated.
///
/// ```
/// use ca_server_sim::calc::{ARGUMENTS, Expression, Random};
///
/// let expression = Expression::parse("A>B ? MAX(A,B,5) : C:=VAL+1").unwrap_err();
/// assert_eq!(expression.to_string(), "column 21: only an argument can be assigned to, at the beginning of a part");
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
    dialect: Dialect,
    code: Box<[Op]>,
    /// What stands between quotes.
    literals: Box<[Box<[u8]>]>,
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
    /// What stands between quotes, by its number.
    Literal(u8),
    /// `AA` to `LL`.
    FetchWide(u8),
    StoreWide(u8),
    /// Takes a value, and below it the number of the argument that it is stored in.
    StoreAt,
    StoreWideAt,
    /// Begins what is repeated: the number of the `UNTIL`.
    Until(u8),
    /// Goes back behind the place where it begins while the value is 0.
    Again(u8, u16),
    /// Words of the larger dialects.
    Word(Word),
    /// A parabola through an array, and how many values it is given; through those that a mask says.
    Fit(bool, u8),
}

impl Op {
    /// How many values it takes from the stack.
    const fn takes(self) -> usize {
        match self {
            Self::Store(_) | Self::StoreWide(_) | Self::Unary(_) | Self::Unless(_) => 1,
            Self::Binary(_) | Self::StoreAt | Self::StoreWideAt => 2,
            Self::Many(_, count) | Self::Fit(_, count) => count as usize,
            Self::Word(word) => word.takes(),
            _ => 0,
        }
    }
}

macro_rules! words {
    ($(takes $takes:literal { $($(#[$doc:meta])* $number:literal $name:ident,)+ })+) => {
        /// Operands, functions and operators that only the larger dialects have.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Word {
            $($($(#[$doc])* $name,)+)+
        }

        impl Word {
            /// How many values it takes from the stack; it leaves one.
            const fn takes(self) -> usize {
                match self {
                    $($(Self::$name)|+ => $takes,)+
                }
            }
        }

        saved!(enum Word { $($($number $name),+),+ });
    };
}

words! {
    takes 0 {
    /// `SVAL` and `AVAL`: the text or the array that the record had before.
    0 WideValue,
    /// `NRNDM`
    1 NormalRandom,
    /// `IX`
    2 Index,
    /// `ARNDM`
    3 RandomArray,
    }
    takes 1 {
    /// `@`
    4 FetchAt,
    /// `@@`
    5 FetchWideAt,
    /// `DBL`
    6 Number,
    /// `STR` and `ARR`
    7 Widen,
    /// `LEN`
    8 Length,
    /// `BYTE`
    9 Byte,
    /// `TR_ESC`
    10 Unescape,
    /// `ESC`
    11 Escape,
    /// `CRC16`
    12 Crc16,
    /// `MODBUS`
    13 Modbus,
    /// `LRC`
    14 Lrc,
    /// `AMODBUS`
    15 AsciiModbus,
    /// `XOR8`
    16 Xor8,
    /// `ADD_XOR8`
    17 AddXor8,
    /// `AVG`
    18 Average,
    /// `STD`
    19 Deviation,
    /// `FWHM`
    20 Width,
    /// `SMOO`
    21 Smooth,
    /// `DERIV`
    22 Derive,
    /// `SUM`
    23 Sum,
    /// `AMAX`
    24 Largest,
    /// `AMIN`
    25 Smallest,
    /// `IXMAX`
    26 PlaceOfLargest,
    /// `IXMIN`
    27 PlaceOfSmallest,
    /// `IXZ`
    28 PlaceOfCrossing,
    /// `IXNZ`
    29 PlaceOfNonZero,
    /// `CUM`
    30 RunningSum,
    /// `ANEG`: what is below 0 becomes 0.
    31 NotBelowZero,
    /// `APOS`: what is above 0 becomes 0.
    32 NotAboveZero,
    /// `FITPOLY`
    33 Parabola,
    }
    takes 2 {
    /// `>?`
    34 Greater,
    /// `<?`
    35 Lesser,
    /// `|-`: without the last one.
    36 WithoutLast,
    /// `PRINTF`
    37 Print,
    /// `SSCANF`
    38 Scan,
    /// `READ`
    39 Read,
    /// `WRITE`
    40 Write,
    /// `NSMOO`
    41 SmoothTimes,
    /// `NDERIV`
    42 DeriveOver,
    /// `FITMPOLY`
    43 MaskedParabola,
    /// `CAT`
    44 Append,
    }
    takes 3 {
    /// `[a,b]`
    45 Part,
    /// `{a,b}`
    46 Patch,
    }
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
    /// `]` without `[`.
    BracketNotOpen,
    /// `}` without `{`.
    BraceNotOpen,
}

impl CalcErrorKind {
    /// The number that EPICS Base gives to the error (`CALC_ERR_…` in `postfix.h`), and the calc module to the last
    /// two (`aCalcPostfix.h`).
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
            Self::BracketNotOpen => 14,
            Self::BraceNotOpen => 15,
        }
    }
}

impl fmt::Display for CalcErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "only the last part may have a result; the others assign",
            Self::Literal => "this is no number, or one out of range",
            Self::Assignment => "only an argument can be assigned to, at the beginning of a part",
            Self::Comma => "a comma belongs between the arguments of a function, in parentheses",
            Self::NotOpen => "`)` without `(`",
            Self::StillOpen => "`(` without `)`",
            Self::Conditional => "`?` and `:` do not belong together",
            Self::Incomplete => "something is missing at the end",
            Self::Underflow => "an operand is missing",
            Self::TooDeep => "the expression is too long or too deeply nested",
            Self::Syntax => "no operand or operator is called so here",
            Self::Empty => "the expression is empty",
            Self::BracketNotOpen => "`]` without `[`",
            Self::BraceNotOpen => "`}` without `{`",
        })
    }
}

impl fmt::Display for CalcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.at + 1, self.kind)
    }
}

impl std::error::Error for CalcError {}

saved!(struct Expression { dialect, code, literals });
saved!(enum Dialect { 0 Numbers, 1 Texts, 2 Arrays });
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
    10 Literal(number),
    11 FetchWide(index),
    12 StoreWide(index),
    13 StoreAt,
    14 StoreWideAt,
    15 Until(number),
    16 Again(number, target),
    17 Word(word),
    18 Fit(masked, count),
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
    /// Whether it comes to an end: what it jumps to is behind; loops are counted.
    pub(crate) fn goes_on(&self) -> bool {
        self.code.iter().zip(0..).all(|(op, at)| match op {
            Op::Unless(Some(target)) | Op::Jump(Some(target)) => *target > at,
            _ => true,
        })
    }
}
