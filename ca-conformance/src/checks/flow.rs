//! Flow control.

use ca_proto::wire::Command;

use super::VALUE_ALARM;
use crate::bare::{Circuit, Reply, listed};
use crate::bytes;
use crate::lab::{Channel, Lab, Role};
use crate::layout::f64_at;
use crate::verdict::{Verdict, ensure};
use crate::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check(
        "silent",
        "EVENTS_OFF and EVENTS_ON are not answered (3.8)",
        |lab| {
            let mut c = lab.circuit()?;
            off(&mut c);
            on(&mut c);
            c.silent()
        },
    ),
    check(
        "held",
        "after EVENTS_OFF updates are held back (6.8)",
        |lab| {
            let (mut c, channel, _) = subscribed(lab)?;
            off(&mut c);
            c.fence()?;
            c.write_number(&channel, lab.other(1));
            c.number(&channel)?;
            c.silent()
        },
    ),
    check(
        "resumed",
        "EVENTS_ON sends the newest value of each subscription, once (6.8)",
        |lab| {
            let (mut c, channel, id) = subscribed(lab)?;
            off(&mut c);
            c.fence()?;
            for n in 1..=5 {
                c.write_number(&channel, lab.other(n));
            }
            c.number(&channel)?;
            on(&mut c);
            one(&mut c, id, lab.other(5))
        },
    ),
    check(
        "first_held",
        "first updates are held back, too (6.8)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            off(&mut c);
            let id = c.subscribe(&channel, 6, 1, VALUE_ALARM);
            c.silent()?;
            on(&mut c);
            c.update(id).map(drop)
        },
    ),
    check(
        "reads",
        "reads, writes and echoes go on (6.8, trap 56)",
        |lab| {
            let (mut c, channel, _) = subscribed(lab)?;
            off(&mut c);
            c.write_notify(&channel, 6, 1, &lab.other(1).to_be_bytes())?;
            c.value(&channel, 6, 1).map(drop)
        },
    ),
    check(
        "channels",
        "channels can be created, their rights are told (6.5)",
        |lab| {
            let mut c = lab.circuit()?;
            off(&mut c);
            lab.create(&mut c, lab.name(Role::Pv)?).map(drop)
        },
    ),
    check("cancel", "subscriptions can be cancelled (6.8)", |lab| {
        let (mut c, channel, id) = subscribed(lab)?;
        off(&mut c);
        c.send(&bytes::bare(Command::EVENT_CANCEL, 6, 1, channel.sid, id));
        let confirmation = |m: &Reply| m.command == Command::EVENT_ADD && m.payload_len == 0;
        c.find("the confirmation", confirmation).map(drop)
    }),
    check(
        "no_counter",
        "one EVENTS_ON ends two EVENTS_OFF (3.8, trap 56)",
        |lab| {
            let (mut c, channel, id) = subscribed(lab)?;
            off(&mut c);
            off(&mut c);
            c.write_number(&channel, lab.other(1));
            on(&mut c);
            one(&mut c, id, lab.other(1))
        },
    ),
    check("on_twice", "a second EVENTS_ON does nothing (6.8)", |lab| {
        let (mut c, _, _) = subscribed(lab)?;
        on(&mut c);
        on(&mut c);
        c.silent()
    }),
    check(
        "other_circuit",
        "EVENTS_OFF is for its circuit alone (3.8)",
        |lab| {
            let (mut quiet, _, _) = subscribed(lab)?;
            off(&mut quiet);
            quiet.fence()?;
            let (mut c, channel, id) = subscribed(lab)?;
            c.write_number(&channel, lab.other(1));
            c.update(id).map(drop)
        },
    ),
];

fn off(c: &mut Circuit) {
    c.send(&bytes::bare(Command::EVENTS_OFF, 0, 0, 0, 0));
}

fn on(c: &mut Circuit) {
    c.send(&bytes::bare(Command::EVENTS_ON, 0, 0, 0, 0));
}

/// A circuit with a subscription whose first update has come.
fn subscribed(lab: &Lab<'_>) -> Verdict<(Circuit, Channel, u32)> {
    let (mut c, channel) = lab.open_to_write(Role::Pv)?;
    let id = c.subscribe(&channel, 6, 1, 1);
    c.update(id)?;
    Ok((c, channel, id))
}

/// Demands one update, and that it has this value.
fn one(c: &mut Circuit, id: u32, want: f64) -> Verdict {
    let got = f64_at(&c.update(id)?, 0);
    ensure!(got == want, "the update is {got}, expected {want}");
    let more = c.fence()?;
    ensure!(more.is_empty(), "came, too: {}", listed(&more));
    Ok(())
}
