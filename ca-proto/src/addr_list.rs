//! Address lists of the environment and the destinations that follow from them.
//!
//! Names are resolved and interfaces are enumerated by the caller; this module holds the grammar
//! and the rules of order and duplicates.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};

use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::{char, u8 as octet, u16 as port, u32 as raw_address};
use nom::combinator::{all_consuming, map, opt, verify};
use nom::sequence::preceded;
use nom::{IResult, Parser};
use thiserror::Error;

use crate::text::Plain;

/// One valid token of an address list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A numerical address.
    Addr(SocketAddrV4),
    /// A host name that the caller resolves to an IPv4 address.
    Host {
        /// The name, at most 511 bytes of ASCII letters, digits, `.`, `-` and `_`.
        name: String,
        /// UDP or TCP port.
        port: u16,
    },
}

/// The form that parses back to the same entry.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => write!(f, "{addr}"),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

/// A token that is neither an address nor a host name, or a name that was not found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{token}` is {what}", token = self.shown(), what = self.what())]
pub struct BadToken(pub String);

impl BadToken {
    /// The token, without what is beyond a line.
    fn shown(&self) -> String {
        const MAX_SHOWN: usize = 80;
        let all = self.0.as_bytes();
        match all.get(..MAX_SHOWN) {
            Some(cut) if cut.len() < all.len() => alloc::format!("{}…", Plain(cut)),
            _ => Plain(all).to_string(),
        }
    }

    fn is_host(&self) -> bool {
        matches!(parse_token(&self.0, 1), Ok(Entry::Host { .. }))
    }

    fn what(&self) -> &'static str {
        match self.is_host() {
            true => "a host that cannot be found",
            false => "no IPv4 address and no known host",
        }
    }

    /// What to write instead.
    pub fn remedy(&self) -> &'static str {
        let token = self.0.as_str();
        if token.contains([',', ';']) {
            "separate addresses by blanks"
        } else if token.contains("//") || token.contains('/') {
            "write the address alone, without scheme, path or mask"
        } else if token.contains('[') || token.matches(':').count() > 1 {
            "Channel Access uses IPv4 addresses, and one port behind a colon"
        } else if token
            .parse::<u32>()
            .is_ok_and(|number| number < FIRST_ADDRESS)
        {
            "write an address in front of a port, as in 127.0.0.1:5064"
        } else if token.contains(':') && !is_port(token) {
            "the port behind the colon is a number from 1 to 65535"
        } else if self.is_host() {
            "check how it is spelled, and that this host can look it up (DNS, /etc/hosts)"
        } else {
            "write addresses such as 10.0.0.255, or names that this host can look up, with :PORT \
             where it is another one"
        }
    }
}

/// Numbers below are addresses of no host (RFC 6890, 0.0.0.0/8); who writes one means a port.
const FIRST_ADDRESS: u32 = 1 << 24;

fn is_port(token: &str) -> bool {
    let port = token.rsplit(':').next().unwrap_or_default();
    port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A parsed address list: its tokens in order, good and bad.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddrList(pub Vec<Result<Entry, BadToken>>);

impl AddrList {
    /// Parses a list separated by blanks, tabs, CR and LF. A comma does not separate
    /// (`rsrv_init` of EPICS Base).
    pub fn parse(text: &str, default_port: u16) -> Self {
        let tokens = text
            .split([' ', '\t', '\r', '\n'])
            .filter(|token| !token.is_empty());
        Self(
            tokens
                .map(|token| parse_token(token, default_port))
                .collect(),
        )
    }

    /// Addresses in order, host names looked up with `lookup`, and the tokens that gave none.
    pub fn resolve(
        &self,
        mut lookup: impl FnMut(&str) -> Option<Ipv4Addr>,
    ) -> (Vec<SocketAddrV4>, Vec<BadToken>) {
        let (mut addrs, mut bad) = (Vec::new(), Vec::new());
        for item in &self.0 {
            match item {
                Ok(Entry::Addr(addr)) => addrs.push(*addr),
                Ok(Entry::Host { name, port }) => match lookup(name) {
                    Some(ip) => addrs.push(SocketAddrV4::new(ip, *port)),
                    None => bad.push(BadToken(name.clone())),
                },
                Err(token) => bad.push(token.clone()),
            }
        }
        (addrs, bad)
    }

    /// The valid entries in order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter_map(|item| item.as_ref().ok())
    }
}

impl FromIterator<SocketAddrV4> for AddrList {
    fn from_iter<I: IntoIterator<Item = SocketAddrV4>>(addrs: I) -> Self {
        Self(addrs.into_iter().map(Entry::Addr).map(Ok).collect())
    }
}

