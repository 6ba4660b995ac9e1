//! The `sseq` record of the calc module: moves numbers and texts one after another, and waits (`sseqRecord.c`).

use super::prelude::*;

fields! { common::COUNT,
    VAL => long().asl0().pp(),
    SELM => menu("sseqSELM").interest(1),
    SELN => ushort().initial("1").interest(1),
    SELL => inlink().interest(1),
    PREC => short().interest(1),
    DLY1 => double().special(Mod).interest(1),
    DOL1 => inlink().special(Mod).interest(1),
    DO1 => double().special(Mod).interest(1),
    LNK1 => outlink().special(Mod).interest(1),
    STR1 => string(40).special(Mod).interest(4),
    DT1 => short().special(NoMod).interest(4),
    LT1 => short().special(NoMod).interest(4),
    WAIT1 => menu("sseqWAIT").special(Mod).interest(1),
    WERR1 => short().special(NoMod).interest(1),
    WTG1 => short().special(NoMod).interest(1),
    IX1 => short().special(NoMod).initial("0").interest(2),
    DOL1V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNK1V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    DLY2 => double().special(Mod).interest(1),
    DOL2 => inlink().special(Mod).interest(1),
    DO2 => double().special(Mod).interest(1),
    LNK2 => outlink().special(Mod).interest(1),
    STR2 => string(40).special(Mod).interest(4),
    DT2 => short().special(NoMod).interest(4),
    LT2 => short().special(NoMod).interest(4),
    WAIT2 => menu("sseqWAIT").special(Mod).interest(1),
    WERR2 => short().special(NoMod).interest(1),
    WTG2 => short().special(NoMod).interest(1),
    IX2 => short().special(NoMod).initial("1").interest(2),
    DOL2V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNK2V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    DLY3 => double().special(Mod).interest(1),
    DOL3 => inlink().special(Mod).interest(1),
    DO3 => double().special(Mod).interest(1),
    LNK3 => outlink().special(Mod).interest(1),
    STR3 => string(40).special(Mod).interest(4),
    DT3 => short().special(NoMod).interest(4),
    LT3 => short().special(NoMod).interest(4),
    WAIT3 => menu("sseqWAIT").special(Mod).interest(1),
    WERR3 => short().special(NoMod).interest(1),
    WTG3 => short().special(NoMod).interest(1),
    IX3 => short().special(NoMod).initial("2").interest(2),
    DOL3V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNK3V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    DLY4 => double().special(Mod).interest(1),
    DOL4 => inlink().special(Mod).interest(1),
    DO4 => double().special(Mod).interest(1),
    LNK4 => outlink().special(Mod).interest(1),
    STR4 => string(40).special(Mod).interest(4),
    DT4 => short().special(NoMod).interest(4),
    LT4 => short().special(NoMod).interest(4),
    WAIT4 => menu("sseqWAIT").special(Mod).interest(1),
    WERR4 => short().special(NoMod).interest(1),
    WTG4 => short().special(NoMod).interest(1),
    IX4 => short().special(NoMod).initial("3").interest(2),
    DOL4V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNK4V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    DLY5 => double().special(Mod).interest(1),
    DOL5 => inlink().special(Mod).interest(1),
    DO5 => double().special(Mod).interest(1),
    LNK5 => outlink().special(Mod).interest(1),
    STR5 => string(40).special(Mod).interest(4),
    DT5 => short().special(NoMod).interest(4),
    LT5 => short().special(NoMod).interest(4),
    WAIT5 => menu("sseqWAIT").special(Mod).interest(1),
    WERR5 => short().special(NoMod).interest(1),
    WTG5 => short().special(NoMod).interest(1),
    IX5 => short().special(NoMod).initial("4").interest(2),
    DOL5V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNK5V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    DLY6 => double().special(Mod).interest(1),
    DOL6 => inlink().special(Mod).interest(1),
    DO6 => double().special(Mod).interest(1),
    LNK6 => outlink().special(Mod).interest(1),
    STR6 => string(40).special(Mod).interest(4),
    DT6 => short().special(NoMod).interest(4),
    LT6 => short().special(NoMod).interest(4),
    WAIT6 => menu("sseqWAIT").special(Mod).interest(1),
    WERR6 => short().special(NoMod).interest(1),
    WTG6 => short().special(NoMod).interest(1),
    IX6 => short().special(NoMod).initial("5").interest(2),
    DOL6V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNK6V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    DLY7 => double().special(Mod).interest(1),
    DOL7 => inlink().special(Mod).interest(1),
    DO7 => double().special(Mod).interest(1),
    LNK7 => outlink().special(Mod).interest(1),
    STR7 => string(40).special(Mod).interest(4),
    DT7 => short().special(NoMod).interest(4),
    LT7 => short().special(NoMod).interest(4),
    WAIT7 => menu("sseqWAIT").special(Mod).interest(1),
    WERR7 => short().special(NoMod).interest(1),
    WTG7 => short().special(NoMod).interest(1),
    IX7 => short().special(NoMod).initial("6").interest(2),
    DOL7V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNK7V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    DLY8 => double().special(Mod).interest(1),
    DOL8 => inlink().special(Mod).interest(1),
    DO8 => double().special(Mod).interest(1),
    LNK8 => outlink().special(Mod).interest(1),
    STR8 => string(40).special(Mod).interest(4),
    DT8 => short().special(NoMod).interest(4),
    LT8 => short().special(NoMod).interest(4),
    WAIT8 => menu("sseqWAIT").special(Mod).interest(1),
    WERR8 => short().special(NoMod).interest(1),
    WTG8 => short().special(NoMod).interest(1),
    IX8 => short().special(NoMod).initial("7").interest(2),
    DOL8V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNK8V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    DLY9 => double().special(Mod).interest(1),
    DOL9 => inlink().special(Mod).interest(1),
    DO9 => double().special(Mod).interest(1),
    LNK9 => outlink().special(Mod).interest(1),
    STR9 => string(40).special(Mod).interest(4),
    DT9 => short().special(NoMod).interest(4),
    LT9 => short().special(NoMod).interest(4),
    WAIT9 => menu("sseqWAIT").special(Mod).interest(1),
    WERR9 => short().special(NoMod).interest(1),
    WTG9 => short().special(NoMod).interest(1),
    IX9 => short().special(NoMod).initial("8").interest(2),
    DOL9V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNK9V => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    DLYA => double().special(Mod).interest(1),
    DOLA => inlink().special(Mod).interest(1),
    DOA => double().special(Mod).interest(1),
    LNKA => outlink().special(Mod).interest(1),
    STRA => string(40).special(Mod).interest(4),
    DTA => short().special(NoMod).interest(4),
    LTA => short().special(NoMod).interest(4),
    WAITA => menu("sseqWAIT").special(Mod).interest(1),
    WERRA => short().special(NoMod).interest(1),
    WTGA => short().interest(1),
    IXA => short().initial("9").interest(2),
    DOLAV => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    LNKAV => menu("sseqLNKV").special(NoMod).initial("1").interest(1),
    ABORT => short().special(Mod).interest(1),
    ABORTING => short().special(Mod).interest(1),
    BUSY => short().special(NoMod).interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "sseq",
    fields: FIELDS,
    devices: &[],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    callback: look_at_all,
    special: Some(special),
    meta,
    ..Support::HOLDER
};

