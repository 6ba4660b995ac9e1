//! The `bo` record: an output of two states (`boRecord.c`, `devBoSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => enumeration().asl0().pp(),
    OMSL => menu("menuOmsl").interest(1),
    DOL => inlink().interest(1),
    OUT => outlink().interest(1),
    HIGH => double().interest(1),
    ZNAM => string(26).pp().prop().interest(1),
    ONAM => string(26).pp().prop().interest(1),
    RVAL => ulong().pp(),
    ORAW => ulong().special(NoMod).interest(3),
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
    SIMM => menu("menuSimm").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => ushort().interest(2),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "bo",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Raw Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant), ("General Time", DeviceAddress::Instrument), ("Db State", DeviceAddress::Instrument)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    callback,
    special: Some(special),
    meta,
    states,
    no_state: NoState { text: b"Illegal_Value", from: 2 },
    ..Support::HOLDER
};

use std::time::Duration;

use super::bi::{monitor_state, post_changed, two_states};

const OUTPUT: Output = Output { sim: simulation!(), write, simulate };

fn write(cx: &mut Cx<'_>) {
    match cx.device_kind() {
        DeviceKind::DbState => {
            let name = cx.address(OUT).unwrap_or("").to_owned();
            let value = cx.u16(VAL) != 0;
            return cx.set_flag(&name, value);
        }
        // RSTERRCNT: there are no errors to forget.
        DeviceKind::GeneralTime => return,
        _ => {}
    }
    let val = if cx.device_kind() == DeviceKind::Raw {
        Val::Long(cx.i32(RVAL))
    } else {
        Val::UShort(cx.u16(VAL))
    };
    cx.want_put(OUT, val);
}

fn simulate(cx: &mut Cx<'_>, mode: u16) {
    let val = if mode == 1 { Val::UShort(cx.u16(VAL)) } else { cx.get(RVAL) };
    cx.want_put(SIOL, val);
}

fn init(cx: &mut Cx<'_>) {
    OUTPUT.sim.init(cx);
    if let Some(val) = cx.constant(DOL, Dbf::UShort) {
        cx.set_u16(VAL, (val.as_u16() != 0).into());
        cx.set_udf(false);
    }
    to_raw(cx);
    cx.copy(VAL, MLST);
    cx.copy(VAL, LALM);
    cx.copy(RVAL, ORAW);
    cx.copy(RBV, ORBV);
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

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if Output::has(stage) {
        return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
    }
    if stage == 0 && !cx.is_constant(DOL) && cx.u16(OMSL) == 1 {
        cx.want(DOL, Dbf::UShort);
        return Flow::Then(1);
    }
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
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, None);
    check_alarms(cx);
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => {
            cx.copy(IVOV, VAL);
            to_raw(cx);
        }
        Drive::Write => {}
    }
    OUTPUT.begin(cx).unwrap_or_else(|| finish(cx))
}

/// UDF does not end it, unlike in other record types.
fn check_alarms(cx: &mut Cx<'_>) {
    cx.check_undefined_strictly();
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
    start_pulse(cx);
    let mask = monitor_state(cx, VAL, MLST);
    post_changed(cx, mask, RVAL, ORAW);
    post_changed(cx, mask, RBV, ORBV);
    Flow::Done
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

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    OUTPUT.sim.special(cx, field, after);
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if field == HIGH {
        meta.units = b"s".as_slice().into();
        meta.precision = Some(2);
        meta.control = (0.0, 100_000.0);
    } else {
        meta.control = crate::record::support::range(view.of().field(field).dbf);
    }
}

fn states(view: &View<'_>, field: u16) -> Option<Vec<Box<[u8]>>> {
    (field == VAL).then(|| two_states(view.text(ZNAM), view.text(ONAM)))
}
