//! Writes with completion.

use ca_proto::EcaStatus;
use ca_proto::wire::{Command, Header};

use super::{UNKNOWN_SID, error_copies, fatal, holds};
use crate::bare::{Reply, listed, named};
use crate::bytes::{self, element};
use crate::lab::{Channel, Lab, NORMAL, Role};
use crate::layout::converted;
use crate::verdict::{Verdict, ensure, skip};
use crate::{Check, check, defect};

pub(super) const CHECKS: &[Check] = &[
    check(
        "fields",
        "the answer has no payload, type and count as requested, status 1 in P1, the id in P2 (3.17)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            c.send(&request(
                &channel,
                6,
                1,
                0xcafe,
                &lab.other(1).to_be_bytes(),
            ));
            c.next(Command::WRITE_NOTIFY)?.is(Header {
                command: Command::WRITE_NOTIFY,
                payload_len: 0,
                data_type: 6,
                count: 1,
                p1: NORMAL,
                p2: 0xcafe,
            })
        },
    ),
    check(
        "once",
        "every request gets exactly one answer (3.17)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            c.write_notify(&channel, 6, 1, &lab.other(1).to_be_bytes())?;
            c.silent()
        },
    ),
    check(
        "written",
        "after the answer the value is there (6.9)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            c.write_notify(&channel, 6, 1, &lab.other(2).to_be_bytes())?;
            holds(&mut c, &channel, lab.other(2))
        },
    ),
    check(
        "then_read",
        "a read behind the request has the new value, whichever is answered first (6.4)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            c.send(&request(&channel, 6, 1, 1, &lab.other(3).to_be_bytes()));
            holds(&mut c, &channel, lab.other(3))?;
            c.answer(Command::WRITE_NOTIFY, 1).map(drop)
        },
    ),
    check(
        "types",
        "every plain type is converted (3.17, 4.8)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            for code in 0..=6 {
                let value = lab.other(u32::from(code) % 4 + 1).trunc();
                if matches!(code, 3 | 4) && !(0.0..256.0).contains(&value) {
                    continue;
                }
                let reply = c.write_notify(&channel, code, 1, &element(code, value))?;
                ensure!(reply.p1 == NORMAL, "type {code}: {}", reply.brief());
                let got = c.number(&channel)?;
                ensure!(
                    converted(code, value, Some(got)),
                    "type {code}: {value} became {got}"
                );
            }
            Ok(())
        },
    ),
    check(
        "extended_count",
        "an answer with a count of 65535 has an extended header without payload (2.2, trap 2)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let payload = vec![0; 65536];
            let id = c.id();
            c.send(&request(&channel, 4, 65535, id, &payload));
            let reply = c.answer(Command::WRITE_NOTIFY, id)?;
            ensure!(
                reply.count == 65535 && reply.payload_len == 0,
                "{}",
                reply.brief()
            );
            ensure!(
                c.headers_have_the_right_form(),
                "the header has not the right form"
            );
            Ok(())
        },
    ),
    check(
        "many",
        "fifty requests on one channel are answered in their order (6.9)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let value = lab.other(1).to_be_bytes();
            c.send(
                &(1..=50)
                    .flat_map(|id| request(&channel, 6, 1, id, &value))
                    .collect::<Vec<_>>(),
            );
            for id in 1..=50 {
                let reply = c.next(Command::WRITE_NOTIFY)?;
                ensure!(reply.p2 == id, "{}, expected id {id}", reply.brief());
            }
            Ok(())
        },
    ),
    check(
        "readonly",
        "without permission the status is ECA_NOWTACCESS, no ERROR, the circuit stays (3.17, trap 47)",
        |lab| {
            let (mut c, channel) = lab.open(Role::ReadOnly)?;
            let reply = c.write_notify(&channel, 6, 1, &1f64.to_be_bytes())?;
            ensure!(reply.command == Command::WRITE_NOTIFY, "{}", reply.brief());
            ensure!(
                reply.p1 == EcaStatus::NOWTACCESS.0,
                "the status is {}",
                named(reply.p1)
            );
            c.silent()
        },
    ),
    check(
        "type_37",
        "types that cannot be written get the status ECA_PUTFAIL, the circuit stays (3.17)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            for code in [37, 38] {
                let reply = c.write_notify(&channel, code, 1, &[0; 48])?;
                ensure!(reply.command == Command::WRITE_NOTIFY, "{}", reply.brief());
                ensure!(
                    reply.p1 == EcaStatus::PUTFAIL.0,
                    "the status is {}",
                    named(reply.p1)
                );
            }
            c.silent()
        },
    ),
    check(
        "type_39",
        "a type above 38 gets the status ECA_BADTYPE, then the circuit is closed (3.17)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            c.send(&request(&channel, 39, 1, 7, &[0; 8]));
            let came = c.end()?;
            let answered = |m: &Reply| {
                m.command == Command::WRITE_NOTIFY && m.p1 == EcaStatus::BADTYPE.0 && m.p2 == 7
            };
            ensure!(came.iter().any(answered), "closed after {}", listed(&came));
            Ok(())
        },
    ),
    check(
        "unknown_sid",
        "an unknown SID gets ERROR ECA_INTERNAL and closes the circuit (3.17)",
        |lab| {
            let request = bytes::message(Command::WRITE_NOTIFY, 6, 1, UNKNOWN_SID, 1, &[0; 8]);
            fatal(&mut lab.circuit()?, &request, EcaStatus::INTERNAL)
        },
    ),
    check("ackt", "PUT_ACKT can be written (4.5)", |lab| {
        let (mut c, channel) = lab.open_to_write(Role::Pv)?;
        let before = c.value(&channel, 37, 1)?.u16(4);
        let reply = c.write_notify(&channel, 35, 1, &before.to_be_bytes())?;
        ensure!(reply.p1 == NORMAL, "{}", reply.brief());
        Ok(())
    }),
    check(
        "acks",
        "PUT_ACKS clears what was not acknowledged (4.5)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let reply = c.write_notify(&channel, 36, 1, &3u16.to_be_bytes())?;
            ensure!(reply.p1 == NORMAL, "{}", reply.brief());
            let acks = c.value(&channel, 37, 1)?.u16(6);
            ensure!(acks == 0, "acks is {acks}");
            Ok(())
        },
    ),
    defect(
        "D6",
        "foreign_sid",
        "the SID of another circuit is an unknown one (6.6, 10)",
        |lab| {
            let (mut owner, channel) = lab.open_to_write(Role::Pv)?;
            let request = request(&channel, 6, 1, 1, &lab.other(5).to_be_bytes());
            fatal(&mut lab.circuit()?, &request, EcaStatus::INTERNAL)?;
            holds(&mut owner, &channel, lab.value())
        },
    ),
    defect(
        "D1",
        "short",
        "a payload too short for type and count gets the status ECA_BADCOUNT, nothing is written (10)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let reply = c.write_notify(&channel, 6, 4, &lab.other(5).to_be_bytes())?;
            ensure!(reply.p1 == EcaStatus::BADCOUNT.0, "{}", reply.brief());
            holds(&mut c, &channel, lab.value())
        },
    ),
];

