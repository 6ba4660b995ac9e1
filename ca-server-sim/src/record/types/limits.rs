//! What record types with limits share: alarms, dead-bands, limits of display and control.

use ca_proto::Timestamp;
use ca_proto::wire::message::EventMask;

use crate::process::{Cx, View, stat};
use crate::record::support::range;
use crate::record::{Dbf, FieldSet, Meta};

/// The fields of alarm limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlarmFields {
    pub val: u16,
    /// HIHI, LOLO, HIGH, LOW: the order in which they are looked at.
    pub levels: [u16; 4],
    /// HHSV, LLSV, HSV, LSV
    pub severities: [u16; 4],
    pub hyst: u16,
    pub lalm: u16,
    /// AFTC and AFVL of those that have them.
    pub filter: Option<(u16, u16)>,
    /// The severities: without them there is no alarm.
    pub armed: FieldSet,
    /// AFTC and AFVL: without them nothing is filtered.
    pub filters: FieldSet,
}

/// The fields of alarm limits by their usual names; with `AFTC, AFVL` those that filter.
macro_rules! limits {
    ($($aftc:ident, $afvl:ident)?) => {
        $crate::record::types::limits::AlarmFields {
            val: VAL,
            levels: [HIHI, LOLO, HIGH, LOW],
            severities: [HHSV, LLSV, HSV, LSV],
            hyst: HYST,
            lalm: LALM,
            filter: limits!(@ $($aftc, $afvl)?),
            armed: $crate::record::FieldSet::of(&[HHSV, LLSV, HSV, LSV]),
            filters: $crate::record::FieldSet::of(&[$($aftc, $afvl)?]),
        }
    };
    (@ $aftc:ident, $afvl:ident) => { Some(($aftc, $afvl)) };
    (@) => { None };
}
pub(crate) use limits;

/// Where a value is: an index of [`AlarmFields::levels`], or in none of them.
type Place = Option<usize>;

/// The numbers that the filter reckons with, from LOLO to HIHI; normal is 3.
const NUMBERS: [f64; 4] = [5.0, 1.0, 4.0, 2.0];
const STATS: [u16; 4] = [stat::HIHI, stat::LOLO, stat::HIGH, stat::LOW];
/// `THRESHOLD`
const ROUNDING: f64 = 0.6321;

impl AlarmFields {
    /// Raises the alarm of a value beyond its limits (`checkAlarms`). `before` is the time at which the
    /// record was processed before.
    pub(crate) fn check(&self, cx: &mut Cx<'_>, before: Timestamp) {
        if cx.check_undefined() {
            if let Some((_, afvl)) = self.filter {
                cx.set(afvl, 0.0);
            }
            return;
        }
        if cx.lacks(&self.armed) && cx.lacks(&self.filters) {
            return cx.copy(self.val, self.lalm);
        }
        let value = cx.f64(self.val);
        let mut place = self.place(cx, value);
        if let Some((aftc, afvl)) = self.filter
            && !cx.lacks(&self.filters)
        {
            place = filtered(cx, aftc, afvl, place, before);
        }
        let severity = |cx: &Cx<'_>, place: usize| {
            self.severities.get(place).map_or(0, |&field| cx.u16(field))
        };
        match place.map(|place| (place, severity(cx, place))) {
            Some((place, severity)) if severity != 0 => {
                let level = self.levels.get(place).map_or(value, |&field| cx.f64(field));
                if cx.alarm(STATS.get(place).copied().unwrap_or(stat::SOFT), severity) {
                    cx.set(self.lalm, level);
                }
            }
            _ => cx.copy(self.val, self.lalm),
        }
    }

    /// The same for integers of 64 bits.
    pub(crate) fn check_wide(&self, cx: &mut Cx<'_>, before: Timestamp) {
        if cx.check_undefined() {
            if let Some((_, afvl)) = self.filter {
                cx.set(afvl, 0.0);
            }
            return;
        }
        let value = cx.i64(self.val);
        let (hyst, last) = (cx.i64(self.hyst), cx.i64(self.lalm));
        let mut place = (0..4usize).find(|&place| {
            let (Some(&level), Some(&severity)) =
                (self.levels.get(place), self.severities.get(place))
            else {
                return false;
            };
            let (level, high) = (cx.i64(level), place % 2 == 0);
            let beyond = |limit: i64| if high { value >= limit } else { value <= limit };
            let back = if high {
                level.wrapping_sub(hyst)
            } else {
                level.wrapping_add(hyst)
            };
            cx.u16(severity) != 0 && (beyond(level) || last == level && beyond(back))
        });
        if let Some((aftc, afvl)) = self.filter {
            place = filtered(cx, aftc, afvl, place, before);
        }
        let severity = |cx: &Cx<'_>, place: usize| {
            self.severities.get(place).map_or(0, |&field| cx.u16(field))
        };
        match place.map(|place| (place, severity(cx, place))) {
            Some((place, severity)) if severity != 0 => {
                let level = self.levels.get(place).map_or(value, |&field| cx.i64(field));
                if cx.alarm(STATS.get(place).copied().unwrap_or(stat::SOFT), severity) {
                    cx.set(self.lalm, level);
                }
            }
            _ => cx.set(self.lalm, value),
        }
    }

    fn place(&self, cx: &Cx<'_>, value: f64) -> Place {
        let (hyst, last) = (cx.f64(self.hyst), cx.f64(self.lalm));
        (0..4).find(|&place| {
            let (Some(&level), Some(&severity)) =
                (self.levels.get(place), self.severities.get(place))
            else {
                return false;
            };
            if cx.u16(severity) == 0 {
                return false;
            }
            let level = cx.f64(level);
            let high = place % 2 == 0;
            let beyond = |limit: f64| if high { value >= limit } else { value <= limit };
            beyond(level) || last == level && beyond(if high { level - hyst } else { level + hyst })
        })
    }
}

