//! Servers that an earlier run knew: from PV to address, kept in a file.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ca_proto::Timestamp;
use ca_proto::config::ClientParams;
use ca_proto::wire::{Minor, PvName};

/// First line of the file; the number is that of the format.
const HEAD: &str = "canter-addresses 1";
/// PVs that are kept; of further ones none.
const MAX_PVS: usize = 1 << 20;
/// Bytes of a file that is read.
const MAX_FILE: u64 = 256 << 20;
/// Age from which on a file is not used.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why a file of addresses is not used. The client then searches, as without one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Unused {
    /// It cannot be read; there may be none yet.
    Unreadable(String),
    /// Its first line is not that of this format.
    OtherFormat,
    /// It was written by a client that searched elsewhere, as at another facility.
    OtherPlace,
    /// It is older than 30 days, or of the future.
    TooOld,
    /// This line makes no sense.
    BadLine(usize),
    /// It has more than 256 MiB.
    TooLong,
}

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => f.write_str(why),
            Self::OtherFormat => write!(f, "its first line is not `{HEAD}`"),
            Self::OtherPlace => f.write_str("its client searched at other addresses"),
            Self::TooOld => f.write_str("it is older than 30 days, or of the future"),
            Self::BadLine(line) => write!(f, "its line {line} makes no sense"),
            Self::TooLong => f.write_str("it has more than 256 MiB"),
        }
    }
}

/// What is known of a PV's server: the address of its circuits, and its version.
type Server = (SocketAddrV4, Minor);

/// The servers of PVs.
#[derive(Debug)]
pub(crate) struct Addresses {
    path: PathBuf,
    /// Where the client searches, as the file says it.
    place: String,
    servers: HashMap<PvName, Server>,
    unused: Option<Unused>,
}

impl Addresses {
    /// Reads a file. One that cannot be used is as good as none.
    pub(crate) fn open(path: PathBuf, params: &ClientParams, now: Timestamp) -> Self {
        let place = place(params);
        let (servers, unused) = match read(&path, &place, now) {
            Ok(servers) => (servers, None),
            Err(why) => (HashMap::new(), Some(why)),
        };
        Self {
            path,
            place,
            servers,
            unused,
        }
    }

    /// Why what an earlier run has left is not used.
    pub(crate) const fn unused(&self) -> Option<&Unused> {
        self.unused.as_ref()
    }

    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }

    pub(crate) fn server_of(&self, name: &PvName) -> Option<Server> {
        self.servers.get(name).copied()
    }

    pub(crate) fn remember(&mut self, name: &PvName, server: Server) {
        if let Some(known) = self.servers.get_mut(name) {
            *known = server;
        } else if self.servers.len() < MAX_PVS {
            self.servers.insert(name.clone(), server);
        }
    }

    pub(crate) fn forget(&mut self, name: &PvName) {
        self.servers.remove(name);
    }

    /// A copy to be written outside of any lock.
    pub(crate) fn to_file(&self, now: Timestamp) -> ToFile {
        let mut servers: Vec<(Server, PvName)> = (self.servers.iter())
            .map(|(name, &server)| (server, name.clone()))
            .collect();
        servers.sort_unstable();
        ToFile {
            path: self.path.clone(),
            place: self.place.clone(),
            now,
            servers,
        }
    }
}

/// What is to be in a file.
pub(crate) struct ToFile {
    path: PathBuf,
    place: String,
    now: Timestamp,
    servers: Vec<(Server, PvName)>,
}

impl ToFile {
    /// Writes it, in place of what was there, and never in part. Gives the number of PVs.
    pub(crate) fn write(&self) -> io::Result<usize> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let unfinished = PathBuf::from(name);
        let written = File::create(&unfinished)
            .and_then(|file| self.write_to(&mut BufWriter::new(file)))
            .and_then(|()| fs::rename(&unfinished, &self.path));
        written.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        Ok(self.servers.len())
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{HEAD}")?;
        writeln!(out, "written {}", self.now.to_unix().as_secs())?;
        writeln!(out, "searched{}", self.place)?;
        let mut last = None;
        let mut line = String::new();
        for (server, name) in &self.servers {
            if last.replace(server) != Some(server) {
                writeln!(out, "@{} {}", server.0, server.1.0)?;
            }
            line.clear();
            escape(&mut line, name.as_bytes());
            writeln!(out, "{line}")?;
        }
        out.flush()
    }
}

/// The addresses that are searched, in an order that does not depend on interfaces.
fn place(params: &ClientParams) -> String {
    let mut places: Vec<String> = (params.search_addrs.iter())
        .map(ToString::to_string)
        .chain(params.name_servers.iter().map(|addr| format!("tcp:{addr}")))
        .collect();
    places.sort();
    let mut text = String::new();
    for place in places {
        text.push(' ');
        text.push_str(&place);
    }
    text
}

fn read(path: &Path, place: &str, now: Timestamp) -> Result<HashMap<PvName, Server>, Unused> {
    let unreadable = |error: io::Error| Unused::Unreadable(error.to_string());
    let file = File::open(path).map_err(unreadable)?;
    let mut text = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Unused::TooLong);
    }
    parse(&String::from_utf8_lossy(&text), place, now)
}

