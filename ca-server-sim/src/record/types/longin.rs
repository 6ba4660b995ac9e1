//! The `longin` record: an integer input (`longinRecord.c`, `devLiSoft*.c` of EPICS Base).

use super::integers::integer_input;
use super::prelude::*;

integer_input!(
    long,
    menu("menuAlarmSevr").pp().prop().interest(1),
    Long,
    check,
    monitor_integer,
    levels
);

fn levels(view: &View<'_>, meta: &mut Meta) {
    limits::alarm_levels(view, &LIMITS, meta);
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "longin",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant), ("General Time", DeviceAddress::Instrument)],
    support: &SUPPORT,
};
