//! The shell of an IOC: the language of `st.cmd` and of the console (`iocsh` of EPICS Base).
//!
//! [`Shell`] reads lines and executes their commands. It has no I/O: files, streams, time and the IOC itself come
//! from its [`Host`]. A program gives it lines one by one ([`Shell::line`]), or a script ([`Shell::script`]).
//!
//! Commands and their output have the form of those of EPICS Base 7.0. A command that is not known is told of and
//! left out, so that scripts with commands of support modules run.
//!
//! # Where we differ from the reference
//! - A file of records with a mistake is left out as a whole, with all its mistakes; the reference keeps what stands
//!   before the first one.
//! - `cd` counts for the shell, not for the process.
//! - What is an address in memory is not shown: `dba` has the numbers of record and field in its place, and
//!   `dbpr` leaves pointers out.
//!
//! # Bounds
//! [`MAX_LINE`] bytes of a line, [`MAX_SCRIPT`] bytes of a script, [`MAX_DEPTH`] scripts in one another,
//! [`MAX_LINES`] lines for one that is given. Reports hold the IOC for [`SLICE`] records at a time.

mod clients;
mod columns;
mod commands;
mod database;
mod dump;
mod fields;
mod format;
mod host;
mod listing;
mod put;
mod reports;
mod run;
mod saving;
mod scans;
mod security;
mod session;
mod states;
mod system;
mod variables;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::autosave::Settings;
use crate::load::Macros;

pub use commands::{command_names, complete};
pub(crate) use format::escaped;
pub use host::{Host, Start, Started};
pub(crate) use run::shown;
pub use words::{Redirect, Words, WordsError, split};

use commands::Command;
use run::{Out, Run};
use session::Session;
use variables::Variables;

/// Bytes of a line.
pub const MAX_LINE: usize = 64 << 10;
/// Bytes of a script.
pub const MAX_SCRIPT: usize = 16 << 20;
/// Scripts that call each other.
pub const MAX_DEPTH: usize = 32;
/// Lines that are executed because of one that is given.
pub const MAX_LINES: usize = 200_000;
/// Records that are looked at before others have their turn.
pub const SLICE: usize = 256;

/// What comes after a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The next one.
    Line,
    /// Nothing: it was `exit`.
    Exit,
}

/// What a script does after a command that failed (`on error`).
#[derive(Clone, Copy, PartialEq, Debug, Default)]
enum OnError {
    #[default]
    Continue,
    Break,
    Wait(Duration),
}

/// The state of a shell.
///
/// ```
/// use ca_server_sim::shell::{Next, Shell};
/// # use ca_server_sim::shell::{Host, Start, Started};
/// # use ca_server_sim::{Instant, Ioc, Timestamp};
/// # #[derive(Default)]
/// # struct Small { ioc: Option<Ioc>, out: String }
/// # impl Host for Small {
/// #     fn with(&mut self, work: &mut dyn FnMut(&mut Ioc, Instant)) -> bool {
/// #         self.ioc.as_mut().map(|ioc| work(ioc, Instant::ZERO)).is_some()
/// #     }
/// #     fn init(&mut self, start: Start) -> Result<Started, String> {
/// #         let mut ioc = start.build(Ioc::builder()).map_err(|error| error.to_string())?;
/// #         ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
/// #         self.ioc = Some(ioc);
/// #         Ok(Started::default())
/// #     }
/// #     fn out(&mut self, text: &str) { self.out.push_str(text) }
/// #     fn err(&mut self, text: &str) { self.out.push_str(text) }
/// #     fn read(&self, _: &str, _: usize) -> Result<std::sync::Arc<[u8]>, ca_server_sim::load::FileProblem> {
/// #         Ok(b"record(ao, \"$(P):gap\") { field(VAL, 1.5) }".as_slice().into())
/// #     }
/// # }
/// // `Small` is a host with one file, an IOC and a text as its output.
/// let (mut shell, mut host) = (Shell::new(), Small::default());
/// shell.line(&mut host, r#"dbLoadRecords("x.db", "P=SR")"#);
/// shell.line(&mut host, "iocInit");
/// shell.line(&mut host, "dbpf SR:gap 2.5");
/// assert_eq!(host.out.lines().last().map(str::trim_end), Some("DBF_DOUBLE:         2.5"));
/// assert_eq!(shell.line(&mut host, "exit"), Next::Exit);
/// ```
#[derive(Debug)]
pub struct Shell {
    environment: Arc<BTreeMap<String, String>>,
    /// The same as macros.
    defined: Macros,
    /// Those of scripts, scope by scope.
    macros: Macros,
    variables: Variables,
    session: Session,
    autosave: Settings,
    /// Where names of files count from; nothing for the directory of the process.
    directory: String,
    access: Option<(String, String)>,
    substitutions: String,
    /// `iocInit` was done.
    running: bool,
    /// Scripts that are being executed.
    depth: usize,
    /// Lines since one was given.
    lines: usize,
    on_error: OnError,
    failed: bool,
    /// Lines for when `iocInit` is done.
    afterwards: Vec<String>,
}

