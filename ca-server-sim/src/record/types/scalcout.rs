//! The `scalcout` record of the calc module: an expression of numbers and texts that writes (`sCalcoutRecord.c`,
//! `devsCalcoutSoft.c`). Expressions are those of [`crate::calc::texts`].
//!
//! It writes as text what leads to texts, choices and links, as characters what leads to arrays of them (without
//! waiting those of SVAL, as there, also with OCAL), and as number all else.

use super::prelude::*;

fields! { common::COUNT,
    VERS => double().special(NoMod).initial("1"),
    RPVT => noaccess().special(NoMod).interest(4),
    VAL => double().asl0(),
    SVAL => string(40).asl0(),
    PVAL => double(),
    PSVL => string(40).special(NoMod),
    CALC => string(80).special(Mod).pp(),
    CLCV => long().interest(1),
    INPA..INPL => inlink().special(Mod).interest(1),
    INAA..INLL => inlink().special(Mod).interest(1),
    OUT => outlink().special(Mod).interest(1),
    INAV..INLV => menu("scalcoutINAV").special(NoMod).initial("1").interest(1),
    IAAV..ILLV => menu("scalcoutINAV").special(NoMod).initial("1").interest(1),
    OUTV => menu("scalcoutINAV").special(NoMod).interest(1),
    OOPT => menu("scalcoutOOPT").interest(1),
    ODLY => double().asl0().interest(1),
    WAIT => menu("scalcoutWAIT").interest(1),
    DLYA => ushort().asl0().special(NoMod),
    DOPT => menu("scalcoutDOPT").interest(1),
    OCAL => string(80).special(Mod).pp(),
    OCLV => long().interest(1),
    OEVT => ushort().asl0(),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => double().interest(2),
    EGU => string(16).interest(1),
    PREC => short().interest(1),
    HOPR => double().interest(1),
    LOPR => double().interest(1),
    HIHI => double().pp().interest(1),
    LOLO => double().pp().interest(1),
    HIGH => double().pp().interest(1),
    LOW => double().pp().interest(1),
    HHSV => menu("menuAlarmSevr").pp().interest(1),
    LLSV => menu("menuAlarmSevr").pp().interest(1),
    HSV => menu("menuAlarmSevr").pp().interest(1),
    LSV => menu("menuAlarmSevr").pp().interest(1),
    HYST => double().interest(1),
    ADEL => double().interest(1),
    MDEL => double().interest(1),
    A..L => double().pp(),
    STRS => noaccess().interest(4),
    AA..LL => string(40).pp().interest(4),
    PAA..PLL => noaccess().special(DbAddr).interest(4),
    OVAL => double().asl0(),
    OSV => string(40).asl0(),
    POSV => string(40).special(NoMod),
    PA..PL => double().special(NoMod).interest(3),
    POVL => double().asl0(),
    LALM => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    RPCL => noaccess().special(NoMod).interest(4),
    ORPC => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "scalcout",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    callback,
    special: Some(special),
    scalar,
    meta,
    ..Support::HOLDER
};

use std::sync::Arc;
use std::time::Duration;

use super::calc_links::{LOOK_AGAIN, Links, writes};
use crate::calc::{CalcErrorKind, Expression, Fault, Texts, texts};

const LIMITS: limits::AlarmFields = limits!();
/// Numbers there are, and as many texts.
const COUNT: u16 = 12;
const LINKS: Links =
    Links { first: INPA, state: INAV, count: 2 * COUNT + 1, mask: EventMask::VALUE };
/// What an expression without a value gives.
const ERROR: &str = "***ERROR***";
const CHANGED: EventMask = EventMask::VALUE.union(EventMask::LOG);

/// Stages: 0 begins, 1 has the numbers, 2 the texts, 3 has waited for ODLY, 4 has written.
const NUMBERS: u8 = 1;
const READ: u8 = 2;
const DELAYED: u8 = 3;
const WRITTEN: u8 = 4;

fn init(cx: &mut Cx<'_>) {
    for n in 0..COUNT {
        cx.load(INPA + n, A + n);
    }
    LINKS.look(cx);
    compile(cx, CALC);
    compile(cx, OCAL);
}

fn callback(cx: &mut Cx<'_>) {
    LINKS.look(cx);
}

