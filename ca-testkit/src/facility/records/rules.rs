//! What has to hold between the records of a group: a small model that knows nothing of records, links and scans.

use core::time::Duration;

use ca_proto::Instant;

use super::groups::{ALARMS, Group, How, Middle, PERIODS, SINK, SOURCE, TERMS};
use super::{Entry, Record, Records, Truth};

/// Indices of SCAN.
const EVENT: f64 = 1.0;
const FIRST_PERIOD: f64 = 3.0;

/// Time in which a chain has come to its end, and to that of what it has set in motion again: what is put while a
/// record of the chain is busy has that processed once more, and does not wait for it (as in `dbNotify.c`).
const CHAIN: Duration = Duration::from_secs(3);

/// Reads a field of a record at its IOC; `None` while that is off.
pub(crate) type Read<'a> = dyn Fn(usize, &str) -> Option<Truth> + 'a;

/// The part of an array that a channel sees. An end that lies before the first element is the first, as in the
/// reference (`wrapArrayIndices`).
pub(crate) fn slice(all: &[f64], first: i64, step: i64, last: i64) -> Vec<f64> {
    let len = all.len() as i64;
    let place = |n: i64| if n < 0 { n + len } else { n };
    let (first, last) = (place(first).max(0), place(last).max(0).min(len - 1));
    let mut part = Vec::new();
    let mut at = first;
    while at <= last {
        part.push(all[at as usize]);
        at += step;
    }
    part
}

impl Records {
    /// What does not hold, now that nothing is under way. `steady` says that all modes are the usual ones and that
    /// all was written since.
    pub(crate) fn hold(&self, read: &Read<'_>, steady: bool) -> Result<(), String> {
        for (ioc, groups) in self.groups.iter().enumerate() {
            for (number, group) in groups.iter().enumerate() {
                self.group_holds(ioc, number, *group, read, steady)?;
            }
        }
        Ok(())
    }

    fn group_holds(
        &self,
        ioc: usize,
        number: usize,
        group: Group,
        read: &Read<'_>,
        steady: bool,
    ) -> Result<(), String> {
        let name = |part: &str| format!("r{ioc}:{number}:{part}");
        let get = |part: &str| read(ioc, &name(part));
        let number_of = |part: &str| get(part).map(|value| value.number());
        match group {
            Group::Sum { how, term } => {
                let b = match how {
                    How::Abroad => {
                        let next = self.next(ioc);
                        read(next, &format!("r{next}:{SOURCE}")).map(|value| value.number())
                    }
                    _ => number_of("b"),
                };
                let (Some(a), Some(b), Some(s)) = (number_of("a"), b, number_of("s")) else {
                    return Ok(());
                };
                if how == How::Forward && !steady && self.is_untouched(ioc, number, &["a", "b"]) {
                    // Nothing but the start has processed it, which may have been before its inputs.
                    return Ok(());
                }
                let (text, term) = TERMS[usize::from(term)];
                let expected = term(a, b);
                if s.to_bits() != expected.to_bits() {
                    return Err(format!(
                        "{} is {s}, where {text} of {a} and {b} is {expected}",
                        name("s")
                    ));
                }
                let severity = f64::from(u8::from(s >= ALARMS.0) + u8::from(s >= ALARMS.1));
                same(number_of("s.SEVR"), severity, &name("s.SEVR"))
            }
            Group::Chain { middle } => {
                let (Some(head), Some(done)) = (number_of("head"), number_of("done")) else {
                    return Ok(());
                };
                if steady && head.to_bits() != done.to_bits() {
                    return Err(format!("{} is {done}, its head {head}", name("done")));
                }
                let next = self.next(ioc);
                if steady
                    && middle == Middle::Abroad
                    && let Some(sink) = read(next, &format!("r{next}:{SINK}"))
                {
                    // The last of those that write there.
                    let heads = self.all.iter().filter(|record| record.part == "head");
                    let heads = heads.map(|record| read(record.ioc, &record.name));
                    if !heads.flatten().any(|head| head.is(&sink)) {
                        return Err(format!("r{next}:{SINK} is {sink:?}, which no head is"));
                    }
                }
                Ok(())
            }
            Group::Wave { first, count } => {
                let (Some(Truth::Numbers(w)), Some(part)) = (get("w"), get("part")) else {
                    return Ok(());
                };
                let last = i64::from(first) + i64::from(count) - 1;
                let expected = Truth::Numbers(slice(&w, first.into(), 1, last));
                if !w.is_empty() && !expected.is(&part) && w.len() > usize::from(first) {
                    return Err(format!("{} is {part:?} of {w:?}", name("part")));
                }
                same(number_of("w.NORD"), w.len() as f64, &name("w.NORD"))
            }
            Group::Simulated if steady => {
                let simulated = number_of("x.SIMM") == Some(1.0);
                let from = if simulated { "src" } else { "real" };
                let Some(expected) = number_of(from) else {
                    return Ok(());
                };
                same(number_of("x"), expected, &name("x"))?;
                same(
                    number_of("x.SEVR"),
                    if simulated { 1.0 } else { 0.0 },
                    &name("x.SEVR"),
                )
            }
            Group::Simulated | Group::Text | Group::Counter { .. } => Ok(()),
        }
    }

