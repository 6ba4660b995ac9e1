//! The `printf` record: a text made of values (`printfRecord.c`, `devPrintf*.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => noaccess().asl0().special(DbAddr).pp(),
    SIZV => ushort().special(NoMod).initial("41").interest(1),
    LEN => ulong().special(NoMod),
    OUT => outlink().interest(1),
    FMT => string(81).pp(),
    IVLS => string(16).initial("LNK"),
    INP0 => inlink().interest(1),
    INP1 => inlink().interest(1),
    INP2 => inlink().interest(1),
    INP3 => inlink().interest(1),
    INP4 => inlink().interest(1),
    INP5 => inlink().interest(1),
    INP6 => inlink().interest(1),
    INP7 => inlink().interest(1),
    INP8 => inlink().interest(1),
    INP9 => inlink().interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "printf",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Async Soft Channel", DeviceAddress::Constant), ("stdio", DeviceAddress::Instrument)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    prepare,
    process,
    scalar,
    unset,
    // Without a `special`, VAL can be written all the same.
    special: None,
    ..Support::HOLDER
};

use super::c_format::{self, Directive, Piece};
use super::long_text;

/// Links there are.
const COUNT: u16 = 10;

fn prepare(cx: &mut Cx<'_>) {
    let size = long_text::size(cx.u16(SIZV));
    cx.set_u16(SIZV, size);
}

/// Stages: 0 begins, 1 has what the links give, 2 has written.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    let pieces = c_format::parse(cx.text(FMT));
    match stage {
        0 => {
            for (link, kind) in links(&pieces).into_iter().zip(INP0..).map(|(kind, link)| (link, kind)) {
                if link < INP0 + COUNT && !cx.is_constant(link) {
                    ask(cx, link, kind);
                }
            }
            Flow::Then(1)
        }
        1 => {
            let text = text(cx, &pieces);
            cx.set(LEN, text.len() as u32 + 1);
            cx.set(VAL, Val::text(&text));
            cx.set_udf(false);
            cx.timestamp();
            if cx.device_kind() == DeviceKind::Stdio {
                let line = String::from_utf8_lossy(&text).into_owned();
                cx.say(line);
            } else {
                long_text::want_put(cx, OUT, &text, LEN);
            }
            Flow::Then(2)
        }
        _ => {
            let mask = cx.reset_alarms().union(EventMask::VALUE).union(EventMask::LOG);
            cx.post(VAL, mask);
            cx.post(LEN, mask);
            Flow::Done
        }
    }
}

/// What the directives take from links, in their order.
fn links(pieces: &[Piece]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for piece in pieces {
        if let Piece::Directive(directive) = piece {
            kinds.extend(std::iter::repeat_n(Kind::One(Dbf::Short), directive.stars()));
            kinds.extend(kind(directive));
        }
    }
    kinds
}

#[derive(Clone, Copy)]
enum Kind {
    One(Dbf),
    /// `%ls`
    Text,
}

fn kind(directive: &Directive) -> Option<Kind> {
    match directive.argument()? {
        Some(dbf) => Some(Kind::One(dbf)),
        None => Some(Kind::Text),
    }
}

fn ask(cx: &mut Cx<'_>, link: u16, kind: Kind) {
    match kind {
        Kind::One(dbf) => cx.want(link, dbf),
        Kind::Text => {
            let room = usize::from(cx.u16(SIZV));
            cx.want_array(link, Dbf::Char, room);
        }
    }
}

/// `doPrintf`
fn text(cx: &Cx<'_>, pieces: &[Piece]) -> Vec<u8> {
    let room = usize::from(cx.u16(SIZV)) - 1;
    let mut link = INP0;
    let mut got = cx.got().to_vec().into_iter();
    let mut take = |cx: &Cx<'_>, kind: Kind| -> Option<Val> {
        let this = link;
        link += 1;
        if this >= INP0 + COUNT {
            return None;
        }
        if cx.is_constant(this) {
            return match kind {
                Kind::One(dbf) => cx.constant(this, dbf),
                Kind::Text => cx.constant_text(this, room + 1).map(Val::text),
            };
        }
        match got.next()? {
            Got::Val(val) => Some(val),
            _ => None,
        }
    };
    let mut out: Vec<u8> = Vec::new();
    for piece in pieces {
        if out.len() >= room {
            break;
        }
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Directive(directive) => {
                let mut directive = directive.clone();
                let mut stars = true;
                for _ in 0..directive.stars() {
                    match take(cx, Kind::One(Dbf::Short)) {
                        Some(val) => directive.fill(val.as_i32()),
                        None => stars = false,
                    }
                }
                let shown = match kind(&directive) {
                    _ if !stars => None,
                    _ if directive.is_bad() => Some(directive.text()),
                    None => Some(b"%".to_vec()),
                    Some(kind) => take(cx, kind).map(|val| directive.show(&val, room - out.len())),
                };
                match shown {
                    Some(shown) => out.extend_from_slice(&shown),
                    None => out.extend_from_slice(cx.text(IVLS)),
                }
            }
        }
    }
    out.truncate(room);
    // What comes behind a NUL is not seen.
    let end = out.iter().position(|&c| c == 0).unwrap_or(out.len());
    out.truncate(end);
    out
}

fn scalar(view: &View<'_>, field: u16) -> Option<(Dbf, usize)> {
    (field == VAL).then(|| (Dbf::String, usize::from(view.u16(SIZV))))
}

/// `get_array_info`
fn unset(view: &View<'_>, field: u16) -> bool {
    field == VAL && view.get(LEN).as_u32() == 0
}
