//! From what was planned to an IOC that serves: at the start, or when a script says `iocInit`.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ca_net::Runtime;
use ca_server_sim::IocBuilder;
use ca_server_sim::autosave::{Pass, Restore, Settings};
use ca_server_sim::load::{Disk, access_security};
use ca_server_sim::net::{ServeError, SimIoc};
use ca_server_sim::process::Function;
use ca_server_sim::shell::{Shell, Start};
use tokio::sync::mpsc;

use super::host::{Event, OnlyFiles, Shared, ShellHost};
use super::loads::Load;
use super::plan::Plan;
use super::prompt::{self, Terminal, Work};
use super::ready::{self, Ready, Told};
use super::reload::Served;
use super::saver::{Saver, keep};
use super::{IocArgs, announce, notify, place, status};
use crate::background::say;
use crate::console::Console;
use crate::exit::{Stop, UsageError};

/// What an IOC is made of, until it is.
pub(super) struct Maker<'a> {
    pub(super) args: &'a IocArgs,
    pub(super) plan: Plan,
    pub(super) builder: IocBuilder,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) control: Option<SocketAddrV4>,
    pub(super) exit: Exit,
    /// The name under which the user has called it.
    pub(super) soft: bool,
}

/// An IOC that serves, with what has to last as long.
pub(super) struct Made {
    pub(super) ioc: SimIoc,
    pub(super) served: Served,
    pub(super) told: Told,
    pub(super) saver: Option<Saver>,
}

/// Whether a record has ended the IOC, and how.
#[derive(Clone, Default)]
pub(super) struct Exit {
    failed: Arc<AtomicBool>,
    /// Who is to be told, once.
    notify: Arc<tokio::sync::Notify>,
}

impl Exit {
    /// The function of the record.
    fn function(&self) -> Function {
        let own = self.clone();
        Function::new(move |call| {
            own.failed.store(call.number("A") != 0.0, Ordering::Relaxed);
            own.notify.notify_one();
            0
        })
    }

    /// Ends when the record says so.
    pub(super) async fn wait(&self) {
        self.notify.notified().await;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Maker<'_> {
    /// Makes the IOC and lets it serve; with it come lines about what is odd.
    ///
    /// # Errors
    /// PVs or records that cannot be, ports that are taken, an output that cannot be written.
    pub(super) fn make(
        self,
        console: &mut Console<'_>,
        mut start: Start,
    ) -> Result<(Made, Vec<String>), Stop> {
        let Self { args, plan, .. } = self;
        let environment = Arc::clone(&start.environment);
        let look_up = |name: &str| environment.get(name).cloned();
        let (mut params, config) = place::place(args, &look_up)?;
        plan.apply(&mut params);
        start
            .functions
            .push(("exit".to_owned(), self.exit.function()));
        let (settings, restored) = (start.autosave.clone(), files(&start));
        let mut lines = Vec::new();
        let mut builder = self.builder.reboots(args.may_reboot());
        if let Some((file, macros)) = &start.access {
            let (rules, mistakes) = access_security(&Disk, file, macros);
            if !mistakes.is_empty() {
                console.complain(mistakes.render(console.err_styled()))?;
            }
            if mistakes.has_errors() {
                return Err(Stop::Told);
            }
            builder = builder.access_security(rules);
        }
        let served = Served::of(&plan);
        let pvs = plan.pvs.into_iter().map(|pv| (pv.name, pv.spec));
        let ioc = start.build(builder.params(params).pvs(pvs));
        let refused = |error: ServeError| Stop::from(place::refused(args, &error));
        let ioc = ioc.map_err(|error| refused(error.into()))?;
        let ioc = SimIoc::start_on(self.runtime, ioc, config).map_err(refused)?;
        lines.extend(ioc.with(|ioc, _| ioc.take_restored()));
        let (kept, own) = (settings.clone(), args.autosave_files());
        ioc.with(|ioc, _| ioc.restore_at_resets(move || restored_again(&kept, &own)));
        super::faults::begin(args, &ioc)?;
        for name in restored {
            if let Err(error) = keep(&name, settings.dated) {
                lines.push(format!("{name} is not copied: {error}"));
            }
        }
        // First, so that nothing is announced that then ends because nobody can be told.
        let told = ready::tell(args.ready.as_ref(), console, &ioc, self.control)?;
        if args.ready != Some(Ready::Json) && !args.quiet {
            match self.soft || args.script().is_some() {
                true => announce::ready(console, &ioc, self.control)?,
                false => announce::announce(console, args, &ioc, self.control)?,
            }
        } else if args.port != Some(0) && ioc.addr().port() != ioc.udp_port() {
            console.complain(announce::other_port(&ioc))?;
        }
        notify::ready(&status(&ioc));
        // Before the shell says what it has to save.
        let saver = (!settings.sets.is_empty()).then(|| Saver::start(ioc.clone(), settings, say));
        let made = Made {
            ioc,
            served,
            told,
            saver,
        };
        Ok((made, lines))
    }
}

/// What save files have when the IOC reboots: those that scripts name, and those of options, which need not have been
/// there at the first start.
fn restored_again(settings: &Settings, own: &[String]) -> Vec<Restore> {
    let mut settings = settings.clone();
    for file in own {
        let known = settings.restore.iter().any(|(_, known, _)| known == file);
        if !known && is_there(&settings.save_file(file)) {
            let passes = [Pass::Before, Pass::After];
            let new = passes.map(|pass| (pass, file.clone(), String::new()));
            settings.restore.extend(new);
        }
    }
    let passes = [Pass::Before, Pass::After].into_iter();
    let found = passes.flat_map(|pass| {
        let (found, said) = settings.restores(&OnlyFiles, pass);
        said.iter().for_each(|line| say(line));
        found
    });
    found.collect()
}

/// Save files that are restored, each once.
fn files(start: &Start) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for restore in &start.restores {
        if !all.contains(&restore.name) {
            all.push(restore.name.clone());
        }
    }
    all
}

