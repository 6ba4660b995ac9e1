//! Telling the program that started `canter ioc` when it serves, and where.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use ca_server_sim::net::SimIoc;
use serde::Serialize;

use crate::console::Console;
use crate::exit::{Stop, UsageError};

/// Where it is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ready {
    /// On standard output, in place of the lines for people.
    Json,
    /// To an open descriptor.
    Descriptor(u32),
    /// In a file, which is there only while the IOC serves.
    File(PathBuf),
}

/// Reads the option.
pub(super) fn parse(text: &str) -> Result<Ready, String> {
    match (text, text.parse()) {
        ("", _) => Err("give a file, the number of a descriptor, or json".to_owned()),
        ("json", _) => Ok(Ready::Json),
        (_, Ok(descriptor)) => Ok(Ready::Descriptor(descriptor)),
        (path, Err(_)) => Ok(Ready::File(path.into())),
    }
}

/// A JSON object in one line.
#[derive(Serialize)]
struct Line {
    event: &'static str,
    pid: u32,
    /// The first interface.
    address: String,
    udp_port: u16,
    tcp_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<SocketAddrV4>,
    pvs: usize,
    /// What a client needs to find the IOC.
    environment: BTreeMap<&'static str, String>,
}

/// Takes the file away when the IOC ends.
#[derive(Debug)]
pub(super) struct Told(Option<PathBuf>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// A file that an earlier run has left would mislead.
///
/// # Errors
/// It cannot be removed.
pub(super) fn clear(ready: Option<&Ready>) -> Result<(), UsageError> {
    match ready {
        Some(Ready::File(path)) if path.is_file() => {
            fs::remove_file(path).map_err(|error| failed(&path.display().to_string(), &error))
        }
        _ => Ok(()),
    }
}

/// Tells it.
///
/// # Errors
/// It cannot be written there.
pub(super) fn tell(
    ready: Option<&Ready>,
    console: &mut Console<'_>,
    ioc: &SimIoc,
    control: Option<SocketAddrV4>,
) -> Result<Told, Stop> {
    let Some(ready) = ready else {
        return Ok(Told(None));
    };
    let line = Line {
        event: "ready",
        pid: std::process::id(),
        address: ioc.addr().ip().to_string(),
        udp_port: ioc.udp_port(),
        tcp_port: ioc.addr().port(),
        control,
        pvs: ioc.with(|ioc, _| ioc.pv_count()),
        environment: (ioc.env().into_iter())
            .map(|(name, value)| (name, value.trim_matches('"').to_owned()))
            .collect(),
    };
    let mut line = serde_json::to_string(&line).map_err(io::Error::from)?;
    line.push('\n');
    match ready {
        Ready::Json => {
            console.out.write_all(line.as_bytes())?;
            console.out.flush()?;
            Ok(Told(None))
        }
        Ready::Descriptor(number) => {
            let path = format!("/dev/fd/{number}");
            let written = append(Path::new(&path), &line);
            written.map_err(|error| failed(&number.to_string(), &error))?;
            Ok(Told(None))
        }
        Ready::File(path) => {
            let written = if path.exists() {
                // A pipe, or another thing that is written to.
                append(path, &line).map(|()| Told(None))
            } else {
                replace(path, &line).map(|()| Told(Some(path.clone())))
            };
            Ok(written.map_err(|error| failed(&path.display().to_string(), &error))?)
        }
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .open(path)?
        .write_all(line.as_bytes())
}

/// Nobody sees half of it.
fn replace(path: &Path, line: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(name);
    fs::write(&unfinished, line)?;
    fs::rename(&unfinished, path).inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

fn failed(place: &str, error: &io::Error) -> UsageError {
    UsageError::new(
        format!("--ready {place}: {error}"),
        "name a file that can be written, an open descriptor such as 3, or json",
    )
}
