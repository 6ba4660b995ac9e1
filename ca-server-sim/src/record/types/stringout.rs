//! The `stringout` record: a text output (`stringoutRecord.c`, `devSoSoft*.c`, `devStdio.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => string(40).asl0().pp(),
    OVAL => string(40).special(NoMod).interest(3),
    DOL => inlink().interest(1),
    OMSL => menu("menuOmsl").interest(1),
    OUT => outlink().interest(1),
    MPST => menu("stringoutPOST").interest(1),
    APST => menu("stringoutPOST").interest(1),
    SIOL => outlink().interest(1),
    SIML => inlink().interest(1),
    SIMM => menu("menuYesNo").special(Mod).interest(1),
    SIMS => menu("menuAlarmSevr").interest(2),
    OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
    SSCN => menu("menuScan").initial("65535").interest(1),
    SDLY => double().initial("-1.0").interest(2),
    SIMPVT => noaccess().special(NoMod).interest(4),
    IVOA => menu("menuIvoa").interest(2),
    IVOV => string(40).interest(2),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "stringout",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant), ("stdio", DeviceAddress::Instrument)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    special: Some(special),
    ..Support::HOLDER
};

use super::stringin::monitor_text;

const OUTPUT: Output = Output { sim: simulation!(), write, simulate };

fn write(cx: &mut Cx<'_>) {
    if cx.device_kind() == DeviceKind::Stdio {
        let line = String::from_utf8_lossy(cx.text(VAL)).into_owned();
        cx.say(line);
    } else {
        let val = cx.get(VAL);
        cx.want_put(OUT, val);
    }
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
    cx.copy(VAL, OVAL);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if Output::has(stage) {
        return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
    }
    if stage == 0 && !cx.is_constant(DOL) && cx.u16(OMSL) == 1 {
        cx.want_into(DOL, VAL);
        return Flow::Then(1);
    }
    if stage == 1 && !cx.any_failed() {
        cx.set_udf(false);
    }
    if cx.get(common::UDF) == Val::UChar(1) {
        cx.check_undefined_strictly();
    }
    let mode = cx.u16(SIMM);
    cx.timestamp_simulated(mode, None);
    match drive(cx, IVOA) {
        Drive::Leave => return finish(cx),
        Drive::Substitute => cx.copy(IVOV, VAL),
        Drive::Write => {}
    }
    OUTPUT.begin(cx).unwrap_or_else(|| finish(cx))
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    monitor_text(cx, VAL, OVAL, [MPST, APST]);
    Flow::Done
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    OUTPUT.sim.special(cx, field, after);
    Ok(())
}
