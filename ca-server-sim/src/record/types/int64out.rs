//! The `int64out` record: an output of 64 bits (`int64outRecord.c`, `devI64outSoft.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => int64().asl0().pp(),
    OUT => outlink().interest(1),
    DOL => inlink().interest(1),
    OMSL => menu("menuOmsl").interest(1),
    EGU => string(16).prop().interest(1),
    DRVH => int64().pp().prop().interest(1),
    DRVL => int64().pp().prop().interest(1),
    HOPR => int64().prop().interest(1),
    LOPR => int64().prop().interest(1),
    HIHI => int64().pp().prop().interest(1),
    LOLO => int64().pp().prop().interest(1),
    HIGH => int64().pp().prop().interest(1),
    LOW => int64().pp().prop().interest(1),
    HHSV => menu("menuAlarmSevr").pp().interest(1),
    LLSV => menu("menuAlarmSevr").pp().interest(1),
    HSV => menu("menuAlarmSevr").pp().interest(1),
    LSV => menu("menuAlarmSevr").pp().interest(1),
    HYST => int64().interest(1),
    ADEL => int64().interest(1),
    MDEL => int64().interest(1),
    LALM => int64().special(NoMod).interest(3),
    ALST => int64().special(NoMod).interest(3),
    MLST => int64().special(NoMod).interest(3),
    SIOL => outlink().interest(1),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => int64().interest(2),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "int64out",
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

use super::limits::monitor_wide;

const OUTPUT: Output = Output { sim: simulation!(), write, simulate };
const LIMITS: limits::AlarmFields = limits!();

fn write(cx: &mut Cx<'_>) {
    let val = cx.get(VAL);
    cx.want_put(OUT, val);
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
    for field in [MLST, ALST, LALM] {
        cx.copy(VAL, field);
    }
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if Output::has(stage) {
        return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
    }
    if stage == 0 && !cx.is_constant(DOL) && cx.u16(OMSL) == 1 {
        cx.want(DOL, Dbf::Int64);
        return Flow::Then(1);
    }
    let value = match (stage, cx.got().first()) {
        (1, Some(Got::Val(val))) => Some(val.as_i64()),
        (1, _) => None,
        _ => Some(cx.i64(VAL)),
    };
    if let Some(value) = value {
        if stage == 1 {
            cx.set_udf(false);
        }
        let (low, high) = (cx.i64(DRVL), cx.i64(DRVH));
        cx.set(VAL, if high > low { value.clamp(low, high) } else { value });
    }
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, None);
    let now = cx.time();
    LIMITS.check_wide(cx, now);
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => cx.copy(IVOV, VAL),
        Drive::Write => {}
    }
    OUTPUT.begin(cx).unwrap_or_else(|| finish(cx))
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    monitor_wide(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    OUTPUT.sim.special(cx, field, after);
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if view.of().field(field).dbf == Dbf::Int64 {
        meta.units = view.text(EGU).into();
    }
    if matches!(field, VAL | HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST) {
        let limits = (view.f64(LOPR), view.f64(HOPR));
        let drive = (view.get(DRVL).as_i64(), view.get(DRVH).as_i64());
        meta.display = limits;
        meta.control = if drive.1 > drive.0 { (drive.0 as f64, drive.1 as f64) } else { limits };
    } else {
        limits::type_range(view, field, meta);
    }
    if field == VAL {
        // Those without a severity too, unlike in other record types.
        meta.alarm = [view.f64(LOLO), view.f64(LOW), view.f64(HIGH), view.f64(HIHI)];
    }
}
