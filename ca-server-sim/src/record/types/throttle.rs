//! The `throttle` record of the std module: writes not too often (`throttleRecord.c`).

use super::prelude::*;

fields! { common::COUNT,
    VAL => double().pp(),
    OVAL => double().special(NoMod).interest(3),
    SENT => double().special(NoMod),
    OSENT => double().special(NoMod),
    WAIT => menu("throttleWAIT").special(NoMod).initial("0").interest(1),
    HOPR => double().interest(1),
    LOPR => double().interest(1),
    DRVLH => double().special(Mod).initial("0.0"),
    DRVLL => double().special(Mod).initial("0.0"),
    DRVLS => menu("throttleDRVLS").special(NoMod).initial("0").interest(1),
    DRVLC => menu("throttleDRVLC").initial("0"),
    VER => string(20).special(NoMod).initial(""),
    RPVT => noaccess().special(NoMod).interest(4),
    STS => menu("throttleSTS").special(NoMod).initial("0").interest(1),
    PREC => short().interest(1),
    DPREC => short().interest(1),
    DLY => double().special(Mod).initial("0.0"),
    OUT => outlink().special(Mod).interest(1),
    OV => menu("throttleOV").special(NoMod).initial("1").interest(1),
    SINP => inlink().special(Mod).interest(1),
    SIV => menu("throttleOV").special(NoMod).initial("1").interest(1),
    SYNC => menu("throttleSYNC").special(Mod).initial("Idle"),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "throttle",
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

use std::time::Duration;

/// Whether DLY has not passed since something was sent.
const RESTS: u16 = RPVT;
/// `throttleOV`
const LOCAL: u16 = 2;
const CONSTANT: u16 = 3;

fn init(cx: &mut Cx<'_>) {
    cx.set(VER, Val::text("0-2-1"));
    look_at_links(cx);
}

fn look_at_links(cx: &mut Cx<'_>) {
    for (link, state) in [(OUT, OV), (SINP, SIV)] {
        let new = if cx.is_constant(link) {
            CONSTANT
        } else if cx.is_local(link) {
            LOCAL
        } else {
            u16::from(cx.linked_dbf(link).is_some())
        };
        if cx.u16(state) != new {
            cx.set_u16(state, new);
            cx.post(state, EventMask::VALUE);
        }
    }
}

/// Stages: 0 begins, 1 has written.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if stage == 1 {
        return sent(cx);
    }
    let changed = EventMask::VALUE.union(EventMask::LOG);
    cx.set_udf(false);
    if !limited(cx) {
        tell_value(cx);
        return Flow::Stop;
    }
    cx.set_u16(WAIT, 1);
    cx.post(WAIT, EventMask::VALUE);
    if cx.get(RESTS) != Val::None {
        // The newest value is sent when DLY has passed.
        tell_value(cx);
        return Flow::Stop;
    }
    if cx.is_constant(OUT) {
        cx.set_u16(STS, 1);
        cx.set_u16(WAIT, 0);
        for field in [WAIT, STS] {
            cx.post(field, EventMask::VALUE);
        }
        tell_value(cx);
        return Flow::Stop;
    }
    let val = cx.get(VAL);
    if cx.f64(SENT) != cx.f64(VAL) {
        cx.copy(VAL, SENT);
        cx.post(SENT, changed);
    }
    cx.want_put(OUT, val);
    Flow::Then(1)
}

/// Keeps VAL within DRVLL and DRVLH, or refuses it (DRVLC); whether it is sent.
fn limited(cx: &mut Cx<'_>) -> bool {
    let (low, high, value) = (cx.f64(DRVLL), cx.f64(DRVLH), cx.f64(VAL));
    if low >= high {
        return true;
    }
    let state = if value < low { 1 } else { u16::from(value > high) * 2 };
    let clips = cx.u16(DRVLC) == 1;
    if state != 0 {
        // One of the limits may be no number.
        cx.set(VAL, if clips { value.max(low).min(high) } else { cx.f64(OVAL) });
        if clips {
            cx.post(VAL, EventMask::VALUE.union(EventMask::LOG));
        }
    }
    if cx.u16(DRVLS) != state {
        cx.set_u16(DRVLS, state);
        cx.post(DRVLS, EventMask::VALUE);
    }
    state == 0 || clips
}

fn tell_value(cx: &mut Cx<'_>) {
    cx.timestamp();
    let mut mask = cx.reset_alarms();
    if cx.f64(OVAL) != cx.f64(VAL) {
        mask = mask.union(EventMask::VALUE).union(EventMask::LOG);
        cx.copy(VAL, OVAL);
    }
    cx.post(VAL, mask);
}

fn sent(cx: &mut Cx<'_>) -> Flow {
    let failed = cx.any_failed();
    cx.set_u16(STS, if failed { 1 } else { 2 });
    cx.set_u16(WAIT, 0);
    for field in [WAIT, STS] {
        cx.post(field, EventMask::VALUE);
    }
    tell_value(cx);
    let delay = cx.f64(DLY);
    if delay > 0.0 {
        cx.set(RESTS, Val::UChar(1));
        cx.call_back(Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX));
    }
    Flow::Done
}

fn callback(cx: &mut Cx<'_>) {
    cx.set(RESTS, Val::None);
    if cx.u16(WAIT) == 1 {
        cx.process();
    }
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if !after {
        return Ok(());
    }
    match field {
        OUT | SINP => look_at_links(cx),
        DLY if cx.f64(DLY) < 0.0 => cx.set(DLY, 0.0),
        SYNC if cx.u16(SYNC) == 1 => {
            // VAL becomes what SINP says, without being sent.
            if let Some((id, at)) = cx.linked(SINP) {
                let value = cx.read_linked(id, at);
                cx.set(VAL, value);
                cx.post(VAL, EventMask::VALUE.union(EventMask::LOG));
                cx.copy(VAL, OVAL);
            }
            cx.set_u16(SYNC, 0);
        }
        _ => {}
    }
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    let prec = view.i32(if field == DLY { DPREC } else { PREC }) as i16;
    meta.precision = Some(limits::precision(view, field, field == VAL, prec));
    limits::type_range(view, field, meta);
    if matches!(field, VAL | SENT) {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
        meta.control = meta.display;
    }
}
