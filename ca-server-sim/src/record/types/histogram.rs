//! The `histogram` record: how often a value is where (`histogramRecord.c`, `devHistogramSoft.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => noaccess().asl0().special(DbAddr),
    NELM => ushort().special(NoMod).initial("1").interest(1),
    CSTA => short().special(NoMod).initial("1").interest(1),
    CMD => menu("histogramCMD").asl0().special(Calc).interest(1),
    ULIM => double().special(Reset).prop().interest(1),
    LLIM => double().special(Reset).prop().interest(1),
    WDTH => double().special(NoMod).interest(3),
    SGNL => double().special(Mod),
    PREC => short().prop().interest(1),
    SVL => inlink().interest(1),
    BPTR => noaccess().special(NoMod).interest(4),
    WDOG => noaccess().special(NoMod).interest(4),
    MDEL => short().interest(1),
    MCNT => short().special(NoMod).interest(3),
    SDEL => double().special(Reset).interest(1),
    SIOL => inlink().interest(1),
    SVAL => double(),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    HOPR => ulong().prop().interest(1),
    LOPR => ulong().prop().interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "histogram",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    prepare,
    init,
    process,
    callback,
    special: Some(special),
    array,
    stored,
    meta,
    ..Support::HOLDER
};

use std::time::Duration;

const SIM: Simulation = simulation!();

fn prepare(cx: &mut Cx<'_>) {
    let elements = cx.u16(NELM).max(1);
    cx.set_u16(NELM, elements);
    cx.set(VAL, Array::ULong(vec![0; elements.into()]));
    width(cx);
}

fn width(cx: &mut Cx<'_>) {
    let width = (cx.f64(ULIM) - cx.f64(LLIM)) / f64::from(cx.u16(NELM));
    cx.set(WDTH, width);
}

fn init(cx: &mut Cx<'_>) {
    watch(cx);
    SIM.init(cx);
    cx.load(SIOL, SVAL);
    if cx.load(SVL, SGNL) {
        cx.set_udf(false);
    }
}

/// Tells of counts after SDEL seconds at the latest (`wdogInit`).
fn watch(cx: &mut Cx<'_>) {
    let delay = cx.f64(SDEL);
    if delay > 0.0 {
        cx.call_back(Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX));
    }
}

fn callback(cx: &mut Cx<'_>) {
    if cx.i32(MCNT) > 0 {
        cx.timestamp();
        cx.post(VAL, EventMask::VALUE.union(EventMask::LOG));
        cx.set_u16(MCNT, 0);
    }
    watch(cx);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let read = Input::step(&SIM, cx, stage, Dbf::Double, |cx| soft_input(cx, SVL, Dbf::Double));
    let counts = match read {
        Input::Wait(flow) => return flow,
        Input::Device(got) => {
            if let Got::Val(val) = got {
                cx.set(SGNL, val);
            }
            // The device never fails.
            true
        }
        Input::Simulated(Got::Failed, _) | Input::Failed => false,
        Input::Simulated(got, _) => {
            if let Got::Val(val) = got {
                cx.set(SVAL, val);
            }
            cx.copy(SVAL, SGNL);
            cx.set_udf(false);
            true
        }
    };
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    if counts {
        count(cx);
    }
    let mut mask = cx.reset_alarms();
    if cx.i32(MCNT) > cx.i32(MDEL) {
        mask = mask.union(EventMask::VALUE).union(EventMask::LOG);
        cx.set_u16(MCNT, 0);
    }
    cx.post(VAL, mask);
    Flow::Done
}

/// `add_count`
fn count(cx: &mut Cx<'_>) {
    let (low, high, signal) = (cx.f64(LLIM), cx.f64(ULIM), cx.f64(SGNL));
    if cx.i32(CSTA) == 0 {
        return;
    }
    if low >= high && cx.nsev() < 3 {
        // As there, without anybody being told.
        cx.set_u16(common::STAT, stat::SOFT);
        cx.set_u16(common::SEVR, 3);
        return;
    }
    if signal < low || signal >= high {
        return;
    }
    let (distance, width) = (signal - low, cx.f64(WDTH));
    let elements = cx.u16(NELM);
    // Rounding may leave the last class a little short. Without a width there is no class: the reference counts
    // behind its array then.
    let last = if width.is_nan() { 0 } else { elements };
    let place = (1..=elements).find(|&n| distance <= f64::from(n) * width).unwrap_or(last);
    if let Val::Array(all) = cx.get(VAL)
        && let Array::ULong(mut counts) = Array::clone(&all)
    {
        let count = usize::from(place).checked_sub(1).and_then(|at| counts.get_mut(at));
        if let Some(count) = count {
            // The largest number is skipped.
            *count = if *count == u32::MAX { 1 } else { *count + 1 };
        }
        cx.set(VAL, Array::ULong(counts));
    }
    let told = cx.i32(MCNT).wrapping_add(1) as i16;
    cx.set(MCNT, told);
}

fn clear(cx: &mut Cx<'_>) {
    let elements = cx.u16(NELM);
    cx.set(VAL, Array::ULong(vec![0; elements.into()]));
    let told = cx.i32(MDEL).wrapping_add(1) as i16;
    cx.set(MCNT, told);
    cx.set_udf(false);
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    SIM.special(cx, field, after);
    if !after {
        if field == VAL {
            let counts = cx.get(VAL);
            cx.set(BPTR, counts);
        }
        return Ok(());
    }
    match field {
        CMD => {
            match cx.u16(CMD) {
                0 | 1 => clear(cx),
                2 => cx.set_u16(CSTA, 1),
                3 => cx.set_u16(CSTA, 0),
                _ => return Ok(()),
            }
            cx.set_u16(CMD, 0);
        }
        SGNL => count(cx),
        SDEL => watch(cx),
        ULIM | LLIM => {
            width(cx);
            clear(cx);
        }
        _ => {}
    }
    Ok(())
}

/// What is written takes the place of the first counts; there are always as many.
fn stored(cx: &mut Cx<'_>, _: u16, count: usize) {
    let numbers = |val: Val| match val {
        Val::Array(all) => all.iter().map(|val| val.as_u32()).collect(),
        _ => Vec::new(),
    };
    let (new, mut counts): (Vec<u32>, Vec<u32>) = (numbers(cx.get(VAL)), numbers(cx.get(BPTR)));
    for (old, new) in counts.iter_mut().zip(new).take(count) {
        *old = new;
    }
    cx.set(VAL, Array::ULong(counts));
    cx.set(BPTR, Val::None);
}

fn array(view: &View<'_>, field: u16) -> Option<ArrayShape> {
    (field == VAL).then(|| ArrayShape { dbf: Dbf::ULong, capacity: view.u16(NELM).into() })
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if field == SDEL {
        meta.units = b"s".as_slice().into();
    }
    let prec = view.i32(PREC) as i16;
    meta.precision = match field {
        ULIM | LLIM | SGNL | SVAL | WDTH => Some(prec),
        SDEL => Some(2),
        _ => None,
    };
    let range = match field {
        VAL => (view.f64(LOPR), view.f64(HOPR)),
        WDTH => (0.0, view.f64(ULIM) - view.f64(LLIM)),
        _ => return limits::type_range(view, field, meta),
    };
    meta.display = range;
    meta.control = range;
}