fn compile(cx: &mut Cx<'_>, field: u16) {
    let (program, valid, name) = match field {
        CALC => (RPCL, CLCV, "CALC"),
        _ => (ORPC, OCLV, "OCAL"),
    };
    let text = cx.text(field).to_vec();
    let (code, status) = match Expression::parse_texts(&text) {
        Ok(expression) => (Val::Program(Arc::new(expression)), 0i32),
        // An empty one is no mistake, but has no value.
        Err(error) if error.kind == CalcErrorKind::Empty => (Val::None, 0),
        Err(error) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            cx.warn(format!("{name} \"{text}\" is no expression of texts: {error}"));
            (Val::None, -1)
        }
    };
    cx.set(program, code);
    cx.set(valid, status);
}

/// Evaluates an expression into a number and a text; without a value it is an error, which the alarm tells.
fn evaluate(cx: &mut Cx<'_>, program: u16, name: &str, [number, text]: [u16; 2]) -> bool {
    let mut result = Err(Fault::Failed);
    if let Val::Program(expression) = cx.get(program) {
        let mut with = Texts {
            number: cx.f64(number),
            text: cx.text(text).to_vec(),
            precision: cx.i32(PREC) as i16,
            ..Texts::default()
        };
        for (n, to) in (0..COUNT).zip(&mut with.numbers) {
            *to = cx.f64(A + n);
        }
        for (n, to) in (0..COUNT).zip(&mut with.texts) {
            *to = cx.text(AA + n).to_vec();
        }
        result = with.evaluate(&expression, cx.random());
        for (n, (number, text)) in (0..COUNT).zip(with.numbers.into_iter().zip(with.texts)) {
            if cx.f64(A + n).to_bits() != number.to_bits() {
                cx.set(A + n, number);
            }
            if cx.text(AA + n) != text {
                cx.set(AA + n, Val::text(text));
            }
        }
        cx.set(number, with.number);
        cx.set(text, Val::text(with.text));
    }
    if let Err(fault) = result {
        if fault == Fault::TooMuch {
            cx.warn_once(format!("{name} was not evaluated: {fault}"));
        }
        cx.set(number, -1.0);
        cx.set(text, ERROR);
        cx.alarm(stat::CALC, 3);
    }
    result.is_ok()
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            LINKS.look_at_others(cx);
            for n in 0..COUNT {
                if cx.f64(A + n) != cx.f64(PA + n) {
                    cx.copy(A + n, PA + n);
                }
                if cx.text(AA + n) != cx.text(PAA + n) {
                    let text = cx.get(AA + n);
                    cx.set(PAA + n, text);
                }
            }
            cx.want_all_into(INPA, A, COUNT);
            Flow::Then(NUMBERS)
        }
        // Without its numbers nothing is calculated, and no text is read.
        NUMBERS if cx.any_failed() => decide(cx),
        NUMBERS => {
            for n in 0..COUNT {
                if cx.is_constant(INAA + n) {
                    continue;
                }
                match cx.linked_dbf(INAA + n) {
                    Some(dbf @ (Dbf::Char | Dbf::UChar)) if cx.linked_count(INAA + n) > Some(1) => {
                        cx.want_array(INAA + n, dbf, texts::MAX_BYTES);
                    }
                    _ => cx.want(INAA + n, Dbf::String),
                }
            }
            Flow::Then(READ)
        }
        READ => {
            take(cx);
            if evaluate(cx, RPCL, "CALC", [VAL, SVAL]) {
                cx.set_udf(false);
            }
            decide(cx)
        }
        DELAYED => {
            cx.set_u16(DLYA, 0);
            cx.post(DLYA, EventMask::VALUE);
            output(cx)
        }
        _ => finish(cx),
    }
}

/// Takes the texts that were read: of characters with escapes, and what could not be read says so.
fn take(cx: &mut Cx<'_>) {
    let mut got = cx.got().to_vec().into_iter();
    for n in 0..COUNT {
        if cx.is_constant(INAA + n) {
            continue;
        }
        let text = match got.next() {
            Some(Got::Val(Val::Array(all))) => {
                let bytes = all.iter().map(|element| element.as_i32() as u8);
                let bytes: Vec<u8> = bytes.take_while(|&byte| byte != 0).collect();
                ca_proto::text::Escaped(&bytes).to_string().into_bytes()
            }
            Some(Got::Val(val)) => val.as_text().to_vec(),
            Some(Got::Failed) => {
                let letter = char::from(b'A' + n as u8);
                let name = cx.get(common::NAME);
                let name = String::from_utf8_lossy(name.as_text()).into_owned();
                format!("{name}:fetch({letter}{letter}) failed").into_bytes()
            }
            _ => continue,
        };
        let text = text.get(..text.len().min(texts::MAX_BYTES - 1)).unwrap_or_default();
        cx.set(AA + n, Val::text(text));
    }
}

