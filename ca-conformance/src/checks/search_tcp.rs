//! Searches on a circuit.

use ca_proto::wire::{Command, Header};

use crate::bytes::{self, MINOR};
use crate::lab::Role;
use crate::verdict::ensure;
use crate::{Check, check};

/// A name that no server has.
const UNKNOWN: &str = "no:such:pv:conformance";

pub(super) const CHECKS: &[Check] = &[
    check(
        "found",
        "SEARCH on a circuit is answered without payload, P1 is 0xFFFFFFFF or an address (3.7)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::search(5, 0x1234, lab.name(Role::Pv)?));
            let reply = c.next(Command::SEARCH)?;
            ensure!(
                reply.p2 == 0x1234,
                "{}, expected the id in P2",
                reply.brief()
            );
            ensure!(
                reply.payload_len == 0 && reply.count == 0,
                "{}",
                reply.brief()
            );
            ensure!(reply.p1 != 0, "P1 is 0, which is no address (trap 20)");
            Ok(())
        },
    ),
    check(
        "port",
        "the type of the answer is the port of the circuits (3.7)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::search(5, 1, lab.name(Role::Pv)?));
            let reply = c.next(Command::SEARCH)?;
            let port = lab.target.tcp.port();
            ensure!(
                reply.data_type == port,
                "{}, expected port {port}",
                reply.brief()
            );
            Ok(())
        },
    ),
    check(
        "flag_10",
        "the reply flag changes nothing for names that exist (6.2)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::search(10, 1, lab.name(Role::Pv)?));
            c.next(Command::SEARCH).map(drop)
        },
    ),
    check(
        "id_from_p2",
        "the id of the answer is P2 of the request, not P1 (3.7)",
        |lab| {
            let mut c = lab.circuit()?;
            let name = bytes::text(lab.name(Role::Pv)?);
            c.send(&bytes::message(
                Command::SEARCH,
                5,
                MINOR.into(),
                1,
                2,
                &name,
            ));
            let reply = c.next(Command::SEARCH)?;
            ensure!(reply.p2 == 2, "{}, expected P2 2", reply.brief());
            Ok(())
        },
    ),
    check(
        "unknown",
        "an unknown name is not answered without the reply flag (6.2)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::search(5, 1, UNKNOWN));
            c.silent()
        },
    ),
    check(
        "not_found",
        "an unknown name with the reply flag gets NOT_FOUND, all fields copied (3.13)",
        |lab| {
            let mut c = lab.circuit()?;
            let name = bytes::text(UNKNOWN);
            c.send(&bytes::message(
                Command::SEARCH,
                10,
                MINOR.into(),
                0x1234,
                0x5678,
                &name,
            ));
            c.next(Command::NOT_FOUND)?.is(Header {
                command: Command::NOT_FOUND,
                payload_len: 0,
                data_type: 10,
                count: MINOR.into(),
                p1: 0x1234,
                p2: 0x5678,
            })
        },
    ),
    check(
        "name_server_client",
        "a search frame of a datagram, sent as it is, is answered on a circuit (3.1, 6.2)",
        |lab| {
            let mut c = lab.circuit()?;
            let mut frame = bytes::search_version(MINOR, 3);
            frame.extend(bytes::search(5, 1, lab.name(Role::Pv)?));
            frame.extend(bytes::search(5, 2, lab.name(Role::Pv)?));
            c.send(&frame);
            c.next(Command::SEARCH)?;
            c.next(Command::SEARCH)?;
            c.silent()
        },
    ),
    check(
        "then_create",
        "a channel can be created on the circuit of the search (12)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::search(5, 1, lab.name(Role::Pv)?));
            c.next(Command::SEARCH)?;
            lab.create(&mut c, lab.name(Role::Pv)?).map(drop)
        },
    ),
    check(
        "old_client",
        "clients of 4.11 are answered, too (6.2)",
        |lab| {
            let mut c = lab.circuit_of(11)?;
            c.send(&bytes::message(
                Command::SEARCH,
                5,
                11,
                1,
                1,
                &bytes::text(lab.name(Role::Pv)?),
            ));
            c.next(Command::SEARCH).map(drop)
        },
    ),
    check(
        "minor_3",
        "a count below 4 closes the circuit without a message (3.7)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::message(
                Command::SEARCH,
                5,
                3,
                1,
                1,
                &bytes::text(lab.name(Role::Pv)?),
            ));
            c.ends_silently()
        },
    ),
    check("empty", "an empty name is ignored (3.7)", |lab| {
        let mut c = lab.circuit()?;
        c.send(&bytes::search(5, 1, ""));
        c.send(&bytes::bare(Command::SEARCH, 5, MINOR.into(), 1, 1));
        c.silent()
    }),
    check(
        "record_dot",
        "a name and a dot mean the value field (7)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::search(5, 1, format!("{}.VAL", lab.name(Role::Pv)?)));
            c.next(Command::SEARCH).map(drop)
        },
    ),
    check(
        "unknown_field",
        "a field that the record has not is not found (6.1)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::search(
                5,
                1,
                format!("{}.NOFIELD", lab.name(Role::Pv)?),
            ));
            c.silent()
        },
    ),
];
