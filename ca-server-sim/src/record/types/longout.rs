//! The `longout` record: an integer output (`longoutRecord.c`, `devLoSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => long().asl0().pp(),
    OUT => outlink().special(Mod).interest(1),
    DOL => inlink().interest(1),
    OMSL => menu("menuOmsl").interest(1),
    EGU => string(16).prop().interest(1),
    DRVH => long().pp().prop().interest(1),
    DRVL => long().pp().prop().interest(1),
    HOPR => long().prop().interest(1),
    LOPR => long().prop().interest(1),
    HIHI => long().pp().prop().interest(1),
    LOLO => long().pp().prop().interest(1),
    HIGH => long().pp().prop().interest(1),
    LOW => long().pp().prop().interest(1),
    HHSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LLSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HYST => long().interest(1),
    ADEL => long().interest(1),
    MDEL => long().interest(1),
    LALM => long().special(NoMod).interest(3),
    ALST => long().special(NoMod).interest(3),
    MLST => long().special(NoMod).interest(3),
    SIOL => outlink().interest(1),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => long().interest(2),
    PVAL => long(),
    OUTPVT => noaccess().special(NoMod).interest(4),
    OOCH => menu("menuYesNo").initial("1").interest(1),
    OOPT => menu("longoutOOPT").initial("0").interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "longout",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    special: Some(special),
    meta,
    ..Support::HOLDER
};

use super::limits::monitor_integer;

const OUTPUT: Output = Output { sim: simulation!(), write, simulate };
const LIMITS: limits::AlarmFields = limits!();
/// Whether it writes whatever OOPT says: at first, and after OUT was changed.
const FRESH: u16 = OUTPVT;

/// As OOPT says (`conditional_write`).
fn write(cx: &mut Cx<'_>) {
    let (new, old) = (cx.i32(VAL), cx.i32(PVAL));
    let writes = match cx.u16(OOPT) {
        0 => true,
        1 => new != old || cx.get(FRESH) != Val::None,
        2 => new == 0,
        3 => new != 0,
        4 => new == 0 && old != 0,
        5 => new != 0 && old == 0,
        _ => false,
    };
    if writes {
        cx.want_put(OUT, new);
    }
    cx.copy(VAL, PVAL);
    cx.set(FRESH, Val::None);
}

fn simulate(cx: &mut Cx<'_>, _: u16) {
    let val = cx.get(VAL);
    cx.want_put(SIOL, val);
}

fn init(cx: &mut Cx<'_>) {
    OUTPUT.sim.init(cx);
    if cx.load(DOL, VAL) {
        cx.set_udf(false);
    }
    for field in [MLST, ALST, LALM, PVAL] {
        cx.copy(VAL, field);
    }
    cx.set(FRESH, Val::UChar(1));
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if Output::has(stage) {
        return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
    }
    if stage == 0 && !cx.is_constant(DOL) && cx.u16(OMSL) == 1 {
        cx.want(DOL, Dbf::Long);
        return Flow::Then(1);
    }
    let value = match (stage, cx.got().first()) {
        (1, Some(Got::Val(val))) => Some(val.as_i32()),
        (1, _) => None,
        _ => Some(cx.i32(VAL)),
    };
    if let Some(value) = value {
        if stage == 1 {
            cx.set_udf(false);
        }
        let (low, high) = (cx.i32(DRVL), cx.i32(DRVH));
        cx.set(VAL, if high > low { value.clamp(low, high) } else { value });
    }
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, None);
    let now = cx.time();
    LIMITS.check(cx, now);
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => cx.copy(IVOV, VAL),
        Drive::Write => {}
    }
    OUTPUT.begin(cx).unwrap_or_else(|| finish(cx))
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    monitor_integer(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    OUTPUT.sim.special(cx, field, after);
    if field == OUT && after && cx.u16(OOCH) == 1 {
        cx.set(FRESH, Val::UChar(1));
    }
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if view.of().field(field).dbf == Dbf::Long {
        meta.units = view.text(EGU).into();
    }
    if matches!(field, VAL | HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST) {
        let limits = (view.f64(LOPR), view.f64(HOPR));
        let drive = (view.f64(DRVL), view.f64(DRVH));
        meta.display = limits;
        meta.control = if drive.1 > drive.0 { drive } else { limits };
    } else {
        limits::type_range(view, field, meta);
    }
    if field == VAL {
        limits::alarm_levels(view, &LIMITS, meta);
    }
}
