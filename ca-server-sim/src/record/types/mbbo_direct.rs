//! The `mbboDirect` record: an output of 32 bits (`mbboDirectRecord.c`, `devMbboDirectSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => long().asl0().pp(),
    OMSL => menu("menuOmsl").pp().interest(1),
    NOBT => short().special(NoMod).prop().interest(1),
    DOL => inlink().interest(1),
    OUT => outlink().interest(1),
    RVAL => ulong().special(NoMod).pp(),
    ORAW => ulong().special(NoMod).interest(3),
    RBV => ulong().special(NoMod),
    ORBV => ulong().special(NoMod).interest(3),
    MASK => ulong().special(NoMod).interest(1),
    MLST => long().special(NoMod).interest(3),
    OBIT => long().special(NoMod).interest(3),
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
    IVOV => long().interest(2),
    B0 => uchar().asl0().special(Mod).pp().interest(1),
    B1 => uchar().asl0().special(Mod).pp().interest(1),
    B2 => uchar().asl0().special(Mod).pp().interest(1),
    B3 => uchar().asl0().special(Mod).pp().interest(1),
    B4 => uchar().asl0().special(Mod).pp().interest(1),
    B5 => uchar().asl0().special(Mod).pp().interest(1),
    B6 => uchar().asl0().special(Mod).pp().interest(1),
    B7 => uchar().asl0().special(Mod).pp().interest(1),
    B8 => uchar().asl0().special(Mod).pp().interest(1),
    B9 => uchar().asl0().special(Mod).pp().interest(1),
    BA => uchar().asl0().special(Mod).pp().interest(1),
    BB => uchar().asl0().special(Mod).pp().interest(1),
    BC => uchar().asl0().special(Mod).pp().interest(1),
    BD => uchar().asl0().special(Mod).pp().interest(1),
    BE => uchar().asl0().special(Mod).pp().interest(1),
    BF => uchar().asl0().special(Mod).pp().interest(1),
    B10 => uchar().asl0().special(Mod).pp().interest(1),
    B11 => uchar().asl0().special(Mod).pp().interest(1),
    B12 => uchar().asl0().special(Mod).pp().interest(1),
    B13 => uchar().asl0().special(Mod).pp().interest(1),
    B14 => uchar().asl0().special(Mod).pp().interest(1),
    B15 => uchar().asl0().special(Mod).pp().interest(1),
    B16 => uchar().asl0().special(Mod).pp().interest(1),
    B17 => uchar().asl0().special(Mod).pp().interest(1),
    B18 => uchar().asl0().special(Mod).pp().interest(1),
    B19 => uchar().asl0().special(Mod).pp().interest(1),
    B1A => uchar().asl0().special(Mod).pp().interest(1),
    B1B => uchar().asl0().special(Mod).pp().interest(1),
    B1C => uchar().asl0().special(Mod).pp().interest(1),
    B1D => uchar().asl0().special(Mod).pp().interest(1),
    B1E => uchar().asl0().special(Mod).pp().interest(1),
    B1F => uchar().asl0().special(Mod).pp().interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "mbboDirect",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Raw Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    special: Some(special),
    ..Support::HOLDER
};

use super::mbbi::{bits, raw_mask};

const OUTPUT: Output = Output { sim: simulation!(), write, simulate };
/// Bits there are.
const BITS: u16 = 32;

fn write(cx: &mut Cx<'_>) {
    let val = if cx.device_kind() == DeviceKind::Raw {
        cx.u32(RVAL) & cx.u32(MASK)
    } else {
        cx.i32(VAL) as u32
    };
    cx.want_put(OUT, val);
}

fn simulate(cx: &mut Cx<'_>, mode: u16) {
    let val = cx.get(if mode == 1 { VAL } else { RVAL });
    cx.want_put(SIOL, val);
}

fn init(cx: &mut Cx<'_>) {
    OUTPUT.sim.init(cx);
    if let Some(val) = cx.constant(DOL, Dbf::ULong) {
        cx.set(VAL, val);
        cx.set_udf(false);
    }
    let mut mask = bits(cx.u16(NOBT), cx.u32(MASK));
    if cx.device_kind() == DeviceKind::Raw {
        mask = raw_mask(cx.u16(NOBT), mask, cx.u16(SHFT));
    }
    cx.set(MASK, mask);
    if !cx.udf() {
        split(cx);
    } else {
        let val = (0..BITS).fold(0u32, |val, n| val | u32::from(cx.u16(B0 + n) != 0) << n);
        if val != 0 {
            cx.set(VAL, val);
            cx.set_udf(false);
        }
    }
    cx.copy(VAL, MLST);
    cx.copy(RVAL, ORAW);
    cx.copy(RBV, ORBV);
}

/// VAL in its bits (`bitsFromVAL`).
fn split(cx: &mut Cx<'_>) {
    let val = cx.i32(VAL);
    for n in 0..BITS {
        cx.set(B0 + n, (val >> n & 1) as u8);
    }
}

fn convert(cx: &mut Cx<'_>) {
    let raw = (cx.i32(VAL) as u32).wrapping_shl(cx.u16(SHFT).into());
    cx.set(RVAL, raw);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if Output::has(stage) {
        return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
    }
    let closed = !cx.is_constant(DOL) && cx.u16(OMSL) == 1;
    if stage == 0 && closed {
        cx.want(DOL, Dbf::ULong);
        return Flow::Then(1);
    }
    let valid = if !closed {
        let undefined = cx.udf();
        if undefined {
            let severity = cx.u16(common::UDFS);
            cx.alarm_with(17, severity, "UDFS");
        }
        !undefined
    } else if let Some(Got::Val(val)) = cx.got().first().cloned() {
        cx.set(VAL, val);
        true
    } else {
        cx.alarm(stat::LINK, 3);
        false
    };
    if valid {
        cx.set_udf(false);
        split(cx);
        convert(cx);
        let mode = cx.u16(SIMM);
        cx.timestamp_simulated(mode, None);
    }
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

fn finish(cx: &mut Cx<'_>) -> Flow {
    split(cx);
    let alarm = cx.reset_alarms();
    let changed = alarm.union(EventMask::VALUE).union(EventMask::LOG);
    let val = cx.i32(VAL);
    let mask = if cx.i32(MLST) == val { alarm } else { changed };
    cx.set(MLST, val);
    cx.post(VAL, mask);
    let differ = cx.i32(OBIT) ^ val;
    for n in 0..BITS {
        if alarm.intersects(EventMask::ALARM) || differ >> n & 1 != 0 {
            cx.post(B0 + n, changed);
        }
    }
    cx.set(OBIT, val);
    super::bi::post_changed(cx, mask, RVAL, ORAW);
    super::bi::post_changed(cx, mask, RBV, ORBV);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    let Some(bit) = field.checked_sub(B0).filter(|&bit| bit < BITS) else {
        OUTPUT.sim.special(cx, field, after);
        return Ok(());
    };
    if !after {
        // VAL comes from DOL.
        return if cx.u16(OMSL) == 1 { Err(PutError::NoMod) } else { Ok(()) };
    }
    let (mut val, mut old) = (cx.i32(VAL), cx.i32(OBIT));
    for bits in [&mut val, &mut old] {
        *bits &= !(1 << bit);
        if cx.u16(field) != 0 {
            *bits |= 1 << bit;
        }
    }
    cx.set(VAL, val);
    cx.set(OBIT, old);
    cx.set_udf(false);
    convert(cx);
    Ok(())
}
