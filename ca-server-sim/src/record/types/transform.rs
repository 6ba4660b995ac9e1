//! The `transform` record of the calc module: sixteen expressions (`transformRecord.c`). They are those of
//! [`crate::calc::texts`], with numbers `A` to `P` alone; texts in them are empty.
//!
//! A comment that begins with `$` names its value: with `$x` in CMTA, expressions may say `$x` for `A`.

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

use super::calc_links::{LOOK_AGAIN, Links};
use crate::calc::{CalcErrorKind, Expression, Fault, Texts};

/// Values there are.
const COUNT: u16 = 16;
const LINKS: Links = Links { first: INPA, state: IAV, count: 2 * COUNT, mask: CHANGED };
const CHANGED: EventMask = EventMask::VALUE.union(EventMask::LOG);
/// Whether all values were told once.
const TOLD: u16 = common::DPVT;

fn init(cx: &mut Cx<'_>) {
    cx.set(VAL, 0.0);
    for n in 0..COUNT {
        cx.load(INPA + n, A + n);
        compile(cx, n);
        cx.copy(A + n, LA + n);
    }
    LINKS.look(cx);
}

fn callback(cx: &mut Cx<'_>) {
    LINKS.look(cx);
}

/// Names of values, from their comments: the longest first.
fn names(cx: &Cx<'_>) -> Vec<(Vec<u8>, u8)> {
    let mut names = Vec::new();
    for (n, letter) in (0..COUNT).zip(b'A'..) {
        let comment = cx.text(CMTA + n);
        if comment.first() == Some(&b'$') {
            let name = comment.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            names.push((name.to_vec(), letter));
        }
    }
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names
}

/// An expression with letters in place of names. What begins like a function of texts is none.
fn with_letters(text: &[u8], names: &[(Vec<u8>, u8)]) -> Vec<u8> {
    let is_function = |rest: &[u8]| {
        let letter = rest.get(1).map(u8::to_ascii_uppercase);
        letter.is_some_and(|letter| b"PTWSRE".contains(&letter)) && rest.get(2) == Some(&b'(')
    };
    let mut new = Vec::new();
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let fits = |(name, _): &&(Vec<u8>, u8)| {
            let head = rest.get(..name.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(name))
        };
        match names.iter().find(fits).filter(|_| *first == b'$' && !is_function(rest)) {
            Some((name, letter)) => {
                new.push(*letter);
                rest = rest.get(name.len()..).unwrap_or_default();
            }
            None => {
                new.push(*first);
                rest = behind;
            }
        }
    }
    new
}

/// Understands an expression; an empty one is none, and no mistake.
fn compile(cx: &mut Cx<'_>, n: u16) {
    let text = with_letters(cx.text(CLCA + n), &names(cx));
    let (program, valid) = match Expression::parse_texts(&text) {
        Ok(program) => (Val::Program(Arc::new(program)), true),
        Err(error) if error.kind == CalcErrorKind::Empty => (Val::None, true),
        Err(error) => {
            let letter = char::from(b'A' + n as u8);
            let text = String::from_utf8_lossy(&text).into_owned();
            cx.warn(format!("CLC{letter} \"{text}\" is no expression: {error}"));
            (Val::None, false)
        }
    };
    cx.set(RPCA + n, program);
    cx.set(CAV + n, if valid { 0i32 } else { -1 });
}

/// Stages: 0 begins, 1 has the inputs, 2 has written.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            cx.set_udf(false);
            LINKS.look_at_others(cx);
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
            // The mask of alarms is not told with values.
            cx.reset_alarms();
            let all = matches!(cx.get(TOLD), Val::None);
            for n in 0..COUNT {
                if all || cx.f64(A + n) != cx.f64(LA + n) {
                    cx.post(A + n, CHANGED);
                    cx.copy(A + n, LA + n);
                }
            }
            cx.set(TOLD, Val::UChar(1));
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
    let written = cx.u16(MAP);
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
        let mut with = Texts {
            number: cx.f64(A + n),
            ..Texts::default()
        };
        for (n, number) in (0..COUNT).zip(&mut with.numbers) {
            *number = cx.f64(A + n);
        }
        let result = with.evaluate(&program, cx.random());
        for (n, number) in (0..COUNT).zip(with.numbers) {
            if cx.f64(A + n).to_bits() != number.to_bits() {
                cx.set(A + n, number);
            }
        }
        cx.set(A + n, with.number);
        if let Err(fault) = result {
            if fault == Fault::TooMuch {
                let letter = char::from(b'A' + n as u8);
                cx.warn_once(format!("CLC{letter} was not evaluated: {fault}"));
            }
            cx.alarm(stat::CALC, 3);
            cx.set_udf(true);
        }
    }
    cx.set(MAP, 0i16);
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    let of = |first: u16, count: u16| field.checked_sub(first).filter(|&n| n < count);
    if let Some(n) = of(A, COUNT) {
        if !after {
            // What an input gives cannot be written.
            return if cx.is_constant(INPA + n) { Ok(()) } else { Err(PutError::Refused) };
        }
        if !cx.pact() {
            let written = cx.u16(MAP) | 1 << n;
            cx.set(MAP, written as i16);
        }
    } else if let Some(n) = of(CLCA, COUNT).filter(|_| after) {
        let old = cx.i32(CAV + n);
        compile(cx, n);
        if cx.i32(CAV + n) != old {
            cx.post(CAV + n, CHANGED);
        }
    } else if let Some(n) = of(INPA, 2 * COUNT).filter(|_| after) {
        if n < COUNT && cx.load(INPA + n, A + n) {
            cx.post(A + n, CHANGED);
        }
        if LINKS.look_at(cx, n) {
            cx.call_back(LOOK_AGAIN);
        }
    }
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    let prec = view.i32(PREC) as i16;
    meta.precision = Some(match field {
        VERS => 2,
        field if field >= VAL => prec,
        _ => limits::precision(view, field, false, prec),
    });
}
