//! What looks at an array as a whole, or moves its elements.

use super::{Elements, Fault, Machine, SMALL, Value, Word, nearest};
use crate::calc::eval::int;

impl Machine<'_> {
    /// Functions of one array.
    pub(super) fn of_array(&mut self, word: Word, mut array: Elements) -> Result<Value, Fault> {
        self.spend(1)?;
        let all = array.counted();
        // Without any element it is the first one that counts.
        let first = array.all().first().copied().unwrap_or_default();
        Ok(match word {
            Word::Average => (total(all, first) / counts(&array)).into(),
            Word::Sum => all.iter().fold(0.0, |sum, element| sum + element).into(),
            Word::Deviation => deviation(all, total(all, first) / counts(&array)).into(),
            Word::Largest => best(all, first, |x, best| x > best).1.into(),
            Word::Smallest => best(all, first, |x, best| x < best).1.into(),
            Word::PlaceOfLargest => (best(all, first, |x, best| x > best).0 as f64).into(),
            Word::PlaceOfSmallest => (best(all, first, |x, best| x < best).0 as f64).into(),
            Word::PlaceOfCrossing => crossing(all).into(),
            Word::PlaceOfNonZero => {
                let found = all.iter().position(|element| element.abs() > SMALL);
                found.map_or(-1.0, |place| place as f64).into()
            }
            Word::Width => width(all, first).into(),
            Word::RunningSum => {
                let mut sum = 0.0;
                for (place, element) in array.all_mut().iter_mut().enumerate() {
                    sum = if place == 0 { *element } else { *element + sum };
                    *element = sum;
                }
                Value::Array(array)
            }
            Word::Smooth => {
                self.spend(2)?;
                let count = array.counted().len();
                smooth(array.all_mut().get_mut(..count).unwrap_or_default());
                Value::Array(array)
            }
            Word::Derive => self.derived(array, 2, false)?,
            Word::Parabola => Value::Array(self.parabola(array, None)?.0),
            _ => return Err(Fault::Failed),
        })
    }

    /// `SMOO` so many times, of all elements.
    pub(super) fn smooth_times(&mut self, value: Value, times: f64) -> Result<Value, Fault> {
        let times = int(times).max(0);
        let mut array = match value {
            Value::Array(array) => array,
            number if times == 0 => return Ok(number),
            Value::Number(..) => return Err(Fault::Failed),
        };
        for _ in 0..times {
            self.spend(3)?;
            smooth(array.all_mut());
        }
        Ok(Value::Array(array))
    }

    /// `[first,last]`: these elements, at the beginning; or where they are.
    pub(super) fn part(
        &mut self,
        mut array: Elements,
        first: f64,
        last: f64,
        in_place: bool,
    ) -> Result<Value, Fault> {
        self.spend(1)?;
        let all = array.all_mut();
        let length = all.len() as i64;
        let place = |number: f64| match i64::from(int(number)) {
            place @ ..0 => place + length,
            place => place,
        };
        let first = place(first).clamp(0, length);
        let last = place(last).min(length);
        // An end behind the last element reads one more there.
        let end = usize::try_from(last + 1).unwrap_or(0).min(all.len());
        let begin = (first as usize).min(all.len());
        let count = if in_place {
            all.get_mut(..begin)
                .into_iter()
                .flatten()
                .for_each(|element| *element = 0.0);
            all.get_mut(end..)
                .into_iter()
                .flatten()
                .for_each(|element| *element = 0.0);
            last + 1
        } else {
            let taken = end.saturating_sub(begin);
            if taken > 0 {
                all.copy_within(begin..end, 0);
            }
            all.get_mut(taken..)
                .into_iter()
                .flatten()
                .for_each(|element| *element = 0.0);
            1 + last - first
        };
        array.count = Some(count.min(length));
        Ok(Value::Array(array))
    }

    /// `CAT`: what counts of the right behind what counts of the left, as far as there is room.
    pub(super) fn append(&mut self, left: Value, right: Value) -> Result<Value, Fault> {
        if let (Value::Number(..), Value::Number(..)) = (&left, &right) {
            return Ok(left);
        }
        let mut left = self.array_of(left)?;
        self.spend(1)?;
        let length = left.all().len();
        let begin = left
            .count
            .map_or(length, |count| usize::try_from(count).unwrap_or(0));
        let room = left.all_mut().get_mut(begin..).unwrap_or_default();
        let new = match &right {
            Value::Number(number, _) => std::slice::from_ref(number),
            Value::Array(right) => right.counted(),
        };
        let added = room.len().min(new.len());
        room.iter_mut().zip(new).for_each(|(to, &from)| *to = from);
        left.count = left.count.map(|count| count.max(0) + added as i64);
        Ok(Value::Array(left))
    }

    /// Moves elements to higher places, by parts of one too; in between it is a straight line.
    pub(super) fn shifted(&mut self, mut array: Elements, by: f64) -> Result<Value, Fault> {
        self.spend(2)?;
        let all = array.all_mut();
        let length = all.len();
        let whole = nearest(by);
        let places = (whole.unsigned_abs() as usize).min(length);
        if whole > 0 {
            all.copy_within(..length - places, places);
            all.iter_mut()
                .take(places)
                .for_each(|element| *element = 0.0);
        } else if whole < 0 {
            all.copy_within(places.., 0);
            all.iter_mut()
                .skip(length - places)
                .for_each(|element| *element = 0.0);
        }
        let part = (by - f64::from(whole)).abs();
        if part > SMALL && length > 1 {
            match by < f64::from(whole) {
                true => {
                    lean(all.iter_mut(), part);
                }
                false => lean(all.iter_mut().rev(), part),
            }
        }
        Ok(Value::Array(array))
    }
}

