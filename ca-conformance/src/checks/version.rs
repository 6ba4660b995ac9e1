//! The begin of a circuit: who says what before anything is asked.

use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use crate::bare::{Circuit, listed};
use crate::bytes::{self, MINOR};
use crate::lab::{Lab, Role};
use crate::verdict::{Verdict, ensure};
use crate::{Check, check, defect};

/// Time in which an idle circuit is watched.
const IDLE: Duration = Duration::from_millis(400);

pub(super) const CHECKS: &[Check] = &[
    check(
        "unprompted",
        "the server's VERSION comes right after accept, without being asked for (3.1)",
        |lab| lab.connect()?.next(Command::VERSION).map(drop),
    ),
    check(
        "fields",
        "VERSION of a server has size, type, P1 and P2 zero and its minor version as count (3.1)",
        |lab| {
            let hello = lab.connect()?.next(Command::VERSION)?;
            let zeros = [
                hello.payload_len,
                hello.data_type.into(),
                hello.p1,
                hello.p2,
            ];
            ensure!(zeros == [0; 4], "{}, expected zeros", hello.brief());
            ensure!(
                hello.count >= 4,
                "minor version {} is older than 4",
                hello.count
            );
            Ok(())
        },
    ),
    check(
        "current",
        "the server announces minor version 13 or newer (2.5)",
        |lab| {
            let hello = lab.connect()?.next(Command::VERSION)?;
            ensure!(hello.count >= 13, "minor version {}", hello.count);
            Ok(())
        },
    ),
    check(
        "once",
        "VERSION of the client is not answered by another one (3.1)",
        |lab| {
            let mut c = lab.circuit()?;
            c.silent()
        },
    ),
    check("idle", "an idle circuit is silent (6.4)", |lab| {
        let came = lab.circuit()?.collect(IDLE);
        ensure!(came.is_empty(), "came: {}", listed(&came));
        Ok(())
    }),
    check(
        "repeated",
        "VERSION may be repeated at any time (3.1)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.send(&bytes::version(0, MINOR));
            c.silent()?;
            c.value(&channel, 6, 1).map(drop)
        },
    ),
    check(
        "repeated_search",
        "VERSION with type 1 and a sequence number in P1 may come on a circuit (3.1, trap 22)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::search_version(MINOR, 0x7777));
            c.silent()
        },
    ),
    check("payload", "a payload of VERSION is ignored (3.1)", |lab| {
        let mut c = lab.circuit()?;
        c.send(&bytes::message(
            Command::VERSION,
            0,
            MINOR.into(),
            0,
            0,
            &[0xff; 8],
        ));
        c.silent()
    }),
    check(
        "priority_99",
        "priority 99 is the highest one (3.1)",
        |lab| greeted(lab, 99, MINOR)?.silent(),
    ),
    check(
        "priority_100",
        "a priority above 99 closes the circuit without a message (3.1)",
        |lab| greeted(lab, 100, MINOR)?.ends_silently(),
    ),
    check(
        "minor_3",
        "a minor version below 4 closes the circuit without a message (3.1)",
        |lab| greeted(lab, 0, 3)?.ends_silently(),
    ),
    check(
        "minor_0",
        "minor version 0 closes the circuit without a message (3.1)",
        |lab| greeted(lab, 0, 0)?.ends_silently(),
    ),
    check(
        "minor_4",
        "clients of minor version 4 are served (2.5)",
        |lab| served(lab, 4),
    ),
    check(
        "minor_11",
        "clients of minor version 11 are served (2.5)",
        |lab| served(lab, 11),
    ),
    check(
        "minor_65535",
        "clients that announce any newer version are served as those of 13 (2.5)",
        |lab| served(lab, u16::MAX),
    ),
    check(
        "missing",
        "a command before VERSION gets ERROR ECA_DEFUNCT and is discarded, the circuit stays (3.1)",
        |lab| {
            let mut c = lab.connect()?;
            c.next(Command::VERSION)?;
            c.send(&bytes::bare(Command::EVENTS_ON, 0, 0, 0, 0));
            let error = c.next(Command::ERROR)?;
            ensure!(error.p2 == EcaStatus::DEFUNCT.0, "{}", error.brief());
            c.send(&bytes::version(0, MINOR));
            c.silent()
        },
    ),
    defect(
        "D5",
        "missing_pipelined",
        "of what comes before VERSION exactly that message is discarded (10)",
        |lab| {
            let mut c = lab.connect()?;
            let mut all = bytes::bare(Command::EVENTS_ON, 0, 0, 0, 0);
            all.extend(bytes::version(0, MINOR));
            all.extend(bytes::bare(Command::ECHO, 0, 0, 1, 2));
            c.send(&all);
            c.next(Command::ECHO).map(drop)
        },
    ),
    check(
        "one_segment",
        "VERSION, names and CREATE_CHAN may come in one segment (6.4, 12)",
        |lab| {
            let mut c = lab.connect()?;
            let mut all = bytes::version(0, MINOR);
            all.extend(bytes::names());
            all.extend(bytes::create(7, MINOR, lab.name(Role::Pv)?));
            c.send(&all);
            c.next(Command::CREATE_CHAN).map(drop)
        },
    ),
    check(
        "two_circuits",
        "a client may have several circuits, one for each priority (1.1)",
        |lab| {
            let mut first = greeted(lab, 0, MINOR)?;
            let mut second = greeted(lab, 10, MINOR)?;
            first.silent()?;
            second.silent()
        },
    ),
];

/// A circuit after the versions.
fn greeted(lab: &Lab<'_>, priority: u16, minor: u16) -> Verdict<Circuit> {
    let mut c = lab.connect()?;
    c.send(&bytes::version(priority, minor));
    // Some servers wait for the client's; `version.unprompted` tells, other checks do without.
    let _ = c.next(Command::VERSION);
    Ok(c)
}

fn served(lab: &Lab<'_>, minor: u16) -> Verdict {
    let (mut c, channel) = lab.open_as(Role::Pv, minor)?;
    c.value(&channel, 6, 1).map(drop)
}
