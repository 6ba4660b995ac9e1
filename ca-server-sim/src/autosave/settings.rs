//! What is saved when and where, and what is restored.

use super::file::SaveFile;
use super::restore::{Pass, Restore};
use super::{MAX_FILE, MAX_SETS};
use crate::load::FileProblem;
use crate::shell::Host;

/// When a set is saved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// When something has changed, looked at with this period in seconds.
    Change(u32),
    /// With this period in seconds.
    Period(u32),
    /// When this PV changes.
    Pv(String),
    /// When a command says so.
    Manual,
}

/// Fields that are saved in one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchedSet {
    /// The request file, by which commands name the set.
    pub request: String,
    /// The save file, as the host opens it.
    pub file: String,
    /// When it is written.
    pub trigger: Trigger,
    /// The fields.
    pub fields: Vec<String>,
}

/// The settings of autosave, as commands of a start-up file make them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Directories in which request files are looked for.
    pub request_path: Vec<String>,
    /// The directory of save files.
    pub save_path: String,
    /// The sets, each request once.
    pub sets: Vec<WatchedSet>,
    /// Save files that are restored, by name, and with macros.
    pub restore: Vec<(Pass, String, String)>,
    /// Copies `.sav0`, `.sav1` …, which are written in turn.
    pub sequence: u32,
    /// Seconds between two of them; 10 at least.
    pub sequence_period: u32,
    /// Whether a file in which values were missing is restored.
    pub incomplete: bool,
    /// Whether the copy of a file that is restored has its date in its name.
    pub dated: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_path: Vec::new(),
            save_path: String::new(),
            sets: Vec::new(),
            restore: Vec::new(),
            sequence: 3,
            sequence_period: 60,
            incomplete: true,
            dated: false,
        }
    }
}

impl Settings {
    /// A save file by its name.
    pub fn save_file(&self, name: &str) -> String {
        match self.save_path.is_empty() || name.starts_with('/') {
            true => name.to_owned(),
            false => format!("{}/{name}", self.save_path.trim_end_matches('/')),
        }
    }

    /// Adds a set, or replaces the one of the same request.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub fn add(&mut self, set: WatchedSet) -> Result<(), String> {
        let known = self
            .sets
            .iter()
            .position(|other| other.request == set.request);
        match known {
            Some(place) => self.sets[place] = set,
            None if self.sets.len() >= MAX_SETS => {
                return Err(format!("there are {MAX_SETS} sets, the most there may be"));
            }
            None => self.sets.push(set),
        }
        Ok(())
    }

    /// The files of a pass that can be restored, and what is to be said about them. Of a file that is not whole
    /// the newest copy that is takes its place: `.savB`, then `.sav0`, `.sav1` …
    pub fn restores(&self, host: &dyn Host, pass: Pass) -> (Vec<Restore>, Vec<String>) {
        let (mut found, mut said) = (Vec::new(), Vec::new());
        for (_, name, macros) in self.restore.iter().filter(|(of, ..)| *of == pass) {
            match self.whole(host, name, macros, &mut said) {
                Some((name, file)) if file.missing > 0 && !self.incomplete => {
                    let missing = file.missing;
                    said.push(format!(
                        "{name}: {missing} values were missing when it was written; it is not restored"
                    ));
                }
                Some((name, file)) => {
                    // The second pass has nothing new to say.
                    if pass == Pass::Before || !self.has(Pass::Before, &name) {
                        said.extend(file.odd.iter().cloned());
                    }
                    found.push(Restore { pass, name, file });
                }
                None => said.push(format!("{name}: nothing is restored from it")),
            }
        }
        (found, said)
    }

    fn has(&self, pass: Pass, name: &str) -> bool {
        self.restore
            .iter()
            .any(|(of, known, _)| *of == pass && self.save_file(known) == name)
    }

    /// The first of a file and its copies that is whole.
    pub fn whole(
        &self,
        host: &dyn Host,
        name: &str,
        macros: &str,
        said: &mut Vec<String>,
    ) -> Option<(String, SaveFile)> {
        let path = self.save_file(name);
        let copies = (0..self.sequence.min(10)).map(|number| format!("{path}{number}"));
        let all = [path.clone(), format!("{path}B")].into_iter().chain(copies);
        for (candidate, at) in all.zip(0..) {
            let text = match host.read(&candidate, MAX_FILE) {
                Ok(text) => text,
                Err(FileProblem::Missing) if at > 0 => continue,
                Err(problem) => {
                    said.push(format!("{candidate}: {}", crate::shell::shown(&problem)));
                    continue;
                }
            };
            let text = match macros.is_empty() {
                true => text,
                false => {
                    let mut defined = crate::load::Macros::new();
                    defined.define(macros);
                    defined.expand(&text).text.into()
                }
            };
            match SaveFile::read(&candidate, &text) {
                Ok(file) => {
                    if at > 0 {
                        said.push(format!("{candidate} takes its place"));
                    }
                    return Some((candidate, file));
                }
                Err(why) => said.push(why),
            }
        }
        None
    }
}
