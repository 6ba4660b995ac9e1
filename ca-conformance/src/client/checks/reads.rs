//! Reads: what is asked, and what is made of answers.

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use super::super::lab::Lab;
use super::super::pv::{Pv, value};
use super::super::stage::{Act, SID, Stage};
use super::super::{Check, check, defect};
use super::{WRONG, fails_with, first, survives, works_with};
use crate::bare::Reply;
use crate::bytes;
use crate::verdict::{Verdict, ensure};

pub(super) const CHECKS: &[Check] = &[
    check(
        "message",
        "READ_NOTIFY has a type from 0 to 38, at most the channel's count, its SID, and no payload (3.14)",
        |lab| {
            let read = first(&mut lab.get()?, Command::READ_NOTIFY)?;
            ensure!(read.payload_len == 0, "{}", read.brief());
            ensure!(read.data_type <= 38 && read.count <= 1, "{}", read.brief());
            ensure!(read.p1 == SID, "SID {:#x}, expected {SID:#x}", read.p1);
            Ok(())
        },
    ),
    check(
        "old_server",
        "a server of minor version 11 is not asked for count 0 (trap 23)",
        |lab| {
            let mut stage = lab.get()?;
            stage.minor = 11;
            let read = first(&mut stage, Command::READ_NOTIFY)?;
            ensure!(read.count == 1, "{}", read.brief());
            stage.shows(Pv::FIRST)
        },
    ),
    check(
        "large",
        "100000 elements are read, with extended headers (2.2, trap 35)",
        |lab| {
            let mut stage = lab.get()?;
            stage.pv.count = 100_000;
            stage.serve()?;
            stage.ended()?;
            ensure!(stage.has_shown(Pv::FIRST), "the elements are not shown");
            Ok(())
        },
    ),
];

