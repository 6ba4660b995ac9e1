//! `canter proxy`: sits between a client and a server, and does harm by a script.

mod stdin;

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ca_net::TokioRuntime;
use ca_proto::config::SERVER_PORT;
use ca_proxy::{Level, Proxy, ProxyConfig, Script, StartError};
use clap::Args;

use crate::console::Console;
use crate::escape;
use crate::exit::{Outcome, Stop, UsageError};
use crate::interrupt::{closed_output, interrupted};
use crate::options::{block_on, endpoint, look_up, seconds};

#[derive(Args, Debug)]
#[command(after_long_help = "\
A script is TOML with one rule per fault:

  [[rule]]
  id = \"late\"              # name for `on late` and `off late`; rule1, rule2 … without
  on = \"create_chan\"       # a command in lower case, any, circuit, or beacon
  direction = \"response\"   # request, response or both; responses if servers send them
  name = \"X*\"              # names of PVs, with * and ?
  action = \"delay\"         # see below
  by = \"200ms\"
  probability = 0.5        # of each match
  after = 3                # so many matches go unharmed
  times = 10               # so many faults at most
  enabled = true           # false: off until `on late`

  drop                               delay      by, jitter
  duplicate  copies                  reorder    by
  corrupt    field, value, offset    cut        bytes, how = close | reset
  stall      by                      refuse     (on = circuit)
  throttle   rate (on = circuit)     rights     rights (on = access_rights)
  storm      to, every, servers (on = beacon)

Commands come from standard input, or with --control from connections: on ID, off ID, add RULE,
replace ID RULE, remove ID, list, stats, cut CIRCUIT, help, quit. A RULE is one line:

  add id = \"late\", on = \"create_chan\", action = \"delay\", by = \"200ms\"")]
pub(crate) struct ProxyArgs {
    /// Address for clients, UDP and TCP; port 0: any free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = endpoint)]
    listen: SocketAddrV4,
    /// Address of the server
    #[arg(long, value_name = "HOST[:PORT]")]
    to: String,
    /// Rules, see --help
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Let nothing be written: puts are answered with ECA_NOWTACCESS, no client gets write access
    #[arg(long)]
    read_only: bool,
    /// Take commands from connections to this address, in place of standard input
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = endpoint)]
    control: Option<SocketAddrV4>,
    /// Seed of everything random in rules
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Print every message
    #[arg(long)]
    trace: bool,
    /// Print neither circuits nor faults
    #[arg(long, conflicts_with = "trace")]
    quiet: bool,
    /// End after this time
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// A script that is wrong, addresses that cannot be bound, an output that cannot be written.
pub(crate) fn run(args: &ProxyArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let script = match &args.script {
        Some(path) => read_script(path)?,
        None => Script::NONE,
    };
    let rules = script.len() as u64;
    let server = server(&args.to)?;
    let mut config = ProxyConfig::new(server)
        .listen(args.listen)
        .script(script)
        .seed(args.seed)
        .log(match (args.trace, args.quiet) {
            (true, _) => Level::Trace,
            (_, true) => Level::Quiet,
            _ => Level::Faults,
        });
    if let Some(address) = args.control {
        config = config.control(address);
    }
    if args.read_only {
        config = config.read_only();
    }
    block_on(async {
        let runtime = TokioRuntime::current().expect("`block_on` runs on one");
        let proxy = Proxy::start(Arc::new(runtime), config).map_err(|error| {
            let what = match error {
                StartError::MakesPuts { .. } => format!("--read-only: {error}"),
                _ => error.to_string(),
            };
            UsageError::new(what, error.remedy())
        })?;
        announce(args, console, &proxy, server, rules)?;
        let outcome = serve(args, console, &proxy).await;
        proxy.stop().await;
        outcome
    })
}

fn read_script(path: &PathBuf) -> Result<Script, UsageError> {
    let shown = path.display();
    let content = std::fs::read_to_string(path).map_err(|error| {
        UsageError::new(
            format!("cannot read {shown}: {error}"),
            "name a readable TOML file, see `canter proxy --help`",
        )
    })?;
    content.parse::<Script>().map_err(|error| {
        UsageError::new(
            format!("{shown}, line {}: {}", error.line, error.what.trim_end()),
            error.remedy,
        )
    })
}

fn server(text: &str) -> Result<SocketAddrV4, UsageError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|&port: &u16| port > 0)),
        None => (text, Some(SERVER_PORT)),
    };
    let address = port.and_then(|port| Some(SocketAddrV4::new(look_up(host)?, port)));
    address.ok_or_else(|| {
        UsageError::new(
            format!("--to: `{text}` is no address and no known host"),
            "give HOST or HOST:PORT such as 127.0.0.1:5064",
        )
    })
}

fn announce(
    args: &ProxyArgs,
    console: &mut Console<'_>,
    proxy: &Proxy,
    server: SocketAddrV4,
    rules: u64,
) -> Result<(), Stop> {
    let listen = proxy.listen();
    let count = escape::counted(rules, "rule");
    let guard = if args.read_only { ", read-only" } else { "" };
    let title = format!("# canter proxy on {listen}, UDP and TCP, to {server}, {count}{guard}");
    writeln!(console.out, "{}", console.paint.bold(title))?;
    if let Some(control) = proxy.control() {
        writeln!(console.out, "# commands on {control}")?;
    }
    let ip = if listen.ip().is_unspecified() {
        [127, 0, 0, 1].into()
    } else {
        *listen.ip()
    };
    let port = listen.port();
    writeln!(console.out, "export EPICS_CA_ADDR_LIST={ip}:{port}")?;
    writeln!(console.out, "export EPICS_CA_AUTO_ADDR_LIST=NO")?;
    writeln!(console.out, "# Ctrl-C ends it.")?;
    console.out.flush()?;
    Ok(())
}

async fn serve(
    args: &ProxyArgs,
    console: &mut Console<'_>,
    proxy: &Proxy,
) -> Result<Outcome, Stop> {
    let time = args
        .seconds
        .and_then(|s| Duration::try_from_secs_f64(s).ok());
    let mut end = std::pin::pin!(async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    });
    let mut commands = args.control.is_none().then(stdin::lines);
    let mut interrupted = std::pin::pin!(interrupted());
    let mut closed = std::pin::pin!(closed_output());
    loop {
        let next_command = async {
            match &mut commands {
                Some(commands) => commands.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            lines = proxy.lines() => match lines {
                Some(lines) => for line in lines {
                    writeln!(console.out, "{line}")?;
                },
                None => break,
            },
            command = next_command => match command {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => writeln!(console.out, "{}", proxy.execute(&line))?,
                // Standard input may end, as it does in the background; the proxy goes on.
                None => commands = None,
            },
            () = &mut end => break,
            () = &mut interrupted => break,
            () = &mut closed => break,
        }
        console.out.flush()?;
    }
    console.complain("stopped")?;
    Ok(Outcome::Ok)
}
