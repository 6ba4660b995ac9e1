//! Channels: creation, rights, the end.

use std::collections::BTreeSet;

use ca_proto::EcaStatus;
use ca_proto::wire::{Command, Header};

use super::{NO_CHANNEL, UNKNOWN_SID, VALUE_ALARM, alive, error_copies, fatal, read_request};
use crate::bare::{Circuit, Reply, listed};
use crate::bytes::{self, MINOR};
use crate::lab::{Channel, Lab, Role};
use crate::verdict::{Verdict, ensure, skip};
use crate::{Check, check, defect};

/// Channels of the check that creates many.
const MANY: u32 = 200;

pub(super) const CHECKS: &[Check] = &[
    check(
        "created",
        "CREATE_CHAN gets native type 0 to 6, native count, the CID in P1 (3.16)",
        |lab| {
            let (mut c, cid) = creating(lab, 0x51, lab.name(Role::Pv)?)?;
            let reply = c.next(Command::CREATE_CHAN)?;
            ensure!(
                reply.p1 == cid && reply.payload_len == 0,
                "{}",
                reply.brief()
            );
            ensure!(
                reply.data_type <= 6 && reply.count == 1,
                "{}",
                reply.brief()
            );
            Ok(())
        },
    ),
    check(
        "rights_first",
        "ACCESS_RIGHTS comes right before CREATE_CHAN (3.16, trap 25)",
        |lab| {
            let (mut c, cid) = creating(lab, 0x51, lab.name(Role::Pv)?)?;
            c.next(Command::CREATE_CHAN)?;
            let before = c.fence()?;
            let rights = |m: &Reply| m.command == Command::ACCESS_RIGHTS && m.p1 == cid;
            // The creation was taken out of the order; what is left came before it, or late.
            ensure!(
                before.first().is_some_and(rights),
                "before it came {}",
                listed(&before)
            );
            let (mut c, _) = creating(lab, 0x51, lab.name(Role::Pv)?)?;
            let first = c.find("an answer", |_| true)?;
            ensure!(rights(&first), "first came {}", first.brief());
            Ok(())
        },
    ),
    check(
        "rights_fields",
        "ACCESS_RIGHTS has size, type and count zero, two bits in P2 (3.19)",
        |lab| {
            let (mut c, cid) = creating(lab, 0x51, lab.name(Role::Pv)?)?;
            let rights = c.next(Command::ACCESS_RIGHTS)?;
            ensure!(rights.p2 <= 3, "P2 is {:#x}", rights.p2);
            rights.is(header(Command::ACCESS_RIGHTS, cid, rights.p2))
        },
    ),
    check(
        "rights_writable",
        "a PV that may be read and written has rights 3 (3.19)",
        |lab| {
            let (_, channel) = lab.open(Role::Pv)?;
            ensure!(channel.rights == 3, "rights are {}", channel.rights);
            Ok(())
        },
    ),
    check(
        "rights_readonly",
        "a PV that may only be read has rights 1 (3.19)",
        |lab| {
            let (_, channel) = lab.open(Role::ReadOnly)?;
            ensure!(channel.rights == 1, "rights are {}", channel.rights);
            Ok(())
        },
    ),
    check(
        "unknown",
        "an unknown name gets CREATE_CH_FAIL with the CID and nothing else (3.21)",
        |lab| {
            let (mut c, cid) = creating(lab, 0x12, "no:such:pv:conformance")?;
            c.next(Command::CREATE_CH_FAIL)?
                .is(header(Command::CREATE_CH_FAIL, cid, 0))?;
            c.silent()
        },
    ),
    check(
        "unknown_field",
        "so does a field that the record has not (3.21)",
        |lab| {
            let (mut c, _) = creating(lab, 1, &format!("{}.NOFIELD", lab.name(Role::Pv)?))?;
            c.next(Command::CREATE_CH_FAIL).map(drop)
        },
    ),
    check(
        "trailing_space",
        "so does text behind the name (7)",
        |lab| {
            let (mut c, _) = creating(lab, 1, &format!("{} ", lab.name(Role::Pv)?))?;
            c.next(Command::CREATE_CH_FAIL).map(drop)
        },
    ),
    check("case", "names are case-sensitive (7)", |lab| {
        let name = lab.name(Role::Pv)?;
        let swapped: String = name
            .chars()
            .map(|c| {
                if c.is_lowercase() {
                    c.to_ascii_uppercase()
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect();
        if swapped == name {
            return Err(skip("the name has no letters"));
        }
        let (mut c, _) = creating(lab, 1, &swapped)?;
        c.next(Command::CREATE_CH_FAIL).map(drop)
    }),
    check(
        "value_field",
        "NAME.VAL is the same field as NAME (7)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let field = lab.create(&mut c, &format!("{}.VAL", lab.name(Role::Pv)?))?;
            ensure!(
                field.native == channel.native && field.count == channel.count,
                "{field:?}"
            );
            Ok(())
        },
    ),
    defect(
        "D14",
        "no_name",
        "a request without payload gets CREATE_CH_FAIL instead of silence (10)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::bare(Command::CREATE_CHAN, 0, 0, 1, MINOR.into()));
            c.next(Command::CREATE_CH_FAIL).map(drop)
        },
    ),
    check(
        "empty_name",
        "an empty name gets CREATE_CH_FAIL (3.16)",
        |lab| {
            let (mut c, _) = creating(lab, 1, "")?;
            c.next(Command::CREATE_CH_FAIL).map(drop)
        },
    ),
    check(
        "empty_name_stays",
        "after an empty name the circuit goes on (3.16)",
        |lab| {
            let (mut c, _) = creating(lab, 1, "")?;
            c.fence().map(drop)
        },
    ),
    check(
        "junk_behind_name",
        "bytes behind the first NUL of a name are ignored (3.16)",
        |lab| {
            let mut name = bytes::text(lab.name(Role::Pv)?);
            name.extend(b"junk");
            let mut c = lab.circuit()?;
            c.send(&bytes::message(
                Command::CREATE_CHAN,
                0,
                0,
                1,
                MINOR.into(),
                &name,
            ));
            c.next(Command::CREATE_CHAN).map(drop)
        },
    ),
    check(
        "cid_zero",
        "CID 0 is as good as any (6.6, trap 13)",
        |lab| any_cid(lab, 0),
    ),
    check(
        "cid_largest",
        "CID 0xFFFFFFFF is as good as any (6.6)",
        |lab| any_cid(lab, u32::MAX),
    ),
    check(
        "cid_twice",
        "one CID may be used for two channels (3.16)",
        |lab| {
            let (mut c, cid) = creating(lab, 5, lab.name(Role::Pv)?)?;
            let first = c.next(Command::CREATE_CHAN)?;
            c.send(&bytes::create(cid, MINOR, lab.name(Role::Pv)?));
            let second = c.next(Command::CREATE_CHAN)?;
            ensure!(first.p2 != second.p2, "both channels have SID {}", first.p2);
            Ok(())
        },
    ),
    check(
        "many",
        "two hundred channels of one segment are all created, with SIDs of their own (6.6)",
        |lab| {
            let mut c = lab.circuit()?;
            let name = lab.name(Role::Pv)?;
            c.send(
                &(0..MANY)
                    .flat_map(|cid| bytes::create(cid, MINOR, name))
                    .collect::<Vec<_>>(),
            );
            let mut sids = BTreeSet::new();
            for cid in 0..MANY {
                let reply = c.next(Command::CREATE_CHAN)?;
                ensure!(reply.p1 == cid, "{}, expected CID {cid}", reply.brief());
                sids.insert(reply.p2);
            }
            ensure!(sids.len() == MANY as usize, "{} different SIDs", sids.len());
            Ok(())
        },
    ),
    check(
        "minor_3",
        "P2 below 4 closes the circuit without a message (3.16)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::create(1, 3, lab.name(Role::Pv)?));
            c.ends_silently()
        },
    ),
    check(
        "array_count",
        "the count of an array is its capacity (3.16)",
        |lab| {
            let (_, channel) = lab.open(Role::Array)?;
            let held = lab.before(Role::Array).map_or(0, |before| before.length);
            ensure!(
                channel.count >= held && channel.count > 1,
                "count {}, it holds {held}",
                channel.count
            );
            Ok(())
        },
    ),
    check(
        "extended_count",
        "a client below 4.9 is told a count of at most 65534, others the real one (2.2, trap 3)",
        |lab| {
            let (_, channel) = lab.open(Role::Array)?;
            if channel.count < 65535 {
                return Err(skip("--array names no array of 65535 elements or more"));
            }
            let (_, old) = lab.open_as(Role::Array, 8)?;
            ensure!(old.count == 65534, "an old client is told {}", old.count);
            Ok(())
        },
    ),
];

