//! Subscriptions: what is asked, odd updates, and what becomes of them when the server is lost.

use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::wire::Command;

use super::super::lab::Lab;
use super::super::pv::{Pv, value};
use super::super::stage::{Act, Heard, Stage, Sub, rights};
use super::super::{Check, check, defect};
use super::WRONG;
use crate::bytes;
use crate::verdict::{Verdict, ensure, fail};

/// Values after the first one.
const SECOND: f64 = 4812.0;
const THIRD: f64 = 4913.0;
/// Time for an update to be shown.
const SHOWN: Duration = Duration::from_secs(5);
/// Time for a lost server to be found again: a hold-off of up to 10 s, a search, a circuit.
const FOUND_AGAIN: Duration = Duration::from_secs(25);
/// Updates in a burst, which no program can show one by one at once.
const BURST: u32 = 20_000;

pub(super) const CHECKS: &[Check] = &[
    check(
        "message",
        "EVENT_ADD has 16 bytes with a mask at 12, a type from 0 to 38, the channel's count or 0 (3.2)",
        |lab| {
            let mut stage = lab.monitor()?;
            stage.perform(|_, heard| {
                let Heard::Request(_, request) = heard else {
                    return Ok(Act::Honest);
                };
                if request.command != Command::EVENT_ADD {
                    return Ok(Act::Honest);
                }
                ensure!(request.payload.len() == 16, "{}", request.brief());
                let mask = request.u16(12);
                ensure!((1..16).contains(&mask), "mask {mask:#x}");
                ensure!(
                    request.data_type <= 38 && request.count <= 1,
                    "{}",
                    request.brief()
                );
                Ok(Act::Done)
            })
        },
    ),
    check("updates", "updates are shown in their order (6)", |lab| {
        let mut stage = lab.monitor()?;
        after_first(&mut stage, |stage| {
            stage.post(SECOND);
            stage.post(THIRD);
        })?;
        stage.in_order(&[Pv::FIRST, SECOND, THIRD])
    }),
    check(
        "byte_by_byte",
        "updates whose bytes come one by one are shown (1.1)",
        |lab| {
            let mut stage = lab.monitor()?;
            stage.pieces = Some(1);
            after_first(&mut stage, |stage| {
                stage.post(SECOND);
                stage.post(THIRD);
            })
        },
    ),
    check(
        "foreign_id",
        "an update of no subscription is not shown (trap 31)",
        |lab| {
            let mut stage = lab.monitor()?;
            after_first(&mut stage, |stage| {
                for sub in stage.subs.clone() {
                    let id = sub.id ^ 0x55aa_0000;
                    update(stage, Sub { id, ..sub }, 1, &value(sub.ty, 1, WRONG));
                }
                stage.post(THIRD);
            })
        },
    ),
    check(
        "status",
        "an update with a status other than ECA_NORMAL is no value and ends nothing (6.5)",
        |lab| {
            let mut stage = lab.monitor()?;
            after_first(&mut stage, |stage| {
                for sub in stage.subs.clone() {
                    let status = EcaStatus::NORDACCESS.0;
                    update(stage, sub, status, &value(sub.ty, 1, WRONG));
                }
                stage.post(THIRD);
            })
        },
    ),
    defect(
        "10.9",
        "short",
        "an update too short for its type and count is not shown, and the program lives (trap 36)",
        |lab| {
            let mut stage = lab.monitor()?;
            seen_after(&mut stage, FOUND_AGAIN, |stage| {
                for sub in stage.subs.clone() {
                    // Who reads beyond the end finds this where a payload was before.
                    let id = sub.id ^ 0x55aa_0000;
                    let whole = value(sub.ty, 1, WRONG);
                    update(stage, Sub { id, ..sub }, 1, &whole);
                    update(stage, sub, 1, &whole[..whole.len().saturating_sub(8)]);
                }
                stage.post(THIRD);
            })
        },
    ),
    check(
        "empty",
        "an update of no bytes and no elements ends nothing (traps 32, 33)",
        |lab| {
            let mut stage = lab.monitor()?;
            after_first(&mut stage, |stage| {
                for sub in stage.subs.clone() {
                    let message = bytes::bare(Command::EVENT_ADD, sub.ty, 0, 1, sub.id);
                    stage.send(sub.circuit, &message);
                }
                stage.post(THIRD);
            })
        },
    ),
    check(
        "rights_taken",
        "access that is taken and given again ends nothing (5.2)",
        |lab| {
            let mut stage = lab.monitor()?;
            after_first(&mut stage, |stage| {
                for word in [0, 3] {
                    for (circuit, cid, _) in stage.channels.clone() {
                        stage.send(circuit, &rights(cid, word));
                    }
                }
                stage.post(THIRD);
            })
        },
    ),
    check(
        "burst",
        "the last of 20000 updates is shown; who sends EVENTS_OFF sends EVENTS_ON, too (6.8, trap 42)",
        burst,
    ),
    check(
        "cancelled",
        "a program that ends after some updates cancels or clears, and a late update does it no harm (3.3, trap 31)",
        cancelled,
    ),
];

