//! `canter ioc`: a simulated IOC for other programs.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use ca_net::{Runtime, TokioRuntime};
use ca_proto::addr_list::{BindAddrs, beacon_destinations};
use ca_proto::env::EnvServer;
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, IocBuilder, LIMIT_NAMES};
use clap::Args;
use tokio::time::sleep;

use crate::background::{LogLines, say};
use crate::console::Console;
use crate::exit::{Outcome, Stop, UsageError};
use crate::format::FormatArgs;
use crate::interrupt::interrupted;
use crate::options::{self, block_on, seconds};
use crate::put_log::PutLogArgs;
use crate::sample::Sample;
use crate::{demo, show, text};

#[derive(Args, Debug)]
#[command(after_long_help = "\
A --pv is NAME=TYPE[:COUNT]:VALUE:

  gap=double:1.5             also float, long, short, char
  note=string:hello          at most 39 bytes
  valve=enum:Closed,*Open    states; the star marks the first value
  wave=double:500:1,2,3      an array with room for 500 elements
  path=text:256:/data/run1   an array of CHAR that holds a text

A file is TOML:

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

The output can be pasted into a shell, so that clients there find this IOC.")]
pub(crate) struct IocArgs {
    /// A PV as `NAME=TYPE[:COUNT]:VALUE`; repeatable
    #[arg(long = "pv", value_name = "PV")]
    pvs: Vec<String>,
    /// TOML files with PVs
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Serve the moving PVs of `canter demo`
    #[arg(long)]
    demo: bool,
    /// UDP and TCP port, in place of EPICS_CAS_SERVER_PORT and EPICS_CA_SERVER_PORT; 0: any free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Address to serve at, in place of EPICS_CAS_INTF_ADDR_LIST; 0.0.0.0 is all [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    interface: Vec<Ipv4Addr>,
    /// End after this time
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// Limit against hostile clients, such as `max_circuits=100`; times in seconds; repeatable
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
    #[command(flatten)]
    put_log: PutLogArgs,
    /// Seed of random signals
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
}

