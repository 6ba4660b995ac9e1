//! The `acalcout` record of the calc module: an expression of numbers and arrays that writes (`aCalcoutRecord.c`,
//! `devaCalcoutSoft.c`). Expressions are those of [`crate::calc::arrays`].
//!
//! Where it differs from the reference:
//! - NUSE is how many elements arrays have. Elements behind are kept there and shown when NUSE grows; here they are 0.
//! - Arrays of more than [`ASYNCHRONOUS`] elements are calculated in a callback of their own, as there by a thread; an
//!   expression that takes more than [`MAX_STEPS`] is refused, with an alarm and a message.
//! - AMEM and PMEM say what memory the reference would have: NELM doubles for each array that was used.

use super::prelude::*;

fields! { common::COUNT,
    VERS => double().special(NoMod).initial("1"),
    RPVT => noaccess().special(NoMod).interest(4),
    VAL => double().asl0(),
    AVAL => noaccess().asl0().special(DbAddr).pp(),
    NELM => ulong().special(NoMod).initial("1").interest(1),
    NUSE => ulong().special(Mod).pp().interest(1),
    PVAL => double(),
    PAVL => noaccess().asl0().pp(),
    CALC => string(80).special(Mod).pp(),
    CLCV => long().interest(1),
    INPA..INPL => inlink().special(Mod).interest(1),
    INAA..INLL => inlink().special(Mod).interest(1),
    OUT => outlink().special(Mod).interest(1),
    INAV..INLV => menu("acalcoutINAV").special(NoMod).initial("1").interest(1),
    IAAV..ILLV => menu("acalcoutINAV").special(NoMod).initial("1").interest(1),
    OUTV => menu("acalcoutINAV").special(NoMod).interest(1),
    OOPT => menu("acalcoutOOPT").interest(1),
    ODLY => double().asl0().interest(1),
    WAIT => menu("acalcoutWAIT").interest(1),
    DLYA => ushort().asl0().special(NoMod),
    DOPT => menu("acalcoutDOPT").interest(1),
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
    AA..LL => noaccess().asl0().special(DbAddr).pp(),
    PAA => noaccess().asl0(),
    NEWM => ulong().asl0().special(NoMod),
    OVAL => double().asl0(),
    OAV => noaccess().asl0().special(DbAddr).pp(),
    POAV => noaccess().asl0().pp(),
    PA..PL => double().special(NoMod).interest(3),
    POVL => double().asl0(),
    LALM => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    RPCL => noaccess().special(NoMod).interest(4),
    ORPC => noaccess().special(NoMod).interest(4),
    CACT => uchar().special(NoMod).interest(1),
    CSTAT => long().special(NoMod).interest(1),
    AMASK => ulong().special(NoMod).interest(1),
    SIZE => menu("acalcoutSIZE").interest(1),
    AMEM => long().special(NoMod).interest(1),
    PMEM => long().special(NoMod).interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "acalcout",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    prepare,
    init,
    process,
    callback,
    special: Some(special),
    array,
    blank: |view, field| if is_array(field) { count(view) } else { 0 },
    stored,
    meta,
    ..Support::HOLDER
};

use std::sync::Arc;
use std::time::Duration;

use super::calc_links::{LOOK_AGAIN, Links, writes};
#[cfg(doc)]
use crate::calc::MAX_STEPS;
use crate::calc::arrays::elements;
use crate::calc::{Arrays, CalcErrorKind, Expression, Fault};

const LIMITS: limits::AlarmFields = limits!();
/// Numbers there are, and as many arrays.
const COUNT: u16 = 12;
const LINKS: Links =
    Links { first: INPA, state: INAV, count: 2 * COUNT + 1, mask: EventMask::VALUE };
/// More elements are calculated later (`aCalcAsyncThreshold`).
const ASYNCHRONOUS: usize = 10_000;
const CHANGED: EventMask = EventMask::VALUE.union(EventMask::LOG);

/// Stages: 1 to 12 have a number, 13 to 24 an array; 30 calculates, 31 has waited for ODLY, 32 has written.
const CALCULATE: u8 = 30;
const DELAYED: u8 = 31;
const WRITTEN: u8 = 32;

fn prepare(cx: &mut Cx<'_>) {
    if cx.u32(NELM) == 0 {
        cx.set(NELM, 1u32);
    }
    if cx.u32(NUSE) > cx.u32(NELM) {
        cx.copy(NELM, NUSE);
    }
}

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

/// How many elements arrays have (`acalcGetNumElements`).
fn count(view: &View<'_>) -> usize {
    let (most, used) = (view.get(NELM).as_u32(), view.get(NUSE).as_u32());
    let count = if used > 0 && used < most { used } else { most };
    count.max(1) as usize
}

