//! Reads: counts, statuses, errors.

use ca_proto::EcaStatus;
use ca_proto::wire::{Command, Header};

use super::{UNKNOWN_SID, alive, error_copies, fatal, read_request, zero};
use crate::bare::{Circuit, Reply, named};
use crate::bytes;
use crate::lab::{Channel, Lab, NORMAL, Role};
use crate::layout::{f64_at, padded, size, sized, until_nul};
use crate::verdict::{Verdict, ensure, skip};
use crate::{Check, check, defect};

pub(super) const CHECKS: &[Check] = &[
    check(
        "fields",
        "P1 of the answer is the status 1, P2 the request's id, type and count as requested (3.14, trap 10)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.send(&read_request(channel.sid, 0xcafe_f00d));
            c.next(Command::READ_NOTIFY)?.is(Header {
                command: Command::READ_NOTIFY,
                payload_len: 8,
                data_type: 6,
                count: 1,
                p1: NORMAL,
                p2: 0xcafe_f00d,
            })
        },
    ),
    check(
        "payload_ignored",
        "a payload of the request is ignored (3.14)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.send(&bytes::message(
                Command::READ_NOTIFY,
                6,
                1,
                channel.sid,
                1,
                &[0xff; 16],
            ));
            c.answer(Command::READ_NOTIFY, 1).map(drop)
        },
    ),
    check(
        "same_id",
        "ids are not checked: two requests with one id get two answers (6.6)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.send(&read_request(channel.sid, 0).repeat(2));
            c.next(Command::READ_NOTIFY)?;
            c.next(Command::READ_NOTIFY).map(drop)
        },
    ),
    check(
        "scalar_0",
        "count 0 of a scalar gets one element (4.9)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            for code in [0, 6, 20, 34] {
                sized(&c.value(&channel, code, 0)?, code, 1)?;
            }
            Ok(())
        },
    ),
    check(
        "scalar_0_old",
        "count 0 means this for clients of any version (4.9)",
        |lab| {
            let (mut c, channel) = lab.open_as(Role::Pv, 8)?;
            let reply = c.value(&channel, 6, 0)?;
            sized(&reply, 6, 1)
        },
    ),
    check(
        "scalar_3",
        "three elements of a scalar are one and two zeros, the count is 3 (4.9, trap 39)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            for code in [0, 1, 6, 20, 34] {
                let reply = c.value(&channel, code, 3)?;
                sized(&reply, code, 3)?;
                zero("an element behind the last one", reply.tail(size(code, 1)))?;
            }
            Ok(())
        },
    ),
    check(
        "array_0",
        "count 0 of an array gets what it holds (4.9, trap 40)",
        |lab| {
            let (mut c, channel, held) = array(lab)?;
            for code in [channel.native, channel.native + 14] {
                sized(&c.value(&channel, code, 0)?, code, held)?;
            }
            Ok(())
        },
    ),
    check(
        "array_1",
        "fewer elements than there are can be read (4.9)",
        |lab| {
            let (mut c, channel, _) = array(lab)?;
            let reply = c.value(&channel, channel.native, 1)?;
            sized(&reply, channel.native, 1)
        },
    ),
    check(
        "array_all",
        "all elements an array can have are sent, behind the last one zeros (4.9)",
        |lab| {
            let (mut c, channel, held) = array(lab)?;
            let reply = c.value(&channel, channel.native, channel.count)?;
            sized(&reply, channel.native, channel.count)?;
            zero(
                "an element behind the last one",
                reply.tail(size(channel.native, held)),
            )
        },
    ),
    check(
        "array_more",
        "more elements than an array can have are sent, behind the last one zeros (4.9)",
        |lab| {
            let (mut c, channel, held) = array(lab)?;
            let count = channel.count + 5;
            let reply = c.value(&channel, channel.native, count)?;
            sized(&reply, channel.native, count)?;
            zero(
                "an element behind the last one",
                reply.tail(size(channel.native, held)),
            )
        },
    ),
    check(
        "array_header",
        "the header of an array is as short as its size and count allow (2.2)",
        |lab| {
            let (mut c, channel, _) = array(lab)?;
            c.value(&channel, channel.native, channel.count)?;
            ensure!(
                c.headers_have_the_right_form(),
                "a header has not the right form"
            );
            Ok(())
        },
    ),
    check(
        "array_old_client",
        "what needs an extended header gets ERROR ECA_16KARRAYCLIENT for clients below 4.9 (2.2)",
        |lab| {
            let (mut c, channel) = lab.open_as(Role::Pv, 8)?;
            let request = bytes::bare(Command::READ_NOTIFY, 6, 8192, channel.sid, 1);
            let error = c.refuses(&request, EcaStatus::ARRAY16KCLIENT)?;
            error_copies(&error, &request, channel.cid)
        },
    ),
    check(
        "standard_limit",
        "65528 bytes are sent with a standard header to clients of any version (2.2)",
        |lab| {
            let (mut c, channel) = lab.open_as(Role::Pv, 8)?;
            let reply = c.value(&channel, 6, 8191)?;
            sized(&reply, 6, 8191)?;
            ensure!(
                c.headers_have_the_right_form(),
                "the header has not the right form"
            );
            Ok(())
        },
    ),
    check(
        "ackt",
        "PUT_ACKT cannot be read: status ECA_GETFAIL, zeros (3.14)",
        |lab| unreadable(lab, 35),
    ),
    check(
        "acks",
        "PUT_ACKS cannot be read: status ECA_GETFAIL, zeros (3.14)",
        |lab| unreadable(lab, 36),
    ),
    check(
        "type_39",
        "a type above 38 closes the circuit without a message (3.14)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.send(&bytes::bare(Command::READ_NOTIFY, 39, 1, channel.sid, 1));
            c.ends_silently()
        },
    ),
    check("type_65535", "so does type 65535 (3.14)", |lab| {
        let (mut c, channel) = lab.open(Role::Pv)?;
        c.send(&bytes::bare(Command::READ_NOTIFY, 65535, 1, channel.sid, 1));
        c.ends_silently()
    }),
    check(
        "unknown_sid",
        "an unknown SID gets ERROR ECA_INTERNAL and closes the circuit (3.14)",
        |lab| {
            fatal(
                &mut lab.circuit()?,
                &read_request(UNKNOWN_SID, 1),
                EcaStatus::INTERNAL,
            )
        },
    ),
    check(
        "type_before_sid",
        "the type is checked before the SID (3.14)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::bare(Command::READ_NOTIFY, 39, 1, UNKNOWN_SID, 1));
            c.ends_silently()
        },
    ),
    defect(
        "D6",
        "foreign_sid",
        "the SID of another circuit is an unknown one (6.6, 10)",
        |lab| {
            let (_owner, channel) = lab.open(Role::Pv)?;
            fatal(
                &mut lab.circuit()?,
                &read_request(channel.sid, 1),
                EcaStatus::INTERNAL,
            )
        },
    ),
    defect(
        "D3",
        "huge",
        "a count whose size does not fit into 32 bits gets ERROR ECA_TOLARGE (10)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let request = bytes::bare(Command::READ_NOTIFY, 6, 0x2000_0000, channel.sid, 1);
            let error = c.refuses(&request, EcaStatus::TOLARGE)?;
            ensure!(
                error.p1 == channel.cid,
                "P1 is {:#x}, expected the CID",
                error.p1
            );
            alive(lab)
        },
    ),
];

