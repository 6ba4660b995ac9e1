//! Writes: what is sent, and what is made of refusals.

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use super::super::lab::{Lab, WRITTEN};
use super::super::stage::{Act, Heard, SID};
use super::super::{Check, check};
use crate::bare::Reply;
use crate::bytes;
use crate::layout::{base, number_at, size, value_at};
use crate::verdict::{Verdict, ensure, fail};

pub(super) const CHECKS: &[Check] = &[
    check(
        "message",
        "a write holds the value, in a payload of its type and count, with the SID (3.5, 3.17)",
        message,
    ),
    check(
        "padding",
        "the payload is filled up with zeros to a multiple of 8 (2.3, trap 36)",
        padding,
    ),
    check(
        "no_access",
        "without write access nothing is written, and the program does not say that it was (5.2)",
        |lab| {
            let mut stage = lab.put()?;
            stage.pv.rights = 1;
            stage.perform(|_, heard| match heard {
                Heard::Request(_, request) if is_write(request) => {
                    Err(fail(format!("sends {}", request.brief())))
                }
                _ => Ok(Act::Honest),
            })?;
            stage.ended()?;
            ensure!(!stage.succeeded(), "the program ends as if it had written");
            Ok(())
        },
    ),
    check(
        "refused",
        "a put-notify that fails is no success (3.17)",
        |lab| {
            answered(lab, |request| {
                let (ty, count, id) = (request.data_type, request.count, request.p2);
                Some(bytes::bare(
                    Command::WRITE_NOTIFY,
                    ty,
                    count,
                    EcaStatus::PUTFAIL.0,
                    id,
                ))
            })
        },
    ),
    check(
        "never_completed",
        "a put-notify that never completes holds no program up, and is no success (6.4)",
        |lab| answered(lab, |_| None),
    ),
];

fn is_write(request: &Reply) -> bool {
    matches!(request.command, Command::WRITE | Command::WRITE_NOTIFY)
}

/// The write of the program.
fn write(lab: &Lab<'_>) -> Verdict<Reply> {
    let mut stage = lab.put()?;
    let mut found = None;
    stage.perform(|_, heard| {
        if let Heard::Request(_, request) = heard
            && is_write(request)
        {
            found.get_or_insert_with(|| request.clone());
        }
        Ok(Act::Honest)
    })?;
    stage.ended()?;
    ensure!(stage.succeeded(), "the program does not succeed");
    found.ok_or_else(|| fail("the program writes nothing"))
}

fn message(lab: &Lab<'_>) -> Verdict {
    let write = write(lab)?;
    ensure!(write.p1 == SID, "SID {:#x}, expected {SID:#x}", write.p1);
    ensure!(
        write.data_type <= 34 && write.count == 1,
        "{}",
        write.brief()
    );
    let ty = write.data_type;
    let got = number_at(&write, base(ty), value_at(ty));
    ensure!(
        got == Some(WRITTEN),
        "{got:?} is written, expected {WRITTEN}"
    );
    Ok(())
}

fn padding(lab: &Lab<'_>) -> Verdict {
    let write = write(lab)?;
    let ty = write.data_type;
    // A text may end with its NUL.
    let used = match base(ty) {
        0 => {
            value_at(ty)
                + write
                    .tail(value_at(ty))
                    .iter()
                    .take_while(|&&b| b != 0)
                    .count()
                + 1
        }
        _ => size(ty, write.count),
    };
    ensure!(
        write.payload.len() % 8 == 0 && write.payload.len() >= used,
        "{} bytes of payload for {used}",
        write.payload.len()
    );
    ensure!(
        write.payload.len() <= size(ty, write.count).next_multiple_of(8),
        "{} bytes of payload for {used}",
        write.payload.len()
    );
    ensure!(
        write.tail(used).iter().all(|&b| b == 0),
        "bytes behind the value are not zero: {:02x?}",
        write.tail(used)
    );
    Ok(())
}

/// The program must not succeed if its put-notify is answered like this. One that writes without
/// asking for completion cannot know.
fn answered(lab: &Lab<'_>, reply: impl Fn(&Reply) -> Option<Vec<u8>>) -> Verdict {
    let mut stage = lab.put()?;
    let mut asked = false;
    stage.perform(|stage, heard| match heard {
        Heard::Request(circuit, request) if request.command == Command::WRITE_NOTIFY => {
            asked = true;
            if let Some(reply) = reply(request) {
                stage.send(*circuit, &reply);
            }
            Ok(Act::Silent)
        }
        _ => Ok(Act::Honest),
    })?;
    if !asked {
        return Err(crate::verdict::skip(
            "the program does not ask for completion",
        ));
    }
    stage.ended()?;
    ensure!(!stage.succeeded(), "the program ends as if it had written");
    Ok(())
}
