//! The `sub` record: calls a function (`subRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => double().asl0().pp(),
    INAM => string(40).special(NoMod).interest(1),
    SNAM => string(40).special(Mod).interest(1),
    SADR => noaccess().special(NoMod).interest(4),
    INPA..INPU => inlink().interest(1),
    EGU => string(16).prop().interest(1),
    HOPR => double().prop().interest(1),
    LOPR => double().prop().interest(1),
    HIHI => double().pp().prop().interest(1),
    LOLO => double().pp().prop().interest(1),
    HIGH => double().pp().prop().interest(1),
    LOW => double().pp().prop().interest(1),
    PREC => short().prop().interest(1),
    BRSV => menu("menuAlarmSevr").pp().interest(1),
    HHSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LLSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HYST => double().interest(1),
    ADEL => double().interest(1),
    MDEL => double().interest(1),
    A..U => double().pp(),
    LA..LU => double().special(NoMod).interest(3),
    LALM => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "sub",
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

const LIMITS: limits::AlarmFields = limits!();
/// Inputs there are.
const COUNT: u16 = 21;
/// The stage that has them all.
const CALL: u8 = COUNT as u8;

fn init(cx: &mut Cx<'_>) {
    for n in 0..COUNT {
        cx.load(INPA + n, A + n);
    }
    let name = String::from_utf8_lossy(cx.text(INAM)).into_owned();
    if !name.is_empty() && cx.call(&name).is_none() {
        cx.warn_missing("INAM", &name);
        return;
    }
    cx.forget_call();
    if look_up(cx) {
        for field in [MLST, ALST, LALM] {
            cx.copy(VAL, field);
        }
    }
}

/// Whether the function of SNAM is one that there is. A record without one stays active.
fn look_up(cx: &mut Cx<'_>) -> bool {
    let name = String::from_utf8_lossy(cx.text(SNAM)).into_owned();
    let found = cx.has_function(&name);
    cx.set(SADR, if found { Val::UChar(1) } else { Val::None });
    if name.is_empty() {
        cx.warn("SNAM is empty".to_owned());
        cx.set_pact(true);
        return false;
    }
    if !found {
        cx.warn_missing("SNAM", &name);
    }
    found
}

/// Stage n reads the input n; one that cannot be read ends it.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if stage == ANSWERED {
        let status = cx.take_answer();
        return called(cx, Some(status));
    }
    if stage > 0 && cx.any_failed() {
        return finish(cx);
    }
    if stage < CALL {
        let n = (u16::from(stage)..COUNT).find(|&n| !cx.is_constant(INPA + n));
        if let Some(n) = n {
            cx.want_into(INPA + n, A + n);
            return Flow::Then(n as u8 + 1);
        }
    }
    let name = String::from_utf8_lossy(cx.text(SNAM)).into_owned();
    let known = cx.get(SADR) != Val::None;
    let status = known.then(|| cx.call(&name)).flatten();
    if cx.answers_later() {
        return Flow::Idle;
    }
    called(cx, status)
}

fn called(cx: &mut Cx<'_>, status: Option<i32>) -> Flow {
    match status {
        None => {
            cx.alarm(stat::BAD_SUB, 3);
        }
        Some(status) if status < 0 => {
            let severity = cx.u16(BRSV);
            cx.alarm(stat::SOFT, severity);
        }
        Some(_) => {
            let undefined = cx.f64(VAL).is_nan();
            cx.set_udf(undefined);
        }
    }
    finish(cx)
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.timestamp();
    let now = cx.time();
    LIMITS.check(cx, now);
    let mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    for n in 0..COUNT {
        if cx.f64(A + n) != cx.f64(LA + n) {
            cx.post(A + n, mask.union(EventMask::VALUE).union(EventMask::LOG));
            cx.copy(A + n, LA + n);
        }
    }
    Flow::Done
}

fn special(cx: &mut Cx<'_>, _: u16, after: bool) -> Result<(), PutError> {
    if !after {
        if cx.text(SNAM).is_empty() && cx.pact() {
            cx.set_pact(false);
            cx.set_u16(common::RPRO, 0);
        }
        return Ok(());
    }
    if look_up(cx) || cx.text(SNAM).is_empty() { Ok(()) } else { Err(PutError::Refused) }
}

/// The link of an argument or of its last value.
fn link_of(field: u16) -> Option<u16> {
    let of = |first: u16| field.checked_sub(first).filter(|&n| n < COUNT);
    of(A).or_else(|| of(LA)).map(|n| INPA + n)
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    let prec = view.i32(PREC) as i16;
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
