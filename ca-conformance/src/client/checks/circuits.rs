//! Circuits: how they begin, how silence is told from death, how they end.

use std::time::Duration;

use ca_proto::wire::Command;

use super::super::lab::Lab;
use super::super::pv::Pv;
use super::super::stage::{Act, Heard};
use super::super::{Check, check, defect};
use super::{name_payload, works_with};
use crate::bare::Reply;
use crate::bytes;
use crate::verdict::{Verdict, ensure};

/// Silence after which the programs of these checks probe a circuit, in seconds.
const QUIET: &str = "1";
/// Time from there to a circuit that counts as unresponsive: 5 s (`CA_ECHO_TIMEOUT`), and some more.
const UNRESPONSIVE: Duration = Duration::from_millis(6500);
/// The value after an unresponsive period.
const LATER: f64 = 4813.0;

pub(super) const CHECKS: &[Check] = &[
    check(
        "version_first",
        "a circuit begins with VERSION of minor version 13 (4.2, trap 21)",
        |lab| {
            let first = requests(lab)?.swap_remove(0);
            ensure!(
                first.command == Command::VERSION && first.count == 13 && first.payload_len == 0,
                "it begins with {}",
                first.brief()
            );
            ensure!(first.data_type <= 99, "priority {}", first.data_type);
            Ok(())
        },
    ),
    check(
        "names",
        "CLIENT_NAME and HOST_NAME come before the first channel, with NUL and zeros (4.2)",
        names,
    ),
    check(
        "does_not_wait",
        "CREATE_CHAN does not wait for the server's VERSION (trap 22)",
        |lab| {
            let mut stage = lab.get()?;
            stage.perform(|stage, heard| match heard {
                Heard::Opened(..) => Ok(Act::Silent),
                Heard::Request(circuit, request) if request.command == Command::CREATE_CHAN => {
                    stage.send(*circuit, &bytes::version(0, 13));
                    Ok(Act::Honest)
                }
                _ => Ok(Act::Honest),
            })?;
            stage.shows(Pv::FIRST)
        },
    ),
    check(
        "byte_by_byte",
        "a stream may be cut anywhere: single bytes (1.1)",
        |lab| {
            let mut stage = lab.get()?;
            stage.pieces = Some(1);
            stage.serve()?;
            stage.shows(Pv::FIRST)
        },
    ),
    check(
        "unasked_echo",
        "an ECHO that was not asked for is ignored (trap 25)",
        |lab| {
            works_with(
                &mut lab.get()?,
                Command::CREATE_CHAN,
                |stage, circuit, _| {
                    stage.send(circuit, &bytes::bare(Command::ECHO, 0, 0, 0, 0));
                    Ok(Act::Honest)
                },
            )
        },
    ),
    check("version_twice", "VERSION again is ignored (3.1)", |lab| {
        works_with(
            &mut lab.get()?,
            Command::READ_NOTIFY,
            |stage, circuit, _| {
                stage.send(circuit, &bytes::version(0, 13));
                Ok(Act::Honest)
            },
        )
    }),
    check(
        "closed_at_once",
        "a circuit that ends at once gives no value; the program ends in time (trap 8)",
        |lab| {
            let mut stage = lab.get()?;
            stage.perform(|stage, heard| match heard {
                Heard::Opened(circuit, _) => {
                    stage.end(*circuit);
                    Ok(Act::Silent)
                }
                _ => Ok(Act::Honest),
            })?;
            stage.shows_nothing()
        },
    ),
    check(
        "never_speaks",
        "a server that accepts and never says a word holds no program up",
        |lab| {
            let mut stage = lab.get()?;
            stage.perform(|_, heard| {
                let answered = matches!(heard, Heard::Search(_) | Heard::Closed(_));
                Ok(if answered { Act::Honest } else { Act::Silent })
            })?;
            stage.shows_nothing()
        },
    ),
    defect(
        "8",
        "never_closes",
        "a server that does not end its side of a circuit holds no program up (8)",
        |lab| {
            let mut stage = lab.get()?;
            stage.perform(|_, heard| {
                let closed = matches!(heard, Heard::Closed(_));
                Ok(if closed { Act::Silent } else { Act::Honest })
            })?;
            stage.shows(Pv::FIRST)
        },
    ),
];

