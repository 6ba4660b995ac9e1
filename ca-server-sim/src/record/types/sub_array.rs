//! The `subArray` record: a part of an array (`subArrayRecord.c`, `devSASoft.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => noaccess().asl0().special(DbAddr).pp(),
    PREC => short().prop().interest(1),
    FTVL => menu("menuFtype").special(NoMod).interest(1),
    INP => inlink().interest(1),
    EGU => string(16).prop().interest(1),
    HOPR => double().prop().interest(1),
    LOPR => double().prop().interest(1),
    MALM => ulong().special(NoMod).prop().initial("1").interest(1),
    NELM => ulong().pp().initial("1"),
    INDX => ulong().pp(),
    BUSY => short().special(NoMod),
    NORD => long().special(NoMod),
    BPTR => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "subArray",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    prepare,
    init,
    process,
    array,
    stored,
    meta,
    ..Support::HOLDER
};

use super::waveform::{element, tell_count};

fn prepare(cx: &mut Cx<'_>) {
    let most = cx.u32(MALM).max(1);
    cx.set(MALM, most);
    if cx.u32(NELM) > most {
        cx.set(NELM, most);
    }
}

fn init(cx: &mut Cx<'_>) {
    let (dbf, count) = wanted(cx);
    if let Some(val) = cx.constant_array(INP, dbf, count) {
        subset(cx, &val);
    }
}

/// The type, and how many elements are read: up to the last one that is kept.
fn wanted(cx: &Cx<'_>) -> (Dbf, usize) {
    let count = cx.u32(INDX).saturating_add(cx.u32(NELM)).min(cx.u32(MALM));
    (element(cx.u16(FTVL)), count as usize)
}

/// Keeps the elements from INDX on (`subset`).
fn subset(cx: &mut Cx<'_>, all: &Val) {
    let (dbf, _) = wanted(cx);
    let (first, count) = (cx.u32(INDX) as usize, cx.u32(NELM) as usize);
    if let Val::Array(all) = all {
        let kept = all.iter().skip(first);
        if let Ok(kept) = Array::collect(kept, dbf, count, &Conversion::PLAIN) {
            cx.set(NORD, kept.len() as i32);
            cx.set(VAL, kept);
        }
    }
    cx.set_udf(false);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let old = cx.i32(NORD);
    if stage == 0 {
        let most = cx.u32(MALM);
        if cx.u32(NELM) > most {
            cx.set(NELM, most);
        }
        if cx.u32(INDX) >= most {
            cx.set(INDX, most - 1);
        }
        let (dbf, count) = wanted(cx);
        if !cx.is_constant(INP) {
            cx.want_array(INP, dbf, count);
            return Flow::Then(1);
        }
        let val = cx.constant_array(INP, dbf, count).unwrap_or_else(|| cx.get(VAL));
        subset(cx, &val);
    }
    let mut valid = true;
    if stage == 1 {
        match cx.got().first().cloned() {
            Some(Got::Val(val)) => {
                subset(cx, &val);
                cx.time_of_device(INP);
            }
            _ => {
                valid = false;
                // An undefined record shows no elements (`get_array_info`).
                cx.set(VAL, Array::empty(element(cx.u16(FTVL))));
            }
        }
    }
    if valid && cx.i32(NORD) != old {
        cx.post(NORD, EventMask::VALUE.union(EventMask::LOG));
    }
    valid &= cx.i32(NORD) > 0;
    cx.timestamp();
    cx.set_udf(!valid);
    cx.check_undefined();
    let mask = cx.reset_alarms();
    cx.post(VAL, mask.union(EventMask::VALUE).union(EventMask::LOG));
    Flow::Done
}

fn array(view: &View<'_>, field: u16) -> Option<ArrayShape> {
    (field == VAL).then(|| ArrayShape {
        dbf: element(view.u16(FTVL)),
        capacity: view.get(MALM).as_u32() as usize,
    })
}

fn stored(cx: &mut Cx<'_>, _: u16, count: usize) {
    tell_count(cx, NORD, count);
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    let text = matches!(element(view.u16(FTVL)), Dbf::String | Dbf::Enum);
    if field == VAL && !text || matches!(field, HOPR | LOPR) {
        meta.units = view.text(EGU).into();
    }
    meta.precision = Some(limits::precision(view, field, field == VAL, view.i32(PREC) as i16));
    let most = view.f64(MALM);
    let range = match field {
        VAL => (view.f64(LOPR), view.f64(HOPR)),
        INDX => (0.0, most - 1.0),
        NELM | NORD => (0.0, most),
        BUSY => (0.0, 1.0),
        _ => return limits::type_range(view, field, meta),
    };
    meta.display = range;
    meta.control = if field == NELM { (1.0, most) } else { range };
}
