//! Alarms, time, and what subscribers are told.

use std::time::Duration;

use ca_proto::Timestamp;
use ca_proto::wire::message::EventMask;

use super::{Cx, Got};
use crate::process::alarm::leaves_band;
use crate::record::{Dbf, FieldSet, common};

/// Without these a record has the time at which it was processed.
const STAMP: FieldSet = FieldSet::of(&[common::TSE, common::TSEL]);

impl Cx<'_> {
    /// Raises an alarm, unless a worse one was raised (`recGblSetSevr`); whether it was.
    pub fn alarm(&mut self, stat: u16, sevr: u16) -> bool {
        self.alarm_with(stat, sevr, "")
    }

    /// Raises an alarm with a message.
    pub fn alarm_with(&mut self, stat: u16, sevr: u16, message: &str) -> bool {
        let raised = u16::from(self.nsev()) < sevr;
        self.records
            .set_severity(self.id, stat as u8, sevr.min(255) as u8, message);
        raised
    }

    /// Raises the alarm of a record that has no value, if it has none; whether that is so.
    pub fn check_undefined(&mut self) -> bool {
        let record = self.record();
        let (undefined, severity) = (record.udf != 0, record.udfs);
        if undefined {
            self.alarm(17, severity.into());
        }
        undefined
    }

    /// The same for record types to which a UDF that is neither yes nor no is a value (`udf == TRUE`).
    pub fn check_undefined_strictly(&mut self) -> bool {
        self.record().udf == 1 && self.check_undefined()
    }

    /// What was raised counts from now on; what of it has to be told with the value
    /// (`recGblResetAlarms`).
    pub fn reset_alarms(&mut self) -> EventMask {
        self.records.reset_alarms(self.id)
    }

    /// Adds to a mask if a value left the dead-band around the last one that was told, which it then
    /// becomes (`recGblCheckDeadband`).
    pub fn check_band(
        &mut self,
        last: u16,
        value: f64,
        band: u16,
        mask: &mut EventMask,
        add: EventMask,
    ) {
        if leaves_band(self.f64(last), value, self.f64(band)) {
            *mask = mask.union(add);
            self.set(last, value);
        }
    }

    /// Stamps the record with the time that TSE and TSEL say (`recGblGetTimeStamp`).
    pub fn timestamp(&mut self) {
        self.timestamp_from(None);
    }

    /// The same in simulation mode, where a time of the device is that of SIOL's record.
    pub fn timestamp_simulated(&mut self, simm: u16, siol: Option<u16>) {
        self.timestamp_from((simm != 0).then_some(siol));
    }

    fn timestamp_from(&mut self, simulated: Option<Option<u16>>) {
        if self.lacks(&STAMP) {
            self.record_mut().time = self.records.clock;
            return;
        }
        if !self.is_constant(common::TSEL) {
            if self.copies_time(common::TSEL) {
                return;
            }
            if let Got::Val(event) = self.records.read_link(self.id, common::TSEL, Dbf::Short) {
                self.set(common::TSE, event);
            }
        }
        let clock = self.records.clock;
        match self.i32(common::TSE) as i16 {
            0 | -1 => self.record_mut().time = clock,
            -2 => match simulated {
                Some(Some(siol)) if !self.is_constant(siol) => {
                    if let Some((id, _)) = self.linked(siol) {
                        self.record_mut().time = self.records.record(id).time;
                    }
                }
                Some(_) => self.record_mut().time = clock,
                None => {}
            },
            event => {
                if let Some(time) = self.records.event_time(event) {
                    self.record_mut().time = time;
                }
            }
        }
    }

    /// TSEL leads to the TIME of a record.
    fn copies_time(&mut self, link: u16) -> bool {
        match self.linked(link) {
            Some((id, common::TIME)) => {
                self.record_mut().time = self.records.record(id).time;
                let tag = self.records.get(id, common::UTAG);
                self.set(common::UTAG, tag);
                true
            }
            _ => false,
        }
    }

    /// Takes over the time of the record that a link leads to, if TSE says that the device knows it.
    pub fn time_of_device(&mut self, link: u16) {
        if self.i32(common::TSE) == -2
            && self.is_constant(common::TSEL)
            && let Some((id, _)) = self.linked(link)
        {
            let seen = self
                .records
                .seen
                .get(&(self.id, link))
                .map(|seen| seen.time);
            self.record_mut().time = seen.unwrap_or_else(|| self.records.record(id).time);
        } else if self.i32(common::TSE) == -2
            && self.is_constant(common::TSEL)
            && let Some(name) = self.records.remote_name(self.id, link)
            && let Some(time) = self.records.remote_time(&name)
        {
            self.record_mut().time = time;
        }
    }

    /// Stamps the record with this time.
    pub fn set_time(&mut self, time: Timestamp) {
        self.record_mut().time = time;
    }

    /// Tells subscribers of a field (`db_post_events`).
    pub fn post(&mut self, field: u16, mask: EventMask) {
        self.records.post(self.id, field, mask);
    }

    /// Tells subscribers of VAL, if there is something to tell.
    pub fn post_value(&mut self, mask: EventMask) {
        self.records.post_value(self.id, mask);
    }

    /// Calls the `callback` of the record's type after a time, in place of the one that was asked for
    /// before.
    pub fn call_back(&mut self, after: Duration) {
        self.records.set_callback(self.id, after);
    }

    /// Makes the record active for good, or takes that back (PACT).
    pub fn set_pact(&mut self, active: bool) {
        self.record_mut().pact = active;
    }

    /// Processes the record, from a callback.
    pub fn process(&mut self) {
        self.records.process(self.id);
    }

    /// Posts an event, for which records wait with SCAN `Event`.
    pub fn post_event(&mut self, name: &str) {
        self.records.post_event(name);
    }

    /// SCAN becomes another one (`recGblCheckSimm`).
    pub(in crate::process) fn swap_scan(&mut self, with: u16) {
        let other = self.u16(with);
        let scan = self.record().scan;
        self.records.scan_delete(self.id);
        self.record_mut().scan = other;
        self.records.scan_add(self.id);
        self.set_u16(with, scan);
    }
}
