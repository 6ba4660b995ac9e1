//! The system's events, and who waits for them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use mio::event::{Event, Source};
use mio::{Events, Interest, Registry, Token};

use super::exec::{Park, Poke};
use super::timers::Timers;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Mutex, lock};

/// Events taken over from the system at once; further ones come with the next look.
const EVENTS: usize = 256;
const POKE: Token = Token(0);
const TIMER: Token = Token(1);
const FIRST_SOURCE: usize = 2;

/// What sockets and timers have of the reactor, whichever thread waits.
#[derive(Debug)]
pub(super) struct Io {
    registry: Registry,
    poke: mio::Waker,
    sources: Mutex<Sources>,
    /// See [`Park::set_alone`].
    alone: AtomicBool,
    pub(super) timers: Mutex<Timers>,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    timer: Option<super::clock::SystemTimer>,
}

/// Numbers are not used again, so that a late event finds nobody.
#[derive(Debug)]
struct Sources {
    next: usize,
    living: BTreeMap<usize, Arc<Readiness>>,
}

#[cfg(unix)]
impl Io {
    /// Readable when there are events.
    pub(super) fn raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.registry)
    }

    pub(super) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.registry)
    }
}

/// Waits for the system's events.
#[derive(Debug)]
pub(super) struct Reactor {
    poll: mio::Poll,
    events: Events,
    io: Arc<Io>,
    wakers: Vec<Waker>,
    /// The source of the last event: a program with one circuit finds it without the table. If it is gone, it has
    /// nobody to wake.
    last: (usize, Arc<Readiness>),
}

impl Reactor {
    /// # Errors
    /// Whatever the system says, usually that the process has too many open files.
    pub(super) fn new() -> io::Result<(Self, Arc<Io>)> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let io = Arc::new(Io {
            poke: mio::Waker::new(&registry, POKE)?,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            timer: super::clock::SystemTimer::new(&registry, TIMER),
            registry,
            sources: Mutex::new(Sources {
                next: FIRST_SOURCE,
                living: BTreeMap::new(),
            }),
            alone: AtomicBool::new(false),
            timers: Mutex::default(),
        });
        let reactor = Self {
            poll,
            events: Events::with_capacity(EVENTS),
            io: io.clone(),
            wakers: Vec::new(),
            last: (POKE.0, Arc::default()),
        };
        Ok((reactor, io))
    }

    /// What is due, unless the timer of the system tells of it.
    fn expire(&mut self) {
        let next = lock(&self.io.timers).expire(Instant::now(), &mut self.wakers);
        if let Some(at) = next
            && let Err(error) = self.io.wait_until(at)
        {
            tracing::warn!("cannot set a timer: {error}");
        }
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Park for Reactor {
    fn wait(&mut self, block: bool) {
        let timeout = match block {
            false => Some(std::time::Duration::ZERO),
            true => self.io.time_left(),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            // A signal.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => panic!("the system cannot be asked for events: {error}"),
        }
    }

    fn dispatch(&mut self) {
        let mut due = !self.io.has_timer();
        for event in &self.events {
            match event.token() {
                POKE => {}
                TIMER => due = true,
                Token(number) if number == self.last.0 => self.last.1.ready(event),
                Token(number) => {
                    let source = lock(&self.io.sources).living.get(&number).cloned();
                    if let Some(source) = source {
                        source.ready(event);
                        self.last = (number, source);
                    }
                }
            }
        }
        if due {
            self.expire();
        }
    }

    fn set_alone(&self, alone: bool) {
        self.io.alone.store(alone, Ordering::Relaxed);
    }
}

impl Poke for Arc<Io> {
    fn poke(&self) {
        if let Err(error) = self.poke.wake() {
            tracing::warn!("cannot wake the thread that waits for the sockets: {error}");
        }
    }
}

impl Io {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const fn has_timer(&self) -> bool {
        self.timer.is_some()
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const fn has_timer(&self) -> bool {
        false
    }

    /// The earliest deadline came forward, or was kept.
    ///
    /// # Errors
    /// Whatever the system says.
    pub(super) fn wait_until(&self, at: Instant) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(timer) = &self.timer {
            return timer.set(at.saturating_duration_since(Instant::now()));
        }
        let _ = at;
        // Who waits asks for the time that is left.
        self.poke.wake()
    }

    /// Time until the earliest deadline, when a wait has to end by itself.
    fn time_left(&self) -> Option<std::time::Duration> {
        if self.has_timer() {
            return None;
        }
        let first = lock(&self.timers).first()?;
        Some(first.saturating_duration_since(Instant::now()))
    }
}

/// A direction of a source, and its place in pairs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    In,
    Out,
}

impl Way {
    /// Something can be done, as far as is known.
    const fn open(self) -> u32 {
        match self {
            Self::In => 1,
            Self::Out => 2,
        }
    }

    /// It has ended: that stays.
    const fn ended(self) -> u32 {
        self.open() << 2
    }

    const fn any(self) -> u32 {
        self.open() | self.ended()
    }
}

/// Above the bits of the two ways: counts events, so that nobody forgets one that came while he tried.
const TICK: u32 = 1 << 4;

/// What is known of a source, and who waits. A waker stays until another takes its place: who finds nothing again
/// need not leave his once more.
#[derive(Debug, Default)]
struct Readiness {
    state: AtomicU32,
    wakers: Mutex<[Option<Waker>; 2]>,
}

