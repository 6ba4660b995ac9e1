//! Expressions of texts (`sCalcPostfix`, `sCalcPerform` of the calc module of synApps), as `scalcout` and `transform`
//! have them.
//!
//! Words, precedence and rules are those of the public sources of the module and of its page on the `scalcout` record;
//! random expressions went through the module's functions, too: all but 7 in 1000 that those survive are equal, and what
//! differs of those looked at reads what nobody wrote.
//! The record around it follows the public sources alone. Texts have up to 39 bytes.
//!
//! # Rules that surprise
//! - An expression that has a text, or a word for texts, somewhere is of texts as a whole. Others show their value as
//!   text with PREC digits, these with 8; `DBL`, `BYTE` do nothing in others, and bits have 64 places in them.
//! - Of a text and a number, the text becomes the number that it begins with, 0 if it begins with none. `INT` and `DBL`
//!   look for the first digit instead.
//! - Numbers that differ by less than 1e-11 are equal.
//! - Division by zero, roots and logarithms of what is below 0 and results that are no finite number have no value.
//! - `|-` does not find what stands at the very beginning.
//! - `CRC16` takes bytes above 127 for negative numbers, as the module does where characters have a sign.
//!
//! # Where we differ from the reference
//! - What would write beyond a text there (`+`, `MODBUS` and the like with more than 39 bytes) is cut.
//! - `READ` with `%d` gives numbers with sign; there they have none on 64-bit machines.
//! - A format with several conversions has no value.
//! - `NRNDM`, `RNDM` share their sequence with all expressions of the IOC.

mod bytes;
mod scan;

use ca_proto::text::format::{RealKind, format_real};
use ca_proto::text::parse;

use super::eval::{int, long, truth};
use super::machine::{Budget, Fault, Kind, run};
use super::{Binary, Dialect, Expression, Many, Op, Random, Unary, Word};

/// Numbers that an expression may be given: `A` to `P`.
pub const NUMBERS: usize = 16;
/// Texts that it may be given: `AA` to `LL`.
pub const TEXTS: usize = 12;
/// Bytes that a text has at most (`SCALC_STRING_SIZE` without its NUL).
pub const MAX_BYTES: usize = 39;
/// Numbers that are nearer to each other are equal.
const SMALL: f64 = 1e-11;
/// Steps of an operation on texts.
const COST: u64 = 16;

/// What an expression of texts is given and gives.
///
/// ```
/// use ca_server_sim::calc::{Expression, Random, Texts};
///
/// let expression = Expression::parse_texts("PRINTF('%05.1f mm', A) + AA[-2,-1]")?;
/// let mut with = Texts::default();
/// with.numbers[0] = 2.5;
/// with.texts[0] = b" of BL7".to_vec();
/// with.evaluate(&expression, &mut Random::default())?;
/// assert_eq!((with.text.as_slice(), with.number), (&b"002.5 mmL7"[..], 2.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Texts {
    /// `A` to `P`; what an expression assigns stays.
    pub numbers: [f64; NUMBERS],
    /// `AA` to `LL`, as far as [`MAX_BYTES`] go.
    pub texts: [Vec<u8>; TEXTS],
    /// `VAL`: the number that the record had before, and the one that it has from now on.
    pub number: f64,
    /// `SVAL`, likewise.
    pub text: Vec<u8>,
    /// Digits behind the point of a number's text.
    pub precision: i16,
}

impl Texts {
    /// Evaluates an expression of texts. Without a value nothing changes but what was assigned to until then, and but
    /// for a value that is no finite number, which is there.
    ///
    /// # Errors
    /// [`Fault`]; [`Fault::Failed`] also for an expression of another dialect.
    pub fn evaluate(&mut self, expression: &Expression, random: &mut Random) -> Result<(), Fault> {
        if expression.dialect != Dialect::Texts {
            return Err(Fault::Failed);
        }
        let wide = expression.code.iter().any(|op| is_wide(*op));
        let mut machine = Machine {
            with: self,
            literals: &expression.literals,
            random,
            wide,
            budget: Budget::new(),
        };
        match run(&expression.code, &mut machine)? {
            Value::Number(number) => {
                self.number = number;
                self.text = match wide {
                    true => shown(number, 8),
                    false => shown(number, self.precision),
                };
            }
            Value::Text(text) => {
                self.number = leading(&text);
                self.text = text;
            }
        }
        match self.number.is_finite() {
            true => Ok(()),
            false => Err(Fault::Failed),
        }
    }
}