/// The valid entries separated by blanks.
impl fmt::Display for AddrList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, entry) in self.entries().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{entry}")?;
        }
        Ok(())
    }
}

/// Parses one token: `a.b.c.d`, a raw 32-bit decimal number or a host name, each with optional
/// `:port`.
///
/// Octets are decimal also with leading zeros. What the reference takes and nobody means is a mistake:
/// port 0, numbers that are addresses of no host (`5064`), and numbers with fewer than four parts
/// (`1.2.3`), which it expands as `inet_aton` does.
///
/// # Errors
///
/// [`BadToken`] with the token.
pub fn parse_token(token: &str, default_port: u16) -> Result<Entry, BadToken> {
    fn with_port<'a, T>(
        host: impl Parser<&'a str, Output = T, Error = nom::error::Error<&'a str>>,
    ) -> impl Parser<&'a str, Output = (T, Option<u16>), Error = nom::error::Error<&'a str>> {
        let port = verify(port, |&port| port > 0);
        all_consuming((host, opt(preceded(char(':'), port))))
    }

    let raw = verify(raw_address, |&number| number >= FIRST_ADDRESS);
    let addr = |(ip, port): (Ipv4Addr, Option<u16>)| {
        Entry::Addr(SocketAddrV4::new(ip, port.unwrap_or(default_port)))
    };
    let host = |(name, port): (&str, Option<u16>)| Entry::Host {
        name: name.to_string(),
        port: port.unwrap_or(default_port),
    };
    let mut entry = alt((
        map(with_port(dotted), addr),
        map(with_port(map(raw, Ipv4Addr::from_bits)), addr),
        map(with_port(host_name), host),
    ));
    match entry.parse(token) {
        Ok((_, entry)) => Ok(entry),
        Err(_) => Err(BadToken(token.to_string())),
    }
}

fn dotted(input: &str) -> IResult<&str, Ipv4Addr> {
    let next = || preceded(char('.'), octet);
    let (rest, (a, b, c, d)) = (octet, next(), next(), next()).parse(input)?;
    Ok((rest, Ipv4Addr::new(a, b, c, d)))
}

fn host_name(input: &str) -> IResult<&str, &str> {
    const MAX_LEN: usize = 511;
    let name = take_while1(|c: char| c.is_ascii_alphanumeric() || ".-_".contains(c));
    verify(name, |name: &str| {
        name.len() <= MAX_LEN && name.contains(|c: char| !c.is_ascii_digit() && c != '.')
    })
    .parse(input)
}

/// An IPv4 address of a network interface, as the operating system reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Own address.
    pub addr: Ipv4Addr,
    /// The interface is up.
    pub up: bool,
    /// The interface is the loopback interface.
    pub loopback: bool,
    /// How to reach its neighbours.
    pub reach: Reach,
}

/// How the neighbours on an interface are reached without knowing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// By this broadcast address; 0.0.0.0 counts as none.
    Broadcast(Ipv4Addr),
    /// The only neighbour has this address.
    PointToPoint(Ipv4Addr),
    /// Not at all.
    None,
}

impl Interface {
    /// Destination that reaches the neighbours, if the interface can be used for that.
    fn neighbours(&self) -> Option<Ipv4Addr> {
        if !self.up || self.loopback {
            return None;
        }
        match self.reach {
            Reach::Broadcast(addr) => (!addr.is_unspecified()).then_some(addr),
            Reach::PointToPoint(peer) => Some(peer),
            Reach::None => None,
        }
    }
}

/// Datagram destinations and what was dropped on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destinations {
    /// Destinations in the order of sending, each once.
    pub list: Vec<SocketAddrV4>,
    /// Dropped entries, one per drop.
    pub duplicates: Vec<SocketAddrV4>,
    /// Listed interfaces that contribute no automatic destination.
    pub unreachable: Vec<Ipv4Addr>,
}

impl Destinations {
    /// Messages about dropped entries.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let unreachable = self.unreachable.iter().map(|addr| {
            alloc::format!(
                "the interface {addr} has no broadcast address: no beacons are sent there"
            )
        });
        let duplicates = self
            .duplicates
            .iter()
            .map(|addr| alloc::format!("the address list has {addr} more than once; once is used"));
        unreachable.chain(duplicates)
    }

    /// Appends the user's list to the automatic one and drops duplicates, the first one wins.
    fn join(auto: Vec<SocketAddrV4>, user: &[SocketAddrV4], unreachable: Vec<Ipv4Addr>) -> Self {
        let mut list = Vec::with_capacity(auto.len() + user.len());
        for addr in auto {
            if !list.contains(&addr) {
                list.push(addr);
            }
        }
        let mut duplicates = Vec::new();
        for &addr in user {
            if list.contains(&addr) {
                duplicates.push(addr);
            } else {
                list.push(addr);
            }
        }
        Self {
            list,
            duplicates,
            unreachable,
        }
    }
}

