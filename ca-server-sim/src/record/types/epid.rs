//! The `epid` record of the std module: feedback (`epidRecord.c`, `devEpidSoft.c`).

use super::prelude::*;

fields! { common::COUNT,
    VAL => double().asl0().pp(),
    SMSL => menu("menuOmsl").interest(1),
    STPL => inlink().interest(1),
    INP => inlink().interest(1),
    OUTL => outlink().interest(1),
    TRIG => outlink().interest(1),
    TVAL => double().interest(1),
    CVAL => double().special(NoMod),
    CVLP => double().special(NoMod),
    OVAL => double().special(NoMod),
    OVLP => double().special(NoMod).interest(3),
    PREC => short().interest(1),
    MDT => double().interest(1),
    FMOD => menu("epidFeedbackMode").interest(1),
    FBON => menu("epidFeedbackState").interest(1),
    FBOP => menu("epidFeedbackState").interest(1),
    KP => double().interest(1),
    KI => double().interest(1),
    KD => double().interest(1),
    EGU => string(16).interest(1),
    HOPR => double().interest(1),
    LOPR => double().interest(1),
    DRVH => double().interest(1),
    DRVL => double().interest(1),
    HIHI => double().interest(1),
    LOLO => double().interest(1),
    HIGH => double().interest(1),
    LOW => double().interest(1),
    HHSV => menu("menuAlarmSevr").interest(1),
    LLSV => menu("menuAlarmSevr").interest(1),
    HSV => menu("menuAlarmSevr").interest(1),
    LSV => menu("menuAlarmSevr").interest(1),
    HYST => double().interest(1),
    ADEL => double().interest(1),
    MDEL => double().interest(1),
    ODEL => double().interest(1),
    P => double().special(NoMod).interest(2),
    PP => double().special(NoMod).interest(2),
    I => double().interest(2),
    IP => double().interest(2),
    D => double().special(NoMod).interest(2),
    DP => double().special(NoMod).interest(2),
    CT => noaccess().special(NoMod).interest(4),
    CTP => noaccess().special(NoMod).interest(4),
    DT => double().interest(2),
    DTP => double().interest(2),
    ERR => double().special(NoMod).interest(2),
    ERRP => double().special(NoMod).interest(2),
    LALM => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "epid",
    fields: FIELDS,
    devices: &[
        ("Soft Channel", DeviceAddress::Constant),
        ("Async Soft Channel", DeviceAddress::Constant),
        ("Fast Epid", DeviceAddress::Instrument),
    ],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    meta,
    ..Support::HOLDER
};

const LIMITS: limits::AlarmFields = limits!();
/// When it was reckoned last, in seconds.
const LAST: u16 = CT;

fn init(cx: &mut Cx<'_>) {
    if cx.load(STPL, VAL) {
        cx.set_udf(false);
    }
}

/// Stages: 0 begins, 1 has STPL, 2 has INP, 3 has OUTL, 4 has written, 5 has triggered what INP reads.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 if cx.u16(SMSL) == 1 => {
            cx.want_into(STPL, VAL);
            Flow::Then(1)
        }
        0 | 1 => {
            if stage == 1 && !cx.any_failed() {
                cx.set_udf(false);
            }
            if cx.check_undefined() {
                // As there, without telling of it.
                return Flow::Stop;
            }
            if cx.is_constant(INP) {
                cx.alarm(stat::SOFT, 3);
                return finish(cx);
            }
            match cx.device_kind() {
                DeviceKind::Async => trigger(cx),
                _ => read(cx),
            }
        }
        5 if cx.any_failed() => {
            cx.alarm(stat::LINK, 3);
            finish(cx)
        }
        5 => read(cx),
        2 => {
            let Some(Got::Val(val)) = cx.got().first().cloned() else {
                cx.alarm(stat::LINK, 3);
                return finish(cx);
            };
            cx.copy(CVAL, common::SPVT);
            cx.set(CVAL, val);
            if elapsed(cx) < cx.f64(MDT) {
                return finish(cx);
            }
            let on = cx.u16(FBON) == 1 && cx.u16(FBOP) == 0;
            if on && !cx.is_constant(OUTL) {
                // It goes on from where the output is.
                cx.want(OUTL, Dbf::Double);
                return Flow::Then(3);
            }
            reckon(cx, None)
        }
        3 => {
            let now = match cx.got().first().cloned() {
                Some(Got::Val(val)) => Some(val.as_f64()),
                _ => {
                    cx.alarm(stat::LINK, 3);
                    None
                }
            };
            reckon(cx, now)
        }
        _ => {
            if cx.any_failed() {
                cx.alarm(stat::LINK, 3);
            }
            finish(cx)
        }
    }
}

