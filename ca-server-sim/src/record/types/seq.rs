//! The `seq` record: moves values one after another, with delays (`seqRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => long().asl0().pp(),
    SELM => menu("seqSELM").interest(1),
    SELN => ushort().initial("1").interest(1),
    SELL => inlink().interest(1),
    OFFS => short().initial("0").interest(1),
    SHFT => short().initial("-1").interest(1),
    OLDN => ushort().interest(4),
    PREC => short().interest(1),
    DLY0 => double().interest(1),
    DOL0 => inlink().interest(1),
    DO0 => double().interest(1),
    LNK0 => outlink().interest(1),
    DLY1 => double().interest(1),
    DOL1 => inlink().interest(1),
    DO1 => double().interest(1),
    LNK1 => outlink().interest(1),
    DLY2 => double().interest(1),
    DOL2 => inlink().interest(1),
    DO2 => double().interest(1),
    LNK2 => outlink().interest(1),
    DLY3 => double().interest(1),
    DOL3 => inlink().interest(1),
    DO3 => double().interest(1),
    LNK3 => outlink().interest(1),
    DLY4 => double().interest(1),
    DOL4 => inlink().interest(1),
    DO4 => double().interest(1),
    LNK4 => outlink().interest(1),
    DLY5 => double().interest(1),
    DOL5 => inlink().interest(1),
    DO5 => double().interest(1),
    LNK5 => outlink().interest(1),
    DLY6 => double().interest(1),
    DOL6 => inlink().interest(1),
    DO6 => double().interest(1),
    LNK6 => outlink().interest(1),
    DLY7 => double().interest(1),
    DOL7 => inlink().interest(1),
    DO7 => double().interest(1),
    LNK7 => outlink().interest(1),
    DLY8 => double().interest(1),
    DOL8 => inlink().interest(1),
    DO8 => double().interest(1),
    LNK8 => outlink().interest(1),
    DLY9 => double().interest(1),
    DOL9 => inlink().interest(1),
    DO9 => double().interest(1),
    LNK9 => outlink().interest(1),
    DLYA => double().interest(1),
    DOLA => inlink().interest(1),
    DOA => double().interest(1),
    LNKA => outlink().interest(1),
    DLYB => double().interest(1),
    DOLB => inlink().interest(1),
    DOB => double().interest(1),
    LNKB => outlink().interest(1),
    DLYC => double().interest(1),
    DOLC => inlink().interest(1),
    DOC => double().interest(1),
    LNKC => outlink().interest(1),
    DLYD => double().interest(1),
    DOLD => inlink().interest(1),
    DOD => double().interest(1),
    LNKD => outlink().interest(1),
    DLYE => double().interest(1),
    DOLE => inlink().interest(1),
    DOE => double().interest(1),
    LNKE => outlink().interest(1),
    DLYF => double().interest(1),
    DOLF => inlink().interest(1),
    DOF => double().interest(1),
    LNKF => outlink().interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "seq",
    fields: FIELDS,
    devices: &[],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    meta,
    ..Support::HOLDER
};

use std::time::Duration;

/// Groups of links there are, of four fields each.
const GROUPS: u16 = 16;
const DLY: u16 = DLY0;
const SIZE: u16 = 4;
/// The groups that are still to be done, a bit for each.
const LEFT: u16 = common::DPVT;

fn init(cx: &mut Cx<'_>) {
    cx.load(SELL, SELN);
    for n in 0..GROUPS {
        cx.load(DOL0 + n * SIZE, DO0 + n * SIZE);
    }
    cx.copy(SELN, OLDN);
}

