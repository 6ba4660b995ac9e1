//! What a shell needs of the program that it runs in.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use ca_proto::{Instant, Timestamp};

use crate::autosave::{Restore, Settings};
use crate::builder::IocBuilder;
use crate::error::BuildError;
use crate::ioc::Ioc;
use crate::load::{FileProblem, Loaded};
use crate::process::Function;
use crate::state::{IocSnapshot, SnapshotError};

/// Files, streams, time and the IOC of a shell.
pub trait Host {
    /// Works with the IOC at the current time; false if there is none yet.
    fn with(&mut self, work: &mut dyn FnMut(&mut Ioc, Instant)) -> bool;

    /// `iocInit`: makes the IOC and lets it serve.
    ///
    /// # Errors
    /// Why it cannot, in one line or more.
    fn init(&mut self, start: Start) -> Result<Started, String>;

    /// Writes to the output.
    fn out(&mut self, text: &str);

    /// Writes to the error stream.
    fn err(&mut self, text: &str);

    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`FileProblem`]
    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem>;

    /// Opens a file that a command writes to.
    ///
    /// # Errors
    /// Those of the system.
    fn open(&mut self, name: &str, append: bool) -> io::Result<Box<dyn Write>> {
        let _ = (name, append);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether a directory has this name.
    fn is_directory(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// The directory of the process, for `pwd`.
    fn directory(&self) -> String {
        "/".to_owned()
    }

    /// Waits.
    fn sleep(&mut self, time: Duration) {
        let _ = time;
    }

    /// What time it is.
    fn now(&self) -> Timestamp {
        Timestamp::UNDEFINED
    }

    /// A time as `strftime` writes it, with `%9f` for nanoseconds and `%6f` for microseconds, in local time; nothing
    /// for a format that is none.
    fn date(&self, stamp: Timestamp, format: &str) -> String {
        let _ = format;
        let since = stamp.to_unix();
        format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
    }

    /// The settings of autosave have changed while the IOC serves; also sets that are to be written now.
    fn autosave(&mut self, settings: &Settings, now: &[String]) {
        let _ = (settings, now);
    }

    /// Where it serves: addresses of circuits, and the port of searches.
    fn places(&self) -> (Vec<SocketAddrV4>, u16) {
        (Vec::new(), 0)
    }

    /// Takes a snapshot; `None` if there is no IOC yet. A host whose IOC serves others does it in turns.
    fn snapshot(&mut self) -> Option<Result<IocSnapshot, SnapshotError>> {
        let mut taken = None;
        self.with(&mut |ioc, now| taken = Some(ioc.snapshot(now)));
        taken
    }

    /// Goes back to a snapshot; `None` if there is no IOC yet.
    fn rewind(&mut self, snapshot: &IocSnapshot) -> Option<Result<(), SnapshotError>> {
        let mut done = None;
        self.with(&mut |ioc, now| done = Some(ioc.rewind(now, snapshot)));
        done
    }

    /// Writes a snapshot to a file, as a whole or not at all.
    ///
    /// # Errors
    /// [`SnapshotError::File`]
    fn write_snapshot(&mut self, name: &str, snapshot: &IocSnapshot) -> Result<(), SnapshotError> {
        let _ = snapshot;
        Err(SnapshotError::File {
            file: name.into(),
            reason: "there are no files here".to_owned(),
        })
    }

    /// Whether mistakes in files are shown with colours.
    fn styled(&self) -> bool {
        false
    }
}

/// What `iocInit` makes an IOC of.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Start {
    /// Records, if files were loaded.
    pub records: Option<Loaded>,
    /// The environment, for the places where the IOC serves.
    pub environment: Arc<BTreeMap<String, String>>,
    /// The file of access security, and its macros.
    pub access: Option<(String, String)>,
    /// What is restored before and after the records are initialized.
    pub restores: Vec<Restore>,
    /// What is saved, when and where.
    pub autosave: Settings,
    /// Functions for `sub` and `aSub` records.
    pub functions: Vec<(String, Function)>,
}

impl Start {
    /// The IOC, with what else the builder has.
    ///
    /// # Errors
    /// What is wrong with records or PVs.
    pub fn build(self, builder: IocBuilder) -> Result<Ioc, BuildError> {
        let builder = match self.records {
            Some(records) => builder.records(records),
            None => builder,
        };
        let mut ioc = builder.build()?;
        if let Some(served) = &mut ioc.db.served {
            for (name, value) in &*self.environment {
                served.records.set_variable(name, value);
            }
            for (name, function) in self.functions {
                served.records.register(&name, function);
            }
        }
        for restore in self.restores {
            ioc.restore_at_start(restore);
        }
        Ok(ioc)
    }
}

/// What came of `iocInit`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Started {
    /// Lines for the error stream: what is odd, what was restored.
    pub remarks: Vec<String>,
}