    fn is_untouched(&self, ioc: usize, group: usize, parts: &[&str]) -> bool {
        let mut all = parts.iter().map(|part| self.find(ioc, group, part));
        all.all(|record| self.all[record].life().len() == 1)
    }

    /// Whether a counter counts on each event now.
    pub(crate) fn counts_events(record: &Record, read: &Read<'_>) -> bool {
        let field = |field: &str| {
            let value = read(record.ioc, &format!("{}.{field}", record.name));
            value.map(|value| value.number())
        };
        record.part == "n" && field("SCAN") == Some(EVENT)
    }

    /// Whether a counter has counted at its period, and at no other time, since `from`.
    pub(crate) fn kept_time(
        &self,
        record: &Record,
        read: &Read<'_>,
        from: Instant,
        now: Instant,
    ) -> Result<(), String> {
        let Some(scan) = read(record.ioc, &format!("{}.SCAN", record.name)) else {
            return Ok(());
        };
        let counted = record.book.iter().filter(|entry| entry.at > from);
        let counted: Vec<&Entry> = counted.collect();
        let period = scan.number() - FIRST_PERIOD;
        let period = PERIODS
            .iter()
            .enumerate()
            .find(|&(n, _)| n as f64 == period)
            .map(|(_, period)| Duration::from_millis(period.1));
        let Some(period) = period else {
            return match counted.len() {
                0 => Ok(()),
                n => Err(format!("{} has counted {n}, unasked", record.name)),
            };
        };
        let wrong = counted
            .windows(2)
            .find(|pair| pair[1].at - pair[0].at != period);
        if let Some(pair) = wrong {
            return Err(format!(
                "{} has counted at {} and {}, at a period of {period:?}",
                record.name, pair[0].at, pair[1].at
            ));
        }
        let expected = (now - from).as_nanos() / period.as_nanos();
        let counted = counted.len() as u128;
        if counted < expected || counted > expected + 1 {
            return Err(format!(
                "{} has counted {counted} times in {:?}, at a period of {period:?}",
                record.name,
                now - from
            ));
        }
        Ok(())
    }

    /// A put of a number to a head is complete: if it was alone, its chain has come to its end.
    pub(crate) fn chain_ended(&self, ioc: usize, group: usize, number: f64) -> Result<(), String> {
        let head = &self.all[self.find(ioc, group, "head")];
        let done = &self.all[self.find(ioc, group, "done")];
        let life = head.life();
        let is = |entry: &&Entry| entry.value.number().to_bits() == number.to_bits();
        let Some(place) = life.iter().position(|entry| is(&entry)) else {
            return match self.groups[ioc][group] {
                // While it waits for the other IOC another put may take its place.
                Group::Chain {
                    middle: Middle::Abroad,
                } => Ok(()),
                _ => Err(format!(
                    "the put of {number} to {} is complete and was never done",
                    head.name
                )),
            };
        };
        let began = life[place].at;
        let quiet = place == 0 || life[place - 1].begins || life[place - 1].at + CHAIN < began;
        let alone = quiet && place + 1 == life.len();
        let ended = done.life().last().is_some_and(|entry| is(&entry));
        if alone && !ended {
            let last = done.life().last();
            return Err(format!(
                "the put of {number} to {} is complete, {} has {last:?}",
                head.name, done.name
            ));
        }
        Ok(())
    }

    /// A put of a number to a head is complete: what it wrote to the next IOC has arrived there.
    pub(crate) fn arrived(&self, ioc: usize, group: usize, number: f64) -> Result<(), String> {
        let abroad = Group::Chain {
            middle: Middle::Abroad,
        };
        if self.groups[ioc][group] != abroad {
            return Ok(());
        }
        let sink = format!("r{}:{SINK}", self.next(ioc));
        let sink = self.all.iter().find(|record| record.name == sink);
        let values = sink.into_iter().flat_map(Record::life);
        let mut values = values.map(|entry| entry.value.number().to_bits());
        if values.any(|value| value == number.to_bits()) {
            return Ok(());
        }
        Err(format!(
            "the put of {number} to r{ioc}:{group}:head is complete and has not arrived at the next IOC"
        ))
    }
}

fn same(value: Option<f64>, expected: f64, name: &str) -> Result<(), String> {
    match value {
        Some(value) if value.to_bits() != expected.to_bits() => {
            Err(format!("{name} is {value}, expected is {expected}"))
        }
        _ => Ok(()),
    }
}