/// Whether it makes an expression one of texts.
const fn is_wide(op: Op) -> bool {
    match op {
        Op::Literal(_) | Op::FetchWide(_) | Op::StoreWide(_) | Op::StoreWideAt => true,
        Op::Word(word) => !matches!(
            word,
            Word::NormalRandom
                | Word::FetchAt
                | Word::Number
                | Word::Byte
                | Word::Greater
                | Word::Lesser
                | Word::WithoutLast
        ),
        _ => false,
    }
}

/// A value on the stack.
#[derive(Clone, PartialEq, Debug)]
enum Value {
    Number(f64),
    /// Up to [`MAX_BYTES`], none of which is NUL.
    Text(Vec<u8>),
}

impl Value {
    fn into_number(self) -> f64 {
        match self {
            Self::Number(number) => number,
            Self::Text(text) => leading(&text),
        }
    }

    fn into_text(self) -> Vec<u8> {
        match self {
            Self::Number(number) => shown(number, 8),
            Self::Text(text) => text,
        }
    }
}

/// Up to `most` bytes, and none from a NUL on.
fn cut(text: &[u8], most: usize) -> Vec<u8> {
    text.iter()
        .copied()
        .take_while(|&byte| byte != 0)
        .take(most)
        .collect()
}

/// The number that a text begins with (`atof`).
fn leading(text: &[u8]) -> f64 {
    match parse::strtod(text) {
        Ok((number, _)) => number,
        Err(parse::ParseNumberError::OutOfRange) => f64::INFINITY,
        Err(_) => 0.0,
    }
}

/// The number at the first digit of a text, with the point and the sign before it.
fn first_number(text: &[u8]) -> f64 {
    let Some(mut at) = text.iter().position(u8::is_ascii_digit) else {
        return 0.0;
    };
    for before in [b'.', b'-'] {
        if at > 0 && text.get(at - 1) == Some(&before) {
            at -= 1;
        }
    }
    leading(text.get(at..).unwrap_or_default())
}

fn shown(number: f64, precision: i16) -> Vec<u8> {
    if number.is_nan() {
        return b"NaN".to_vec();
    }
    let text = format_real(number, precision, RealKind::Double);
    cut(text.as_bytes(), MAX_BYTES)
}

/// Where a text stands in another one.
fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    match what.is_empty() {
        true => Some(0),
        false => memchr::memmem::find(text, what),
    }
}

fn nearest_long(number: f64) -> f64 {
    long(if number >= 0.0 {
        number + 0.5
    } else {
        number - 0.5
    }) as f64
}

/// `myNINT`
fn nearest(number: f64) -> i32 {
    int(if number >= 0.0 {
        number + 0.5
    } else {
        number - 0.5
    })
}

struct Machine<'a> {
    with: &'a mut Texts,
    literals: &'a [Box<[u8]>],
    random: &'a mut Random,
    wide: bool,
    budget: Budget,
}

type Stack = Vec<Value>;
type Done = Result<(), Fault>;

fn pop(stack: &mut Stack) -> Result<Value, Fault> {
    stack.pop().ok_or(Fault::Failed)
}

fn pop_number(stack: &mut Stack) -> Result<f64, Fault> {
    pop(stack).map(Value::into_number)
}

fn push_number(stack: &mut Stack, number: f64) {
    stack.push(Value::Number(number));
}