/// Destinations of name searches (`configureChannelAccessAddressList` of EPICS Base).
///
/// The automatic part comes first: the broadcast or peer address of every interface that is up and
/// not loopback, with `port`; 127.0.0.1 if there is none; duplicates in it are silent. The user's
/// list extends it; its duplicates are reported.
pub fn search_destinations(
    auto: bool,
    interfaces: &[Interface],
    user: &[SocketAddrV4],
    port: u16,
) -> Destinations {
    let mut found = Vec::new();
    if auto {
        found.extend(interfaces.iter().filter_map(Interface::neighbours));
        if found.is_empty() {
            found.push(Ipv4Addr::LOCALHOST);
        }
    }
    Destinations::join(with_port(found, port), user, Vec::new())
}

/// Destinations of a server's beacons (`rsrv_init` of EPICS Base).
///
/// `listed` are the addresses the server is bound to, empty or 0.0.0.0 for all interfaces. Then every
/// interface contributes as in [`search_destinations`], but without the fall-back to 127.0.0.1.
/// Else only the listed ones do; 127.0.0.1 contributes itself. An empty result means that no
/// beacons are sent.
pub fn beacon_destinations(
    auto: bool,
    listed: &[Ipv4Addr],
    interfaces: &[Interface],
    user: &[SocketAddrV4],
    port: u16,
) -> Destinations {
    let (mut found, mut unreachable) = (Vec::new(), Vec::new());
    let wildcard = listed.iter().all(Ipv4Addr::is_unspecified);
    if auto && wildcard {
        found.extend(interfaces.iter().filter_map(Interface::neighbours));
    } else if auto {
        for &addr in listed {
            let mut same = interfaces.iter().filter(|interface| interface.addr == addr);
            match same.find_map(Interface::neighbours) {
                Some(destination) => found.push(destination),
                None if addr == Ipv4Addr::LOCALHOST => found.push(addr),
                None => unreachable.push(addr),
            }
        }
    }
    Destinations::join(with_port(found, port), user, unreachable)
}

fn with_port(addrs: Vec<Ipv4Addr>, port: u16) -> Vec<SocketAddrV4> {
    let addrs = addrs.into_iter();
    addrs.map(|ip| SocketAddrV4::new(ip, port)).collect()
}

/// The multicast groups among these addresses. A repeater joins them: servers that announce
/// themselves to a group are those that are searched through it.
pub fn multicast_groups(addrs: &[SocketAddrV4]) -> Vec<Ipv4Addr> {
    let ips = addrs.iter().map(|addr| *addr.ip());
    ips.filter(Ipv4Addr::is_multicast).collect()
}

/// A server's interface list, sorted by use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BindAddrs {
    /// Addresses to bind; 0.0.0.0 alone if the list names none.
    pub bind: Vec<Ipv4Addr>,
    /// Multicast groups to join on every UDP socket.
    pub groups: Vec<Ipv4Addr>,
}

/// The interface list names all interfaces and single ones together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("0.0.0.0 cannot be combined with other addresses in the interface list")]
pub struct AmbiguousInterfaces;

impl BindAddrs {
    /// Sorts the addresses of EPICS_CAS_INTF_ADDR_LIST; ports and repeated addresses are ignored.
    ///
    /// # Errors
    ///
    /// [`AmbiguousInterfaces`], a fatal mistake for the reference too (`rsrv_init` of EPICS Base).
    pub fn from_list(addrs: &[SocketAddrV4]) -> Result<Self, AmbiguousInterfaces> {
        let mut sorted = Self::default();
        for ip in addrs.iter().map(SocketAddrV4::ip) {
            let target = if ip.is_multicast() {
                &mut sorted.groups
            } else {
                &mut sorted.bind
            };
            if !target.contains(ip) {
                target.push(*ip);
            }
        }
        if sorted.bind.is_empty() {
            sorted.bind.push(Ipv4Addr::UNSPECIFIED);
        }
        if sorted.bind.len() > 1 && sorted.bind.contains(&Ipv4Addr::UNSPECIFIED) {
            return Err(AmbiguousInterfaces);
        }
        Ok(sorted)
    }
}
