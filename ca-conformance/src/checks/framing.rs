//! Headers, sizes, and messages in a stream.

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use super::read_request;
use crate::bare::Circuit;
use crate::bytes;
use crate::lab::{Lab, Role};
use crate::verdict::{Verdict, ensure};
use crate::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check(
        "byte_by_byte",
        "a message may come in any pieces (1.1)",
        |lab| {
            let mut c = lab.circuit()?;
            for byte in bytes::message(Command::ECHO, 1, 2, 3, 4, b"abcdefgh") {
                c.send(&[byte]);
            }
            c.next(Command::ECHO).map(drop)
        },
    ),
    check(
        "split_extended",
        "a header of 24 bytes may be cut behind its 16th (2.2)",
        |lab| {
            let mut c = lab.circuit()?;
            let request = bytes::long_header(Command::ECHO, 0, 3, 4, 0, 0);
            let (first, rest) = request.split_at(16);
            c.send(first);
            std::thread::sleep(std::time::Duration::from_millis(20));
            c.send(rest);
            c.next(Command::ECHO).map(drop)
        },
    ),
    check(
        "coalesced",
        "several messages of one segment are answered in their order (6.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let ids: Vec<u32> = (1..=20).collect();
            c.send(
                &ids.iter()
                    .flat_map(|&id| read_request(channel.sid, id))
                    .collect::<Vec<_>>(),
            );
            let came: Vec<u32> = c.fence()?.iter().map(|reply| reply.p2).collect();
            ensure!(came == ids, "answers came with ids {came:?}");
            Ok(())
        },
    ),
    check(
        "order",
        "ECHO and READ_NOTIFY keep the order of the requests (6.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let mut all = read_request(channel.sid, 1);
            all.extend(bytes::bare(Command::ECHO, 0, 0, 0, 2));
            all.extend(read_request(channel.sid, 3));
            all.extend(bytes::bare(Command::ECHO, 0, 0, 0, 4));
            c.send(&all);
            let came: Vec<u32> = c.fence()?.iter().map(|reply| reply.p2).collect();
            ensure!(came == [1, 2, 3, 4], "answers came with ids {came:?}");
            Ok(())
        },
    ),
    check(
        "misaligned",
        "a size that is no multiple of 8 gets ERROR ECA_INTERNAL and closes the circuit, before the payload comes (2.3)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::short_header(Command::ECHO.0, 4, 0, 0));
            c.ends_with(EcaStatus::INTERNAL).map(drop)
        },
    ),
    check(
        "misaligned_extended",
        "so does such a size in an extended header (2.3)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::long_header(Command::ECHO, 0, 0, 0, 12, 0));
            c.ends_with(EcaStatus::INTERNAL).map(drop)
        },
    ),
    check(
        "extended_small",
        "an extended header around a small payload is legal, the answer has a standard one (2.2)",
        |lab| {
            let mut c = lab.circuit()?;
            let mut request = bytes::long_header(Command::ECHO, 1, 3, 4, 8, 2);
            request.extend_from_slice(b"abcdefgh");
            c.send(&request);
            let echo = c.next(Command::ECHO)?;
            ensure!(
                echo.payload == b"abcdefgh" && echo.count == 2,
                "{}",
                echo.brief()
            );
            shortest(&c)
        },
    ),
    check(
        "extended_old",
        "from a client below 4.9 a size of 0xFFFF is no mark but a wrong size (2.2)",
        |lab| {
            let mut c = lab.circuit_of(8)?;
            c.send(&bytes::long_header(Command::ECHO, 0, 0, 0, 0, 0));
            c.ends_with(EcaStatus::INTERNAL).map(drop)
        },
    ),
    check(
        "standard_largest",
        "65528 bytes of payload are sent with a standard header (2.2)",
        |lab| echoed(lab, 65528, 1),
    ),
    check(
        "extended_payload",
        "65536 bytes of payload are sent with an extended header (2.2)",
        |lab| echoed(lab, 65536, 1),
    ),
    check(
        "extended_count",
        "a count of 65535 is sent with an extended header, without payload (2.2)",
        |lab| echoed(lab, 0, 65535),
    ),
    check(
        "standard_count",
        "a count of 65534 is sent with a standard header (2.2)",
        |lab| echoed(lab, 0, 65534),
    ),
    check("large", "messages of a megabyte are taken (2.4)", |lab| {
        echoed(lab, 1 << 20, 1)
    }),
    check(
        "unused_fields",
        "unused fields of a request are ignored (3.0)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::message(Command::EVENTS_ON, 7, 7, 7, 7, &[7; 24]));
            c.silent()
        },
    ),
    check(
        "half_close",
        "after the client's FIN everything received is answered, then the server closes (6.4)",
        |lab| {
            let (mut c, channel) = lab.open(Role::Pv)?;
            let mut all = read_request(channel.sid, 1);
            all.extend(bytes::bare(Command::ECHO, 0, 0, 0, 2));
            c.send(&all);
            c.finish();
            let came: Vec<u32> = c.end()?.iter().map(|reply| reply.p2).collect();
            ensure!(came == [1, 2], "answers came with ids {came:?}");
            Ok(())
        },
    ),
    check(
        "truncated",
        "a message that its circuit's end cuts off is dropped (1.1)",
        |lab| {
            let mut c = lab.circuit()?;
            c.send(&bytes::short_header(Command::ECHO.0, 64, 0, 0));
            c.finish();
            c.ends_silently()
        },
    ),
];

fn echoed(lab: &Lab<'_>, size: usize, count: u32) -> Verdict {
    let mut c = lab.circuit()?;
    let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    c.send(&bytes::message(Command::ECHO, 0, count, 3, 4, &payload));
    let echo = c.next(Command::ECHO)?;
    ensure!(
        echo.payload == payload && echo.count == count,
        "{}, which is not what was sent",
        echo.brief()
    );
    shortest(&c)
}

fn shortest(c: &Circuit) -> Verdict {
    ensure!(
        c.headers_have_the_right_form(),
        "a header has not the form that its size and count demand"
    );
    Ok(())
}
