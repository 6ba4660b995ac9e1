//! Reads that the program answers: whoever reads a PV waits until the program has made its value, without holding
//! anybody else up.
//!
//! What clients read is what was written last, and costs nothing. Where that will not do (a register that is to be
//! looked at when somebody asks), the program is told of reads, posts the value, and says that it has
//! ([`Ioc::finish_read`]). The circuit of the reader waits with what follows, at most for [`READ_HOLD`]; its reply has
//! the value that is there then. Subscribers are told of posts as always, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::ids::CircuitId;
use ca_proto::server::PvId;
use ca_proto::wire::{Command, Header};

use crate::builder::IocBuilder;
use crate::db::{Db, PvHandle};
use crate::error::PostError;
use crate::field::Field;
use crate::ioc::Ioc;
use crate::program::PvRef;

/// How long a circuit waits for the program before a read is answered with the value that is there.
pub const READ_HOLD: Duration = Duration::from_secs(10);

type Tell = Box<dyn FnMut(&str) + Send>;

/// What is read: a PV or the value of a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Source {
    Plain(PvHandle),
    Record(u32),
}

/// The circuits that wait for a value.
#[derive(Default)]
struct Readers {
    /// For the one that the program is making.
    now: BTreeSet<CircuitId>,
    /// For the next one: they asked after the program had begun.
    next: BTreeSet<CircuitId>,
    is_making: bool,
}

/// All PVs whose reads the program is told of.
pub(crate) struct Getters {
    tell: Tell,
    of: BTreeMap<Source, Readers>,
}

impl fmt::Debug for Getters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Getters")
            .field("pvs", &self.of.len())
            .finish_non_exhaustive()
    }
}

impl IocBuilder {
    /// Tells the program, by the name of the PV, that a client reads one of those that [`Ioc::ask_read`] names.
    /// `tell` runs while the IOC is locked, so it hands the name on; the program posts the value and calls
    /// [`Ioc::finish_read`] when it likes. It is told once for all that read a PV while it has not begun; who asks
    /// after it was told waits for a value that is made anew.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Instant, Ioc, PvSpec};
    /// use std::sync::mpsc::channel;
    ///
    /// let (send, reads) = channel();
    /// let mut ioc = Ioc::builder()
    ///     .pv("counter", PvSpec::long(0))
    ///     .reads(move |name| drop(send.send(name.to_owned())))
    ///     .build()?;
    /// ioc.ask_read("counter", true)?;
    /// // In a thread of the program, with the IOC behind its lock:
    /// while let Ok(name) = reads.try_recv() {
    ///     ioc.post(Instant::ZERO, name.as_str(), 7)?;
    ///     ioc.finish_read(Instant::ZERO, name.as_str())?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reads(mut self, tell: impl FnMut(&str) + Send + 'static) -> Self {
        self.ioc.db.getters = Some(Box::new(Getters {
            tell: Box::new(tell),
            of: BTreeMap::new(),
        }));
        self
    }
}

