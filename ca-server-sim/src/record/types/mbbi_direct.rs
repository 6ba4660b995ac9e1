//! The `mbbiDirect` record: an input of 32 bits (`mbbiDirectRecord.c`, `devMbbiDirectSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => long().asl0().pp(),
    NOBT => short().special(NoMod).prop().interest(1),
    INP => inlink().interest(1),
    RVAL => ulong().pp(),
    ORAW => ulong().special(NoMod).interest(3),
    MASK => ulong().special(NoMod).interest(1),
    MLST => long().special(NoMod).interest(3),
    SHFT => ushort().interest(1),
    SIOL => inlink().interest(1),
    SVAL => long(),
    SIML => inlink().interest(1),
    SIMM => menu("menuSimm").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    B0 => uchar().pp().interest(1),
    B1 => uchar().pp().interest(1),
    B2 => uchar().pp().interest(1),
    B3 => uchar().pp().interest(1),
    B4 => uchar().pp().interest(1),
    B5 => uchar().pp().interest(1),
    B6 => uchar().pp().interest(1),
    B7 => uchar().pp().interest(1),
    B8 => uchar().pp().interest(1),
    B9 => uchar().pp().interest(1),
    BA => uchar().pp().interest(1),
    BB => uchar().pp().interest(1),
    BC => uchar().pp().interest(1),
    BD => uchar().pp().interest(1),
    BE => uchar().pp().interest(1),
    BF => uchar().pp().interest(1),
    B10 => uchar().pp().interest(1),
    B11 => uchar().pp().interest(1),
    B12 => uchar().pp().interest(1),
    B13 => uchar().pp().interest(1),
    B14 => uchar().pp().interest(1),
    B15 => uchar().pp().interest(1),
    B16 => uchar().pp().interest(1),
    B17 => uchar().pp().interest(1),
    B18 => uchar().pp().interest(1),
    B19 => uchar().pp().interest(1),
    B1A => uchar().pp().interest(1),
    B1B => uchar().pp().interest(1),
    B1C => uchar().pp().interest(1),
    B1D => uchar().pp().interest(1),
    B1E => uchar().pp().interest(1),
    B1F => uchar().pp().interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "mbbiDirect",
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

const SIM: Simulation = simulation!();
/// Bits there are.
const BITS: u16 = 32;

fn init(cx: &mut Cx<'_>) {
    SIM.init(cx);
    cx.load(SIOL, SVAL);
    let mut mask = bits(cx.u16(NOBT), cx.u32(MASK));
    if cx.device_kind() == DeviceKind::Raw {
        cx.load(INP, RVAL);
        mask = raw_mask(cx.u16(NOBT), mask, cx.u16(SHFT));
    } else if let Some(val) = cx.constant(INP, Dbf::ULong) {
        cx.set(VAL, val);
        cx.set_udf(false);
    }
    cx.set(MASK, mask);
    let val = cx.i32(VAL);
    for n in 0..BITS {
        cx.set(B0 + n, (val >> n & 1) as u8);
    }
    cx.copy(VAL, MLST);
    cx.copy(RVAL, ORAW);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let raw = cx.device_kind() == DeviceKind::Raw;
    let read = Input::step(&SIM, cx, stage, Dbf::ULong, |cx| soft_input(cx, INP, Dbf::ULong));
    let convert_raw = match read {
        Input::Wait(flow) => return flow,
        // The raw device never fails.
        Input::Device(Got::Failed) => raw.then_some(true),
        Input::Failed | Input::Simulated(Got::Failed, _) => None,
        Input::Device(Got::Val(val)) => {
            if raw {
                let masked = val.as_u32() & cx.u32(MASK);
                cx.set(RVAL, masked);
            } else {
                cx.set(VAL, val);
            }
            cx.time_of_device(INP);
            Some(raw)
        }
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
            cx.copy(SVAL, if mode == 1 { VAL } else { RVAL });
            Some(mode != 1)
        }
    };
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    if let Some(convert_raw) = convert_raw {
        cx.set_udf(false);
        if convert_raw {
            let shift = cx.u16(SHFT);
            let val = cx.u32(RVAL).wrapping_shr(shift.into());
            cx.set(VAL, val);
        }
    }
    if cx.udf() {
        cx.alarm(17, 3);
    }
    monitor(cx);
    Flow::Done
}

fn monitor(cx: &mut Cx<'_>) {
    let mask = cx.reset_alarms();
    let changed = mask.union(EventMask::VALUE).union(EventMask::LOG);
    let val = cx.i32(VAL);
    for n in 0..BITS {
        let (bit, old) = ((val >> n & 1) as u8, cx.u16(B0 + n));
        cx.set(B0 + n, bit);
        cx.post(B0 + n, if old == u16::from(bit) { mask } else { changed });
    }
    if cx.i32(MLST) == val {
        cx.post(VAL, mask);
    } else {
        cx.set(MLST, val);
        cx.post(VAL, changed);
    }
    super::bi::post_changed(cx, mask, RVAL, ORAW);
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    SIM.special(cx, field, after);
    Ok(())
}
