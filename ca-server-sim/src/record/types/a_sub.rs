//! The `aSub` record: calls a function of arrays (`aSubRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => long().asl0(),
    OVAL => long().special(NoMod).interest(3),
    INAM => string(41).special(NoMod).interest(1),
    LFLG => menu("aSubLFLG").interest(1),
    SUBL => inlink().special(NoMod).interest(1),
    SNAM => string(41).special(Mod).interest(1),
    ONAM => string(41).special(NoMod).interest(3),
    SADR => noaccess().special(NoMod).interest(2),
    CADR => noaccess().special(NoMod).interest(2),
    BRSV => menu("menuAlarmSevr").pp().interest(1),
    PREC => short().prop().interest(1),
    EFLG => menu("aSubEFLG").initial("1").interest(1),
    INPA..INPU => inlink().interest(1),
    A..U => noaccess().asl0().special(DbAddr).interest(2),
    FTA..FTU => menu("menuFtype").special(NoMod).initial("DOUBLE").interest(1),
    NOA..NOU => ulong().special(NoMod).initial("1").interest(1),
    NEA..NEU => ulong().special(NoMod).initial("1").interest(3),
    OUTA..OUTU => outlink().interest(1),
    VALA..VALU => noaccess().asl0().special(DbAddr).interest(2),
    OVLA..OVLU => noaccess().asl0().special(NoMod).interest(4),
    FTVA..FTVU => menu("menuFtype").special(NoMod).initial("DOUBLE").interest(1),
    NOVA..NOVU => ulong().special(NoMod).initial("1").interest(1),
    NEVA..NEVU => ulong().special(NoMod).initial("1").interest(3),
    ONVA..ONVU => ulong().special(NoMod).initial("1").interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "aSub",
    fields: FIELDS,
    devices: &[],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    prepare,
    init,
    process,
    special: Some(special),
    array,
    stored,
    meta,
    ..Support::HOLDER
};

use super::waveform::element;

/// Inputs there are, and outputs.
const COUNT: u16 = 21;
/// Status of a function that there is not (`S_db_BadSub`).
const BAD_SUB: i32 = (511 << 16) | 35;
/// Stages: 0 begins, 1 to 21 have an input, 30 has SUBL, 31 has written.
const NAMED: u8 = 30;
const WRITTEN: u8 = 31;

fn prepare(cx: &mut Cx<'_>) {
    let mut last: Option<(Dbf, u32, Val)> = None;
    for [ft, no, ne, val] in [[FTA, NOA, NEA, A], [FTVA, NOVA, NEVA, VALA]] {
        for n in 0..COUNT {
            let dbf = element(cx.u16(ft + n));
            let count = cx.u32(no + n).max(1);
            cx.set(no + n, count);
            cx.set(ne + n, count);
            // Those that are alike share their zeros.
            let zeros = match last.take() {
                Some((like, length, zeros)) if (like, length) == (dbf, count) => zeros,
                _ => zeros(dbf, count),
            };
            cx.set(val + n, zeros.clone());
            last = Some((dbf, count, zeros));
        }
    }
    for n in 0..COUNT {
        cx.copy(NEVA + n, ONVA + n);
    }
}

fn zeros(dbf: Dbf, count: u32) -> Val {
    let all = std::iter::repeat_n(Val::zero(dbf), count as usize);
    Array::collect(all, dbf, count as usize, &Conversion::PLAIN).map_or(Val::None, Val::from)
}

fn init(cx: &mut Cx<'_>) {
    cx.load(SUBL, SNAM);
    for n in 0..COUNT {
        let (dbf, room) = (element(cx.u16(FTA + n)), cx.u32(NOA + n) as usize);
        if let Some(val) = cx.constant_array(INPA + n, dbf, room)
            && val.count() > 0
        {
            cx.set(NEA + n, val.count() as u32);
            cx.set(A + n, val);
        }
    }
    let name = String::from_utf8_lossy(cx.text(INAM)).into_owned();
    let known = name.is_empty() || cx.call(&name).is_some();
    cx.forget_call();
    if !known {
        cx.warn_missing("INAM", &name);
        return;
    }
    if cx.u16(LFLG) == 0 && !cx.text(SNAM).is_empty() && !look_up(cx) {
        return;
    }
    cx.copy(SNAM, ONAM);
    cx.copy(VAL, OVAL);
    for n in 0..COUNT {
        cx.copy(NEVA + n, ONVA + n);
        cx.copy(VALA + n, OVLA + n);
    }
}

/// Whether the function of SNAM is one that there is.
fn look_up(cx: &mut Cx<'_>) -> bool {
    let name = String::from_utf8_lossy(cx.text(SNAM)).into_owned();
    let found = cx.has_function(&name);
    cx.set(SADR, if found { Val::text(&name) } else { Val::None });
    if !found && !name.is_empty() {
        cx.warn_missing("SNAM", &name);
    }
    found
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 if cx.u16(LFLG) == 1 => {
            cx.want_into(SUBL, SNAM);
            Flow::Then(NAMED)
        }
        WRITTEN => monitor(cx),
        ANSWERED => {
            let status = cx.take_answer();
            let status = called(cx, Some(status));
            cx.set(VAL, status);
            finish(cx, Some(status))
        }
        NAMED => {
            let named = !cx.any_failed() && find_again(cx);
            if named { read(cx, 0) } else { finish(cx, None) }
        }
        0 => read(cx, 0),
        stage => {
            let n = u16::from(stage) - 1;
            match cx.got().first().cloned() {
                Some(Got::Val(val)) => {
                    cx.set(NEA + n, val.count() as u32);
                    cx.set(A + n, val);
                    read(cx, n + 1)
                }
                // The rest is not read.
                _ => finish(cx, None),
            }
        }
    }
}

