//! The tables of checks, and what they share.

mod circuits;
mod create;
mod monitors;
mod nasty;
mod reads;
mod search;
mod writes;

use ca_proto::wire::Command;

use super::Check;
use super::pv::Pv;
use super::stage::{Act, Heard, Stage};
use crate::bare::Reply;
use crate::verdict::{Verdict, ensure, fail};

/// A number that no program may show: it comes in messages that are not for it, or not whole.
pub(super) const WRONG: f64 = 6607.0;

/// Name, title and tables of every group.
pub(crate) const ALL: &[(&str, &str, &[&[Check]])] = &[
    (
        "search",
        "SEARCH and its answers, 2 and 3",
        &[search::CHECKS, search::REPLIES],
    ),
    (
        "circuit",
        "circuits: begin, ECHO, end, 4",
        &[circuits::CHECKS, circuits::ECHO],
    ),
    (
        "create",
        "CREATE_CHAN and access rights, 5",
        &[create::CHECKS],
    ),
    (
        "read",
        "READ_NOTIFY and its answers, 6",
        &[reads::CHECKS, reads::ANSWERS],
    ),
    ("write", "WRITE and WRITE_NOTIFY, 6", &[writes::CHECKS]),
    (
        "monitor",
        "subscriptions, 6",
        &[monitors::CHECKS, monitors::LOSS],
    ),
    (
        "nasty",
        "input that no server should send, 9 and 10",
        &[nasty::CHECKS, nasty::CUTS],
    ),
];

/// Lets the program talk with an honest server, except that `instead` takes requests of one
/// command; the program has to succeed in the end.
fn works_with(
    stage: &mut Stage,
    command: Command,
    instead: impl FnMut(&mut Stage, usize, &Reply) -> Verdict<Act>,
) -> Verdict {
    with(stage, command, instead)?;
    stage.shows(Pv::FIRST)
}

/// The same for a program that has to end by itself, without a value.
fn fails_with(
    stage: &mut Stage,
    command: Command,
    instead: impl FnMut(&mut Stage, usize, &Reply) -> Verdict<Act>,
) -> Verdict {
    with(stage, command, instead)?;
    stage.shows_nothing()
}

/// The same for a program that has to end by itself, with the right value or none.
fn survives(
    stage: &mut Stage,
    command: Command,
    instead: impl FnMut(&mut Stage, usize, &Reply) -> Verdict<Act>,
) -> Verdict {
    with(stage, command, instead)?;
    stage.ended()?;
    ensure!(!stage.has_shown(WRONG), "the program shows {WRONG}");
    Ok(())
}

fn with(
    stage: &mut Stage,
    command: Command,
    mut instead: impl FnMut(&mut Stage, usize, &Reply) -> Verdict<Act>,
) -> Verdict {
    let mut seen = false;
    stage.perform(|stage, heard| match heard {
        Heard::Request(circuit, request) if request.command == command => {
            seen = true;
            instead(stage, *circuit, request)
        }
        _ => Ok(Act::Honest),
    })?;
    ensure!(seen, "the program sends no {command}");
    Ok(())
}

/// The first request of a command, with everything honestly answered.
fn first(stage: &mut Stage, command: Command) -> Verdict<Reply> {
    let mut found = None;
    with(stage, command, |_, _, request| {
        found.get_or_insert_with(|| request.clone());
        Ok(Act::Honest)
    })?;
    found.ok_or_else(|| fail(format!("no {command}")))
}

/// Demands a text with its NUL, filled up with zeros to a multiple of 8.
fn name_payload(message: &Reply) -> Verdict<Vec<u8>> {
    let payload = &message.payload;
    let Some(end) = payload.iter().position(|&b| b == 0) else {
        return Err(fail(format!("the text of {} has no NUL", message.brief())));
    };
    ensure!(
        payload[end..].iter().all(|&b| b == 0),
        "bytes behind the NUL are not zero: {:02x?}",
        &payload[end..]
    );
    ensure!(
        payload.len() == (end + 1).next_multiple_of(8),
        "{} bytes for a text of {end}, expected {}",
        payload.len(),
        (end + 1).next_multiple_of(8)
    );
    Ok(payload[..end].to_vec())
}
