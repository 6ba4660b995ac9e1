//! Files of records that commands load, one after another, before the IOC is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::host::Host;
use crate::load::{Dbd, FileProblem, Files, Loaded, Loader, Paused, Records};
use crate::served::{base_dbd, with_base};

/// What is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Dbd,
    Records,
    Template,
}

/// A file that a command loads.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub what: What,
    pub name: String,
    pub macros: String,
    /// Where it is looked for; nothing for the current directory.
    pub path: Vec<String>,
    /// The current directory.
    pub directory: String,
    pub environment: Arc<BTreeMap<String, String>>,
}

/// What was loaded so far.
#[derive(Debug, Default)]
pub(super) struct Session {
    loads: Vec<Load>,
    /// What they say; `None` if one of them is not in it, or one too many.
    state: Option<Paused>,
    hold_unknown: bool,
}

/// The files of a host.
struct OfHost<'a>(&'a dyn Host);

impl Files for OfHost<'_> {
    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        self.0.read(name, limit)
    }
}

impl Session {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// See [`Loader::hold_unknown`].
    pub(super) const fn hold_unknown(&mut self) {
        self.hold_unknown = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.loads.iter().any(|load| load.what != What::Dbd)
    }

    /// Loads a file: what is odd about it. With a mistake nothing of it is loaded.
    ///
    /// # Errors
    /// The mistakes.
    pub(super) fn load(&mut self, host: &dyn Host, load: Load) -> Result<String, String> {
        let files = OfHost(host);
        let loader = match self.state.take() {
            Some(state) if load.what != What::Dbd => Loader::resume(&files, state),
            _ => self.again(&files, Some(&load)),
        };
        let (before, errors) = {
            let mistakes = &loader.mistakes;
            (mistakes.iter().count(), mistakes.errors())
        };
        let state = read(loader, &load).pause();
        let text = state.mistakes.render_since(before, host.styled());
        match state.mistakes.errors() > errors {
            true => Err(text),
            false => {
                self.loads.push(load);
                self.state = Some(state);
                Ok(text)
            }
        }
    }

    /// All that was loaded, from the beginning; `next` is the file that comes then.
    fn again<'f>(&self, files: &'f OfHost<'f>, next: Option<&Load>) -> Loader<'f> {
        let all = self.loads.iter();
        let dbds: Vec<&Load> = all
            .chain(next)
            .filter(|load| load.what == What::Dbd)
            .collect();
        // What a site redefines counts; what it only adds to must be known before.
        let types = match dbds.is_empty() {
            true => base_dbd(),
            false => {
                let mut first = Loader::with(files, Dbd::new());
                for load in dbds {
                    first = read(first, load);
                }
                with_base(&first.finish().dbd)
            }
        };
        let mut loader = Loader::with(files, types);
        if self.hold_unknown {
            loader = loader.hold_unknown();
        }
        self.loads.iter().fold(loader, read)
    }

    /// The records so far.
    pub(super) fn records(&mut self, host: &dyn Host) -> &Records {
        if self.state.is_none() {
            let state = self.again(&OfHost(host), None).pause();
            self.state = Some(state);
        }
        let state = self.state.get_or_insert_with(Paused::default);
        &state.records
    }

    /// All that was loaded.
    pub(super) fn finish(&mut self, host: &dyn Host) -> Option<Loaded> {
        if self.is_empty() {
            return None;
        }
        let files = OfHost(host);
        let loader = match self.state.take() {
            Some(state) => Loader::resume(&files, state),
            None => self.again(&files, None),
        };
        Some(loader.finish())
    }
}

fn read<'f>(loader: Loader<'f>, load: &Load) -> Loader<'f> {
    let mut loader = loader.current(&load.directory).without_directories();
    for directory in &load.path {
        loader = loader.directory(directory.as_str());
    }
    for (name, value) in &*load.environment {
        loader = loader.variable(name, value);
    }
    match load.what {
        What::Dbd => loader.dbd(&load.name, &load.macros),
        What::Records => loader.db(&load.name, &load.macros),
        What::Template => loader.substitutions(&load.name, &load.macros),
    };
    loader
}
