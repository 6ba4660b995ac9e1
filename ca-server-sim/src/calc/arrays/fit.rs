//! Parabolas through arrays, and derivatives by them (`calcUtil.c` of the calc module).

use super::shape::clear_uncounted;
use super::{DEAR, Elements, Fault, Machine, Stack, Value};

/// A determinant below is 0.
const SINGULAR: f64 = 1e-8;

/// `c + b*x + a*x²`
#[derive(Clone, Copy, Debug)]
struct Polynomial([f64; 3]);

impl Polynomial {
    fn at(self, x: f64) -> f64 {
        let [c, b, a] = self.0;
        c + b * x + a * x * x
    }

    fn slope(self, x: f64) -> f64 {
        let [_, b, a] = self.0;
        b + 2.0 * a * x
    }

    /// The best one for elements at 0, 1, 2 and so on, of those that the mask has; `None` if they do not say which.
    fn through(all: &[f64], mask: Option<&[f64]>) -> Option<Self> {
        if all.len() < 3 {
            return None;
        }
        let mut moments = [0.0; 5];
        let mut sums = [0.0; 3];
        for (place, &y) in all.iter().enumerate() {
            let counts = mask.is_none_or(|mask| mask.get(place).is_some_and(|&mask| mask > 1e-8));
            if counts {
                let x = place as f64;
                sums[0] += y;
                sums[1] += y * x;
                sums[2] += y * x * x;
                moments[0] += 1.0;
                moments[1] += x;
                moments[2] += x * x;
                moments[3] += x * x * x;
                moments[4] += x * x * x * x;
            }
        }
        let inverse = inverted(moments)?;
        let coefficient = |row: [f64; 3]| {
            let mut sum = 0.0;
            for (factor, value) in row.into_iter().zip(sums) {
                sum += value * factor;
            }
            sum
        };
        Some(Self(inverse.map(coefficient)))
    }
}

/// The inverse of the matrix whose rows are three moments each, from the row's number on: columns.
fn inverted([m0, m1, m2, m3, m4]: [f64; 5]) -> Option<[[f64; 3]; 3]> {
    let (a, b, c) = (m0, m1, m2);
    let (d, e, f) = (m1, m2, m3);
    let (g, h, i) = (m2, m3, m4);
    let determinant = a * (e * i - h * f) + b * (f * g - i * d) + c * (d * h - g * e);
    if determinant.abs() < SINGULAR {
        return None;
    }
    let rows = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ];
    let divided = |of: [f64; 3]| of.map(|element| element / determinant);
    let [first, second, third] = rows.map(divided);
    let column = |at: usize| [first[at], second[at], third[at]];
    Some([column(0), column(1), column(2)])
}

impl Machine<'_> {
    /// The parabola through an array, and what it is; without one, zeros, and the evaluation fails unless something
    /// that comes later does not.
    pub(super) fn parabola(
        &mut self,
        mut array: Elements,
        mask: Option<&Elements>,
    ) -> Result<(Elements, Option<[f64; 3]>), Fault> {
        self.spend(2 * DEAR)?;
        let own = array.count;
        if let Some(mask) = mask {
            // It says how many elements count.
            array.count = mask.count;
        }
        let count = array.counted().len();
        let found = Polynomial::through(array.counted(), mask.map(Elements::all));
        self.failed = found.is_none();
        let shown = found.unwrap_or(Polynomial([0.0; 3]));
        let counted = array.all_mut().iter_mut().take(count).enumerate();
        counted.for_each(|(place, element)| *element = shown.at(place as f64));
        clear_uncounted(&mut array);
        array.count = own;
        Ok((array, found.map(|found| found.0)))
    }

    /// `FITQ` and `FITMQ`: array, mask, and up to three arguments that get what the parabola is.
    pub(super) fn fit(
        &mut self,
        masked: bool,
        count: usize,
        stack: &mut Stack,
    ) -> Result<(), Fault> {
        let first = stack.len().checked_sub(count).ok_or(Fault::Failed)?;
        let mut given = stack.split_off(first).into_iter();
        let value = given.next().ok_or(Fault::Failed)?;
        let array = self.array_of(value)?;
        let mask = match masked {
            true => {
                let mask = given.next().ok_or(Fault::Failed)?;
                Some(self.array_of(mask)?)
            }
            false => None,
        };
        let (fitted, found) = self.parabola(array, mask.as_ref())?;
        for (to, coefficient) in given.zip(found.into_iter().flatten()) {
            if let Value::Number(_, Some(source)) = to {
                self.store(source.into(), coefficient);
            }
        }
        stack.push(Value::Array(fitted));
        Ok(())
    }

    /// The slope at each element, of the parabola through so many elements on each side of it; as [`Self::parabola`]
    /// without one.
    pub(super) fn derived(
        &mut self,
        mut array: Elements,
        points: i32,
        limited: bool,
    ) -> Result<Value, Fault> {
        let count = array.counted().len();
        let points = usize::try_from(points).unwrap_or(0);
        let points = if limited {
            points.min(count.saturating_sub(1) / 2)
        } else {
            points
        };
        let work = (count as u64).saturating_mul(2 * points as u64 + 1);
        self.budget.spend(work.saturating_mul(DEAR))?;
        let slopes = slopes(array.counted(), points);
        self.failed = slopes.is_none();
        let slopes = slopes.unwrap_or_else(|| vec![0.0; count]);
        array
            .all_mut()
            .iter_mut()
            .zip(&slopes)
            .for_each(|(to, &slope)| *to = slope);
        clear_uncounted(&mut array);
        Ok(Value::Array(array))
    }
}

/// The slope at each element; `None` where there are too few, or no parabola goes through some.
fn slopes(all: &[f64], points: usize) -> Option<Vec<f64>> {
    let (count, span, outer) = (all.len(), 2 * points + 1, points + 1);
    if span > count {
        return None;
    }
    let fit = |from: usize| Polynomial::through(all.get(from..from + span)?, None);
    let mut slopes = vec![0.0; count];
    // Those at an end have the parabola that is the nearest to it.
    let begin = fit(0)?;
    for (place, slope) in slopes.iter_mut().take(outer).enumerate() {
        *slope = begin.slope(place as f64);
    }
    for place in outer..count.saturating_sub(outer) {
        *slopes.get_mut(place)? = fit(place - points)?.slope(points as f64);
    }
    let end = fit(count - span)?;
    for (place, slope) in slopes.iter_mut().skip(count - outer).enumerate() {
        *slope = end.slope((place + points) as f64);
    }
    Some(slopes)
}
