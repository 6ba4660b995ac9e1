//! The `busy` record of the busy module: whoever waits for a put to it waits until it is 0 again (`busyRecord.c`).

use super::prelude::*;

fields! { common::COUNT,
    VAL => enumeration().asl0().pp(),
    OMSL => menu("menuOmsl").interest(1),
    DOL => inlink().interest(1),
    OUT => outlink().interest(1),
    HIGH => double().interest(1),
    ZNAM => string(26).pp().initial("Done").interest(1),
    ONAM => string(26).pp().initial("Busy").interest(1),
    RVAL => ulong().pp(),
    ORAW => ulong().special(NoMod).interest(3),
    OVAL => ulong().special(NoMod).interest(3),
    MASK => ulong().special(NoMod).interest(1),
    RPVT => noaccess().special(NoMod).interest(4),
    WDPT => noaccess().special(NoMod).interest(4),
    ZSV => menu("menuAlarmSevr").pp().interest(1),
    OSV => menu("menuAlarmSevr").pp().interest(1),
    COSV => menu("menuAlarmSevr").pp().interest(1),
    RBV => ulong().special(NoMod),
    ORBV => ulong().special(NoMod).interest(3),
    MLST => ushort().special(NoMod).interest(3),
    LALM => ushort().special(NoMod).interest(3),
    SIOL => outlink().interest(1),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => ushort().interest(2),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "busy",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Raw Soft Channel", DeviceAddress::Constant), ("asynInt32", DeviceAddress::Instrument)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    callback,
    special: None,
    meta,
    states,
    no_state: NoState { text: b"Illegal_Value", from: 2 },
    interrupts: true,
    ..Support::HOLDER
};

use std::time::Duration;

use super::bi::{monitor_state, post_changed, two_states};

fn init(cx: &mut Cx<'_>) {
    cx.load(SIML, SIMM);
    if let Some(val) = cx.constant(DOL, Dbf::UShort) {
        cx.set_u16(VAL, (val.as_u16() != 0).into());
        cx.set_udf(false);
    }
    if cx.device() == "asynInt32" {
        cx.set_udf(false);
    }
    to_raw(cx);
}

fn to_raw(cx: &mut Cx<'_>) {
    let (value, mask) = (u32::from(cx.u16(VAL)), cx.u32(MASK));
    let raw = match (mask, value) {
        (0, value) => value,
        (_, 0) => 0,
        (mask, _) => mask,
    };
    cx.set(RVAL, raw);
}

/// Stages: 0 begins, 1 has DOL, 2 has SIML, 3 has written.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 if !cx.is_constant(DOL) && cx.u16(OMSL) == 1 => {
            cx.want(DOL, Dbf::UShort);
            Flow::Then(1)
        }
        0 | 1 => {
            if stage == 1 {
                match cx.got().first().cloned() {
                    Some(Got::Val(val)) => {
                        cx.set(VAL, val);
                        cx.set_udf(false);
                    }
                    _ => {
                        cx.alarm(stat::LINK, 3);
                    }
                }
            }
            to_raw(cx);
            cx.copy(VAL, OVAL);
            check_alarms(cx);
            match drive(cx, IVOA) {
                Drive::Leave => return finish(cx),
                Drive::Substitute => {
                    cx.copy(IVOV, VAL);
                    to_raw(cx);
                }
                Drive::Write => {}
            }
            cx.want_into(SIML, SIMM);
            Flow::Then(2)
        }
        2 => {
            match cx.u16(SIMM) {
                0 => {
                    let raw = cx.device_kind() == DeviceKind::Raw;
                    let val = if raw { cx.get(RVAL) } else { Val::UShort(cx.u16(VAL)) };
                    cx.want_put(OUT, val);
                }
                1 => {
                    let severity = cx.u16(SIMS);
                    cx.alarm(stat::SIMM, severity);
                    let val = Val::UShort(cx.u16(VAL));
                    cx.want_put(SIOL, val);
                }
                _ => {
                    cx.alarm(stat::SOFT, 3);
                }
            }
            Flow::Then(3)
        }
        _ => finish(cx),
    }
}

fn check_alarms(cx: &mut Cx<'_>) {
    if cx.udf() {
        cx.alarm(17, 3);
        return;
    }
    let state = cx.u16(VAL);
    let severity = cx.u16(if state == 0 { ZSV } else { OSV });
    cx.alarm(stat::STATE, severity);
    if state != cx.u16(LALM) {
        let severity = cx.u16(COSV);
        cx.alarm(stat::COS, severity);
        cx.set_u16(LALM, state);
    }
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.timestamp();
    start_pulse(cx);
    let mask = monitor_state(cx, VAL, MLST);
    post_changed(cx, mask, RVAL, ORAW);
    post_changed(cx, mask, RBV, ORBV);
    // While it is busy nobody is told that it is done: neither FLNK nor who put it.
    if cx.u16(VAL) == 0 || cx.u32(OVAL) == 0 { Flow::Done } else { Flow::Stop }
}

/// HIGH: how many seconds it is 1 before it goes back to 0.
fn start_pulse(cx: &mut Cx<'_>) {
    let high = cx.f64(HIGH);
    if cx.u16(VAL) == 1 && high > 0.0 {
        cx.call_back(Duration::try_from_secs_f64(high).unwrap_or(Duration::MAX));
    }
}

fn callback(cx: &mut Cx<'_>) {
    if cx.pact() {
        start_pulse(cx);
    } else {
        cx.set_u16(VAL, 0);
        cx.process();
    }
}

fn meta(_: &View<'_>, field: u16, meta: &mut Meta) {
    if field == HIGH {
        meta.precision = Some(2);
    }
}

fn states(view: &View<'_>, field: u16) -> Option<Vec<Box<[u8]>>> {
    (field == VAL).then(|| two_states(view.text(ZNAM), view.text(ONAM)))
}
