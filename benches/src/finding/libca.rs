//! When libca searches for which name: a model of `searchTimer`, `udpiiu` and `disconnectGovernorTimer` of EPICS
//! Base 7.
//!
//! Fourteen timers run freely, the first every 32 ms, each of the others half as often as the one before it. A name
//! that is not answered before its timer expires moves to the next one. A timer sends so many datagrams when it
//! expires: twice as many, up to a threshold, after all names were answered, and a single one after a name was not.
//! When all are answered it expires at once if more are waiting. Lost channels wait for the governor, which lets
//! them go every ten seconds. Here, answers come at once and nothing is lost on the way: libca at its best.

use std::collections::VecDeque;
use std::time::Duration;

use super::{CALM, Cost, Costs, Plant};

/// Bytes of a datagram with searches.
const DATAGRAM: usize = 1024;
/// Bytes of the version at its beginning, and of a search without its name.
const HEADER: usize = 16;
const PERIOD: Duration = Duration::from_millis(32);
const TIMERS: usize = 14;
const MAX_FRAMES: f64 = 64.0;
const GOVERNOR: Duration = Duration::from_secs(10);

/// What libca takes.
pub fn libca(plant: &Plant) -> Costs {
    let mut model = Model::new(plant);
    model.timers[0].pending = (0..plant.names).collect();
    let cold = model.run(Duration::ZERO);
    let cut = cold.last + CALM;
    model.run_until(cut);
    // Lost channels are let go at the governor's next tick; servers are back one after the other.
    model.lost = (0..plant.names)
        .filter(|&name| plant.server(name).is_some())
        .collect();
    model.missing = model.lost.len();
    model.back = (0..plant.servers)
        .map(|server| cut + plant.back(server))
        .collect();
    model.governor = next_tick(cut, GOVERNOR);
    let storm = model.run(cut);
    Costs {
        cold,
        storm,
        warm: cold,
    }
}

#[derive(Debug)]
struct Timer {
    period: Duration,
    due: Duration,
    pending: VecDeque<usize>,
    /// Names without an answer since it last expired.
    waiting: Vec<usize>,
    attempts: usize,
    responses: usize,
    frames: f64,
    threshold: f64,
}

#[derive(Debug)]
struct Model<'a> {
    plant: &'a Plant,
    timers: Vec<Timer>,
    /// When each server is there.
    back: Vec<Duration>,
    lost: Vec<usize>,
    governor: Duration,
    /// Names that exist and are not found.
    missing: usize,
    datagrams: u64,
    bytes: u64,
}

/// The first tick of a timer that runs freely.
fn next_tick(after: Duration, period: Duration) -> Duration {
    let ticks = after.as_nanos() / period.as_nanos() + 1;
    // Below a million seconds.
    Duration::from_nanos((ticks * period.as_nanos()) as u64)
}

impl<'a> Model<'a> {
    fn new(plant: &'a Plant) -> Self {
        let timer = |index: usize| Timer {
            period: PERIOD * (1 << index),
            due: PERIOD * (1 << index),
            pending: VecDeque::new(),
            waiting: Vec::new(),
            attempts: 0,
            responses: 0,
            frames: 1.0,
            threshold: f64::INFINITY,
        };
        Self {
            plant,
            timers: (0..TIMERS).map(timer).collect(),
            back: vec![Duration::ZERO; plant.servers],
            lost: Vec::new(),
            governor: Duration::MAX,
            missing: (0..plant.names)
                .filter(|&name| plant.server(name).is_some())
                .count(),
            datagrams: 0,
            bytes: 0,
        }
    }

    /// Until all that exist are found.
    fn run(&mut self, from: Duration) -> Cost {
        let before = (self.datagrams, self.bytes);
        let mut now = from;
        while self.missing > 0 {
            now = self.step();
        }
        Cost {
            datagrams: self.datagrams - before.0,
            bytes: self.bytes - before.1,
            last: now - from,
        }
    }

    fn run_until(&mut self, end: Duration) {
        while self.next().1 < end {
            self.step();
        }
    }

    /// The timer that expires next, and when.
    fn next(&self) -> (usize, Duration) {
        let due = self.timers.iter().map(|timer| timer.due).enumerate();
        due.min_by_key(|&(index, due)| (due, index))
            .unwrap_or_default()
    }

    fn step(&mut self) -> Duration {
        let (index, now) = self.next();
        if self.governor <= now {
            let now = std::mem::replace(&mut self.governor, Duration::MAX);
            self.timers[0].pending.extend(self.lost.drain(..));
            return now;
        }
        self.expire(index, now);
        now
    }

    fn expire(&mut self, index: usize, now: Duration) {
        let next = (index + 1).min(TIMERS - 1);
        let unanswered = std::mem::take(&mut self.timers[index].waiting);
        self.timers[next].pending.extend(unanswered);
        let timer = &mut self.timers[index];
        timer.adapt();
        let mut frames = 0u32;
        while f64::from(frames) < timer.frames && !timer.pending.is_empty() {
            let mut bytes = HEADER;
            while let Some(&name) = timer.pending.front() {
                let search = HEADER + (Plant::name(name).len() + 1).next_multiple_of(8);
                if bytes + search > DATAGRAM {
                    break;
                }
                bytes += search;
                timer.pending.pop_front();
                timer.attempts += 1;
                match self.plant.server(name) {
                    Some(server) if self.back[server] <= now => {
                        timer.responses += 1;
                        self.missing -= 1;
                    }
                    _ => timer.waiting.push(name),
                }
            }
            frames += 1;
            let copies = self.plant.networks() as u64;
            self.datagrams += copies;
            self.bytes += copies * bytes as u64;
        }
        let at_once = timer.responses == timer.attempts && !timer.pending.is_empty();
        timer.due = match at_once && timer.attempts > 0 {
            true => now,
            false => now + timer.period,
        };
    }
}

impl Timer {
    fn adapt(&mut self) {
        if self.attempts > 0 {
            if self.responses == self.attempts {
                self.frames = match self.frames < self.threshold {
                    true => (2.0 * self.frames).min(self.threshold),
                    false => self.frames + 1.0 / self.frames,
                }
                .min(MAX_FRAMES);
            } else {
                self.threshold = self.frames / 2.0;
                self.frames = 1.0;
            }
        }
        (self.attempts, self.responses) = (0, 0);
    }
}