/// Runs the command.
///
/// # Errors
/// PVs that cannot be, files that cannot be read, ports that are taken, or an output that cannot be
/// written.
pub(crate) fn run(args: &IocArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let ioc = builder(args)?;
    log_to_stderr();
    warn_of_environment(args, console)?;
    let (ioc, put_log) = args.put_log.open(ioc, say)?;
    block_on(async {
        let mut ioc = start(args, ioc).await?;
        announce(console, args, &ioc)?;
        let end = async {
            match args
                .seconds
                .and_then(|s| Duration::try_from_secs_f64(s).ok())
            {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = end => {}
            () = interrupted() => {}
        }
        ioc.stop().await;
        refused(console, &ioc)?;
        Ok(())
    })?;
    // The log ends with the IOC, which held its other end.
    let outcome = put_log.map_or(Ok(Outcome::Ok), |log| log.finish(console))?;
    console.complain("stopped")?;
    Ok(outcome)
}

/// Names variables with values that cannot be meant, unless an option takes their place.
fn warn_of_environment(args: &IocArgs, console: &mut Console<'_>) -> io::Result<()> {
    let env = EnvServer::read(options::variable);
    let replaced = |variable| args.port.is_some() && variable == env.server_port.variable;
    for warning in env.warnings.iter().filter(|w| !replaced(w.variable)) {
        console.complain(format_args!("warning: {warning}"))?;
    }
    let (_, bad) = env.ignore_addrs.value.resolve(options::look_up);
    for bad in bad {
        console.complain(options::left_out(env.ignore_addrs.variable, &bad))?;
    }
    Ok(())
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

/// What the libraries warn of, such as clients that meet a limit, goes to the error stream.
fn log_to_stderr() {
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(LogLines::to_stderr())
        .with_target(false)
        .without_time();
    // Only a test runs more than one command in a process.
    let _ = log.try_init();
}

fn builder(args: &IocArgs) -> Result<IocBuilder, UsageError> {
    if args.pvs.is_empty() && args.files.is_empty() && !args.demo {
        return Err(UsageError::new(
            "there are no PVs to serve",
            "give --pv NAME=TYPE:VALUE such as --pv my:gap=double:1.5, a TOML file, or --demo",
        ));
    }
    let mut builder = Ioc::builder().seed(args.seed);
    for file in &args.files {
        let shown = file.display();
        let content = std::fs::read_to_string(file).map_err(|error| {
            UsageError::new(
                format!("cannot read {shown}: {error}"),
                "name a readable TOML file, see `canter ioc --help`",
            )
        })?;
        builder = builder.toml(&content).map_err(|error| {
            UsageError::new(
                format!("{shown}, line {}: {}", error.line, error.message),
                "see `canter ioc --help` for the form of a file",
            )
        })?;
    }
    for pv in &args.pvs {
        let (name, spec) = ca_server_sim::text::parse(pv).map_err(|error| {
            UsageError::new(
                format!(
                    "--pv {}: at `{}`",
                    text::printable(&error.text),
                    text::printable(&error.at)
                ),
                error.reason,
            )
        })?;
        builder = builder.pv(name, spec);
    }
    for limit in &args.limits {
        builder = builder.limits(limit).map_err(|error| {
            UsageError::new(
                format!("--limit {}: {}", text::printable(limit), error.message),
                format!("the limits are {}", LIMIT_NAMES.join(", ")),
            )
        })?;
    }
    if args.demo {
        builder = builder.pvs(demo::pvs::all());
    }
    Ok(builder)
}

async fn start(args: &IocArgs, builder: IocBuilder) -> Result<SimIoc, Stop> {
    let env = EnvServer::read(options::variable);
    if !env.enabled.value {
        return Err(UsageError::new(
            "EPICS_IOC_IGNORE_SERVERS names rsrv, the Channel Access server, as one not to start",
            "unset it where `canter ioc` is to serve",
        )
        .into());
    }
    let BindAddrs {
        bind: interfaces,
        groups,
    } = interfaces(args, &env)?;
    let port = args.port.unwrap_or(env.server_port.value);
    let beacons = beacons(&env, &interfaces)?;
    let (ignored, _) = env.ignore_addrs.value.resolve(options::look_up);
    let ignored = ignored.iter().map(|address| *address.ip()).collect();
    let config = NetConfig::new()
        .interfaces(interfaces)
        .groups(groups)
        .udp_port(port)
        .tcp_port(port)
        .repeater(Some(env.beacon_port.value));
    let served = builder
        .params(env.params(beacons, ignored))
        .serve(config)
        .await;
    Ok(served.map_err(|error| with_remedy(&error.to_string()))?)
}

/// Loopback unless an option or the environment says otherwise: nobody else can write then.
fn interfaces(args: &IocArgs, env: &EnvServer) -> Result<BindAddrs, UsageError> {
    if !args.interface.is_empty() {
        return Ok(BindAddrs {
            bind: args.interface.clone(),
            groups: Vec::new(),
        });
    }
    let (listed, bad) = env.interfaces.value.resolve(options::look_up);
    if let Some(bad) = bad.first() {
        return Err(UsageError::new(
            format!("EPICS_CAS_INTF_ADDR_LIST: {bad}"),
            bad.remedy(),
        ));
    }
    let mut sorted = BindAddrs::from_list(&listed).map_err(|ambiguous| {
        UsageError::new(
            format!("EPICS_CAS_INTF_ADDR_LIST: {ambiguous}"),
            "name either 0.0.0.0 or single addresses",
        )
    })?;
    if !listed.iter().any(|address| !address.ip().is_multicast()) {
        sorted.bind = vec![Ipv4Addr::LOCALHOST];
    }
    Ok(sorted)
}

fn beacons(env: &EnvServer, served: &[Ipv4Addr]) -> Result<Vec<SocketAddrV4>, UsageError> {
    let (user, bad) = env.beacon_addr_list.value.resolve(options::look_up);
    if let Some(bad) = bad.first() {
        return Err(UsageError::new(
            format!("EPICS_CAS_BEACON_ADDR_LIST: {bad}"),
            bad.remedy(),
        ));
    }
    let auto = env.auto_beacon_addr_list.value;
    let only_loopback = served.iter().all(Ipv4Addr::is_loopback);
    let known = match TokioRuntime::current() {
        Ok(runtime) if auto && !only_loopback => runtime.interfaces().unwrap_or_default(),
        _ => Vec::new(),
    };
    let found = beacon_destinations(auto, served, &known, &user, env.beacon_port.value);
    Ok(found.list)
}

/// Messages of the simulator end with the remedy.
fn with_remedy(message: &str) -> UsageError {
    match message.rsplit_once("; ") {
        Some((what, remedy)) => UsageError::new(what, remedy),
        None => UsageError::new(message, "see `canter ioc --help`"),
    }
}

/// PVs that are listed before it says "and n more".
const MAX_LISTED: usize = 100;

/// Tells where the IOC is, as lines that a shell accepts.
fn announce(console: &mut Console<'_>, args: &IocArgs, ioc: &SimIoc) -> io::Result<()> {
    let (tcp, udp) = (ioc.addr(), ioc.udp_port());
    let names: Vec<String> = ioc.with(|ioc, _| ioc.pv_names().map(str::to_owned).collect());
    let count = text::counted(names.len() as u64, "PV");
    let paint = console.paint;
    let title = format!(
        "# canter ioc serves {count} on {}, UDP port {udp}, TCP port {}",
        tcp.ip(),
        tcp.port()
    );
    writeln!(console.out, "{}", paint.bold(title))?;
    if args.port != Some(0) && tcp.port() != udp {
        writeln!(
            console.out,
            "# Another server has TCP port {udp}. Searches that are not broadcast reach only one of \
             the two: use --port if clients do not find this one."
        )?;
    }
    write!(console.out, "{}", ioc.env_text())?;
    let width = show::name_width(&names);
    for name in names.iter().take(MAX_LISTED) {
        let Ok(snapshot) = ioc.read(name.as_str()) else {
            continue;
        };
        let sample = Sample::from_snapshot(snapshot);
        let info = ioc.with(|ioc, _| ioc.read(format!("{name}.DESC").as_str()).ok());
        let about = info.and_then(|info| info.value.as_ref().string(0).map(text::line));
        let value = show::with_units(&FormatArgs::default(), &sample, sample.count() != 1);
        let value = text::shortened(&value, MAX_VALUE);
        let native = sample.native().name().to_lowercase();
        let name = text::padded(&text::printable(name), width);
        let about = about
            .filter(|about| !about.is_empty())
            .map(|about| format!("  {about}"));
        let line = format!(
            "#   {name}  {native:<6}  {value:<16}{}",
            about.unwrap_or_default()
        );
        writeln!(console.out, "{}", paint.dim(line.trim_end()))?;
    }
    if names.len() > MAX_LISTED {
        writeln!(console.out, "#   and {} more", names.len() - MAX_LISTED)?;
    }
    writeln!(console.out, "# Ctrl-C ends it.")?;
    console.out.flush()
}

/// Characters of a value in the list.
const MAX_VALUE: usize = 40;
