//! Every DBR type on the wire: sizes, places, zeros.

use super::{zero, zero_behind_text};
use crate::bare::Reply;
use crate::lab::{Lab, NORMAL, Role};
use crate::layout::{
    LAYOUT, base, converted, f32_at, f64_at, number_at, pad, size, sized, until_nul, value_at,
};
use crate::verdict::{Verdict, ensure, skip};
use crate::{Check, check, defect};

/// Bytes of the text of one state (`MAX_ENUM_STRING_SIZE`).
const STATE: usize = 26;

/// Each type by itself.
pub(super) const SIZES: &[Check] = &[
    each::<0>("STRING"),
    each::<1>("SHORT"),
    each::<2>("FLOAT"),
    each::<3>("ENUM"),
    each::<4>("CHAR"),
    each::<5>("LONG"),
    each::<6>("DOUBLE"),
    each::<7>("STS_STRING"),
    each::<8>("STS_SHORT"),
    each::<9>("STS_FLOAT"),
    each::<10>("STS_ENUM"),
    each::<11>("STS_CHAR"),
    each::<12>("STS_LONG"),
    each::<13>("STS_DOUBLE"),
    each::<14>("TIME_STRING"),
    each::<15>("TIME_SHORT"),
    each::<16>("TIME_FLOAT"),
    each::<17>("TIME_ENUM"),
    each::<18>("TIME_CHAR"),
    each::<19>("TIME_LONG"),
    each::<20>("TIME_DOUBLE"),
    each::<21>("GR_STRING"),
    each::<22>("GR_SHORT"),
    each::<23>("GR_FLOAT"),
    each::<24>("GR_ENUM"),
    each::<25>("GR_CHAR"),
    each::<26>("GR_LONG"),
    each::<27>("GR_DOUBLE"),
    each::<28>("CTRL_STRING"),
    each::<29>("CTRL_SHORT"),
    each::<30>("CTRL_FLOAT"),
    each::<31>("CTRL_ENUM"),
    each::<32>("CTRL_CHAR"),
    each::<33>("CTRL_LONG"),
    each::<34>("CTRL_DOUBLE"),
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
                c.send(&crate::bytes::message(
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

const fn each<const CODE: u16>(name: &'static str) -> Check {
    check(
        name,
        "the type has the size, alarm and value of the table of 4.1",
        one::<CODE>,
    )
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
