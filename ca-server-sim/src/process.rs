//! Processing of a record: alarms, time stamp, and what is posted to whom.

use ca_proto::dbr::{NativeType, Value};
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, Instant};

use crate::alarm::{check_limits, worse};
use crate::change::number_of;
use crate::db::{Db, PvHandle};
use crate::deadband::differs;
use crate::field::Field;
use crate::record::Record;

/// What a processing changed.
pub(crate) struct Changes {
    /// Events of the value field; empty for nothing to post.
    value: EventMask,
    severity: bool,
    status: bool,
    ack: bool,
    length: bool,
}

const NOTHING: EventMask = EventMask(0);
const VALUE_AND_LOG: EventMask = EventMask(EventMask::VALUE.0 | EventMask::LOG.0);

impl Db {
    /// Processes a record at `now`, with a new value in its native type or with the one it has.
    /// `raised` is an alarm of this processing alone.
    pub(crate) fn process(
        &mut self,
        now: Instant,
        handle: PvHandle,
        value: Option<Value>,
        raised: Alarm,
    ) {
        let stamp = self.clock.stamp(now);
        let Some(record) = self.record_mut(handle) else {
            return;
        };
        record.snapshot.stamp = stamp;
        let changes = record.process(value, raised);
        let watched = record.open > 0;
        if watched {
            self.post_changes(handle, &changes);
        }
    }

    fn post_changes(&mut self, handle: PvHandle, changes: &Changes) {
        if changes.value != NOTHING {
            self.post_fields(handle, changes.value, |field| field == Field::Val);
        }
        // Every other field is an opened view.
        let views = |record: &Record| record.extra.as_ref().is_some_and(|e| !e.views.is_empty());
        if !self.record(handle).is_some_and(views) {
            return;
        }
        let fields = [
            (Field::Sevr, changes.severity, EventMask::VALUE),
            (
                Field::Stat,
                changes.status,
                EventMask::VALUE | EventMask::ALARM,
            ),
            (Field::Acks, changes.ack, EventMask::VALUE),
            (Field::Nord, changes.length, VALUE_AND_LOG),
        ];
        for (field, changed, mask) in fields {
            if changed {
                self.post_fields(handle, mask, |other| other == field);
            }
        }
    }

    /// Stores ACKT or ACKS and tells every field of the record (`wire-and-server` 4.5).
    pub(crate) fn acknowledge(&mut self, handle: PvHandle, change: impl FnOnce(&mut Record)) {
        let Some(record) = self.record_mut(handle) else {
            return;
        };
        let before = record.snapshot.ack;
        change(record);
        if record.snapshot.ack != before {
            self.post_fields(handle, EventMask::ALARM, |_| true);
            self.post_fields(handle, EventMask::VALUE, |field| {
                matches!(field, Field::Acks | Field::Ackt)
            });
        }
    }
}

impl Record {
    fn process(&mut self, value: Option<Value>, raised: Alarm) -> Changes {
        let before = number_of(self.snapshot.value.as_ref());
        let length = self.snapshot.value.count();
        let mut same = true;
        if let Some(value) = value {
            // Arrays are always posted; comparing them would cost more.
            same = !self.is_array() && self.snapshot.value == value;
            self.snapshot.value = value;
            self.undefined = false;
        }
        let alarm = self.current_alarm(raised);
        let old = std::mem::replace(&mut self.snapshot.alarm, alarm);
        let mut changes = Changes {
            value: self.value_events(before, same),
            severity: alarm.severity != old.severity,
            status: alarm.status != old.status,
            ack: false,
            length: self.snapshot.value.count() != length,
        };
        if alarm != old {
            changes.value = changes.value | EventMask::ALARM;
            changes.ack = self.raise_ack(alarm.severity);
        }
        changes
    }

    /// Follows a new severity with the one to acknowledge (`recGblResetAlarms`).
    fn raise_ack(&mut self, severity: AlarmSeverity) -> bool {
        let ack = &mut self.snapshot.ack;
        if !ack.transient || severity >= ack.severity {
            return std::mem::replace(&mut ack.severity, severity) != severity;
        }
        false
    }

    fn current_alarm(&mut self, raised: Alarm) -> Alarm {
        if self.undefined {
            return Alarm::UNDEFINED;
        }
        let value = number_of(self.snapshot.value.as_ref());
        let (numeric, native) = (self.kind.is_numeric(), self.native());
        let not_a_number = value.is_some_and(f64::is_nan) && numeric;
        let Some(extra) = &mut self.extra else {
            let own = if not_a_number {
                Alarm::UNDEFINED
            } else {
                Alarm::NONE
            };
            return worse(raised, own);
        };
        let own = match value {
            Some(value) if numeric => check_limits(
                value,
                &self.snapshot.meta.limits,
                &extra.severities,
                extra.hysteresis,
                &mut extra.last_alarm,
            ),
            Some(index) if native == NativeType::Enum && !self.kind.is_array() => {
                match extra.state_severities.get(index as usize) {
                    Some(&severity) if severity != AlarmSeverity::NO_ALARM => {
                        Alarm::new(AlarmStatus::STATE, severity)
                    }
                    _ => Alarm::NONE,
                }
            }
            _ => Alarm::NONE,
        };
        worse(worse(raised, extra.forced), own)
    }

    /// Which events a change of the value is, by its dead-bands.
    fn value_events(&mut self, before: Option<f64>, same: bool) -> EventMask {
        let after = number_of(self.snapshot.value.as_ref());
        let (Some(before), Some(after), true) = (before, after, self.kind.is_numeric()) else {
            return if same { NOTHING } else { VALUE_AND_LOG };
        };
        let Some(extra) = &mut self.extra else {
            let posted = differs(before, after);
            return if posted { VALUE_AND_LOG } else { NOTHING };
        };
        let mut events = NOTHING;
        if extra.value_band.passes(before, after) {
            events = events | EventMask::VALUE;
        }
        if extra.archive_band.passes(before, after) {
            events = events | EventMask::LOG;
        }
        events
    }

    /// Stores PUT_ACKT: with `false` the severity to acknowledge falls to the current one.
    pub(crate) fn set_ack_transient(&mut self, transient: bool) {
        let (ack, severity) = (&mut self.snapshot.ack, self.snapshot.alarm.severity);
        ack.transient = transient;
        if !transient && ack.severity > severity {
            ack.severity = severity;
        }
    }

    /// Carries out PUT_ACKS: alarms up to this severity are acknowledged.
    pub(crate) fn acknowledge(&mut self, severity: AlarmSeverity) {
        if severity >= self.snapshot.ack.severity {
            self.snapshot.ack.severity = AlarmSeverity::NO_ALARM;
        }
    }
}
