//! The `ao` record: an analogue output (`aoRecord.c`, `devAoSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => double().asl0().pp(),
    OVAL => double(),
    OUT => outlink().interest(1),
    OROC => double().interest(1),
    DOL => inlink().interest(1),
    OMSL => menu("menuOmsl").interest(1),
    OIF => menu("aoOIF").interest(1),
    PREC => short().prop().interest(1),
    LINR => menu("menuConvert").special(LinConv).pp().interest(1),
    EGUF => double().special(LinConv).pp().interest(1),
    EGUL => double().special(LinConv).pp().interest(1),
    EGU => string(16).prop().interest(1),
    ROFF => ulong().pp().interest(2),
    EOFF => double().pp().interest(2),
    ESLO => double().pp().initial("1").interest(2),
    DRVH => double().pp().prop().interest(1),
    DRVL => double().pp().prop().interest(1),
    HOPR => double().prop().interest(1),
    LOPR => double().prop().interest(1),
    AOFF => double().pp().interest(1),
    ASLO => double().pp().interest(1),
    HIHI => double().pp().prop().interest(1),
    LOLO => double().pp().prop().interest(1),
    HIGH => double().pp().prop().interest(1),
    LOW => double().pp().prop().interest(1),
    HHSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LLSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HYST => double().interest(1),
    ADEL => double().interest(1),
    MDEL => double().interest(1),
    RVAL => long().pp(),
    ORAW => long().special(NoMod).interest(3),
    RBV => long().special(NoMod),
    ORBV => long().special(NoMod).interest(3),
    PVAL => double().special(NoMod).interest(3),
    LALM => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    PBRK => noaccess().special(NoMod).interest(4),
    INIT => short().special(NoMod).interest(3),
    LBRK => short().special(NoMod).interest(3),
    SIOL => outlink().interest(1),
    SIML => inlink().interest(1),
    SIMM => menu("menuSimm").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => double().interest(2),
    OMOD => uchar().special(NoMod),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "ao",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Raw Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    special: Some(special),
    meta,
    ..Support::HOLDER
};

const OUTPUT: Output = Output { sim: simulation!(), write, simulate };
const LIMITS: limits::AlarmFields = limits!();

/// A number of `menuConvert`.
const SLOPE: u16 = 1;

fn write(cx: &mut Cx<'_>) {
    let val = cx.get(if cx.device_kind() == DeviceKind::Raw { RVAL } else { OVAL });
    cx.want_put(OUT, val);
}

fn simulate(cx: &mut Cx<'_>, mode: u16) {
    let val = cx.get(if mode == 1 { OVAL } else { RVAL });
    cx.want_put(SIOL, val);
}

fn init(cx: &mut Cx<'_>) {
    OUTPUT.sim.init(cx);
    if cx.load(DOL, VAL) {
        let undefined = cx.f64(VAL).is_nan();
        cx.set_udf(undefined);
    }
    cx.set_u16(INIT, 1);
    let old = (cx.f64(ESLO), cx.f64(EOFF));
    // `devAoSoftRaw` has no start of its own, so that EOFF keeps EGUL with SLOPE too.
    let raw = cx.device_kind() == DeviceKind::Raw;
    if old == (1.0, 0.0) && (raw || cx.u16(LINR) != SLOPE) {
        cx.copy(EGUL, EOFF);
    }
    for field in [OVAL, PVAL, MLST, ALST, LALM] {
        cx.copy(VAL, field);
    }
    cx.copy(RVAL, ORAW);
    cx.copy(RBV, ORBV);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if Output::has(stage) {
        return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
    }
    if stage == 0 && !cx.is_constant(DOL) && cx.u16(OMSL) == 1 {
        // What clients wrote to VAL does not count.
        cx.copy(PVAL, VAL);
        cx.want(DOL, Dbf::Double);
        return Flow::Then(1);
    }
    let value = match (stage, cx.got().first()) {
        (1, Some(Got::Val(val))) => {
            let base = if cx.u16(OIF) == 1 { cx.f64(VAL) } else { 0.0 };
            Some(val.as_f64() + base)
        }
        (1, _) => {
            cx.alarm(stat::LINK, 3);
            None
        }
        _ => Some(cx.f64(VAL)),
    };
    if let Some(value) = value {
        convert(cx, value);
    }
    let undefined = cx.f64(VAL).is_nan();
    cx.set_udf(undefined);
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, None);
    let now = cx.time();
    LIMITS.check(cx, now);
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => {
            cx.copy(IVOV, VAL);
            let value = cx.f64(IVOV);
            convert(cx, value);
        }
        Drive::Write => {}
    }
    OUTPUT.begin(cx).unwrap_or_else(|| finish(cx))
}

