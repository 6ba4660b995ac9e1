//! Evaluation, with the integers of the reference (`calcPerform`).

use super::{ARGUMENTS, Binary, DEPTH, Expression, Many, Op, Random, Unary};

/// Operations of a short expression.
const SHORT: usize = 8;

impl Expression {
    /// The value for these arguments; `value` is the one that the record had before (`VAL`).
    /// Assignments change the arguments. `None` if a branch leaves no value, as when only one of two
    /// branches has one.
    pub fn evaluate(
        &self,
        arguments: &mut [f64; ARGUMENTS],
        value: f64,
        random: &mut Random,
    ) -> Option<f64> {
        // Each operation leaves one number at most. Most expressions are short, and clearing the whole stack would
        // take longer than they do.
        match self.code.len() <= SHORT {
            true => self.run::<SHORT>(arguments, value, random),
            false => self.run::<DEPTH>(arguments, value, random),
        }
    }

    fn run<const ROOM: usize>(
        &self,
        arguments: &mut [f64; ARGUMENTS],
        value: f64,
        random: &mut Random,
    ) -> Option<f64> {
        let mut stack = Stack {
            numbers: [0.0; ROOM],
            len: 0,
        };
        let mut next = 0;
        while let Some(op) = self.code.get(next) {
            next += 1;
            match *op {
                Op::Number(number) => stack.push(number)?,
                Op::Value => stack.push(value)?,
                Op::Random => stack.push(random.next())?,
                Op::Fetch(index) => stack.push(*arguments.get(usize::from(index))?)?,
                Op::Store(index) => *arguments.get_mut(usize::from(index))? = stack.pop()?,
                Op::Unary(unary) => {
                    let top = stack.top()?;
                    *top = unary.of(*top);
                }
                Op::Binary(binary) => {
                    let right = stack.pop()?;
                    let top = stack.top()?;
                    *top = binary.of(*top, right);
                }
                Op::Many(many, count) => stack.fold(many, count)?,
                Op::Unless(target) => {
                    if stack.pop()? == 0.0 {
                        next = usize::from(target?);
                    }
                }
                Op::Jump(target) => next = usize::from(target?),
                // Words of the larger dialects.
                _ => return None,
            }
        }
        let value = stack.pop()?;
        (stack.len == 0).then_some(value)
    }
}

struct Stack<const ROOM: usize> {
    numbers: [f64; ROOM],
    len: usize,
}

impl<const ROOM: usize> Stack<ROOM> {
    fn push(&mut self, number: f64) -> Option<()> {
        *self.numbers.get_mut(self.len)? = number;
        self.len += 1;
        Some(())
    }

    fn pop(&mut self) -> Option<f64> {
        self.len = self.len.checked_sub(1)?;
        self.numbers.get(self.len).copied()
    }

    fn top(&mut self) -> Option<&mut f64> {
        self.numbers.get_mut(self.len.checked_sub(1)?)
    }

    fn fold(&mut self, many: Many, count: u8) -> Option<()> {
        let mut all = many.of_one(self.pop()?);
        for _ in 1..count {
            let number = self.pop()?;
            all = many.with(all, number);
        }
        self.push(all)
    }
}

pub(super) fn truth(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

/// Conversion to `epicsInt32` as the reference's processors do it: -2^31 for what is out of range.
pub(super) fn int(number: f64) -> i32 {
    let whole = number.trunc();
    match whole >= f64::from(i32::MIN) && whole <= f64::from(i32::MAX) {
        true => whole as i32,
        false => i32::MIN,
    }
}

/// The same to a 64-bit integer.
pub(super) fn long(number: f64) -> i64 {
    match (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) {
        true => number as i64,
        false => i64::MIN,
    }
}

/// The bits of a number: those of a negative one as `epicsInt32`, of others as `epicsUInt32`.
fn bits(number: f64) -> i32 {
    if number < 0.0 {
        return int(number);
    }
    // The low half of a 64-bit conversion, which is 0 for what is out of range.
    match number < 9_223_372_036_854_775_808.0 {
        true => number as i64 as i32,
        false => 0,
    }
}

impl Unary {
    pub(super) fn of(self, x: f64) -> f64 {
        match self {
            Self::Neg => -x,
            Self::Not => truth(x == 0.0),
            Self::BitNot => f64::from(!bits(x)),
            Self::Abs => x.abs(),
            Self::Acos => x.acos(),
            Self::Asin => x.asin(),
            Self::Atan => x.atan(),
            Self::Ceil => x.ceil(),
            Self::Cos => x.cos(),
            Self::Cosh => x.cosh(),
            Self::Exp => x.exp(),
            Self::Floor => x.floor(),
            // The sign shows which infinity it is.
            Self::IsInf if x.is_infinite() => x.signum(),
            Self::IsInf => 0.0,
            Self::Ln => x.ln(),
            Self::Log => x.log10(),
            Self::Nint => f64::from(int(if x >= 0.0 { x + 0.5 } else { x - 0.5 })),
            Self::Sin => x.sin(),
            Self::Sinh => x.sinh(),
            Self::Sqrt => x.sqrt(),
            Self::Tan => x.tan(),
            Self::Tanh => x.tanh(),
        }
    }
}

impl Binary {
    pub(super) fn of(self, x: f64, y: f64) -> f64 {
        let shift = || bits(y) & 31;
        match self {
            Self::Add => x + y,
            Self::Sub => x - y,
            Self::Mul => x * y,
            Self::Div => x / y,
            Self::Modulo => match int(y) {
                0 => f64::NAN,
                y => f64::from(int(x).wrapping_rem(y)),
            },
            Self::Power => x.powf(y),
            Self::Atan2 => y.atan2(x),
            Self::Fmod => x % y,
            Self::Or => truth(x != 0.0 || y != 0.0),
            Self::And => truth(x != 0.0 && y != 0.0),
            Self::BitOr => f64::from(bits(x) | bits(y)),
            Self::BitAnd => f64::from(bits(x) & bits(y)),
            Self::BitXor => f64::from(bits(x) ^ bits(y)),
            Self::ShiftLeft => f64::from(bits(x) << shift()),
            Self::ShiftRight => f64::from(bits(x) >> shift()),
            Self::ShiftRightLogic => f64::from(bits(x) as u32 >> shift()),
            Self::NotEqual => truth(x != y),
            Self::Less => truth(x < y),
            Self::LessOrEqual => truth(x <= y),
            Self::Equal => truth(x == y),
            Self::GreaterOrEqual => truth(x >= y),
            Self::Greater => truth(x > y),
        }
    }
}

impl Many {
    pub(super) fn of_one(self, x: f64) -> f64 {
        match self {
            Self::Finite => truth(x.is_finite()),
            Self::IsNan => truth(x.is_nan()),
            Self::Max | Self::Min => x,
        }
    }

    /// With one more number, from the last to the first: what is not a number stays.
    pub(super) fn with(self, all: f64, x: f64) -> f64 {
        match self {
            Self::Finite => truth(all != 0.0 && x.is_finite()),
            Self::IsNan => truth(all != 0.0 || x.is_nan()),
            Self::Max if x < all || all.is_nan() => all,
            Self::Min if x > all || all.is_nan() => all,
            Self::Max | Self::Min => x,
        }
    }
}