fn compile(cx: &mut Cx<'_>, field: u16) {
    let (program, valid, name) = match field {
        CALC => (RPCL, CLCV, "CALC"),
        _ => (ORPC, OCLV, "OCAL"),
    };
    let text = cx.text(field).to_vec();
    let (code, status) = match Expression::parse_arrays(&text) {
        Ok(expression) => (Val::Program(Arc::new(expression)), 0i32),
        // An empty one is no mistake, but has no value.
        Err(error) if error.kind == CalcErrorKind::Empty => (Val::None, 0),
        Err(error) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            cx.warn(format!("{name} \"{text}\" is no expression of arrays: {error}"));
            (Val::None, -1)
        }
    };
    cx.set(program, code);
    cx.set(valid, status);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            LINKS.look_at_others(cx);
            for n in 0..COUNT {
                if cx.f64(A + n) != cx.f64(PA + n) {
                    cx.copy(A + n, PA + n);
                }
            }
            read(cx, 0)
        }
        1..=24 => {
            let link = u16::from(stage) - 1;
            match cx.got().first().cloned() {
                Some(Got::Val(val)) => take(cx, link, val),
                // The rest is not read, and nothing is calculated.
                Some(Got::Failed) => return finish(cx),
                _ => {}
            }
            read(cx, link + 1)
        }
        CALCULATE => calculate(cx),
        DELAYED => {
            cx.set_u16(DLYA, 0);
            cx.post(DLYA, EventMask::VALUE);
            output(cx)
        }
        _ => finish(cx),
    }
}

/// Reads the inputs from this one on, then calculates.
fn read(cx: &mut Cx<'_>, from: u16) -> Flow {
    if let Some(n) = (from..2 * COUNT).find(|&n| is_read(cx, n)) {
        if n < COUNT {
            cx.want(INPA + n, Dbf::Double);
        } else {
            let count = count(&cx.view());
            cx.want_array(INPA + n, Dbf::Double, count);
        }
        return Flow::Then(n as u8 + 1);
    }
    if count(&cx.view()) > ASYNCHRONOUS {
        cx.set(CACT, Val::UChar(1));
        return Flow::Wait(Duration::ZERO, CALCULATE);
    }
    calculate(cx)
}

/// Arrays of PVs that are not connected are left alone.
fn is_read(cx: &Cx<'_>, n: u16) -> bool {
    !cx.is_constant(INPA + n) && (n < COUNT || Links::is_connected(cx.u16(INAV + n)))
}

fn take(cx: &mut Cx<'_>, link: u16, val: Val) {
    if link < COUNT {
        return cx.set(A + link, val);
    }
    let n = link - COUNT;
    let count = count(&cx.view());
    let old = cx.get(AA + n);
    let new = sized(&val, count);
    if real(&old, count).ne(real(&new, count)) {
        let mask = cx.u32(NEWM) | 1 << n;
        cx.set(NEWM, mask);
    }
    cx.set(AA + n, new);
}

/// An array of so many real numbers; what is missing is 0.
fn sized(val: &Val, count: usize) -> Val {
    match val {
        Val::Array(array) if elements(array).len() == count => val.clone(),
        Val::Array(array) => Val::from(Array::Double(padded(elements(array), count))),
        _ => Val::from(Array::Double(vec![0.0; count])),
    }
}

fn padded(all: &[f64], count: usize) -> Vec<f64> {
    let mut all: Vec<f64> = all.iter().copied().take(count).collect();
    all.resize(count, 0.0);
    all
}

/// The elements of a value, and zeros behind them.
fn real(val: &Val, count: usize) -> impl Iterator<Item = f64> {
    let all = match val {
        Val::Array(array) => elements(array),
        _ => &[],
    };
    all.iter().copied().chain(std::iter::repeat(0.0)).take(count)
}

