//! Searches in datagrams.

use ca_proto::wire::{Command, MAX_UDP_SEND};

use crate::bare::listed;
use crate::bytes::{self, MINOR};
use crate::lab::{Lab, Role};
use crate::udp::Datagram;
use crate::verdict::{Verdict, ensure, fail};
use crate::{Check, check};

/// A name that no server has.
const UNKNOWN: &str = "no:such:pv:conformance";
/// Id of the searches that are not answered.
const LOST: u32 = 0x77;

pub(super) const CHECKS: &[Check] = &[
    check(
        "found",
        "the answer has the port of the circuits as type, count 0, 0xFFFFFFFF or an address in P1, the id in P2 (3.7)",
        |lab| {
            let datagram = lab.searcher()?.find()?;
            let answer = first(&datagram)?;
            let port = lab.target.tcp.port();
            ensure!(
                answer.data_type == port,
                "{}, expected port {port}",
                answer.brief()
            );
            ensure!(answer.count == 0, "{}, expected count 0", answer.brief());
            ensure!(answer.p1 != 0, "P1 is 0, which is no address (trap 20)");
            Ok(())
        },
    ),
    check(
        "payload",
        "the payload of the answer is the minor version and six zero bytes (3.7, trap 18)",
        |lab| {
            let datagram = lab.searcher()?.find()?;
            let answer = first(&datagram)?;
            ensure!(
                answer.payload_len == 8,
                "{}, expected size 8",
                answer.brief()
            );
            ensure!(answer.u16(0) >= 4, "minor version {}", answer.u16(0));
            super::zero("the rest of the payload", answer.tail(2))
        },
    ),
    check(
        "version_leads",
        "the answer begins with VERSION: type 1, minor version, the request's sequence number (6.1)",
        |lab| {
            let searcher = lab.searcher()?;
            let mut datagram = bytes::search_version(MINOR, 0x7777);
            datagram.extend(bytes::search(5, 1, lab.name(Role::Pv)?));
            let came = searcher.ask(&datagram, &[1])?;
            let version = came.first().and_then(|d| d.messages.first());
            let version = version.ok_or_else(|| fail("no message in the answer"))?;
            ensure!(
                version.command == Command::VERSION
                    && version.data_type == 1
                    && version.p1 == 0x7777,
                "begins with {}",
                version.brief()
            );
            Ok(())
        },
    ),
    check(
        "source",
        "the answer comes from the port that was asked (6.1)",
        |lab| {
            let datagram = lab.searcher()?.find()?;
            let port = datagram.from.port();
            ensure!(
                Some(port) == lab.target.udp_port,
                "it comes from port {port}"
            );
            Ok(())
        },
    ),
    check(
        "id_from_p2",
        "the id of the answer is P2 of the request, not P1 (3.7)",
        |lab| {
            let mut datagram = bytes::search_version(MINOR, 1);
            let name = bytes::text(lab.name(Role::Pv)?);
            datagram.extend(bytes::message(
                Command::SEARCH,
                5,
                MINOR.into(),
                1,
                2,
                &name,
            ));
            lab.searcher()?.ask(&datagram, &[2]).map(drop)
        },
    ),
    check(
        "no_version",
        "a datagram without leading VERSION is not answered (6.1)",
        |lab| unanswered(lab, &bytes::search(5, LOST, lab.name(Role::Pv)?)),
    ),
    check(
        "old_client",
        "to a client below 4.11 the answer has no leading VERSION (6.1)",
        |lab| {
            let mut datagram = bytes::search_version(10, 9);
            let name = bytes::text(lab.name(Role::Pv)?);
            datagram.extend(bytes::message(Command::SEARCH, 5, 10, 1, 1, &name));
            let came = lab.searcher()?.ask(&datagram, &[1])?;
            let messages: Vec<_> = came.into_iter().flat_map(|d| d.messages).collect();
            let versions = messages
                .iter()
                .filter(|m| m.command == Command::VERSION)
                .count();
            ensure!(versions == 0, "came: {}", listed(&messages));
            Ok(())
        },
    ),
    check(
        "minor_3",
        "after VERSION with a minor version below 4 nothing is answered (6.1)",
        |lab| {
            let mut datagram = bytes::search_version(3, 1);
            datagram.extend(bytes::search(5, LOST, lab.name(Role::Pv)?));
            unanswered(lab, &datagram)
        },
    ),
    check(
        "search_minor_3",
        "a SEARCH with a count below 4 drops the rest of the datagram (3.7)",
        |lab| {
            let name = lab.name(Role::Pv)?;
            let mut datagram = bytes::search_version(MINOR, 1);
            datagram.extend(bytes::message(
                Command::SEARCH,
                5,
                3,
                LOST,
                LOST,
                &bytes::text(name),
            ));
            datagram.extend(bytes::search(5, LOST, name));
            unanswered(lab, &datagram)
        },
    ),
    check("unknown", "an unknown name is not answered (6.1)", |lab| {
        let mut datagram = bytes::search_version(MINOR, 1);
        datagram.extend(bytes::search(5, LOST, UNKNOWN));
        unanswered(lab, &datagram)
    }),
    check(
        "unknown_flag_10",
        "an unknown name is not answered, even if an answer is asked for (6.1, trap 15)",
        |lab| {
            let mut datagram = bytes::search_version(MINOR, 1);
            datagram.extend(bytes::search(10, LOST, UNKNOWN));
            unanswered(lab, &datagram)
        },
    ),
    check(
        "empty_name",
        "an empty name is skipped, the next search is answered (6.1)",
        |lab| {
            let mut datagram = bytes::search_version(MINOR, 1);
            datagram.extend(bytes::search(5, 1, ""));
            datagram.extend(bytes::search(5, 2, lab.name(Role::Pv)?));
            lab.searcher()?.ask(&datagram, &[2]).map(drop)
        },
    ),
    check(
        "mixed",
        "names that exist are answered among names that do not (6.1)",
        |lab| {
            let mut datagram = bytes::search_version(MINOR, 1);
            for (id, name) in [
                (1, UNKNOWN),
                (2, lab.name(Role::Pv)?),
                (3, UNKNOWN),
                (4, lab.name(Role::Pv)?),
            ] {
                datagram.extend(bytes::search(5, id, name));
            }
            lab.searcher()?.ask(&datagram, &[2, 4]).map(drop)
        },
    ),
    check(
        "other_command",
        "another command drops the rest, what was answered before is sent (6.1)",
        |lab| {
            let name = lab.name(Role::Pv)?;
            let mut datagram = bytes::search_version(MINOR, 1);
            datagram.extend(bytes::search(5, 1, name));
            datagram.extend(bytes::bare(Command::READ_NOTIFY, 0, 0, 0, 0));
            datagram.extend(bytes::search(5, LOST, name));
            let came = lab.searcher()?.ask(&datagram, &[1])?;
            none_lost(came.iter().flat_map(Datagram::answers).map(|a| a.p2))
        },
    ),
    check(
        "incomplete",
        "bytes left over at the end do no harm to what came before (6.1)",
        |lab| {
            let mut datagram = bytes::search_version(MINOR, 1);
            datagram.extend(bytes::search(5, 1, lab.name(Role::Pv)?));
            datagram.extend([0, 6, 0]);
            lab.searcher()?.ask(&datagram, &[1]).map(drop)
        },
    ),
    check(
        "misaligned",
        "a size that is no multiple of 8 drops the rest, silently (2.3)",
        |lab| {
            let mut datagram = bytes::search_version(MINOR, 1);
            datagram.extend(bytes::short_header(Command::SEARCH.0, 7, 5, MINOR));
            datagram.extend(b"nothing");
            datagram.extend(bytes::search(5, LOST, lab.name(Role::Pv)?));
            unanswered(lab, &datagram)
        },
    ),
    check("echo", "ECHO in a datagram is not answered (3.20)", |lab| {
        let mut datagram = bytes::search_version(MINOR, 1);
        datagram.extend(bytes::bare(Command::ECHO, 0, 0, 1, LOST));
        unanswered(lab, &datagram)
    }),
    check(
        "version_alone",
        "a datagram of nothing but VERSION is not answered (6.1)",
        |lab| unanswered(lab, &bytes::search_version(MINOR, 1)),
    ),
    check(
        "many",
        "sixty searches of one datagram are all answered (6.1)",
        |lab| sixty(lab).map(drop),
    ),
    check(
        "many_size",
        "answers come in datagrams of at most 1024 bytes (2.4)",
        |lab| {
            let largest = sixty(lab)?.iter().map(|d| d.bytes.len()).max().unwrap_or(0);
            ensure!(largest <= MAX_UDP_SEND, "a datagram of {largest} bytes");
            Ok(())
        },
    ),
    check(
        "many_version",
        "each of several datagrams begins with VERSION (6.1)",
        |lab| {
            let came = sixty(lab)?;
            let bad = came
                .iter()
                .filter(|d| d.messages.first().map(|m| m.command) != Some(Command::VERSION));
            ensure!(bad.count() == 0, "a datagram begins otherwise");
            Ok(())
        },
    ),
    check(
        "unterminated",
        "the last byte of a payload counts as NUL (3.7)",
        |lab| {
            let mut name = lab.name(Role::Pv)?.as_bytes().to_vec();
            name.push(0);
            name.resize(name.len().next_multiple_of(8), b'x');
            let mut datagram = bytes::search_version(MINOR, 1);
            datagram.extend(bytes::message(
                Command::SEARCH,
                5,
                MINOR.into(),
                1,
                1,
                &name,
            ));
            lab.searcher()?.ask(&datagram, &[1]).map(drop)
        },
    ),
    check(
        "garbage",
        "an empty datagram and one of noise do no harm (9)",
        |lab| {
            let mut searcher = lab.searcher()?;
            searcher.send(&[])?;
            let noise: Vec<u8> = (0..999u32).map(|n| ((n * 7919) >> 3) as u8).collect();
            searcher.send(&noise)?;
            searcher.find().map(drop)
        },
    ),
];

fn first(datagram: &Datagram) -> Verdict<&crate::bare::Reply> {
    datagram.answers().next().ok_or_else(|| fail("no answer"))
}

fn sixty(lab: &Lab<'_>) -> Verdict<Vec<Datagram>> {
    let ids: Vec<u32> = (1..=60).collect();
    let mut datagram = bytes::search_version(MINOR, 1);
    for &id in &ids {
        datagram.extend(bytes::search(5, id, lab.name(Role::Pv)?));
    }
    lab.searcher()?.ask(&datagram, &ids)
}

fn unanswered(lab: &Lab<'_>, datagram: &[u8]) -> Verdict {
    let came = lab.searcher()?.answers_to(datagram)?;
    ensure!(came.is_empty(), "came: {}", listed(&came));
    Ok(())
}

fn none_lost(mut ids: impl Iterator<Item = u32>) -> Verdict {
    ensure!(ids.all(|id| id != LOST), "the search behind it is answered");
    Ok(())
}
