//! The `state` record (`stateRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => string(20).asl0().pp(),
    OVAL => string(20).special(NoMod).interest(3),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "state",
    fields: FIELDS,
    devices: &[],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    process,
    ..Support::HOLDER
};

fn process(cx: &mut Cx<'_>, _: u8) -> Flow {
    cx.set_udf(false);
    cx.timestamp();
    let mask = cx.reset_alarms();
    if cx.text(VAL) != cx.text(OVAL) {
        cx.post(VAL, mask.union(EventMask::VALUE).union(EventMask::LOG));
        cx.copy(VAL, OVAL);
    }
    Flow::Done
}
