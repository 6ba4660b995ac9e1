//! Alarms from limits, as the records `ai`, `ao`, `longin` and `longout` raise them.

use ca_proto::dbr::{Limits, Range};
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus};

use crate::state::codec::saved;

/// Severities of the four alarm limits; `NO_ALARM` switches a limit off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitSeverities {
    /// HHSV: at or above HIHI.
    pub hihi: AlarmSeverity,
    /// HSV: at or above HIGH.
    pub high: AlarmSeverity,
    /// LSV: at or below LOW.
    pub low: AlarmSeverity,
    /// LLSV: at or below LOLO.
    pub lolo: AlarmSeverity,
}

impl Default for LimitSeverities {
    fn default() -> Self {
        let off = AlarmSeverity::NO_ALARM;
        Self {
            hihi: off,
            high: off,
            low: off,
            lolo: off,
        }
    }
}

/// The four alarm limits as the fields hold them.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct AlarmLimits {
    pub hihi: f64,
    pub high: f64,
    pub low: f64,
    pub lolo: f64,
}

impl AlarmLimits {
    /// From a description; those that are NaN are never reached.
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            hihi: limits.alarm.upper,
            high: limits.warning.upper,
            low: limits.warning.lower,
            lolo: limits.alarm.lower,
        }
    }

    /// What clients see of them: a limit whose severity is `NO_ALARM` is undefined
    /// (`get_alarm_double` of the record types, verified on the wire).
    pub(crate) fn show(&self, severities: &LimitSeverities, limits: &mut Limits) {
        let shown = |limit: f64, severity: AlarmSeverity| match severity {
            AlarmSeverity::NO_ALARM => f64::NAN,
            _ => limit,
        };
        limits.alarm = Range::new(
            shown(self.lolo, severities.lolo),
            shown(self.hihi, severities.hihi),
        );
        limits.warning = Range::new(
            shown(self.low, severities.low),
            shown(self.high, severities.high),
        );
    }
}

/// The worse of two alarms; the first wins a tie, as `recGblSetSevr` lets only a greater severity
/// replace what was raised before.
pub(crate) fn worse(first: Alarm, second: Alarm) -> Alarm {
    if second.severity > first.severity {
        second
    } else {
        first
    }
}

/// Checks a value against its limits. `last` is the limit that is in alarm (LALM), or the last value
/// without one; with it a limit is left only when the value has come back by the hysteresis
/// (`checkAlarms` of `aiRecord.c`).
pub(crate) fn check_limits(
    value: f64,
    limits: &AlarmLimits,
    severities: &LimitSeverities,
    hysteresis: f64,
    last: &mut f64,
) -> Alarm {
    if value.is_nan() {
        return Alarm::UNDEFINED;
    }
    let AlarmLimits {
        hihi,
        high,
        low,
        lolo,
    } = *limits;
    let above = |limit: f64| value >= limit || (*last == limit && value >= limit - hysteresis);
    let below = |limit: f64| value <= limit || (*last == limit && value <= limit + hysteresis);
    let checks = [
        (severities.hihi, AlarmStatus::HIHI, hihi, above(hihi)),
        (severities.lolo, AlarmStatus::LOLO, lolo, below(lolo)),
        (severities.high, AlarmStatus::HIGH, high, above(high)),
        (severities.low, AlarmStatus::LOW, low, below(low)),
    ];
    for (severity, status, limit, reached) in checks {
        if severity != AlarmSeverity::NO_ALARM && reached {
            *last = limit;
            return Alarm::new(status, severity);
        }
    }
    *last = value;
    Alarm::NONE
}

saved!(struct LimitSeverities { hihi, high, low, lolo });
saved!(struct AlarmLimits { hihi, high, low, lolo });

#[cfg(test)]
mod tests {
    use super::*;

    const SEVERITIES: LimitSeverities = LimitSeverities {
        hihi: AlarmSeverity::MAJOR,
        high: AlarmSeverity::MINOR,
        low: AlarmSeverity::MINOR,
        lolo: AlarmSeverity::MAJOR,
    };

    fn limits() -> AlarmLimits {
        AlarmLimits {
            hihi: 10.0,
            high: 5.0,
            low: -5.0,
            lolo: -10.0,
        }
    }

    fn statuses(values: &[f64], hysteresis: f64) -> Vec<AlarmStatus> {
        let mut last = 0.0;
        let check =
            |&v: &f64| check_limits(v, &limits(), &SEVERITIES, hysteresis, &mut last).status;
        values.iter().map(check).collect()
    }

    #[test]
    fn limits_themselves_are_in_alarm() {
        use AlarmStatus as S;
        assert_eq!(
            statuses(&[4.9, 5.0, 9.9, 10.0, -4.9, -5.0, -10.0, 0.0], 0.0),
            [
                S::NO_ALARM,
                S::HIGH,
                S::HIGH,
                S::HIHI,
                S::NO_ALARM,
                S::LOW,
                S::LOLO,
                S::NO_ALARM
            ]
        );
    }

    #[test]
    fn an_alarm_is_left_only_beyond_the_hysteresis() {
        use AlarmStatus as S;
        assert_eq!(
            statuses(&[10.0, 9.5, 8.9, 4.5, 3.9, 4.5], 1.0),
            [S::HIHI, S::HIHI, S::HIGH, S::HIGH, S::NO_ALARM, S::NO_ALARM]
        );
    }

    #[test]
    fn not_a_number_is_undefined_and_undefined_limits_are_never_reached() {
        let mut last = 0.0;
        let none = AlarmLimits::new(&Limits::default());
        let check = |v, last: &mut f64| check_limits(v, &none, &SEVERITIES, 0.0, last);
        assert_eq!(check(f64::NAN, &mut last), Alarm::UNDEFINED);
        assert_eq!(check(f64::INFINITY, &mut last), Alarm::NONE);
    }
}
