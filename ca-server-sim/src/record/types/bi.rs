//! The `bi` record: an input of two states (`biRecord.c`, `devBiSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    INP => inlink().interest(1),
    VAL => enumeration().asl0().pp(),
    ZSV => menu("menuAlarmSevr").pp().interest(1),
    OSV => menu("menuAlarmSevr").pp().interest(1),
    COSV => menu("menuAlarmSevr").pp().interest(1),
    ZNAM => string(26).pp().prop().interest(1),
    ONAM => string(26).pp().prop().interest(1),
    RVAL => ulong().pp(),
    ORAW => ulong().special(NoMod).interest(3),
    MASK => ulong().special(NoMod).interest(1),
    LALM => ushort().special(NoMod).interest(3),
    MLST => ushort().special(NoMod).interest(3),
    SIOL => inlink().interest(1),
    SVAL => ulong(),
    SIML => inlink().interest(1),
    SIMM => menu("menuSimm").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "bi",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Raw Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant), ("Db State", DeviceAddress::Instrument)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    special: Some(special),
    states,
    no_state: NoState { text: b"Illegal_Value", from: 2 },
    ..Support::HOLDER
};

const SIM: Simulation = simulation!();

fn init(cx: &mut Cx<'_>) {
    SIM.init(cx);
    cx.load(SIOL, SVAL);
    if cx.device_kind() == DeviceKind::Raw {
        cx.load(INP, RVAL);
    } else if cx.load(INP, VAL) {
        cx.set_udf(false);
    }
    cx.copy(VAL, MLST);
    cx.copy(VAL, LALM);
    cx.copy(RVAL, ORAW);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let raw = cx.device_kind() == DeviceKind::Raw;
    let read = Input::step(&SIM, cx, stage, Dbf::ULong, |cx| {
        if cx.device_kind() == DeviceKind::DbState {
            let name = cx.address(INP).unwrap_or("").to_owned();
            return Some(Got::Val(Val::UShort(cx.flag(&name).into())));
        }
        soft_input(cx, INP, if raw { Dbf::ULong } else { Dbf::UShort })
    });
    let convert_raw = match read {
        Input::Wait(flow) => return flow,
        Input::Device(Got::Failed) | Input::Failed | Input::Simulated(Got::Failed, _) => false,
        Input::Device(got) => {
            if let Got::Val(val) = got {
                let masked = val.as_u32() & cx.u32(MASK);
                let keep = !raw || cx.u32(MASK) == 0;
                cx.set(if raw { RVAL } else { VAL }, if keep { val } else { Val::ULong(masked) });
                cx.time_of_device(INP);
            }
            cx.set_udf(false);
            raw
        }
        Input::Simulated(got, mode) => {
            if let Got::Val(val) = got {
                cx.set(SVAL, val);
            }
            let value = cx.u32(SVAL) as u16;
            cx.set_u16(if mode == 1 { VAL } else { RVAL }, value);
            cx.set_udf(false);
            mode != 1
        }
    };
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    if convert_raw {
        let state = u16::from(cx.u32(RVAL) != 0);
        cx.set_u16(VAL, state);
    }
    if !cx.check_undefined_strictly() {
        check_state(cx);
    }
    let mask = monitor_state(cx, VAL, MLST);
    post_changed(cx, mask, RVAL, ORAW);
    Flow::Done
}

fn check_state(cx: &mut Cx<'_>) {
    let state = cx.u16(VAL);
    if state > 1 {
        return;
    }
    let severity = cx.u16(if state == 0 { ZSV } else { OSV });
    cx.alarm(stat::STATE, severity);
    if state != cx.u16(LALM) {
        let severity = cx.u16(COSV);
        cx.alarm(stat::COS, severity);
        cx.set_u16(LALM, state);
    }
}

/// What was raised, and a change of state: what VAL is told with.
pub(super) fn monitor_state(cx: &mut Cx<'_>, val: u16, last: u16) -> EventMask {
    let mut mask = cx.reset_alarms();
    if cx.u16(last) != cx.u16(val) {
        mask = mask.union(EventMask::VALUE).union(EventMask::LOG);
        cx.copy(val, last);
    }
    cx.post(val, mask);
    mask
}

/// Tells of a raw value that is another one.
pub(super) fn post_changed(cx: &mut Cx<'_>, mask: EventMask, new: u16, old: u16) {
    if cx.u32(new) != cx.u32(old) {
        cx.post(new, mask.union(EventMask::VALUE).union(EventMask::LOG));
        cx.copy(new, old);
    }
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    SIM.special(cx, field, after);
    Ok(())
}

/// The texts of two states; one without text at the end is none, but both without are two.
pub(super) fn two_states(zero: &[u8], one: &[u8]) -> Vec<Box<[u8]>> {
    let count = if one.is_empty() && !zero.is_empty() { 1 } else { 2 };
    [zero, one].into_iter().take(count).map(Into::into).collect()
}

fn states(view: &View<'_>, field: u16) -> Option<Vec<Box<[u8]>>> {
    (field == VAL).then(|| two_states(view.text(ZNAM), view.text(ONAM)))
}
