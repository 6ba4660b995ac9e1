//! Every DBR type on the wire: sizes, places, zeros.

use super::{zero, zero_behind_text};
use crate::conformance::circuit::Reply;
use crate::conformance::lab::{Lab, NORMAL, Role};
use crate::conformance::layout::{
    LAYOUT, base, converted, f32_at, f64_at, number_at, pad, size, sized, until_nul, value_at,
};
use crate::conformance::verdict::{Verdict, ensure, skip};
use crate::conformance::{Check, check, defect};

/// Bytes of the text of one state (4.2).
const STATE: usize = 26;

/// Each type by itself: `one::<CODE>`.
pub(super) const SIZES: &[Check] = &[
    check(
        "STRING",
        "DBR_STRING has the size, the alarm and the value of the table of 4.1",
        one::<0>,
    ),
    check(
        "SHORT",
        "DBR_SHORT has the size, the alarm and the value of the table of 4.1",
        one::<1>,
    ),
    check(
        "FLOAT",
        "DBR_FLOAT has the size, the alarm and the value of the table of 4.1",
        one::<2>,
    ),
    check(
        "ENUM",
        "DBR_ENUM has the size, the alarm and the value of the table of 4.1",
        one::<3>,
    ),
    check(
        "CHAR",
        "DBR_CHAR has the size, the alarm and the value of the table of 4.1",
        one::<4>,
    ),
    check(
        "LONG",
        "DBR_LONG has the size, the alarm and the value of the table of 4.1",
        one::<5>,
    ),
    check(
        "DOUBLE",
        "DBR_DOUBLE has the size, the alarm and the value of the table of 4.1",
        one::<6>,
    ),
    check(
        "STS_STRING",
        "DBR_STS_STRING has the size, the alarm and the value of the table of 4.1",
        one::<7>,
    ),
    check(
        "STS_SHORT",
        "DBR_STS_SHORT has the size, the alarm and the value of the table of 4.1",
        one::<8>,
    ),
    check(
        "STS_FLOAT",
        "DBR_STS_FLOAT has the size, the alarm and the value of the table of 4.1",
        one::<9>,
    ),
    check(
        "STS_ENUM",
        "DBR_STS_ENUM has the size, the alarm and the value of the table of 4.1",
        one::<10>,
    ),
    check(
        "STS_CHAR",
        "DBR_STS_CHAR has the size, the alarm and the value of the table of 4.1",
        one::<11>,
    ),
    check(
        "STS_LONG",
        "DBR_STS_LONG has the size, the alarm and the value of the table of 4.1",
        one::<12>,
    ),
    check(
        "STS_DOUBLE",
        "DBR_STS_DOUBLE has the size, the alarm and the value of the table of 4.1",
        one::<13>,
    ),
    check(
        "TIME_STRING",
        "DBR_TIME_STRING has the size, the alarm and the value of the table of 4.1",
        one::<14>,
    ),
    check(
        "TIME_SHORT",
        "DBR_TIME_SHORT has the size, the alarm and the value of the table of 4.1",
        one::<15>,
    ),
    check(
        "TIME_FLOAT",
        "DBR_TIME_FLOAT has the size, the alarm and the value of the table of 4.1",
        one::<16>,
    ),
    check(
        "TIME_ENUM",
        "DBR_TIME_ENUM has the size, the alarm and the value of the table of 4.1",
        one::<17>,
    ),
    check(
        "TIME_CHAR",
        "DBR_TIME_CHAR has the size, the alarm and the value of the table of 4.1",
        one::<18>,
    ),
    check(
        "TIME_LONG",
        "DBR_TIME_LONG has the size, the alarm and the value of the table of 4.1",
        one::<19>,
    ),
    check(
        "TIME_DOUBLE",
        "DBR_TIME_DOUBLE has the size, the alarm and the value of the table of 4.1",
        one::<20>,
    ),
    check(
        "GR_STRING",
        "DBR_GR_STRING has the size, the alarm and the value of the table of 4.1",
        one::<21>,
    ),
    check(
        "GR_SHORT",
        "DBR_GR_SHORT has the size, the alarm and the value of the table of 4.1",
        one::<22>,
    ),
    check(
        "GR_FLOAT",
        "DBR_GR_FLOAT has the size, the alarm and the value of the table of 4.1",
        one::<23>,
    ),
    check(
        "GR_ENUM",
        "DBR_GR_ENUM has the size, the alarm and the value of the table of 4.1",
        one::<24>,
    ),
    check(
        "GR_CHAR",
        "DBR_GR_CHAR has the size, the alarm and the value of the table of 4.1",
        one::<25>,
    ),
    check(
        "GR_LONG",
        "DBR_GR_LONG has the size, the alarm and the value of the table of 4.1",
        one::<26>,
    ),
    check(
        "GR_DOUBLE",
        "DBR_GR_DOUBLE has the size, the alarm and the value of the table of 4.1",
        one::<27>,
    ),
    check(
        "CTRL_STRING",
        "DBR_CTRL_STRING has the size, the alarm and the value of the table of 4.1",
        one::<28>,
    ),
    check(
        "CTRL_SHORT",
        "DBR_CTRL_SHORT has the size, the alarm and the value of the table of 4.1",
        one::<29>,
    ),
    check(
        "CTRL_FLOAT",
        "DBR_CTRL_FLOAT has the size, the alarm and the value of the table of 4.1",
        one::<30>,
    ),
    check(
        "CTRL_ENUM",
        "DBR_CTRL_ENUM has the size, the alarm and the value of the table of 4.1",
        one::<31>,
    ),
    check(
        "CTRL_CHAR",
        "DBR_CTRL_CHAR has the size, the alarm and the value of the table of 4.1",
        one::<32>,
    ),
    check(
        "CTRL_LONG",
        "DBR_CTRL_LONG has the size, the alarm and the value of the table of 4.1",
        one::<33>,
    ),
    check(
        "CTRL_DOUBLE",
        "DBR_CTRL_DOUBLE has the size, the alarm and the value of the table of 4.1",
        one::<34>,
    ),
];

