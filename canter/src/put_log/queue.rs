//! What waits to be written, between the IOC, which never waits, and the thread that writes.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ca_proto::Timestamp;

use super::entry::{Entry, Kind, Record, Span};

/// Lines about puts that were carried out, or will be, that wait: at most 14 MB of them.
pub(super) const MAX_EXECUTED: usize = 4096;
/// Lines about refused puts that wait.
const MAX_REFUSED: usize = 512;
/// Refused puts of a host that are listed in a period; further ones are counted.
pub(super) const MAX_LISTED: u64 = 100;
/// Hosts whose refused puts are counted apart; those of further hosts are counted together.
pub(super) const MAX_HOSTS: usize = 64;
/// Time after which the counts of refused puts are written.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// Lines that are written at once.
const MAX_BATCH: usize = 256;
/// Time after which a file that takes nothing counts as one that cannot be written.
pub(super) const STUCK: Duration = Duration::from_secs(5);
/// Pause between two complaints that lines are missing.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// Tells the user at once; does not block.
pub(super) type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// The queue. Its lock is held for moments only.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether puts are refused while they cannot be logged.
    required: bool,
    tell: Tell,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Record>,
    /// Lines that wait or are being written.
    executed: usize,
    refused: usize,
    /// Lines to come about puts that are under way, for which room is kept if the log is required; by the
    /// number of the put. As many as circuits may have.
    owed: BTreeMap<u64, u8>,
    owed_in_all: usize,
    /// What could not be kept since the last line.
    missing: Option<Span>,
    hosts: Hosts,
    /// Counts of refused puts that wait.
    sums: usize,
    /// Why nothing can be written.
    failing: Option<String>,
    /// When the thread began to write what it writes.
    writing: Option<Instant>,
    /// That it is stuck was told.
    stuck: bool,
    /// When it may be complained again.
    complain_at: Option<Instant>,
    /// Lines that were written, to see that there is progress.
    written: u64,
    closed: bool,
    /// The thread has ended.
    done: bool,
    /// In all.
    missing_in_all: u64,
    refused_in_all: u64,
}

/// Refused puts of a period.
#[derive(Default)]
struct Hosts {
    until: Option<Instant>,
    hosts: BTreeMap<Ipv4Addr, Host>,
    others: Host,
}

#[derive(Default)]
struct Host {
    listed: u64,
    more: Option<Span>,
}

impl Hosts {
    fn host(&mut self, ip: Ipv4Addr) -> &mut Host {
        match self.hosts.len() < MAX_HOSTS || self.hosts.contains_key(&ip) {
            true => self.hosts.entry(ip).or_default(),
            false => &mut self.others,
        }
    }

    /// Goes on to count, as what was counted cannot be written.
    fn go_on(&mut self, until: Instant) {
        self.until = Some(until);
        for host in self.hosts.values_mut().chain([&mut self.others]) {
            host.listed = 0;
        }
    }

    /// Begins a new period; the counts of the last one.
    fn take(&mut self) -> impl Iterator<Item = Record> + use<> {
        let Self { hosts, others, .. } = std::mem::take(self);
        let hosts = hosts.into_iter().map(|(ip, host)| (Some(ip), host.more));
        let all = hosts.chain([(None, others.more)]);
        all.filter_map(|(host, more)| Some(Record::Refused(host, more?)))
    }
}

/// What did not get into the log.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Left {
    /// Lines that waited to the end, and why.
    pub(super) unwritten: u64,
    pub(super) why: Option<String>,
    /// Lines that there was no room for.
    pub(super) missing: u64,
    /// Refused puts that are counted in the log in place of lines of their own.
    pub(super) refused: u64,
}

/// What the thread has to do.
pub(super) enum Next {
    Write(Vec<Record>),
    End,
}