pub(super) const ANSWERS: &[Check] = &[
    check(
        "extended_header",
        "an extended header around a short payload is read (2.2, trap 35)",
        |lab| {
            answered(lab, |stage, circuit, request| {
                let payload = stage.pv.payload(request.data_type, 1);
                let len = payload.len() as u32;
                let (ty, id) = (request.data_type, request.p2);
                let mut reply = bytes::long_header(Command::READ_NOTIFY, ty, 1, id, len, 1);
                reply.extend(payload);
                stage.send(circuit, &reply);
                Ok(Act::Silent)
            })
        },
    ),
    check(
        "junk_behind_value",
        "bytes behind the value mean nothing (2.3, trap 36)",
        |lab| {
            answered(lab, |stage, circuit, request| {
                let mut payload = stage.pv.payload(request.data_type, 1);
                payload.extend_from_slice(&[0xa5; 16]);
                stage.send(circuit, &reply(request, 1, &payload));
                Ok(Act::Silent)
            })
        },
    ),
    check(
        "foreign_id",
        "a value for another request is not shown (trap 31)",
        |lab| {
            answered(lab, |stage, circuit, request| {
                let id = request.p2 ^ 0x55aa_0000;
                let ty = request.data_type;
                let payload = value(ty, 1, WRONG);
                let foreign = bytes::message(Command::READ_NOTIFY, ty, 1, 1, id, &payload);
                stage.send(circuit, &foreign);
                Ok(Act::Honest)
            })
        },
    ),
    check(
        "twice",
        "the second of two answers means nothing (trap 31)",
        |lab| {
            answered(lab, |stage, circuit, request| {
                stage.honest(&super::Heard::Request(circuit, request.clone()));
                let payload = value(request.data_type, 1, WRONG);
                stage.send(circuit, &reply(request, 1, &payload));
                Ok(Act::Silent)
            })
        },
    ),
    check(
        "status",
        "a value with a status other than ECA_NORMAL is none (trap 38)",
        |lab| {
            fails_with(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, request| {
                    let payload = value(request.data_type, 1, WRONG);
                    stage.send(circuit, &reply(request, EcaStatus::GETFAIL.0, &payload));
                    Ok(Act::Silent)
                },
            )
        },
    ),
    defect(
        "10.9",
        "short",
        "a payload too short for its type and count is no value (trap 36)",
        |lab| {
            fails_with(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, request| {
                    let (ty, id) = (request.data_type, request.p2);
                    let whole = value(ty, 1, WRONG);
                    // Who reads beyond the end finds this where a payload was before.
                    let foreign = id ^ 0x55aa_0000;
                    stage.send(
                        circuit,
                        &bytes::message(Command::READ_NOTIFY, ty, 1, 1, foreign, &whole),
                    );
                    stage.send(
                        circuit,
                        &reply(request, 1, &whole[..whole.len().saturating_sub(8)]),
                    );
                    Ok(Act::Silent)
                },
            )
        },
    ),
    defect(
        "10.9",
        "count_without_payload",
        "a count of a million elements with the payload of one is no value (10.9)",
        |lab| {
            survives(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, request| {
                    let (ty, id) = (request.data_type, request.p2);
                    let payload = value(ty, 1, WRONG);
                    let len = payload.len() as u32;
                    let mut reply =
                        bytes::long_header(Command::READ_NOTIFY, ty, 1, id, len, 1_000_000);
                    reply.extend(payload);
                    stage.send(circuit, &reply);
                    Ok(Act::Silent)
                },
            )
        },
    ),
    check(
        "other_type",
        "the type of the answer counts; a value of another one is right or none (trap 34)",
        |lab| {
            survives(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, request| {
                    let payload = stage.pv.payload(5, 1);
                    let message =
                        bytes::message(Command::READ_NOTIFY, 5, 1, 1, request.p2, &payload);
                    stage.send(circuit, &message);
                    Ok(Act::Silent)
                },
            )
        },
    ),
    check(
        "unknown_type",
        "an answer of a type that does not exist is no value (10.9)",
        |lab| {
            fails_with(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, request| {
                    let payload = value(6, 1, WRONG);
                    let message =
                        bytes::message(Command::READ_NOTIFY, 99, 1, 1, request.p2, &payload);
                    stage.send(circuit, &message);
                    Ok(Act::Silent)
                },
            )
        },
    ),
    check(
        "error",
        "an ERROR for the request gives no value; the program ends in time (3.10, trap 38)",
        |lab| {
            fails_with(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, request| {
                    stage.send(circuit, &error(request));
                    Ok(Act::Silent)
                },
            )
        },
    ),
    check(
        "error_for_another",
        "an ERROR for a request that was not made does no harm (trap 31)",
        |lab| {
            answered(lab, |stage, circuit, request| {
                let mut other = error(request);
                // P2 of the header in the payload: the id of the request.
                other[16 + 12..16 + 16].copy_from_slice(&0x55aa_0001u32.to_be_bytes());
                stage.send(circuit, &other);
                Ok(Act::Honest)
            })
        },
    ),
    check(
        "never",
        "a server that never answers holds no program up",
        |lab| {
            fails_with(&mut lab.get()?, Command::READ_NOTIFY, |_, _, _| {
                Ok(Act::Silent)
            })
        },
    ),
];

fn answered(
    lab: &Lab<'_>,
    instead: impl FnMut(&mut Stage, usize, &Reply) -> Verdict<Act>,
) -> Verdict {
    works_with(&mut lab.get()?, Command::READ_NOTIFY, instead)
}

fn reply(request: &Reply, status: u32, payload: &[u8]) -> Vec<u8> {
    let (ty, id) = (request.data_type, request.p2);
    bytes::message(Command::READ_NOTIFY, ty, 1, status, id, payload)
}

/// `ERROR` for a request: its header, then a text.
pub(super) fn error(request: &Reply) -> Vec<u8> {
    let (command, p2) = (request.command, request.p2);
    let count = request.count;
    let mut payload = bytes::bare(command, request.data_type, count, request.p1, p2);
    payload.extend(bytes::text("no such thing"));
    bytes::message(
        Command::ERROR,
        0,
        0,
        u32::MAX,
        EcaStatus::GETFAIL.0,
        &payload,
    )
}
