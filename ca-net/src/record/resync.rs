//! Where messages begin in a stream whose begin is not there.

use ca_proto::wire::Header;

/// Messages in a row that must make sense before a place is believed to be the begin of one.
const ENOUGH: usize = 8;
/// Payload of a message that makes sense without the message before.
const MAX_PAYLOAD: u32 = 64 << 20;
/// The highest command there is.
const LAST_COMMAND: u16 = 27;

/// The first place at which messages can begin. All messages are multiples of eight bytes long, so that places
/// are too, counted from the begin of the stream, from which `data` is `behind` bytes away.
pub(super) fn first_message(data: &[u8], behind: u32) -> Option<usize> {
    let first = (8 - behind as usize % 8) % 8;
    (first..data.len()).step_by(8).find(|&at| begins(data, at))
}

fn begins(data: &[u8], mut at: usize) -> bool {
    for known in 0..ENOUGH {
        let Some(rest) = data.get(at..) else {
            return known > 0;
        };
        if rest.is_empty() {
            return known > 0;
        }
        let Some((header, len)) = Header::decode(rest, true) else {
            // A part of a header.
            return known > 1;
        };
        let nothing = rest.iter().take(16).all(|&byte| byte == 0);
        let known_command = header.command.0 <= LAST_COMMAND;
        let payload = header.payload_len;
        if nothing || !known_command || payload % 8 != 0 || payload > MAX_PAYLOAD {
            return false;
        }
        at += len + payload as usize;
        if at > data.len() {
            return known > 0;
        }
    }
    true
}
