//! The `int64in` record: an input of 64 bits (`int64inRecord.c`, `devI64inSoft.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => int64().asl0().pp(),
    INP => inlink().interest(1),
    EGU => string(16).prop().interest(1),
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
    AFTC => double().interest(1),
    AFVL => double().special(NoMod).interest(3),
    ADEL => int64().interest(1),
    MDEL => int64().interest(1),
    LALM => int64().special(NoMod).interest(3),
    ALST => int64().special(NoMod).interest(3),
    MLST => int64().special(NoMod).interest(3),
    SIOL => inlink().interest(1),
    SVAL => int64(),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "int64in",
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

const SIM: Simulation = simulation!();
const LIMITS: limits::AlarmFields = limits!(AFTC, AFVL);

fn init(cx: &mut Cx<'_>) {
    SIM.init(cx);
    cx.load(SIOL, SVAL);
    if cx.load(INP, VAL) {
        cx.set_udf(false);
    }
    for field in [MLST, ALST, LALM] {
        cx.copy(VAL, field);
    }
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let before = cx.time();
    let read = Input::step(&SIM, cx, stage, Dbf::Int64, |cx| soft_input(cx, INP, Dbf::Int64));
    match read {
        Input::Wait(flow) => return flow,
        Input::Device(Got::Failed) | Input::Failed | Input::Simulated(Got::Failed, _) => {}
        Input::Device(got) => {
            if let Got::Val(val) = got {
                cx.set(VAL, val);
                cx.time_of_device(INP);
            }
            cx.set_udf(false);
        }
        Input::Simulated(got, _) => {
            if let Got::Val(val) = got {
                cx.set(SVAL, val);
            }
            cx.copy(SVAL, VAL);
            cx.set_udf(false);
        }
    }
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    LIMITS.check_wide(cx, before);
    monitor_wide(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    Flow::Done
}

/// As [`limits::monitor`], in integers of 64 bits.
pub(super) fn monitor_wide(cx: &mut Cx<'_>, val: u16, value: [u16; 2], archive: [u16; 2]) {
    let mut mask = cx.reset_alarms();
    for ([last, band], add) in [(value, EventMask::VALUE), (archive, EventMask::LOG)] {
        let band = cx.i64(band);
        if band < 0 || cx.i64(last).abs_diff(cx.i64(val)) > band.unsigned_abs() {
            mask = mask.union(add);
            cx.copy(val, last);
        }
    }
    cx.post(val, mask);
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    SIM.special(cx, field, after);
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if view.of().field(field).dbf == Dbf::Int64 {
        meta.units = view.text(EGU).into();
    }
    if matches!(field, VAL | HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST | SVAL) {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
        meta.control = meta.display;
    } else {
        limits::type_range(view, field, meta);
    }
    if field == VAL {
        // Those without a severity too, unlike in other record types.
        meta.alarm = [view.f64(LOLO), view.f64(LOW), view.f64(HIGH), view.f64(HIHI)];
    }
}
