//! The `timestamp` record of the std module: the time as a text (`timestampRecord.c`).

use super::prelude::*;

fields! { common::COUNT,
    VAL => string(40).asl0().pp(),
    OVAL => string(40).special(NoMod).interest(3),
    RVAL => ulong().pp(),
    TST => menu("timestampTST").interest(2),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "timestamp",
    fields: FIELDS,
    devices: &[],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    process,
    ..Support::HOLDER
};

/// Formats by their numbers in `timestampTST`.
const FORMATS: [&str; 11] = [
    "%y/%m/%d %H:%M:%S",
    "%m/%d/%y %H:%M:%S",
    "%b %d %H:%M:%S %y",
    "%b %d %H:%M:%S",
    "%H:%M:%S",
    "%H:%M",
    "%d/%m/%y %H:%M:%S",
    "%d %b %H:%M:%S %y",
    "%d-%b-%Y %H:%M:%S",
    "%b %d %Y %H:%M:%S.%03f",
    "%m/%d/%y %H:%M:%S.%03f",
];

fn process(cx: &mut Cx<'_>, _: u8) -> Flow {
    cx.set_udf(false);
    if cx.i32(common::TSE) == -2 {
        let now = cx.clock();
        cx.set_time(now);
    } else {
        cx.timestamp();
    }
    let time = cx.time();
    cx.set(RVAL, time.secs);
    let form = FORMATS.get(usize::from(cx.u16(TST))).copied().unwrap_or(FORMATS[0]);
    let text = match time.secs {
        0 => "-NULL-".to_owned(),
        _ => super::time_format::format(form, time),
    };
    cx.set(VAL, Val::text(text));
    let mask = cx.reset_alarms();
    if cx.text(VAL) != cx.text(OVAL) {
        let changed = mask.union(EventMask::VALUE).union(EventMask::LOG);
        cx.post(VAL, changed);
        cx.copy(VAL, OVAL);
        cx.post(RVAL, changed);
    }
    Flow::Done
}