/// A low pass for alarm levels, so that a short peak raises none (AFTC).
fn filtered(cx: &mut Cx<'_>, aftc: u16, afvl: u16, place: Place, before: Timestamp) -> Place {
    let constant = cx.f64(aftc);
    if constant <= 0.0 {
        cx.set(afvl, 0.0);
        return place;
    }
    let number = place
        .and_then(|place| NUMBERS.get(place).copied())
        .unwrap_or(3.0);
    let mut value = cx.f64(afvl);
    let mut place = place;
    if value == 0.0 {
        value = number;
    } else {
        let alpha = constant / (seconds(cx.time(), before) + constant);
        let weight = if value > 0.0 {
            1.0 - alpha
        } else {
            alpha - 1.0
        };
        value = alpha * value + weight * number;
        if value - value.floor() > ROUNDING {
            // The sign tells into which direction the next one is rounded.
            value = -value;
        }
        let level = value.floor().abs();
        place = NUMBERS.iter().position(|&number| number == level);
    }
    cx.set(afvl, value);
    place
}

fn seconds(now: Timestamp, before: Timestamp) -> f64 {
    f64::from(now.secs) - f64::from(before.secs)
        + (f64::from(now.nanos) - f64::from(before.nanos)) * 1e-9
}

/// The alarms that were raised, and what leaves the dead-bands MDEL and ADEL: what VAL is told with.
pub(crate) fn monitor(
    cx: &mut Cx<'_>,
    val: u16,
    [mlst, mdel]: [u16; 2],
    [alst, adel]: [u16; 2],
) -> EventMask {
    let mut mask = cx.reset_alarms();
    let value = cx.f64(val);
    cx.check_band(mlst, value, mdel, &mut mask, EventMask::VALUE);
    cx.check_band(alst, value, adel, &mut mask, EventMask::LOG);
    if mask.0 != 0 {
        cx.post(val, mask);
    }
    mask
}

/// As [`monitor`], in integers of 32 bits.
pub(crate) fn monitor_integer(cx: &mut Cx<'_>, val: u16, value: [u16; 2], archive: [u16; 2]) {
    let mut mask = cx.reset_alarms();
    let new = cx.i32(val);
    for ([last, band], add) in [(value, EventMask::VALUE), (archive, EventMask::LOG)] {
        let band = cx.i32(band);
        if band < 0 || cx.i32(last).abs_diff(new) > band.unsigned_abs() {
            mask = mask.union(add);
            cx.copy(val, last);
        }
    }
    cx.post(val, mask);
}

/// As [`monitor`], in integers of 64 bits.
pub(crate) fn monitor_wide(cx: &mut Cx<'_>, val: u16, value: [u16; 2], archive: [u16; 2]) {
    let mut mask = cx.reset_alarms();
    for ([last, band], add) in [(value, EventMask::VALUE), (archive, EventMask::LOG)] {
        let band = cx.i64(band);
        if band < 0 || cx.i64(last).abs_diff(cx.i64(val)) > band.unsigned_abs() {
            mask = mask.union(add);
            cx.copy(val, last);
        }
    }
    cx.post(val, mask);
}

/// Digits of a field that is not the value (`recGblGetPrec`).
pub(crate) fn precision(view: &View<'_>, field: u16, value: bool, prec: i16) -> i16 {
    let dbf = view.of().field(field).dbf;
    match (dbf, prec) {
        _ if value => prec,
        (Dbf::Float | Dbf::Double, 0..=15) => prec,
        (Dbf::Float | Dbf::Double, _) => 15,
        (
            Dbf::Char
            | Dbf::UChar
            | Dbf::Short
            | Dbf::UShort
            | Dbf::Long
            | Dbf::ULong
            | Dbf::Int64
            | Dbf::UInt64,
            _,
        ) => 0,
        // Digits of a number that is written to a text.
        _ => prec,
    }
}

/// AlarmFields of fields that have none of their own.
pub(crate) fn type_range(view: &View<'_>, field: u16, meta: &mut Meta) {
    let range = range(view.of().field(field).dbf);
    meta.display = range;
    meta.control = range;
}

/// Alarm limits of the value, those without a severity left out.
pub(crate) fn alarm_levels(view: &View<'_>, limits: &AlarmFields, meta: &mut Meta) {
    // LOLO, LOW, HIGH, HIHI
    for (slot, place) in meta.alarm.iter_mut().zip([1, 3, 2, 0]) {
        let (Some(&level), Some(&severity)) =
            (limits.levels.get(place), limits.severities.get(place))
        else {
            continue;
        };
        *slot = if view.u16(severity) == 0 {
            f64::NAN
        } else {
            view.f64(level)
        };
    }
}