pub(super) const LOSS: &[Check] = &[
    check(
        "closed",
        "when the server closes the circuit, the PV is searched, connected and subscribed again (5.4, traps 7, 27)",
        |lab| lost(lab, Stage::end),
    ),
    check("reset", "so it is when the circuit breaks (5.4)", |lab| {
        lost(lab, Stage::reset)
    }),
    check(
        "half_closed",
        "so it is when the server ends its own direction only (4.4)",
        |lab| lost(lab, Stage::half_close),
    ),
    check(
        "server_disconn",
        "SERVER_DISCONN ends one channel, which is searched again (3.22)",
        |lab| {
            lost(lab, |stage, circuit| {
                for (of, cid, _) in stage.channels.clone() {
                    if of == circuit {
                        let gone = bytes::bare(Command::SERVER_DISCONN, 0, 0, cid, 0);
                        stage.send(circuit, &gone);
                    }
                }
                // The server forgets the channel and its subscriptions.
                stage.forget(circuit);
            })
        },
    ),
];

fn update(stage: &mut Stage, sub: Sub, status: u32, payload: &[u8]) {
    let message = bytes::message(Command::EVENT_ADD, sub.ty, 1, status, sub.id, payload);
    stage.send(sub.circuit, &message);
}

/// Once the first value is shown, `act`; then the third value has to appear, and the wrong one must
/// not.
fn after_first(stage: &mut Stage, act: impl FnMut(&mut Stage)) -> Verdict {
    seen_after(stage, SHOWN, act)
}

fn seen_after(stage: &mut Stage, time: Duration, mut act: impl FnMut(&mut Stage)) -> Verdict {
    let mut since = None;
    stage.perform(|stage, heard| {
        stage.honest(heard);
        if stage.has_shown(THIRD) {
            return Ok(Act::Done);
        }
        match since {
            None if stage.has_shown(Pv::FIRST) && !stage.subs.is_empty() => {
                since = Some(stage.time());
                act(stage);
            }
            Some(since) => {
                let waited = stage.time() - since;
                ensure!(waited < time, "{THIRD} is not shown within {waited:.1?}");
            }
            None => {}
        }
        Ok(Act::Silent)
    })?;
    stage.ended()?;
    ensure!(
        stage.has_shown(THIRD),
        "the program ends before it shows {THIRD}"
    );
    ensure!(!stage.has_shown(WRONG), "the program shows {WRONG}");
    Ok(())
}

fn burst(lab: &Lab<'_>) -> Verdict {
    let mut stage = lab.monitor()?;
    let mut off = false;
    let mut sent = false;
    stage.perform(|stage, heard| {
        stage.honest(heard);
        if let Heard::Request(_, request) = heard {
            match request.command {
                Command::EVENTS_OFF => off = true,
                Command::EVENTS_ON => off = false,
                _ => {}
            }
        }
        if !sent && stage.has_shown(Pv::FIRST) {
            sent = true;
            for n in 0..BURST {
                stage.post(f64::from(n) / 1e6);
            }
            stage.post(THIRD);
        }
        Ok(if stage.has_shown(THIRD) && !off {
            Act::Done
        } else {
            Act::Silent
        })
    })?;
    ensure!(stage.has_shown(THIRD), "{THIRD} is not shown");
    Ok(())
}

fn cancelled(lab: &Lab<'_>) -> Verdict {
    let mut stage = lab.monitor_that_ends()?;
    let (mut ended, mut step) = (false, 0);
    stage.perform(|stage, heard| {
        let subs = stage.subs.clone();
        stage.honest(heard);
        if let Heard::Request(_, request) = heard
            && matches!(
                request.command,
                Command::EVENT_CANCEL | Command::CLEAR_CHANNEL
            )
        {
            ended = true;
            for sub in subs {
                update(stage, sub, 1, &value(sub.ty, 1, WRONG));
            }
        }
        ended |= matches!(heard, Heard::Closed(_));
        for (at, (shown, next)) in [(Pv::FIRST, SECOND), (SECOND, THIRD)]
            .into_iter()
            .enumerate()
        {
            if step == at && stage.has_shown(shown) {
                step += 1;
                stage.post(next);
            }
        }
        Ok(Act::Silent)
    })?;
    ensure!(ended, "the program ends without a word");
    stage.ended()?;
    ensure!(!stage.has_shown(WRONG), "the program shows {WRONG}");
    ensure!(stage.succeeded(), "the program does not succeed");
    Ok(())
}

/// The server is lost; it has another value when it is found again.
fn lost(lab: &Lab<'_>, mut lose: impl FnMut(&mut Stage, usize)) -> Verdict {
    let mut stage = lab.monitor()?;
    let mut subscribed = 0;
    seen_after(&mut stage, FOUND_AGAIN, |stage| {
        subscribed = stage.subs.len();
        stage.pv.value = THIRD;
        let circuits: Vec<_> = stage
            .channels
            .iter()
            .map(|(circuit, ..)| *circuit)
            .collect();
        for circuit in circuits {
            lose(stage, circuit);
        }
    })?;
    if stage.subs.len() > subscribed {
        let now = stage.subs.len();
        return Err(fail(format!(
            "{subscribed} subscriptions before, {now} behind"
        )));
    }
    Ok(())
}
