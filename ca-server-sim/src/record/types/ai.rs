//! The `ai` record: an analogue input (`aiRecord.c`, `devAiSoft*.c`, `devTimestamp.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => double().asl0().pp(),
    INP => inlink().interest(1),
    PREC => short().prop().interest(1),
    LINR => menu("menuConvert").special(LinConv).pp().interest(1),
    EGUF => double().special(LinConv).pp().interest(1),
    EGUL => double().special(LinConv).pp().interest(1),
    EGU => string(16).prop().interest(1),
    HOPR => double().prop().interest(1),
    LOPR => double().prop().interest(1),
    AOFF => double().pp().interest(1),
    ASLO => double().pp().initial("1").interest(1),
    SMOO => double().interest(1),
    HIHI => double().pp().prop().interest(1),
    LOLO => double().pp().prop().interest(1),
    HIGH => double().pp().prop().interest(1),
    LOW => double().pp().prop().interest(1),
    HHSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LLSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HSV => menu("menuAlarmSevr").pp().prop().interest(1),
    LSV => menu("menuAlarmSevr").pp().prop().interest(1),
    HYST => double().interest(1),
    AFTC => double().interest(1),
    ADEL => double().interest(1),
    MDEL => double().interest(1),
    LALM => double().special(NoMod).interest(3),
    AFVL => double().special(NoMod).interest(3),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    ESLO => double().pp().initial("1").interest(2),
    EOFF => double().pp().interest(2),
    ROFF => ulong().pp().interest(2),
    PBRK => noaccess().special(NoMod).interest(4),
    INIT => short().special(NoMod).interest(3),
    LBRK => short().special(NoMod).interest(3),
    RVAL => long().pp(),
    ORAW => long().special(NoMod).interest(3),
    SIOL => inlink().interest(1),
    SVAL => double(),
    SIML => inlink().interest(1),
    SIMM => menu("menuSimm").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "ai",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Raw Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant), ("Soft Timestamp", DeviceAddress::Instrument), ("General Time", DeviceAddress::Instrument)],
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
/// Whether the last read of the device gave a value, for SMOO.
const WAS_READ: u16 = common::DPVT;

fn init(cx: &mut Cx<'_>) {
    SIM.init(cx);
    cx.load(SIOL, SVAL);
    cx.set_u16(INIT, 1);
    let old = (cx.f64(ESLO), cx.f64(EOFF));
    if old == (1.0, 0.0) && cx.u16(LINR) != SLOPE {
        cx.copy(EGUL, EOFF);
    }
    if cx.device_kind() == DeviceKind::Raw {
        cx.load(INP, RVAL);
    } else if cx.load(INP, VAL) {
        cx.set_udf(false);
    }
}

/// A number of `menuConvert`.
const SLOPE: u16 = 1;

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let before = cx.time();
    let read = Input::step(&SIM, cx, stage, Dbf::Double, device);
    let convert_raw = match read {
        Input::Wait(flow) => return flow,
        Input::Device(Got::Failed) | Input::Failed => {
            cx.set(WAS_READ, Val::None);
            None
        }
        Input::Device(got) => Some(take(cx, got)),
        Input::Simulated(Got::Val(val), mode) => {
            cx.set(SVAL, val);
            if mode == 1 {
                cx.copy(SVAL, VAL);
            } else {
                let raw = cx.f64(SVAL).floor();
                cx.set(RVAL, raw);
            }
            Some(mode != 1)
        }
        // A constant SIOL leaves SVAL as it is.
        Input::Simulated(Got::Nothing, mode) => {
            if mode == 1 {
                cx.copy(SVAL, VAL);
            }
            Some(mode != 1)
        }
        Input::Simulated(Got::Failed, _) => None,
    };
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    if convert_raw == Some(true) {
        convert(cx);
    }
    if convert_raw.is_some() {
        let undefined = cx.f64(VAL).is_nan();
        cx.set_udf(undefined);
    }
    LIMITS.check(cx, before);
    let mask = limits::monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
    if mask.0 != 0 && cx.i32(ORAW) != cx.i32(RVAL) {
        cx.post(RVAL, mask);
        cx.copy(RVAL, ORAW);
    }
    if cx.has(INIT) {
        cx.set_u16(INIT, 0);
    }
    Flow::Done
}

fn device(cx: &mut Cx<'_>) -> Option<Got> {
    match cx.device_kind() {
        DeviceKind::Raw => soft_input(cx, INP, Dbf::Long),
        DeviceKind::SoftTimestamp => {
            cx.timestamp();
            let time = cx.time();
            Some(Got::Val(Val::Double(f64::from(time.secs) + f64::from(time.nanos) * 1e-9)))
        }
        DeviceKind::GeneralTime => {
            let time = cx.clock();
            Some(Got::Val(Val::Double(f64::from(time.secs) + f64::from(time.nanos) * 1e-9)))
        }
        _ => soft_input(cx, INP, Dbf::Double),
    }
}

/// Stores what the device gave; whether it is a raw value, which has to be converted.
fn take(cx: &mut Cx<'_>, got: Got) -> bool {
    let raw = cx.device_kind() == DeviceKind::Raw;
    let Got::Val(val) = got else {
        return raw;
    };
    cx.time_of_device(INP);
    if raw {
        cx.set(RVAL, val);
        return true;
    }
    let (new, old, smoothing) = (val.as_f64(), cx.f64(VAL), cx.f64(SMOO));
    let was_read = *cx.val(WAS_READ) != Val::None;
    let smooth = smoothing != 0.0 && was_read && old.is_finite();
    cx.set(VAL, if smooth { new * (1.0 - smoothing) + old * smoothing } else { new });
    cx.set(WAS_READ, Val::UChar(1));
    false
}

/// From raw value to engineering units (`convert`).
fn convert(cx: &mut Cx<'_>) {
    let mut value = f64::from(cx.i32(RVAL)) + f64::from(cx.u32(ROFF));
    if cx.f64(ASLO) != 0.0 {
        value *= cx.f64(ASLO);
    }
    value += cx.f64(AOFF);
    match cx.u16(LINR) {
        0 => {}
        1 | 2 => value = value * cx.f64(ESLO) + cx.f64(EOFF),
        _ => match cx.raw_to_units(LINR, LBRK, value) {
            Some((converted, true)) => value = converted,
            beyond => {
                value = beyond.map_or(value, |(value, _)| value);
                cx.alarm_with(stat::SOFT, 2, "BPT Error");
            }
        },
    }
    let (smoothing, old) = (cx.f64(SMOO), cx.f64(VAL));
    if smoothing != 0.0 && old.is_finite() {
        let old = if cx.u16(INIT) != 0 { value } else { old };
        value = value * (1.0 - smoothing) + old * smoothing;
    }
    cx.set(VAL, value);
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if field == SIMM {
        SIM.special(cx, field, after);
    } else {
        cx.set_u16(INIT, 1);
    }
    Ok(())
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if view.of().field(field).dbf == Dbf::Double && !matches!(field, ASLO | AOFF | SMOO) {
        meta.units = view.text(EGU).into();
    }
    meta.precision = Some(limits::precision(view, field, field == VAL, view.i32(PREC) as i16));
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
