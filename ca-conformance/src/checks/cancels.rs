//! Ends of subscriptions.

use ca_proto::EcaStatus;
use ca_proto::wire::{Command, Header};

use super::{UNKNOWN_SID, VALUE_ALARM, error_copies, fatal};
use crate::bare::Circuit;
use crate::bytes;
use crate::lab::{Channel, Role};
use crate::verdict::{Verdict, ensure};
use crate::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check(
        "cancel",
        "EVENT_CANCEL is confirmed by EVENT_ADD without payload: type and count of the subscription, the SID in P1 (3.3, trap 51)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let id = c.subscribe(&channel, 20, 1, VALUE_ALARM);
            c.update(id)?;
            c.send(&cancel(&channel, 20, 1, id));
            confirmed(&mut c, &channel, 20, 1, id)
        },
    ),
    check(
        "cancel_other_type",
        "type and count of EVENT_CANCEL are ignored (3.3, trap 52)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let id = c.subscribe(&channel, 20, 3, VALUE_ALARM);
            c.update(id)?;
            c.send(&cancel(&channel, 5, 4464, id));
            confirmed(&mut c, &channel, 20, 3, id)
        },
    ),
    check(
        "cancel_large",
        "the confirmation of a count of 65535 has an extended header (3.3)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let id = c.subscribe(&channel, 4, 65535, VALUE_ALARM);
            c.update(id)?;
            c.send(&cancel(&channel, 4, 65535, id));
            confirmed(&mut c, &channel, 4, 65535, id)?;
            ensure!(
                c.headers_have_the_right_form(),
                "a header has not the right form"
            );
            Ok(())
        },
    ),
    check(
        "cancel_silent",
        "after the confirmation no update comes (3.3)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let id = c.subscribe(&channel, 6, 1, 1);
            c.update(id)?;
            c.write_number(&channel, lab.other(1));
            c.send(&cancel(&channel, 6, 1, id));
            c.find("the confirmation", |m| {
                m.command == Command::EVENT_ADD && m.payload_len == 0
            })?;
            // Updates before the confirmation are allowed; they are in front of the write below.
            c.fence()?;
            c.write_number(&channel, lab.other(2));
            c.number(&channel)?;
            c.silent()
        },
    ),
    check(
        "cancel_one_of_two",
        "other subscriptions go on (3.3)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let (first, second) = (
                c.subscribe(&channel, 6, 1, 1),
                c.subscribe(&channel, 6, 1, 1),
            );
            c.update(first)?;
            c.update(second)?;
            c.send(&cancel(&channel, 6, 1, first));
            confirmed(&mut c, &channel, 6, 1, first)?;
            c.write_number(&channel, lab.other(1));
            c.update(second).map(drop)
        },
    ),
    check(
        "cancel_unknown",
        "an unknown subscription gets ERROR ECA_BADMONID with the CID and closes the circuit (3.3)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let request = cancel(&channel, 6, 1, 0x99);
            c.send(&request);
            error_copies(&c.ends_with(EcaStatus::BADMONID)?, &request, channel.cid)
        },
    ),
    check(
        "cancel_unknown_sid",
        "EVENT_CANCEL with an unknown SID gets ERROR ECA_INTERNAL and closes the circuit (3.3)",
        |lab| {
            let request = bytes::bare(Command::EVENT_CANCEL, 6, 1, UNKNOWN_SID, 1);
            fatal(&mut lab.circuit()?, &request, EcaStatus::INTERNAL)
        },
    ),
    check(
        "cancel_at_once",
        "a subscription may be cancelled right behind its request (3.3)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let mut both = bytes::event_add(6, 1, channel.sid, 3, 1);
            both.extend(cancel(&channel, 6, 1, 3));
            c.send(&both);
            confirmed(&mut c, &channel, 6, 1, 3)
        },
    ),
];

fn cancel(channel: &Channel, ty: u16, count: u32, id: u32) -> Vec<u8> {
    bytes::bare(Command::EVENT_CANCEL, ty, count, channel.sid, id)
}

fn confirmed(c: &mut Circuit, channel: &Channel, ty: u16, count: u32, id: u32) -> Verdict {
    let confirmation = c.find("the confirmation", |m| m.p2 == id && m.payload_len == 0)?;
    confirmation.is(Header {
        command: Command::EVENT_ADD,
        payload_len: 0,
        data_type: ty,
        count,
        p1: channel.sid,
        p2: id,
    })
}
