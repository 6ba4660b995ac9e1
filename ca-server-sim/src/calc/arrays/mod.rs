//! Expressions of arrays (`aCalcPostfix`, `aCalcPerform` of the calc module of synApps), as `acalcout` has them.
//!
//! Words, precedence and rules are those of the public sources of the module and of its page on the `acalcout` record;
//! random expressions went through the module's functions, too: nine in ten that those survive are equal, and what differs
//! of those looked at reads what nobody wrote.
//! The record around it follows the public sources alone. All arrays of an expression have the same number of elements.
//!
//! # Rules that surprise
//! - A number beside an array is an array of it; where a number is needed of an array, it is the first element. So
//!   `AA^BB` raises to the power of `BB`'s first element.
//! - `[a,b]` moves the elements to the beginning and `{a,b}` leaves them where they are; the others are 0. How many
//!   they are is remembered: `AVG`, `SUM`, `CAT` and the like go by that, also after further operations.
//! - Division by zero gives 1e35, and the roots and logarithms of what is below 0 are 0; of arrays with such elements
//!   the expression has no value.
//! - `<<` and `>>` move the elements of an array, by parts of an element too.
//! - `LEN` leaves its value as it is.
//! - An expression whose value is no finite number has it, and fails: `acalcout` raises its alarm.
//!
//! # Where we differ from the reference
//! - What would read or write beside an array there (`SMOO` and fits of fewer elements than they need, `[a,b]` behind
//!   the end) does nothing, has no value, or reads 0.
//! - An evaluation takes [`MAX_STEPS`](super::MAX_STEPS) at most: an operation takes one for each element, a function
//!   of the C library and each element in a fit 8. What takes more is refused ([`Fault::TooMuch`]).

mod fit;
mod shape;

use std::sync::Arc;

use super::eval::{int, long, truth};
use super::machine::{Budget, Fault, Kind, run};
use super::{Binary, Dialect, Expression, Many, Op, Random, Unary, Word};
use crate::record::Array;

/// Numbers and arrays that an expression is given: `A` to `L`, `AA` to `LL`.
pub const COUNT: usize = 12;
/// What stands for a quotient by 0 (`myMAXFLOAT`).
const LARGE: f64 = 1e35_f32 as f64;
/// Numbers below are 0.
const SMALL: f64 = 1e-9;
/// Steps of a function of the C library, for each element.
const DEAR: u64 = 8;

/// What an expression of arrays is given and gives.
///
/// ```
/// use ca_server_sim::calc::{Arrays, Expression, Random};
///
/// let expression = Expression::parse_arrays("A:=MAX(A,2); AA*A + IX")?;
/// let mut with = Arrays::new(4);
/// with.set(0, &[1.0, 1.0, 5.0]); // AA; it has four elements from now on
/// with.evaluate(&expression, &mut Random::default())?;
/// assert_eq!(with.result(), [2.0, 3.0, 12.0, 3.0]);
/// assert_eq!((with.number, with.numbers[0], with.stored), (2.0, 2.0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Arrays {
    /// `A` to `L`; what an expression assigns stays.
    pub numbers: [f64; COUNT],
    /// `AA` to `LL`; what is not there is 0.
    pub(crate) arrays: [Option<Arc<Array>>; COUNT],
    /// Which of `AA` to `LL` were assigned to: bit 0 for `AA`.
    pub stored: u32,
    /// `VAL`: the number that the record had before, and the one that it has from now on.
    pub number: f64,
    /// `AVAL`, likewise.
    pub(crate) array: Option<Arc<Array>>,
    /// Elements of all arrays.
    length: usize,
}

impl Arrays {
    /// Zeros; arrays of so many elements, at least one.
    pub fn new(length: usize) -> Self {
        Self {
            numbers: [0.0; COUNT],
            arrays: std::array::from_fn(|_| None),
            stored: 0,
            number: 0.0,
            array: None,
            length: length.max(1),
        }
    }

    /// Gives one of `AA` to `LL` elements, by its number from 0.
    pub fn set(&mut self, index: usize, elements: &[f64]) {
        if let Some(array) = self.arrays.get_mut(index) {
            *array = Some(Arc::new(Array::Double(elements.into())));
        }
    }

