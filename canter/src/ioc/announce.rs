//! What `canter ioc` says when it serves.

use std::io;
use std::net::SocketAddrV4;

use ca_server_sim::net::SimIoc;

use super::IocArgs;
use crate::console::Console;
use crate::format::FormatArgs;
use crate::sample::Sample;
use crate::{escape, show};

/// PVs that are listed before it says "and n more".
const MAX_LISTED: usize = 100;

/// Tells where the IOC is, as lines that a shell accepts.
///
/// # Errors
/// Those of the output.
pub(super) fn announce(
    console: &mut Console<'_>,
    args: &IocArgs,
    ioc: &SimIoc,
    control: Option<SocketAddrV4>,
) -> io::Result<()> {
    let (tcp, udp) = (ioc.addr(), ioc.udp_port());
    let names: Vec<String> = ioc.with(|ioc, _| ioc.pv_names().map(str::to_owned).collect());
    let count = escape::counted(names.len() as u64, "PV");
    let paint = console.paint;
    let title = format!(
        "# canter ioc serves {count} on {}, UDP port {udp}, TCP port {}",
        tcp.ip(),
        tcp.port()
    );
    writeln!(console.out, "{}", paint.bold(title))?;
    if args.port != Some(0) && tcp.port() != udp {
        writeln!(console.out, "# {}", other_port(ioc))?;
    }
    if let Some(control) = control {
        writeln!(console.out, "# commands on {control}")?;
    }
    write!(console.out, "{}", ioc.env_text())?;
    let width = show::name_width(&names);
    for name in names.iter().take(MAX_LISTED) {
        let Ok(snapshot) = ioc.read(name.as_str()) else {
            continue;
        };
        let sample = Sample::from_snapshot(snapshot);
        let info = ioc.with(|ioc, _| ioc.read(format!("{name}.DESC").as_str()).ok());
        let about = info.and_then(|info| info.value.as_ref().string(0).map(escape::line));
        let value = show::with_units(&FormatArgs::default(), &sample, sample.count() != 1);
        let value = escape::shortened(&value, MAX_VALUE);
        let native = sample.native().name().to_lowercase();
        let name = escape::padded(&escape::printable(name), width);
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

/// The same in one line, for those who know the rest from softIoc.
///
/// # Errors
/// Those of the output.
pub(super) fn ready(
    console: &mut Console<'_>,
    ioc: &SimIoc,
    control: Option<SocketAddrV4>,
) -> io::Result<()> {
    let count = escape::counted(ioc.with(|ioc, _| ioc.pv_count()) as u64, "PV");
    let (tcp, udp) = (ioc.addr(), ioc.udp_port());
    let control = control.map_or_else(String::new, |at| format!(", commands on {at}"));
    writeln!(
        console.out,
        "ready: serves {count} on {}, UDP port {udp}, TCP port {}{control}",
        tcp.ip(),
        tcp.port()
    )?;
    console.out.flush()
}

/// That the port of the environment, or the usual one, is another server's.
pub(super) fn other_port(ioc: &SimIoc) -> String {
    let (udp, tcp) = (ioc.udp_port(), ioc.addr().port());
    format!(
        "Another server has TCP port {udp}, this one is on {tcp}. Searches that are not broadcast reach \
         only one of the two: use --port if clients do not find this one."
    )
}

/// Characters of a value in the list.
const MAX_VALUE: usize = 40;