pub(super) const SLOW: &[Check] = &[
    check(
        "waits",
        "the answer comes when the processing is complete, others are served meanwhile (6.9)",
        |lab| {
            let (mut c, channel) = slow(lab)?;
            c.send(&request(&channel, 6, 1, 1, &1f64.to_be_bytes()));
            let early = c.fence()?;
            ensure!(early.is_empty(), "before the end came: {}", listed(&early));
            let reply = c.answer(Command::WRITE_NOTIFY, 1)?;
            ensure!(reply.p1 == NORMAL, "{}", reply.brief());
            Ok(())
        },
    ),
    check(
        "cleared",
        "a channel that is cleared before takes its answer along (3.11)",
        |lab| {
            let (mut c, channel) = slow(lab)?;
            c.send(&request(&channel, 6, 1, 1, &1f64.to_be_bytes()));
            c.send(&bytes::bare(
                Command::CLEAR_CHANNEL,
                0,
                0,
                channel.sid,
                channel.cid,
            ));
            c.next(Command::CLEAR_CHANNEL)?;
            let came = c.collect(std::time::Duration::from_millis(1500));
            ensure!(came.is_empty(), "came: {}", listed(&came));
            Ok(())
        },
    ),
    defect(
        "D9",
        "second",
        "a second request on a channel does not block its circuit; both are answered in order (6.9, 10)",
        |lab| {
            let (mut c, channel) = slow(lab)?;
            c.send(&request(&channel, 6, 1, 1, &1f64.to_be_bytes()));
            c.send(&request(&channel, 6, 1, 2, &2f64.to_be_bytes()));
            let early = c.fence()?;
            ensure!(early.is_empty(), "before the echo came: {}", listed(&early));
            let first = c.next(Command::WRITE_NOTIFY)?;
            let second = c.next(Command::WRITE_NOTIFY)?;
            ensure!(
                (first.p2, second.p2) == (1, 2),
                "order {} {}",
                first.p2,
                second.p2
            );
            Ok(())
        },
    ),
    check(
        "error_copy",
        "an ERROR of the circuit does not lose the pending answer (6.9)",
        |lab| {
            let (mut c, channel) = slow(lab)?;
            c.send(&request(&channel, 6, 1, 1, &1f64.to_be_bytes()));
            let late = bytes::message(Command::HOST_NAME, 0, 0, 0, 0, &bytes::text("late"));
            c.send(&late);
            error_copies(&c.next(Command::ERROR)?, &late, super::NO_CHANNEL)?;
            c.next(Command::WRITE_NOTIFY).map(drop)
        },
    ),
    // The last one: with some servers the record is busy for a while after both answers.
    check(
        "two_circuits",
        "requests of two circuits on one PV are both answered, once (6.9)",
        |lab| {
            let (mut first, one) = slow(lab)?;
            let (mut second, two) = slow(lab)?;
            first.send(&request(&one, 6, 1, 1, &1f64.to_be_bytes()));
            // A server may serve each circuit in a thread of its own; so the first comes first.
            // When a request is answered depends on the record: at once, if the one that is busy,
            // perhaps since an earlier check, is another one behind it (see PROTOCOL.md).
            let mut early = first.fence()?.into_iter();
            second.send(&request(&two, 6, 1, 2, &2f64.to_be_bytes()));
            let reply = match early.next() {
                Some(reply) => reply,
                None => first.answer(Command::WRITE_NOTIFY, 1)?,
            };
            ensure!(is_done(&reply, 1), "{}", reply.brief());
            let reply = second.answer(Command::WRITE_NOTIFY, 2)?;
            ensure!(is_done(&reply, 2), "{}", reply.brief());
            let more: Vec<_> = early.collect();
            ensure!(more.is_empty(), "answered once more: {}", listed(&more));
            first.silent()?;
            second.silent()?;
            Ok(())
        },
    ),
];

fn is_done(reply: &Reply, id: u32) -> bool {
    (reply.command, reply.p1, reply.p2) == (Command::WRITE_NOTIFY, NORMAL, id)
}

fn request(channel: &Channel, ty: u16, count: u32, id: u32, payload: &[u8]) -> Vec<u8> {
    bytes::message(Command::WRITE_NOTIFY, ty, count, channel.sid, id, payload)
}

fn slow(lab: &Lab<'_>) -> Verdict<(crate::bare::Circuit, Channel)> {
    let (c, channel) = lab.open(Role::Slow)?;
    if channel.rights & 2 == 0 {
        return Err(skip("--slow is not writable"));
    }
    Ok((c, channel))
}