fn read(cx: &mut Cx<'_>) -> Flow {
    cx.want(INP, Dbf::Double);
    Flow::Then(2)
}

/// Has what INP leads to measured before it is read, and waits for that through Channel Access
/// (`devEpidSoftCallback.c`).
fn trigger(cx: &mut Cx<'_>) -> Flow {
    let val = cx.get(TVAL);
    if cx.waits_for(TRIG) {
        cx.want_put_and_wait(TRIG, val, 5);
        return Flow::Idle;
    }
    if cx.is_constant(TRIG) {
        return read(cx);
    }
    cx.want_put(TRIG, val);
    Flow::Then(5)
}

fn elapsed(cx: &Cx<'_>) -> f64 {
    match cx.get(LAST) {
        Val::Double(last) => cx.seconds() - last,
        _ => f64::INFINITY,
    }
}

/// `do_pid` of `devEpidSoft.c`; `output` is where the output is when feedback begins.
fn reckon(cx: &mut Cx<'_>, output: Option<f64>) -> Flow {
    let (low, high) = (cx.f64(DRVL), cx.f64(DRVH));
    let (kp, ki, kd) = (cx.f64(KP), cx.f64(KI), cx.f64(KD));
    let time = elapsed(cx);
    // The first time there is no time before.
    let time = if time.is_finite() { time } else { 0.0 };
    let (on, was_on) = (cx.u16(FBON) == 1, cx.u16(FBOP) == 1);
    let old = cx.f64(OVAL);
    let (mut new, mut integral, mut error) = (old, cx.f64(I), 0.0);
    if cx.u16(FMOD) == 0 {
        let last = cx.f64(ERR);
        error = cx.f64(VAL) - cx.f64(CVAL);
        let step = kp * ki * error * time;
        if on && !was_on {
            integral = output.unwrap_or(integral);
        } else if on {
            let inside = old > low && old < high;
            if inside || old >= high && step < 0.0 || old <= low && step > 0.0 {
                integral = (integral + step).max(low).min(high);
            }
        }
        if ki == 0.0 {
            integral = 0.0;
        }
        let derivative = if time > 0.0 { kp * kd * ((error - last) / time) } else { 0.0 };
        let proportional = kp * error;
        cx.set(P, proportional);
        cx.set(D, derivative);
        new = proportional + integral + derivative;
    } else if on && !was_on {
        new = output.unwrap_or(old);
    } else if on {
        error = cx.f64(CVAL) - cx.get(common::SPVT).as_f64();
        let mut sign = if cx.f64(D) > 0.0 { 1.0 } else { -1.0 };
        if kp > 0.0 && error < 0.0 || kp < 0.0 && error > 0.0 {
            sign = -sign;
        }
        cx.set(D, kp * sign);
        new = old + kp * sign;
    }
    let new = new.min(high).max(low);
    let now = cx.seconds();
    cx.set(LAST, Val::Double(now));
    cx.set(DT, time);
    cx.set(ERR, error);
    cx.set(I, integral);
    let band = cx.f64(ODEL);
    if band == 0.0 || (old - new).abs() > band {
        cx.set(OVAL, new);
    }
    cx.copy(FBON, FBOP);
    if on && !cx.is_constant(OUTL) {
        let val = cx.get(OVAL);
        cx.want_put(OUTL, val);
        return Flow::Then(4);
    }
    finish(cx)
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.timestamp();
    let now = cx.time();
    LIMITS.check(cx, now);
    limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    for (new, old) in [(OVAL, OVLP), (P, PP), (I, IP), (D, DP), (DT, DTP), (ERR, ERRP), (CVAL, CVLP)] {
        if cx.f64(new) != cx.f64(old) {
            cx.post(new, EventMask::VALUE.union(EventMask::LOG));
            cx.copy(new, old);
        }
    }
    Flow::Done
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    meta.units = view.text(EGU).into();
    meta.precision = Some(limits::precision(view, field, matches!(field, VAL | CVAL), view.i32(PREC) as i16));
    limits::type_range(view, field, meta);
    if matches!(field, VAL | HIHI | HIGH | LOW | LOLO | CVAL) {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
        meta.control = meta.display;
    } else if matches!(field, OVAL | P | I | D) {
        meta.display = (view.f64(DRVL), view.f64(DRVH));
        meta.control = meta.display;
    }
    if field == VAL {
        limits::alarm_levels(view, &LIMITS, meta);
    }
}