impl Ioc {
    /// Whether the program is told ([`IocBuilder::reads`]) before a client reads the value of this PV or record.
    /// Reads of other fields never wait.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`].
    pub fn ask_read<'a>(&mut self, pv: impl Into<PvRef<'a>>, asked: bool) -> Result<(), PostError> {
        let source = self.source(pv.into())?;
        let Some(getters) = &mut self.db.getters else {
            return Ok(());
        };
        if asked {
            getters.of.entry(source).or_default();
        } else if let Some(readers) = getters.of.remove(&source) {
            self.go_on(readers.now);
            self.go_on(readers.next);
        }
        Ok(())
    }

    /// The value that a read waits for is there, or there will be none: who waits is answered.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`].
    pub fn finish_read<'a>(
        &mut self,
        now: Instant,
        pv: impl Into<PvRef<'a>>,
    ) -> Result<(), PostError> {
        let source = self.source(pv.into())?;
        // What the program has posted is seen by those that go on.
        self.settle(now);
        let getters = self.db.getters.as_mut();
        let Some(readers) = getters.and_then(|all| all.of.get_mut(&source)) else {
            return Ok(());
        };
        let answered = std::mem::replace(&mut readers.now, std::mem::take(&mut readers.next));
        readers.is_making = !readers.now.is_empty();
        if readers.is_making {
            self.tell_read(source);
        }
        self.go_on(answered);
        Ok(())
    }

    fn source(&self, pv: PvRef<'_>) -> Result<Source, PostError> {
        Ok(match self.record_named(pv) {
            Some((key, _)) => Source::Record(key.record),
            None => Source::Plain(self.db.lookup_record(pv)?),
        })
    }

    fn go_on(&mut self, circuits: BTreeSet<CircuitId>) {
        for circuit in circuits {
            self.release(circuit);
        }
    }

    fn tell_read(&mut self, source: Source) {
        let name = match source {
            Source::Plain(handle) => self.db.record(handle).map(|it| it.name.to_string()),
            Source::Record(id) => {
                (self.db.served.as_ref()).map(|served| served.records.name_of(id).to_owned())
            }
        };
        if let (Some(name), Some(getters)) = (name, &mut self.db.getters) {
            (getters.tell)(&name);
        }
    }

    /// Whether the circuit waits with its next request, which reads what the program makes.
    pub(crate) fn waits_to_read(
        &mut self,
        now: Instant,
        circuit: CircuitId,
        next: Option<Header>,
    ) -> bool {
        let Some(connection) = self.circuits.get_mut(circuit) else {
            return false;
        };
        // It has waited for this one.
        if std::mem::take(&mut connection.has_waited) {
            return false;
        }
        let reads = |it: &Header| matches!(it.command, Command::READ_NOTIFY | Command::READ);
        let sid = next.filter(reads).map(|it| it.p1);
        let pv = sid.and_then(|sid| connection.circuit.opened(sid));
        let Some(source) = pv.and_then(|pv| self.db.read_source(pv)) else {
            return false;
        };
        let getters = self.db.getters.as_mut();
        let Some(readers) = getters.and_then(|all| all.of.get_mut(&source)) else {
            return false;
        };
        let is_first = !readers.is_making;
        match is_first {
            true => readers.now.insert(circuit),
            false => readers.next.insert(circuit),
        };
        readers.is_making = true;
        let until = now + READ_HOLD;
        connection.held = Some(until);
        connection.has_waited = true;
        connection.reads = Some(source);
        self.held.insert((until, circuit));
        if is_first {
            self.tell_read(source);
        }
        true
    }

    /// Records are to be removed: nobody waits for their values any more.
    pub(crate) fn forget_reads(&mut self, gone: impl IntoIterator<Item = Source>) {
        for source in gone {
            let getters = self.db.getters.as_mut();
            if let Some(readers) = getters.and_then(|all| all.of.remove(&source)) {
                self.go_on(readers.now);
                self.go_on(readers.next);
            }
        }
    }
}

impl Db {
    /// The program is told of reads of some PV.
    pub(crate) fn tells_reads(&self) -> bool {
        (self.getters.as_ref()).is_some_and(|getters| !getters.of.is_empty())
    }

    /// What a channel reads, if it is a value that the program makes.
    fn read_source(&self, pv: PvId) -> Option<Source> {
        if let Some((_, key)) = self.field(pv) {
            let served = self.served.as_ref()?;
            let value = served.records.type_of(key.record).value;
            return (value == Some(key.field)).then_some(Source::Record(key.record));
        }
        let (handle, _, view) = self.target(pv)?;
        let whole = view.is_none_or(|view| view.field == Field::Val);
        whole.then_some(Source::Plain(handle))
    }

    /// A circuit waits no longer.
    pub(crate) fn forget_reader(&mut self, source: Source, circuit: CircuitId) {
        let getters = self.getters.as_mut();
        if let Some(readers) = getters.and_then(|all| all.of.get_mut(&source)) {
            readers.now.remove(&circuit);
            readers.next.remove(&circuit);
        }
    }
}
