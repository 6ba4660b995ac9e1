//! The `fanout` record: processes others (`fanoutRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => long().asl0().pp(),
    SELM => menu("fanoutSELM").interest(1),
    SELN => ushort().initial("1").interest(1),
    SELL => inlink().interest(1),
    OFFS => short().initial("0").interest(1),
    SHFT => short().initial("-1").interest(1),
    LNK0 => fwdlink().interest(1),
    LNK1 => fwdlink().interest(1),
    LNK2 => fwdlink().interest(1),
    LNK3 => fwdlink().interest(1),
    LNK4 => fwdlink().interest(1),
    LNK5 => fwdlink().interest(1),
    LNK6 => fwdlink().interest(1),
    LNK7 => fwdlink().interest(1),
    LNK8 => fwdlink().interest(1),
    LNK9 => fwdlink().interest(1),
    LNKA => fwdlink().interest(1),
    LNKB => fwdlink().interest(1),
    LNKC => fwdlink().interest(1),
    LNKD => fwdlink().interest(1),
    LNKE => fwdlink().interest(1),
    LNKF => fwdlink().interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "fanout",
    fields: FIELDS,
    devices: &[],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    ..Support::HOLDER
};

/// SELN as it was before.
const OLDN: u16 = common::DPVT;
/// Links it has.
const LINKS: u16 = 16;

fn init(cx: &mut Cx<'_>) {
    cx.load(SELL, SELN);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            cx.copy(SELN, OLDN);
            if cx.is_constant(SELL) {
                return select(cx);
            }
            cx.want_into(SELL, SELN);
            Flow::Then(1)
        }
        1 => select(cx),
        _ => finish(cx),
    }
}

fn select(cx: &mut Cx<'_>) -> Flow {
    let number = cx.u16(SELN);
    let mask = match cx.u16(SELM) {
        0 => u16::MAX,
        1 => {
            let place = i32::from(number) + cx.i32(OFFS);
            match u32::try_from(place).ok().and_then(|place| 1u16.checked_shl(place)) {
                Some(mask) => mask,
                None => bad(cx),
            }
        }
        2 => match cx.i32(SHFT) {
            shift @ 0..=15 => number >> shift,
            shift @ -15..=-1 => number << -shift,
            _ => bad(cx),
        },
        _ => bad(cx),
    };
    for place in 0..LINKS {
        if mask & (1 << place) != 0 {
            cx.want_forward(LNK0 + place);
        }
    }
    Flow::Then(2)
}

fn bad(cx: &mut Cx<'_>) -> u16 {
    cx.alarm(stat::SOFT, 3);
    0
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.set_udf(false);
    cx.timestamp();
    let mask = cx.reset_alarms();
    cx.post(VAL, mask);
    if cx.u16(SELN) != cx.u16(OLDN) {
        cx.post(SELN, mask.union(EventMask::VALUE).union(EventMask::LOG));
    }
    Flow::Done
}