/// Stages: 0 begins, 1 has SELL; 2 has waited for a group, 3 has its value, 4 has written it.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 if cx.u16(SELM) == 0 => begin(cx, u16::MAX),
        0 => {
            cx.want_into(SELL, SELN);
            Flow::Then(1)
        }
        1 => match selected(cx) {
            Some(mask) => begin(cx, mask),
            None => {
                cx.alarm(stat::SOFT, 3);
                finish(cx)
            }
        },
        2 => {
            let n = current(cx);
            cx.want(DOL0 + n * SIZE, Dbf::Double);
            Flow::Then(3)
        }
        3 => {
            let n = current(cx);
            let field = DO0 + n * SIZE;
            let old = cx.f64(field);
            if let Some(Got::Val(val)) = cx.got().first().cloned() {
                cx.set(field, val);
            }
            cx.timestamp();
            // Told behind the write, in the next stage.
            cx.set(common::SPVT, Val::UChar((old != cx.f64(field)).into()));
            let val = cx.get(field);
            cx.want_put(LNK0 + n * SIZE, val);
            Flow::Then(4)
        }
        _ => {
            let n = current(cx);
            if cx.get(common::SPVT) == Val::UChar(1) {
                cx.post(DO0 + n * SIZE, EventMask::VALUE.union(EventMask::LOG));
            }
            let left = cx.get(LEFT).as_u16();
            next(cx, left & !(1 << n))
        }
    }
}

/// The groups that SELN and SELM choose.
fn selected(cx: &Cx<'_>) -> Option<u16> {
    let number = cx.u16(SELN);
    match cx.u16(SELM) {
        1 => {
            let place = i32::from(number) + cx.i32(OFFS);
            u32::try_from(place).ok().and_then(|place| 1u16.checked_shl(place))
        }
        2 => match cx.i32(SHFT) {
            shift @ 0..=15 => Some(number >> shift),
            shift @ -15..=-1 => Some(number << -shift),
            _ => None,
        },
        _ => None,
    }
}

fn begin(cx: &mut Cx<'_>, mask: u16) -> Flow {
    let used = |n: u16| {
        !cx.is_constant(LNK0 + n * SIZE) || !cx.is_constant(DOL0 + n * SIZE)
    };
    let left = (0..GROUPS).filter(|&n| mask & (1 << n) != 0 && used(n)).fold(0, |all, n| all | 1 << n);
    next(cx, left)
}

/// The next group, after its delay: in a callback, so that others have their turn.
fn next(cx: &mut Cx<'_>, left: u16) -> Flow {
    cx.set(LEFT, Val::UShort(left));
    if left == 0 {
        return finish(cx);
    }
    let delay = cx.f64(DLY + current(cx) * SIZE);
    Flow::Wait(Duration::try_from_secs_f64(delay.max(0.0)).unwrap_or(Duration::MAX), 2)
}

fn current(cx: &Cx<'_>) -> u16 {
    (cx.get(LEFT).as_u16().trailing_zeros() as u16).min(GROUPS - 1)
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.set_udf(false);
    cx.timestamp();
    let mask = cx.reset_alarms();
    cx.post(VAL, mask);
    if cx.u16(SELN) != cx.u16(OLDN) {
        cx.post(SELN, mask.union(EventMask::VALUE).union(EventMask::LOG));
        cx.copy(SELN, OLDN);
    }
    Flow::Done
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    limits::type_range(view, field, meta);
    let prec = view.i32(PREC) as i16;
    meta.precision = Some(limits::precision(view, field, false, prec));
    let Some(offset) = field.checked_sub(DLY0) else {
        return;
    };
    // Of a link nothing is asked (`dbGet`).
    if view.of().field(field).dbf != Dbf::Double {
        return;
    }
    if offset & 2 == 0 {
        meta.units = b"s".as_slice().into();
        meta.precision = Some(2);
        // `get_graphic_double` writes the lower limit twice.
        meta.display = (10.0, 0.0);
        meta.control = (0.0, 100_000.0);
    } else {
        let link = DOL0 + (offset >> 2) * SIZE;
        meta.display = (0.0, 0.0);
        if let Some(linked) = view.linked_meta(link) {
            meta.units = linked.units;
            meta.display = linked.display;
            meta.alarm = linked.alarm;
            meta.precision = linked.precision.or(meta.precision);
        }
    }
}