/// Drive limits, rate of change, and from engineering units to the raw value (`convert`).
fn convert(cx: &mut Cx<'_>, mut value: f64) {
    let (low, high) = (cx.f64(DRVL), cx.f64(DRVH));
    if high > low {
        if value > high {
            value = high;
        } else if value < low {
            value = low;
        }
    }
    cx.set(VAL, value);
    cx.set(PVAL, value);
    let (rate, old) = (cx.f64(OROC), cx.f64(OVAL));
    if rate != 0.0 {
        let change = value - old;
        if change < 0.0 {
            if rate < -change {
                value = old - rate;
            }
        } else if rate < change {
            value = old + rate;
        }
    }
    cx.set_u16(OMOD, (old != value).into());
    cx.set(OVAL, value);
    match cx.u16(LINR) {
        0 => {}
        1 | 2 if cx.f64(ESLO) == 0.0 => value = 0.0,
        1 | 2 => value = (value - cx.f64(EOFF)) / cx.f64(ESLO),
        _ => match cx.units_to_raw(LINR, LBRK, value) {
            Some((raw, true)) => value = raw,
            _ => {
                cx.alarm(stat::SOFT, 2);
                return;
            }
        },
    }
    value -= cx.f64(AOFF);
    if cx.f64(ASLO) != 0.0 {
        value /= cx.f64(ASLO);
    }
    value -= f64::from(cx.u32(ROFF));
    // NaN becomes the smallest number, as there.
    let raw = if value >= 0.0 {
        if value >= 2147483647.0 - 0.5 { i32::MAX } else { (value + 0.5) as i32 }
    } else if value > 0.5 - 2147483648.0 {
        (value - 0.5) as i32
    } else {
        i32::MIN
    };
    cx.set(RVAL, raw);
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    let mut mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    let changed = EventMask::VALUE.union(EventMask::LOG);
    if cx.u16(OMOD) != 0 {
        mask = mask.union(changed);
    }
    if mask.0 != 0 {
        cx.set_u16(OMOD, 0);
        cx.post(OVAL, mask);
        for (new, old) in [(RVAL, ORAW), (RBV, ORBV)] {
            if cx.i32(new) != cx.i32(old) {
                cx.post(new, mask.union(changed));
                cx.copy(new, old);
            }
        }
    }
    cx.set_u16(INIT, 0);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if field == SIMM {
        OUTPUT.sim.special(cx, field, after);
    } else {
        cx.set_u16(INIT, 1);
    }
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if view.of().field(field).dbf == Dbf::Double && !matches!(field, ASLO | AOFF) {
        meta.units = view.text(EGU).into();
    }
    let value = matches!(field, VAL | OVAL | PVAL);
    meta.precision = Some(limits::precision(view, field, value, view.i32(PREC) as i16));
    limits::type_range(view, field, meta);
    let limited = value || matches!(field, HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST);
    if limited || field == IVOV {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
    }
    if limited {
        meta.control = (view.f64(DRVL), view.f64(DRVH));
    }
    if field == VAL {
        limits::alarm_levels(view, &LIMITS, meta);
    }
}
