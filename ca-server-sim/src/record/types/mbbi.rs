//! The `mbbi` record: an input of 16 states (`mbbiRecord.c`, `devMbbiSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => enumeration().asl0().pp(),
    NOBT => ushort().special(NoMod).interest(1),
    INP => inlink().interest(1),
    ZRVL => ulong().special(Mod).pp().interest(1),
    ONVL => ulong().special(Mod).pp().interest(1),
    TWVL => ulong().special(Mod).pp().interest(1),
    THVL => ulong().special(Mod).pp().interest(1),
    FRVL => ulong().special(Mod).pp().interest(1),
    FVVL => ulong().special(Mod).pp().interest(1),
    SXVL => ulong().special(Mod).pp().interest(1),
    SVVL => ulong().special(Mod).pp().interest(1),
    EIVL => ulong().special(Mod).pp().interest(1),
    NIVL => ulong().special(Mod).pp().interest(1),
    TEVL => ulong().special(Mod).pp().interest(1),
    ELVL => ulong().special(Mod).pp().interest(1),
    TVVL => ulong().special(Mod).pp().interest(1),
    TTVL => ulong().special(Mod).pp().interest(1),
    FTVL => ulong().special(Mod).pp().interest(1),
    FFVL => ulong().special(Mod).pp().interest(1),
    ZRST => string(26).special(Mod).pp().prop().interest(1),
    ONST => string(26).special(Mod).pp().prop().interest(1),
    TWST => string(26).special(Mod).pp().prop().interest(1),
    THST => string(26).special(Mod).pp().prop().interest(1),
    FRST => string(26).special(Mod).pp().prop().interest(1),
    FVST => string(26).special(Mod).pp().prop().interest(1),
    SXST => string(26).special(Mod).pp().prop().interest(1),
    SVST => string(26).special(Mod).pp().prop().interest(1),
    EIST => string(26).special(Mod).pp().prop().interest(1),
    NIST => string(26).special(Mod).pp().prop().interest(1),
    TEST => string(26).special(Mod).pp().prop().interest(1),
    ELST => string(26).special(Mod).pp().prop().interest(1),
    TVST => string(26).special(Mod).pp().prop().interest(1),
    TTST => string(26).special(Mod).pp().prop().interest(1),
    FTST => string(26).special(Mod).pp().prop().interest(1),
    FFST => string(26).special(Mod).pp().prop().interest(1),
    ZRSV => menu("menuAlarmSevr").pp().interest(1),
    ONSV => menu("menuAlarmSevr").pp().interest(1),
    TWSV => menu("menuAlarmSevr").pp().interest(1),
    THSV => menu("menuAlarmSevr").pp().interest(1),
    FRSV => menu("menuAlarmSevr").pp().interest(1),
    FVSV => menu("menuAlarmSevr").pp().interest(1),
    SXSV => menu("menuAlarmSevr").pp().interest(1),
    SVSV => menu("menuAlarmSevr").pp().interest(1),
    EISV => menu("menuAlarmSevr").pp().interest(1),
    NISV => menu("menuAlarmSevr").pp().interest(1),
    TESV => menu("menuAlarmSevr").pp().interest(1),
    ELSV => menu("menuAlarmSevr").pp().interest(1),
    TVSV => menu("menuAlarmSevr").pp().interest(1),
    TTSV => menu("menuAlarmSevr").pp().interest(1),
    FTSV => menu("menuAlarmSevr").pp().interest(1),
    FFSV => menu("menuAlarmSevr").pp().interest(1),
    AFTC => double().interest(1),
    AFVL => double().special(NoMod).interest(3),
    UNSV => menu("menuAlarmSevr").pp().interest(1),
    COSV => menu("menuAlarmSevr").pp().interest(1),
    RVAL => ulong().pp(),
    ORAW => ulong().special(NoMod).interest(3),
    MASK => ulong().special(NoMod).interest(1),
    MLST => ushort().special(NoMod).interest(3),
    LALM => ushort().special(NoMod).interest(3),
    SDEF => short().special(NoMod).interest(3),
    SHFT => ushort().interest(1),
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
    name: "mbbi",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Raw Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    special: Some(special),
    states,
    no_state: NoState { text: b"Illegal Value", from: STATES },
    ..Support::HOLDER
};

const SIM: Simulation = simulation!();
/// States there are.
pub(super) const STATES: u16 = 16;

fn init(cx: &mut Cx<'_>) {
    SIM.init(cx);
    cx.load(SIOL, SVAL);
    let mask = bits(cx.u16(NOBT), cx.u32(MASK));
    cx.set(MASK, mask);
    if cx.device_kind() == DeviceKind::Raw {
        cx.load(INP, RVAL);
        let mask = raw_mask(cx.u16(NOBT), mask, cx.u16(SHFT));
        cx.set(MASK, mask);
    } else if cx.load(INP, VAL) {
        cx.set_udf(false);
    }
    define(cx);
    cx.copy(VAL, MLST);
    cx.copy(VAL, LALM);
    cx.copy(RVAL, ORAW);
}

