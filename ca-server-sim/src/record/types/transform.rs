//! The `transform` record of the calc module: sixteen expressions (`transformRecord.c`).

use super::prelude::*;

fields! { common::COUNT,
    VERS => float().special(NoMod).initial("1"),
    RPVT => noaccess().special(NoMod).interest(4),
    IVLA => menu("transformIVLA").initial("0").interest(1),
    COPT => menu("transformCOPT").initial("Conditional").interest(1),
    VAL => double(),
    CLCA..CLCP => string(120).special(Mod),
    CAV..CPV => long().interest(1),
    INPA..INPP => inlink().special(Mod).interest(1),
    OUTA..OUTP => outlink().special(Mod).interest(1),
    EGU => string(16).interest(1),
    PREC => short().interest(1),
    A..P => double().special(Mod).pp(),
    LA..LP => double().special(NoMod).interest(3),
    RPCA..RPCP => noaccess().special(NoMod).interest(4),
    CMTA..CMTP => string(39),
    MAP => short().interest(3),
    IAV..IPV => menu("transformIAV").special(NoMod).initial("1").interest(1),
    OAV..OPV => menu("transformIAV").special(NoMod).initial("1").interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "transform",
    fields: FIELDS,
    devices: &[],
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

/// Values there are.
const COUNT: u16 = 16;
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Which values clients wrote since it was processed, a bit for each.
const WRITTEN: u16 = common::DPVT;

/// `transformIAV`
mod link_state {
    pub(super) const DISCONNECTED: u16 = 0;
    pub(super) const CONNECTED: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const CONSTANT: u16 = 3;
}

fn init(cx: &mut Cx<'_>) {
    for n in 0..COUNT {
        cx.load(INPA + n, A + n);
        compile(cx, n);
        cx.copy(A + n, LA + n);
    }
    let mut waits = false;
    for n in 0..2 * COUNT {
        let state = link_state(cx, INPA + n);
        waits |= state == link_state::DISCONNECTED;
        cx.set_u16(IAV + n, state);
    }
    if waits {
        cx.call_back(LOOK_AGAIN);
    }
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

/// Tells of links to other IOCs that are connected, or not any more.
fn callback(cx: &mut Cx<'_>) {
    let mut waits = false;
    for n in 0..2 * COUNT {
        let old = cx.u16(IAV + n);
        if old < link_state::LOCAL {
            let new = link_state(cx, INPA + n);
            waits |= new == link_state::DISCONNECTED;
            if new != old {
                cx.set_u16(IAV + n, new);
                cx.post(IAV + n, EventMask::VALUE);
            }
        }
    }
    if waits {
        cx.call_back(LOOK_AGAIN);
    }
}

/// Understands an expression; one that is empty is none, and no mistake. Whether it is right.
fn compile(cx: &mut Cx<'_>, n: u16) -> bool {
    let text = String::from_utf8_lossy(cx.text(CLCA + n)).into_owned();
    cx.set(RPCA + n, Val::None);
    if text.trim().is_empty() {
        return true;
    }
    match Expression::parse(&text) {
        Ok(program) => {
            cx.set(RPCA + n, Val::Program(Arc::new(program)));
            true
        }
        Err(error) => {
            let letter = char::from(b'A' + n as u8);
            cx.warn(format!("CLC{letter} \"{text}\" is no expression: {error}"));
            cx.set(CAV + n, -1i32);
            false
        }
    }
}

/// Stages: 0 begins, 1 has the inputs, 2 has written.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            cx.set_udf(false);
            for n in 0..COUNT {
                if !cx.is_constant(INPA + n) {
                    cx.want(INPA + n, Dbf::Double);
                }
            }
            Flow::Then(1)
        }
        1 => {
            take(cx);
            if cx.nsev() >= 3 && cx.u16(IVLA) == 1 {
                cx.timestamp();
                cx.check_undefined();
                cx.reset_alarms();
                return Flow::Stop;
            }
            calculate(cx);
            for n in 0..COUNT {
                if !cx.is_constant(OUTA + n) {
                    let val = cx.get(A + n);
                    cx.want_put(OUTA + n, val);
                }
            }
            Flow::Then(2)
        }
        _ => {
            cx.timestamp();
            cx.check_undefined();
            let mask = cx.reset_alarms().union(EventMask::VALUE).union(EventMask::LOG);
            for n in 0..COUNT {
                if !cx.get(A + n).same(&cx.get(LA + n)) {
                    cx.post(A + n, mask);
                    cx.copy(A + n, LA + n);
                }
            }
            Flow::Done
        }
    }
}