use std::time::Duration;

use ca_proto::text::format::{RealKind, format_real};
use ca_proto::text::parse::strtod;

use super::calc_links::LOOK_AGAIN;

/// Groups of links there are, and fields of each.
const GROUPS: u16 = 10;
const SIZE: u16 = DLY2 - DLY1;
/// The groups that are still to be done, a bit for each.
const LEFT: u16 = common::DPVT;
/// Whether the next group waits for what others have set in motion.
const HELD: u16 = common::SPVT;
/// The stage in which a group is done that was waited for, for the first one.
const DONE: u8 = 100;

/// `sseqLNKV`
mod link_state {
    pub(super) const DISCONNECTED: u16 = 0;
    pub(super) const CONNECTED: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const CONSTANT: u16 = 3;
}

/// The field of a group that the first one has here.
const fn at(first: u16, n: u16) -> u16 {
    first + n * SIZE
}

fn init(cx: &mut Cx<'_>) {
    cx.load(SELL, SELN);
    for n in 0..GROUPS {
        cx.load(at(DOL1, n), at(DO1, n));
        cx.load(at(DOL1, n), at(STR1, n));
        if cx.text(at(STR1, n)).is_empty() {
            text_of_number(cx, n);
        } else {
            number_of_text(cx, n);
        }
    }
    look_at_all(cx);
}

