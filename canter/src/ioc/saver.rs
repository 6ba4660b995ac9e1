//! Autosave at work: a thread that writes save files, each as a whole or not at all.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ca_server_sim::autosave::{Save, Settings, Trigger, WatchedSet};
use ca_server_sim::net::SimIoc;

use super::host::date;

/// Fields that are read before clients have their turn.
const SLICE: usize = 256;
/// How often a PV that triggers is looked at if it is no value of a record, which tells of itself.
const LOOK: Duration = Duration::from_millis(500);
/// Orders that wait.
const WAITING: usize = 16;
/// After a file could not be written.
const RETRY: Duration = Duration::from_secs(60);

enum Order {
    /// These settings count; the named sets are written now.
    Settings(Box<Settings>, Vec<String>),
    /// Records that trigger have posted.
    Posted,
}

/// Records that have posted since the saver looked; at most as many as there are triggers.
type Posted = Arc<Mutex<BTreeSet<String>>>;

/// Saves the sets of an IOC until it is dropped, at last with what has changed since.
#[derive(Debug)]
pub(super) struct Saver {
    ioc: SimIoc,
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Order")
    }
}

impl Saver {
    /// Begins; `say` is told what goes wrong.
    pub(super) fn start(ioc: SimIoc, settings: Settings, say: fn(&str)) -> Self {
        let (orders, wait) = sync_channel(WAITING);
        let posted = Posted::default();
        let (notes, tell) = (posted.clone(), orders.clone());
        ioc.with(|ioc, _| {
            ioc.set_observer(move |it| {
                let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                notes.insert(it.record);
                // One who has other orders looks anyway.
                let _ = tell.try_send(Order::Posted);
            });
        });
        // Before the thread begins: what is put behind `iocInit` triggers already.
        observe(&ioc, &settings);
        let own = ioc.clone();
        let thread = std::thread::spawn(move || {
            let mut work = Work {
                ioc: own,
                settings: Settings::default(),
                sets: HashMap::new(),
                posted,
                say,
            };
            work.take(settings, &[]);
            work.run(&wait);
        });
        Self {
            ioc,
            orders: Some(orders),
            thread: Some(thread),
        }
    }

    /// Other settings; the named sets are written now. Whether there was room for the order.
    pub(super) fn update(&self, settings: Settings, now: Vec<String>) -> bool {
        observe(&self.ioc, &settings);
        let order = Order::Settings(Box::new(settings), now);
        let sent = self.orders.as_ref().map(|orders| orders.try_send(order));
        !matches!(sent, Some(Err(TrySendError::Full(_))))
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        // It holds an end of the orders, too.
        self.ioc.with(|ioc, _| ioc.set_observer(|_| {}));
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It says itself what went wrong.
            let _ = thread.join();
        }
    }
}

/// Has the records that trigger tell of what they post.
fn observe(ioc: &SimIoc, settings: &Settings) {
    for set in &settings.sets {
        observed(ioc, &set.trigger);
    }
}

/// The record that triggers, which tells of what it posts from now on; `None` if there is none, or it cannot tell.
fn observed(ioc: &SimIoc, trigger: &Trigger) -> Option<String> {
    let Trigger::Pv(pv) = trigger else {
        return None;
    };
    let record = pv.strip_suffix(".VAL").unwrap_or(pv);
    let tells = ioc.with(|ioc, _| ioc.observe(record, true)).is_ok();
    tells.then(|| record.to_owned())
}

/// What is known of a set.
#[derive(Default)]
struct State {
    /// The values that were written last.
    written: Option<String>,
    /// When it is looked at next.
    due: Option<Instant>,
    /// When the next copy is made, and its number.
    copy: Option<Instant>,
    next: Option<u32>,
    /// What the PV that triggers had.
    trigger: Option<String>,
    /// The record that tells of itself.
    record: Option<String>,
    /// The last attempt has failed, and that was told.
    failed: bool,
}

struct Work {
    ioc: SimIoc,
    settings: Settings,
    sets: HashMap<String, State>,
    posted: Posted,
    say: fn(&str),
}

impl Work {
    fn run(&mut self, orders: &Receiver<Order>) {
        loop {
            let now = Instant::now();
            let due = self.sets.values().filter_map(|state| state.due).min();
            let wait = due.map(|due| due.saturating_duration_since(now));
            let order = match wait {
                Some(wait) => orders.recv_timeout(wait),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Settings(settings, now)) => self.take(*settings, &now),
                Ok(Order::Posted) => {}
                Err(RecvTimeoutError::Timeout) => self.look(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.triggered();
        }
        // What has changed since.
        for set in self.settings.sets.clone() {
            if set.trigger != Trigger::Manual && !matches!(set.trigger, Trigger::Pv(_)) {
                self.save(&set, false);
            }
        }
    }

    fn take(&mut self, settings: Settings, now: &[String]) {
        self.settings = settings;
        let time = Instant::now();
        let mut sets: HashMap<String, State> = HashMap::new();
        for set in &self.settings.sets {
            let mut state = self.sets.remove(&set.request).unwrap_or_default();
            state.record = observed(&self.ioc, &set.trigger);
            state.due = state
                .due
                .or_else(|| time.checked_add(period(&set.trigger)?));
            sets.insert(set.request.clone(), state);
        }
        self.sets = sets;
        for set in self.settings.sets.clone() {
            if now.contains(&set.request) {
                self.save(&set, true);
            }
        }
    }

    /// Writes the sets whose records have posted.
    fn triggered(&mut self) {
        // Not held while the IOC is: whoever posts has that first.
        let posted = {
            let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *posted)
        };
        if posted.is_empty() {
            return;
        }
        for set in self.settings.sets.clone() {
            let record = self.sets.get(&set.request);
            let record = record.and_then(|state| state.record.as_ref());
            if record.is_some_and(|record| posted.contains(record)) {
                self.save(&set, true);
            }
        }
    }