/// A shell with the environment of the process, and what options stand for.
pub(super) fn shell(args: &IocArgs, host: &mut ShellHost) -> Result<Shell, Stop> {
    let mut shell = Shell::new();
    if args.hold_unknown {
        shell.hold_unknown();
    }
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str()) {
            shell.set_variable(name, value);
        }
    }
    let mut command = |words: &[&str]| match shell.command(host, words) {
        true => Ok(()),
        false => Err(Stop::Told),
    };
    if let Some(directory) = &args.autosave_dir {
        command(&["set_savefile_path", directory])?;
    }
    for (request, file) in args.autosave.iter().zip(args.autosave_files()) {
        let macros = args.loads.db.last().or_else(|| args.loads.files.last());
        let macros = macros.map_or("", |load| load.macros.as_str());
        // At the first start there is none.
        if host_has(args, &file) {
            command(&["set_pass0_restoreFile", &file])?;
            command(&["set_pass1_restoreFile", &file])?;
        }
        let period = args.autosave_period.to_string();
        command(&["create_monitor_set", request, &period, macros])?;
    }
    Ok(shell)
}

fn host_has(args: &IocArgs, file: &str) -> bool {
    let settings = Settings {
        save_path: args.autosave_dir.clone().unwrap_or_default(),
        ..Settings::default()
    };
    is_there(&settings.save_file(file))
}

/// Whether there is a save file, or its copy.
fn is_there(file: &str) -> bool {
    std::path::Path::new(file).exists() || std::path::Path::new(&format!("{file}B")).exists()
}

/// What the shell's settings say of an IOC that is made without `iocInit`.
pub(super) fn start(shell: &Shell, host: &ShellHost) -> Start {
    let mut start = Start::default();
    start.environment = shell.environment();
    start.autosave = shell.autosave().clone();
    for pass in [Pass::Before, Pass::After] {
        let (found, said) = start.autosave.restores(host, pass);
        start.restores.extend(found);
        for line in said {
            say(&line);
        }
    }
    start
}

/// The shell in its thread.
pub(super) struct Session {
    events: mpsc::Receiver<Event>,
    /// Gives the terminal back at the end.
    terminal: Terminal,
}

/// Events that wait.
const WAITING: usize = 16;

/// A host and where its events arrive.
pub(super) fn host() -> (ShellHost, mpsc::Receiver<Event>) {
    let (send, events) = mpsc::channel(WAITING);
    (ShellHost::new(Shared::default(), send), events)
}

impl Session {
    /// Lets the shell run in a thread of its own, with the IOC if there is one.
    pub(super) fn start(
        (mut shell, mut host): (Shell, ShellHost),
        events: mpsc::Receiver<Event>,
        ioc: Option<SimIoc>,
        work: Work,
    ) -> Result<Self, Stop> {
        let terminal = Terminal::keep(work.interactive);
        if ioc.is_some() {
            shell.attach();
        }
        host.ioc = Shared::of(ioc);
        let thread = std::thread::Builder::new().name("iocsh".to_owned());
        thread
            .spawn(move || prompt::run(shell, host, &work))
            .map_err(|error| {
                UsageError::new(
                    format!("no thread for the shell: {error}"),
                    "end other programs",
                )
            })?;
        Ok(Self { events, terminal })
    }

    /// What the shell asks for next; never anything once it has nothing to say.
    pub(super) async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => {
                self.terminal.editing &= !matches!(event, Event::Ended(_));
                event
            }
            None => std::future::pending().await,
        }
    }
}

/// What softIoc says at its start with `-v`.
pub(super) fn verbose(args: &IocArgs, console: &mut Console<'_>) -> std::io::Result<()> {
    let loads = &args.loads;
    for path in &args.dbd {
        writeln!(console.out, "dbLoadDatabase(\"{}\")", path.display())?;
    }
    let line = |Load { path, macros }: &Load| match macros.as_str() {
        "" => format!("dbLoadRecords(\"{}\")", path.display()),
        macros => format!("dbLoadRecords(\"{}\", \"{macros}\")", path.display()),
    };
    for load in &loads.db {
        writeln!(console.out, "{}", line(load))?;
    }
    if let Some(prefix) = &loads.exit {
        writeln!(
            console.out,
            "dbLoadRecords(\"softIocExit.db\", \"IOC={prefix}\")"
        )?;
    }
    if !loads.db.is_empty() || loads.exit.is_some() {
        writeln!(console.out, "iocInit()")?;
    }
    console.out.flush()
}
