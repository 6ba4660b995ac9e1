//! `canter ioc`: a simulated IOC for other programs.

mod announce;
pub(crate) mod control;
mod faults;
mod host;
mod links;
mod loads;
mod notify;
mod place;
mod plan;
mod prompt;
mod ready;
mod reload;
mod saver;
mod serve;
mod stats;

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ca_net::record::{Recorder, Side};
use ca_net::tap::Tap;
use ca_net::{Runtime, TokioRuntime};
use ca_server_sim::autosave::Settings;
use ca_server_sim::load::{Disk, Files};
use ca_server_sim::net::{ServeError, SimIoc};
use ca_server_sim::shell::MAX_SCRIPT;
use ca_server_sim::{Ioc, IocBuilder};
use clap::{Args, ValueEnum};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::background::{LogLines, say};
use crate::console::Console;
use crate::escape;
use crate::exit::{Outcome, Stop};
use crate::interrupt::{Asked, hung_up, interrupted, stdin_ended};
use crate::metrics::MetricsArgs;
use crate::options::{block_on, endpoint, seconds};
use crate::put_log::PutLogArgs;
use crate::record::{Flight, RecordArgs};
use control::{Deed, Request, Task};
use host::Event;
use loads::{Load, Loads};
use prompt::Work;
use ready::Ready;
use reload::Served;
use saver::Saver;
use serve::{Exit, Made, Maker, Session};

#[derive(Args, Debug)]
#[command(after_long_help = "\
A --pv is NAME=TYPE[:COUNT]:VALUE:

  gap=double:1.5             also float, long, short, char
  note=string:at 12:30       at most 39 bytes, colons and all
  valve=enum:Closed,*Open    states; the star marks the first value
  wave=double:500:1,2,3      an array with room for 500 elements
  names=strings:3:a,b        an array of texts
  path=text:256:/data/run1   an array of 256 CHAR that holds a text

Files of records are those that an IOC loads, and are served as it would: fields, links, scans, alarms.

  canter ioc -m P=SR -I templates plant.substitutions extra.db

A record type or device that is not one of EPICS Base needs its description, -D site.dbd; its records hold their values.
Where the .dbd is not at hand, --hold-unknown takes what nobody describes.