/// Inputs that cannot be read are 0.
fn take(cx: &mut Cx<'_>) {
    let mut got = cx.got().to_vec().into_iter();
    for n in 0..COUNT {
        if !cx.is_constant(INPA + n) {
            let value = match got.next() {
                Some(Got::Val(val)) => val.as_f64(),
                _ => 0.0,
            };
            cx.set(A + n, value);
        }
    }
}

/// A value without input that nobody wrote is calculated, or each one (COPT).
fn calculate(cx: &mut Cx<'_>) {
    let written = cx.get(WRITTEN).as_u32();
    for n in 0..COUNT {
        let (new, old) = (cx.get(A + n), cx.get(LA + n));
        let same = new.as_f64() == 0.0 && old.as_f64() == 0.0 || new.same(&old);
        let given = !cx.is_constant(INPA + n) || !same || written & (1 << n) != 0;
        let Val::Program(program) = cx.get(RPCA + n) else {
            continue;
        };
        if given && cx.u16(COPT) == 0 {
            continue;
        }
        let mut arguments = [0.0; ARGUMENTS];
        for (n, argument) in (0..COUNT).zip(&mut arguments) {
            *argument = cx.f64(A + n);
        }
        let old = cx.f64(A + n);
        let value = program.evaluate(&mut arguments, old, cx.random());
        for (n, argument) in (0..COUNT).zip(arguments) {
            if program.stores() & (1 << n) != 0 {
                cx.set(A + n, argument);
            }
        }
        match value {
            Some(value) => cx.set(A + n, value),
            None => {
                cx.alarm(stat::CALC, 3);
                cx.set_udf(true);
            }
        }
    }
    cx.set(WRITTEN, Val::None);
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    let of = |first: u16, count: u16| field.checked_sub(first).filter(|&n| n < count);
    if let Some(n) = of(A, COUNT) {
        if !after {
            // What an input gives cannot be written.
            return if cx.is_constant(INPA + n) { Ok(()) } else { Err(PutError::Refused) };
        }
        if !cx.pact() {
            let written = cx.get(WRITTEN).as_u32() | 1 << n;
            cx.set(WRITTEN, Val::ULong(written));
        }
    } else if let Some(n) = of(CLCA, COUNT).filter(|_| after) {
        let old = cx.i32(CAV + n);
        let valid = compile(cx, n);
        cx.set(CAV + n, if valid { 0i32 } else { -1 });
        if cx.i32(CAV + n) != old {
            cx.post(CAV + n, EventMask::VALUE.union(EventMask::LOG));
        }
    } else if let Some(n) = of(INPA, 2 * COUNT).filter(|_| after) {
        if n < COUNT && cx.load(INPA + n, A + n) {
            cx.post(A + n, EventMask::VALUE.union(EventMask::LOG));
        }
        let state = link_state(cx, field);
        cx.set_u16(IAV + n, state);
        cx.post(IAV + n, EventMask::VALUE);
        if state == link_state::DISCONNECTED {
            cx.call_back(LOOK_AGAIN);
        }
    }
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    meta.precision = Some(limits::precision(view, field, false, view.i32(PREC) as i16));
    if view.of().field(field).dbf == Dbf::Double {
        meta.units = view.text(EGU).into();
    }
    limits::type_range(view, field, meta);
}
