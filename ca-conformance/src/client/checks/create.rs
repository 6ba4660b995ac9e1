//! Channels: how they are asked for, and what becomes of odd answers.

use ca_proto::wire::Command;

use super::super::pv::Pv;
use super::super::stage::{Act, SID, created, rights};
use super::super::{Check, check};
use super::{fails_with, first, name_payload, survives, works_with};
use crate::bytes;
use crate::verdict::ensure;

pub(super) const CHECKS: &[Check] = &[
    check(
        "message",
        "CREATE_CHAN has the name with NUL and zeros, and the minor version in P2 (3.16)",
        |lab| {
            let create = first(&mut lab.get()?, Command::CREATE_CHAN)?;
            let name = name_payload(&create)?;
            ensure!(name == lab.pv().as_bytes(), "the name is {name:02x?}");
            ensure!(create.p2 == 13, "{}", create.brief());
            Ok(())
        },
    ),
    check(
        "refused",
        "CREATE_CH_FAIL gives no value; the program ends in time (3.21)",
        |lab| {
            fails_with(
                &mut lab.get()?,
                Command::CREATE_CHAN,
                |stage, circuit, request| {
                    let refused = bytes::bare(Command::CREATE_CH_FAIL, 0, 0, request.p1, 0);
                    stage.send(circuit, &refused);
                    Ok(Act::Silent)
                },
            )
        },
    ),
    check(
        "never",
        "a server that never answers CREATE_CHAN holds no program up (trap 46)",
        |lab| {
            fails_with(&mut lab.get()?, Command::CREATE_CHAN, |_, _, _| {
                Ok(Act::Silent)
            })
        },
    ),
    check(
        "foreign_id",
        "an answer for a channel that was not asked for is ignored, or cleared (trap 31)",
        |lab| {
            works_with(
                &mut lab.get()?,
                Command::CREATE_CHAN,
                |stage, circuit, request| {
                    let id = request.p1 ^ 0x55aa_0000;
                    stage.send(circuit, &rights(id, 3));
                    stage.send(circuit, &created(id, 77, 5, 9));
                    Ok(Act::Honest)
                },
            )
        },
    ),
    check("twice", "the same answer twice does no harm", |lab| {
        works_with(
            &mut lab.get()?,
            Command::CREATE_CHAN,
            |stage, circuit, request| {
                stage.channels.push((circuit, request.p1, SID));
                for _ in 0..2 {
                    stage.send(circuit, &rights(request.p1, 3));
                    stage.send(circuit, &created(request.p1, SID, 6, 1));
                }
                Ok(Act::Silent)
            },
        )
    }),
    check(
        "no_rights",
        "without read access nothing is shown; the program ends in time (5.2)",
        |lab| {
            let mut stage = lab.get()?;
            stage.pv.rights = 0;
            survives(&mut stage, Command::CREATE_CHAN, |_, _, _| Ok(Act::Honest))
        },
    ),
    check(
        "rights_twice",
        "rights may come again; the last word counts (5.2, trap 30)",
        |lab| {
            works_with(
                &mut lab.get()?,
                Command::CREATE_CHAN,
                |stage, circuit, request| {
                    stage.send(circuit, &rights(request.p1, 0));
                    Ok(Act::Honest)
                },
            )
        },
    ),
    check(
        "unknown_type",
        "a channel of a type that does not exist gives no value; the program ends in time",
        |lab| {
            survives(
                &mut lab.get()?,
                Command::CREATE_CHAN,
                |stage, circuit, request| {
                    stage.send(circuit, &rights(request.p1, 3));
                    stage.send(circuit, &created(request.p1, SID, 99, 1));
                    Ok(Act::Silent)
                },
            )
        },
    ),
    check(
        "no_elements",
        "a channel of no elements does no harm",
        |lab| {
            let mut stage = lab.get()?;
            stage.pv.count = 0;
            survives(&mut stage, Command::CREATE_CHAN, |_, _, _| Ok(Act::Honest))
        },
    ),
    check(
        "giant_count",
        "a channel of 2^32-1 elements does no harm (2.2)",
        |lab| {
            survives(
                &mut lab.get()?,
                Command::CREATE_CHAN,
                |stage, circuit, request| {
                    stage.pv.count = 1;
                    stage.send(circuit, &rights(request.p1, 3));
                    stage.send(circuit, &created(request.p1, SID, 6, u32::MAX));
                    Ok(Act::Silent)
                },
            )
        },
    ),
    check(
        "other_types",
        "an integer, a text and a byte are shown as what they are (4.1)",
        |lab| {
            for native in [5, 0, 1, 2] {
                let mut stage = lab.get()?;
                stage.pv.native = native;
                stage.serve()?;
                stage.shows(Pv::FIRST)?;
            }
            Ok(())
        },
    ),
];