    /// The elements of one of `AA` to `LL`, by its number from 0, as far as they were given.
    pub fn get(&self, index: usize) -> &[f64] {
        let array = self.arrays.get(index).and_then(Option::as_ref);
        array.map_or(&[], elements)
    }

    /// `AVAL`: the elements of the value.
    pub fn result(&self) -> &[f64] {
        self.array.as_ref().map_or(&[], elements)
    }

    /// Evaluates an expression of arrays. Without a value nothing changes but what was assigned to until then, and but
    /// for a value that is no finite number, which is there.
    ///
    /// # Errors
    /// [`Fault`]; [`Fault::Failed`] also for an expression of another dialect.
    pub fn evaluate(&mut self, expression: &Expression, random: &mut Random) -> Result<(), Fault> {
        if expression.dialect != Dialect::Arrays {
            return Err(Fault::Failed);
        }
        let mut machine = Machine {
            with: self,
            random,
            failed: false,
            budget: Budget::new(),
        };
        let value = run(&expression.code, &mut machine)?;
        if machine.failed {
            return Err(Fault::Failed);
        }
        let number = Machine::number(&value);
        let array = machine.array_of(value)?.elements;
        self.array = Some(array);
        self.number = number;
        match number.is_finite() {
            true => Ok(()),
            false => Err(Fault::Failed),
        }
    }
}

/// The elements of an array of real numbers.
pub(crate) fn elements(array: &Arc<Array>) -> &[f64] {
    match &**array {
        Array::Double(all) => all,
        _ => &[],
    }
}

/// An array on the stack.
#[derive(Clone, Debug)]
struct Elements {
    elements: Arc<Array>,
    /// How many of them count, once that is known.
    count: Option<i64>,
}

impl Elements {
    fn all(&self) -> &[f64] {
        elements(&self.elements)
    }

    /// Those that count.
    fn counted(&self) -> &[f64] {
        let all = self.all();
        let count = self
            .count
            .map_or(all.len(), |count| usize::try_from(count).unwrap_or(0));
        all.get(..count).unwrap_or(all)
    }

    fn all_mut(&mut self) -> &mut [f64] {
        match Arc::make_mut(&mut self.elements) {
            Array::Double(all) => all,
            _ => &mut [],
        }
    }
}

/// A value on the stack.
#[derive(Clone, Debug)]
enum Value {
    /// A number, and the argument that it comes from.
    Number(f64, Option<u8>),
    Array(Elements),
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number, None)
    }
}

struct Machine<'a> {
    with: &'a mut Arrays,
    random: &'a mut Random,
    /// A root or a logarithm of an array had elements below 0.
    failed: bool,
    budget: Budget,
}

type Stack = Vec<Value>;
type Done = Result<(), Fault>;

fn pop(stack: &mut Stack) -> Result<Value, Fault> {
    stack.pop().ok_or(Fault::Failed)
}

/// `myNINT`
fn nearest(number: f64) -> i32 {
    int(if number >= 0.0 {
        number + 0.5
    } else {
        number - 0.5
    })
}

fn place(number: f64) -> usize {
    usize::try_from(nearest(number)).unwrap_or(usize::MAX)
}

impl Kind for Machine<'_> {
    type Value = Value;

    fn number(value: &Value) -> f64 {
        match value {
            Value::Number(number, _) => *number,
            Value::Array(array) => array.all().first().copied().unwrap_or_default(),
        }
    }

    fn step(&mut self) -> Done {
        self.budget.spend(1)
    }

    fn apply(&mut self, op: Op, stack: &mut Stack) -> Done {
        match op {
            Op::Number(number) => stack.push(number.into()),
            Op::Value => stack.push(self.with.number.into()),
            Op::Random => stack.push(self.random.next().into()),
            Op::Fetch(index) => stack.push(self.argument(index.into())),
            Op::FetchWide(index) => {
                let array = self.array(index.into())?;
                stack.push(array);
            }
            Op::Store(index) => {
                let number = Self::number(&pop(stack)?);
                self.store(index.into(), number);
            }
            Op::StoreWide(index) => {
                let value = pop(stack)?;
                self.store_array(index.into(), value)?;
            }
            Op::StoreAt | Op::StoreWideAt => {
                let value = pop(stack)?;
                let place = place(Self::number(&pop(stack)?));
                match op {
                    Op::StoreWideAt => self.store_array(place, value)?,
                    _ => self.store(place, Self::number(&value)),
                }
            }
            Op::Unary(unary) => {
                let value = pop(stack)?;
                stack.push(self.unary(unary, value)?);
            }
            Op::Binary(binary) => {
                let (right, left) = (pop(stack)?, pop(stack)?);
                stack.push(self.binary(binary, left, right)?);
            }
            Op::Many(many, count) => self.many(many, count.into(), stack)?,
            Op::Fit(masked, count) => self.fit(masked, count.into(), stack)?,
            Op::Word(word) => self.word(word, stack)?,
            _ => return Err(Fault::Failed),
        }
        Ok(())
    }
}

