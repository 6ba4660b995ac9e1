//! The `waveform` record: an array (`waveformRecord.c`, `devWfSoft.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => noaccess().asl0().special(DbAddr).pp(),
    RARM => short().pp().interest(1),
    PREC => short().prop().interest(1),
    INP => inlink().interest(1),
    EGU => string(16).prop().interest(1),
    HOPR => double().prop().interest(1),
    LOPR => double().prop().interest(1),
    NELM => ulong().special(NoMod).initial("1").interest(1),
    FTVL => menu("menuFtype").special(NoMod).interest(1),
    BUSY => short().special(NoMod),
    NORD => ulong().special(NoMod),
    BPTR => noaccess().special(NoMod).interest(4),
    SIOL => inlink().interest(1),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    MPST => menu("waveformPOST").interest(1),
    APST => menu("waveformPOST").interest(1),
    HASH => ulong().interest(3),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "waveform",
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

/// The type of elements that FTVL says; bytes for what cannot be in an array.
pub(super) fn element(ftvl: u16) -> Dbf {
    Dbf::ARRAYS.get(usize::from(ftvl)).copied().unwrap_or(Dbf::UChar)
}

fn prepare(cx: &mut Cx<'_>) {
    start_array(cx, VAL, NELM, NORD, FTVL);
}

/// An array of one element has it from the start on.
pub(super) fn start_array(cx: &mut Cx<'_>, val: u16, nelm: u16, nord: u16, ftvl: u16) {
    if cx.u32(nelm) == 0 {
        cx.set(nelm, 1u32);
    }
    let one = usize::from(cx.u32(nelm) == 1);
    cx.set(nord, one as u32);
    let dbf = element(cx.u16(ftvl));
    if let Ok(array) = Array::collect([Val::zero(dbf)], dbf, one, &Conversion::PLAIN) {
        cx.set(val, array);
    }
}

fn init(cx: &mut Cx<'_>) {
    SIM.init(cx);
    let shape = shape(&cx.view());
    match cx.constant_array(INP, shape.dbf, shape.capacity) {
        Some(val) => {
            cx.set(NORD, val.count() as u32);
            cx.set(VAL, val);
            cx.set_udf(false);
        }
        None => {
            cx.set(VAL, Array::empty(shape.dbf));
            cx.set(NORD, 0u32);
        }
    }
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let shape = shape(&cx.view());
    let mut tell_again = false;
    let read = Input::step(&SIM, cx, stage, shape.dbf, |cx| {
        if cx.is_constant(INP) {
            return Some(Got::Nothing);
        }
        cx.want_array(INP, shape.dbf, shape.capacity);
        None
    });
    match read {
        Input::Wait(flow) => return flow,
        Input::Device(Got::Val(val)) => {
            let before = cx.u32(NORD);
            fill_array(cx, VAL, NORD, val);
            cx.time_of_device(INP);
            tell_again = cx.u32(NORD) != before;
        }
        Input::Simulated(Got::Val(val), _) => fill_array(cx, VAL, NORD, val),
        // Nothing was read, so that there is nothing.
        Input::Simulated(Got::Nothing, _) => fill_array(cx, VAL, NORD, Array::empty(shape.dbf).into()),
        // All of what is there counts.
        Input::Simulated(Got::Failed, _) => {
            if let Val::Array(all) = cx.get(VAL) {
                let zeros = std::iter::repeat(Val::zero(shape.dbf));
                let all = all.iter().chain(zeros);
                if let Ok(all) = Array::collect(all, shape.dbf, shape.capacity, &Conversion::PLAIN) {
                    fill_array(cx, VAL, NORD, all.into());
                }
            }
        }
        Input::Device(_) | Input::Failed => {}
    }
    cx.set_udf(false);
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    // The device support tells of NORD, and the record again.
    if tell_again {
        cx.post(NORD, EventMask::VALUE.union(EventMask::LOG));
    }
    monitor_array(cx, VAL, [MPST, APST], HASH);
    Flow::Done
}

/// Takes what a link gave.
pub(super) fn fill_array(cx: &mut Cx<'_>, field: u16, nord: u16, val: Val) {
    let count = val.count();
    cx.set(field, val);
    tell_count(cx, nord, count);
}

/// Tells of another number of elements.
pub(super) fn tell_count(cx: &mut Cx<'_>, nord: u16, count: usize) {
    let old = cx.u32(nord);
    cx.set(nord, count as u32);
    if old != count as u32 {
        cx.post(nord, EventMask::VALUE.union(EventMask::LOG));
    }
}

/// What was raised, what is told always, and what is told if the array is another one.
pub(super) fn monitor_array(cx: &mut Cx<'_>, val: u16, when: [u16; 2], hash: u16) {
    let mut mask = cx.reset_alarms();
    let when = when.map(|field| cx.u16(field));
    let adds = [EventMask::VALUE, EventMask::LOG];
    let mut changed = false;
    if when.contains(&1) {
        let new = memory_hash(&cx.get(val));
        changed = new != cx.u32(hash);
        if changed {
            cx.set(hash, new);
        }
    }
    for (when, add) in when.into_iter().zip(adds) {
        if when == 0 || when == 1 && changed {
            mask = mask.union(add);
        }
    }
    if changed {
        cx.post(hash, EventMask::VALUE);
    }
    cx.post(val, mask);
}

/// The hash of an array's memory on a little-endian machine (`epicsMemHash`); texts have 40 bytes.
fn memory_hash(val: &Val) -> u32 {
    let Val::Array(array) = val else {
        return 0;
    };
    let mut hash = 0u32;
    let mut odd = false;
    array.each_byte(|byte| {
        let byte = i32::from(byte as i8) as u32;
        hash ^= if odd { (hash << 7) ^ byte ^ (hash >> 3) } else { !((hash << 11) ^ byte ^ (hash >> 5)) };
        odd = !odd;
    });
    hash
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
        BUSY => (0.0, 1.0),
        NORD => (0.0, view.f64(NELM)),
        _ => return limits::type_range(view, field, meta),
    };
    meta.display = range;
    meta.control = range;
}
