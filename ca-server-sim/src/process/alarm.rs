//! Alarms, dead-bands and time stamps of records (`recGbl.c` of EPICS Base).

use ca_proto::wire::message::EventMask;

use super::database::Records;
use crate::record::{FieldSet, Id, Val, common};

/// The texts of alarms.
const MESSAGES: FieldSet = FieldSet::of(&[common::AMSG, common::NAMSG]);

impl Records {
    /// Raises an alarm that counts from the end of processing on, unless a worse one was raised
    /// (`recGblSetSevrMsg`).
    pub(super) fn set_severity(&mut self, id: Id, stat: u8, sevr: u8, message: &str) {
        let record = self.record_mut(id);
        if record.nsev < sevr {
            record.nsta = stat;
            record.nsev = sevr;
            let end = message.len().min(39);
            self.store_val(id, common::NAMSG, Val::text(&message.as_bytes()[..end]));
        }
    }

    /// The alarms that were raised count from now on; what has to be told of it with the value
    /// (`recGblResetAlarms`).
    pub(super) fn reset_alarms(&mut self, id: Id) -> EventMask {
        if let Some(&(stat, sevr)) = self.forced.get(&id) {
            self.set_severity(id, stat, sevr, "");
        }
        let record = self.record_mut(id);
        let (old_stat, old_sevr) = (record.stat, record.sevr);
        record.stat = std::mem::take(&mut record.nsta);
        record.sevr = std::mem::take(&mut record.nsev).min(3);
        let (stat, sevr) = (record.stat, record.sevr);
        let mut mask = EventMask(0);
        if self.move_message(id) {
            mask = EventMask::ALARM;
        }
        if old_sevr != sevr {
            mask = EventMask::ALARM;
            self.post(id, common::SEVR, EventMask::VALUE);
        }
        if old_stat != stat {
            mask = mask.union(EventMask::VALUE);
        }
        if mask.0 == 0 {
            return mask;
        }
        self.post(id, common::STAT, mask);
        self.post(id, common::AMSG, mask);
        let record = self.record_mut(id);
        if !record.ackt || sevr >= record.acks {
            record.acks = sevr;
            self.post(id, common::ACKS, EventMask::VALUE);
        }
        EventMask::ALARM
    }

    /// NAMSG becomes AMSG, and is empty then; whether it is another one. One that is the same stays, as in
    /// EPICS Base 7.0.10.
    fn move_message(&mut self, id: Id) -> bool {
        let record = self.record(id);
        if record.fields.lacks(&MESSAGES) {
            return false;
        }
        let new = record
            .fields
            .get(common::NAMSG)
            .map_or(b"".as_slice(), Val::as_text);
        let old = record
            .fields
            .get(common::AMSG)
            .map_or(b"".as_slice(), Val::as_text);
        // Most are empty.
        if new.len() == old.len() && (new.is_empty() || new == old) {
            return false;
        }
        let new = Val::text(new);
        self.store_val(id, common::AMSG, new);
        self.store_val(id, common::NAMSG, Val::text(""));
        true
    }
}

/// Whether a value left the dead-band around the last one that was told (`recGblCheckDeadband`).
pub(super) fn leaves_band(old: f64, new: f64, band: f64) -> bool {
    let distance = if new.is_finite() && old.is_finite() {
        (old - new).abs()
    } else if new.is_nan() != old.is_nan()
        || new.is_infinite() != old.is_infinite()
        || new.is_infinite() && new != old
    {
        f64::INFINITY
    } else {
        0.0
    };
    distance > band
}
