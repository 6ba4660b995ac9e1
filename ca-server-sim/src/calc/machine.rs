//! The stack machine of the larger dialects: branches, loops, and the bounds of both.

use super::{MAX_UNTILS, Op};

/// Loops that all `UNTIL` of an expression go round together in one evaluation (`sCalcLoopMax` and `aCalcLoopMax` of
/// the calc module); thereafter the value counts as it is.
pub const MAX_LOOPS: usize = 1000;
/// What one evaluation may do: elements of arrays that are looked at or written, each counted once for each operation
/// and [more for dear ones](super::arrays), and 16 for an operation on texts. Takes some milliseconds.
pub const MAX_STEPS: u64 = 1 << 22;

/// Why an evaluation has no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// What is asked for has no value: a division by zero of texts' numbers, a format that does not fit, a branch
    /// without a value.
    #[error("it has no value")]
    Failed,
    /// It would take more than [`MAX_STEPS`].
    #[error(
        "it takes more than {MAX_STEPS} steps, as many as one evaluation may take; use fewer elements (NUSE), or fewer \
         loops"
    )]
    TooMuch,
}

/// Steps that are left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget(u64);

impl Budget {
    pub(super) const fn new() -> Self {
        Self(MAX_STEPS)
    }

    pub(super) fn spend(&mut self, steps: u64) -> Result<(), Fault> {
        self.0 = self.0.checked_sub(steps).ok_or(Fault::TooMuch)?;
        Ok(())
    }
}

/// What the values of a dialect are, and what its operations do with them.
pub(super) trait Kind {
    type Value;

    /// What a condition asks for.
    fn number(value: &Self::Value) -> f64;

    /// Takes one step.
    fn step(&mut self) -> Result<(), Fault>;

    /// Does an operation. The stack has what it takes.
    fn apply(&mut self, op: Op, stack: &mut Vec<Self::Value>) -> Result<(), Fault>;
}

/// Runs the code of an expression; its value.
pub(super) fn run<K: Kind>(code: &[Op], kind: &mut K) -> Result<K::Value, Fault> {
    let mut stack = Vec::new();
    let mut heights = [0; MAX_UNTILS];
    let mut loops = 0;
    let mut next = 0;
    while let Some(&op) = code.get(next) {
        next += 1;
        kind.step()?;
        match op {
            Op::Unless(target) => {
                let condition = stack.pop().ok_or(Fault::Failed)?;
                if K::number(&condition) == 0.0 {
                    next = target.ok_or(Fault::Failed)?.into();
                }
            }
            Op::Jump(target) => next = target.ok_or(Fault::Failed)?.into(),
            Op::Until(number) => *at(&mut heights, number)? = stack.len(),
            Op::Again(number, to) => {
                let condition = stack.last().ok_or(Fault::Failed)?;
                loops += 1;
                if loops <= MAX_LOOPS && K::number(condition) == 0.0 {
                    stack.truncate(*at(&mut heights, number)?);
                    next = to.into();
                }
            }
            op if stack.len() < op.takes() => return Err(Fault::Failed),
            op => kind.apply(op, &mut stack)?,
        }
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err(Fault::Failed),
    }
}

fn at(heights: &mut [usize; MAX_UNTILS], number: u8) -> Result<&mut usize, Fault> {
    heights.get_mut(usize::from(number)).ok_or(Fault::Failed)
}
