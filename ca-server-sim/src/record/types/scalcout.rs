//! The `scalcout` record of the calc module: an expression that writes (`sCalcoutRecord.c`). Of expressions of texts it knows single arguments only.

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
    meta,
    ..Support::HOLDER
};

use std::sync::Arc;
use std::time::Duration;

use ca_proto::text::format::{RealKind, format_real};

use crate::calc::{ARGUMENTS, Expression};

const LIMITS: limits::AlarmFields = limits!();
/// Numbers there are, and as many texts.
const COUNT: u16 = 12;
const LINKS: u16 = 2 * COUNT + 1;
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// `scalcoutINAV`
mod link_state {
    pub(super) const DISCONNECTED: u16 = 0;
    pub(super) const CONNECTED: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const CONSTANT: u16 = 3;
}

fn init(cx: &mut Cx<'_>) {
    for n in 0..COUNT {
        cx.load(INPA + n, A + n);
        cx.load(INAA + n, AA + n);
    }
    look_at_links(cx);
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

fn look_at_links(cx: &mut Cx<'_>) {
    let mut waits = false;
    for n in 0..LINKS {
        let state = link_state(cx, INPA + n);
        waits |= state == link_state::DISCONNECTED;
        if cx.u16(INAV + n) != state {
            cx.set_u16(INAV + n, state);
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

/// A text argument and nothing else, `AA` to `LL`: what it gives is that text.
fn text_argument(expression: &[u8]) -> Option<u16> {
    match expression.trim_ascii() {
        [first, second] if first == second => match first.to_ascii_uppercase() {
            letter @ b'A'..=b'L' => Some(u16::from(letter - b'A')),
            _ => None,
        },
        _ => None,
    }
}

fn compile(cx: &mut Cx<'_>, field: u16) {
    let text = cx.text(field).to_vec();
    let (program, valid) = if field == CALC { (RPCL, CLCV) } else { (ORPC, OCLV) };
    cx.set(program, Val::None);
    cx.set(valid, 0i32);
    if text_argument(&text).is_some() || field == OCAL && text.trim_ascii().is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    match Expression::parse(&text) {
        Ok(expression) => cx.set(program, Val::Program(Arc::new(expression))),
        Err(error) => {
            cx.set(valid, -1i32);
            let name = if field == CALC { "CALC" } else { "OCAL" };
            cx.warn(format!(
                "{name} \"{text}\" is no expression of numbers ({error}); of texts only a single argument is \
                 one"
            ));
        }
    }
}

/// Evaluates an expression into a number and a text.
fn evaluate(cx: &mut Cx<'_>, expression: u16, program: u16, [number, text]: [u16; 2]) {
    if let Some(n) = text_argument(cx.text(expression)) {
        let given = cx.get(AA + n);
        let value = ca_proto::text::parse::strtod(given.as_text()).map_or(0.0, |(value, _)| value);
        cx.set(text, given);
        cx.set(number, value);
        cx.set_udf(false);
        return;
    }
    let value = match cx.get(program) {
        Val::Program(program) => {
            let mut arguments = [0.0; ARGUMENTS];
            for (n, argument) in (0..COUNT).zip(&mut arguments) {
                *argument = cx.f64(A + n);
            }
            let old = cx.f64(number);
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
            cx.set(number, value);
            let shown = format_real(value, cx.i32(PREC) as i16, RealKind::Double);
            cx.set(text, Val::text(shown.as_bytes()));
            cx.set_udf(value.is_nan());
        }
        None => {
            cx.alarm(stat::CALC, 3);
        }
    }
}

/// Stages: 0 begins, 1 has the arguments, 2 has waited for ODLY, 3 has written.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            cx.want_all_into(INPA, A, COUNT);
            cx.want_all_into(INAA, AA, COUNT);
            Flow::Then(1)
        }
        1 => calculate(cx),
        2 => {
            cx.set_u16(DLYA, 0);
            cx.post(DLYA, EventMask::VALUE);
            output(cx)
        }
        _ => finish(cx),
    }
}

fn calculate(cx: &mut Cx<'_>) -> Flow {
    if !cx.any_failed() {
        evaluate(cx, CALC, RPCL, [VAL, SVAL]);
    }
    let now = cx.time();
    LIMITS.check(cx, now);
    let (old, new) = (cx.f64(PVAL), cx.f64(VAL));
    let text_changed = cx.text(SVAL) != cx.text(PSVL);
    let writes = match cx.u16(OOPT) {
        0 => true,
        1 => (old - new).abs() > cx.f64(MDEL) || text_changed,
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

fn output(cx: &mut Cx<'_>) -> Flow {
    if cx.u16(DOPT) == 0 {
        cx.copy(VAL, OVAL);
        cx.copy(SVAL, OSV);
    } else {
        evaluate(cx, OCAL, ORPC, [OVAL, OSV]);
    }
    cx.check_undefined();
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => cx.copy(IVOV, OVAL),
        Drive::Write => {}
    }
    let text = matches!(cx.linked_dbf(OUT), Some(dbf) if dbf == Dbf::String || dbf.is_choice());
    let val = cx.get(if text { OSV } else { OVAL });
    let event = cx.u16(OEVT);
    if cx.u16(WAIT) == 1 && cx.waits_for(OUT) {
        cx.want_put_and_wait(OUT, val, 3);
        if event > 0 {
            cx.want_event(event.to_string());
        }
        return Flow::Idle;
    }
    cx.want_put(OUT, val);
    if event > 0 {
        cx.want_event(event.to_string());
    }
    Flow::Then(3)
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.timestamp();
    let mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    let changed = mask.union(EventMask::VALUE).union(EventMask::LOG);
    for (new, old) in [(SVAL, PSVL), (OSV, POSV)] {
        if cx.text(new) != cx.text(old) {
            cx.post(new, changed);
            cx.copy(new, old);
        }
    }
    for n in 0..COUNT {
        if cx.f64(A + n) != cx.f64(PA + n) || mask.intersects(EventMask::ALARM) {
            cx.post(A + n, changed);
            cx.copy(A + n, PA + n);
        }
        let text = cx.get(AA + n);
        if text.as_text() != cx.get(PAA + n).as_text() {
            cx.post(AA + n, changed);
            cx.set(PAA + n, text);
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
            let into = if n < COUNT { A + n } else { AA + n - COUNT };
            if field != OUT && cx.load(field, into) {
                cx.post(into, EventMask::VALUE);
            }
            look_at_links(cx);
        }
        _ => {}
    }
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if view.of().field(field).dbf == Dbf::Double {
        meta.units = view.text(EGU).into();
    }
    let prec = view.i32(PREC) as i16;
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
