//! Commands that a server does not take, and the form of its complaints.

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use super::{NO_CHANNEL, UNKNOWN_SID, alive, error_copies, read_request};
use crate::bare::listed;
use crate::bytes;
use crate::lab::{Lab, Role};
use crate::layout::until_nul;
use crate::verdict::{Verdict, ensure};
use crate::{Check, check};

/// Longest payload of an `ERROR`, in bytes.
const LONGEST: usize = 512;

pub(super) const COMMANDS: &[Check] = &[
    check(
        "command_5",
        "command 5 (SNAPSHOT) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<5>,
    ),
    check(
        "command_7",
        "command 7 (BUILD) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<7>,
    ),
    check(
        "command_11",
        "command 11 (ERROR) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<11>,
    ),
    check(
        "command_13",
        "command 13 (RSRV_IS_UP) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<13>,
    ),
    check(
        "command_14",
        "command 14 (NOT_FOUND) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<14>,
    ),
    check(
        "command_16",
        "command 16 (READ_BUILD) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<16>,
    ),
    check(
        "command_17",
        "command 17 (REPEATER_CONFIRM) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<17>,
    ),
    check(
        "command_22",
        "command 22 (ACCESS_RIGHTS) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<22>,
    ),
    check(
        "command_24",
        "command 24 (REPEATER_REGISTER) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<24>,
    ),
    check(
        "command_25",
        "command 25 (SIGNAL) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<25>,
    ),
    check(
        "command_26",
        "command 26 (CREATE_CH_FAIL) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<26>,
    ),
    check(
        "command_27",
        "command 27 (SERVER_DISCONN) is none of a client: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<27>,
    ),
    check(
        "command_28",
        "command 28 does not exist: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<28>,
    ),
    check(
        "command_100",
        "command 100 does not exist: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<100>,
    ),
    check(
        "command_65535",
        "command 65535 does not exist: ERROR ECA_INTERNAL, and the circuit is closed (3.0)",
        command::<65535>,
    ),
];

pub(super) const CHECKS: &[Check] = &[
    check(
        "text",
        "ERROR holds the request's header and a text with its NUL, in at most 512 bytes (3.10)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&read_request(UNKNOWN_SID, 1));
            let error = c.ends_with(EcaStatus::INTERNAL)?;
            let text = error.tail(16);
            ensure!(
                error.payload.len() <= LONGEST,
                "{} bytes",
                error.payload.len()
            );
            ensure!(until_nul(text).len() < text.len(), "the text has no NUL");
            Ok(())
        },
    ),
    check(
        "extended_copy",
        "the copy of a request of 65535 elements is an extended header (3.10)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let request = bytes::bare(Command::READ, 35, 70_000, channel.sid, 5);
            let error = c.refuses(&request, EcaStatus::GETFAIL)?;
            ensure!(
                error.payload.get(..24) == request.get(..24),
                "the ERROR does not repeat the extended header"
            );
            Ok(())
        },
    ),
    check(
        "standard_copy",
        "the copy of an extended header that was not needed is a standard one (3.10)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let request = bytes::long_header(Command::READ, 35, channel.sid, 5, 0, 1);
            let error = c.refuses(&request, EcaStatus::GETFAIL)?;
            error_copies(
                &error,
                &bytes::bare(Command::READ, 35, 1, channel.sid, 5),
                channel.cid,
            )
        },
    ),
    check(
        "flushed",
        "what was answered before is sent before the circuit is closed (6.10)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let mut all = read_request(channel.sid, 1);
            all.extend(bytes::bare(Command::ECHO, 0, 0, 0, 2));
            all.extend(bytes::bare(Command::SNAPSHOT, 0, 0, 0, 0));
            c.send(&all);
            let came = c.end()?;
            let commands: Vec<_> = came.iter().map(|m| m.command).collect();
            let want = [Command::READ_NOTIFY, Command::ECHO, Command::ERROR];
            ensure!(commands == want, "came: {}", listed(&came));
            Ok(())
        },
    ),
    check(
        "nothing_after",
        "what comes behind a fatal request is not answered (6.10)",
        |lab| {
            let mut c = lab.circuit()?;
            let mut all = bytes::bare(Command::SNAPSHOT, 0, 0, 0, 0);
            all.extend(bytes::bare(Command::ECHO, 0, 0, 0, 2));
            c.send(&all);
            c.ends_with(EcaStatus::INTERNAL).map(drop)
        },
    ),
    check(
        "others",
        "the end of a circuit does not reach others of the same client (6.10)",
        |lab| {
            let (mut other, channel) = lab.open(Role::Pv)?;
            let mut c = lab.circuit()?;
            c.send(&bytes::bare(Command::SNAPSHOT, 0, 0, 0, 0));
            c.end()?;
            other.value(&channel, 6, 1)?;
            alive(lab)
        },
    ),
    check(
        "stays",
        "after an ERROR that is not fatal everything goes on (6.10)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            for _ in 0..10 {
                c.refuses(
                    &bytes::bare(Command::READ, 36, 1, channel.sid, 1),
                    EcaStatus::GETFAIL,
                )?;
            }
            c.value(&channel, 6, 1).map(drop)
        },
    ),
];

fn command<const NUMBER: u16>(lab: &Lab<'_>) -> Verdict {
    let mut c = lab.circuit()?;
    let request = bytes::bare(Command(NUMBER), 1, 2, 3, 4);
    c.send(&request);
    error_copies(&c.ends_with(EcaStatus::INTERNAL)?, &request, NO_CHANNEL)
}
