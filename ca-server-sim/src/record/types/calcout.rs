//! The `calcout` record: an expression that writes (`calcoutRecord.c`, `devCalcoutSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    RPVT => noaccess().special(NoMod).interest(4),
    VAL => double().asl0(),
    PVAL => double(),
    CALC => string(160).special(Calc).pp().initial("0"),
    CLCV => long().interest(1),
    INPA..INPU => inlink().special(Mod).interest(1),
    OUT => outlink().special(Mod).interest(1),
    INAV..INUV => menu("calcoutINAV").special(NoMod).initial("1").interest(1),
    OUTV => menu("calcoutINAV").special(NoMod).interest(1),
    OOPT => menu("calcoutOOPT").interest(1),
    ODLY => double().asl0().interest(1),
    DLYA => ushort().asl0().special(NoMod),
    DOPT => menu("calcoutDOPT").interest(1),
    OCAL => string(160).special(Calc).pp().initial("0"),
    OCLV => long().interest(1),
    OEVT => string(40).asl0().special(Mod),
    EPVT => noaccess().special(NoMod).interest(4),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => double().interest(2),
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
    A..U => double().pp(),
    OVAL => double().asl0(),
    LA..LU => double().special(NoMod).interest(3),
    POVL => double().asl0(),
    LALM => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    RPCL => noaccess().special(NoMod).interest(4),
    ORPC => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "calcout",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    callback,
    special: Some(special),
    meta,
    ..Support::HOLDER
};

use std::sync::Arc;
use std::time::Duration;

use crate::calc::{ARGUMENTS, Expression};

const LIMITS: limits::AlarmFields = limits!();
const COUNT: u16 = ARGUMENTS as u16;
/// How long it waits before it looks again whether links to other IOCs are connected.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// `calcoutINAV`
mod link_state {
    pub(super) const DISCONNECTED: u16 = 0;
    pub(super) const CONNECTED: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const CONSTANT: u16 = 3;
}

fn init(cx: &mut Cx<'_>) {
    for n in 0..COUNT {
        cx.load(INPA + n, A + n);
    }
    for n in 0..=COUNT {
        let state = link_state(cx, INPA + n);
        cx.set_u16(INAV + n, state);
    }
    if (0..=COUNT).any(|n| cx.u16(INAV + n) < link_state::LOCAL) {
        cx.call_back(LOOK_AGAIN);
    }
    compile(cx, CALC);
    compile(cx, OCAL);
    for field in [PVAL, MLST, ALST, LALM] {
        cx.copy(VAL, field);
    }
    cx.copy(OVAL, POVL);
}

fn link_state(cx: &mut Cx<'_>, link: u16) -> u16 {
    if cx.is_constant(link) {
        link_state::CONSTANT
    } else if cx.is_local(link) {
        link_state::LOCAL
    } else if cx.linked_dbf(link).is_some() {
        link_state::CONNECTED
    } else {
        link_state::DISCONNECTED
    }
}

/// Tells of links to other IOCs that are connected, or not any more (`checkLinks`).
fn look_at_links(cx: &mut Cx<'_>) {
    let mut waits = false;
    for n in 0..=COUNT {
        let old = cx.u16(INAV + n);
        if old >= link_state::LOCAL {
            continue;
        }
        let new = link_state(cx, INPA + n);
        waits |= new == link_state::DISCONNECTED;
        if new != old {
            cx.set_u16(INAV + n, new);
            cx.post(INAV + n, EventMask::VALUE);
        }
    }
    if waits {
        cx.call_back(LOOK_AGAIN);
    }
}

fn callback(cx: &mut Cx<'_>) {
    look_at_links(cx);
}

/// Understands an expression, and keeps the number of the error.
fn compile(cx: &mut Cx<'_>, field: u16) {
    let text = String::from_utf8_lossy(cx.text(field)).into_owned();
    let (program, valid) = if field == CALC { (RPCL, CLCV) } else { (ORPC, OCLV) };
    match Expression::parse(&text) {
        Ok(expression) => {
            cx.set(program, Val::Program(Arc::new(expression)));
            cx.set(valid, 0i32);
        }
        Err(error) => {
            cx.set(program, Val::None);
            cx.set(valid, -1i32);
            if field == CALC || cx.u16(DOPT) == 1 {
                let name = if field == CALC { "CALC" } else { "OCAL" };
                cx.warn(format!("{name} \"{text}\" is no expression: {error}"));
            }
        }
    }
}

