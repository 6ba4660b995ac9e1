//! The `swait` record of the calc module: an expression of PVs by name (`swaitRecord.c`).

use super::prelude::*;

fields! { common::COUNT,
    VERS => float().special(NoMod).initial("1"),
    HOPR => float().asl0().interest(1),
    LOPR => float().asl0().interest(1),
    INIT => short().special(NoMod).interest(3),
    CBST => noaccess().special(NoMod).interest(4),
    INAN..INLN => string(40).asl0().special(Mod).interest(1),
    DOLN => string(40).asl0().special(Mod).interest(1),
    OUTN => string(40).asl0().special(Mod).interest(1),
    INAV..INLV => menu("swaitINAV").special(NoMod).interest(1),
    DOLV => menu("swaitINAV").special(NoMod).interest(1),
    OUTV => menu("swaitINAV").special(NoMod).interest(1),
    A..L => double().pp(),
    LA..LL => double(),
    INAP..INLP => menu("swaitINAP").initial("Yes").interest(1),
    CALC => string(36).asl0().special(Calc).initial("0"),
    RPCL => noaccess().special(NoMod).interest(4),
    CLCV => long().interest(1),
    VAL => double(),
    OVAL => double(),
    PREC => short().interest(1),
    OOPT => menu("swaitOOPT").interest(1),
    ODLY => float().asl0().interest(1),
    DOPT => menu("swaitDOPT").interest(1),
    DOLD => double().asl0().interest(1),
    OEVT => ushort().asl0(),
    ADEL => double().interest(1),
    MDEL => double().interest(1),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    SIOL => inlink().interest(1),
    SVAL => double(),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "swait",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    special: Some(special),
    meta,
    interrupts: true,
    ..Support::HOLDER
};

use std::sync::Arc;
use std::time::Duration;

use crate::calc::{ARGUMENTS, Expression};

/// Inputs there are; behind them follow DOLN and OUTN.
const COUNT: u16 = 12;
const LINKS: u16 = COUNT + 2;
const READ_ALARM: u16 = 1;
/// `swaitINAV`
const OK: u16 = 0;
const BAD: u16 = 1;
const NONE: u16 = 2;

fn init(cx: &mut Cx<'_>) {
    cx.load(SIML, SIMM);
    cx.load(SIOL, SVAL);
    compile(cx);
    for n in 0..LINKS {
        connect(cx, n);
    }
    cx.set_u16(INIT, 1);
}

fn name(cx: &Cx<'_>, n: u16) -> String {
    String::from_utf8_lossy(cx.text(INAN + n)).trim().to_owned()
}

/// Looks for the PV of a link, and follows it if it is an input's.
fn connect(cx: &mut Cx<'_>, n: u16) {
    let name = name(cx, n);
    if name.is_empty() && !cx.text(INAN + n).is_empty() {
        cx.set(INAN + n, "");
        cx.post(INAN + n, EventMask::VALUE);
    }
    let state = if name.is_empty() {
        NONE
    } else if cx.has_pv(&name) {
        OK
    } else {
        BAD
    };
    if n < COUNT {
        cx.follow_pv(INAN + n, if cx.u16(INAP + n) == 1 { &name } else { "" });
    }
    if cx.u16(INAV + n) != state {
        cx.set_u16(INAV + n, state);
        cx.post(INAV + n, EventMask::VALUE);
    }
}

fn compile(cx: &mut Cx<'_>) {
    let text = String::from_utf8_lossy(cx.text(CALC)).into_owned();
    let (program, valid) = match Expression::parse(&text) {
        Ok(program) => (Val::Program(Arc::new(program)), 0i32),
        Err(error) => {
            cx.warn(format!("CALC \"{text}\" is no expression: {error}"));
            (Val::None, -1)
        }
    };
    cx.set(RPCL, program);
    cx.set(CLCV, valid);
}

