//! The `lso` record: writes a text of any length (`lsoRecord.c`, `devLsoSoft*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => noaccess().asl0().special(DbAddr).pp(),
    OVAL => noaccess().special(NoMod).interest(3),
    SIZV => ushort().special(NoMod).initial("41").interest(1),
    LEN => ulong().special(NoMod),
    OLEN => ulong().special(NoMod).interest(3),
    DOL => inlink().interest(1),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => string(40).interest(2),
    OMSL => menu("menuOmsl").interest(1),
    OUT => outlink().interest(1),
    MPST => menu("menuPost").interest(1),
    APST => menu("menuPost").interest(1),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    SIOL => outlink().interest(1),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "lso",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant), ("stdio", DeviceAddress::Instrument)],
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

const OUTPUT: Output = Output { sim: simulation!(), write, simulate };

use super::long_text;

fn write(cx: &mut Cx<'_>) {
    let text = cx.text(VAL).to_vec();
    long_text::want_put(cx, OUT, &text, LEN);
}

fn simulate(cx: &mut Cx<'_>, _: u16) {
    let text = cx.text(VAL).to_vec();
    long_text::want_put(cx, SIOL, &text, LEN);
}

fn prepare(cx: &mut Cx<'_>) {
    let size = long_text::size(cx.u16(SIZV));
    cx.set_u16(SIZV, size);
    cx.set(LEN, 0u32);
    cx.set(OLEN, 0u32);
}

fn init(cx: &mut Cx<'_>) {
    OUTPUT.sim.init(cx);
    if let Some(text) = cx.constant_text(DOL, usize::from(cx.u16(SIZV))) {
        long_text::keep(cx, VAL, LEN, &text);
    }
    long_text::start(cx, VAL, OVAL, [LEN, OLEN]);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if Output::has(stage) {
        return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
    }
    if stage == 0 && cx.u16(OMSL) == 1 {
        let size = usize::from(cx.u16(SIZV));
        if long_text::want(cx, DOL, size).is_none() {
            return Flow::Then(1);
        }
        // What is constant, or not connected, is no failure.
        cx.set_udf(false);
    }
    if stage == 1 && !cx.any_failed() {
        if let Some(Got::Val(val)) = cx.got().first().cloned() {
            long_text::take(cx, VAL, [LEN, SIZV], &val);
        }
        cx.set_udf(false);
    }
    if cx.udf() {
        cx.alarm(17, 3);
    }
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => {
            let text = cx.text(IVOV).to_vec();
            let room = usize::from(cx.u16(SIZV)) - 1;
            long_text::keep(cx, VAL, LEN, &text[..text.len().min(room)]);
        }
        Drive::Write => {}
    }
    OUTPUT.begin(cx).unwrap_or_else(|| finish(cx))
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, None);
    long_text::monitor(cx, [VAL, OVAL], [LEN, OLEN], [MPST, APST]);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if field == OVAL {
        return Err(PutError::NoMod);
    }
    OUTPUT.sim.special(cx, field, after);
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
