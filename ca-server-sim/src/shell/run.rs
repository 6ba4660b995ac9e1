//! Execution of lines: macros, words, redirections, scripts.

use std::io::Write;
use std::sync::Arc;

use ca_proto::Instant;
use ca_proto::text::Shown;

use super::commands::{self, Args};
use super::host::Host;
use super::words::{Redirect, split};
use super::{Command, MAX_DEPTH, MAX_LINE, MAX_LINES, MAX_SCRIPT, Next, OnError, Shell};
use crate::ioc::Ioc;
use crate::load::FileProblem;
use crate::slip::nearest;

/// Where the streams of a command go to.
#[derive(Default)]
pub(super) struct Out {
    out: Option<Box<dyn Write>>,
    err: Option<Box<dyn Write>>,
}

/// Where a line stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub file: &'a str,
    pub line: usize,
}

/// A shell at work.
pub(super) struct Run<'a> {
    pub shell: &'a mut Shell,
    pub host: &'a mut dyn Host,
    out: Out,
    at: Option<(String, usize)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(shell: &'a mut Shell, host: &'a mut dyn Host, out: Out) -> Self {
        Self {
            shell,
            host,
            out,
            at: None,
        }
    }

    /// Writes to the output of the command.
    pub(super) fn print(&mut self, text: impl AsRef<str>) {
        match &mut self.out.out {
            // A full disk is told of when the file is closed, as far as the system says so.
            Some(file) => drop(file.write_all(text.as_ref().as_bytes())),
            None => self.host.out(text.as_ref()),
        }
    }

    /// Writes a line to the output of the command.
    pub(super) fn say(&mut self, line: impl AsRef<str>) {
        self.print(format!("{}\n", line.as_ref()));
    }

    /// Writes to the error stream, with the place of the line.
    pub(super) fn complain(&mut self, what: impl AsRef<str>) {
        let place = self
            .at
            .as_ref()
            .map(|(file, line)| format!("{file} line {line}: "));
        let what = what
            .as_ref()
            .split('\n')
            .map(|line| Shown(line).to_string());
        let what = what.collect::<Vec<_>>().join("\n");
        let text = format!("{}{what}\n", Shown(place.unwrap_or_default()));
        self.mutter(&text);
    }

    /// Writes to the error stream as it is.
    pub(super) fn mutter(&mut self, text: &str) {
        match &mut self.out.err {
            Some(file) => drop(file.write_all(text.as_bytes())),
            None => self.host.err(text),
        }
    }

    /// Works with the IOC; `None` before there is one.
    pub(super) fn ioc<R>(&mut self, work: impl FnOnce(&mut Ioc, Instant) -> R) -> Option<R> {
        let (mut work, mut result) = (Some(work), None);
        self.host.with(&mut |ioc, now| {
            if let Some(work) = work.take() {
                result = Some(work(ioc, now));
            }
        });
        result
    }

    /// As [`Self::ioc`], for a command that makes sense only then.
    pub(super) fn running<R>(
        &mut self,
        command: &str,
        work: impl FnOnce(&mut Ioc, Instant) -> R,
    ) -> Option<R> {
        let result = match self.shell.running {
            true => self.ioc(work),
            false => None,
        };
        if result.is_none() {
            self.say(format!("{command} only works after iocInit"));
        }
        result
    }

    /// Executes a line.
    pub(super) fn line(&mut self, raw: &str, at: Option<At<'_>>) -> Next {
        self.at = at.map(|at| (at.file.to_owned(), at.line));
        self.shell.lines += 1;
        let raw = raw.trim_end_matches(['\n', '\r']);
        if raw.len() > MAX_LINE {
            self.complain(format!(
                "A line may have {MAX_LINE} bytes; this one is left out."
            ));
            self.shell.failed = true;
            return Next::Line;
        }
        let begin = raw.trim_start();
        if begin.starts_with('#') {
            if at.is_some() && !begin.starts_with("#-") {
                self.say(raw);
            }
            return Next::Line;
        }
        let Some(line) = self.expanded(raw) else {
            self.shell.failed = true;
            return Next::Line;
        };
        let begin = line.trim_start();
        if at.is_some() && !begin.is_empty() && !begin.starts_with("#-") {
            self.say(&line);
        }
        if begin.is_empty() || begin.starts_with('#') {
            return Next::Line;
        }
        match split(begin) {
            Err(error) => {
                self.complain(error.to_string());
                self.shell.failed = true;
                Next::Line
            }
            Ok(words) if words.words.first().is_some_and(|word| word == "exit") => Next::Exit,
            Ok(words) => {
                let done = self.redirected(&words.words, &words.redirects);
                self.shell.failed = !done;
                Next::Line
            }
        }
    }

    /// The line with its macros expanded.
    fn expanded(&mut self, raw: &str) -> Option<String> {
        if !raw.contains('$') {
            return Some(raw.to_owned());
        }
        // Those of scripts hide those of the environment.
        let mut macros = self.shell.defined.clone();
        macros.extend(&self.shell.macros);
        let expanded = macros.expand(raw);
        match expanded.problems.is_empty() {
            true => Some(String::from_utf8_lossy(&expanded.text).into_owned()),
            false => {
                for problem in &expanded.problems {
                    self.complain(format!("{problem}; the line is left out: {}", raw.trim()));
                }
                None
            }
        }
    }

    fn redirected(&mut self, words: &[String], redirects: &[Redirect]) -> bool {
        let mut out = Out::default();
        for redirect in redirects.iter().filter(|redirect| redirect.stream > 0) {
            let path = self.shell.path(&redirect.file);
            match self.host.open(&path, redirect.append) {
                Ok(file) if redirect.stream == 1 => out.out = Some(file),
                Ok(file) if redirect.stream == 2 => out.err = Some(file),
                // Commands have no other streams.
                Ok(_) => {}
                Err(error) => {
                    self.complain(format!("Can't open \"{}\": {error}.", redirect.file));
                    return false;
                }
            }
        }
        // What is not redirected goes where it went.
        let redirected = (out.out.is_some(), out.err.is_some());
        self.swap(redirected, &mut out);
        let input = redirects.iter().find(|redirect| redirect.stream == 0);
        let done = match (words, input) {
            // `< file`: as a script.
            ([], Some(input)) => self.load(&input.file, ""),
            ([], None) => true,
            _ => {
                let at = self.at.clone();
                let done = self.execute(words, None);
                self.at = at;
                done
            }
        };
        self.swap(redirected, &mut out);
        for file in [out.out, out.err].into_iter().flatten() {
            let mut file = file;
            if let Err(error) = file.flush() {
                self.complain(format!("cannot write to the file: {error}"));
                return false;
            }
        }
        done
    }

    fn swap(&mut self, (out, err): (bool, bool), with: &mut Out) {
        if out {
            std::mem::swap(&mut self.out.out, &mut with.out);
        }
        if err {
            std::mem::swap(&mut self.out.err, &mut with.err);
        }
    }

    /// Executes a command; whether it did what it was to do.
    pub(super) fn execute(&mut self, words: &[String], at: Option<(String, usize)>) -> bool {
        if at.is_some() {
            self.at = at;
        }
        let Some((name, given)) = words.split_first() else {
            return true;
        };
        let Some(command) = commands::find(name) else {
            return self.unknown(name);
        };
        match Args::read(command, given) {
            Ok(args) => (command.run)(self, &args),
            Err(what) => {
                self.complain(what);
                false
            }
        }
    }

    /// What a support module would do is left out; so it is no failure.
    fn unknown(&mut self, name: &str) -> bool {
        if name.ends_with("_registerRecordDeviceDriver") || name == "registerAllRecordDeviceDrivers"
        {
            return true;
        }
        if let Some(why) = super::reports::absent(name) {
            self.complain(format!("{name}: {why}"));
            return true;
        }
        let known = commands::command_names().filter(|known| known.len() > 2);
        let meant = nearest(name, known).filter(|_| name.len() > 2);
        let meant = meant.map_or_else(String::new, |meant| format!("; is `{meant}` meant?"));
        self.complain(format!("Command {name} not found, it is left out{meant}"));
        true
    }

    /// Executes a script.
    pub(super) fn load(&mut self, file: &str, macros: &str) -> bool {
        let path = self.shell.path(file);
        let text = match self.host.read(&path, MAX_SCRIPT) {
            Ok(text) => text,
            Err(problem) => {
                self.complain(format!("Can't open {file}: {}", shown(&problem)));
                return false;
            }
        };
        if self.shell.depth >= MAX_DEPTH {
            self.complain(format!(
                "{MAX_DEPTH} scripts call each other, the most there may be; {file} is left out"
            ));
            return false;
        }
        let outer = (self.at.take(), std::mem::take(&mut self.shell.on_error));
        self.shell.depth += 1;
        self.shell.macros.enter();
        self.shell.macros.define(macros);
        let done = self.lines_of(file, &text);
        self.shell.macros.leave();
        self.shell.depth -= 1;
        (self.at, self.shell.on_error) = outer;
        done
    }

    fn lines_of(&mut self, file: &str, text: &Arc<[u8]>) -> bool {
        let short = file.rsplit('/').next().unwrap_or(file);
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.is_empty() {
            return true;
        }
        for (line, number) in text.split(|&b| b == b'\n').zip(1..) {
            if self.shell.lines >= MAX_LINES {
                self.complain(format!(
                    "{MAX_LINES} lines were executed, the most there may be"
                ));
                return false;
            }
            self.shell.failed = false;
            let at = At {
                file: short,
                line: number,
            };
            let line = String::from_utf8_lossy(line);
            if self.line(&line, Some(at)) == Next::Exit {
                return true;
            }
            if !std::mem::take(&mut self.shell.failed) {
                continue;
            }
            match self.shell.on_error {
                OnError::Continue => {}
                OnError::Wait(time) => self.host.sleep(time),
                OnError::Break => {
                    self.complain("Error: Break");
                    return false;
                }
            }
        }
        true
    }

    /// Executes one line within another, as `iocshRun` does.
    pub(super) fn run_line(&mut self, line: &str, macros: &str) -> bool {
        if self.shell.depth >= MAX_DEPTH || self.shell.lines >= MAX_LINES {
            self.complain(format!(
                "{MAX_DEPTH} commands call each other, the most there may be"
            ));
            return false;
        }
        let at = self.at.take();
        self.shell.depth += 1;
        self.shell.macros.enter();
        self.shell.macros.define(macros);
        self.shell.failed = false;
        self.line(line, None);
        self.shell.macros.leave();
        self.shell.depth -= 1;
        self.at = at;
        !std::mem::take(&mut self.shell.failed)
    }

    /// Whether the line is of a script.
    pub(super) const fn is_scripted(&self) -> bool {
        self.at.is_some()
    }
}

/// Why a file has no text.
pub(crate) fn shown(problem: &FileProblem) -> String {
    match problem {
        FileProblem::Missing => "there is no such file".to_owned(),
        FileProblem::TooLarge => "it is too large".to_owned(),
        FileProblem::Unreadable(why) => why.clone(),
    }
}

impl Command {
    /// As `help` shows it: the name and its arguments.
    pub(super) fn synopsis(&self) -> String {
        let mut text = self.name.to_owned();
        for (name, kind) in self.arguments {
            let quoted = name.contains(' ') && *kind != commands::Kind::Rest;
            text.push_str(&match quoted {
                true => format!(" '{name}'"),
                false => format!(" {name}"),
            });
        }
        text
    }
}