/// Stages: 0 begins, 1 has SIML, 2 has SIOL, 3 has waited for ODLY, 4 has written.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            cx.want_into(SIML, SIMM);
            Flow::Then(1)
        }
        1 if cx.u16(SIMM) != 0 => {
            cx.want_into(SIOL, SVAL);
            Flow::Then(2)
        }
        1 => {
            if fetch(cx) {
                calculate(cx);
            } else {
                cx.alarm(READ_ALARM, 3);
            }
            decide(cx)
        }
        2 => {
            if !cx.any_failed() {
                cx.copy(SVAL, VAL);
                cx.set_udf(false);
            }
            let severity = cx.u16(SIMS);
            cx.alarm(stat::SIMM, severity);
            decide(cx)
        }
        3 => output(cx),
        // FLNK follows when what it wrote to is done.
        _ => Flow::Done,
    }
}

/// Whether all inputs that there are could be read.
fn fetch(cx: &mut Cx<'_>) -> bool {
    for n in 0..COUNT {
        if cx.u16(INAV + n) == NONE {
            continue;
        }
        let name = name(cx, n);
        let Some(val) = cx.read_pv(&name, Dbf::Double) else {
            return false;
        };
        cx.set(A + n, val);
    }
    true
}

fn calculate(cx: &mut Cx<'_>) {
    let value = match cx.get(RPCL) {
        Val::Program(program) => {
            let mut arguments = [0.0; ARGUMENTS];
            for (n, argument) in (0..COUNT).zip(&mut arguments) {
                *argument = cx.f64(A + n);
            }
            let old = cx.f64(VAL);
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
            cx.set(VAL, value);
            cx.set_udf(false);
        }
        None => {
            cx.alarm(stat::CALC, 3);
        }
    }
}

fn decide(cx: &mut Cx<'_>) -> Flow {
    let (old, new) = (cx.f64(OVAL), cx.f64(VAL));
    let writes = match cx.u16(OOPT) {
        0 => true,
        1 => (old - new).abs() > cx.f64(MDEL),
        2 => new == 0.0,
        3 => new != 0.0,
        4 => old != 0.0 && new == 0.0,
        5 => old == 0.0 && new != 0.0,
        _ => false,
    };
    cx.set(OVAL, new);
    cx.timestamp();
    monitor(cx);
    let delay = cx.f64(ODLY);
    if !writes {
        Flow::Done
    } else if delay > 0.0 {
        Flow::Wait(Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX), 3)
    } else {
        output(cx)
    }
}

/// `execOutput`
fn output(cx: &mut Cx<'_>) -> Flow {
    let event = cx.u16(OEVT);
    let writes = cx.u16(INAV + COUNT + 1) == OK;
    if writes {
        let mut value = cx.f64(VAL);
        if cx.u16(DOPT) == 1 {
            let name = name(cx, COUNT);
            let old = cx.f64(DOLD);
            if let Some(val) = cx.read_pv(&name, Dbf::Double) {
                cx.set(DOLD, val);
            }
            value = cx.f64(DOLD);
            if value != old {
                cx.post(DOLD, EventMask::VALUE);
            }
        }
        let name = name(cx, COUNT + 1);
        cx.want_put_pv(name, value, 4);
    }
    if event > 0 {
        cx.want_event(event.to_string());
    }
    if writes { Flow::Stop } else { Flow::Done }
}

fn monitor(cx: &mut Cx<'_>) {
    let mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    for n in 0..COUNT {
        if cx.f64(A + n) != cx.f64(LA + n) {
            cx.post(A + n, mask.union(EventMask::VALUE));
            cx.copy(A + n, LA + n);
            cx.post(LA + n, mask.union(EventMask::VALUE));
        }
    }
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if !after {
        return Ok(());
    }
    if field == CALC {
        compile(cx);
        for told in [CLCV, CALC, CLCV] {
            cx.post(told, EventMask::VALUE);
        }
    } else if let Some(n) = field.checked_sub(INAN).filter(|&n| n < LINKS) {
        connect(cx, n);
    }
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    let prec = view.i32(PREC) as i16;
    meta.precision = Some(if field == ODLY { 3 } else { prec });
    limits::type_range(view, field, meta);
    if field == VAL {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
        meta.control = (0.0, 0.0);
    }
}