pub(super) const ECHO: &[Check] = &[
    check(
        "echo_when_quiet",
        "a circuit that is quiet for EPICS_CA_CONN_TMO is probed by ECHO (4.6)",
        |lab| {
            let mut stage = lab.monitor_with(&[("EPICS_CA_CONN_TMO", QUIET.into())])?;
            let mut since = None;
            stage.perform(|stage, heard| match heard {
                Heard::Request(_, request) if request.command == Command::ECHO => {
                    ensure!(request.payload_len == 0, "{}", request.brief());
                    Ok(Act::Done)
                }
                Heard::Request(_, request) if request.command == Command::EVENT_ADD => {
                    since = Some(stage.time());
                    Ok(Act::Honest)
                }
                _ => {
                    let quiet = since.map_or(Duration::ZERO, |since| stage.time() - since);
                    ensure!(
                        quiet < UNRESPONSIVE,
                        "no ECHO after {quiet:.1?} without a word"
                    );
                    Ok(Act::Honest)
                }
            })
        },
    ),
    check(
        "echo_unanswered",
        "a server that does not answer ECHO and comes back later is used again, on the same circuit or another (4.8, trap 26)",
        unanswered,
    ),
];

/// What the program sends on its circuit.
fn requests(lab: &Lab<'_>) -> Verdict<Vec<Reply>> {
    let mut stage = lab.get()?;
    let mut all = Vec::new();
    stage.perform(|_, heard| {
        if let Heard::Request(_, request) = heard {
            all.push(request.clone());
        }
        Ok(Act::Honest)
    })?;
    ensure!(!all.is_empty(), "the program sends nothing");
    Ok(all)
}

fn names(lab: &Lab<'_>) -> Verdict {
    let all = requests(lab)?;
    let place = |command: Command| all.iter().position(|m| m.command == command);
    let channel = place(Command::CREATE_CHAN).unwrap_or(all.len());
    for command in [Command::CLIENT_NAME, Command::HOST_NAME] {
        let at = place(command).unwrap_or(all.len());
        ensure!(at < channel, "no {command} before CREATE_CHAN");
        let name = name_payload(&all[at])?;
        ensure!(!name.is_empty(), "{command} is empty");
    }
    Ok(())
}

fn unanswered(lab: &Lab<'_>) -> Verdict {
    let mut stage = lab.monitor_with(&[("EPICS_CA_CONN_TMO", QUIET.into())])?;
    let mut waits: Option<(Duration, usize, Reply)> = None;
    let mut back = false;
    stage.perform(|stage, heard| {
        if stage.has_shown(LATER) {
            return Ok(Act::Done);
        }
        if let Some((since, circuit, echo)) = &waits
            && !back
            && stage.time() - *since > UNRESPONSIVE
        {
            back = true;
            stage.pv.value = LATER;
            // Whoever kept the circuit hears the echo; whoever gave it up has opened another.
            let (circuit, echo) = (*circuit, echo.clone());
            stage.honest(&Heard::Request(circuit, echo));
            stage.post(LATER);
            return Ok(Act::Honest);
        }
        match heard {
            Heard::Request(circuit, request) if request.command == Command::ECHO && !back => {
                let now = stage.time();
                waits.get_or_insert_with(|| (now, *circuit, request.clone()));
                Ok(Act::Silent)
            }
            Heard::Tick => {
                let patience = UNRESPONSIVE * 3;
                let waited = waits
                    .as_ref()
                    .map_or(Duration::ZERO, |w| stage.time() - w.0);
                ensure!(
                    waited < patience,
                    "{LATER} is not shown {waited:.1?} after the ECHO"
                );
                Ok(Act::Honest)
            }
            _ => Ok(Act::Honest),
        }
    })
}
