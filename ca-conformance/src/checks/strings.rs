//! Texts: of numbers, of strings, of states.

use ca_proto::EcaStatus;

use super::{holds, reads_as};
use crate::bare::{Circuit, named};
use crate::bytes::text;
use crate::lab::{Channel, Lab, NORMAL, Role};
use crate::layout::until_nul;
use crate::verdict::{Verdict, ensure, fail, skip};
use crate::{Check, check, defect};

pub(super) const CHECKS: &[Check] = &[
    check(
        "number_space",
        "white space before a number is skipped (4.8)",
        |lab| parsed(lab, "  "),
    ),
    check(
        "number_unit",
        "text behind a number is ignored (4.8, trap 44)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let value = lab.other(2).trunc();
            taken(&mut c, &channel, &text(format!("{value} V")))?;
            holds(&mut c, &channel, value)
        },
    ),
    check(
        "number_none",
        "a text that is no number gets ECA_PUTFAIL, the value stays (4.8)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            refused(&mut c, &channel, b"nonumber\0")?;
            holds(&mut c, &channel, lab.value())
        },
    ),
    check(
        "number_short",
        "one string may be shorter than 40 bytes (2.3, trap 38)",
        |lab| parsed(lab, ""),
    ),
    check(
        "string",
        "a string is stored and read as it was written (4.4)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            taken(&mut c, &channel, b"conformance\0")?;
            reads_as(&mut c, &channel, b"conformance")
        },
    ),
    check(
        "string_bytes",
        "strings are bytes, of no character set (4.4)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            taken(&mut c, &channel, b"\xff\xfe\xe4\0")?;
            reads_as(&mut c, &channel, b"\xff\xfe\xe4")
        },
    ),
    check(
        "string_39",
        "a string of 39 characters is stored whole (4.4)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            taken(&mut c, &channel, &text([b'x'; 39]))?;
            reads_as(&mut c, &channel, &[b'x'; 39])
        },
    ),
    check(
        "string_40",
        "of 40 bytes without NUL 39 are stored (4.4)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            taken(&mut c, &channel, &[b'y'; 40])?;
            reads_as(&mut c, &channel, &[b'y'; 39])
        },
    ),
    check(
        "string_empty",
        "an empty string can be written (4.4)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            taken(&mut c, &channel, b"\0")?;
            reads_as(&mut c, &channel, b"")
        },
    ),
    defect(
        "D1",
        "string_without_nul",
        "a short payload without NUL ends with the payload (2.3)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            taken(&mut c, &channel, b"eight__8")?;
            reads_as(&mut c, &channel, b"eight__8")
        },
    ),
    check(
        "string_terminated",
        "every string that is sent has a NUL within its 40 bytes (4.4)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            taken(&mut c, &channel, &[b'z'; 40])?;
            let reply = c.value(&channel, 0, 1)?;
            ensure!(reply.payload.len() == 40, "{}", reply.brief());
            ensure!(until_nul(&reply.payload).len() < 40, "no NUL in 40 bytes");
            Ok(())
        },
    ),
    check(
        "string_number",
        "a string that is a number can be read as one (4.7)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            taken(&mut c, &channel, b"12.5\0")?;
            holds(&mut c, &channel, 12.5)
        },
    ),
    check(
        "string_no_number",
        "a string that is none cannot: status ECA_GETFAIL (4.7)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            taken(&mut c, &channel, b"none\0")?;
            let reply = c.read(&channel, 6, 1)?;
            ensure!(
                reply.p1 == EcaStatus::GETFAIL.0,
                "the status is {}",
                named(reply.p1)
            );
            c.silent()
        },
    ),
    check(
        "number_to_string",
        "an integer becomes a decimal text (4.8)",
        |lab| {
            let (mut c, channel) = string(lab)?;
            c.write_notify(&channel, 5, 1, &(-42i32).to_be_bytes())?;
            reads_as(&mut c, &channel, b"-42")
        },
    ),
    check(
        "state_text",
        "a state can be written by its text (4.8)",
        |lab| {
            let (mut c, channel, states) = states(lab)?;
            for (n, state) in states.iter().enumerate() {
                taken(&mut c, &channel, &text(state))?;
                holds(&mut c, &channel, n as f64)?;
            }
            Ok(())
        },
    ),
    check(
        "state_number",
        "a state can be written by its number as text (4.8)",
        |lab| {
            let (mut c, channel, states) = states(lab)?;
            if states
                .iter()
                .any(|state| state.first().is_some_and(u8::is_ascii_digit))
            {
                return Err(skip("the states are called by numbers"));
            }
            taken(&mut c, &channel, b"1\0")?;
            holds(&mut c, &channel, 1.0)
        },
    ),
    check(
        "state_unknown",
        "a text that is no state gets ECA_PUTFAIL (4.8)",
        |lab| {
            let (mut c, channel, _) = states(lab)?;
            refused(&mut c, &channel, b"no such state\0")
        },
    ),
    check("state_empty", "an empty text is no state (4.8)", |lab| {
        let (mut c, channel, _) = states(lab)?;
        refused(&mut c, &channel, b"\0")
    }),
    check(
        "state_above",
        "a number as text above the last state gets ECA_PUTFAIL (4.8)",
        |lab| {
            let (mut c, channel, _) = states(lab)?;
            refused(&mut c, &channel, b"16\0")
        },
    ),
];

fn string(lab: &Lab<'_>) -> Verdict<(Circuit, Channel)> {
    let (c, channel) = lab.open_to_write(Role::Text)?;
    if channel.native != 0 || channel.count != 1 {
        return Err(skip("--string names no single string"));
    }
    Ok((c, channel))
}

fn states(lab: &Lab<'_>) -> Verdict<(Circuit, Channel, Vec<Vec<u8>>)> {
    let (mut c, channel) = lab.open_to_write(Role::Enum)?;
    let reply = c.value(&channel, 31, 1)?;
    let count = usize::from(reply.u16(4));
    let texts = reply.payload.get(6..422).unwrap_or_default().chunks(26);
    let texts: Vec<_> = texts
        .take(count)
        .map(|text| until_nul(text).to_vec())
        .collect();
    if channel.native != 3 || texts.len() < 2 {
        return Err(skip("--enum names no enumeration of two states or more"));
    }
    Ok((c, channel, texts))
}

fn parsed(lab: &Lab<'_>, before: &str) -> Verdict {
    let (mut c, channel) = lab.open_to_write(Role::Pv)?;
    let value = lab.other(3).trunc();
    taken(&mut c, &channel, &text(format!("{before}{value}")))?;
    holds(&mut c, &channel, value)
}

fn taken(c: &mut Circuit, channel: &Channel, text: &[u8]) -> Verdict {
    let reply = c.write_notify(channel, 0, 1, text)?;
    ensure!(reply.p1 == NORMAL, "the write ends with {}", reply.brief());
    Ok(())
}

fn refused(c: &mut Circuit, channel: &Channel, text: &[u8]) -> Verdict {
    let reply = c.write_notify(channel, 0, 1, text)?;
    if reply.p1 != EcaStatus::PUTFAIL.0 {
        let status = named(reply.p1);
        let now = c.number(channel)?;
        return Err(fail(format!("the status is {status}, the PV holds {now}")));
    }
    c.silent()
}