/// Looks at the links of all groups, and again after a time while some are not connected.
fn look_at_all(cx: &mut Cx<'_>) {
    let waiting = (0..GROUPS).filter(|&n| look_at_links(cx, n)).count();
    if waiting > 0 {
        cx.call_back(LOOK_AGAIN);
    }
}

/// Tells of the links of a group if they are in another state; whether one waits to be connected.
fn look_at_links(cx: &mut Cx<'_>, n: u16) -> bool {
    let mut waits = false;
    for (link, kind, state) in [(DOL1, DT1, DOL1V), (LNK1, LT1, LNK1V)] {
        let link = at(link, n);
        let dbf = cx.linked_dbf(link);
        let new = match dbf {
            _ if cx.is_constant(link) => link_state::CONSTANT,
            None => link_state::DISCONNECTED,
            Some(_) if cx.is_local(link) => link_state::LOCAL,
            Some(_) => link_state::CONNECTED,
        };
        waits |= new == link_state::DISCONNECTED;
        cx.set(at(kind, n), dbf.map_or(-1i16, |dbf| dbf as i16));
        if cx.u16(at(state, n)) != new {
            cx.set_u16(at(state, n), new);
            cx.post(at(state, n), EventMask::VALUE);
        }
    }
    // Only what is written through Channel Access can be waited for.
    let link = at(LNK1, n);
    let mistake = cx.is_local(link) && !cx.waits_for(link) && is(cx, at(WAIT1, n));
    if is(cx, at(WERR1, n)) != mistake {
        cx.set_u16(at(WERR1, n), mistake.into());
        cx.post(at(WERR1, n), EventMask::VALUE);
    }
    waits
}

/// STR of DO, in as many digits as PREC says.
fn text_of_number(cx: &mut Cx<'_>, n: u16) {
    let text = format_real(cx.f64(at(DO1, n)), cx.i32(PREC) as i16, RealKind::Double);
    if cx.text(at(STR1, n)) != text.as_bytes() {
        cx.set(at(STR1, n), Val::text(text.as_bytes()));
        cx.post(at(STR1, n), EventMask::VALUE);
    }
}

/// DO of STR: the number at its beginning.
fn number_of_text(cx: &mut Cx<'_>, n: u16) {
    let number = strtod(cx.text(at(STR1, n))).map_or(0.0, |(number, _)| number);
    if cx.f64(at(DO1, n)) != number {
        cx.set(at(DO1, n), number);
        cx.post(at(DO1, n), EventMask::VALUE);
    }
}

/// Stages: 0 begins, 1 has SELL; 2 has waited for a group, 3 has its value, 4 has written it.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            if (0..GROUPS).any(|n| is_abroad(cx, n)) {
                look_at_all(cx);
            }
            if !is(cx, ABORT) && !is(cx, BUSY) {
                cx.set_u16(BUSY, 1);
                cx.post(BUSY, EventMask::VALUE);
            }
            if cx.u16(SELM) == 0 {
                return begin(cx, u16::MAX);
            }
            cx.want_into(SELL, SELN);
            Flow::Then(1)
        }
        1 => selected(cx),
        2 if is(cx, ABORT) => finish(cx),
        2 => ask(cx),
        3 => write(cx),
        4 => {
            let left = cx.get(LEFT).as_u16();
            next(cx, left & !(1 << current(cx)))
        }
        stage => done(cx, u16::from(stage - DONE)),
    }
}

