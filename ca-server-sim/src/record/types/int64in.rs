//! The `int64in` record: an input of 64 bits (`int64inRecord.c`, `devI64inSoft.c` of EPICS Base).

use super::integers::integer_input;
use super::prelude::*;

integer_input!(
    int64,
    menu("menuAlarmSevr").pp().interest(1),
    Int64,
    check_wide,
    monitor_wide,
    levels
);

/// Those without a severity too, unlike in other record types.
fn levels(view: &View<'_>, meta: &mut Meta) {
    meta.alarm = [view.f64(LOLO), view.f64(LOW), view.f64(HIGH), view.f64(HIHI)];
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "int64in",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};