fn decide(cx: &mut Cx<'_>) -> Flow {
    let now = cx.time();
    LIMITS.check(cx, now);
    let (old, new) = (cx.f64(PVAL), cx.f64(VAL));
    let writes = writes(cx.u16(OOPT), old, new, cx.f64(MDEL));
    cx.set(PVAL, new);
    let delay = cx.f64(ODLY);
    if !writes {
        finish(cx)
    } else if delay > 0.0 {
        cx.set_u16(DLYA, 1);
        cx.post(DLYA, EventMask::VALUE);
        Flow::Wait(Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX), DELAYED)
    } else {
        output(cx)
    }
}

/// `execOutput`
fn output(cx: &mut Cx<'_>) -> Flow {
    if cx.u16(DOPT) == 0 {
        cx.copy(VAL, OVAL);
        cx.copy(SVAL, OSV);
    } else {
        evaluate(cx, ORPC, "OCAL", [OVAL, OSV]);
    }
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => cx.copy(IVOV, OVAL),
        Drive::Write => {}
    }
    let waits = cx.u16(WAIT) == 1 && cx.waits_for(OUT);
    let val = written(cx, waits);
    if waits {
        cx.want_put_and_wait(OUT, val, WRITTEN);
    } else {
        cx.want_put(OUT, val);
    }
    let event = cx.u16(OEVT);
    if event > 0 {
        cx.want_event(event.to_string());
    }
    if waits { Flow::Idle } else { Flow::Then(WRITTEN) }
}

/// What is written, which depends on what OUT leads to.
fn written(cx: &mut Cx<'_>, waits: bool) -> Val {
    match cx.linked_dbf(OUT) {
        Some(dbf) if dbf == Dbf::String || dbf.is_choice() || dbf.is_link() => cx.get(OSV),
        Some(Dbf::Char | Dbf::UChar) if cx.linked_count(OUT) > Some(1) => {
            let room = cx.linked_count(OUT).unwrap_or(1).min(texts::MAX_BYTES + 1);
            let mut text = cx.text(if waits { OSV } else { SVAL }).to_vec();
            text.resize(room, 0);
            Val::from(Array::Char(text.into_iter().map(|byte| byte as i8).collect()))
        }
        _ => cx.get(OVAL),
    }
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.timestamp();
    let mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    let changed = mask.union(CHANGED);
    for (new, old) in [(SVAL, PSVL), (OSV, POSV)] {
        if cx.text(new) != cx.text(old) {
            cx.post(new, changed);
            cx.copy(new, old);
        }
    }
    for n in 0..COUNT {
        if cx.f64(A + n) != cx.f64(PA + n) || mask.intersects(EventMask::ALARM) {
            cx.post(A + n, changed);
        }
    }
    for n in 0..COUNT {
        if cx.text(AA + n) != cx.text(PAA + n) {
            cx.post(AA + n, changed);
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
        INPA..=OUT => {
            let n = field - INPA;
            if n < COUNT && cx.load(field, A + n) {
                cx.post(A + n, EventMask::VALUE);
            }
            if LINKS.look_at(cx, n) {
                cx.call_back(LOOK_AGAIN);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The texts before are texts.
fn scalar(_: &View<'_>, field: u16) -> Option<(Dbf, usize)> {
    (PAA..=PLL).contains(&field).then_some((Dbf::String, texts::MAX_BYTES + 1))
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    meta.units = view.text(EGU).into();
    let prec = view.i32(PREC) as i16;
    meta.precision = Some(limits::precision(view, field, field == VAL, prec));
    if matches!(field, VAL | HIHI | HIGH | LOW | LOLO | A..=L | PA..=PL) {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
        meta.control = meta.display;
    }
    if field == VAL {
        limits::alarm_levels(view, &LIMITS, meta);
    }
}
