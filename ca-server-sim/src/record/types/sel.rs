//! The `sel` record: one of several inputs (`selRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => double().asl0().special(NoMod),
    SELM => menu("selSELM"),
    SELN => ushort(),
    PREC => short().prop().interest(1),
    NVL => inlink().interest(1),
    INPA..INPL => inlink().interest(1),
    EGU => string(16).prop().interest(1),
    HOPR => double().prop().interest(1),
    LOPR => double().prop().interest(1),
    HIHI => double().pp().prop().interest(1),
    LOLO => double().pp().prop().interest(1),
    HIGH => double().pp().prop().interest(1),
    LOW => double().pp().prop().interest(1),
    HHSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LLSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HYST => double().interest(1),
    ADEL => double().interest(1),
    MDEL => double().interest(1),
    A..L => double().pp(),
    LA..LL => double().special(NoMod).interest(3),
    LALM => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    NLST => ushort().special(NoMod).interest(3),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "sel",
    fields: FIELDS,
    devices: &[],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    meta,
    special: None,
    ..Support::HOLDER
};

const LIMITS: limits::AlarmFields = limits!();
/// Inputs there are.
const COUNT: u16 = 12;

fn init(cx: &mut Cx<'_>) {
    cx.load(NVL, SELN);
    for n in 0..COUNT {
        cx.set(A + n, f64::NAN);
        cx.load(INPA + n, A + n);
    }
}

/// Stages: 0 begins, 1 has SELN, 2 has the inputs.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 if cx.u16(SELM) == 0 => {
            cx.want_into(NVL, SELN);
            return Flow::Then(1);
        }
        0 => {
            for n in 0..COUNT {
                cx.want_into(INPA + n, A + n);
            }
            return Flow::Then(2);
        }
        1 => {
            let number = cx.u16(SELN);
            if cx.any_failed() {
                return finish(cx);
            }
            if number < COUNT {
                cx.want_into(INPA + number, A + number);
                return Flow::Then(2);
            }
        }
        _ => {
            // Of all inputs the last one decides (`fetch_values`).
            if cx.got().last().is_some_and(Got::failed) {
                return finish(cx);
            }
        }
    }
    select(cx);
    finish(cx)
}

fn select(cx: &mut Cx<'_>) {
    let inputs: Vec<(u16, f64)> =
        (0..COUNT).map(|n| (n, cx.f64(A + n))).filter(|(_, value)| !value.is_nan()).collect();
    let value = match cx.u16(SELM) {
        0 => match cx.u16(SELN) {
            number if number < COUNT => cx.f64(A + number),
            _ => {
                cx.alarm(stat::SOFT, 3);
                return;
            }
        },
        mode @ (1 | 2) => {
            let mut best = if mode == 1 { f64::NEG_INFINITY } else { f64::INFINITY };
            for (n, value) in inputs {
                if if mode == 1 { best < value } else { best > value } {
                    best = value;
                    cx.set_u16(SELN, n);
                }
            }
            best
        }
        3 => {
            let mut order: Vec<f64> = inputs.into_iter().map(|(_, value)| value).collect();
            order.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
            cx.set_u16(SELN, order.len() as u16);
            order.get(order.len() / 2).copied().unwrap_or(f64::NAN)
        }
        _ => {
            cx.alarm(stat::CALC, 3);
            return;
        }
    };
    cx.set(VAL, value);
    cx.set_udf(value.is_nan());
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.timestamp();
    let now = cx.time();
    LIMITS.check(cx, now);
    let mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    let mask = mask.union(EventMask::VALUE).union(EventMask::LOG);
    if cx.u16(NLST) != cx.u16(SELN) {
        cx.copy(SELN, NLST);
        cx.post(SELN, mask);
    }
    for n in 0..COUNT {
        if cx.f64(A + n) != cx.f64(LA + n) {
            cx.post(A + n, mask);
            cx.copy(A + n, LA + n);
        }
    }
    Flow::Done
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if view.of().field(field).dbf == Dbf::Double {
        meta.units = view.text(EGU).into();
    }
    let prec = view.i32(PREC) as i16;
    meta.precision = Some(limits::precision(view, field, field == VAL, prec));
    let limited = matches!(field, VAL | HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST);
    if limited || (A..A + COUNT).contains(&field) || (LA..LA + COUNT).contains(&field) {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
        meta.control = meta.display;
    } else {
        limits::type_range(view, field, meta);
    }
    if field == VAL {
        limits::alarm_levels(view, &LIMITS, meta);
    }
}