fn evaluate(cx: &mut Cx<'_>, program: u16, result: u16, message: &str) {
    let value = match cx.get(program) {
        Val::Program(program) => {
            let mut arguments = [0.0; ARGUMENTS];
            for (n, argument) in (0..).zip(&mut arguments) {
                *argument = cx.f64(A + n);
            }
            let old = cx.f64(result);
            let value = program.evaluate(&mut arguments, old, cx.random());
            for (n, argument) in (0..COUNT).zip(arguments) {
                if program.stores() & (1 << n) != 0 {
                    cx.set(A + n, argument);
                }
            }
            value
        }
        _ => None,
    };
    match value {
        Some(value) => {
            cx.set(result, value);
            cx.set_udf(value.is_nan());
        }
        None => {
            cx.alarm_with(stat::CALC, 3, message);
        }
    }
}

/// Stages: 0 begins, 1 has the arguments, 2 has waited for ODLY, 3 has written.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            cx.want_all_into(INPA, A, COUNT);
            Flow::Then(1)
        }
        1 => calculate(cx),
        2 => {
            cx.timestamp();
            cx.set_u16(DLYA, 0);
            cx.post(DLYA, EventMask::VALUE);
            output(cx)
        }
        _ => finish(cx),
    }
}

fn calculate(cx: &mut Cx<'_>) -> Flow {
    if !cx.any_failed() {
        evaluate(cx, RPCL, VAL, "calcPerform");
    }
    let now = cx.time();
    LIMITS.check(cx, now);
    cx.timestamp();
    let (old, new) = (cx.f64(PVAL), cx.f64(VAL));
    let writes = match cx.u16(OOPT) {
        0 => true,
        // NaN is a change.
        1 => !matches!((old - new).abs().partial_cmp(&cx.f64(MDEL)), Some(order) if order.is_le()),
        2 => new == 0.0,
        3 => new != 0.0,
        4 => old != 0.0 && new == 0.0,
        5 => old == 0.0 && new != 0.0,
        _ => false,
    };
    cx.set(PVAL, new);
    let delay = cx.f64(ODLY);
    if !writes {
        finish(cx)
    } else if delay > 0.0 {
        cx.set_u16(DLYA, 1);
        cx.post(DLYA, EventMask::VALUE);
        Flow::Wait(Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX), 2)
    } else {
        output(cx)
    }
}

/// `execOutput`
fn output(cx: &mut Cx<'_>) -> Flow {
    if cx.u16(DOPT) == 0 {
        cx.copy(VAL, OVAL);
    } else {
        evaluate(cx, ORPC, OVAL, "OCAL calcPerform");
    }
    cx.check_undefined();
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => cx.copy(IVOV, OVAL),
        Drive::Write => {}
    }
    let val = cx.get(OVAL);
    cx.want_put(OUT, val);
    let event = String::from_utf8_lossy(cx.text(OEVT)).into_owned();
    cx.want_event(event);
    Flow::Then(3)
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    let mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    let changed = mask.union(EventMask::VALUE).union(EventMask::LOG);
    for n in 0..COUNT {
        if cx.f64(A + n) != cx.f64(LA + n) || mask.intersects(EventMask::ALARM) {
            cx.post(A + n, changed);
            cx.copy(A + n, LA + n);
        }
    }
    if cx.f64(POVL) != cx.f64(OVAL) {
        cx.post(OVAL, changed);
        cx.copy(OVAL, POVL);
    }
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if !after {
        return Ok(());
    }
    match field {
        CALC | OCAL => {
            compile(cx, field);
            cx.post(if field == CALC { CLCV } else { OCLV }, EventMask::VALUE);
        }
        // The link is not connected yet, so that it looks as if it were a constant.
        INPA..=OUT => {
            let n = field - INPA;
            cx.post(A + n, EventMask::VALUE);
            cx.set_u16(INAV + n, link_state::CONSTANT);
            cx.post(INAV + n, EventMask::VALUE);
        }
        _ => {}
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
    if field == ODLY {
        meta.units = b"s".as_slice().into();
        meta.precision = Some(2);
        meta.display = (0.0, crate::record::support::range(Dbf::Double).1);
        meta.control = (0.0, 100_000.0);
        return;
    }
    if let Some(link) = link_of(field) {
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
