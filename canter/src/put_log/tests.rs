//! The log with ends that fail, block, or are small.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::entry::{Entry, Kind, Record};
use super::file::{Rotation, Target};
use super::queue::{Left, MAX_EXECUTED, MAX_HOSTS, MAX_LISTED, PERIOD, Queue, STUCK, Tell};
use super::writer;

const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(1);
const HERE: [u8; 4] = [127, 0, 0, 1];

/// What an end does with the next text.
enum Order {
    /// Takes so many bytes of it.
    Take(usize),
    Fail(io::ErrorKind),
}

/// An end that does what it is ordered to do, and takes everything once there are no orders any more.
struct End {
    orders: Receiver<Order>,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Write for End {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let most = match self.orders.recv() {
            Ok(Order::Take(most)) => most.min(text.len()),
            Ok(Order::Fail(kind)) => return Err(kind.into()),
            Err(_) => text.len(),
        };
        self.taken.lock().unwrap().extend_from_slice(&text[..most]);
        Ok(most)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Log {
    queue: Arc<Queue>,
    orders: Option<Sender<Order>>,
    taken: Arc<Mutex<Vec<u8>>>,
    told: Receiver<String>,
    now: Instant,
}

impl Log {
    fn new(required: bool) -> Self {
        let (orders, receive) = channel();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let end = End {
            orders: receive,
            taken: Arc::clone(&taken),
        };
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let tell: Tell = Arc::new(move |what: &str| {
            let _ = tell.lock().unwrap().send(what.to_owned());
        });
        let queue = Arc::new(Queue::new(required, Arc::clone(&tell)));
        writer::start(Arc::clone(&queue), Target::stream(end), tell, SOON).unwrap();
        Self {
            queue,
            orders: Some(orders),
            taken,
            told,
            now: Instant::now(),
        }
    }

    fn order(&self, order: Order) {
        self.orders.as_ref().unwrap().send(order).unwrap();
    }

    fn push(&self, kind: Kind, host: [u8; 4], id: u64) {
        self.queue.push(Entry::example(kind, host, id), self.now);
    }

    fn done(&self, id: u64) {
        self.push(Kind::Last, HERE, id);
    }

    #[track_caller]
    fn tells(&self, part: &str) {
        loop {
            let what = self.told.recv_timeout(PATIENCE).expect("more is told");
            if what.contains(part) {
                return;
            }
        }
    }

    /// Lets everything be written, and looks at it.
    fn end(&mut self) -> (Left, Vec<Json>) {
        self.orders = None;
        let left = self.queue.finish(PATIENCE);
        let text = String::from_utf8(self.taken.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        (left, lines.collect())
    }
}

const NOTHING: Left = Left {
    unwritten: 0,
    why: None,
    missing: 0,
    refused: 0,
};

fn numbers(lines: &[Json]) -> Vec<u64> {
    lines
        .iter()
        .filter_map(|line| line["put"].as_u64())
        .collect()
}

#[test]
fn a_full_disk_is_told_at_once_and_costs_nothing_once_there_is_room() {
    let mut log = Log::new(false);
    log.order(Order::Take(10));
    log.order(Order::Fail(io::ErrorKind::StorageFull));
    log.done(1);
    log.tells("puts wait to be written, it is tried again every 1ms");
    log.done(2);
    log.order(Order::Fail(io::ErrorKind::StorageFull));
    log.order(Order::Take(1));
    log.order(Order::Fail(io::ErrorKind::StorageFull));
    log.orders = None;
    log.tells("it is written again");
    let (left, lines) = log.end();
    assert_eq!((left, numbers(&lines)), (NOTHING, vec![1, 2]));
}

#[test]
fn refused_puts_crowd_nothing_out_and_are_counted() {
    let mut log = Log::new(false);
    for id in 0..30_000 {
        log.push(Kind::Refused, [10, 0, 0, 1], id);
    }
    log.done(30_000);
    for n in 0..10 {
        log.push(Kind::Refused, [10, 0, 1, n], 40_000);
    }
    let (left, lines) = log.end();
    let listed = numbers(&lines);
    let summed = lines
        .iter()
        .find(|line| line["peer"] == "10.0.0.1")
        .unwrap();
    assert_eq!(summed["refused"], 30_000 - MAX_LISTED);
    assert!(listed.contains(&30_000), "{listed:?}");
    // Nor do those of other hosts go unnamed.
    assert_eq!(listed.iter().filter(|&&id| id == 40_000).count(), 10);
    assert_eq!(left.refused, 30_000 - MAX_LISTED);
    assert_eq!((left.unwritten, left.missing), (0, 0));
}

#[test]
fn hosts_beyond_a_bound_are_counted_together_and_each_period_by_itself() {
    let mut log = Log::new(false);
    let hosts = MAX_HOSTS as u64 + 30;
    for round in 0..2 {
        for host in 0..hosts {
            for _ in 0..MAX_LISTED + 1 {
                log.push(Kind::Refused, [10, 0, 0, host as u8], round);
            }
        }
        log.now += PERIOD;
    }
    let (_, lines) = log.end();
    let sums: Vec<_> = lines
        .iter()
        .filter(|line| line["refused"].is_u64())
        .collect();
    let counted: u64 = sums
        .iter()
        .map(|line| line["refused"].as_u64().unwrap())
        .sum();
    let listed = numbers(&lines).len() as u64;
    assert_eq!(counted + listed, 2 * hosts * (MAX_LISTED + 1));
    assert!(sums.iter().any(|line| line["peer"] == "others"), "{sums:?}");
    assert!(sums.len() <= 2 * (MAX_HOSTS + 1), "{}", sums.len());
}

#[test]
fn counts_of_refused_puts_do_not_pile_up_before_a_log_that_takes_nothing() {
    let mut log = Log::new(false);
    for _ in 0..100 {
        for _ in 0..2 * MAX_LISTED {
            log.push(Kind::Refused, HERE, 1);
        }
        log.now += PERIOD;
    }
    let (_, lines) = log.end();
    let sums: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["refused"].as_u64())
        .collect();
    let listed = numbers(&lines).len() as u64;
    assert_eq!(sums.iter().sum::<u64>() + listed, 100 * 2 * MAX_LISTED);
    assert!(sums.len() <= 3, "{sums:?}");
}

#[test]
fn what_there_is_no_room_for_is_told_at_once_in_its_place_and_at_the_end() {
    let mut log = Log::new(false);
    let (all, more) = (MAX_EXECUTED as u64, 1000);
    for id in 0..all + more {
        log.done(id);
    }
    log.tells("lines about puts are missing");
    log.orders = None;
    // Put behind what is missing, as soon as there is room.
    while log.taken.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let (left, lines) = log.end();
    assert_eq!(numbers(&lines), (0..all).collect::<Vec<_>>());
    let last = lines.last().unwrap();
    assert_eq!((&last["missing"], left.missing), (&more.into(), more));
    assert_eq!(left.unwritten, 0);
}

#[test]
fn a_log_that_is_required_lets_no_put_begin_that_it_could_not_tell_of_to_the_end() {
    let mut log = Log::new(true);
    let mut id = 0;
    // Puts that wait for others, and will have two more lines each.
    while log.queue.has_room(log.now) {
        id += 1;
        log.push(Kind::More(2), HERE, id);
    }
    assert_eq!(id as usize, MAX_EXECUTED / 3);
    for id in 1..=id {
        log.push(Kind::More(1), HERE, id);
        log.push(Kind::Last, HERE, id);
    }
    let (left, lines) = log.end();
    assert_eq!(left, NOTHING);
    assert_eq!(lines.len() as u64, 3 * id);
}

#[test]
fn room_that_is_not_needed_is_given_back() {
    let mut log = Log::new(true);
    log.orders = None;
    for id in 0..2 * MAX_EXECUTED as u64 {
        // Given up before it began, or complete at once when it did.
        log.push(Kind::More(2), HERE, id);
        log.push(Kind::Last, HERE, id);
        let start = Instant::now();
        while !log.queue.has_room(log.now) {
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    }
}

#[test]
fn puts_are_refused_while_the_log_that_is_required_cannot_be_written() {
    let mut log = Log::new(true);
    assert!(log.queue.has_room(log.now));
    log.order(Order::Fail(io::ErrorKind::BrokenPipe));
    log.done(1);
    log.tells("puts are refused");
    assert!(!log.queue.has_room(log.now));
    log.orders = None;
    log.tells("it is written again");
    assert!(log.queue.has_room(log.now));
    assert_eq!(log.end().0, NOTHING);
}

#[test]
fn a_log_that_takes_nothing_is_told_of_and_counts_as_one_that_cannot_be_written() {
    let mut log = Log::new(true);
    log.done(1);
    while log.told.try_recv().is_err() {
        // The thread has begun to write at some time.
        log.now += STUCK;
        let _ = log.queue.has_room(log.now);
        std::thread::yield_now();
    }
    assert!(!log.queue.has_room(log.now));
    log.now = Instant::now();
    log.orders = None;
    log.queue.finish(PATIENCE);
    assert!(log.queue.has_room(log.now));
}

#[test]
fn what_waits_at_the_end_is_counted_with_the_reason() {
    let log = Log::new(false);
    for _ in 0..10_000 {
        log.order(Order::Fail(io::ErrorKind::StorageFull));
    }
    log.done(1);
    log.tells("wait");
    log.done(2);
    log.push(Kind::Refused, HERE, 3);
    let left = log.queue.finish(PATIENCE);
    assert_eq!((left.unwritten, left.missing), (3, 0));
    assert!(left.why.is_some());
    // One that blocks for ever is not waited for.
    let log = Log::new(false);
    log.done(1);
    assert_eq!(log.queue.finish(Duration::ZERO).unwritten, 1);
}

/// A directory of a test, which goes with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("canter-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn ids(&self, name: &str) -> Vec<u64> {
        let text = fs::read_to_string(self.file(name)).unwrap();
        let json = |line| serde_json::from_str::<Json>(line).expect(line);
        numbers(&text.lines().map(json).collect::<Vec<_>>())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes lines in batches of this size.
fn write(target: &mut Target, ids: std::ops::Range<u64>, batch: usize) {
    let ids: Vec<u64> = ids.collect();
    for ids in ids.chunks(batch) {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for &id in ids {
            let entry = Entry::example(Kind::Last, HERE, id);
            Record::Put(Box::new(entry)).render(&mut text);
            ends.push(text.len());
        }
        let (lines, result) = target.write(&text, &ends);
        result.unwrap();
        assert_eq!(lines, ids.len());
    }
}

#[test]
fn files_have_a_size_and_so_many_old_ones_are_kept() {
    for batch in [1, 7, 100] {
        let place = Place::new(&format!("rotation-{batch}"));
        let path = place.file("log");
        let rotation = Rotation {
            size: 1000,
            keep: 3,
        };
        let mut target = Target::open(&path, Some(rotation)).unwrap();
        write(&mut target, 0..100, batch);
        let names = ["log.3", "log.2", "log.1", "log"];
        for name in names {
            let size = fs::metadata(place.file(name)).unwrap().len();
            assert!((1..=1000).contains(&size), "{name} {size}");
        }
        assert!(!place.file("log.4").exists());
        let ids: Vec<u64> = names.iter().flat_map(|name| place.ids(name)).collect();
        assert!(ids.len() > 15, "{ids:?}");
        assert_eq!(ids, (100 - ids.len() as u64..100).collect::<Vec<_>>());
    }
}

#[test]
fn a_file_that_cannot_be_put_away_is_used_on() {
    let place = Place::new("no-rotation");
    let path = place.file("log");
    // In the way, and not empty.
    fs::create_dir_all(place.file("log.1").join("x")).unwrap();
    let rotation = Rotation {
        size: 1000,
        keep: 1,
    };
    let mut target = Target::open(&path, Some(rotation)).unwrap();
    write(&mut target, 0..100, 10);
    assert!(target.trouble.is_some());
    assert_eq!(place.ids("log"), (0..100).collect::<Vec<_>>());
}

#[cfg(unix)]
#[test]
fn a_file_that_others_move_away_is_begun_anew() {
    let place = Place::new("moved");
    let path = place.file("log");
    let mut target = Target::open(&path, None).unwrap();
    write(&mut target, 0..3, 3);
    fs::rename(&path, place.file("old")).unwrap();
    write(&mut target, 3..5, 2);
    fs::remove_file(&path).unwrap();
    write(&mut target, 5..7, 2);
    assert_eq!(
        (place.ids("old"), place.ids("log")),
        (vec![0, 1, 2], vec![5, 6])
    );
}

#[test]
fn a_line_that_was_cut_off_is_ended() {
    let place = Place::new("cut");
    let path = place.file("log");
    fs::write(&path, "{\"time\":\"1\"}\n{\"ti").unwrap();
    let mut target = Target::open(&path, None).unwrap();
    write(&mut target, 0..2, 1);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (4, "{\"ti"), "{text}");
    assert!(lines[2].starts_with("{\"timestamp\""), "{text}");
}

#[test]
fn only_files_have_a_size() {
    let rotation = Some(Rotation { size: 1, keep: 1 });
    let error = Target::open("-".as_ref(), rotation).err().unwrap();
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[test]
fn sizes_have_units() {
    assert_eq!(super::size("65536"), Ok(65536));
    assert_eq!(super::size("10M"), Ok(10 << 20));
    assert_eq!(super::size("9k"), Ok(9 << 10));
    for bad in ["", "k", "1", "-5", "1.5M", "99999999999999999999G", "10 T"] {
        assert!(super::size(bad).is_err(), "{bad}");
    }
}
