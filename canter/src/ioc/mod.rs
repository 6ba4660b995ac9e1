//! `canter ioc`: a simulated IOC for other programs.

mod announce;
pub(crate) mod control;
mod notify;
mod place;
mod plan;
mod ready;
mod reload;

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use ca_server_sim::Ioc;
use ca_server_sim::net::SimIoc;
use clap::{Args, ValueEnum};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::background::{LogLines, say};
use crate::console::Console;
use crate::exit::{Outcome, Stop};
use crate::interrupt::{HangUps, hung_up, interrupted, stdin_ended};
use crate::options::{block_on, endpoint, seconds};
use crate::put_log::PutLogArgs;
use crate::text;
use control::{Deed, Request};
use ready::Ready;
use reload::Served;

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

A record type that is not one of EPICS Base needs its description, -D site.dbd; its records hold their values.

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
the files anew: PVs whose description is the same keep their values and clients, and with a mistake
in a file everything stays as it was. Records stay as they are until the IOC is started anew.

Commands come from connections to --control: read PV…, list [PATTERN], post PV VALUE…, alarm PV
SEVERITY [STATUS], rights PV RIGHTS, complete PV, stats, stop, start, reload, help, quit.

The output can be pasted into a shell, so that clients there find this IOC.")]
pub(crate) struct IocArgs {
    /// A PV as `NAME=TYPE[:COUNT]:VALUE`, with the escapes of `canter put` (`\\`, `\n`, `\u{b0}`); repeatable
    #[arg(long = "pv", value_name = "PV")]
    pvs: Vec<String>,
    /// Files of records (.db, .template, .substitutions), and TOML files with PVs
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file of records, whatever its name ends in, as for softIoc; repeatable
    #[arg(short = 'd', long = "db", value_name = "FILE")]
    db: Vec<PathBuf>,
    /// Macros for all files of records, `A=1,B=2`; repeatable
    #[arg(short = 'm', long = "macros", value_name = "MACROS")]
    macros: Vec<String>,
    /// Look for files of records in these directories, `a:b`, behind the current one; repeatable [default:
    /// EPICS_DB_INCLUDE_PATH]
    #[arg(short = 'I', long = "include", value_name = "PATH")]
    include: Vec<String>,
    /// Read record types, menus and devices of a site from this .dbd file; repeatable
    #[arg(short = 'D', long = "dbd", value_name = "FILE")]
    dbd: Vec<PathBuf>,
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
    /// Seed of random signals
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Print nothing but warnings and errors
    #[arg(long)]
    quiet: bool,
    /// What of the library's log goes to the error stream
    #[arg(long, value_name = "LEVEL", value_enum, default_value = "warn")]
    log_level: LogLevel,
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
    let mut plan = plan::read(args, console)?;
    if args.check {
        writeln!(console.out, "{}", plan::summary(&plan))?;
        return Ok(Outcome::Ok);
    }
    ready::clear(args.ready.as_ref())?;
    log_to_stderr(args.log_level);
    place::warn_of_environment(args, console)?;
    let builder = plan.records.take().unwrap_or_else(Ioc::builder);
    let builder = builder.seed(plan.seed.unwrap_or(args.seed));
    let (builder, put_log) = args.put_log.open(builder, say)?;
    block_on(async {
        // Before anybody can know that it runs: without a handler a signal ends the program by itself.
        let hang_ups = hung_up();
        let mut interrupted = std::pin::pin!(interrupted());
        if poll_fn(|cx| Poll::Ready(interrupted.as_mut().poll(cx).is_ready())).await {
            return Ok(());
        }
        let (mut params, config) = place::place(args)?;
        plan.apply(&mut params);
        let control = match args.control {
            Some(address) => Some(place::listen(address).await?),
            None => None,
        };
        let address = control.as_ref().and_then(local);
        let served = Served::of(&plan);
        let pvs = plan.pvs.into_iter().map(|pv| (pv.name, pv.spec));
        let ioc = builder.params(params).pvs(pvs).serve(config).await;
        let ioc = ioc.map_err(|error| place::refused(args, &error))?;
        // First, so that nothing is announced that then ends because nobody can be told.
        let told = ready::tell(args.ready.as_ref(), console, &ioc, address)?;
        if args.ready != Some(Ready::Json) && !args.quiet {
            announce::announce(console, args, &ioc, address)?;
        } else if args.port != Some(0) && ioc.addr().port() != ioc.udp_port() {
            console.complain(announce::other_port(&ioc))?;
        }
        notify::ready(&status(&ioc));
        let mut server = Server {
            args,
            ioc,
            served,
            requests: control.map(control::serve),
            hang_ups,
        };
        server.run(console, interrupted).await?;
        drop(told);
        notify::stopping();
        server.ioc.stop().await;
        refused(console, &server.ioc)?;
        Ok(())
    })?;
    // The log ends with the IOC, which held its other end.
    let outcome = put_log.map_or(Ok(Outcome::Ok), |log| log.finish(console))?;
    if !args.quiet {
        console.complain("stopped")?;
    }
    Ok(outcome)
}

fn local(listener: &tokio::net::TcpListener) -> Option<SocketAddrV4> {
    match listener.local_addr() {
        Ok(std::net::SocketAddr::V4(address)) => Some(address),
        _ => None,
    }
}

/// What the service manager shows.
fn status(ioc: &SimIoc) -> String {
    let pvs = text::counted(ioc.with(|ioc, _| ioc.pv_count()) as u64, "PV");
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
    hang_ups: HangUps,
}

impl Server<'_> {
    /// Serves until it is to end.
    async fn run(
        &mut self,
        console: &mut Console<'_>,
        mut interrupted: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), Stop> {
        let time = self.args.seconds;
        let time = time.and_then(|s| Duration::try_from_secs_f64(s).ok());
        let mut end = std::pin::pin!(async {
            match time {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        });
        let mut input = std::pin::pin!(stdin_ended(self.args.end_with_stdin));
        loop {
            let request = async {
                match &mut self.requests {
                    Some(requests) => requests.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut end => return Ok(()),
                () = &mut interrupted => return Ok(()),
                () = &mut input => return Ok(()),
                () = self.hang_ups.next() => {
                    let told = match self.reload(console)? {
                        Ok(what) | Err(what) => what,
                    };
                    console.complain(told)?;
                }
                request = request => {
                    let Some((line, answer)) = request else { continue };
                    let (done, quit) = self.execute(console, &line).await?;
                    // Who asked may be gone.
                    let _ = answer.send(control::reply(done));
                    if quit {
                        // The answer is sent by a task of its own.
                        tokio::task::yield_now().await;
                        return Ok(());
                    }
                }
            }
        }
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
        let times = text::counted(times, "time");
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