/// Each element by a part of the way towards the one behind it; the last one as far away from the one before it.
fn lean<'a>(all: impl Iterator<Item = &'a mut f64>, part: f64) {
    let mut all = all.peekable();
    let mut before = 0.0;
    while let Some(element) = all.next() {
        *element += match all.peek() {
            Some(behind) => part * (**behind - *element),
            None => part * (*element - before),
        };
        before = *element;
    }
}

/// How many elements count, as the divisor of a mean.
fn counts(array: &Elements) -> f64 {
    let all = array.all().len() as i64;
    array.count.unwrap_or(all) as f64
}

/// The sum of the elements; of the first one, if none counts.
fn total(counted: &[f64], first: f64) -> f64 {
    match counted {
        [] => first,
        all => all.iter().sum(),
    }
}

fn deviation(all: &[f64], mean: f64) -> f64 {
    let squares: f64 = all
        .iter()
        .map(|element| (element - mean) * (element - mean))
        .sum();
    match all.len() {
        0 | 1 => squares.sqrt(),
        count => (squares / (count - 1) as f64).sqrt(),
    }
}

/// The place and the value of the first element that is better than all before.
fn best(all: &[f64], first: f64, better: impl Fn(f64, f64) -> bool) -> (usize, f64) {
    let start = (0, all.first().copied().unwrap_or(first));
    all.iter()
        .copied()
        .enumerate()
        .skip(1)
        .fold(start, |best, (place, element)| {
            if better(element, best.1) {
                (place, element)
            } else {
                best
            }
        })
}

/// Where the elements change their sign, between two of them; -1 if they do not.
fn crossing(all: &[f64]) -> f64 {
    let above = all.first().is_some_and(|&first| first > 0.0);
    let changes = all
        .windows(2)
        .enumerate()
        .find_map(|(place, pair)| match pair {
            &[before, after] if (after > 0.0) != above => {
                Some(place as f64 + before.abs() / (before - after).abs())
            }
            _ => None,
        });
    changes.unwrap_or(-1.0)
}

/// Full width at half of the maximum above the minimum.
fn width(all: &[f64], first: f64) -> f64 {
    let (peak, highest) = best(all, first, |x, best| x > best);
    let (_, lowest) = best(all, first, |x, best| x < best);
    let half = lowest + (highest - lowest) / 2.0;
    let at = |place: usize| all.get(place).copied().unwrap_or_default();
    let right = (peak + 1..all.len()).find(|&place| at(place) < half);
    let right = right.map_or(all.len() as f64 - 1.0, |place| {
        (place as f64 - 1.0) + (half - at(place - 1)) / (at(place) - at(place - 1))
    });
    let left = (0..peak).rev().find(|&place| at(place) < half);
    let left = left.map_or(0.0, |place| {
        place as f64 + (half - at(place)) / (at(place + 1) - at(place))
    });
    right - left
}

/// Each element but the outer two as a mean of five, with binomial weights.
fn smooth(all: &mut [f64]) {
    if all.len() < 5 {
        return;
    }
    let mut before: [f64; 3] = [all[0], all[1], all[2]];
    for place in 2..all.len() - 2 {
        let [two, one, here] = before;
        let (next, last) = (all[place + 1], all[place + 2]);
        all[place] = two / 16.0 + one / 4.0 + 3.0 * here / 8.0 + next / 4.0 + last / 16.0;
        before = [one, here, next];
    }
}

/// What does not count becomes 0.
pub(super) fn clear_uncounted(array: &mut Elements) {
    let count = array.counted().len();
    if array.count.is_some() {
        let rest = array.all_mut().iter_mut().skip(count);
        rest.for_each(|element| *element = 0.0);
    }
}
