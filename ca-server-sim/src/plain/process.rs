//! Processing of a record: alarms, time stamp, and what is posted to whom.

use ca_proto::dbr::{Value, ValueRef};
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, Instant};

use crate::alarm::{check_limits, worse};
use crate::db::{Db, PvHandle};
use crate::deadband::differs;
use crate::faults::Taken;
use crate::field::Field;
use crate::fields::number_of;
use crate::plain::{Record, RecordType};
use crate::publish::{Fields, Post};

/// What a processing changed.
pub(crate) struct Changes {
    /// Events of the value field; empty for nothing to post.
    value: EventMask,
    severity: bool,
    status: bool,
    ack: bool,
    length: bool,
}

/// Which fields an acknowledgement has written.
pub(crate) struct Acknowledged {
    transient: bool,
    severity: bool,
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
        let value = match self.overseers.faulty.is_some() {
            false => value,
            true => match self.taken(handle, value) {
                Taken::Nothing => return,
                Taken::Value(value) => value,
            },
        };
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

    /// Does at once what a put comes to if the record is a number, and what is written is one of its
    /// type within its drive limits: no conversion, no hook, no completion that takes time, no put
    /// under way. `false` if anything is different; nothing is done then.
    pub(crate) fn put_number(
        &mut self,
        now: Instant,
        handle: PvHandle,
        value: &ValueRef<'_>,
    ) -> bool {
        let stamp = self.clock.stamp(now);
        let Some(record) = self.record_mut(handle) else {
            return false;
        };
        if !record.kind.is_numeric() || record.extra.as_ref().is_some_and(|e| e.delays_puts()) {
            return false;
        }
        let before = number_of(record.snapshot.value.as_ref());
        let (Some(before), Some(after)) = (before, number_of(*value)) else {
            return false;
        };
        if record.is_beyond_drive(after) || !record.snapshot.value.set_scalar(*value) {
            return false;
        }
        record.snapshot.stamp = stamp;
        // Fields that are watched may follow, such as the severity of a value that was undefined.
        if record.extra.is_some() || record.watched > 0 {
            let changes = record.changed(Some(before), 1, false, Alarm::NONE);
            if record.open > 0 {
                self.post_changes(handle, &changes);
            }
            return true;
        }
        let events = record.number_changed(before, after);
        if events != NOTHING && !record.subs.is_empty() {
            self.posts
                .push(Post::new(handle, Fields::Only(Field::Val), events));
        }
        true
    }

    fn post_changes(&mut self, handle: PvHandle, changes: &Changes) {
        // Every other field is a view.
        if self.record(handle).is_some_and(|record| record.watched > 0) {
            self.post_alarm_fields(handle, changes);
        }
        if changes.value != NOTHING {
            self.post_fields(handle, changes.value, Fields::Only(Field::Val));
        }
    }

    /// Fields that follow the alarm and the length; they are posted before the value, in this
    /// order (`recGblResetAlarms`, verified on the wire).
    fn post_alarm_fields(&mut self, handle: PvHandle, changes: &Changes) {
        let mut stat = NOTHING;
        if changes.severity {
            stat = stat | EventMask::ALARM;
        }
        if changes.status {
            stat = stat | EventMask::VALUE;
        }
        let value = |changed| if changed { EventMask::VALUE } else { NOTHING };
        let fields = [
            (Field::Sevr, value(changes.severity)),
            (Field::Stat, stat),
            (Field::Acks, value(changes.ack)),
            (
                Field::Nord,
                if changes.length {
                    VALUE_AND_LOG
                } else {
                    NOTHING
                },
            ),
        ];
        for (field, mask) in fields {
            if mask != NOTHING {
                self.post_fields(handle, mask, Fields::Only(field));
            }
        }
    }

    /// Stores ACKT or ACKS and tells every field of the record, after the field itself
    /// (`recGblResetAlarms` of EPICS Base, order verified on the wire).
    pub(crate) fn acknowledge(
        &mut self,
        handle: PvHandle,
        change: impl FnOnce(&mut Record) -> Option<Acknowledged>,
    ) {
        let Some(record) = self.record_mut(handle) else {
            return;
        };
        let Some(done) = change(record) else { return };
        if done.transient {
            self.post_fields(handle, EventMask::VALUE, Fields::Only(Field::Ackt));
        }
        if done.severity {
            self.post_fields(handle, EventMask::VALUE, Fields::Only(Field::Acks));
        }
        self.post_fields(handle, EventMask::ALARM, Fields::All);
    }
}