impl Machine<'_> {
    fn argument(&self, index: usize) -> Value {
        match self.with.numbers.get(index) {
            Some(number) => Value::Number(*number, u8::try_from(index).ok()),
            None => 0.0.into(),
        }
    }

    fn store(&mut self, index: usize, number: f64) {
        if let Some(argument) = self.with.numbers.get_mut(index) {
            *argument = number;
        }
    }

    /// Counts an operation on all elements, each of which takes so many steps.
    fn spend(&mut self, each: u64) -> Done {
        self.budget
            .spend((self.with.length as u64).saturating_mul(each))
    }

    /// An array of the right number of elements.
    fn sized(&mut self, array: Option<Arc<Array>>) -> Result<Value, Fault> {
        let length = self.with.length;
        if let Some(array) = array
            .as_ref()
            .filter(|array| elements(array).len() == length)
        {
            return Ok(whole(Arc::clone(array)));
        }
        self.spend(1)?;
        let mut all: Vec<f64> = array.as_ref().map_or(&[][..], elements).to_vec();
        all.resize(length, 0.0);
        Ok(whole(Arc::new(Array::Double(all))))
    }

    fn array(&mut self, index: usize) -> Result<Value, Fault> {
        let array = self.with.arrays.get(index).cloned().flatten();
        self.sized(array)
    }

    fn store_array(&mut self, index: usize, value: Value) -> Done {
        if index >= COUNT {
            return Ok(());
        }
        // A number is stored as it is, even if it is none.
        let array = match value {
            Value::Number(number, _) => self.repeated(number)?.elements,
            Value::Array(array) => array.elements,
        };
        if let Some(argument) = self.with.arrays.get_mut(index) {
            *argument = Some(array);
            self.with.stored |= 1 << index;
        }
        Ok(())
    }

    fn repeated(&mut self, number: f64) -> Result<Elements, Fault> {
        self.spend(1)?;
        let all = vec![number; self.with.length];
        Ok(Elements {
            elements: Arc::new(Array::Double(all)),
            count: None,
        })
    }

    /// A value as an array.
    fn array_of(&mut self, value: Value) -> Result<Elements, Fault> {
        match value {
            Value::Array(array) => Ok(array),
            Value::Number(number, _) if number.is_nan() => self.repeated(0.0),
            Value::Number(number, _) => self.repeated(number),
        }
    }

    /// Each element by itself; so many steps for each.
    fn each(
        &mut self,
        mut array: Elements,
        steps: u64,
        of: impl Fn(f64) -> f64,
    ) -> Result<Value, Fault> {
        self.spend(steps)?;
        for element in array.all_mut() {
            *element = of(*element);
        }
        Ok(Value::Array(array))
    }

    fn unary(&mut self, unary: Unary, value: Value) -> Result<Value, Fault> {
        let below = matches!(unary, Unary::Sqrt | Unary::Log | Unary::Ln);
        match value {
            Value::Number(number, source) => Ok(Value::Number(one(unary, number), source)),
            Value::Array(array) => {
                if below {
                    self.failed = array.all().iter().any(|&element| element < 0.0);
                }
                let steps = match unary {
                    Unary::Neg | Unary::Not | Unary::BitNot | Unary::Abs | Unary::Nint => 1,
                    _ => DEAR,
                };
                self.each(array, steps, |element| one(unary, element))
            }
        }
    }

    fn binary(&mut self, binary: Binary, left: Value, right: Value) -> Result<Value, Fault> {
        let dear = matches!(binary, Binary::Power | Binary::Atan2 | Binary::Modulo);
        let steps = if dear { DEAR } else { 1 };
        match (binary, left, right) {
            (Binary::Power, Value::Array(array), right) => {
                let right = Self::number(&right);
                self.each(array, steps, |element| element.powf(right))
            }
            (Binary::Power, Value::Number(left, source), right) => {
                Ok(Value::Number(left.powf(Self::number(&right)), source))
            }
            (Binary::ShiftLeft | Binary::ShiftRight, Value::Array(array), right) => {
                let by = Self::number(&right);
                self.shifted(array, if binary == Binary::ShiftLeft { -by } else { by })
            }
            (Binary::ShiftLeft | Binary::ShiftRight, Value::Number(left, source), right) => {
                let by = int(Self::number(&right)) as u32;
                let moved = match binary {
                    // Processors take the count's low bits only.
                    Binary::ShiftLeft => int(left).wrapping_shl(by),
                    _ => int(left).wrapping_shr(by),
                };
                Ok(Value::Number(moved.into(), source))
            }
            (_, Value::Number(left, source), Value::Number(right, _)) => {
                Ok(Value::Number(two(binary, left, right), source))
            }
            (_, left, right) => self.pairs(left, right, steps, |x, y| two(binary, x, y)),
        }
    }

    /// Pairs of elements, where one value at least is an array.
    fn pairs(
        &mut self,
        left: Value,
        right: Value,
        steps: u64,
        of: impl Fn(f64, f64) -> f64,
    ) -> Result<Value, Fault> {
        let mut left = self.array_of(left)?;
        self.spend(steps)?;
        match right {
            Value::Number(right, _) => left.all_mut().iter_mut().for_each(|x| *x = of(*x, right)),
            Value::Array(right) => {
                let pairs = left.all_mut().iter_mut().zip(right.all());
                pairs.for_each(|(x, &y)| *x = of(*x, y));
            }
        }
        Ok(Value::Array(left))
    }

    fn many(&mut self, many: Many, count: usize, stack: &mut Stack) -> Done {
        let first = stack.len().checked_sub(count).ok_or(Fault::Failed)?;
        let all = stack.split_off(first);
        let arrays = all
            .iter()
            .filter(|value| matches!(value, Value::Array(_)))
            .count();
        self.spend(arrays as u64)?;
        if arrays == 0 || matches!(many, Many::Finite | Many::IsNan) {
            let mut numbers = all.iter().rev().flat_map(|value| match value {
                Value::Number(number, _) => std::slice::from_ref(number),
                Value::Array(array) => array.all(),
            });
            let last = numbers.next().ok_or(Fault::Failed)?;
            let result = numbers.fold(many.of_one(*last), |all, &number| many.with(all, number));
            stack.push(result.into());
            return Ok(());
        }
        let mut all = all.into_iter();
        let mut best = Value::Array(self.array_of(all.next().ok_or(Fault::Failed)?)?);
        for value in all.rev() {
            best = self.pairs(best, value, 1, |best, x| match many {
                Many::Max if x > best => x,
                Many::Min if x < best => x,
                _ => best,
            })?;
        }
        stack.push(best);
        Ok(())
    }

    fn word(&mut self, word: Word, stack: &mut Stack) -> Done {
        let value = match word {
            Word::WideValue => {
                let array = self.with.array.clone();
                self.sized(array)?
            }
            Word::NormalRandom => self.random.next_normal().into(),
            Word::Index => {
                self.spend(1)?;
                let all = (0..self.with.length).map(|place| place as f64).collect();
                whole(Arc::new(Array::Double(all)))
            }
            Word::RandomArray => {
                self.spend(1)?;
                let all = (0..self.with.length).map(|_| self.random.next()).collect();
                whole(Arc::new(Array::Double(all)))
            }
            Word::FetchAt => self.argument(place(Self::number(&pop(stack)?))),
            Word::FetchWideAt => {
                let place = place(Self::number(&pop(stack)?));
                self.array(place)?
            }
            Word::Number => Self::number(&pop(stack)?).into(),
            Word::Widen => {
                let value = pop(stack)?;
                Value::Array(self.array_of(value)?)
            }
            Word::Length => pop(stack)?,
            Word::NotBelowZero | Word::NotAboveZero => {
                let value = pop(stack)?;
                let of = |x: f64| match word {
                    Word::NotBelowZero if x < 0.0 => 0.0,
                    Word::NotAboveZero if x > 0.0 => 0.0,
                    _ => x,
                };
                match value {
                    Value::Number(number, source) => Value::Number(of(number), source),
                    Value::Array(array) => self.each(array, 1, of)?,
                }
            }
            Word::Greater | Word::Lesser => {
                let (right, left) = (pop(stack)?, pop(stack)?);
                let of = |x: f64, y: f64| match word {
                    Word::Greater if x < y => y,
                    Word::Lesser if x > y => y,
                    _ => x,
                };
                match (left, right) {
                    (Value::Number(left, source), Value::Number(right, _)) => {
                        Value::Number(of(left, right), source)
                    }
                    (left, right) => self.pairs(left, right, 1, of)?,
                }
            }
            Word::Append => {
                let (right, left) = (pop(stack)?, pop(stack)?);
                self.append(left, right)?
            }
            Word::SmoothTimes => {
                let (times, value) = (pop(stack)?, pop(stack)?);
                self.smooth_times(value, Self::number(&times))?
            }
            Word::DeriveOver => {
                let (points, value) = (pop(stack)?, pop(stack)?);
                let array = self.array_of(value)?;
                self.derived(array, int(Self::number(&points)), true)?
            }
            Word::MaskedParabola => {
                let (mask, value) = (pop(stack)?, pop(stack)?);
                let Value::Array(mask) = mask else {
                    return Err(Fault::Failed);
                };
                let array = self.array_of(value)?;
                Value::Array(self.parabola(array, Some(&mask))?.0)
            }
            Word::Part | Word::Patch => {
                let (last, first) = (pop(stack)?, pop(stack)?);
                let value = pop(stack)?;
                let array = self.array_of(value)?;
                self.part(
                    array,
                    Self::number(&first),
                    Self::number(&last),
                    word == Word::Patch,
                )?
            }
            word => match pop(stack)? {
                Value::Number(number, source) => of_number(word, number, source)?,
                Value::Array(array) => self.of_array(word, array)?,
            },
        };
        stack.push(value);
        Ok(())
    }
}