impl Kind for Machine<'_> {
    type Value = Value;

    fn number(value: &Value) -> f64 {
        match value {
            Value::Number(number) => *number,
            Value::Text(text) => leading(text),
        }
    }

    fn step(&mut self) -> Done {
        self.budget.spend(COST)
    }

    fn apply(&mut self, op: Op, stack: &mut Stack) -> Done {
        match op {
            Op::Number(number) => push_number(stack, number),
            Op::Value => push_number(stack, self.with.number),
            Op::Random => push_number(stack, self.random.next_above_zero()),
            Op::Fetch(index) => push_number(stack, self.argument(index.into())),
            Op::Store(index) => {
                let number = pop_number(stack)?;
                if let Some(argument) = self.with.numbers.get_mut(usize::from(index)) {
                    *argument = number;
                }
            }
            Op::Literal(number) => {
                let literal = self
                    .literals
                    .get(usize::from(number))
                    .ok_or(Fault::Failed)?;
                stack.push(Value::Text(cut(literal, MAX_BYTES)));
            }
            Op::FetchWide(index) => stack.push(self.text(index.into())),
            Op::StoreWide(index) => {
                let text = pop(stack)?.into_text();
                self.store_text(index.into(), text);
            }
            Op::StoreAt | Op::StoreWideAt => {
                let value = pop(stack)?;
                let place = nearest(pop_number(stack)?);
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                match op {
                    Op::StoreWideAt => self.store_text(place, value.into_text()),
                    _ => {
                        if let Some(argument) = self.with.numbers.get_mut(place) {
                            *argument = value.into_number();
                        }
                    }
                }
            }
            Op::Unary(unary) => self.unary(unary, stack)?,
            Op::Binary(binary) => self.binary(binary, stack)?,
            Op::Many(many, count) => Self::many(many, count.into(), stack)?,
            Op::Word(word) => self.word(word, stack)?,
            _ => return Err(Fault::Failed),
        }
        Ok(())
    }
}

