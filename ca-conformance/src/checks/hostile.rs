//! Input that no client should send. Whatever becomes of the circuit, others are served.

use ca_proto::wire::Command;

use super::{VALUE_ALARM, alive, read_request};
use crate::bytes;
use crate::lab::Role;
use crate::verdict::{Verdict, ensure, fail};
use crate::{Check, check, defect};

pub(super) const CHECKS: &[Check] = &[
    defect(
        "D4",
        "size_wraps",
        "a size near 2^32 is refused or closes the circuit, framing is not lost (10)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::long_header(Command::ECHO, 0, 1, 2, 0xffff_fff8, 0));
            c.send(&bytes::bare(Command::ECHO, 0, 0, 3, 4));
            let answer = c.find("ERROR", |m| m.command == Command::ERROR);
            if answer.is_err() {
                c.end()?;
            }
            alive(lab)
        },
    ),
    check(
        "size_huge",
        "a size of 256 MB, of which nothing comes, disturbs nobody (9)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::long_header(Command::WRITE, 6, 0, 0, 0x1000_0000, 1));
            alive(lab)
        },
    ),
    check(
        "noise",
        "64 kB of noise end at most their own circuit (9)",
        |lab| {
            let (mut other, channel) = lab.open(Role::Pv)?;
            let mut c = lab.connect()?;
            let mut state = 0x2545_f491_u32;
            let noise: Vec<u8> = (0..65536)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    state.to_be_bytes()[0]
                })
                .collect();
            c.send(&noise);
            drop(c);
            other.value(&channel, 6, 1)?;
            alive(lab)
        },
    ),
    check(
        "other_protocol",
        "a request of another protocol ends at most its own circuit (9)",
        |lab| {
            let mut c = lab.connect()?;
            c.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            alive(lab)
        },
    ),
    check(
        "half_header",
        "a circuit that stops within a header disturbs nobody (9)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&[0, 15, 0, 0, 0]);
            alive(lab)
        },
    ),
    check(
        "half_message",
        "a circuit that stops within a payload disturbs nobody (9)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.send(&bytes::short_header(Command::WRITE.0, 40, 0, 1));
            alive(lab)?;
            let (mut other, same) = lab.open(Role::Pv)?;
            other.number(&same)?;
            ensure!(channel.count == 1, "count {}", channel.count);
            Ok(())
        },
    ),
    check(
        "connect_only",
        "fifty circuits that say nothing disturb nobody (9)",
        |lab| {
            let idle = (0..50)
                .map(|_| lab.connect())
                .collect::<Verdict<Vec<_>>>()?;
            alive(lab)?;
            drop(idle);
            alive(lab)
        },
    ),
    check(
        "reset",
        "circuits that end right after their requests disturb nobody (9)",
        |lab| {
            for _ in 0..20 {
                let (mut c, channel) = lab.open(Role::Pv)?;
                c.subscribe(&channel, 6, 1, VALUE_ALARM);
                c.send(&read_request(channel.sid, 1).repeat(50));
            }
            alive(lab)
        },
    ),
    check(
        "no_reader",
        "a circuit that does not read its answers disturbs nobody (6.7)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let request = bytes::bare(Command::READ_NOTIFY, 6, 8000, channel.sid, 1);
            c.send(&request.repeat(300));
            alive(lab)?;
            let answers = c.fence()?;
            ensure!(
                answers.len() == 300,
                "{} of 300 requests are answered",
                answers.len()
            );
            Ok(())
        },
    ),
    check(
        "many_subscriptions",
        "five hundred subscriptions of a circuit all get their first update (6.7)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let all = (1..=500).flat_map(|id| bytes::event_add(6, 1, channel.sid, id, VALUE_ALARM));
            c.send(&all.collect::<Vec<_>>());
            for id in 1..=500 {
                c.update(id)?;
            }
            Ok(())
        },
    ),
    check(
        "long_name",
        "a name of 4000 characters is refused, the circuit stays (7)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::create(1, bytes::MINOR, "n".repeat(4000)));
            c.next(Command::CREATE_CH_FAIL)?;
            c.silent()
        },
    ),
    check(
        "binary_name",
        "a name of arbitrary bytes is refused, the circuit stays (7)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::create(
                1,
                bytes::MINOR,
                [0xff, 0x01, 0x80, b'{', b'"'],
            ));
            c.next(Command::CREATE_CH_FAIL)?;
            c.silent()
        },
    ),
    check(
        "bad_filter",
        "a name with a broken filter is refused, the circuit stays (6.1, trap 23)",
        |lab| {
            let mut c = lab.circuit()?;
            let name = format!("{}.{{bad", lab.name(Role::Pv)?);
            c.send(&bytes::create(1, bytes::MINOR, name));
            c.next(Command::CREATE_CH_FAIL)?;
            c.silent()
        },
    ),
    check(
        "pipelined",
        "a thousand reads of one segment are all answered, in order (6.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            c.send(
                &(1..=1000)
                    .flat_map(|id| read_request(channel.sid, id))
                    .collect::<Vec<_>>(),
            );
            let ids: Vec<u32> = c.fence()?.iter().map(|m| m.p2).collect();
            if ids.len() != 1000 {
                return Err(fail(format!("{} answers came", ids.len())));
            }
            ensure!(
                ids.iter().copied().eq(1..=1000),
                "the answers are not in order"
            );
            Ok(())
        },
    ),
];
