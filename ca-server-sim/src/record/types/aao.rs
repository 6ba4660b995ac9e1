//! The `aao` record: an array output (`aaoRecord.c`, `devAaoSoft.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => noaccess().asl0().special(DbAddr).pp(),
    PREC => short().prop().interest(1),
    OUT => outlink().interest(1),
    DOL => inlink().interest(1),
    OMSL => menu("menuOmsl").interest(1),
    EGU => string(16).prop().interest(1),
    HOPR => double().prop().interest(1),
    LOPR => double().prop().interest(1),
    NELM => ulong().special(NoMod).prop().initial("1").interest(1),
    FTVL => menu("menuFtype").special(NoMod).interest(1),
    NORD => ulong().special(NoMod),
    BPTR => noaccess().special(NoMod).interest(4),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    SIOL => outlink().interest(1),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    MPST => menu("aaoPOST").interest(1),
    APST => menu("aaoPOST").interest(1),
    HASH => ulong().interest(3),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "aao",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    prepare,
    init,
    process,
    special: Some(special),
    array,
    stored,
    meta,
    ..Support::HOLDER
};

const OUTPUT: Output = Output { sim: simulation!(), write, simulate };

use super::waveform::{element, monitor_array, start_array, tell_count};

fn write(cx: &mut Cx<'_>) {
    let val = cx.get(VAL);
    cx.want_put(OUT, val);
}

fn simulate(cx: &mut Cx<'_>, _: u16) {
    let val = cx.get(VAL);
    cx.want_put(SIOL, val);
}

fn prepare(cx: &mut Cx<'_>) {
    start_array(cx, VAL, NELM, NORD, FTVL);
    if cx.u32(NORD) != 0 {
        // `devAaoSoft` begins without elements; OUT leads nowhere yet when it looks.
        cx.set(NORD, 0u32);
        cx.set(VAL, Array::empty(element(cx.u16(FTVL))));
    }
}

fn init(cx: &mut Cx<'_>) {
    OUTPUT.sim.init(cx);
    let shape = shape(&cx.view());
    if cx.u16(OMSL) == 1
        && let Some(val) = cx.constant_array(DOL, shape.dbf, shape.capacity)
    {
        cx.set(NORD, val.count() as u32);
        cx.set(VAL, val);
        cx.set_udf(false);
    }
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if Output::has(stage) {
        return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
    }
    if stage == 0 {
        cx.set_udf(false);
        if cx.u16(OMSL) == 1 && !cx.is_constant(DOL) {
            let shape = shape(&cx.view());
            cx.want_array(DOL, shape.dbf, shape.capacity);
            return Flow::Then(1);
        }
    }
    match cx.got().first().cloned() {
        Some(Got::Failed) if stage == 1 => return Flow::Stop,
        Some(Got::Val(val)) if stage == 1 => {
            cx.set(NORD, val.count() as u32);
            cx.set(VAL, val);
        }
        _ => {}
    }
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, None);
    OUTPUT.begin(cx).unwrap_or_else(|| finish(cx))
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    monitor_array(cx, VAL, [MPST, APST], HASH);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    OUTPUT.sim.special(cx, field, after);
    Ok(())
}

fn shape(view: &View<'_>) -> ArrayShape {
    ArrayShape { dbf: element(view.u16(FTVL)), capacity: view.get(NELM).as_u32() as usize }
}

fn array(view: &View<'_>, field: u16) -> Option<ArrayShape> {
    (field == VAL).then(|| shape(view))
}

fn stored(cx: &mut Cx<'_>, _: u16, count: usize) {
    tell_count(cx, NORD, count);
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    let text = matches!(element(view.u16(FTVL)), Dbf::String | Dbf::Enum);
    if field == VAL && !text || matches!(field, HOPR | LOPR) {
        meta.units = view.text(EGU).into();
    }
    meta.precision = Some(limits::precision(view, field, field == VAL, view.i32(PREC) as i16));
    let range = match field {
        VAL => (view.f64(LOPR), view.f64(HOPR)),
        NORD => (0.0, view.f64(NELM)),
        _ => return limits::type_range(view, field, meta),
    };
    meta.display = range;
    meta.control = range;
}