impl Machine<'_> {
    fn argument(&self, index: usize) -> f64 {
        self.with.numbers.get(index).copied().unwrap_or_default()
    }

    fn text(&self, index: usize) -> Value {
        let text = self.with.texts.get(index).map(Vec::as_slice);
        Value::Text(cut(text.unwrap_or_default(), MAX_BYTES))
    }

    fn store_text(&mut self, index: usize, text: Vec<u8>) {
        if let Some(argument) = self.with.texts.get_mut(index) {
            *argument = text;
        }
    }

    fn unary(&self, unary: Unary, stack: &mut Stack) -> Done {
        let value = pop(stack)?;
        if let (Unary::Nint, Value::Text(text)) = (unary, &value) {
            push_number(stack, nearest_long(first_number(text)));
            return Ok(());
        }
        let x = value.into_number();
        push_number(
            stack,
            match unary {
                Unary::Nint => nearest_long(x),
                Unary::BitNot if self.wide => f64::from(!int(x)),
                Unary::BitNot => !long(x) as f64,
                Unary::Sqrt | Unary::Log | Unary::Ln if x < 0.0 => return Err(Fault::Failed),
                unary => unary.of(x),
            },
        );
        Ok(())
    }

    fn binary(&self, binary: Binary, stack: &mut Stack) -> Done {
        let (right, left) = (pop(stack)?, pop(stack)?);
        let result = match (left, right) {
            (Value::Text(left), Value::Text(right)) if of_texts(binary) => {
                binary_of_texts(binary, left, &right)
            }
            (Value::Text(text), right)
                if matches!(binary, Binary::ShiftLeft | Binary::ShiftRight) =>
            {
                shifted(
                    text,
                    nearest(right.into_number()),
                    binary == Binary::ShiftRight,
                )
            }
            (left, right) => {
                Value::Number(self.of_numbers(binary, left.into_number(), right.into_number())?)
            }
        };
        stack.push(result);
        Ok(())
    }

    fn of_numbers(&self, binary: Binary, x: f64, y: f64) -> Result<f64, Fault> {
        Ok(match binary {
            Binary::Div if y == 0.0 => return Err(Fault::Failed),
            Binary::Modulo if self.wide => match long(y) {
                0 => return Err(Fault::Failed),
                y => long(x).wrapping_rem(y) as f64,
            },
            Binary::Modulo => match int(y) {
                0 => return Err(Fault::Failed),
                y => f64::from(int(x).wrapping_rem(y)),
            },
            Binary::BitOr => (long(x) | long(y)) as f64,
            Binary::BitAnd => (long(x) & long(y)) as f64,
            Binary::BitXor => (long(x) ^ long(y)) as f64,
            // Processors take the count's low bits only.
            Binary::ShiftLeft if self.wide => f64::from(int(x).wrapping_shl(int(y) as u32)),
            Binary::ShiftRight if self.wide => f64::from(int(x).wrapping_shr(int(y) as u32)),
            Binary::ShiftLeft => long(x).wrapping_shl(long(y) as u32) as f64,
            Binary::ShiftRight => long(x).wrapping_shr(long(y) as u32) as f64,
            Binary::GreaterOrEqual => truth((x - y).abs() < SMALL || x > y),
            Binary::Greater => truth(x - y > SMALL),
            Binary::LessOrEqual => truth((x - y).abs() < SMALL || x < y),
            Binary::Less => truth(y - x > SMALL),
            Binary::NotEqual => truth((x - y).abs() > SMALL),
            Binary::Equal => truth((x - y).abs() < SMALL),
            binary => binary.of(x, y),
        })
    }

    fn many(many: Many, count: usize, stack: &mut Stack) -> Done {
        let first = stack.len().checked_sub(count).ok_or(Fault::Failed)?;
        let all = stack.split_off(first);
        let texts = matches!(many, Many::Max | Many::Min)
            && all.iter().all(|value| matches!(value, Value::Text(_)));
        let mut all = all.into_iter().rev();
        let last = all.next().ok_or(Fault::Failed)?;
        if texts {
            let better = |best: Vec<u8>, text: Vec<u8>| match many {
                Many::Max if text < best => best,
                Many::Min if text > best => best,
                _ => text,
            };
            let best = all.map(Value::into_text).fold(last.into_text(), better);
            stack.push(Value::Text(best));
            return Ok(());
        }
        let first = many.of_one(last.into_number());
        let result = all.fold(first, |all, value| many.with(all, value.into_number()));
        push_number(stack, result);
        Ok(())
    }

    fn word(&mut self, word: Word, stack: &mut Stack) -> Done {
        match word {
            Word::WideValue => {
                let text = cut(&self.with.text, MAX_BYTES);
                stack.push(Value::Text(text));
            }
            Word::NormalRandom => push_number(stack, self.random.next_normal()),
            Word::FetchAt => {
                let place = nearest(pop_number(stack)?);
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                push_number(stack, self.argument(place));
            }
            Word::FetchWideAt => {
                let place = nearest(pop_number(stack)?);
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                stack.push(self.text(place));
            }
            // In an expression without texts they are not there.
            Word::Number | Word::Byte if !self.wide => {}
            Word::WithoutLast if !self.wide => return Err(Fault::Failed),
            Word::Number => {
                if let Some(Value::Text(text)) = stack.last() {
                    let number = first_number(text);
                    stack.pop();
                    push_number(stack, number);
                }
            }
            Word::Byte => {
                if let Some(Value::Text(text)) = stack.last() {
                    // Characters have a sign.
                    let byte = text.first().map_or(0, |&byte| byte as i8);
                    stack.pop();
                    push_number(stack, byte.into());
                }
            }
            Word::Widen => {
                let text = pop(stack)?.into_text();
                stack.push(Value::Text(text));
            }
            Word::Length => {
                let text = pop(stack)?.into_text();
                push_number(stack, text.len() as f64);
            }
            Word::Unescape
            | Word::Escape
            | Word::Crc16
            | Word::Modbus
            | Word::Lrc
            | Word::AsciiModbus
            | Word::Xor8
            | Word::AddXor8 => {
                if let Some(Value::Text(text)) = stack.last_mut() {
                    bytes::transform(word, text);
                }
            }
            Word::Greater | Word::Lesser | Word::WithoutLast => {
                let (right, left) = (pop(stack)?, pop(stack)?);
                stack.push(either(word, left, right));
            }
            Word::Print | Word::Write => {
                let (value, format) = (pop(stack)?, pop(stack)?);
                let Value::Text(format) = format else {
                    return Err(Fault::Failed);
                };
                let text = match word {
                    Word::Print => scan::print(&format, value),
                    _ => scan::write(&format, value),
                };
                stack.push(Value::Text(text.ok_or(Fault::Failed)?));
            }
            Word::Scan | Word::Read => {
                let (format, text) = (pop(stack)?, pop(stack)?);
                let (Value::Text(format), Value::Text(text)) = (format, text) else {
                    return Err(Fault::Failed);
                };
                let value = match word {
                    Word::Scan => scan::scan(&text, &format),
                    _ => scan::read(&text, &format),
                };
                stack.push(value.ok_or(Fault::Failed)?);
            }
            Word::Part | Word::Patch => {
                let (second, first) = (pop(stack)?, pop(stack)?);
                let text = pop(stack)?.into_text();
                stack.push(Value::Text(match word {
                    Word::Part => part(&text, first, second),
                    _ => patched(&text, &first.into_text(), &second.into_text()),
                }));
            }
            _ => return Err(Fault::Failed),
        }
        Ok(())
    }
}

