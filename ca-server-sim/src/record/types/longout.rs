//! The `longout` record: an integer output (`longoutRecord.c`, `devLoSoft*.c` of EPICS Base).

use super::integers::integer_output;
use super::prelude::*;

integer_output!(
    long,
    outlink().special(Mod).interest(1),
    menu("menuAlarmSevr").pp().prop().interest(1),
    Long,
    i32,
    as_i32,
    check,
    monitor_integer,
    beside {
        PVAL => long(),
        OUTPVT => noaccess().special(NoMod).interest(4),
        OOCH => menu("menuYesNo").initial("1").interest(1),
        OOPT => menu("longoutOOPT").initial("0").interest(1),
    }
    start start
    written written
    levels levels
);

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "longout",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

/// Whether it writes whatever OOPT says: at first, and after OUT was changed.
const FRESH: u16 = OUTPVT;

fn start(cx: &mut Cx<'_>) {
    cx.copy(VAL, PVAL);
    cx.set(FRESH, Val::UChar(1));
}

/// As OOPT says (`conditional_write`).
fn write(cx: &mut Cx<'_>) {
    let (new, old) = (cx.i32(VAL), cx.i32(PVAL));
    let writes = match cx.u16(OOPT) {
        0 => true,
        1 => new != old || cx.get(FRESH) != Val::None,
        2 => new == 0,
        3 => new != 0,
        4 => new == 0 && old != 0,
        5 => new != 0 && old == 0,
        _ => false,
    };
    if writes {
        cx.want_put(OUT, new);
    }
    cx.copy(VAL, PVAL);
    cx.set(FRESH, Val::None);
}

fn written(cx: &mut Cx<'_>, field: u16, after: bool) {
    if field == OUT && after && cx.u16(OOCH) == 1 {
        cx.set(FRESH, Val::UChar(1));
    }
}

fn levels(view: &View<'_>, meta: &mut Meta) {
    limits::alarm_levels(view, &LIMITS, meta);
}
