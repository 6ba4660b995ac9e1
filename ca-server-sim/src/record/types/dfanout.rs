//! The `dfanout` record: writes a value to several places (`dfanoutRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => double().asl0().pp(),
    SELM => menu("dfanoutSELM").interest(1),
    SELN => ushort().initial("1").interest(1),
    SELL => inlink().interest(1),
    OUTA..OUTP => outlink().interest(1),
    DOL => inlink().interest(1),
    OMSL => menu("menuOmsl").interest(1),
    EGU => string(16).prop().interest(1),
    PREC => short().prop().interest(1),
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
    LALM => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => double().interest(2),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "dfanout",
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

const LIMITS: limits::AlarmFields = limits!();
/// Links there are.
const COUNT: u16 = 16;

fn init(cx: &mut Cx<'_>) {
    cx.load(SELL, SELN);
    if cx.load(DOL, VAL) {
        let undefined = cx.f64(VAL).is_nan();
        cx.set_udf(undefined);
    }
}

/// Stages: 0 begins, 1 has DOL, 2 has SELL, 3 has written.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 if !cx.is_constant(DOL) && cx.u16(OMSL) == 1 => {
            cx.want_into(DOL, VAL);
            return Flow::Then(1);
        }
        0 | 1 => {
            if stage == 1 && !cx.any_failed() {
                let undefined = cx.f64(VAL).is_nan();
                cx.set_udf(undefined);
            }
            cx.timestamp();
            cx.want_into(SELL, SELN);
            return Flow::Then(2);
        }
        2 => {
            let now = cx.time();
            LIMITS.check(cx, now);
            match drive(cx, IVOA) {
                Drive::Leave => {}
                Drive::Substitute => {
                    cx.copy(IVOV, VAL);
                    push(cx);
                }
                Drive::Write => push(cx),
            }
            return Flow::Then(3);
        }
        _ => {}
    }
    if cx.any_failed() {
        cx.alarm(stat::LINK, 2);
    }
    limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    Flow::Done
}

/// `push_values`
fn push(cx: &mut Cx<'_>) {
    let number = cx.u16(SELN);
    let mask = match cx.u16(SELM) {
        0 => u16::MAX,
        1 if number > COUNT => {
            cx.alarm(stat::SOFT, 3);
            0
        }
        1 if number == 0 => 0,
        1 => 1 << (number - 1),
        2 => number,
        _ => {
            cx.alarm(stat::SOFT, 3);
            0
        }
    };
    let val = cx.get(VAL);
    for n in 0..COUNT {
        if mask & (1 << n) != 0 {
            cx.want_put(OUTA + n, val.clone());
        }
    }
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if view.of().field(field).dbf == Dbf::Double {
        meta.units = view.text(EGU).into();
    }
    let prec = view.i32(PREC) as i16;
    meta.precision = Some(limits::precision(view, field, field == VAL, prec));
    limits::type_range(view, field, meta);
    let range = (view.f64(LOPR), view.f64(HOPR));
    if matches!(field, VAL | HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST) {
        meta.display = range;
    }
    if matches!(field, VAL | LALM | ALST | MLST) {
        meta.control = range;
    }
    if field == VAL {
        limits::alarm_levels(view, &LIMITS, meta);
    }
}
