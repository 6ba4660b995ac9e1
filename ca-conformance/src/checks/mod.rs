//! The tables of checks, in the order of the protocol text, and what they share.

mod cancels;
mod channels;
mod echo;
mod errors;
mod flow;
mod framing;
mod hostile;
mod monitors;
mod names;
mod notify;
mod reads;
mod search_tcp;
mod search_udp;
mod strings;
mod types;
mod version;
mod writes;

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use super::Check;
use super::bare::{Circuit, Reply};
use super::bytes;
use super::lab::{Channel, Lab, Role};
use super::layout::until_nul;
use super::verdict::{Verdict, ensure};

/// P1 of an `ERROR` that belongs to no channel.
const NO_CHANNEL: u32 = u32::MAX;
/// A SID that no server gives to one of the few channels of a check.
const UNKNOWN_SID: u32 = 0xdead_beef;
/// Mask of a subscription to values and alarms.
const VALUE_ALARM: u16 = 5;

/// Name, title and tables of every group.
pub(super) const ALL: &[(&str, &str, &[&[Check]])] = &[
    (
        "version",
        "VERSION and the begin of a circuit, 3.1 and 6.4",
        &[version::CHECKS],
    ),
    ("names", "CLIENT_NAME and HOST_NAME, 3.18", &[names::CHECKS]),
    (
        "framing",
        "headers, sizes and streams, 2",
        &[framing::CHECKS],
    ),
    ("echo", "ECHO and READ_SYNC, 3.20 and 3.9", &[echo::CHECKS]),
    (
        "search-udp",
        "SEARCH in datagrams, 3.7 and 6.1",
        &[search_udp::CHECKS],
    ),
    (
        "search-tcp",
        "SEARCH on a circuit, 3.7 and 6.2",
        &[search_tcp::CHECKS],
    ),
    (
        "channel",
        "channels: create, rights, clear, 3.11, 3.16, 3.19",
        &[channels::CHECKS, channels::CLEAR],
    ),
    (
        "type",
        "every DBR type on read, 4.1 and 4.2",
        &[types::SIZES, types::CHECKS],
    ),
    (
        "read",
        "reads: counts, statuses, errors, 3.4, 3.14, 4.9",
        &[reads::CHECKS, reads::OBSOLETE],
    ),
    (
        "write",
        "WRITE, 3.5, 4.8 and 4.9",
        &[writes::CHECKS, writes::TYPES, writes::ARRAYS],
    ),
    (
        "string",
        "strings and states, 4.4 and 4.8",
        &[strings::CHECKS],
    ),
    (
        "notify",
        "WRITE_NOTIFY, 3.17 and 6.9",
        &[notify::CHECKS, notify::SLOW],
    ),
    (
        "monitor",
        "subscriptions, 3.2, 3.3 and 6.7",
        &[monitors::CHECKS, cancels::CHECKS],
    ),
    (
        "flow",
        "EVENTS_OFF and EVENTS_ON, 3.8 and 6.8",
        &[flow::CHECKS],
    ),
    (
        "error",
        "ERROR and disconnects, 3.10 and 6.10",
        &[errors::COMMANDS, errors::CHECKS],
    ),
    (
        "hostile",
        "input that no client should send, 9 and 10",
        &[hostile::CHECKS],
    ),
];

/// Demands an `ERROR` whose copy is the header of this request.
fn error_copies(error: &Reply, request: &[u8], p1: u32) -> Verdict {
    ensure!(
        error.command == Command::ERROR && error.data_type == 0 && error.count == 0,
        "{}, expected ERROR with type 0 and count 0",
        error.brief()
    );
    ensure!(
        error.p1 == p1,
        "P1 of the ERROR is {:#x}, expected {p1:#x}",
        error.p1
    );
    let header = request.get(..16).unwrap_or(request);
    ensure!(
        error.payload.get(..header.len()) == Some(header),
        "the ERROR does not repeat the header of the request"
    );
    Ok(())
}

/// Demands that a request ends its circuit with an `ERROR` that belongs to no channel.
fn fatal(c: &mut Circuit, request: &[u8], status: EcaStatus) -> Verdict {
    c.send(request);
    let error = c.ends_with(status)?;
    error_copies(&error, request, NO_CHANNEL)
}

/// Demands that a number arrives with the read that is sent now.
fn holds(c: &mut Circuit, channel: &Channel, want: f64) -> Verdict {
    let got = c.number(channel)?;
    ensure!(got == want, "the PV holds {got}, expected {want}");
    Ok(())
}

/// Demands a text of a PV.
fn reads_as(c: &mut Circuit, channel: &Channel, want: &[u8]) -> Verdict {
    let got = c.text(channel)?;
    ensure!(
        got == want,
        "the PV reads as {:?}, expected {:?}",
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(want)
    );
    Ok(())
}

/// Demands that other clients are served.
fn alive(lab: &Lab<'_>) -> Verdict {
    let (mut c, channel) = lab.open(Role::Pv)?;
    c.value(&channel, 6, 1).map(drop)
}

/// A read request of one `DOUBLE`.
fn read_request(sid: u32, id: u32) -> Vec<u8> {
    bytes::bare(Command::READ_NOTIFY, 6, 1, sid, id)
}

/// Demands that bytes are zero.
fn zero(what: &str, bytes: &[u8]) -> Verdict {
    ensure!(
        bytes.iter().all(|&byte| byte == 0),
        "{what} is not zero: {bytes:02x?}"
    );
    Ok(())
}

/// Demands zeros behind the text in a field of a fixed size.
fn zero_behind_text(what: &str, field: &[u8]) -> Verdict {
    zero(
        what,
        field.get(until_nul(field).len()..).unwrap_or_default(),
    )
}