pub(super) const CHECKS: &[Check] = &[
    check(
        "STSACK_STRING",
        "DBR_STSACK_STRING has 48 bytes: alarm, acknowledgement, text (4.2)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let reply = c.value(&channel, 37, 1)?;
            sized(&reply, 37, 1)?;
            let (ackt, acks) = (reply.u16(4), reply.u16(6));
            ensure!(ackt <= 1 && acks <= 3, "ackt {ackt}, acks {acks}");
            let text = c.text(&channel)?;
            let got = until_nul(reply.tail(8));
            ensure!(
                got == text,
                "the text is {:?}",
                String::from_utf8_lossy(got)
            );
            Ok(())
        },
    ),
    check(
        "CLASS_NAME",
        "DBR_CLASS_NAME is one string, not empty (4.2)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let reply = c.value(&channel, 38, 1)?;
            sized(&reply, 38, 1)?;
            ensure!(!until_nul(&reply.payload).is_empty(), "the name is empty");
            Ok(())
        },
    ),
    check(
        "time",
        "nanoseconds are below a second, all TIME types tell the same time (4.3)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let mut first = None;
            for code in 14..=20 {
                let reply = c.value(&channel, code, 1)?;
                let stamp = (reply.u32(4), reply.u32(8));
                ensure!(stamp.1 < 1_000_000_000, "{} nanoseconds", stamp.1);
                let first = *first.get_or_insert(stamp);
                ensure!(
                    first == stamp,
                    "type {code} says {stamp:?}, type 14 {first:?}"
                );
            }
            Ok(())
        },
    ),
    check(
        "limits",
        "the limits stand in the order of 4.2: lower ones never above upper ones",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let reply = c.value(&channel, 34, 1)?;
            for (what, low, high) in [
                ("display", 24, 16),
                ("alarm", 56, 32),
                ("warning", 48, 40),
                ("control", 72, 64),
            ] {
                let (low, high) = (f64_at(&reply, low), f64_at(&reply, high));
                ensure!(
                    low.is_nan() || high.is_nan() || low <= high,
                    "{what} limits {low} to {high}"
                );
            }
            Ok(())
        },
    ),
    check(
        "limits_agree",
        "limits as FLOAT and DOUBLE, GR and CTRL, are the same (4.2)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let (double, float) = (c.value(&channel, 34, 1)?, c.value(&channel, 30, 1)?);
            let gr = c.value(&channel, 27, 1)?;
            ensure!(
                gr.payload.get(..64) == double.payload.get(..64),
                "GR_DOUBLE and CTRL_DOUBLE differ"
            );
            for n in 0..8 {
                let (wide, narrow) = (f64_at(&double, 16 + 8 * n), f32_at(&float, 16 + 4 * n));
                let same = wide as f32 == narrow || wide.is_nan() && narrow.is_nan();
                ensure!(
                    same || wide.abs() > f64::from(f32::MAX),
                    "limit {n}: {wide} and {narrow}"
                );
            }
            Ok(())
        },
    ),
    check(
        "limits_integer",
        "limits as LONG are those of DOUBLE, cut to integers (4.7)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let (double, long) = (c.value(&channel, 34, 1)?, c.value(&channel, 33, 1)?);
            for n in 0..8 {
                let (wide, narrow) = (f64_at(&double, 16 + 8 * n), long.u32(12 + 4 * n) as i32);
                let fits = wide.abs() < 2_147_483_648.0;
                ensure!(
                    !fits || wide.trunc() == f64::from(narrow),
                    "limit {n}: {wide} and {narrow}"
                );
            }
            Ok(())
        },
    ),
    check(
        "units",
        "units are the same in every GR and CTRL type of a number, with a NUL (4.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let mut first: Option<Vec<u8>> = None;
            for (code, at) in [
                (22, 4),
                (23, 8),
                (25, 4),
                (26, 4),
                (27, 8),
                (29, 4),
                (30, 8),
                (32, 4),
                (33, 4),
                (34, 8),
            ] {
                let reply = c.value(&channel, code, 1)?;
                let field = reply.payload.get(at..at + 8).unwrap_or_default();
                let units = until_nul(field).to_vec();
                ensure!(units.len() < 8, "the units of type {code} have no NUL");
                let first = first.get_or_insert_with(|| units.clone());
                ensure!(*first == units, "type {code} has other units than type 22");
            }
            Ok(())
        },
    ),
    check(
        "states",
        "GR_ENUM and CTRL_ENUM of an enumeration hold at most 16 states, and are the same (4.2)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Enum)?;
            let (gr, ctrl) = (c.value(&channel, 24, 1)?, c.value(&channel, 31, 1)?);
            ensure!((1..=16).contains(&gr.u16(4)), "{} states", gr.u16(4));
            ensure!(gr.payload == ctrl.payload, "GR_ENUM and CTRL_ENUM differ");
            Ok(())
        },
    ),
    check(
        "state_text",
        "the text of an enumeration is that of its state (4.7)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Enum)?;
            let reply = c.value(&channel, 31, 1)?;
            let at = 6 + STATE * usize::from(reply.u16(422));
            let want = until_nul(reply.payload.get(at..at + STATE).unwrap_or_default()).to_vec();
            super::reads_as(&mut c, &channel, &want)
        },
    ),
    check(
        "states_unused",
        "unused state texts are zero (4.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Enum)?;
            let reply = c.value(&channel, 31, 1)?;
            let unused = 6 + STATE * usize::from(reply.u16(4).min(16));
            zero(
                "an unused state",
                reply.payload.get(unused..422).unwrap_or_default(),
            )
        },
    ),
    check(
        "states_none",
        "as GR_ENUM a number has no states (4.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let reply = c.value(&channel, 24, 1)?;
            zero(
                "the block of states",
                reply.payload.get(4..422).unwrap_or_default(),
            )
        },
    ),
    check(
        "array",
        "elements of an array follow each other without gaps, in every class (4.1)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Array)?;
            let count = channel.count.min(5);
            let plain = c.value(&channel, channel.native, count)?;
            let want = plain
                .payload
                .get(..size(channel.native, count))
                .map(<[u8]>::to_vec);
            for class in 1..5 {
                let code = channel.native + 7 * class;
                let reply = c.value(&channel, code, count)?;
                sized(&reply, code, count)?;
                let got = reply.payload.get(value_at(code)..size(code, count));
                ensure!(
                    got == want.as_deref(),
                    "the elements of type {code} are others"
                );
            }
            Ok(())
        },
    ),
    defect(
        "D7",
        "zeros",
        "pads, what is behind a text, and what fills up to 8 bytes are zero (2.3, 10)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            for code in (0..=34).chain(37..=38) {
                // Something to leave behind in the server's buffer.
                c.send(&crate::conformance::bytes::message(
                    ca_proto::wire::Command::ECHO,
                    0,
                    0,
                    1,
                    1,
                    &[0xa5; 512],
                ));
                c.next(ca_proto::wire::Command::ECHO)?;
                for count in [1, 0] {
                    let reply = c.value(&channel, code, count)?;
                    zeros(&reply, code)?;
                }
            }
            Ok(())
        },
    ),
];