pub(super) const CLEAR: &[Check] = &[
    check(
        "clear",
        "CLEAR_CHANNEL is answered with SID in P1, type, count and P2 echoed (3.11)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.send(&bytes::bare(
                Command::CLEAR_CHANNEL,
                3,
                4,
                channel.sid,
                channel.cid,
            ));
            c.next(Command::CLEAR_CHANNEL)?.is(Header {
                command: Command::CLEAR_CHANNEL,
                payload_len: 0,
                data_type: 3,
                count: 4,
                p1: channel.sid,
                p2: channel.cid,
            })
        },
    ),
    check(
        "clear_p2",
        "P2 of CLEAR_CHANNEL is not checked, only echoed (3.11)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            clear(&mut c, &channel, 0xabcd)
        },
    ),
    check(
        "clear_last",
        "the circuit outlives its last channel (6.4, trap 28)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            clear(&mut c, &channel, 1)?;
            c.silent()?;
            lab.create(&mut c, lab.name(Role::Pv)?).map(drop)
        },
    ),
    check(
        "clear_subscription",
        "with a channel its subscriptions end, without confirmations (3.11)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let id = c.subscribe(&channel, 6, 1, VALUE_ALARM);
            c.update(id)?;
            clear(&mut c, &channel, 1)?;
            let other = lab.create(&mut c, lab.name(Role::Pv)?)?;
            c.write_number(&other, lab.other(1));
            c.number(&other)?;
            c.silent()
        },
    ),
    check(
        "clear_unknown",
        "an unknown SID gets ERROR ECA_INTERNAL and closes the circuit (3.11)",
        |lab| {
            let request = bytes::bare(Command::CLEAR_CHANNEL, 0, 0, UNKNOWN_SID, 1);
            fatal(&mut lab.circuit()?, &request, EcaStatus::INTERNAL)
        },
    ),
    check(
        "clear_twice",
        "the SID of a cleared channel is unknown (3.11)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            clear(&mut c, &channel, 1)?;
            let request = bytes::bare(Command::CLEAR_CHANNEL, 0, 0, channel.sid, 1);
            fatal(&mut c, &request, EcaStatus::INTERNAL)
        },
    ),
    check(
        "clear_foreign",
        "the SID of another circuit is unknown, its channel is not touched (3.11)",
        |lab| {
            let (mut owner, channel) = lab.open(Role::Pv)?;
            let mut c = lab.circuit()?;
            let request = bytes::bare(Command::CLEAR_CHANNEL, 0, 0, channel.sid, 1);
            fatal(&mut c, &request, EcaStatus::INTERNAL)?;
            owner.value(&channel, 6, 1).map(drop)
        },
    ),
    check(
        "read_cleared",
        "a read of a cleared channel gets ERROR ECA_INTERNAL and closes the circuit (3.14)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            clear(&mut c, &channel, 1)?;
            let request = read_request(channel.sid, 1);
            c.send(&request);
            error_copies(&c.ends_with(EcaStatus::INTERNAL)?, &request, NO_CHANNEL)
        },
    ),
    check(
        "lost",
        "a circuit that ends with channels and subscriptions disturbs nobody (6.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.subscribe(&channel, 6, 1, VALUE_ALARM);
            drop(c);
            alive(lab)
        },
    ),
];

fn header(command: Command, p1: u32, p2: u32) -> Header {
    Header {
        command,
        payload_len: 0,
        data_type: 0,
        count: 0,
        p1,
        p2,
    }
}

fn creating(lab: &Lab<'_>, cid: u32, name: &str) -> Verdict<(Circuit, u32)> {
    let mut c = lab.circuit()?;
    c.send(&bytes::create(cid, MINOR, name));
    Ok((c, cid))
}

fn any_cid(lab: &Lab<'_>, cid: u32) -> Verdict {
    let (mut c, cid) = creating(lab, cid, lab.name(Role::Pv)?)?;
    let reply = c.next(Command::CREATE_CHAN)?;
    ensure!(reply.p1 == cid, "{}, expected CID {cid:#x}", reply.brief());
    Ok(())
}

fn clear(c: &mut Circuit, channel: &Channel, p2: u32) -> Verdict {
    c.send(&bytes::bare(Command::CLEAR_CHANNEL, 0, 0, channel.sid, p2));
    let reply = c.next(Command::CLEAR_CHANNEL)?;
    ensure!(
        reply.p1 == channel.sid && reply.p2 == p2,
        "{}",
        reply.brief()
    );
    Ok(())
}