pub(super) const OBSOLETE: &[Check] = &[
    check(
        "read",
        "P1 of the answer to READ is the CID, P2 the request's id (3.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let reply = obsolete(&mut c, &channel, 6, 1)?;
            sized(&reply, 6, 1)?;
            ensure!(
                reply.p1 == channel.cid,
                "{}, expected CID {:#x}",
                reply.brief(),
                channel.cid
            );
            ensure!(
                f64_at(&reply, 0) == lab.value(),
                "the value is {}",
                f64_at(&reply, 0)
            );
            Ok(())
        },
    ),
    check(
        "read_string",
        "one string of READ is cut behind its NUL, to a multiple of 8 (3.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let reply = obsolete(&mut c, &channel, 0, 1)?;
            let want = (until_nul(&reply.payload).len() + 1).next_multiple_of(8);
            ensure!(
                reply.payload.len() == want,
                "{}, expected size {want}",
                reply.brief()
            );
            Ok(())
        },
    ),
    check(
        "read_0",
        "count 0 of READ is no autosize: no elements (3.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            for code in [6, 20] {
                sized(&obsolete(&mut c, &channel, code, 0)?, code, 0)?;
            }
            Ok(())
        },
    ),
    check(
        "read_type_39",
        "READ of a type above 38 gets ERROR ECA_BADTYPE and closes the circuit (3.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let request = bytes::bare(Command::READ, 39, 1, channel.sid, 1);
            c.send(&request);
            error_copies(&c.ends_with(EcaStatus::BADTYPE)?, &request, channel.cid)
        },
    ),
    check(
        "read_unreadable",
        "READ of PUT_ACKT gets ERROR ECA_GETFAIL, the circuit stays (3.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let request = bytes::bare(Command::READ, 35, 1, channel.sid, 1);
            let error = c.refuses(&request, EcaStatus::GETFAIL)?;
            error_copies(&error, &request, channel.cid)
        },
    ),
    check(
        "read_unknown_sid",
        "READ with an unknown SID gets ERROR ECA_INTERNAL and closes the circuit (3.4)",
        |lab| {
            let request = bytes::bare(Command::READ, 6, 1, UNKNOWN_SID, 1);
            fatal(&mut lab.circuit()?, &request, EcaStatus::INTERNAL)
        },
    ),
];

/// A circuit with the array, and how many elements that holds.
fn array(lab: &Lab<'_>) -> Verdict<(Circuit, Channel, u32)> {
    let (c, channel) = lab.open(Role::Array)?;
    let before = lab.before(Role::Array);
    let before = before.ok_or_else(|| skip("the array could not be read"))?;
    Ok((c, channel, before.length))
}

fn obsolete(c: &mut Circuit, channel: &Channel, ty: u16, count: u32) -> Verdict<Reply> {
    let id = c.id();
    let request = bytes::bare(Command::READ, ty, count, channel.sid, id);
    let reply = c.ask(&request, Command::READ, id)?;
    ensure!(reply.command == Command::READ, "{}", reply.brief());
    Ok(reply)
}

fn unreadable(lab: &Lab<'_>, code: u16) -> Verdict {
    let (mut c, channel) = lab.open(Role::Pv)?;
    let reply = c.read(&channel, code, 1)?;
    ensure!(reply.command == Command::READ_NOTIFY, "{}", reply.brief());
    ensure!(
        reply.p1 == EcaStatus::GETFAIL.0,
        "the status is {}",
        named(reply.p1)
    );
    ensure!(reply.payload.len() == padded(code, 1), "{}", reply.brief());
    zero("the payload", &reply.payload)?;
    c.silent()
}
