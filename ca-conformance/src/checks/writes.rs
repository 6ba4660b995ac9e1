//! Writes without an answer.

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use super::{UNKNOWN_SID, error_copies, fatal, holds};
use crate::bare::Circuit;
use crate::bytes::{self, element};
use crate::lab::{Channel, Lab, Role};
use crate::layout::{base, converted, size, sized, value_at};
use crate::verdict::{Verdict, ensure, skip};
use crate::{Check, check, defect};

pub(super) const CHECKS: &[Check] = &[
    check(
        "silent",
        "a write that succeeds is not answered (3.5, trap 48)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            c.write_number(&channel, lab.other(1));
            c.silent()
        },
    ),
    check(
        "order",
        "a write happens before the next request of the circuit (6.4)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            for n in 1..=4 {
                c.write_number(&channel, lab.other(n));
                holds(&mut c, &channel, lab.other(n))?;
            }
            Ok(())
        },
    ),
    check(
        "other_circuit",
        "what one circuit wrote another one reads (6.4)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            c.write_number(&channel, lab.other(2));
            c.fence()?;
            let (mut other, same) = lab.open(Role::Pv)?;
            holds(&mut other, &same, lab.other(2))
        },
    ),
    check(
        "extended",
        "a write in an extended header that needs none is taken (2.2)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let mut request = bytes::long_header(Command::WRITE, 6, channel.sid, channel.cid, 8, 1);
            request.extend(lab.other(1).to_be_bytes());
            c.send(&request);
            holds(&mut c, &channel, lab.other(1))
        },
    ),
    check(
        "more",
        "of more elements than the PV has the first ones are written, without an error (4.9, trap 41)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let payload: Vec<u8> = [lab.other(3), 99.0, 98.0]
                .iter()
                .flat_map(|v| v.to_be_bytes())
                .collect();
            c.write(&channel, 6, 3, &payload);
            holds(&mut c, &channel, lab.other(3))?;
            c.silent()
        },
    ),
    check(
        "zero_elements",
        "a write of no elements to a scalar leaves its value and is no error (4.9)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            c.write_number(&channel, lab.other(1));
            c.write(&channel, 6, 0, &[]);
            holds(&mut c, &channel, lab.other(1))?;
            c.silent()
        },
    ),
    check(
        "readonly",
        "a write without permission gets ERROR ECA_NOWTACCESS with the CID, the circuit stays (3.5)",
        |lab| {
            let (mut c, channel) = lab.open(Role::ReadOnly)?;
            let request = write(&channel, 6, 1, &1f64.to_be_bytes());
            error_copies(
                &c.refuses(&request, EcaStatus::NOWTACCESS)?,
                &request,
                channel.cid,
            )
        },
    ),
    check(
        "readonly_type_39",
        "permission is checked before the type (3.5)",
        |lab| {
            let (mut c, channel) = lab.open(Role::ReadOnly)?;
            let request = write(&channel, 39, 1, &[0; 8]);
            error_copies(
                &c.refuses(&request, EcaStatus::NOWTACCESS)?,
                &request,
                channel.cid,
            )
        },
    ),
    check(
        "type_39",
        "a type above 38 gets ERROR ECA_BADTYPE with the CID and closes the circuit (3.5)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let request = write(&channel, 39, 1, &[0; 8]);
            c.send(&request);
            error_copies(&c.ends_with(EcaStatus::BADTYPE)?, &request, channel.cid)
        },
    ),
    check(
        "type_37",
        "STSACK_STRING cannot be written: ERROR ECA_PUTFAIL, the circuit stays (3.5)",
        |lab| unwritable(lab, 37),
    ),
    check(
        "type_38",
        "CLASS_NAME cannot be written: ERROR ECA_PUTFAIL, the circuit stays (3.5)",
        |lab| unwritable(lab, 38),
    ),
    check(
        "unknown_sid",
        "an unknown SID gets ERROR ECA_INTERNAL and closes the circuit (3.5)",
        |lab| {
            let request = bytes::message(Command::WRITE, 6, 1, UNKNOWN_SID, 1, &1f64.to_be_bytes());
            fatal(&mut lab.circuit()?, &request, EcaStatus::INTERNAL)
        },
    ),
    defect(
        "D6",
        "foreign_sid",
        "the SID of another circuit is an unknown one, nothing is written (6.6, 10)",
        |lab| {
            let (mut owner, channel) = lab.open_to_write(Role::Pv)?;
            let request = write(&channel, 6, 1, &lab.other(5).to_be_bytes());
            fatal(&mut lab.circuit()?, &request, EcaStatus::INTERNAL)?;
            holds(&mut owner, &channel, lab.value())
        },
    ),
    defect(
        "D1",
        "short",
        "a payload too short for type and count gets ERROR ECA_BADCOUNT, nothing is written (10)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Pv)?;
            let request = write(&channel, 6, 4, &lab.other(5).to_be_bytes());
            let error = c.refuses(&request, EcaStatus::BADCOUNT)?;
            error_copies(&error, &request, channel.cid)?;
            holds(&mut c, &channel, lab.value())
        },
    ),
    defect("D1", "empty", "so does a missing payload (10)", |lab| {
        let (mut c, channel) = lab.open_to_write(Role::Pv)?;
        let request = write(&channel, 6, 1, &[]);
        c.refuses(&request, EcaStatus::BADCOUNT)?;
        holds(&mut c, &channel, lab.value())
    }),
];

