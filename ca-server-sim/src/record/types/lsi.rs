//! The `lsi` record: a text of any length (`lsiRecord.c`, `devLsiSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => noaccess().asl0().special(DbAddr).pp(),
    OVAL => noaccess().special(NoMod).interest(3),
    SIZV => ushort().special(NoMod).initial("41").interest(1),
    LEN => ulong().special(NoMod),
    OLEN => ulong().special(NoMod),
    INP => inlink().interest(1),
    MPST => menu("menuPost").interest(1),
    APST => menu("menuPost").interest(1),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    SIOL => inlink().interest(1),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "lsi",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("getenv", DeviceAddress::Instrument)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    prepare,
    init,
    process,
    special: Some(special),
    scalar,
    unset,
    stored,
    ..Support::HOLDER
};

const SIM: Simulation = simulation!();

use super::long_text;

fn prepare(cx: &mut Cx<'_>) {
    let size = long_text::size(cx.u16(SIZV));
    cx.set_u16(SIZV, size);
    // A file cannot set VAL.
    cx.set(LEN, 0u32);
    cx.set(OLEN, 0u32);
}

fn init(cx: &mut Cx<'_>) {
    SIM.init(cx);
    if let Some(text) = cx.constant_text(INP, usize::from(cx.u16(SIZV))) {
        long_text::keep(cx, VAL, LEN, &text);
    }
    long_text::start(cx, VAL, OVAL, [LEN, OLEN]);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let size = usize::from(cx.u16(SIZV));
    let read = Input::step_with(&SIM, cx, stage, |cx| long_text::want(cx, INP, size), |cx| {
        long_text::want(cx, SIOL, size)
    });
    match read {
        Input::Wait(flow) => return flow,
        Input::Device(Got::Val(val)) => {
            long_text::take(cx, VAL, [LEN, SIZV], &val);
            cx.time_of_device(INP);
        }
        Input::Simulated(got, _) if !got.failed() => {
            if let Got::Val(val) = got {
                long_text::take(cx, VAL, [LEN, SIZV], &val);
            }
            cx.set_udf(false);
        }
        _ => {}
    }
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, Some(SIOL));
    long_text::monitor(cx, [VAL, OVAL], [LEN, OLEN], [MPST, APST]);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if field == OVAL {
        return Err(PutError::NoMod);
    }
    SIM.special(cx, field, after);
    Ok(())
}

fn stored(cx: &mut Cx<'_>, field: u16, _: usize) {
    long_text::stored(cx, field, LEN);
}

fn scalar(view: &View<'_>, field: u16) -> Option<(Dbf, usize)> {
    matches!(field, VAL | OVAL).then(|| (Dbf::String, usize::from(view.u16(SIZV))))
}

/// `get_array_info`
fn unset(view: &View<'_>, field: u16) -> bool {
    (field == VAL && view.get(LEN).as_u32() == 0) || (field == OVAL && view.get(OLEN).as_u32() == 0)
}