/// Whether two texts are texts to an operator.
const fn of_texts(binary: Binary) -> bool {
    matches!(
        binary,
        Binary::Add
            | Binary::Sub
            | Binary::NotEqual
            | Binary::Less
            | Binary::LessOrEqual
            | Binary::Equal
            | Binary::GreaterOrEqual
            | Binary::Greater
    )
}

fn binary_of_texts(binary: Binary, mut left: Vec<u8>, right: &[u8]) -> Value {
    let left_of = left.as_slice().cmp(right);
    Value::Number(truth(match binary {
        Binary::NotEqual => left_of.is_ne(),
        Binary::Less => left_of.is_lt(),
        Binary::LessOrEqual => left_of.is_le(),
        Binary::Equal => left_of.is_eq(),
        Binary::GreaterOrEqual => left_of.is_ge(),
        Binary::Greater => left_of.is_gt(),
        Binary::Add => {
            left.extend_from_slice(right);
            left.truncate(MAX_BYTES);
            return Value::Text(left);
        }
        _ => {
            if let Some(at) = find(&left, right) {
                left.drain(at..at + right.len());
            }
            return Value::Text(left);
        }
    }))
}

/// A text moved by so many places; blanks come in from the left.
fn shifted(text: Vec<u8>, by: i32, right: bool) -> Value {
    let by = by.min(MAX_BYTES as i32 + 1);
    let places = by.unsigned_abs() as usize;
    // Negative counts would read beside the text: it moves the other way.
    Value::Text(match right == (by >= 0) {
        true => {
            let blanks = std::iter::repeat_n(b' ', places);
            blanks.chain(text).take(MAX_BYTES).collect()
        }
        false => text.into_iter().skip(places).collect(),
    })
}

/// The greater or lesser one, or a text without another one that stands behind its beginning.
fn either(word: Word, left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Value::Text(match word {
            Word::Greater if left < right => right,
            Word::Lesser if left > right => right,
            Word::WithoutLast => without_last(left, &right),
            _ => left,
        }),
        (left, right) => {
            let (left, right) = (left.into_number(), right.into_number());
            Value::Number(match word {
                Word::Greater if left < right => right,
                Word::Lesser if left > right => right,
                Word::WithoutLast => left - right,
                _ => left,
            })
        }
    }
}

fn without_last(mut text: Vec<u8>, what: &[u8]) -> Vec<u8> {
    let found = (!what.is_empty())
        .then(|| memchr::memmem::rfind(&text, what))
        .flatten();
    if let Some(at) = found.filter(|&at| at > 0) {
        text.drain(at..at + what.len());
    }
    text
}

/// `[first,second]`: from a place, or from behind a text, to a place, or to what is before a text.
fn part(text: &[u8], first: Value, second: Value) -> Vec<u8> {
    let length = text.len() as i64;
    let place = |number: f64| match i64::from(int(number)) {
        place @ ..0 => place + length,
        place => place,
    };
    let begin = match first {
        Value::Number(number) => place(number),
        Value::Text(what) => find(text, &what).map_or(0, |at| (at + what.len()) as i64),
    };
    let end = match second {
        Value::Number(number) => place(number),
        Value::Text(what) if what.is_empty() => length,
        Value::Text(what) => find(text, &what).map_or(length, |at| at as i64 - 1),
    };
    let begin = begin.clamp(0, length);
    let count = (end.min(length) - begin + 1).max(0);
    text.iter()
        .copied()
        .skip(begin as usize)
        .take(count as usize)
        .collect()
}

/// `{what,with}`: the first of one text becomes another one.
fn patched(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let Some(at) = find(text, what) else {
        return text.to_vec();
    };
    let (before, behind) = text.split_at(at);
    let behind = behind.get(what.len()..).unwrap_or_default();
    let mut new = [before, with, behind].concat();
    new.truncate(MAX_BYTES);
    new
}

#[cfg(test)]
mod tests;