/// MASK, made of NOBT if it was not given.
pub(super) fn bits(nobt: u16, mask: u32) -> u32 {
    match nobt {
        0..=31 if mask == 0 => (1 << nobt) - 1,
        32 if mask == 0 => u32::MAX,
        _ => mask,
    }
}

/// The mask of a raw value (`init_record` of `dev*SoftRaw.c`).
pub(super) fn raw_mask(nobt: u16, mask: u32, shift: u16) -> u32 {
    let mask = if nobt == 0 { u32::MAX } else { mask };
    // As the processor shifts.
    mask.wrapping_shl(shift.into())
}

/// Whether any state is defined (`init_common`).
fn define(cx: &mut Cx<'_>) {
    let defined = (0..STATES).any(|n| cx.u32(ZRVL + n) != 0 || !cx.text(ZRST + n).is_empty());
    cx.set_u16(SDEF, defined.into());
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let raw = cx.device_kind() == DeviceKind::Raw;
    let read = Input::step(&SIM, cx, stage, Dbf::ULong, |cx| {
        soft_input(cx, INP, if raw { Dbf::Long } else { Dbf::UShort })
    });
    let convert_raw = match read {
        Input::Wait(flow) => return flow,
        Input::Device(Got::Failed) | Input::Failed | Input::Simulated(Got::Failed, _) => None,
        Input::Device(Got::Val(val)) => {
            if raw {
                let masked = val.as_i32() as u32 & cx.u32(MASK);
                cx.set(RVAL, masked);
            } else {
                cx.set(VAL, val);
            }
            cx.time_of_device(INP);
            Some(raw)
        }
        // A constant INP leaves both values as they are.
        Input::Device(_) => {
            if raw {
                let masked = cx.u32(RVAL) & cx.u32(MASK);
                cx.set(RVAL, masked);
            }
            Some(raw)
        }
        Input::Simulated(got, mode) => {
            if let Got::Val(val) = got {
                cx.set(SVAL, val);
            }
            let value = cx.u32(SVAL);
            cx.set(if mode == 1 { VAL } else { RVAL }, value);
            Some(mode != 1)
        }
    };
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    if let Some(convert_raw) = convert_raw {
        cx.set_udf(false);
        if convert_raw {
            convert(cx);
        }
    }
    check_alarms(cx);
    let mask = super::bi::monitor_state(cx, VAL, MLST);
    super::bi::post_changed(cx, mask, RVAL, ORAW);
    Flow::Done
}

/// The state of a raw value: the first one with this value, 65535 for none.
fn convert(cx: &mut Cx<'_>) {
    let shift = cx.u16(SHFT);
    let raw = cx.u32(RVAL).wrapping_shr(shift.into());
    let state = if cx.u16(SDEF) == 0 {
        raw as u16
    } else {
        (0..STATES).find(|n| cx.u32(ZRVL + n) == raw).unwrap_or(u16::MAX)
    };
    cx.set_u16(VAL, state);
}

/// `checkAlarms`, which reckons with AFTC but does not keep AFVL, so that it filters nothing.
fn check_alarms(cx: &mut Cx<'_>) {
    if cx.check_undefined() {
        cx.set(AFVL, 0.0);
        return;
    }
    let state = cx.u16(VAL);
    let severity = cx.u16(if state < STATES { ZRSV + state } else { UNSV });
    cx.alarm(stat::STATE, severity);
    if state == cx.u16(LALM) {
        return;
    }
    let cos = cx.u16(COSV);
    if !cx.alarm(stat::COS, cos) {
        cx.set_u16(LALM, state);
    }
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if field == SIMM {
        SIM.special(cx, field, after);
    } else if after {
        define(cx);
        post_state(cx, field.checked_sub(ZRST), VAL);
    }
    Ok(())
}

/// The text of a state is another one.
pub(super) fn post_state(cx: &mut Cx<'_>, state: Option<u16>, val: u16) {
    let Some(state) = state.filter(|&state| state < STATES) else {
        return;
    };
    if cx.u16(val) == state {
        cx.post(val, EventMask::VALUE.union(EventMask::LOG));
    }
}

/// The texts of states, up to the last one that has one.
pub(super) fn state_texts(view: &View<'_>, first: u16) -> Vec<Box<[u8]>> {
    let text = |n| view.text(first + n);
    let count = (0..STATES).rev().find(|&n| !text(n).is_empty()).map_or(0, |last| last + 1);
    (0..count).map(|n| text(n).into()).collect()
}

fn states(view: &View<'_>, field: u16) -> Option<Vec<Box<[u8]>>> {
    (field == VAL).then(|| state_texts(view, ZRST))
}
