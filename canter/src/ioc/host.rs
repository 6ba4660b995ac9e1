//! What the shell of an IOC needs of this program: files, streams, time, the IOC.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ca_proto::{Instant, Timestamp};
use ca_server_sim::autosave::Settings;
use ca_server_sim::load::{Disk, FileProblem, Files};
use ca_server_sim::net::SimIoc;
use ca_server_sim::shell::{Host, Start, Started};
use ca_server_sim::{Ioc, IocSnapshot, SnapshotError};
use tokio::sync::{mpsc, oneshot};

use crate::background::Background;
use crate::guard::Guard;
use crate::paint::Paint;

/// What the shell asks of the task that has the IOC.
#[derive(Debug)]
pub(super) enum Event {
    /// `iocInit`.
    Init(Box<Start>, oneshot::Sender<Made>),
    /// Sets are saved by these settings; the named ones now.
    Autosave(Settings, Vec<String>),
    /// The shell has ended; false if what it had to do failed.
    Ended(bool),
}

/// The IOC of `iocInit` with what is odd about it, or why there is none.
pub(super) type Made = Result<(SimIoc, Vec<String>), String>;

/// The IOC, once there is one, for everything that the shell consists of.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Option<SimIoc>>>);

impl Shared {
    pub(super) fn of(ioc: Option<SimIoc>) -> Self {
        Self(Arc::new(Mutex::new(ioc)))
    }

    pub(super) fn get(&self) -> Option<SimIoc> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, ioc: SimIoc) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ioc);
    }
}

/// The host of a shell that runs in a thread of its own: it may wait, the IOC does not.
pub(super) struct ShellHost {
    pub(super) ioc: Shared,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) out: Guard<io::Stdout>,
    pub(super) err: Guard<Background>,
    pub(super) styled: bool,
}

impl ShellHost {
    pub(super) fn new(ioc: Shared, events: mpsc::Sender<Event>) -> Self {
        let escapes = Paint::of(&io::stdout()).escapes();
        Self {
            ioc,
            events,
            out: Guard::new(io::stdout(), escapes),
            err: Guard::new(Background::stderr(), Paint::of(&io::stderr()).escapes()),
            styled: Paint::of(&io::stderr()).is_on(),
        }
    }
}

impl Host for ShellHost {
    fn with(&mut self, work: &mut dyn FnMut(&mut Ioc, Instant)) -> bool {
        match self.ioc.get() {
            Some(ioc) => {
                ioc.with(|ioc, now| work(ioc, now));
                true
            }
            None => false,
        }
    }

    fn init(&mut self, start: Start) -> Result<Started, String> {
        let (answer, wait) = oneshot::channel();
        let event = Event::Init(Box::new(start), answer);
        let ended = || "the program ends".to_owned();
        self.events.blocking_send(event).map_err(|_| ended())?;
        let (ioc, remarks) = wait.blocking_recv().map_err(|_| ended())??;
        self.ioc.set(ioc);
        let mut started = Started::default();
        started.remarks = remarks;
        Ok(started)
    }

    fn out(&mut self, text: &str) {
        // A reader that went away is no reason to end what others depend on.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    fn err(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
        let _ = self.err.flush();
    }

    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        Disk.read(name, limit)
    }

    fn open(&mut self, name: &str, append: bool) -> io::Result<Box<dyn Write>> {
        let file = match append {
            true => OpenOptions::new().append(true).create(true).open(name)?,
            false => File::create(name)?,
        };
        Ok(Box::new(io::BufWriter::new(file)))
    }

    fn is_directory(&self, name: &str) -> bool {
        Path::new(if name.is_empty() { "." } else { name }).is_dir()
    }

    fn directory(&self) -> String {
        let directory = std::env::current_dir();
        directory.map_or_else(|_| ".".to_owned(), |path| path.display().to_string())
    }

    fn sleep(&mut self, time: Duration) {
        let _ = self.out.flush();
        std::thread::sleep(time);
    }

    fn now(&self) -> Timestamp {
        std::time::SystemTime::now().into()
    }

    fn date(&self, stamp: Timestamp, format: &str) -> String {
        date(stamp, format)
    }

    fn autosave(&mut self, settings: &Settings, now: &[String]) {
        let event = Event::Autosave(settings.clone(), now.to_vec());
        // Who does not take it ends.
        let _ = self.events.blocking_send(event);
    }

    fn places(&self) -> (Vec<SocketAddrV4>, u16) {
        let ioc = self.ioc.get();
        ioc.map_or_else(Default::default, |ioc| (vec![ioc.addr()], ioc.udp_port()))
    }

    fn snapshot(&mut self) -> Option<Result<IocSnapshot, SnapshotError>> {
        self.ioc.get().map(|ioc| ioc.snapshot())
    }

    fn rewind(&mut self, snapshot: &IocSnapshot) -> Option<Result<(), SnapshotError>> {
        self.ioc.get().map(|ioc| ioc.rewind(snapshot))
    }

    fn write_snapshot(&mut self, name: &str, snapshot: &IocSnapshot) -> Result<(), SnapshotError> {
        snapshot.write(name)
    }

    fn styled(&self) -> bool {
        self.styled
    }
}

/// A host that has files, and nothing else.
pub(super) struct OnlyFiles;

impl Host for OnlyFiles {
    fn with(&mut self, _: &mut dyn FnMut(&mut Ioc, Instant)) -> bool {
        false
    }

    fn init(&mut self, _: Start) -> Result<Started, String> {
        Err("nothing is made here".to_owned())
    }

    fn out(&mut self, _: &str) {}

    fn err(&mut self, _: &str) {}

    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        Disk.read(name, limit)
    }
}

/// A time in the zone of this host.
pub(super) fn date(stamp: Timestamp, format: &str) -> String {
    let since = stamp.to_unix();
    let nanos = i32::try_from(since.subsec_nanos()).unwrap_or(0);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
    let Ok(time) = jiff::Timestamp::new(seconds, nanos) else {
        return String::new();
    };
    let time = time.to_zoned(jiff::tz::TimeZone::system());
    jiff::fmt::strtime::format(format, &time).unwrap_or_default()
}