fn zeros(reply: &Reply, code: u16) -> Verdict {
    let name = LAYOUT[usize::from(code)].0;
    let (at, len) = pad(code);
    zero(
        &format!("the pad of {name}"),
        reply.payload.get(at..at + len).unwrap_or_default(),
    )?;
    let tail = reply.tail(size(code, reply.count));
    zero(&format!("the padding of {name}"), tail)?;
    if base(code) == 0 && reply.count > 0 {
        let at = value_at(code);
        let field = reply.payload.get(at..at + 40).unwrap_or_default();
        zero_behind_text(&format!("what follows the text of {name}"), field)?;
    }
    Ok(())
}

fn one<const CODE: u16>(lab: &Lab<'_>) -> Verdict {
    let (mut c, channel) = lab.open(Role::Pv)?;
    let reply = c.read(&channel, CODE, 1)?;
    if CODE % 7 == 3 && reply.p1 == ca_proto::EcaStatus::GETFAIL.0 {
        return Err(skip("the server does not convert numbers to enumerations"));
    }
    ensure!(reply.p1 == NORMAL, "{}", reply.brief());
    sized(&reply, CODE, 1)?;
    if CODE >= 7 {
        let (status, severity) = (reply.u16(0), reply.u16(2));
        ensure!(
            status <= 21 && severity <= 3,
            "alarm status {status}, severity {severity}"
        );
    }
    let got = number_at(&reply, base(CODE), value_at(CODE));
    let value = lab.value();
    ensure!(
        converted(base(CODE), value, got),
        "the value is {got:?}, as DOUBLE {value}"
    );
    Ok(())
}
