//! Subscriptions.

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use super::{UNKNOWN_SID, VALUE_ALARM, error_copies, fatal, zero};
use crate::bare::{Circuit, listed, named};
use crate::bytes;
use crate::lab::{Channel, Lab, NORMAL, Role};
use crate::layout::{f64_at, size, sized};
use crate::verdict::{Verdict, ensure};
use crate::{Check, check, defect};

/// Writes of the check of the newest value.
const MANY: u32 = 400;

pub(super) const CHECKS: &[Check] = &[
    check(
        "first",
        "the first update comes at once: type and count as requested, status 1, the id in P2 (3.2, trap 50)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let id = c.subscribe(&channel, 6, 1, VALUE_ALARM);
            let update = c.update(id)?;
            sized(&update, 6, 1)?;
            ensure!(update.p1 == NORMAL, "the status is {}", named(update.p1));
            ensure!(
                f64_at(&update, 0) == lab.value(),
                "the value is {}",
                f64_at(&update, 0)
            );
            Ok(())
        },
    ),
    check(
        "first_once",
        "nothing follows it while nothing changes (6.7)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let id = c.subscribe(&channel, 6, 1, VALUE_ALARM);
            c.update(id)?;
            c.silent()
        },
    ),
    check("update", "a change is told (6.7)", |lab| {
        let (mut c, channel) = lab.open_to_write(Role::Pv)?;
        let id = c.subscribe(&channel, 6, 1, 1);
        told(lab, &mut c, &channel, id)
    }),
    check(
        "mask_log",
        "a change is told to the archive, too (6.7)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let id = c.subscribe(&channel, 6, 1, 2);
            told(lab, &mut c, &channel, id)
        },
    ),
    check(
        "mask_alarm",
        "a change of the value alone is not told to who asked for alarms (6.7)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            c.write_number(&channel, lab.other(1));
            let before = c.value(&channel, 13, 1)?;
            let id = c.subscribe(&channel, 6, 1, 4);
            c.update(id)?;
            c.write_number(&channel, lab.other(2));
            let after = c.value(&channel, 13, 1)?;
            let same = before.u32(0) == after.u32(0);
            ensure!(
                same,
                "the alarm of --pv changes with its value: choose another"
            );
            c.silent()
        },
    ),
    check(
        "mask_property",
        "a mask of DBE_PROPERTY is accepted, the first update comes (3.2, trap 59)",
        |lab| first_of_mask(lab, 8),
    ),
    check(
        "mask_0x80",
        "a mask of an unused bit up to 0x80 is accepted, the first update comes (3.2)",
        |lab| first_of_mask(lab, 0x80),
    ),
    check(
        "mask_0",
        "mask 0 gets ERROR ECA_ALLOCMEM and closes the circuit (3.2)",
        |lab| bad_mask(lab, 0),
    ),
    check(
        "mask_256",
        "a mask above 0xFF gets ERROR ECA_ALLOCMEM and closes the circuit (3.2)",
        |lab| bad_mask(lab, 0x100),
    ),
    check(
        "types",
        "updates of every type have size and count of reads (6.7)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            for code in (0..=34).filter(|code| code % 7 != 3).chain(37..=38) {
                let id = c.subscribe(&channel, code, 1, VALUE_ALARM);
                let update = c.update(id)?;
                ensure!(update.p1 == NORMAL, "type {code}: {}", update.brief());
                sized(&update, code, 1)?;
            }
            Ok(())
        },
    ),
    check("count_0", "count 0 gets what there is (3.2)", |lab| {
        let (mut c, channel) = lab.open(Role::Pv)?;
        let id = c.subscribe(&channel, 20, 0, VALUE_ALARM);
        let update = c.update(id)?;
        sized(&update, 20, 1)
    }),
    check(
        "count_3",
        "more elements than there are come as zeros (6.7)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let id = c.subscribe(&channel, 6, 3, VALUE_ALARM);
            let update = c.update(id)?;
            sized(&update, 6, 3)?;
            zero("an element behind the last one", update.tail(size(6, 1)))
        },
    ),
    check(
        "array",
        "an autosized subscription to an array follows its length (6.7)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Array)?;
            let code = channel.native + 14;
            let id = c.subscribe(&channel, code, 0, VALUE_ALARM);
            c.update(id)?;
            let element = bytes::element(channel.native, 7.0);
            c.write(&channel, channel.native, 2, &element.repeat(2));
            let update = c.update(id)?;
            sized(&update, code, 2)
        },
    ),
    check(
        "unreadable",
        "types 35 and 36 are accepted, every update has the status ECA_GETFAIL (3.2)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            for code in [35, 36] {
                let id = c.subscribe(&channel, code, 1, VALUE_ALARM);
                let update = c.update(id)?;
                ensure!(
                    update.p1 == EcaStatus::GETFAIL.0,
                    "the status is {}",
                    named(update.p1)
                );
            }
            Ok(())
        },
    ),
    check(
        "type_39",
        "a type above 38 closes the circuit without a message (3.2)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.subscribe(&channel, 39, 1, VALUE_ALARM);
            c.ends_silently()
        },
    ),
    check(
        "unknown_sid",
        "an unknown SID gets ERROR ECA_INTERNAL and closes the circuit (3.2)",
        |lab| {
            let request = bytes::event_add(6, 1, UNKNOWN_SID, 1, VALUE_ALARM);
            fatal(&mut lab.circuit()?, &request, EcaStatus::INTERNAL)
        },
    ),
    check(
        "long_payload",
        "a payload longer than 16 bytes is accepted (3.2)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let mut payload = [0; 32];
            payload[13] = 1;
            c.send(&bytes::message(
                Command::EVENT_ADD,
                6,
                1,
                channel.sid,
                1,
                &payload,
            ));
            c.update(1).map(drop)
        },
    ),
    defect(
        "D2",
        "no_payload",
        "without payload there is no mask: ERROR, and the circuit is closed (10)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let mut all = bytes::bare(Command::EVENT_ADD, 6, 1, channel.sid, 1);
            // What a server would take for the mask: valid bits.
            all.extend(bytes::bare(Command::ECHO, 0, 0, 0, 0x0001_0000));
            c.send(&all);
            let came = c.end()?;
            let error = came.iter().any(|m| m.command == Command::ERROR);
            ensure!(error, "closed after {}", listed(&came));
            Ok(())
        },
    ),
    check(
        "two",
        "two subscriptions of a channel are both told (6.7)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let ids = [
                c.subscribe(&channel, 6, 1, 1),
                c.subscribe(&channel, 5, 1, 1),
            ];
            for id in ids {
                c.update(id)?;
            }
            c.write_number(&channel, lab.other(1));
            for id in ids {
                c.update(id)?;
            }
            Ok(())
        },
    ),
    check(
        "same_id",
        "one id may be used for two subscriptions (3.2)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.send(&bytes::event_add(6, 1, channel.sid, 9, 1).repeat(2));
            c.update(9)?;
            c.update(9).map(drop)
        },
    ),
    check(
        "other_circuit",
        "a change by another circuit is told (6.7)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let id = c.subscribe(&channel, 6, 1, 1);
            c.update(id)?;
            let (mut writer, same) = lab.open(Role::Pv)?;
            writer.write_number(&same, lab.other(4));
            let got = f64_at(&c.update(id)?, 0);
            ensure!(got == lab.other(4), "the update is {got}");
            Ok(())
        },
    ),
    check(
        "newest",
        "of many changes the newest one always arrives, the others in order (6.7, trap 54)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let id = c.subscribe(&channel, 6, 1, 1);
            c.update(id)?;
            let (mut writer, same) = lab.open(Role::Pv)?;
            for n in 0..MANY {
                writer.write_number(&same, lab.other(n % 7 + 1));
            }
            writer.write_number(&same, lab.other(8));
            writer.fence()?;
            let last = lab.other(8);
            c.find("the newest value", |m| m.p2 == id && f64_at(m, 0) == last)
                .map(drop)
        },
    ),
    check(
        "read_with_its_id",
        "a read may carry the id of a subscription (3.14)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let id = c.subscribe(&channel, 6, 1, 1);
            c.update(id)?;
            c.send(&super::read_request(channel.sid, id));
            c.answer(Command::READ_NOTIFY, id).map(drop)
        },
    ),
    defect(
        "D6",
        "foreign_sid",
        "the SID of another circuit is an unknown one (6.6, 10)",
        |lab| {
            let (_owner, channel) = lab.open(Role::Pv)?;
            let request = bytes::event_add(6, 1, channel.sid, 1, VALUE_ALARM);
            fatal(&mut lab.circuit()?, &request, EcaStatus::INTERNAL)
        },
    ),
];

fn told(lab: &Lab<'_>, c: &mut Circuit, channel: &Channel, id: u32) -> Verdict {
    c.update(id)?;
    c.write_number(channel, lab.other(1));
    let got = f64_at(&c.update(id)?, 0);
    ensure!(
        got == lab.other(1),
        "the update is {got}, expected {}",
        lab.other(1)
    );
    Ok(())
}

fn first_of_mask(lab: &Lab<'_>, mask: u16) -> Verdict {
    let (mut c, channel) = lab.open(Role::Pv)?;
    let id = c.subscribe(&channel, 6, 1, mask);
    c.update(id).map(drop)
}

fn bad_mask(lab: &Lab<'_>, mask: u16) -> Verdict {
    let (mut c, channel) = lab.open(Role::Pv)?;
    let request = bytes::event_add(6, 1, channel.sid, 1, mask);
    c.send(&request);
    error_copies(&c.ends_with(EcaStatus::ALLOCMEM)?, &request, channel.cid)
}
