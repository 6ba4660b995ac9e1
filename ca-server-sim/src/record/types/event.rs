//! The `event` record: posts an event (`eventRecord.c`, `devEventSoft.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => string(40).asl0().special(Mod),
    EPVT => noaccess().special(NoMod).interest(4),
    INP => inlink().interest(1),
    SIOL => inlink().interest(1),
    SVAL => string(40),
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
    name: "event",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant)],
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
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match Input::step(&SIM, cx, stage, Dbf::String, |cx| soft_input(cx, INP, Dbf::String)) {
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
        _ => {}
    }
    let name = String::from_utf8_lossy(cx.text(VAL)).into_owned();
    cx.post_event(&name);
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    let mask = cx.reset_alarms();
    cx.post(VAL, mask.union(EventMask::VALUE));
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    SIM.special(cx, field, after);
    Ok(())
}
