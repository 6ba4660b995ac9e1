//! Searches: their datagrams, their times, and what is made of answers.

use std::net::Ipv4Addr;
use std::time::Duration;

use ca_proto::wire::{Command, datagram_frames};

use super::super::lab::Lab;
use super::super::pv::Pv;
use super::super::stage::{Act, Heard, SENDER, Search, Stage, found};
use super::super::{Check, check, defect};
use super::name_payload;
use crate::bare::Reply;
use crate::bytes;
use crate::verdict::{Verdict, ensure, fail};

/// Largest datagram of searches.
const LARGEST: usize = 1024;
/// Searches for one name that nobody answers: the reference sends 7 within two seconds.
const MOST: usize = 20;

pub(super) const CHECKS: &[Check] = &[
    check(
        "version_first",
        "a datagram begins with VERSION of type 1 and minor version 11 or more (3.1, trap 21)",
        version_first,
    ),
    check(
        "message",
        "SEARCH has its name with NUL and zeros, the minor version in the count, the id twice, and asks for no negative answer (2.5, trap 48)",
        message,
    ),
    check(
        "whole_frames",
        "a datagram holds whole messages and at most 1024 bytes (trap 10)",
        whole_frames,
    ),
    check(
        "again",
        "what is not answered is searched again, with growing pauses (2.2, trap 5)",
        again,
    ),
    check(
        "never_found",
        "a program whose PV does not exist ends in time, without a value",
        never_found,
    ),
];

pub(super) const REPLIES: &[Check] = &[
    check("found", "an honest server's value is shown", |lab| {
        let mut stage = lab.get()?;
        stage.serve()?;
        stage.shows(Pv::FIRST)
    }),
    check(
        "found_late",
        "an answer to the second search counts, too (2.2)",
        |lab| {
            let mut searches = 0;
            answered(lab, |stage, search| {
                searches += 1;
                if searches > 1 {
                    stage.found(search, stage.port(), SENDER);
                }
                Ok(())
            })
        },
    ),
    check(
        "reply_without_version",
        "VERSION before the answer is optional (trap 3)",
        |lab| {
            answered(lab, |stage, search| {
                stage.datagram(search.from, &found(stage.port(), SENDER, search.message.p2));
                Ok(())
            })
        },
    ),
    check(
        "port",
        "the circuit goes to the port in the answer, not to that of searches (trap 2)",
        |lab| elsewhere(lab, Ipv4Addr::LOCALHOST, SENDER),
    ),
    check(
        "address",
        "the circuit goes to the address in the answer (trap 2)",
        |lab| {
            elsewhere(
                lab,
                Ipv4Addr::new(127, 0, 0, 2),
                u32::from(Ipv4Addr::new(127, 0, 0, 2)),
            )
        },
    ),
    check(
        "same_answer_twice",
        "the same answer twice makes one circuit (trap 4)",
        |lab| {
            answered(lab, |stage, search| {
                for _ in 0..2 {
                    stage.found(search, stage.port(), SENDER);
                }
                Ok(())
            })
        },
    ),
    check(
        "other_server_too",
        "of two servers the first one is kept (trap 4)",
        |lab| {
            let mut stage = lab.get()?;
            let other = stage.listen(Ipv4Addr::LOCALHOST)?;
            stage.perform(|stage, heard| match heard {
                Heard::Search(search) => {
                    stage.found(search, stage.port(), SENDER);
                    stage.found(search, other, SENDER);
                    Ok(Act::Silent)
                }
                Heard::Opened(_, 1) => Err(fail("a circuit to the second server")),
                _ => Ok(Act::Honest),
            })?;
            stage.shows(Pv::FIRST)
        },
    ),
    check(
        "foreign_id",
        "an answer with the id of no search is ignored (trap 11)",
        |lab| {
            let mut stage = lab.get()?;
            let other = stage.listen(Ipv4Addr::LOCALHOST)?;
            stage.perform(|stage, heard| match heard {
                Heard::Search(search) => {
                    let id = search.message.p2 ^ 0x55aa_0000;
                    stage.datagram(search.from, &found(other, SENDER, id));
                    Ok(Act::Honest)
                }
                Heard::Opened(_, 1) => Err(fail("a circuit to where nothing was searched")),
                _ => Ok(Act::Honest),
            })?;
            stage.shows(Pv::FIRST)
        },
    ),
    defect(
        "trap 1",
        "own_request_back",
        "a search that comes back is no answer (trap 1)",
        |lab| {
            answered(lab, |stage, search| {
                stage.datagram(search.from, &search.datagram);
                stage.found(search, stage.port(), SENDER);
                Ok(())
            })
        },
    ),
    check(
        "not_found",
        "NOT_FOUND in a datagram ends no search (3.13)",
        |lab| {
            answered(lab, |stage, search| {
                let id = search.message.p2;
                stage.datagram(
                    search.from,
                    &bytes::bare(Command::NOT_FOUND, 10, 13, id, id),
                );
                stage.found(search, stage.port(), SENDER);
                Ok(())
            })
        },
    ),
    check(
        "garbage",
        "datagrams that are cut, misaligned, giant or of unknown commands do no harm (2.3)",
        |lab| {
            answered(lab, |stage, search| {
                for garbage in garbage(search) {
                    stage.datagram(search.from, &garbage);
                }
                stage.found(search, stage.port(), SENDER);
                Ok(())
            })
        },
    ),
    check(
        "nobody_listens",
        "an answer that leads to a closed port is tried again within the time of the program, or the program ends in time (trap 8)",
        |lab| {
            let mut stage = lab.get()?;
            stage.perform(|stage, heard| match heard {
                Heard::Search(search) => {
                    stage.found(search, 1, SENDER);
                    Ok(Act::Silent)
                }
                _ => Ok(Act::Honest),
            })?;
            stage.shows_nothing()
        },
    ),
];