/// SUBL may have given another name; whether there is such a function.
fn find_again(cx: &mut Cx<'_>) -> bool {
    if cx.text(SNAM).is_empty() || cx.text(SNAM) == cx.text(ONAM) {
        return true;
    }
    let name = String::from_utf8_lossy(cx.text(SNAM)).into_owned();
    if !cx.has_function(&name) {
        cx.warn_missing("SNAM", &name);
        return false;
    }
    cx.set(SADR, Val::text(&name));
    cx.copy(SNAM, ONAM);
    true
}

/// Reads the inputs from this one on, then calls the function.
fn read(cx: &mut Cx<'_>, from: u16) -> Flow {
    if let Some(n) = (from..COUNT).find(|&n| !cx.is_constant(INPA + n)) {
        let (dbf, room) = (element(cx.u16(FTA + n)), cx.u32(NOA + n) as usize);
        cx.want_array(INPA + n, dbf, room);
        return Flow::Then(n as u8 + 1);
    }
    let status = if cx.text(SNAM).is_empty() { 0 } else { call(cx) };
    if cx.answers_later() {
        return Flow::Idle;
    }
    cx.set(VAL, status);
    finish(cx, Some(status))
}

/// `do_sub`
fn call(cx: &mut Cx<'_>) -> i32 {
    let name = match cx.get(SADR) {
        Val::String(name) => String::from_utf8_lossy(&name).into_owned(),
        _ => String::new(),
    };
    let status = cx.call(&name);
    called(cx, status)
}

fn called(cx: &mut Cx<'_>, status: Option<i32>) -> i32 {
    let Some(status) = status else {
        cx.alarm(stat::BAD_SUB, 3);
        return BAD_SUB;
    };
    if status < 0 {
        let severity = cx.u16(BRSV);
        cx.alarm(stat::SOFT, severity);
    } else {
        cx.set_udf(false);
    }
    status
}

fn finish(cx: &mut Cx<'_>, status: Option<i32>) -> Flow {
    cx.timestamp();
    if status == Some(0) {
        for n in 0..COUNT {
            if !cx.is_constant(OUTA + n) {
                let val = cx.get(VALA + n);
                cx.want_put(OUTA + n, val);
            }
        }
    }
    Flow::Then(WRITTEN)
}

fn monitor(cx: &mut Cx<'_>) -> Flow {
    let mask = cx.reset_alarms().union(EventMask::VALUE).union(EventMask::LOG);
    if cx.i32(VAL) != cx.i32(OVAL) {
        cx.post(VAL, mask);
        cx.copy(VAL, OVAL);
    }
    for n in 0..COUNT {
        match cx.u16(EFLG) {
            1 => {
                let longer = cx.u32(NEVA + n) != cx.u32(ONVA + n);
                if longer || cx.get(VALA + n) != cx.get(OVLA + n) {
                    cx.copy(VALA + n, OVLA + n);
                    cx.post(VALA + n, mask);
                    if longer {
                        cx.copy(NEVA + n, ONVA + n);
                        cx.post(NEVA + n, mask);
                    }
                }
            }
            2 => {
                cx.post(VALA + n, mask);
                cx.post(NEVA + n, mask);
            }
            _ => {}
        }
    }
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if field == SNAM && after && cx.u16(LFLG) == 0 && !look_up(cx) && !cx.text(SNAM).is_empty() {
        return Err(PutError::Refused);
    }
    Ok(())
}

/// The fields of an array: type, room, elements.
fn fields_of(field: u16) -> Option<[u16; 3]> {
    let of = |first: u16| field.checked_sub(first).filter(|&n| n < COUNT);
    of(A)
        .map(|n| [FTA + n, NOA + n, NEA + n])
        .or_else(|| of(VALA).map(|n| [FTVA + n, NOVA + n, NEVA + n]))
}

fn array(view: &View<'_>, field: u16) -> Option<ArrayShape> {
    fields_of(field).map(|[ft, no, _]| ArrayShape {
        dbf: element(view.u16(ft)),
        capacity: view.get(no).as_u32() as usize,
    })
}

fn stored(cx: &mut Cx<'_>, field: u16, count: usize) {
    if let Some([_, _, ne]) = fields_of(field) {
        cx.set(ne, count as u32);
    }
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    meta.control = crate::record::support::range(view.of().field(field).dbf);
    let prec = view.i32(PREC) as i16;
    let of = |first: u16| field.checked_sub(first).filter(|&n| n < COUNT);
    let link = of(A).map(|n| INPA + n).or_else(|| of(VALA).map(|n| OUTA + n));
    let Some(link) = link else {
        meta.precision = Some(limits::precision(view, field, false, prec));
        return;
    };
    meta.precision = Some(prec);
    if let Some(linked) = view.linked_meta(link) {
        meta.units = linked.units;
        meta.display = linked.display;
        meta.alarm = linked.alarm;
        meta.precision = linked.precision.or(meta.precision);
    }
}
