//! The `stringin` record: a text input (`stringinRecord.c`, `devSiSoft*.c`, `devEnviron.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => string(40).asl0().pp(),
    OVAL => string(40).special(NoMod).interest(3),
    INP => inlink().interest(1),
    MPST => menu("stringinPOST").interest(1),
    APST => menu("stringinPOST").interest(1),
    SIOL => inlink().interest(1),
    SVAL => string(40).pp(),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "stringin",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant), ("Soft Timestamp", DeviceAddress::Instrument), ("General Time", DeviceAddress::Instrument), ("getenv", DeviceAddress::Instrument)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    special: Some(special),
    ..Support::HOLDER
};

const SIM: Simulation = simulation!();

fn init(cx: &mut Cx<'_>) {
    SIM.init(cx);
    cx.load(SIOL, SVAL);
    if cx.load(INP, VAL) {
        cx.set_udf(false);
    }
    cx.copy(VAL, OVAL);
}

fn device(cx: &mut Cx<'_>) -> Option<Got> {
    match cx.device_kind() {
        DeviceKind::Getenv => {}
        DeviceKind::SoftTimestamp => {
            cx.timestamp();
            let format = cx.address(INP).unwrap_or("").to_owned();
            let text = super::time_format::format(&format, cx.time());
            return Some(Got::Val(Val::text(text)));
        }
        // BESTTCP, TOPTCP, BESTTEP: the providers of time.
        DeviceKind::GeneralTime => return Some(Got::Val(Val::text("OS Clock"))),
        _ => return soft_input(cx, INP, Dbf::String),
    }
    let variable = cx.address(INP).and_then(|name| cx.variable(name));
    match variable.map(|value| value.as_bytes()) {
        Some(value) => Some(Got::Val(Val::text(&value[..value.len().min(39)]))),
        None => {
            cx.set_udf(true);
            cx.set(VAL, Val::text(""));
            cx.alarm(17, 3);
            Some(Got::Failed)
        }
    }
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match Input::step(&SIM, cx, stage, Dbf::String, device) {
        Input::Wait(flow) => return flow,
        Input::Device(Got::Val(val)) => {
            cx.set(VAL, val);
            cx.set_udf(false);
            cx.time_of_device(INP);
        }
        Input::Simulated(got, _) if !got.failed() => {
            if let Got::Val(val) = got {
                cx.set(SVAL, val);
            }
            cx.copy(SVAL, VAL);
            cx.set_udf(false);
        }
        Input::Device(_) | Input::Simulated(..) | Input::Failed => {}
    }
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    monitor_text(cx, VAL, OVAL, [MPST, APST]);
    Flow::Done
}

/// What was raised, another text, and what is told always (MPST, APST).
pub(super) fn monitor_text(cx: &mut Cx<'_>, val: u16, old: u16, always: [u16; 2]) {
    let mut mask = cx.reset_alarms();
    if cx.text(val) != cx.text(old) {
        mask = mask.union(EventMask::VALUE).union(EventMask::LOG);
        cx.copy(val, old);
    }
    for (field, add) in always.into_iter().zip([EventMask::VALUE, EventMask::LOG]) {
        if cx.u16(field) == 1 {
            mask = mask.union(add);
        }
    }
    cx.post(val, mask);
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    SIM.special(cx, field, after);
    Ok(())
}
