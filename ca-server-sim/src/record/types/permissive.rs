//! The `permissive` record (`permissiveRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => ushort().asl0().pp(),
    WFLG => ushort().pp(),
    LABL => string(20).pp().interest(1),
    OVAL => ushort().special(NoMod).interest(3),
    OFLG => ushort().special(NoMod).interest(3),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "permissive",
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
    let changed = mask.union(EventMask::VALUE).union(EventMask::LOG);
    let differs = [(VAL, OVAL), (WFLG, OFLG)].map(|(new, old)| {
        let differs = cx.u16(new) != cx.u16(old);
        cx.copy(new, old);
        differs
    });
    for (field, differs) in [VAL, WFLG].into_iter().zip(differs) {
        if differs {
            cx.post(field, changed);
        }
    }
    Flow::Done
}