impl Queue {
    pub(super) fn new(required: bool, tell: Tell) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            required,
            tell,
        }
    }

    pub(super) const fn is_required(&self) -> bool {
        self.required
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a put can be logged now, with all lines that it may need.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let mut state = self.lock();
        self.look_whether_stuck(&mut state, now);
        let room = state.executed + state.owed_in_all + 3 <= MAX_EXECUTED;
        if !room && state.failing.is_none() {
            self.complain(&mut state, now, "the queue is full, puts are refused");
        }
        room && state.failing.is_none() && !state.stuck
    }

    /// Counts a refused put of a host, if it has had its lines; false if it is to be [pushed](Self::push).
    pub(super) fn only_counts(&self, host: Ipv4Addr, stamp: Timestamp, now: Instant) -> bool {
        let mut state = self.lock();
        self.look_whether_stuck(&mut state, now);
        state.only_counts(host, stamp, now)
    }

    /// Takes a report over, or counts it.
    pub(super) fn push(&self, entry: Entry, now: Instant) {
        let mut state = self.lock();
        self.look_whether_stuck(&mut state, now);
        match entry.kind {
            Kind::Refused if state.only_counts(*entry.peer.ip(), entry.stamp, now) => {}
            Kind::Refused => state.push_refused(entry),
            Kind::Last | Kind::More(_) => {
                if self.required {
                    state.owe(&entry);
                }
                self.push_executed(&mut state, entry, now);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn push_executed(&self, state: &mut State, entry: Entry, now: Instant) {
        let needed = 1 + usize::from(state.missing.is_some());
        if state.executed + needed > MAX_EXECUTED {
            Span::add(&mut state.missing, entry.stamp);
            state.missing_in_all += 1;
            let what = "it is not written fast enough: lines about puts are missing";
            self.complain(state, now, what);
            return;
        }
        let missing = state.missing.take().map(Record::Missing);
        state.executed += needed;
        state.waiting.extend(missing);
        state.waiting.push_back(Record::Put(Box::new(entry)));
    }

    fn complain(&self, state: &mut State, now: Instant, what: &str) {
        if state.complain_at.is_none_or(|at| at <= now) {
            state.complain_at = Some(now + COMPLAINTS);
            (self.tell)(what);
        }
    }

    fn look_whether_stuck(&self, state: &mut State, now: Instant) {
        let since = state.writing.filter(|_| !state.stuck);
        if since.is_some_and(|since| now.saturating_duration_since(since) >= STUCK) {
            state.stuck = true;
            let then = match self.required {
                true => "puts are refused",
                false => "puts wait to be written",
            };
            (self.tell)(&format!("nothing is taken since {STUCK:?}; {then}"));
        }
    }

    /// What is to be written next; waits for it.
    pub(super) fn next(&self) -> Next {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let batch = state.batch(now);
            if !batch.is_empty() {
                state.writing = Some(now);
                return Next::Write(batch);
            }
            if state.closed {
                return Next::End;
            }
            let rest = state.hosts.until.map(|until| until - now);
            state = match rest {
                Some(rest) => {
                    let waited = self.changed.wait_timeout(state, rest);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// Some records of a batch were written; true if nothing could be written before.
    pub(super) fn written(&self, records: &[Record], is_all: bool) -> bool {
        let mut state = self.lock();
        for record in records {
            match record {
                Record::Put(entry) if entry.kind == Kind::Refused => state.refused -= 1,
                Record::Put(_) | Record::Missing(_) => state.executed -= 1,
                Record::Refused(..) => {}
            }
        }
        state.written += records.len() as u64;
        state.writing = (!is_all).then(Instant::now);
        state.stuck = false;
        let failed = state.failing.take().is_some();
        drop(state);
        self.changed.notify_all();
        failed
    }

    /// Nothing can be written now; true if that is new.
    pub(super) fn fails(&self, why: String) -> bool {
        let mut state = self.lock();
        state.writing = None;
        let is_new = state.failing.as_ref() != Some(&why);
        state.failing = Some(why);
        is_new
    }

    /// Waits before another attempt; false if there is to be none, as the program ends.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let start = Instant::now();
        let mut state = self.lock();
        while !state.closed {
            let Some(rest) = time.checked_sub(start.elapsed()) else {
                return true;
            };
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// The thread ends.
    pub(super) fn ends(&self) {
        self.lock().done = true;
        self.changed.notify_all();
    }

    /// Nothing more comes: waits until everything is written, or until nothing was for this time.
    pub(super) fn finish(&self, limit: Duration) -> Left {
        let mut state = self.lock();
        state.closed = true;
        self.changed.notify_all();
        let (mut written, mut start) = (state.written, Instant::now());
        while !state.done {
            if state.written != written {
                (written, start) = (state.written, Instant::now());
            }
            let Some(rest) = limit.checked_sub(start.elapsed()) else {
                break;
            };
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Left {
            unwritten: (state.executed + state.refused) as u64,
            why: state.failing.clone(),
            missing: state.missing_in_all,
            refused: state.refused_in_all,
        }
    }
}

impl State {
    fn only_counts(&mut self, host: Ipv4Addr, stamp: Timestamp, now: Instant) -> bool {
        self.sum_up(now);
        self.hosts.until.get_or_insert(now + PERIOD);
        let host = self.hosts.host(host);
        let is_over = host.listed >= MAX_LISTED || self.refused >= MAX_REFUSED;
        if is_over {
            Span::add(&mut host.more, stamp);
            self.refused_in_all += 1;
        }
        is_over
    }

    /// Takes over what was not only counted.
    fn push_refused(&mut self, entry: Entry) {
        self.hosts.host(*entry.peer.ip()).listed += 1;
        self.refused += 1;
        self.waiting.push_back(Record::Put(Box::new(entry)));
    }

    /// Keeps room for the lines that follow this one.
    fn owe(&mut self, entry: &Entry) {
        let (before, follow) = match entry.kind {
            Kind::More(follow) => (self.owed.insert(entry.id, follow), follow),
            Kind::Last => (self.owed.remove(&entry.id), 0),
            Kind::Refused => return,
        };
        self.owed_in_all -= usize::from(before.unwrap_or(0));
        self.owed_in_all += usize::from(follow);
    }

    /// Lets the counts of refused puts be written, if their period is over and those of the last one are on
    /// their way.
    fn sum_up(&mut self, now: Instant) {
        let is_over = self.closed || self.hosts.until.is_some_and(|until| until <= now);
        if !is_over {
            return;
        }
        if self.sums > 0 {
            self.hosts.go_on(now + PERIOD);
            return;
        }
        let before = self.waiting.len();
        self.waiting.extend(self.hosts.take());
        self.sums = self.waiting.len() - before;
    }

    fn batch(&mut self, now: Instant) -> Vec<Record> {
        self.sum_up(now);
        let end = self.waiting.len().min(MAX_BATCH);
        let mut batch: Vec<Record> = self.waiting.drain(..end).collect();
        let is_sum = |record: &&Record| matches!(record, Record::Refused(..));
        self.sums -= batch.iter().filter(is_sum).count();
        // What is missing came when everything that waited was there already.
        if self.waiting.is_empty()
            && let Some(missing) = self.missing.take()
        {
            self.executed += 1;
            batch.push(Record::Missing(missing));
        }
        batch
    }
}