Other files are TOML; the book has every key, `First IOC`:

  [pv.\"ring:current\"]
  type = \"double\"
  value = 400.0
  units = \"mA\"
  alarm = [350, 410]
  signal = { kind = \"sine\", low = 395, high = 405, period = 10, every = 0.1 }

and may have limits against hostile clients, like --limit NAME=VALUE:

  [limits]
  max_circuits = 100
  version_timeout = 10   # seconds; the book has the list, `Configuration`

What does not fit is refused, all mistakes at once; --check looks and does nothing else. SIGHUP reads
the files anew, --acf too: PVs whose description is the same keep their values and clients, and with a mistake
in a file everything stays as it was. Fields of records of which the files say something else are
written; clients of records that are gone are told.

Links of records to PVs of other IOCs go through a client, which searches as EPICS_CA_ADDR_LIST and
the like say.

Commands come from connections to --control: read PV…, list [PATTERN], post PV VALUE…, alarm PV
SEVERITY [STATUS], rights PV RIGHTS, access PV USER HOST, complete PV, fault FAULT, add PV,
add 'record(TYPE, \"NAME\") {…}', remove PV…, rename RECORD NEW, stats, stop, start, reload, help, quit.

The output can be pasted into a shell, so that clients there find this IOC.")]
pub(crate) struct IocArgs {
    /// A PV as `NAME=TYPE[:COUNT]:VALUE`, with the escapes of `canter put` (`\\`, `\n`, `\u{b0}`); repeatable
    #[arg(long = "pv", value_name = "PV")]
    pvs: Vec<String>,
    #[command(flatten)]
    loads: Loads,
    /// Look for files of records in these directories, `a:b`, behind the current one; repeatable [default:
    /// EPICS_DB_INCLUDE_PATH]
    #[arg(short = 'I', long = "include", value_name = "PATH")]
    include: Vec<String>,
    /// Read record types, menus and devices of a site from this .dbd file; repeatable
    #[arg(short = 'D', long = "dbd", value_name = "FILE")]
    dbd: Vec<PathBuf>,
    /// Take record types and devices that no .dbd file describes: their records hold what files and clients write
    #[arg(long)]
    hold_unknown: bool,
    /// A console with the commands of an IOC shell, on standard input; its end is that of the IOC
    #[arg(short = 's', long)]
    shell: bool,
    /// No console, where it is the default: as `softIoc`
    #[arg(short = 'S', long)]
    no_shell: bool,
    /// Say what is done at the start
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Save the fields that a request file (.req) names, and restore them at the start; repeatable
    #[arg(long, value_name = "FILE")]
    autosave: Vec<String>,
    /// The directory of the save files [default: .]
    #[arg(long, value_name = "DIR", requires = "autosave")]
    autosave_dir: Option<String>,
    /// Seconds between two looks at what has changed
    #[arg(long, value_name = "S", requires = "autosave", default_value = "30")]
    autosave_period: u32,
    /// Know hosts by the addresses that they connect from, not by the names that they say: names in --acf are resolved
    /// when it is read
    #[arg(long, requires = "acf")]
    acf_by_address: bool,
    /// Serve statistics of the IOC by the names of the module iocStats: PREFIX:HEARTBEAT, UPTIME, CA_CLNT_CNT,
    /// SYSRESET and so on
    #[arg(long, value_name = "PREFIX")]
    stats: Option<String>,
    /// Serve the moving PVs of `canter demo`
    #[arg(long)]
    demo: bool,
    /// Only tell what is wrong with PVs and files; exit code 2 if anything is
    #[arg(long)]
    check: bool,
    /// UDP and TCP port, in place of EPICS_CAS_SERVER_PORT and EPICS_CA_SERVER_PORT; 0: any free one.
    /// A port that is given and taken is an error
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Address to serve at, in place of EPICS_CAS_INTF_ADDR_LIST; 0.0.0.0 is all [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    interface: Vec<Ipv4Addr>,
    /// Take commands from connections to this address, as `canter proxy` does; who can connect can
    /// do everything
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = endpoint)]
    control: Option<SocketAddrV4>,
    /// Where `snapshot NAME` and `rewind NAME` of --control have their files
    #[arg(long, value_name = "DIR", requires = "control")]
    snapshots: Option<PathBuf>,
    /// Misbehave by a script: lines such as `at 5s stuck gap for 10s`; the book has the words, `Faults`
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Say when it serves, and where, as a JSON line: into a file, to an open descriptor such as 3,
    /// or with `json` to standard output instead of the lines for people
    #[arg(long, value_name = "FILE|FD|json", value_parser = ready::parse)]
    ready: Option<Ready>,
    /// End after this time
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// End when standard input ends, so as not to outlive the program that started it
    #[arg(long)]
    end_with_stdin: bool,
    /// Limit against hostile clients, such as `max_circuits=100`; times in seconds; repeatable
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
    #[command(flatten)]
    put_log: PutLogArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    record: RecordArgs,
    /// Seed of random signals
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Print nothing but warnings and errors
    #[arg(long)]
    quiet: bool,
    /// It was called softIoc
    #[arg(long, hide = true)]
    soft: bool,
    /// What of the library's log goes to the error stream
    #[arg(long, value_name = "LEVEL", value_enum, default_value = "warn")]
    log_level: LogLevel,
}

/// What `softIoc -h` says, in the order in which its users know it.
pub(crate) const SOFT_HELP: &str = "\
Usage: softIoc [-D site.dbd] [-h] [-S] [-s] [-v] [-a ascf] [-m macro=value,macro2=value2]
               [-d file.db] [-x prefix] [st.cmd]

    -D <dbd>  Record types of a site; those of EPICS Base are there without it.
    -h        This text. `canter ioc --help` has all other options, which are taken too:
              --port, --interface, --ready, --control, --put-log, --autosave ...
    -S        No shell: it serves until SIGINT or SIGTERM.
    -s        As nothing; the shell is the default.
    -v        Say what is done at the start.
    -a <acf>  Access security; with the macros of the -m before it.
    -m <MAC>=<value>,...
              Macros for the -d and -a behind it, in place of those before.
    -d <db>   Load records from a file, with macros.
    -x <prefix>
              A record <prefix>:exit: 0 in its field A ends the IOC with success, any other
              number with an error, when it is processed.

A script st.cmd is executed behind iocInit if there is a -d or -x, else it has to say iocInit
itself. Commands of support modules are left out with a warning.

It listens on 127.0.0.1 unless EPICS_CAS_INTF_ADDR_LIST or --interface says otherwise, and says
where in a line that begins with `ready`.
";

/// Whether these arguments ask for it.
pub(crate) fn asks_for_soft_help(args: &[OsString]) -> bool {
    let is = |place: usize, text: &str| args.get(place).is_some_and(|arg| arg == text);
    is(1, "ioc") && is(2, "--soft") && args.iter().skip(3).any(|arg| arg == "-h")
}

impl IocArgs {
    /// The script among the files: with softIoc the first one, else the first that is one.
    fn script(&self) -> Option<&Load> {
        self.loads.files.iter().find(|load| {
            self.soft || {
                let read = Disk.read(&load.path.display().to_string(), MAX_SCRIPT);
                let content = read.map(|text| String::from_utf8_lossy(&text).into_owned());
                content.is_ok_and(|content| plan::is_script(&load.path, &content))
            }
        })
    }

    /// The save files of `--autosave`, in its order.
    fn autosave_files(&self) -> Vec<String> {
        let files = self.autosave.iter().map(|request| {
            let short = request.rsplit('/').next().unwrap_or(request);
            format!("{}.sav", short.strip_suffix(".req").unwrap_or(short))
        });
        files.collect()
    }

    /// Whether somebody can have it reboot.
    const fn may_reboot(&self) -> bool {
        self.control.is_some()
            || self.faults.is_some()
            || self.stats.is_some()
            || self.is_interactive()
    }

    /// Whether lines are read from standard input.
    const fn is_interactive(&self) -> bool {
        (self.shell || self.soft) && !self.no_shell
    }
}

/// How much of the log is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Runs the command.
///
/// # Errors
/// PVs that cannot be, files that cannot be read, ports that are taken, or an output that cannot be
/// written.
pub(crate) fn run(args: &IocArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    for macros in &args.loads.unused {
        console.complain(format_args!(
            "warning: -m {macros}: no file comes behind it, for which it would count; put it before the files"
        ))?;
    }
    let mut plan = plan::read(args, console)?;
    faults::read(args)?;
    if args.check {
        writeln!(console.out, "{}", plan::summary(&plan))?;
        return Ok(Outcome::Ok);
    }
    ready::clear(args.ready.as_ref())?;
    log_to_stderr(args.log_level);
    place::warn_of_environment(args, console)?;
    if args.verbose {
        serve::verbose(args, console)?;
    }
    let builder = plan.records.take().unwrap_or_else(Ioc::builder);
    let mut builder = builder.seed(plan.seed.unwrap_or(args.seed));
    if let Some(rules) = plan.access.take() {
        builder = builder.access_security(rules);
    }
    let (builder, put_log) = args.put_log.open(builder, say)?;
    let done = block_on(serve(args, console, (plan, builder)))?;
    // The log ends with the IOC, which held its other end.
    let outcome = put_log.map_or(Ok(Outcome::Ok), |log| log.finish(console))?;
    if !args.quiet {
        console.complain("stopped")?;
    }
    Ok(outcome.and(done))
}

async fn serve(
    args: &IocArgs,
    console: &mut Console<'_>,
    (plan, builder): (plan::Plan, IocBuilder),
) -> Result<Outcome, Stop> {
    // Before anybody can know that it runs: without a handler a signal ends the program by itself.
    let hang_ups = hung_up();
    let mut interrupted = std::pin::pin!(interrupted());
    if poll_fn(|cx| Poll::Ready(interrupted.as_mut().poll(cx).is_ready())).await {
        return Ok(Outcome::Ok);
    }
    let control = match args.control {
        Some(address) => Some(place::listen(address).await?),
        None => None,
    };
    let (runtime, flight) = runtime(args)?;
    let (mut host, events) = serve::host();
    let shell = serve::shell(args, &mut host)?;
    let exit = Exit::default();
    // Without any PV a script, or a person, says what is served.
    let later = plan.is_empty();
    let maker = Maker {
        args,
        plan,
        builder,
        runtime,
        control: control.as_ref().and_then(local),
        exit: exit.clone(),
        soft: args.soft,
    };
    let work = Work {
        script: args
            .script()
            .map(|load| (load.path.display().to_string(), load.macros.clone())),
        interactive: args.is_interactive(),
        verbose: args.verbose,
    };
    let uses_shell = work.script.is_some() || work.interactive;
    let (made, session) = if later {
        let mut session = Session::start((shell, host), events, None, work)?;
        match wait_for_init(maker, console, &mut session, interrupted.as_mut()).await? {
            Ok(made) => (made, Some(session)),
            Err(outcome) => return Ok(outcome),
        }
    } else {
        let start = serve::start(&shell, &host);
        let (made, lines) = maker.make(console, start)?;
        for line in lines {
            console.complain(line)?;
        }
        let session = uses_shell
            .then(|| Session::start((shell, host), events, Some(made.ioc.clone()), work))
            .transpose()?;
        (made, session)
    };
    let Made {
        ioc,
        served,
        told,
        saver,
    } = made;
    let linked = links::Linked::start(&ioc);
    let stats = (args.stats.as_ref()).map(|prefix| stats::Stats::start(&ioc, prefix));
    let mut server = Server {
        args,
        ioc,
        served,
        requests: control.map(control::serve),
        hang_ups,
        flight,
        session,
        saver,
        exit,
    };
    let serving = args.metrics.of_ioc(&server.ioc).await?;
    if let Some(address) = serving.address.filter(|_| !args.quiet) {
        console.complain(format_args!("metrics: http://{address}/metrics"))?;
    }
    let outcome = server.run(console, interrupted).await?;
    drop((told, stats, linked, serving));
    notify::stopping();
    // What it saves are the values at the end.
    server.saver = None;
    server.ioc.stop().await;
    server.flight.finish(console)?;
    refused(console, &server.ioc)?;
    Ok(outcome)
}

/// Waits until the shell says `iocInit`, or ends: then how that was.
async fn wait_for_init(
    maker: Maker<'_>,
    console: &mut Console<'_>,
    session: &mut Session,
    mut interrupted: Pin<&mut impl Future<Output = ()>>,
) -> Result<Result<Made, Outcome>, Stop> {
    loop {
        tokio::select! {
            () = &mut interrupted => return Ok(Err(Outcome::Ok)),
            event = session.next() => match event {
                Event::Init(start, answer) => {
                    let (made, lines) = match maker.make(console, *start) {
                        Ok(made) => made,
                        Err(stop) => {
                            let _ = answer.send(Err("it is told at the end".to_owned()));
                            return Err(stop);
                        }
                    };
                    // Who asked waits.
                    let _ = answer.send(Ok((made.ioc.clone(), lines)));
                    return Ok(Ok(made));
                }
                Event::Autosave(..) => {}
                Event::Ended(true) => return Ok(Err(Outcome::Ok)),
                Event::Ended(false) => return Ok(Err(Outcome::Usage)),
            },
        }
    }
}

/// What the IOC runs on: tokio, with a recorder in between if that is wanted.
fn runtime(args: &IocArgs) -> Result<(Arc<dyn Runtime>, Flight), Stop> {
    let runtime = TokioRuntime::current();
    let runtime = runtime.map_err(|_| Stop::from(place::refused(args, &ServeError::NoRuntime)))?;
    let runtime: Arc<dyn Runtime> = Arc::new(runtime);
    let Some(keep) = args.record.keep() else {
        return Ok((runtime, args.record.flight(None)));
    };
    let recorder = Arc::new(Recorder::new(runtime.clone(), Side::Server, keep));
    let flight = args.record.flight(Some(&recorder));
    Ok((Arc::new(Tap::new(runtime, recorder)), flight))
}

fn local(listener: &tokio::net::TcpListener) -> Option<SocketAddrV4> {
    match listener.local_addr() {
        Ok(std::net::SocketAddr::V4(address)) => Some(address),
        _ => None,
    }
}

/// What the service manager shows.
fn status(ioc: &SimIoc) -> String {
    let pvs = escape::counted(ioc.with(|ioc, _| ioc.pv_count()) as u64, "PV");
    format!(
        "serves {pvs} on {}, UDP port {}",
        ioc.addr(),
        ioc.udp_port()
    )
}

/// An IOC that serves, and what can happen to it.
struct Server<'a> {
    args: &'a IocArgs,
    ioc: SimIoc,
    served: Served,
    requests: Option<mpsc::Receiver<Request>>,
    hang_ups: Asked,
    flight: Flight,
    session: Option<Session>,
    saver: Option<Saver>,
    exit: Exit,
}

