//! The `int64out` record: an output of 64 bits (`int64outRecord.c`, `devI64outSoft.c` of EPICS Base).

use super::integers::integer_output;
use super::prelude::*;

integer_output!(
    int64,
    outlink().interest(1),
    menu("menuAlarmSevr").pp().interest(1),
    Int64,
    i64,
    as_i64,
    check_wide,
    monitor_wide,
    beside {}
    levels levels
);

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "int64out",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

fn write(cx: &mut Cx<'_>) {
    let val = cx.get(VAL);
    cx.want_put(OUT, val);
}

/// Those without a severity too, unlike in other record types.
fn levels(view: &View<'_>, meta: &mut Meta) {
    meta.alarm = [view.f64(LOLO), view.f64(LOW), view.f64(HIGH), view.f64(HIHI)];
}