pub(super) const TYPES: &[Check] = &[
    check("STRING", "a STRING is converted (4.8)", written::<0>),
    check("SHORT", "a SHORT is converted (4.8)", written::<1>),
    check("FLOAT", "a FLOAT is converted (4.8)", written::<2>),
    check("ENUM", "an ENUM is converted (4.8)", written::<3>),
    check("CHAR", "a CHAR is converted (4.8)", written::<4>),
    check("LONG", "a LONG is converted (4.8)", written::<5>),
    check("DOUBLE", "a DOUBLE is converted (4.8)", written::<6>),
    check(
        "STS_DOUBLE",
        "of structured types the value is written (3.5)",
        written::<13>,
    ),
    check(
        "TIME_DOUBLE",
        "of a TIME type the value is written (3.5)",
        written::<20>,
    ),
    check(
        "GR_DOUBLE",
        "of a GR type the value is written (3.5)",
        written::<27>,
    ),
    check(
        "CTRL_LONG",
        "of a CTRL type the value is written (3.5)",
        written::<33>,
    ),
    check(
        "STS_STRING",
        "of STS_STRING the text is written (3.5)",
        written::<7>,
    ),
    defect(
        "D10",
        "TIME_STRING",
        "of TIME_STRING the text is written, too (10)",
        written::<14>,
    ),
];

pub(super) const ARRAYS: &[Check] = &[
    check(
        "array_all",
        "an array takes all elements it has room for (4.9)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Array)?;
            write_elements(&mut c, &channel, channel.count)?;
            length(&mut c, &channel, channel.count)
        },
    ),
    check(
        "array_shrinks",
        "the length of an array follows the write (4.9, trap 42)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Array)?;
            write_elements(&mut c, &channel, 2)?;
            length(&mut c, &channel, 2)?;
            write_elements(&mut c, &channel, 1)?;
            length(&mut c, &channel, 1)
        },
    ),
    check(
        "array_truncates",
        "more elements than an array has room for are cut off, without an error (4.9, trap 41)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Array)?;
            write_elements(&mut c, &channel, channel.count + 3)?;
            length(&mut c, &channel, channel.count)?;
            c.silent()
        },
    ),
    check(
        "array_clears",
        "a write of no elements empties an array (4.9)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Array)?;
            c.write(&channel, channel.native, 0, &[]);
            length(&mut c, &channel, 0)
        },
    ),
    check(
        "array_empty_time",
        "an empty array with alarm and time is those alone, count 0 (4.9, trap 40)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Array)?;
            c.write(&channel, channel.native, 0, &[]);
            let code = channel.native + 14;
            sized(&c.value(&channel, code, 0)?, code, 0)
        },
    ),
    check(
        "array_converted",
        "elements are converted one by one (4.8)",
        |lab| {
            let (mut c, channel) = lab.open_to_write(Role::Array)?;
            let payload: Vec<u8> = [1i32, 2].iter().flat_map(|v| v.to_be_bytes()).collect();
            c.write(&channel, 5, 2, &payload);
            let reply = c.value(&channel, 5, 2)?;
            ensure!(
                reply.payload == payload,
                "the elements are {:02x?}",
                reply.payload
            );
            Ok(())
        },
    ),
];

fn write(channel: &Channel, ty: u16, count: u32, payload: &[u8]) -> Vec<u8> {
    bytes::message(Command::WRITE, ty, count, channel.sid, channel.cid, payload)
}

fn unwritable(lab: &Lab<'_>, code: u16) -> Verdict {
    let (mut c, channel) = lab.open_to_write(Role::Pv)?;
    let request = write(&channel, code, 1, &vec![0; size(code, 1)]);
    error_copies(
        &c.refuses(&request, EcaStatus::PUTFAIL)?,
        &request,
        channel.cid,
    )
}

/// Writes a number with a type and reads what became of it.
fn written<const CODE: u16>(lab: &Lab<'_>) -> Verdict {
    let (mut c, channel) = lab.open_to_write(Role::Pv)?;
    let value = lab.other(4).trunc();
    if matches!(base(CODE), 3 | 4) && !(0.0..256.0).contains(&value) {
        return Err(skip(format!("{value} does not fit into the type")));
    }
    let mut payload = vec![0; value_at(CODE)];
    payload.extend(element(base(CODE), value));
    c.write(&channel, CODE, 1, &payload);
    let got = c.number(&channel)?;
    ensure!(
        converted(base(CODE), value, Some(got)),
        "{value} became {got}"
    );
    c.silent()
}

fn write_elements(c: &mut Circuit, channel: &Channel, count: u32) -> Verdict {
    let element = element(channel.native, 3.0);
    c.write(
        channel,
        channel.native,
        count,
        &element.repeat(count as usize),
    );
    Ok(())
}

fn length(c: &mut Circuit, channel: &Channel, want: u32) -> Verdict {
    sized(&c.value(channel, channel.native, 0)?, channel.native, want)
}
