//! Raw values and engineering units: LINR (`cvtBpt.c` of EPICS Base).

use super::cx::Cx;
use crate::record::BreakTable;

/// A value and whether it is on the table; beyond it its last line goes on.
pub(crate) type OnTable = (f64, bool);

/// The segment of a value, and whether the value is between the ends of the table.
fn segment(points: &[(f64, f64)], value: f64, of: fn(&(f64, f64)) -> f64) -> Option<(usize, bool)> {
    let (first, last) = (points.first()?, points.last()?);
    let rising = of(last) >= of(first);
    let before = |a: f64, b: f64| if rising { a < b } else { a > b };
    let inside = !before(value, of(first)) && !before(of(last), value);
    // The first point that is not before the value ends its segment.
    let end = points.partition_point(|point| before(of(point), value));
    let place = if before(of(last), value) {
        points.len() - 1
    } else {
        end.saturating_sub(1)
    };
    Some((place, inside))
}

fn slope(points: &[(f64, f64)], place: usize) -> f64 {
    let place = place.min(points.len().saturating_sub(2));
    match points.get(place..) {
        Some([a, b, ..]) => (b.1 - a.1) / (b.0 - a.0),
        _ => 0.0,
    }
}

fn on_table(table: &BreakTable, value: f64, back: bool) -> Option<(OnTable, usize)> {
    let points = &table.points;
    let (place, inside) = segment(
        points,
        value,
        if back {
            |point| point.1
        } else {
            |point| point.0
        },
    )?;
    let &(raw, eng) = points.get(place)?;
    let slope = slope(points, place);
    let new = if back {
        raw + (value - eng) / slope
    } else {
        eng + (value - raw) * slope
    };
    Some(((new, inside), place))
}

impl Cx<'_> {
    /// A raw value in engineering units, by the break table of LINR; `None` if there is none.
    pub(crate) fn raw_to_units(&mut self, linr: u16, lbrk: u16, value: f64) -> Option<OnTable> {
        self.by_table(linr, lbrk, value, false)
    }

    /// The reverse.
    pub(crate) fn units_to_raw(&mut self, linr: u16, lbrk: u16, value: f64) -> Option<OnTable> {
        self.by_table(linr, lbrk, value, true)
    }

    fn by_table(&mut self, linr: u16, lbrk: u16, value: f64, back: bool) -> Option<OnTable> {
        let table = self.break_table(self.u16(linr))?;
        let (result, place) = on_table(&table, value, back)?;
        self.set(lbrk, i32::try_from(place).unwrap_or(i32::MAX));
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_followed_there_and_back_and_beyond_its_ends() {
        let points = [(0.0, 32.0), (100.0, 82.0), (200.0, 232.0)].into();
        let table = BreakTable {
            name: "t".into(),
            points,
        };
        for (raw, eng, inside) in [
            (0.0, 32.0, true),
            (50.0, 57.0, true),
            (100.0, 82.0, true),
            (150.0, 157.0, true),
            (300.0, 382.0, false),
            (-100.0, -18.0, false),
        ] {
            assert_eq!(
                on_table(&table, raw, false).unwrap().0,
                (eng, inside),
                "{raw}"
            );
            assert_eq!(
                on_table(&table, eng, true).unwrap().0,
                (raw, inside),
                "{eng}"
            );
        }
    }
}