/// Lets `reply` answer searches; the program has to succeed with one circuit.
fn answered(lab: &Lab<'_>, mut reply: impl FnMut(&mut Stage, &Search) -> Verdict) -> Verdict {
    let mut stage = lab.get()?;
    stage.perform(|stage, heard| match heard {
        Heard::Search(search) => {
            reply(stage, search)?;
            Ok(Act::Silent)
        }
        _ => Ok(Act::Honest),
    })?;
    stage.shows(Pv::FIRST)?;
    ensure!(stage.circuits() == 1, "{} circuits", stage.circuits());
    Ok(())
}

fn elsewhere(lab: &Lab<'_>, ip: Ipv4Addr, address: u32) -> Verdict {
    let mut stage = lab.get()?;
    let port = stage.listen(ip)?;
    stage.perform(|stage, heard| match heard {
        Heard::Search(search) => {
            stage.found(search, port, address);
            Ok(Act::Silent)
        }
        Heard::Opened(_, 0) => Err(fail("a circuit to the port of searches")),
        _ => Ok(Act::Honest),
    })?;
    stage.shows(Pv::FIRST)
}

fn garbage(search: &Search) -> Vec<Vec<u8>> {
    let answer = found(1, SENDER, search.message.p2);
    let mut unknown = bytes::short_header(0x7777, 0, 0, 0);
    unknown.extend_from_slice(&[0xff; 16]);
    let mut all = vec![
        Vec::new(),
        vec![0xff; 15],
        unknown,
        bytes::short_header(Command::SEARCH.0, 9, 5064, 0),
        bytes::short_header(Command::SEARCH.0, 0xffff, 5064, 0),
        bytes::long_header(
            Command::SEARCH,
            5064,
            SENDER,
            search.message.p2,
            u32::MAX,
            u32::MAX,
        ),
    ];
    all.extend((1..16).map(|end| answer[..end].to_vec()));
    all
}

/// The first search of the program.
fn first(lab: &Lab<'_>) -> Verdict<Search> {
    let mut stage = lab.get()?;
    let mut found = None;
    stage.perform(|_, heard| {
        if let Heard::Search(search) = heard {
            found.get_or_insert_with(|| search.clone());
        }
        Ok(Act::Honest)
    })?;
    found.ok_or_else(|| fail("no search"))
}

fn version_first(lab: &Lab<'_>) -> Verdict {
    let search = first(lab)?;
    let Some(Ok(frame)) = datagram_frames(&search.datagram).next() else {
        return Err(fail("the datagram begins with no message"));
    };
    let version = Reply::from(&frame);
    ensure!(
        version.command == Command::VERSION && version.payload_len == 0,
        "it begins with {}",
        version.brief()
    );
    ensure!(version.count >= 11, "{}", version.brief());
    Ok(())
}

fn message(lab: &Lab<'_>) -> Verdict {
    let search = first(lab)?.message;
    let name = name_payload(&search)?;
    ensure!(name == lab.pv().as_bytes(), "the name is {name:02x?}");
    ensure!(search.p1 == search.p2, "the ids differ: {}", search.brief());
    ensure!(search.count >= 11, "minor version {}", search.count);
    ensure!(search.data_type == 5, "the flag is {}", search.data_type);
    Ok(())
}

fn whole_frames(lab: &Lab<'_>) -> Verdict {
    let datagram = first(lab)?.datagram;
    ensure!(datagram.len() <= LARGEST, "{} bytes", datagram.len());
    for frame in datagram_frames(&datagram) {
        frame.map_err(|error| fail(format!("a message in the datagram: {error}")))?;
    }
    Ok(())
}

/// When the searches of a program come that are never answered.
fn times(lab: &Lab<'_>) -> Verdict<Vec<Duration>> {
    let mut stage = lab.get()?;
    let mut times = Vec::new();
    stage.perform(|_, heard| {
        if let Heard::Search(search) = heard {
            times.push(search.at);
        }
        Ok(Act::Silent)
    })?;
    stage.shows_nothing()?;
    Ok(times)
}

fn again(lab: &Lab<'_>) -> Verdict {
    let times = times(lab)?;
    ensure!(times.len() >= 3, "{} searches only", times.len());
    ensure!(times.len() <= MOST, "{} searches", times.len());
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (first, last) = (pauses[0], pauses[pauses.len() - 1]);
    ensure!(last > first, "the pauses do not grow: {pauses:?}");
    Ok(())
}

fn never_found(lab: &Lab<'_>) -> Verdict {
    let times = times(lab)?;
    ensure!(!times.is_empty(), "no search");
    Ok(())
}
