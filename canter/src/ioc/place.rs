//! Where `canter ioc` serves: interfaces, ports, beacons.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};

use ca_net::{Runtime, TokioRuntime};
use ca_proto::addr_list::{BindAddrs, beacon_destinations};
use ca_proto::config::ServerParams;
use ca_proto::env::EnvServer;
use ca_server_sim::net::{NetConfig, ServeError};
use tokio::net::TcpListener;

use super::IocArgs;
use crate::console::Console;
use crate::exit::UsageError;
use crate::options;

/// Parameters and addresses, from options and environment; call it inside of a runtime.
///
/// # Errors
/// Addresses that are none.
pub(super) fn place(
    args: &IocArgs,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(ServerParams, NetConfig), UsageError> {
    let env = EnvServer::read(variable);
    if !env.enabled.value {
        return Err(UsageError::new(
            "EPICS_IOC_IGNORE_SERVERS names rsrv, the Channel Access server, as one not to start",
            "unset it where `canter ioc` is to serve",
        ));
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
        // Who names a port counts on it.
        .exact(args.port.is_some())
        .repeater(Some(env.beacon_port.value));
    Ok((env.params(beacons, ignored), config))
}

/// What a user can do about an IOC that cannot serve.
pub(super) fn refused(args: &IocArgs, error: &ServeError) -> UsageError {
    match error {
        ServeError::Socket {
            what,
            address,
            kind: ErrorKind::AddrInUse,
            ..
        } => {
            let from = args.port.map_or("", |_| "--port: ");
            taken(from, "--port", what, *address)
        }
        ServeError::Socket {
            address,
            kind: ErrorKind::PermissionDenied,
            ..
        } => UsageError::new(
            format!(
                "port {} needs more rights than this user has",
                address.port()
            ),
            "choose a port from 1024 on, or --port 0 for any free one",
        ),
        error => {
            let message = error.to_string();
            match message.rsplit_once("; ") {
                Some((what, remedy)) => UsageError::new(what, remedy),
                None => UsageError::new(message, "see `canter ioc --help`"),
            }
        }
    }
}

fn taken(from: &str, option: &str, what: &str, address: SocketAddrV4) -> UsageError {
    let (ip, port) = (address.ip(), address.port());
    UsageError::new(
        format!("{from}{what} port {port} on {ip} is taken by another program"),
        format!("end that program, or give another {option}; port 0 is any free one"),
    )
}

/// Listens for commands.
///
/// # Errors
/// The address is taken, or none of this host.
pub(super) async fn listen(address: SocketAddrV4) -> Result<TcpListener, UsageError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => taken("--control: ", "--control", "TCP", address),
            _ => UsageError::new(
                format!("--control: cannot listen on {address}: {error}"),
                "choose an address of this host and a free port, or port 0 for any",
            ),
        })
}

/// Loopback unless an option or the environment says otherwise: nobody else can write then.
/// Names variables with values that cannot be meant, unless an option takes their place.
pub(super) fn warn_of_environment(args: &IocArgs, console: &mut Console<'_>) -> io::Result<()> {
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