/// All elements count.
fn whole(elements: Arc<Array>) -> Value {
    Value::Array(Elements {
        elements,
        count: None,
    })
}

/// What the functions of arrays give for a number.
fn of_number(word: Word, number: f64, source: Option<u8>) -> Result<Value, Fault> {
    let found = |found: bool| if found { 0.0 } else { -1.0 };
    let result = match word {
        Word::Average | Word::Sum | Word::Largest | Word::Smallest => number,
        Word::Smooth | Word::RunningSum => number,
        Word::Deviation | Word::Width | Word::Derive | Word::Parabola => 0.0,
        Word::PlaceOfLargest | Word::PlaceOfSmallest => 0.0,
        Word::PlaceOfCrossing => found(number.abs() < SMALL),
        Word::PlaceOfNonZero => found(number.abs() > SMALL),
        _ => return Err(Fault::Failed),
    };
    Ok(Value::Number(result, source))
}

/// An operator or a function of one number.
fn one(unary: Unary, x: f64) -> f64 {
    match unary {
        Unary::Sqrt | Unary::Log | Unary::Ln if x < 0.0 => 0.0,
        // `long` has 64 bits.
        Unary::Nint => long(if x >= 0.0 { x + 0.5 } else { x - 0.5 }) as f64,
        Unary::BitNot => f64::from(!int(x)),
        // Which zero it is stays as it is.
        Unary::Abs if x < 0.0 => -x,
        Unary::Abs => x,
        unary => unary.of(x),
    }
}

/// An operator or a function of two numbers.
fn two(binary: Binary, x: f64, y: f64) -> f64 {
    match binary {
        Binary::Div if y == 0.0 => LARGE,
        Binary::Modulo => match int(y) {
            0 => LARGE,
            y => f64::from(int(x).wrapping_rem(y)),
        },
        Binary::BitOr => f64::from(int(x) | int(y)),
        Binary::BitAnd => f64::from(int(x) & int(y)),
        Binary::BitXor => f64::from(int(x) ^ int(y)),
        Binary::And => truth(x != 0.0 && y != 0.0),
        binary => binary.of(x, y),
    }
}

#[cfg(test)]
mod tests;
