//! Who the client says it is.

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use super::{NO_CHANNEL, error_copies};
use crate::bare::Circuit;
use crate::bytes::{self, MINOR};
use crate::lab::{Lab, Role};
use crate::verdict::Verdict;
use crate::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check(
        "silent",
        "CLIENT_NAME and HOST_NAME are not answered (3.18)",
        |lab| lab.circuit()?.silent(),
    ),
    check("missing", "a client without names is served (6.5)", |lab| {
        let mut c = lab.connect()?;
        c.next(Command::VERSION)?;
        c.send(&bytes::version(0, MINOR));
        lab.create(&mut c, lab.name(Role::Pv)?).map(drop)
    }),
    check(
        "repeated",
        "names may be repeated before the first channel (3.18)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::names());
            c.silent()
        },
    ),
    check(
        "late_client",
        "CLIENT_NAME behind a channel gets ERROR ECA_INTERNAL, the circuit stays (3.18)",
        |lab| late(lab, Command::CLIENT_NAME),
    ),
    check(
        "late_host",
        "HOST_NAME behind a channel gets ERROR ECA_INTERNAL, the circuit stays (3.18)",
        |lab| late(lab, Command::HOST_NAME),
    ),
    check(
        "after_clear",
        "when the last channel is cleared, names are accepted again (3.18)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let clear = bytes::bare(Command::CLEAR_CHANNEL, 0, 0, channel.sid, channel.cid);
            c.ask(&clear, Command::CLEAR_CHANNEL, channel.cid)?;
            c.send(&bytes::names());
            c.silent()
        },
    ),
    check(
        "511",
        "names of 511 characters are accepted (3.18)",
        |lab| {
            let mut c = lab.circuit()?;
            for command in [Command::CLIENT_NAME, Command::HOST_NAME] {
                c.send(&named(command, &bytes::text([b'n'; 511])));
            }
            c.silent()
        },
    ),
    check(
        "512_client",
        "a CLIENT_NAME of 512 characters gets ERROR ECA_INTERNAL and closes the circuit (3.18)",
        |lab| refused(lab, Command::CLIENT_NAME, &bytes::text([b'n'; 512])),
    ),
    check(
        "512_host",
        "a HOST_NAME of 512 characters gets ERROR ECA_INTERNAL and closes the circuit (3.18)",
        |lab| refused(lab, Command::HOST_NAME, &bytes::text([b'n'; 512])),
    ),
    check(
        "unterminated_client",
        "a CLIENT_NAME without NUL gets ERROR ECA_INTERNAL and closes the circuit (3.18)",
        |lab| refused(lab, Command::CLIENT_NAME, b"username"),
    ),
    check(
        "unterminated_host",
        "a HOST_NAME without NUL gets ERROR ECA_INTERNAL and closes the circuit (3.18)",
        |lab| refused(lab, Command::HOST_NAME, b"hostname"),
    ),
    check(
        "empty_client",
        "a CLIENT_NAME without payload gets ERROR ECA_INTERNAL and closes the circuit (3.18)",
        |lab| refused(lab, Command::CLIENT_NAME, b""),
    ),
    check(
        "empty_host",
        "a HOST_NAME without payload gets ERROR ECA_INTERNAL and closes the circuit (3.18)",
        |lab| refused(lab, Command::HOST_NAME, b""),
    ),
];

fn named(command: Command, payload: &[u8]) -> Vec<u8> {
    bytes::message(command, 0, 0, 0, 0, payload)
}

fn late(lab: &Lab<'_>, command: Command) -> Verdict {
    let (mut c, _) = lab.open(Role::Pv)?;
    let request = named(command, &bytes::text("late"));
    let error = c.refuses(&request, EcaStatus::INTERNAL)?;
    error_copies(&error, &request, NO_CHANNEL)
}

fn refused(lab: &Lab<'_>, command: Command, payload: &[u8]) -> Verdict {
    let mut c: Circuit = lab.circuit()?;
    super::fatal(&mut c, &named(command, payload), EcaStatus::INTERNAL)
}