/// Whether a link of a group leads to another IOC, so that it may be connected or not.
fn is_abroad(cx: &Cx<'_>, n: u16) -> bool {
    [DOL1V, LNK1V].iter().any(|&state| cx.u16(at(state, n)) < link_state::LOCAL)
}

fn is(cx: &Cx<'_>, field: u16) -> bool {
    cx.u16(field) != 0
}

fn selected(cx: &mut Cx<'_>) -> Flow {
    let number = cx.u16(SELN);
    let mask = match cx.u16(SELM) {
        1 if number == 0 => 0,
        1 if number <= GROUPS => 1 << (number - 1),
        2 => number,
        _ => {
            cx.alarm(stat::SOFT, 3);
            0
        }
    };
    if mask == 0 { finish(cx) } else { begin(cx, mask) }
}

fn begin(cx: &mut Cx<'_>, mask: u16) -> Flow {
    let mut left = 0;
    for n in 0..GROUPS {
        cx.set_u16(at(WTG1, n), 0);
        cx.post(at(WTG1, n), EventMask::VALUE);
        let used = !cx.is_constant(at(LNK1, n)) || !cx.is_constant(at(DOL1, n));
        if mask & (1 << n) != 0 && used {
            left |= 1 << n;
        }
    }
    if left == 0 { finish(cx) } else { next(cx, left) }
}

fn current(cx: &Cx<'_>) -> u16 {
    (cx.get(LEFT).as_u16().trailing_zeros() as u16).min(GROUPS - 1)
}

/// Whether a group has to wait for one that was written before it: WAIT of that one says until which.
fn is_held(cx: &Cx<'_>, group: u16) -> bool {
    (0..GROUPS).any(|n| {
        is(cx, at(WTG1, n))
            && match cx.u16(at(WAIT1, n)) {
                0 => false,
                1 => true,
                after => after - 2 < group,
            }
    })
}

/// The next group, after its delay: in a callback, so that others have their turn.
fn next(cx: &mut Cx<'_>, left: u16) -> Flow {
    cx.set(LEFT, Val::UShort(left));
    cx.set(HELD, Val::None);
    if left == 0 {
        let waits = (0..GROUPS).any(|n| is(cx, at(WTG1, n)));
        return if waits { hold(cx) } else { finish(cx) };
    }
    let group = current(cx);
    if is_held(cx, group) {
        return hold(cx);
    }
    let delay = if is(cx, ABORT) { 0.0 } else { cx.f64(at(DLY1, group)).max(0.0) };
    Flow::Wait(Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX), 2)
}

fn hold(cx: &mut Cx<'_>) -> Flow {
    cx.set(HELD, Val::UChar(1));
    Flow::Idle
}

/// What a group has written is done.
fn done(cx: &mut Cx<'_>, n: u16) -> Flow {
    if !is(cx, at(WTG1, n)) {
        return Flow::Idle;
    }
    cx.set_u16(at(WTG1, n), 0);
    cx.post(at(WTG1, n), EventMask::VALUE);
    if is(cx, ABORT) {
        let waits = (0..GROUPS).any(|n| is(cx, at(WTG1, n)));
        return if waits { Flow::Idle } else { finish(cx) };
    }
    if cx.get(HELD) == Val::None {
        return Flow::Idle;
    }
    let left = cx.get(LEFT).as_u16();
    next(cx, left)
}

const fn is_text(dbf: Dbf) -> bool {
    dbf.is_link() || dbf.is_choice() || matches!(dbf, Dbf::String)
}

fn ask(cx: &mut Cx<'_>) -> Flow {
    let n = current(cx);
    let link = at(DOL1, n);
    match cx.linked_dbf(link) {
        None => {}
        Some(Dbf::Char | Dbf::UChar) => cx.want_array(link, Dbf::UChar, 40),
        Some(dbf) if is_text(dbf) => cx.want(link, Dbf::String),
        Some(_) => cx.want(link, Dbf::Double),
    }
    Flow::Then(3)
}