/// The alarm of a state (`checkAlarms` of the record types, verified on the wire): a two-state output
/// takes all but 0 for 1, a multi-state output knows no state above 15.
fn state_alarm(kind: RecordType, index: usize, severities: &[AlarmSeverity]) -> Alarm {
    let index = match kind {
        RecordType::MbbO if index > 15 => {
            return Alarm::new(AlarmStatus::SOFT, AlarmSeverity::INVALID);
        }
        RecordType::Bo => index.min(1),
        RecordType::Bi | RecordType::MbbI | RecordType::MbbO => index,
        _ => return Alarm::NONE,
    };
    match severities.get(index) {
        Some(&severity) if severity != AlarmSeverity::NO_ALARM => {
            Alarm::new(AlarmStatus::STATE, severity)
        }
        _ => Alarm::NONE,
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
        } else if let Some(driven) = self.driven() {
            // A drive limit has changed.
            same = false;
            self.snapshot.value = driven;
        }
        self.changed(before, length, same, raised)
    }

    /// What follows from a value that is stored already: alarm and events. `before` is the number and
    /// `length` the count that was there.
    fn changed(&mut self, before: Option<f64>, length: u32, same: bool, raised: Alarm) -> Changes {
        self.undefined = false;
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

    /// What [`process`](Self::process) does for a new number of a record without extras.
    fn number_changed(&mut self, before: f64, after: f64) -> EventMask {
        self.undefined = false;
        let posted = differs(before, after);
        let mut events = if posted { VALUE_AND_LOG } else { NOTHING };
        let alarm = match after.is_nan() {
            true => Alarm::UNDEFINED,
            false => Alarm::NONE,
        };
        if alarm != self.snapshot.alarm {
            self.snapshot.alarm = alarm;
            events = events | EventMask::ALARM;
            self.raise_ack(alarm.severity);
        }
        events
    }

    /// Follows a new severity with the one to acknowledge, which is posted even if it stays the
    /// same (`recGblResetAlarms`, verified on the wire).
    fn raise_ack(&mut self, severity: AlarmSeverity) -> bool {
        let ack = &mut self.snapshot.ack;
        let raised = !ack.transient || severity >= ack.severity;
        if raised {
            ack.severity = severity;
        }
        raised
    }

    fn current_alarm(&mut self, raised: Alarm) -> Alarm {
        if self.undefined {
            return Alarm::UNDEFINED;
        }
        let value = number_of(self.snapshot.value.as_ref());
        let (numeric, kind) = (self.kind.is_numeric(), self.kind);
        let not_a_number = value.is_some_and(f64::is_nan) && numeric;
        let Some(extra) = &mut self.extra else {
            let own = match value {
                _ if not_a_number => Alarm::UNDEFINED,
                Some(index) => state_alarm(kind, index as usize, &[]),
                None => Alarm::NONE,
            };
            return worse(raised, own);
        };
        let own = match value {
            Some(value) if numeric => check_limits(
                value,
                &extra.limits,
                &extra.severities,
                extra.hysteresis,
                &mut extra.last_alarm,
            ),
            Some(index) => state_alarm(kind, index as usize, &extra.state_severities),
            None => Alarm::NONE,
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
    pub(crate) fn set_ack_transient(&mut self, transient: bool) -> Option<Acknowledged> {
        let (ack, current) = (&mut self.snapshot.ack, self.snapshot.alarm.severity);
        if ack.transient == transient {
            return None;
        }
        ack.transient = transient;
        let falls = !transient && ack.severity > current;
        if falls {
            ack.severity = current;
        }
        Some(Acknowledged {
            transient: true,
            severity: falls,
        })
    }

    /// Carries out PUT_ACKS: alarms up to this severity are acknowledged.
    pub(crate) fn acknowledge(&mut self, severity: AlarmSeverity) -> Option<Acknowledged> {
        if severity < self.snapshot.ack.severity {
            return None;
        }
        self.snapshot.ack.severity = AlarmSeverity::NO_ALARM;
        Some(Acknowledged {
            transient: false,
            severity: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ca_proto::AlarmSeverity;
    use ca_proto::server::Database as _;

    use super::*;
    use crate::{Ioc, PvSpec};

    fn takes_the_short_way(ioc: &mut Ioc, value: f64) -> bool {
        let x = ioc.handle("x").expect("it was added");
        let taken = ioc
            .db
            .put_number(Instant::ZERO, x, &Value::scalar(value).as_ref());
        assert_eq!(ioc.number("x").unwrap() == value, taken);
        taken
    }

    fn of(spec: PvSpec) -> Ioc {
        Ioc::builder().pv("x", spec).build().expect("valid")
    }

    #[test]
    fn numbers_take_the_short_way_whatever_describes_the_pv() {
        let x = || PvSpec::double(0.0);
        for spec in [
            x(),
            x().description("stage").units("millimeters"),
            x().alarm(-900.0, 900.0).warning(-5.0, 5.0).hysteresis(2.0),
            x().value_deadband(0.5).archive_deadband(3.0),
            x().control(-1000.0, 1000.0),
        ] {
            let described = format!("{spec:?}");
            assert!(takes_the_short_way(&mut of(spec), 109.0), "{described}");
        }
    }

    #[test]
    fn an_opened_field_leaves_numbers_their_short_way() {
        let mut ioc = of(PvSpec::double(0.0));
        let mut opened = Vec::new();
        for (at, field) in ["x.EGU", "x.DESC", "x.HIHI", "x.SEVR"]
            .into_iter()
            .enumerate()
        {
            opened.push(ioc.db.open(field.as_bytes()).expect("the field exists"));
            assert!(takes_the_short_way(&mut ioc, 1.0 + at as f64), "{field}");
        }
        opened.into_iter().for_each(|field| ioc.db.close(field));
        assert!(takes_the_short_way(&mut ioc, 9.0));
    }

    #[test]
    fn what_a_put_has_to_ask_or_wait_for_goes_the_long_way() {
        let x = || PvSpec::double(0.0);
        for spec in [
            x().validated(|_| true),
            x().completes_never(),
            x().completes_after(Duration::from_secs(1)),
            x().control(-5.0, 5.0),
        ] {
            let described = format!("{spec:?}");
            assert!(!takes_the_short_way(&mut of(spec), 109.0), "{described}");
        }
        let states = PvSpec::enumeration(["Off", "On"], 0).state_severities([AlarmSeverity::MAJOR]);
        assert!(!takes_the_short_way(&mut of(states), 1.0));
    }
}
