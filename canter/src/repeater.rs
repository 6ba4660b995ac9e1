//! `canter repeater`: beacons for every client on this host. Also what the program does when it is
//! called `caRepeater`, as the reference client library calls it.

use std::ffi::OsString;
use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use ca_net::{RepeaterDriver, RepeaterStart, TokioRuntime};
use ca_proto::addr_list::multicast_groups;
use ca_proto::env::{EnvClient, EnvServer, Warning};
use clap::Args;

use crate::console::Console;
use crate::exit::{Outcome, Stop, UsageError};
use crate::options;

/// The name that the reference client library looks for in the search path of the shell.
const REFERENCE_NAME: &str = "caRepeater";

#[derive(Args, Debug)]
#[command(
    after_help = "It ends at once, successfully, if another repeater runs, else when it is \
    interrupted. It joins the multicast groups of EPICS_CAS_BEACON_ADDR_LIST and \
    EPICS_CA_ADDR_LIST. Linked to the name caRepeater, the program does the same without a terminal: \
    clients of the EPICS library start it themselves."
)]
pub(crate) struct RepeaterArgs {
    /// Port to listen on [default: EPICS_CA_REPEATER_PORT, else 5065]
    #[arg(long)]
    port: Option<u16>,
    /// Address to listen on; broadcast beacons arrive at the default only
    #[arg(long, default_value_t = Ipv4Addr::UNSPECIFIED)]
    address: Ipv4Addr,
    /// Say who registers and who is gone
    #[arg(long, short)]
    verbose: bool,
    /// Close the standard streams, so that nobody waits for their end
    #[arg(long, hide = true)]
    detach: bool,
}

/// The name of the program of EPICS Base that serves records.
const SOFT_IOC: &str = "softIoc";

/// The arguments of the process, with the command added when it is called `caRepeater` or `softIoc`.
pub(crate) fn as_called(
    args: impl IntoIterator<Item = OsString>,
) -> impl Iterator<Item = OsString> {
    let mut args = args.into_iter();
    let name = args.next();
    let stem = name.as_deref().and_then(|name| Path::new(name).file_stem());
    let called = |name| stem.is_some_and(|stem| stem.to_string_lossy().ends_with(name));
    let command: &[&str] = match () {
        () if called(REFERENCE_NAME) => &["repeater", "--detach"],
        () if called(SOFT_IOC) => &["ioc", "--soft"],
        () => &[],
    };
    let mut args = args.peekable();
    let command = match command.is_empty() && args.peek().is_some_and(|first| first == SOFT_IOC) {
        true => {
            args.next();
            &["ioc", "--soft"]
        }
        false => command,
    };
    let command = command.iter().map(OsString::from).collect::<Vec<_>>();
    name.into_iter().chain(command).chain(args)
}

/// Runs the command; it returns only if another repeater runs.
///
/// # Errors
/// When the port cannot be bound for another reason.
pub(crate) fn run(args: &RepeaterArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    if args.detach && !args.verbose {
        detach(args);
    }
    let env = EnvClient::read(options::variable);
    let port = args.port.unwrap_or(env.repeater_port.value);
    warn_of_environment(args, &env, console)?;
    let out = &mut console.out;
    let address = SocketAddrV4::new(args.address, port);
    let failed = |error: std::io::Error| {
        UsageError::new(
            format!("cannot run a repeater on {address}: {error}"),
            "name a free UDP port with --port or EPICS_CA_REPEATER_PORT, 5065 is the usual one",
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let sockets = Arc::new(TokioRuntime::new(runtime.handle().clone()));
    // Nobody may be there to read.
    let mut say = |line: String| {
        if args.verbose {
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    };
    let mut driver = match RepeaterDriver::start(sockets, address, &groups(&env)).map_err(failed)? {
        RepeaterStart::Started(driver) => driver,
        RepeaterStart::AlreadyRunning => {
            say(format!("a repeater runs on port {port} already"));
            return Ok(Outcome::Ok);
        }
    };
    let address = driver.local_addr().map_err(failed)?;
    say(format!("repeater on {address}"));
    let mut known = Vec::new();
    runtime.block_on(poll_fn(|cx| {
        let poll = Pin::new(&mut *driver).poll(cx);
        if args.verbose && known != driver.clients() {
            let now = driver.clients().to_vec();
            for client in known.iter().filter(|&client| !now.contains(client)) {
                say(format!("{client} is gone"));
            }
            for client in now.iter().filter(|&client| !known.contains(client)) {
                say(format!("{client} registered"));
            }
            known = now;
        }
        poll
    }));
    Ok(Outcome::Ok)
}

/// Names variables with values that cannot be meant.
fn warn_of_environment(
    args: &RepeaterArgs,
    env: &EnvClient,
    console: &mut Console<'_>,
) -> std::io::Result<()> {
    let variable = env.repeater_port.variable;
    let ours = |warning: &&Warning| args.port.is_none() && warning.variable == variable;
    for warning in env.warnings.iter().filter(ours) {
        console.complain(format_args!("warning: {warning}"))?;
    }
    let beacons = EnvServer::read(options::variable).beacon_addr_list;
    for list in [&beacons, &env.addr_list] {
        for bad in list.value.resolve(options::look_up).1 {
            console.complain(options::left_out(list.variable, &bad))?;
        }
    }
    Ok(())
}

/// The multicast groups to which beacons may be sent: those of both address lists.
fn groups(env: &EnvClient) -> Vec<Ipv4Addr> {
    let beacons = EnvServer::read(options::variable).beacon_addr_list.value;
    let lists = [&beacons, &env.addr_list.value];
    let found = lists.map(|list| multicast_groups(&list.resolve(options::look_up).0));
    found.concat()
}

/// Starts the program anew, in this process, without its standard streams and outside of the
/// current directory, as the reference does: whoever reads what the program that started us writes
/// would else never see the end of it. Returns only where that is not possible.
#[cfg(unix)]
fn detach(args: &RepeaterArgs) {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut command = Command::new(program);
    // Not by a name that would lead here again.
    command.arg0("canter").arg("repeater");
    if let Some(port) = args.port {
        command.arg("--port").arg(port.to_string());
    }
    command.arg("--address").arg(args.address.to_string());
    command.current_dir("/");
    command.stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _failed = command.exec();
}

#[cfg(not(unix))]
fn detach(_args: &RepeaterArgs) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(args: &[&str]) -> Vec<String> {
        let args = args.iter().map(OsString::from);
        let all = as_called(args).map(|arg| arg.into_string().unwrap());
        all.collect()
    }

    #[test]
    fn the_name_of_the_program_is_a_command() {
        for name in ["caRepeater", "/usr/bin/caRepeater", "caRepeater.exe"] {
            assert_eq!(called(&[name, "-v"]), [name, "repeater", "--detach", "-v"]);
        }
        for name in ["canter", "/opt/caRepeater/canter"] {
            assert_eq!(called(&[name, "get"]), [name, "get"]);
        }
        assert_eq!(called(&[]), [""; 0]);
    }
}