fn parse(text: &str, place: &str, now: Timestamp) -> Result<HashMap<PvName, Server>, Unused> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let mut next = || lines.next().unwrap_or((1, ""));
    if next().1 != HEAD {
        return Err(Unused::OtherFormat);
    }
    let (at, line) = next();
    let written = line.strip_prefix("written ").map(str::parse::<u64>);
    let Some(Ok(written)) = written else {
        return Err(Unused::BadLine(at));
    };
    let (at, line) = next();
    match line.strip_prefix("searched") {
        Some(searched) if searched == place => {}
        Some(_) => return Err(Unused::OtherPlace),
        None => return Err(Unused::BadLine(at)),
    }
    // Clocks of hosts that share the file may differ by a little.
    let age = (now.to_unix() + Duration::from_secs(3600)).checked_sub(Duration::from_secs(written));
    if age.is_none_or(|age| age > MAX_AGE) {
        return Err(Unused::TooOld);
    }
    let (mut servers, mut server) = (HashMap::new(), None);
    for (at, line) in lines {
        let bad = Unused::BadLine(at);
        if let Some(line) = line.strip_prefix('@') {
            server = Some(parse_server(line).ok_or(bad)?);
            continue;
        }
        let name = unescape(line).and_then(|name| PvName::new(name).ok());
        let (Some(name), Some(server)) = (name, server) else {
            return Err(bad);
        };
        if servers.len() < MAX_PVS {
            servers.insert(name, server);
        }
    }
    Ok(servers)
}

fn parse_server(line: &str) -> Option<Server> {
    let (address, minor) = line.split_once(' ')?;
    Some((address.parse().ok()?, Minor(minor.parse().ok()?)))
}

/// Names are bytes; what is no printable ASCII, and the begin of a line for a server, is `\x..`.
fn escape(line: &mut String, name: &[u8]) {
    for (at, &byte) in name.iter().enumerate() {
        let plain = byte.is_ascii_graphic() && byte != b'\\' && (at > 0 || byte != b'@');
        // Writing to a string cannot fail.
        let _ = match plain {
            true => write!(line, "{}", char::from(byte)),
            false => write!(line, "\\x{byte:02x}"),
        };
    }
}

fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(line.len());
    let mut rest = line.as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte != b'\\' {
            name.push(*byte);
            continue;
        }
        let [b'x', high, low, behind @ ..] = rest else {
            return None;
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        // Two digits of 4 bits.
        name.push((digit(*high)? << 4 | digit(*low)?) as u8);
        rest = behind;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_784_894_400;

    fn now() -> Timestamp {
        Timestamp::from_unix(NOW as i64, 0)
    }

    fn file(names: &[&[u8]]) -> String {
        let server = ("10.0.0.1:5064".parse().unwrap(), Minor(13));
        let mut addresses = Addresses {
            path: PathBuf::new(),
            place: " 10.0.0.255:5064".to_owned(),
            servers: HashMap::new(),
            unused: None,
        };
        for name in names {
            addresses.remember(&PvName::new(name).unwrap(), server);
        }
        let mut out = Vec::new();
        addresses.to_file(now()).write_to(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let names: [&[u8]; 4] = [b"ring:current", b"@odd", b"back\\slash", b"\xb0C and\nmore"];
        let text = file(&names);
        assert!(text.starts_with(
            "canter-addresses 1\nwritten 1784894400\nsearched 10.0.0.255:5064\n@10.0.0.1:5064 13\n"
        ));
        let read = parse(&text, " 10.0.0.255:5064", now()).unwrap();
        assert_eq!(read.len(), names.len());
        for name in names {
            let server = read[&PvName::new(name).unwrap()];
            assert_eq!(server, ("10.0.0.1:5064".parse().unwrap(), Minor(13)));
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let text = file(&[b"x"]);
        let read = |text: &str, place: &str, age: i64| {
            let now = Timestamp::from_unix(NOW as i64 + age, 0);
            parse(text, place, now).map(|servers| servers.len())
        };
        let here = " 10.0.0.255:5064";
        assert_eq!(read(&text, here, 0), Ok(1));
        assert_eq!(read(&text, " 10.1.1.255:5064", 0), Err(Unused::OtherPlace));
        assert_eq!(read(&text, here, 31 * 86_400), Err(Unused::TooOld));
        assert_eq!(read(&text, here, -2 * 86_400), Err(Unused::TooOld));
        assert_eq!(read("", here, 0), Err(Unused::OtherFormat));
        assert_eq!(
            read("canter-addresses 2\n", here, 0),
            Err(Unused::OtherFormat)
        );
        let with = |line: &str| read(&format!("{text}{line}\n"), here, 0);
        assert_eq!(with("@nowhere"), Err(Unused::BadLine(6)));
        assert_eq!(with("bad\\x4"), Err(Unused::BadLine(6)));
        assert_eq!(with(""), Err(Unused::BadLine(6)));
    }
}