impl Readiness {
    fn ready(&self, event: &Event) {
        let bit = |is: bool, bit: u32| if is { bit } else { 0 };
        let bits = bit(event.is_readable() || event.is_error(), Way::In.open())
            | bit(event.is_writable() || event.is_error(), Way::Out.open())
            | bit(event.is_read_closed(), Way::In.ended())
            | bit(event.is_write_closed(), Way::Out.ended());
        let tick = |state: u32| Some((state | bits).wrapping_add(TICK));
        let before = (self.state).fetch_update(Ordering::SeqCst, Ordering::SeqCst, tick);
        // Who was told before has not looked since.
        let news = bits & !before.unwrap_or(0);
        let wakers = lock(&self.wakers);
        let concerned = |way: Way| {
            let waker = wakers[way as usize].as_ref();
            waker.filter(|_| news & way.any() != 0).cloned()
        };
        let (input, output) = (concerned(Way::In), concerned(Way::Out));
        drop(wakers);
        input.into_iter().chain(output).for_each(Waker::wake);
    }

    /// Forgets what was found not to be so, unless an event came since `seen`.
    fn forget(&self, seen: u32, bits: u32) {
        let left = seen & !bits;
        let _ = (self.state).compare_exchange(seen, left, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Leaves a waker for the next event that brings something new.
    fn park(&self, way: Way, waker: Waker) {
        let mut wakers = lock(&self.wakers);
        let _old = wakers[way as usize].replace(waker);
        drop(wakers);
    }
}

/// Whether the system tells of what comes after a read or write that did not do all it was asked to: else it has to
/// be tried until it says that it would block.
const TELLS_AFTER_PART: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
));

/// A socket whose events are looked for.
#[derive(Debug)]
pub(super) struct Watched<S: Source> {
    socket: S,
    number: usize,
    readiness: Arc<Readiness>,
    /// The wakers that were left.
    parked: [Option<Waker>; 2],
    io: Arc<Io>,
}

impl<S: Source> Watched<S> {
    /// # Errors
    /// Whatever the system says.
    pub(super) fn new(io: &Arc<Io>, mut socket: S, interest: Interest) -> io::Result<Self> {
        let readiness = Arc::<Readiness>::default();
        let number = {
            let mut sources = lock(&io.sources);
            let number = sources.next;
            sources.next += 1;
            sources.living.insert(number, readiness.clone());
            number
        };
        // From here on its drop takes it out of the table.
        let registered = io.registry.register(&mut socket, Token(number), interest);
        let watched = Self {
            socket,
            number,
            readiness,
            parked: [None, None],
            io: io.clone(),
        };
        registered?;
        Ok(watched)
    }

    pub(super) const fn socket(&self) -> &S {
        &self.socket
    }

    /// Whether nothing can be done as far as is known, and the task will be woken when that changes.
    pub(super) fn is_quiet(&self, way: Way, waker: &Waker) -> bool {
        self.is_known(way, waker) && self.readiness.state.load(Ordering::SeqCst) & way.any() == 0
    }

    /// Whether events wake this task.
    fn is_known(&self, way: Way, waker: &Waker) -> bool {
        let parked = &self.parked[way as usize];
        parked.as_ref().is_some_and(|known| known.will_wake(waker))
    }

    /// Has the task woken by the next event.
    fn park(&mut self, way: Way, waker: &Waker) {
        self.parked[way as usize] = Some(waker.clone());
        self.readiness.park(way, waker.clone());
    }

    /// Whether nothing has come, and the thread may wait here for what does.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn may_wait(&self, waker: &Waker) -> bool {
        self.io.alone.load(Ordering::Relaxed) && self.is_quiet(Way::In, waker)
    }

    /// There is more to read, whatever the events say.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn mark_open(&self) {
        (self.readiness.state).fetch_or(Way::In.open(), Ordering::SeqCst);
    }

    /// Does something as soon as the socket may be ready for it. `whole` says of what was done whether it was all that
    /// was asked for.
    pub(super) fn poll_io<R>(
        &mut self,
        cx: &Context<'_>,
        way: Way,
        whole: impl Fn(&R) -> bool,
        mut attempt: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let seen = self.readiness.state.load(Ordering::SeqCst);
            if seen & way.any() == 0 {
                if self.is_quiet(way, cx.waker()) {
                    return Poll::Pending;
                }
                // Then once more: an event may have come before.
                if !self.is_known(way, cx.waker()) {
                    self.park(way, cx.waker());
                }
                continue;
            }
            match attempt(&self.socket) {
                Ok(done) => {
                    if TELLS_AFTER_PART && !whole(&done) {
                        self.readiness.forget(seen, way.open());
                    }
                    return Poll::Ready(Ok(done));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.readiness.forget(seen, way.any()),
                    io::ErrorKind::Interrupted => {}
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

impl<S: Source> Drop for Watched<S> {
    fn drop(&mut self) {
        // Fails when it was not registered.
        let _ = self.io.registry.deregister(&mut self.socket);
        let _readiness = lock(&self.io.sources).living.remove(&self.number);
        // Who looked it up for an event may still hold it, but no tasks.
        let _wakers = std::mem::take(&mut *lock(&self.readiness.wakers));
    }
}
