//! The console: a line editor around the shell, in a thread of its own.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use ca_server_sim::shell::{MAX_LINE, Next, Shell, complete};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::host::{Event, Shared, ShellHost};

/// What the shell has to do.
pub(super) struct Work {
    /// The script, and its macros.
    pub(super) script: Option<(String, String)>,
    /// Whether lines are read from standard input behind it.
    pub(super) interactive: bool,
    /// Say what is done.
    pub(super) verbose: bool,
}

/// Names that are offered.
const MAX_NAMES: usize = 200;
/// Names that are looked at before clients have their turn.
const SLICE: usize = 2048;
/// Lines of the history.
const MAX_HISTORY: usize = 1024;

/// Runs the shell to its end, which is told as the last event.
pub(super) fn run(mut shell: Shell, mut host: ShellHost, work: &Work) {
    let mut done = true;
    if let Some((script, macros)) = &work.script {
        if work.verbose {
            say(&mut host, &format!("# Begin {script}"));
        }
        done = shell.script(&mut host, script, macros);
        if work.verbose {
            say(&mut host, &format!("# End {script}"));
        }
        if !work.interactive && !shell.is_running() {
            if done {
                let what = format!("{script} has no iocInit: nothing is served\n");
                ca_server_sim::shell::Host::err(&mut host, &what);
            }
            let _ = host.events.blocking_send(Event::Ended(false));
            return;
        }
    }
    if !work.interactive {
        // The IOC serves until it is ended.
        return;
    }
    match io::stdin().is_terminal() {
        true => edit(&mut shell, &mut host),
        false => read(&mut shell, &mut host, io::stdin().lock()),
    }
    let _ = host.events.blocking_send(Event::Ended(done));
}

fn say(host: &mut ShellHost, line: &str) {
    ca_server_sim::shell::Host::out(host, &format!("{line}\n"));
}

/// Lines of a pipe or a file.
fn read(shell: &mut Shell, host: &mut ShellHost, mut input: impl BufRead) {
    loop {
        let mut line = Vec::new();
        // One more tells that it is too long; its rest is another line.
        let most = MAX_LINE as u64 + 1;
        match input.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return,
        }
        let line = String::from_utf8_lossy(&line);
        if shell.line(host, &line) == Next::Exit {
            return;
        }
    }
}

/// Lines of a terminal.
fn edit(shell: &mut Shell, host: &mut ShellHost) {
    let config = Config::builder()
        .max_history_size(MAX_HISTORY)
        .map(|config| {
            config
                .completion_type(CompletionType::List)
                .auto_add_history(true)
                .build()
        });
    let editor = config.and_then(Editor::<Console, FileHistory>::with_config);
    // A terminal that cannot be edited is read as a pipe.
    let Ok(mut editor) = editor else {
        return read(shell, host, io::stdin().lock());
    };
    editor.set_helper(Some(Console {
        ioc: host.ioc.clone(),
        files: FilenameCompleter::new(),
    }));
    let history = history(shell);
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    let mut interrupted = false;
    loop {
        let prompt = shell.variable("IOCSH_PS1").unwrap_or("epics> ").to_owned();
        match editor.readline(&prompt) {
            Ok(line) => {
                interrupted = false;
                if shell.line(host, &line) == Next::Exit {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) if !interrupted => {
                interrupted = true;
                say(host, "(once more Ctrl-C, Ctrl-D or `exit` ends the IOC)");
            }
            Err(_) => break,
        }
    }
    if let Some(path) = &history {
        // A directory that cannot be written is no matter here.
        let _ = editor.save_history(path);
    }
}

/// As EPICS Base names it, else in the home directory.
fn history(shell: &Shell) -> Option<PathBuf> {
    let home = || shell.variable("HOME").filter(|home| !home.is_empty());
    match shell.variable("EPICS_IOCSH_HISTFILE") {
        Some("") => None,
        Some(file) => match file.strip_prefix("~/") {
            Some(below) => home().map(|home| PathBuf::from(home).join(below)),
            None => Some(file.into()),
        },
        None => home().map(|home| PathBuf::from(home).join(".iocsh_history")),
    }
}

/// What the tabulator completes.
struct Console {
    ioc: Shared,
    files: FilenameCompleter,
}

impl Helper for Console {}
impl Highlighter for Console {}
impl Validator for Console {}
impl Hinter for Console {
    type Hint = String;
}

impl Completer for Console {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..at).unwrap_or(line);
        let (begin, words, file) = complete(before, |begin| self.names(begin));
        if file {
            return self.files.complete(line, at, context);
        }
        let pair = |word: String| Pair {
            display: word.clone(),
            replacement: word,
        };
        Ok((begin, words.into_iter().map(pair).collect()))
    }
}

impl Console {
    /// Names of PVs that begin so.
    fn names(&self, begin: &str) -> Vec<String> {
        let Some(ioc) = self.ioc.get() else {
            return Vec::new();
        };
        let (mut found, mut at) = (Vec::new(), 0);
        while found.len() < MAX_NAMES {
            let more = ioc.with(|ioc, _| {
                let mut seen = 0;
                for name in ioc.pv_names().skip(at).take(SLICE) {
                    seen += 1;
                    if name.starts_with(begin) {
                        found.push(name.to_owned());
                    }
                }
                seen
            });
            at += more;
            if more < SLICE {
                break;
            }
        }
        found.truncate(MAX_NAMES);
        found
    }
}

/// The terminal as it was when this was made: it is given back when the program ends while a line is edited.
pub(super) struct Terminal {
    #[cfg(unix)]
    before: Option<nix::sys::termios::Termios>,
    /// A line may stand there that is not finished.
    pub(super) editing: bool,
}

impl Terminal {
    pub(super) fn keep(editing: bool) -> Self {
        Self {
            #[cfg(unix)]
            before: nix::sys::termios::tcgetattr(io::stdin()).ok(),
            editing: editing && io::stdin().is_terminal(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            use nix::sys::termios::{SetArg, tcsetattr};
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
        if self.editing {
            let _ = writeln!(io::stdout());
        }
    }
}
