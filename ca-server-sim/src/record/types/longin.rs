//! The `longin` record: an integer input (`longinRecord.c`, `devLiSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => long().asl0().pp(),
    INP => inlink().interest(1),
    EGU => string(16).prop().interest(1),
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
    AFTC => double().interest(1),
    AFVL => double().special(NoMod).interest(3),
    ADEL => long().interest(1),
    MDEL => long().interest(1),
    LALM => long().special(NoMod).interest(3),
    ALST => long().special(NoMod).interest(3),
    MLST => long().special(NoMod).interest(3),
    SIOL => inlink().interest(1),
    SVAL => long(),
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
    name: "longin",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant), ("General Time", DeviceAddress::Instrument)],
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
    let read = Input::step(&SIM, cx, stage, Dbf::Long, |cx| {
        if cx.device_kind() == DeviceKind::GeneralTime {
            // GETERRCNT: the clock makes no errors.
            return Some(Got::Val(Val::Long(0)));
        }
        soft_input(cx, INP, Dbf::Long)
    });
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
    LIMITS.check(cx, before);
    monitor_integer(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    Flow::Done
}

/// As [`limits::monitor`], in integers of 32 bits.
pub(super) fn monitor_integer(cx: &mut Cx<'_>, val: u16, value: [u16; 2], archive: [u16; 2]) {
    let mut mask = cx.reset_alarms();
    for ([last, band], add) in [(value, EventMask::VALUE), (archive, EventMask::LOG)] {
        let band = cx.i32(band);
        if band < 0 || cx.i32(last).abs_diff(cx.i32(val)) > band.unsigned_abs() {
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
    if view.of().field(field).dbf == Dbf::Long {
        meta.units = view.text(EGU).into();
    }
    if matches!(field, VAL | HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST | SVAL) {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
        meta.control = meta.display;
    } else {
        limits::type_range(view, field, meta);
    }
    if field == VAL {
        limits::alarm_levels(view, &LIMITS, meta);
    }
}
