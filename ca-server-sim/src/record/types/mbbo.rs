//! The `mbbo` record: an output of 16 states (`mbboRecord.c`, `devMbboSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => enumeration().asl0().special(DbAddr).pp(),
    DOL => inlink().interest(1),
    OMSL => menu("menuOmsl").interest(1),
    NOBT => ushort().special(NoMod).interest(1),
    OUT => outlink().interest(1),
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
    UNSV => menu("menuAlarmSevr").pp().interest(1),
    COSV => menu("menuAlarmSevr").pp().interest(1),
    RVAL => ulong().pp(),
    ORAW => ulong().special(NoMod).interest(3),
    RBV => ulong().special(NoMod),
    ORBV => ulong().special(NoMod).interest(3),
    MASK => ulong().special(NoMod).interest(1),
    MLST => ushort().special(NoMod).interest(3),
    LALM => ushort().special(NoMod).interest(3),
    SDEF => short().special(NoMod).interest(3),
    SHFT => ushort().interest(1),
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
    name: "mbbo",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Raw Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    prepare: define,
    init,
    process,
    special: Some(special),
    scalar,
    states,
    no_state: NoState { text: b"Illegal Value", from: STATES },
    ..Support::HOLDER
};

use super::bi::{monitor_state, post_changed};
use super::mbbi::{STATES, bits, post_state, raw_mask, state_texts};

const OUTPUT: Output = Output { sim: simulation!(), write, simulate };

fn write(cx: &mut Cx<'_>) {
    let val = if cx.device_kind() == DeviceKind::Raw {
        Val::ULong(cx.u32(RVAL) & cx.u32(MASK))
    } else {
        Val::UShort(cx.u16(VAL))
    };
    cx.want_put(OUT, val);
}

fn simulate(cx: &mut Cx<'_>, mode: u16) {
    let val = if mode == 1 { Val::UShort(cx.u16(VAL)) } else { cx.get(RVAL) };
    cx.want_put(SIOL, val);
}

/// Whether any state is defined (`init_common`).
fn define(cx: &mut Cx<'_>) {
    let defined = (0..STATES).any(|n| cx.u32(ZRVL + n) != 0 || !cx.text(ZRST + n).is_empty());
    cx.set_u16(SDEF, defined.into());
}

fn init(cx: &mut Cx<'_>) {
    OUTPUT.sim.init(cx);
    if cx.load(DOL, VAL) {
        cx.set_udf(false);
    }
    let mut mask = bits(cx.u16(NOBT), cx.u32(MASK));
    if cx.device_kind() == DeviceKind::Raw {
        mask = raw_mask(cx.u16(NOBT), mask, cx.u16(SHFT));
    }
    cx.set(MASK, mask);
    define(cx);
    convert(cx);
    cx.copy(VAL, MLST);
    cx.copy(VAL, LALM);
    cx.copy(RVAL, ORAW);
    cx.copy(RBV, ORBV);
}

/// From state to raw value.
fn convert(cx: &mut Cx<'_>) {
    let state = cx.u16(VAL);
    let raw = if cx.u16(SDEF) == 0 {
        state.into()
    } else if state < STATES {
        cx.u32(ZRVL + state)
    } else {
        cx.alarm(stat::SOFT, 3);
        return;
    };
    cx.set(RVAL, raw.wrapping_shl(cx.u16(SHFT).into()));
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if Output::has(stage) {
        return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
    }
    let closed = !cx.is_constant(DOL) && cx.u16(OMSL) == 1;
    if stage == 0 && closed {
        cx.want(DOL, Dbf::UShort);
        return Flow::Then(1);
    }
    let valid = if !closed {
        !cx.check_undefined()
    } else if let Some(Got::Val(val)) = cx.got().first().cloned() {
        cx.set(VAL, val);
        true
    } else {
        cx.alarm(stat::LINK, 3);
        false
    };
    if valid {
        cx.set_udf(false);
        convert(cx);
        let mode = cx.u16(SIMM);
        cx.timestamp_simulated(mode, None);
    }
    check_alarms(cx);
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => {
            cx.copy(IVOV, VAL);
            convert(cx);
        }
        Drive::Write => {}
    }
    OUTPUT.begin(cx).unwrap_or_else(|| finish(cx))
}

fn check_alarms(cx: &mut Cx<'_>) {
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

fn finish(cx: &mut Cx<'_>) -> Flow {
    let mask = monitor_state(cx, VAL, MLST);
    post_changed(cx, mask, RVAL, ORAW);
    post_changed(cx, mask, RBV, ORBV);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if field == SIMM {
        OUTPUT.sim.special(cx, field, after);
    } else if after {
        define(cx);
        post_state(cx, field.checked_sub(ZRST), VAL);
    }
    Ok(())
}

/// Without states VAL is a number (`cvt_dbaddr`).
fn scalar(view: &View<'_>, field: u16) -> Option<(Dbf, usize)> {
    (field == VAL && view.u16(SDEF) == 0).then_some((Dbf::UShort, 0))
}

fn states(view: &View<'_>, field: u16) -> Option<Vec<Box<[u8]>>> {
    (field == VAL).then(|| state_texts(view, ZRST))
}