impl Default for Shell {
    fn default() -> Self {
        Self::new()
    }
}

impl Shell {
    /// A shell without environment.
    pub fn new() -> Self {
        Self {
            environment: Arc::default(),
            defined: Macros::new(),
            macros: Macros::new(),
            variables: Variables::new(),
            session: Session::new(),
            autosave: Settings::default(),
            directory: String::new(),
            access: None,
            substitutions: String::new(),
            running: false,
            depth: 0,
            lines: 0,
            on_error: OnError::Continue,
            failed: false,
            afterwards: Vec::new(),
        }
    }

    /// Defines a variable of the environment: a macro of every line, as in `$(TOP)`.
    pub fn set_variable(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        self.defined.set(name.as_bytes(), value.as_bytes());
        Arc::make_mut(&mut self.environment).insert(name, value);
    }

    /// Record types and devices that no `.dbd` file describes are no mistakes
    /// ([`Loader::hold_unknown`](crate::load::Loader::hold_unknown)). To be set before a file is loaded.
    pub const fn hold_unknown(&mut self) {
        self.session.hold_unknown();
    }

    /// Takes a variable of the environment away.
    pub fn unset_variable(&mut self, name: &str) {
        self.defined.unset(name.as_bytes());
        Arc::make_mut(&mut self.environment).remove(name);
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// Whether `iocInit` was done.
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// All variables of the environment.
    pub fn environment(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&self.environment)
    }

    /// The IOC of the host serves already: as behind `iocInit`.
    pub const fn attach(&mut self) {
        self.running = true;
    }

    /// Whether there is something for `iocInit`: files were loaded.
    pub fn has_records(&self) -> bool {
        !self.session.is_empty()
    }

    /// The settings of autosave that commands have made.
    pub const fn autosave(&self) -> &Settings {
        &self.autosave
    }

    /// Executes a line of the console.
    pub fn line(&mut self, host: &mut dyn Host, line: &str) -> Next {
        self.lines = 0;
        Run::new(self, host, Out::default()).line(line, None)
    }

    /// Executes a script, with macros as `A=1,B=2`; whether it could be read, and was not left because of
    /// `on error break`.
    pub fn script(&mut self, host: &mut dyn Host, file: &str, macros: &str) -> bool {
        self.lines = 0;
        Run::new(self, host, Out::default()).load(file, macros)
    }

    /// Executes a command with its words as they are: what options of a program stand for.
    pub fn command(&mut self, host: &mut dyn Host, words: &[&str]) -> bool {
        self.lines = 0;
        let words = words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>();
        Run::new(self, host, Out::default()).execute(&words, None)
    }

    /// A name of a file as the host reads it.
    fn path(&self, name: &str) -> String {
        match self.directory.is_empty() || name.starts_with('/') {
            true => name.to_owned(),
            false => format!("{}/{name}", self.directory.trim_end_matches('/')),
        }
    }
}
