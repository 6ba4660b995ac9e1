//! Probes.

use ca_proto::wire::{Command, Header};

use crate::bytes;
use crate::verdict::ensure;
use crate::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check("plain", "ECHO comes back (3.20)", |lab| {
        let mut c = lab.circuit()?;
        c.send(&bytes::bare(Command::ECHO, 0, 0, 0, 0));
        c.next(Command::ECHO).map(drop)
    }),
    check(
        "fields",
        "ECHO comes back with type, count, P1, P2 and payload as they were sent (3.20)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::message(
                Command::ECHO,
                12,
                23,
                0x162e,
                0x8a_df38,
                b"abcdefgh",
            ));
            let echo = c.next(Command::ECHO)?;
            echo.is(Header {
                command: Command::ECHO,
                payload_len: 8,
                data_type: 12,
                count: 23,
                p1: 0x162e,
                p2: 0x8a_df38,
            })?;
            ensure!(
                echo.payload == b"abcdefgh",
                "the payload is {:02x?}",
                echo.payload
            );
            Ok(())
        },
    ),
    check(
        "old_client",
        "clients below 4.3 get an answer, too (3.20)",
        |lab| {
            let mut c = lab.circuit_of(4)?;
            c.silent()
        },
    ),
    check(
        "many",
        "a thousand ECHOs are all answered, in order (3.20)",
        |lab| {
            let mut c = lab.circuit()?;
            let all = (1..=1000).flat_map(|id| bytes::bare(Command::ECHO, 0, 0, 0, id));
            c.send(&all.collect::<Vec<_>>());
            let came = c.fence()?;
            ensure!(
                came.iter().map(|m| m.p2).eq(1..=1000),
                "{} answers came",
                came.len()
            );
            Ok(())
        },
    ),
    check(
        "read_sync",
        "READ_SYNC comes back with type, count, P1 and P2 as they were sent (3.9)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::bare(Command::READ_SYNC, 1, 2, 3, 4));
            c.next(Command::READ_SYNC)?.is(Header {
                command: Command::READ_SYNC,
                payload_len: 0,
                data_type: 1,
                count: 2,
                p1: 3,
                p2: 4,
            })
        },
    ),
    check(
        "read_sync_payload",
        "READ_SYNC comes back without the payload (3.9)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::message(Command::READ_SYNC, 1, 2, 3, 4, &[9; 8]));
            let reply = c.next(Command::READ_SYNC)?;
            ensure!(reply.payload_len == 0, "{}", reply.brief());
            Ok(())
        },
    ),
];