fn take(cx: &mut Cx<'_>, n: u16, val: &Val) {
    let changed = EventMask::VALUE.union(EventMask::LOG);
    if let Val::Double(number) = val {
        if cx.f64(at(DO1, n)) != *number {
            cx.set(at(DO1, n), *number);
            cx.post(at(DO1, n), changed);
        }
        return text_of_number(cx, n);
    }
    let text: Vec<u8> = match val {
        Val::Array(all) => all.iter().map(|c| c.as_i32() as u8).take_while(|&c| c != 0).collect(),
        val => val.as_text().to_vec(),
    };
    let old = cx.text(at(STR1, n)).to_vec();
    cx.set(at(STR1, n), Val::text(text));
    if cx.text(at(STR1, n)) != old {
        cx.post(at(STR1, n), changed);
    }
    number_of_text(cx, n);
}

fn write(cx: &mut Cx<'_>) -> Flow {
    let n = current(cx);
    if let Some(Got::Val(val)) = cx.got().first().cloned() {
        take(cx, n, &val);
    }
    let link = at(LNK1, n);
    let Some(dbf) = cx.linked_dbf(link) else {
        return Flow::Then(4);
    };
    let characters = matches!(dbf, Dbf::Char | Dbf::UChar)
        && cx.linked_count(link).is_some_and(|count| count > 1);
    let val = if characters {
        let mut text = cx.text(at(STR1, n)).to_vec();
        text.push(0);
        Val::from(Array::UChar(text))
    } else {
        cx.get(at(if is_text(dbf) { STR1 } else { DO1 }, n))
    };
    if cx.u16(at(WAIT1, n)) != 0 && cx.waits_for(link) {
        cx.set_u16(at(WTG1, n), 1);
        cx.post(at(WTG1, n), EventMask::VALUE);
        cx.want_put_and_wait(link, val, DONE + n as u8);
    } else {
        cx.want_put(link, val);
    }
    Flow::Then(4)
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.set_udf(false);
    let mask = cx.reset_alarms().union(EventMask::VALUE);
    cx.post(VAL, mask);
    if is(cx, ABORT) {
        for field in [ABORT, ABORTING] {
            cx.set_u16(field, 0);
            cx.post(field, mask);
        }
        // Who tried to abort it does not begin it anew.
        cx.set_u16(common::RPRO, 0);
    }
    cx.timestamp();
    cx.set_u16(BUSY, 0);
    cx.post(BUSY, mask);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if !after {
        return Ok(());
    }
    if field == ABORT {
        abort(cx);
        return Ok(());
    }
    let Some(offset) = field.checked_sub(DLY1).filter(|&offset| offset < GROUPS * SIZE) else {
        return Ok(());
    };
    let n = offset / SIZE;
    match field - n * SIZE {
        DOL1 => {
            if cx.load(at(DOL1, n), at(DO1, n)) {
                cx.load(at(DOL1, n), at(STR1, n));
                cx.post(at(DO1, n), EventMask::VALUE);
                cx.post(at(STR1, n), EventMask::VALUE);
            }
            look_at_all(cx);
        }
        LNK1 | WAIT1 => look_at_all(cx),
        DO1 => text_of_number(cx, n),
        STR1 => number_of_text(cx, n),
        _ => {}
    }
    Ok(())
}

/// Ends the sequence as soon as it can: what was set in motion is waited for, delays are not.
fn abort(cx: &mut Cx<'_>) {
    if !cx.pact() {
        cx.set_u16(ABORT, 0);
        return;
    }
    cx.set_u16(ABORT, 1);
    cx.set_u16(ABORTING, 1);
    cx.post(ABORTING, EventMask::VALUE);
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    let prec = view.i32(PREC) as i16;
    meta.precision = Some(if field < VAL { limits::precision(view, field, false, prec) } else { prec });
    limits::type_range(view, field, meta);
}
