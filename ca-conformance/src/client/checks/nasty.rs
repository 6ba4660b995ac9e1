//! Servers out of their mind: a program ends by itself, without a value that was never sent.

use ca_proto::wire::Command;

use super::super::lab::Lab;
use super::super::stage::{Act, Heard, Stage};
use super::super::{Check, check, defect};
use super::reads::error;
use super::{fails_with, survives, works_with};
use crate::bare::Reply;
use crate::bytes;
use crate::verdict::Verdict;

/// Errors that nobody has asked for.
const ERRORS: usize = 1000;

pub(super) const CHECKS: &[Check] = &[
    check(
        "garbage",
        "a circuit of random bytes gives no value; the program ends in time",
        |lab| {
            let mut stage = lab.get()?;
            stage.perform(|stage, heard| match heard {
                Heard::Opened(circuit, _) => {
                    let mut state = 0x2545_f491u32;
                    let random = (0..4096).map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (state >> 24) as u8
                    });
                    stage.send(*circuit, &random.collect::<Vec<_>>());
                    Ok(Act::Silent)
                }
                _ => Ok(Act::Honest),
            })?;
            stage.shows_nothing()
        },
    ),
    check(
        "giant_size",
        "a value of 4 GiB that never comes holds no program up (2.4)",
        |lab| {
            instead(lab, |stage, circuit, request| {
                let (ty, id) = (request.data_type, request.p2);
                let size = u32::MAX - 7;
                let giant = bytes::long_header(Command::READ_NOTIFY, ty, 1, id, size, size / 8);
                stage.send(circuit, &giant);
                stage.send(circuit, &[0; 4096]);
            })
        },
    ),
    check(
        "misaligned",
        "a size that is no multiple of 8 gives no value (2.3, trap 6)",
        |lab| {
            instead(lab, |stage, circuit, request| {
                let mut odd = bytes::short_header(Command::READ_NOTIFY.0, 9, request.data_type, 1);
                odd[8..12].copy_from_slice(&1u32.to_be_bytes());
                odd[12..16].copy_from_slice(&request.p2.to_be_bytes());
                odd.extend_from_slice(&[0x41; 9]);
                stage.send(circuit, &odd);
            })
        },
    ),
    check(
        "unknown_command",
        "a command that does not exist is skipped, or ends the circuit (3)",
        |lab| {
            survives(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, _| {
                    stage.send(circuit, &bytes::short_header(0x7777, 0, 1, 1));
                    Ok(Act::Honest)
                },
            )
        },
    ),
    check(
        "requests_from_server",
        "requests that come from the server are skipped, or end the circuit (12)",
        |lab| {
            survives(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, request| {
                    stage.send(circuit, &bytes::create(request.p1, 13, lab.pv()));
                    stage.send(circuit, &bytes::names());
                    Ok(Act::Honest)
                },
            )
        },
    ),
    check(
        "error_too_short",
        "an ERROR shorter than a header does no harm (10.9)",
        |lab| {
            survives(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, _| {
                    let short = bytes::message(Command::ERROR, 0, 0, u32::MAX, 0x48, &[0; 8]);
                    stage.send(circuit, &short);
                    Ok(Act::Honest)
                },
            )
        },
    ),
    defect(
        "10.9",
        "error_of_unknown_command",
        "an ERROR for a command that does not exist does no harm (10.9)",
        |lab| {
            survives(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, request| {
                    let mut odd = error(request);
                    odd[16..18].copy_from_slice(&0x7777u16.to_be_bytes());
                    stage.send(circuit, &odd);
                    Ok(Act::Honest)
                },
            )
        },
    ),
    check(
        "many_errors",
        "a thousand errors for nothing do no harm",
        |lab| {
            works_with(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, request| {
                    let mut other = error(request);
                    other[16 + 12..16 + 16].copy_from_slice(&0x55aa_0001u32.to_be_bytes());
                    stage.send(circuit, &other.repeat(ERRORS));
                    Ok(Act::Honest)
                },
            )
        },
    ),
    check(
        "reset",
        "a circuit that breaks gives no value; the program ends in time",
        |lab| instead(lab, |stage, circuit, _| stage.reset(circuit)),
    ),
    check(
        "half_close",
        "a circuit whose server goes silent with an end of stream gives no value",
        |lab| instead(lab, |stage, circuit, _| stage.half_close(circuit)),
    ),
    check(
        "cancel_from_server",
        "EVENT_CANCEL from the server is skipped, or ends the circuit (trap 32)",
        |lab| {
            survives(
                &mut lab.get()?,
                Command::READ_NOTIFY,
                |stage, circuit, _| {
                    stage.send(circuit, &bytes::bare(Command::EVENT_CANCEL, 6, 1, 1, 1));
                    Ok(Act::Honest)
                },
            )
        },
    ),
];

/// Every circuit ends behind so many bytes of the server: VERSION has 16, ACCESS_RIGHTS and
/// CREATE_CHAN follow with 16 each, then the value.
pub(super) const CUTS: &[Check] = &[
    check(
        "cut_1",
        "a circuit that ends within VERSION gives no value",
        |lab| cut(lab, 1),
    ),
    check("cut_15", "so one byte before its end", |lab| cut(lab, 15)),
    check("cut_16", "so behind it", |lab| cut(lab, 16)),
    check("cut_17", "so within ACCESS_RIGHTS", |lab| cut(lab, 17)),
    check("cut_32", "so behind it", |lab| cut(lab, 32)),
    check("cut_40", "so within CREATE_CHAN", |lab| cut(lab, 40)),
    check("cut_47", "so one byte before its end", |lab| cut(lab, 47)),
    check("cut_48", "so behind it", |lab| cut(lab, 48)),
    check("cut_49", "so within the header of the value", |lab| {
        cut(lab, 49)
    }),
    check("cut_63", "so one byte before the end of that", |lab| {
        cut(lab, 63)
    }),
    check("cut_64", "so behind that", |lab| cut(lab, 64)),
    check("cut_65", "so within the value", |lab| cut(lab, 65)),
    check(
        "cut_71",
        "so one byte before the end of the shortest value",
        |lab| cut(lab, 71),
    ),
];

fn cut(lab: &Lab<'_>, bytes: usize) -> Verdict {
    let mut stage = lab.get()?;
    let mut opened = 0;
    stage.perform(|stage, heard| {
        if let Heard::Opened(..) = heard {
            opened += 1;
            stage.cut = Some(bytes);
        }
        Ok(Act::Honest)
    })?;
    stage.shows_nothing()
}

/// Something else in place of the value; none is shown.
fn instead(lab: &Lab<'_>, mut act: impl FnMut(&mut Stage, usize, &Reply)) -> Verdict {
    fails_with(
        &mut lab.get()?,
        Command::READ_NOTIFY,
        |stage, circuit, request| {
            act(stage, circuit, request);
            Ok(Act::Silent)
        },
    )
}
