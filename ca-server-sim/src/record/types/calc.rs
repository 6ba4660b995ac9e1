//! The `calc` record: an expression (`calcRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => double().asl0(),
    CALC => string(160).special(Calc).pp().initial("0"),
    INPA..INPL => inlink().interest(1),
    INPM..INPU => inlink().special(Mod).interest(1),
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
    AFTC => double().interest(1),
    AFVL => double().special(NoMod).interest(3),
    HYST => double().interest(1),
    ADEL => double().interest(1),
    MDEL => double().interest(1),
    A..U => double().pp(),
    LA..LU => double().special(NoMod).interest(3),
    LALM => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    RPCL => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "calc",
    fields: FIELDS,
    devices: &[],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    special: Some(special),
    meta,
    ..Support::HOLDER
};

use std::sync::Arc;

use crate::calc::{ARGUMENTS, Expression};
use crate::record::Bits;

const LIMITS: limits::AlarmFields = limits!(AFTC, AFVL);
const COUNT: u16 = ARGUMENTS as u16;

fn init(cx: &mut Cx<'_>) {
    for n in 0..COUNT {
        cx.load(INPA + n, A + n);
    }
    compile(cx);
}

/// Understands CALC; whether it could be.
fn compile(cx: &mut Cx<'_>) -> bool {
    let text = String::from_utf8_lossy(cx.text(CALC)).into_owned();
    match Expression::parse(&text) {
        Ok(program) => {
            cx.set(RPCL, Val::Program(Arc::new(program)));
            true
        }
        Err(error) => {
            cx.set(RPCL, Val::None);
            cx.warn(format!("CALC \"{text}\" is no expression: {error}"));
            false
        }
    }
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if stage == 0 {
        cx.want_all_into(INPA, A, COUNT);
        return Flow::Then(1);
    }
    if !cx.any_failed() {
        evaluate(cx);
    }
    let before = cx.time();
    cx.timestamp();
    LIMITS.check(cx, before);
    let mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    // Most arguments have never been anything else than 0.
    let ones = match mask.intersects(EventMask::ALARM) {
        true => Bits((1 << COUNT) - 1),
        false => Bits(cx.present(A, COUNT).0 | cx.present(LA, COUNT).0),
    };
    for n in ones {
        if cx.f64(A + n) != cx.f64(LA + n) || mask.intersects(EventMask::ALARM) {
            cx.post(A + n, mask.union(EventMask::VALUE).union(EventMask::LOG));
            cx.copy(A + n, LA + n);
        }
    }
    Flow::Done
}

fn evaluate(cx: &mut Cx<'_>) {
    let result = match cx.val(RPCL) {
        Val::Program(program) => {
            let mut arguments = [0.0; ARGUMENTS];
            let (reads, stores) = (program.reads(), program.stores());
            for n in Bits(reads.into()) {
                if let Some(argument) = arguments.get_mut(usize::from(n)) {
                    *argument = cx.f64(A + n);
                }
            }
            let (old, mut random) = (cx.f64(VAL), *cx.random_now());
            let result = program.evaluate(&mut arguments, old, &mut random);
            *cx.random() = random;
            for n in Bits(stores.into()) {
                if let Some(&argument) = arguments.get(usize::from(n)) {
                    cx.set(A + n, argument);
                }
            }
            result
        }
        _ => None,
    };
    match result {
        Some(value) => {
            cx.set(VAL, value);
            cx.set_udf(value.is_nan());
        }
        None => {
            cx.alarm(stat::CALC, 3);
        }
    }
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if field == CALC && after && !compile(cx) {
        return Err(PutError::Refused);
    }
    // INPM to INPU ask, and are answered as what is not known; they are written all the same.
    if field != CALC && after {
        return Err(PutError::Refused);
    }
    Ok(())
}

/// The link of an argument or of its last value.
fn link_of(field: u16) -> Option<u16> {
    let of = |first: u16| field.checked_sub(first).filter(|&n| n < COUNT);
    of(A).or_else(|| of(LA)).map(|n| INPA + n)
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    let prec = view.i32(PREC) as i16;
    if let Some(link) = link_of(field) {
        // An argument is shown as what its link leads to, and may be set to anything.
        if let Some(linked) = view.linked_meta(link) {
            *meta = linked;
        }
        meta.precision.get_or_insert(prec);
        meta.control = crate::record::support::range(Dbf::Double);
        return;
    }
    if view.of().field(field).dbf == Dbf::Double {
        meta.units = view.text(EGU).into();
    }
    meta.precision = Some(limits::precision(view, field, field == VAL, prec));
    if matches!(field, VAL | HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST) {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
        meta.control = meta.display;
    } else {
        limits::type_range(view, field, meta);
    }
    if field == VAL {
        limits::alarm_levels(view, &LIMITS, meta);
    }
}
