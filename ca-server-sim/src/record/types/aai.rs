//! The `aai` record: an array input (`aaiRecord.c`, `devAaiSoft.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => noaccess().asl0().special(DbAddr).pp(),
    PREC => short().prop().interest(1),
    INP => inlink().interest(1),
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
    SIOL => inlink().interest(1),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    MPST => menu("aaiPOST").interest(1),
    APST => menu("aaiPOST").interest(1),
    HASH => ulong().interest(3),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "aai",
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

const SIM: Simulation = simulation!();

use super::waveform::{element, fill_array, monitor_array, start_array, tell_count};

fn prepare(cx: &mut Cx<'_>) {
    start_array(cx, VAL, NELM, NORD, FTVL);
}

fn init(cx: &mut Cx<'_>) {
    SIM.init(cx);
    let shape = shape(&cx.view());
    if let Some(val) = cx.constant_array(INP, shape.dbf, shape.capacity) {
        cx.set(NORD, val.count() as u32);
        cx.set(VAL, val);
        cx.set_udf(false);
    }
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let shape = shape(&cx.view());
    let ask = |cx: &mut Cx<'_>, link| {
        if cx.is_constant(link) {
            return Some(Got::Nothing);
        }
        cx.want_array(link, shape.dbf, shape.capacity);
        None
    };
    let (got, link) = match Input::step_with(&SIM, cx, stage, |cx| ask(cx, INP), |cx| ask(cx, SIOL)) {
        Input::Wait(flow) => return flow,
        Input::Device(got) => (got, INP),
        Input::Simulated(got, _) => (got, SIOL),
        Input::Failed => (Got::Failed, INP),
    };
    if let Got::Val(val) = got {
        fill_array(cx, VAL, NORD, val);
        cx.time_of_device(link);
    }
    cx.set_udf(false);
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    monitor_array(cx, VAL, [MPST, APST], HASH);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    SIM.special(cx, field, after);
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
