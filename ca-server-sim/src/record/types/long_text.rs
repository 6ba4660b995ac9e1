//! What record types with a text of any length share (`lsiRecord.c`, `lsoRecord.c`, `printfRecord.c`,
//! `dbGetLinkLS` and `dbPutLinkLS` of EPICS Base).

use ca_proto::wire::message::EventMask;

use crate::process::{Cx, Got};
use crate::record::{Array, Conversion, Dbf, Val};

/// Longest text that a link gives which leads to no array of characters: 40 bytes with its NUL.
const SHORT: usize = 39;

/// What SIZV may be.
pub(super) fn size(wanted: u16) -> u16 {
    wanted.clamp(16, 0x7fff)
}

/// Wants a text through a link; there is none through a constant, nor through one that is not connected.
pub(super) fn want(cx: &mut Cx<'_>, link: u16, size: usize) -> Option<Got> {
    match cx.linked_dbf(link) {
        None => return Some(Got::Nothing),
        Some(dbf @ (Dbf::Char | Dbf::UChar)) => cx.want_array(link, dbf, size),
        Some(_) => cx.want(link, Dbf::String),
    }
    None
}

/// Wants a text to be written, with its NUL where it leads to characters; one that was never set has no element.
pub(super) fn want_put(cx: &mut Cx<'_>, link: u16, text: &[u8], len: u16) {
    match cx.linked_dbf(link) {
        None => {}
        Some(Dbf::Char | Dbf::UChar) => {
            let mut chars = text.to_vec();
            if cx.u32(len) > 0 {
                chars.push(0);
            }
            cx.want_put(link, Array::UChar(chars));
        }
        Some(_) => cx.want_put(link, Val::text(text)),
    }
}

/// Stores what a link gave.
pub(super) fn take(cx: &mut Cx<'_>, val: u16, [len, sizv]: [u16; 2], got: &Val) {
    let room = usize::from(cx.u16(sizv)) - 1;
    let text: Vec<u8> = match got {
        Val::Array(all) => match all.converted(Dbf::UChar, usize::MAX, &Conversion::PLAIN) {
            Ok(Array::UChar(all)) => all,
            _ => Vec::new(),
        },
        got => got.as_text().iter().copied().take(SHORT).collect(),
    };
    let end = text.iter().position(|&c| c == 0).unwrap_or(text.len());
    keep(cx, val, len, &text[..end.min(room)]);
}

/// Stores a text and its length.
pub(super) fn keep(cx: &mut Cx<'_>, val: u16, len: u16, text: &[u8]) {
    cx.set(val, Val::text(text));
    cx.set(len, text.len() as u32 + 1);
}

/// The record starts: a text that it has is its last one.
pub(super) fn start(cx: &mut Cx<'_>, val: u16, old: u16, [len, olen]: [u16; 2]) {
    if cx.u32(len) != 0 {
        cx.copy(val, old);
        cx.copy(len, olen);
        cx.set_udf(false);
    }
}

/// VAL was written.
pub(super) fn stored(cx: &mut Cx<'_>, val: u16, len: u16) {
    let count = cx.text(val).len() as u32 + 1;
    cx.set(len, count);
    cx.post(len, EventMask::VALUE.union(EventMask::LOG));
}

/// What was raised, another text, and what is told always.
pub(super) fn monitor(
    cx: &mut Cx<'_>,
    [val, old]: [u16; 2],
    [len, olen]: [u16; 2],
    always: [u16; 2],
) {
    let mut mask = cx.reset_alarms();
    let changed = EventMask::VALUE.union(EventMask::LOG);
    let other_length = cx.u32(len) != cx.u32(olen);
    if other_length || cx.text(old) != cx.text(val) {
        mask = mask.union(changed);
        cx.copy(val, old);
    }
    if other_length {
        cx.copy(len, olen);
        cx.post(len, changed);
    }
    for (field, add) in always.into_iter().zip([EventMask::VALUE, EventMask::LOG]) {
        if cx.u16(field) == 1 {
            mask = mask.union(add);
        }
    }
    cx.post(val, mask);
}