impl Server<'_> {
    /// Serves until it is to end.
    async fn run(
        &mut self,
        console: &mut Console<'_>,
        mut interrupted: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Outcome, Stop> {
        let time = self.args.seconds;
        let time = time.and_then(|s| Duration::try_from_secs_f64(s).ok());
        let mut end = std::pin::pin!(async {
            match time {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        });
        // A console has the input for itself.
        let reads = self.args.end_with_stdin && !self.args.is_interactive();
        let mut input = std::pin::pin!(stdin_ended(reads));
        let exit = self.exit.clone();
        let mut exits = std::pin::pin!(exit.wait());
        loop {
            let request = async {
                match &mut self.requests {
                    Some(requests) => requests.recv().await,
                    None => std::future::pending().await,
                }
            };
            let event = async {
                match &mut self.session {
                    Some(session) => session.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut end => return Ok(Outcome::Ok),
                () = &mut interrupted => return Ok(Outcome::Ok),
                () = &mut input => return Ok(Outcome::Ok),
                () = &mut exits => return Ok(match exit.has_failed() {
                    true => Outcome::PvFailed,
                    false => Outcome::Ok,
                }),
                event = event => match event {
                    Event::Init(_, answer) => {
                        // Who asked knows better, unless it is not our shell.
                        let _ = answer.send(Err("the IOC serves already".to_owned()));
                    }
                    Event::Autosave(settings, now) => self.save(console, settings, now)?,
                    Event::Ended(_) => return Ok(Outcome::Ok),
                },
                () = self.flight.asked() => self.flight.dump(console).await?,
                () = self.hang_ups.next() => {
                    let told = match self.reload(console)? {
                        Ok(what) | Err(what) => what,
                    };
                    console.complain(told)?;
                }
                request = request => {
                    let Some((line, answer)) = request else { continue };
                    if let Some(task) = Task::of(&line, self.args.snapshots.as_deref()) {
                        let ioc = self.ioc.clone();
                        tokio::spawn(async move {
                            let done = match task {
                                Ok(task) => task.perform(ioc).await,
                                Err(what) => Err(what),
                            };
                            let _ = answer.send(control::reply(done));
                        });
                        continue;
                    }
                    let (done, quit) = self.execute(console, &line).await?;
                    // Who asked may be gone.
                    let _ = answer.send(control::reply(done));
                    if quit {
                        // The answer is sent by a task of its own.
                        tokio::task::yield_now().await;
                        return Ok(Outcome::Ok);
                    }
                }
            }
        }
    }

    /// Other sets are saved, or some now.
    fn save(
        &mut self,
        console: &mut Console<'_>,
        settings: Settings,
        now: Vec<String>,
    ) -> io::Result<()> {
        match &self.saver {
            None => self.saver = Some(Saver::start(self.ioc.clone(), settings, say)),
            Some(saver) if !saver.update(settings, now) => {
                console.complain("autosave is busy; say it again later")?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Executes a command; the answer, and whether that was the last.
    async fn execute(
        &mut self,
        console: &mut Console<'_>,
        line: &str,
    ) -> Result<(control::Done, bool), Stop> {
        let deed = match control::execute(&self.ioc, line) {
            Ok(done) => return Ok((done, false)),
            Err(deed) => deed,
        };
        let done = match deed {
            Deed::Stop => {
                self.ioc.stop().await;
                Ok(Vec::new())
            }
            Deed::Start => {
                let started = self.ioc.start().await;
                let started = started.map(|()| Vec::new());
                started.map_err(|error| control::cannot_start(&error))
            }
            Deed::Reload => self.reload(console)?.map(|what| vec![what]),
            Deed::Quit => return Ok((Ok(Vec::new()), true)),
        };
        Ok((done, false))
    }

    /// Reads the files anew; what has changed, or why nothing has.
    fn reload(&mut self, console: &mut Console<'_>) -> Result<Result<String, String>, Stop> {
        notify::reloading();
        let done = match plan::read(self.args, console) {
            Ok(plan) => {
                let changes = self.served.take_over(&self.ioc, plan);
                changes.map(reload::Changes::summary)
            }
            Err(Stop::Told) => Err("not reloaded: a description is wrong, what was served \
                                    before goes on; the error stream has the mistakes"
                .to_owned()),
            Err(stop) => return Err(stop),
        };
        notify::ready(&status(&self.ioc));
        Ok(done)
    }
}

/// Says how often peers met which limit.
fn refused(console: &mut Console<'_>, ioc: &SimIoc) -> io::Result<()> {
    let limits = ioc.with(|ioc, _| ioc.stats().limits);
    for (limit, times) in limits.iter().filter(|&(_, times)| times > 0) {
        let times = escape::counted(times, "time");
        let setting = limit.setting();
        console.complain(format!("refused: {limit}, {times} ({setting})"))?;
    }
    Ok(())
}

/// What the libraries tell, such as of clients that meet a limit, goes to the error stream.
fn log_to_stderr(level: LogLevel) {
    use tracing::level_filters::LevelFilter;
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(LogLines::to_stderr())
        .with_target(false)
        .without_time();
    // Only a test runs more than one command in a process.
    let _ = log.try_init();
}