    fn look(&mut self, now: Instant) {
        for set in self.settings.sets.clone() {
            let Some(state) = self.sets.get_mut(&set.request) else {
                continue;
            };
            if state.due.is_none_or(|due| due > now) {
                continue;
            }
            let period = match state.record {
                // Only copies are due.
                Some(_) => Some(Duration::from_secs(
                    self.settings.sequence_period.max(10).into(),
                )),
                None => period(&set.trigger),
            };
            state.due = period.and_then(|period| now.checked_add(period));
            match &set.trigger {
                Trigger::Change(_) => self.save(&set, false),
                Trigger::Period(_) => self.save(&set, true),
                Trigger::Pv(_) if state.record.is_some() => {}
                Trigger::Pv(pv) => {
                    let value = self.ioc.read(pv.as_str()).ok();
                    let value = value.map(|value| format!("{} {}", value.value, value.stamp));
                    let before = self
                        .sets
                        .get_mut(&set.request)
                        .map(|state| std::mem::replace(&mut state.trigger, value.clone()));
                    let before = before.flatten();
                    if before.is_some() && before != value {
                        self.save(&set, true);
                    }
                }
                Trigger::Manual => {}
            }
            self.copy(&set, now);
        }
    }

    /// Writes a set, if it has changed or must be written anyway.
    fn save(&mut self, set: &WatchedSet, anyway: bool) {
        let mut save = Save::default();
        for fields in set.fields.chunks(SLICE) {
            self.ioc.with(|ioc, _| save.add(ioc, fields));
        }
        let Some(state) = self.sets.get_mut(&set.request) else {
            return;
        };
        if !anyway && state.written.as_deref() == Some(save.values()) {
            return;
        }
        let values = save.values().to_owned();
        let now = std::time::SystemTime::now().into();
        let text = save.finish(&date(now, "%y%m%d-%H%M%S"));
        let path = Path::new(&set.file);
        let copy = format!("{}B", set.file);
        // The copy is written when the file is safe, so one of the two is whole at any time.
        match replace(path, &text).and_then(|()| replace(Path::new(&copy), &text)) {
            Ok(()) => {
                state.written = Some(values);
                if std::mem::take(&mut state.failed) {
                    (self.say)(&format!("autosave: {} is written again", set.file));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut state.failed, true) {
                    (self.say)(&format!(
                        "autosave: cannot write {}: {error}; it is tried again",
                        set.file
                    ));
                }
                state.due = state.due.map(|due| due.max(Instant::now() + RETRY));
            }
        }
    }

    /// The copies `.sav0`, `.sav1` …: the oldest is written anew.
    fn copy(&mut self, set: &WatchedSet, now: Instant) {
        let every = Duration::from_secs(self.settings.sequence_period.max(10).into());
        let count = self.settings.sequence.min(10);
        let Some(state) = self.sets.get_mut(&set.request) else {
            return;
        };
        if count == 0 || state.written.is_none() || state.copy.is_some_and(|at| at > now) {
            return;
        }
        let first = state.copy.is_none();
        state.copy = now.checked_add(every);
        if first {
            // Not at once: the file was written just now.
            return;
        }
        let number = state.next.unwrap_or_else(|| oldest(&set.file, count)) % count;
        state.next = Some(number + 1);
        let copied = fs::read(&set.file).and_then(|text| {
            let path = format!("{}{number}", set.file);
            replace(Path::new(&path), &String::from_utf8_lossy(&text))
        });
        if let Err(error) = copied {
            (self.say)(&format!("autosave: cannot copy {}: {error}", set.file));
        }
    }
}

/// When a set is looked at by itself.
fn period(trigger: &Trigger) -> Option<Duration> {
    match trigger {
        Trigger::Change(seconds) | Trigger::Period(seconds) => {
            Some(Duration::from_secs((*seconds).max(1).into()))
        }
        Trigger::Pv(_) => Some(LOOK),
        Trigger::Manual => None,
    }
}

/// The number of the copy that is missing or oldest.
fn oldest(file: &str, count: u32) -> u32 {
    let changed = |number: &u32| {
        let meta = fs::metadata(format!("{file}{number}"));
        meta.and_then(|meta| meta.modified()).ok()
    };
    (0..count).min_by_key(changed).unwrap_or(0)
}

/// Nobody sees half of it, whenever the machine stops.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = Path::new(&name);
    let written = File::create(unfinished).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(unfinished, path))
        .inspect_err(|_| drop(fs::remove_file(unfinished)))
}

/// A copy of a file that is restored: `.bu`, or with the date.
pub(super) fn keep(name: &str, dated: bool) -> io::Result<()> {
    let now = std::time::SystemTime::now().into();
    let copy = match dated {
        true => format!("{name}_{}", date(now, "%y%m%d-%H%M%S")),
        false => format!("{name}.bu"),
    };
    let text = fs::read(name)?;
    replace(Path::new(&copy), &String::from_utf8_lossy(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_that_is_missing_comes_first() {
        let folder = std::env::temp_dir().join(format!("canter-saver-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("x.sav").display().to_string();
        assert_eq!(oldest(&file, 3), 0);
        replace(Path::new(&format!("{file}0")), "a").unwrap();
        assert_eq!(oldest(&file, 3), 1);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