fn calculate(cx: &mut Cx<'_>) -> Flow {
    cx.set(CACT, Val::UChar(0));
    let mut with = Arrays::new(count(&cx.view()));
    for n in 0..COUNT {
        if let Some(number) = with.numbers.get_mut(usize::from(n)) {
            *number = cx.f64(A + n);
        }
        if let Some(array) = with.arrays.get_mut(usize::from(n)) {
            *array = array_of(cx, AA + n);
        }
    }
    let mut failed = evaluate(cx, &mut with, RPCL, "CALC", [VAL, AVAL]);
    if cx.u16(DOPT) == 1 {
        failed |= evaluate(cx, &mut with, ORPC, "OCAL", [OVAL, OAV]);
    }
    cx.set(CSTAT, if failed { -1i32 } else { 0 });
    cx.set(AMASK, with.stored);
    for (n, (number, array)) in (0..COUNT).zip(with.numbers.into_iter().zip(with.arrays)) {
        if cx.f64(A + n) != number {
            cx.set(A + n, number);
        }
        if with.stored & 1 << n != 0 {
            cx.set(AA + n, array.map_or(Val::None, Val::Array));
            cx.post(AA + n, CHANGED);
        }
    }
    if failed {
        cx.alarm(stat::CALC, 3);
    } else {
        cx.set_udf(false);
    }
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

fn array_of(cx: &Cx<'_>, field: u16) -> Option<Arc<Array>> {
    match cx.val(field) {
        Val::Array(array) => Some(Arc::clone(array)),
        _ => None,
    }
}

/// Evaluates an expression into a number and an array; whether it failed.
fn evaluate(cx: &mut Cx<'_>, with: &mut Arrays, program: u16, name: &str, [number, array]: [u16; 2]) -> bool {
    let Val::Program(expression) = cx.get(program) else {
        return true;
    };
    with.number = cx.f64(number);
    with.array = array_of(cx, array);
    let result = with.evaluate(&expression, cx.random());
    cx.set(number, with.number);
    if let Some(value) = with.array.take() {
        cx.set(array, Val::Array(value));
    }
    if let Err(fault @ Fault::TooMuch) = result {
        cx.warn_once(format!("{name} was not evaluated: {fault}"));
    }
    result.is_err()
}

/// `execOutput`, and the device support.
fn output(cx: &mut Cx<'_>) -> Flow {
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => cx.copy(IVOV, OVAL),
        Drive::Write => {}
    }
    let used = match cx.u32(NUSE) {
        0 => cx.u32(NELM),
        used => used,
    };
    let count = cx.linked_count(OUT).unwrap_or(1).min(used as usize);
    let [number, array] = if cx.u16(DOPT) == 0 { [VAL, AVAL] } else { [OVAL, OAV] };
    let val = match count {
        ..=1 => cx.get(number),
        count => sized(&cx.get(array), count),
    };
    let event = cx.u16(OEVT);
    let waits = cx.u16(WAIT) == 1 && cx.waits_for(OUT);
    if waits {
        cx.want_put_and_wait(OUT, val, WRITTEN);
    } else {
        cx.want_put(OUT, val);
    }
    if event > 0 {
        cx.want_event(event.to_string());
    }
    if waits { Flow::Idle } else { Flow::Then(WRITTEN) }
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.timestamp();
    let mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    tell_array(cx, AVAL, PAVL, mask);
    tell_array(cx, OAV, POAV, mask);
    let changed = mask.union(CHANGED);
    for n in 0..COUNT {
        if cx.f64(A + n) != cx.f64(PA + n) || mask.intersects(EventMask::ALARM) {
            cx.post(A + n, changed);
            cx.copy(A + n, PA + n);
        }
    }
    let new = cx.u32(NEWM);
    for n in 0..COUNT {
        if new & 1 << n != 0 {
            cx.post(AA + n, changed);
        }
    }
    if new != 0 {
        cx.set(NEWM, 0u32);
    }
    if cx.f64(POVL) != cx.f64(OVAL) {
        cx.post(OVAL, changed);
        cx.copy(OVAL, POVL);
    }
    tell_memory(cx, changed);
    Flow::Done
}

/// Tells of an array if an element left its dead-band around the one that was told last.
fn tell_array(cx: &mut Cx<'_>, field: u16, last: u16, mask: EventMask) {
    let count = count(&cx.view());
    let (new, old) = (cx.get(field), cx.get(last));
    let (mdel, adel) = (cx.f64(MDEL), cx.f64(ADEL));
    let mut told = EventMask(0);
    let pairs = real(&new, count).zip(real(&old, count));
    for (new, old) in pairs {
        let distance = (old - new).abs();
        if distance > mdel {
            told = told.union(EventMask::VALUE);
        }
        if distance > adel {
            told = told.union(EventMask::LOG);
        }
    }
    if told != EventMask(0) {
        cx.post(field, mask.union(told));
        cx.set(last, new);
    }
}

/// Tells of the memory that arrays have: of those that were used, and of those that every record has.
fn tell_memory(cx: &mut Cx<'_>, mask: EventMask) {
    let used = (0..COUNT).filter(|&n| cx.has(AA + n)).count() as u32 + 4;
    let bytes = cx.u32(NELM).saturating_mul(8).saturating_mul(used);
    cx.set(AMEM, bytes as i32);
    if cx.i32(AMEM) != cx.i32(PMEM) {
        cx.post(AMEM, mask);
        cx.copy(AMEM, PMEM);
    }
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
        NUSE => {
            let fits = cx.u32(NUSE) <= cx.u32(NELM);
            if !fits {
                cx.copy(NELM, NUSE);
                cx.post(NUSE, EventMask::VALUE);
            }
            resize(cx);
            return if fits { Ok(()) } else { Err(PutError::Refused) };
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

/// Gives all arrays the number of elements that they have now.
fn resize(cx: &mut Cx<'_>) {
    let count = count(&cx.view());
    for field in (AA..=LL).chain([AVAL, OAV, PAVL, POAV]) {
        if let val @ Val::Array(_) = cx.get(field) {
            cx.set(field, sized(&val, count));
        }
    }
}

fn is_array(field: u16) -> bool {
    matches!(field, AVAL | OAV | AA..=LL)
}

fn array(view: &View<'_>, field: u16) -> Option<ArrayShape> {
    is_array(field).then(|| ArrayShape {
        dbf: Dbf::Double,
        capacity: match view.u16(SIZE) {
            0 => view.get(NELM).as_u32() as usize,
            _ => count(view),
        },
    })
}

/// What was not written becomes 0.
fn stored(cx: &mut Cx<'_>, field: u16, _: usize) {
    let count = count(&cx.view());
    let val = cx.get(field);
    cx.set(field, sized(&val, count));
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
