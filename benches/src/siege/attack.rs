//! The attacks.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, Ioid, Sid};
use ca_proto::wire::message::{Port, SearchFlag, Text};
use ca_proto::wire::{Command, Header, Minor, tcp, udp};
use socket2::{Domain, Socket, Type};

use super::crowd::{Crowd, crowd};

/// Names in a datagram of the search flood.
const NAMES: u32 = 40;
/// Time in which an IOC closes whom it has told of.
const PATIENCE: Duration = Duration::from_secs(10);
/// Datagrams between two looks at the clock.
const BURST: u32 = 20;
/// How often attackers look whether they are to end, and slow ones act.
const TICK: Duration = Duration::from_millis(100);

/// What is attacked, and how hard.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the IOC answers searches.
    pub udp: SocketAddrV4,
    /// Where it takes circuits.
    pub tcp: SocketAddrV4,
    /// The repeater of the honest client.
    pub repeater: u16,
    /// Connections of those attacks that hold some.
    pub connections: usize,
    /// Connections that the IOC takes from one address.
    pub per_host: usize,
    /// Channels, subscriptions or puts of a circuit, at most.
    pub each: usize,
    /// Pause between two bursts of datagrams.
    pub pause: Duration,
}

/// An attack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attack {
    /// Searches for names that exist.
    Search,
    /// Connections that say nothing, every second one after its version.
    Idle,
    /// Circuits that ask for arrays and read nothing.
    Stopped,
    /// Messages that claim to be larger than allowed, and go on and on.
    Giant,
    /// Beacons of many servers with numbers that jump, to the honest client.
    Beacons,
    /// Connections that send a byte a second.
    Slow,
    /// Very many subscriptions, then a reset.
    Subscriptions,
    /// Very many subscriptions, cancelled one by one.
    Cancels,
    /// Very many views of an array, then a reset.
    Views,
    /// Very many channels with a put under way, then a reset.
    Puts,
    /// Strided views of a large array, and small puts to it.
    Strides,
    /// Very many channels of a field, cleared one by one.
    Fields,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Search,
        Self::Idle,
        Self::Stopped,
        Self::Giant,
        Self::Beacons,
        Self::Slow,
        Self::Subscriptions,
        Self::Cancels,
        Self::Views,
        Self::Puts,
        Self::Strides,
        Self::Fields,
    ];

    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Idle => "idle",
            Self::Stopped => "stopped",
            Self::Giant => "giant",
            Self::Beacons => "beacons",
            Self::Slow => "slow",
            Self::Subscriptions => "subscriptions",
            Self::Cancels => "cancels",
            Self::Views => "views",
            Self::Puts => "puts",
            Self::Strides => "strides",
            Self::Fields => "fields",
        }
    }

    /// What it is.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Search => "search flood",
            Self::Idle => "idle connections",
            Self::Stopped => "readers that stopped",
            Self::Giant => "giant headers",
            Self::Beacons => "beacon storm",
            Self::Slow => "a byte a second",
            Self::Subscriptions => "masses of subscriptions, reset",
            Self::Cancels => "masses of subscriptions, cancelled youngest first",
            Self::Views => "masses of views, reset",
            Self::Puts => "masses of put-notifies under way, reset",
            Self::Strides => "strided views of 10^6 elements, small puts",
            Self::Fields => "masses of channels on a field, cleared",
        }
    }

    /// The settings of the limits that the attack meets; the IOC counts and logs them by name.
    pub const fn limits(self) -> &'static [&'static str] {
        match self {
            Self::Search => &["search_replies_per_second_per_host"],
            Self::Idle => &["version_timeout", "max_circuits_per_host"],
            Self::Stopped => &["stall_timeout"],
            Self::Giant => &["max_payload"],
            Self::Slow => &["version_timeout"],
            Self::Beacons
            | Self::Subscriptions
            | Self::Cancels
            | Self::Views
            | Self::Puts
            | Self::Strides
            | Self::Fields => &[],
        }
    }

    /// Attacks until it is to stop; calls `ready` once it is under way. What it did.
    ///
    /// # Errors
    /// Those of sockets that have nothing to do with being refused.
    pub fn run(
        self,
        target: &Target,
        stop: &AtomicBool,
        ready: impl FnOnce(),
    ) -> io::Result<String> {
        let stop = || stop.load(Ordering::Relaxed);
        match self {
            Self::Search => datagrams(target, target.udp, &searches(), stop, ready),
            Self::Beacons => {
                let repeater = SocketAddrV4::new(Ipv4Addr::LOCALHOST, target.repeater);
                datagrams(target, repeater, &beacons(), stop, ready)
            }
            Self::Idle => idle(target, stop, ready),
            Self::Stopped => stopped(target, stop, ready),
            Self::Giant => giant(target, stop, ready),
            Self::Slow => slow(target, stop, ready),
            Self::Subscriptions => crowd(Crowd::Subscriptions, target, stop, ready),
            Self::Cancels => crowd(Crowd::Cancels, target, stop, ready),
            Self::Views => crowd(Crowd::Views, target, stop, ready),
            Self::Puts => crowd(Crowd::Puts, target, stop, ready),
            Self::Strides => crowd(Crowd::Strides, target, stop, ready),
            Self::Fields => crowd(Crowd::Fields, target, stop, ready),
        }
    }
}

/// The nth hostile host.
pub(super) fn host(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1 + (n / 250) as u8, 1 + (n % 250) as u8)
}

pub(super) fn dial(target: &Target, host: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(host, 0).into())?;
    socket.connect(&target.tcp.into())?;
    Ok(socket.into())
}

fn pause_until(stop: impl Fn() -> bool) {
    while !stop() {
        std::thread::sleep(TICK);
    }
}

fn encoded(requests: &[tcp::Request<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for request in requests {
        request.encode_into(&mut out);
    }
    out
}

pub(super) fn version<'a>() -> tcp::Request<'a> {
    tcp::Request::Version {
        priority: 0,
        minor: Minor::CURRENT,
        sequence: 0,
    }
}

pub(super) fn create(name: &str) -> tcp::Request<'_> {
    tcp::Request::CreateChan {
        cid: Cid(1),
        minor: Minor::CURRENT,
        name: Text::new(name.as_bytes()),
    }
}

fn searches() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    udp::Request::Version {
        valid: 1,
        minor: Minor::CURRENT,
        sequence: 1,
    }
    .encode_into(&mut out);
    for id in 0..NAMES {
        udp::Request::Search {
            reply: SearchFlag::DONT_REPLY,
            minor: Minor::CURRENT,
            cid: Cid(id),
            cid2: Cid(id),
            name: Text::new(b"note"),
        }
        .encode_into(&mut out);
    }
    vec![out]
}

fn beacons() -> Vec<Vec<u8>> {
    let beacon = |n: u32| {
        let mut out = Vec::new();
        udp::Response::Beacon {
            minor: Minor::CURRENT,
            port: Port(5064),
            sequence: n.wrapping_mul(7),
            server: Ipv4Addr::from(0x0a00_0000 + n % 1_000),
        }
        .encode_into(&mut out);
        out
    };
    (0..10_000).map(beacon).collect()
}

fn datagrams(
    target: &Target,
    to: SocketAddrV4,
    all: &[Vec<u8>],
    stop: impl Fn() -> bool,
    ready: impl FnOnce(),
) -> io::Result<String> {
    let socket = UdpSocket::bind((host(0), 0))?;
    let (mut sent, start) = (0_u64, Instant::now());
    let mut each = all.iter().cycle();
    ready();
    while !stop() {
        for datagram in each.by_ref().take(BURST as usize) {
            // A full buffer of the receiver is what a flood is for.
            sent += u64::from(socket.send_to(datagram, to).is_ok());
        }
        if !target.pause.is_zero() {
            std::thread::sleep(target.pause);
        }
    }
    let rate = sent as f64 / start.elapsed().as_secs_f64();
    Ok(format!("{sent} datagrams, {rate:.0} a second"))
}

fn idle(target: &Target, stop: impl Fn() -> bool, ready: impl FnOnce()) -> io::Result<String> {
    let mut held = Vec::new();
    let mut short = String::new();
    for n in 0..target.connections {
        match dial(target, host(n / target.per_host)) {
            Ok(mut stream) => {
                if n % 2 == 1 {
                    stream.write_all(&encoded(&[version()]))?;
                }
                held.push(stream);
            }
            Err(error) => {
                short = format!(" ({error})");
                break;
            }
        }
    }
    // A host whose share is full.
    let full = host(target.connections.div_ceil(target.per_host) + 1);
    let (mut refused, mut more) = (0, Vec::new());
    for n in 0..target.per_host + 10 {
        let mut stream = dial(target, full)?;
        if n < target.per_host {
            // Or a slow machine closes them before the share is full.
            stream.write_all(&encoded(&[version()]))?;
            more.push(stream);
            continue;
        }
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut said = Vec::new();
        let ended = stream.read_to_end(&mut said).is_ok();
        refused += u32::from(ended && has_error(&said));
    }
    ready();
    pause_until(stop);
    // The IOC tells of the first before it closes them all.
    let (deadline, silent) = (Instant::now() + PATIENCE, held.len().div_ceil(2));
    let closed = loop {
        let closed = held.iter().filter(|stream| is_closed(stream)).count();
        if closed >= silent || Instant::now() > deadline {
            break closed;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ok(format!(
        "{} of {} connections{short}, {closed} closed by the IOC; beyond the share of a host: {refused} \
         of 10 refused with an error",
        held.len(),
        target.connections
    ))
}

fn is_closed(stream: &TcpStream) -> bool {
    let mut buf = [0; 64];
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    loop {
        match (&*stream).read(&mut buf) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

fn stopped(target: &Target, stop: impl Fn() -> bool, ready: impl FnOnce()) -> io::Result<String> {
    let mut held = Vec::new();
    for n in 0..target.connections {
        let mut stream = dial(target, host(n / target.per_host))?;
        let mut requests = vec![version(), create("big")];
        requests.extend((0..200).map(|ioid| tcp::Request::ReadNotify {
            ty: DbrType::new(Family::Time, NativeType::Double),
            count: 100_000,
            sid: Sid(0),
            ioid: Ioid(ioid),
        }));
        stream.write_all(&encoded(&requests))?;
        held.push(stream);
    }
    ready();
    pause_until(stop);
    let closed = held.iter().filter(|stream| is_closed(stream)).count();
    Ok(format!(
        "{} circuits with 160 MB asked for each, {closed} closed by the IOC",
        held.len()
    ))
}

fn giant(target: &Target, stop: impl Fn() -> bool, ready: impl FnOnce()) -> io::Result<String> {
    let header = Header {
        payload_len: 0x4000_0000,
        ..Header::new(Command::WRITE)
    };
    let mut head = encoded(&[version()]);
    header.encode(&mut head);
    let mut open = Vec::new();
    for n in 0..target.connections {
        let mut stream = dial(target, host(n / target.per_host))?;
        stream.write_all(&head)?;
        stream.set_nonblocking(true)?;
        open.push(stream);
    }
    ready();
    let (junk, mut sent) = (vec![0x5a; 1 << 16], 0_u64);
    while !stop() && !open.is_empty() {
        open.retain_mut(|stream| match stream.write(&junk) {
            Ok(len) => {
                sent += len as u64;
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
        if !target.pause.is_zero() {
            std::thread::sleep(target.pause);
        }
    }
    pause_until(stop);
    let told = open.iter().filter(|stream| was_told(stream)).count();
    Ok(format!(
        "{} circuits, {:.0} MB of payload; {told} told with an error",
        target.connections,
        sent as f64 / 1e6
    ))
}

/// True if the IOC has sent an `ERROR`.
fn was_told(mut stream: &TcpStream) -> bool {
    let mut said = [0; 1024];
    stream
        .read(&mut said)
        .is_ok_and(|len| has_error(&said[..len]))
}

/// `ERROR` stands alone or behind `VERSION`.
fn has_error(said: &[u8]) -> bool {
    let behind_version = said.get(16..).unwrap_or_default();
    [said, behind_version]
        .iter()
        .any(|said| said.starts_with(&[0, 11]))
}

fn slow(target: &Target, stop: impl Fn() -> bool, ready: impl FnOnce()) -> io::Result<String> {
    let mut held = Vec::new();
    for n in 0..target.connections {
        held.push(dial(target, host(n / target.per_host))?);
    }
    ready();
    let bytes = encoded(&[version(), create("x")]);
    let start = Instant::now();
    for (second, byte) in (0..).zip(&bytes) {
        for stream in &mut held {
            // Those that were closed are counted in the end.
            let _ = stream.write(&[*byte]);
        }
        while start.elapsed() < Duration::from_secs(second + 1) && !stop() {
            std::thread::sleep(TICK);
        }
    }
    pause_until(stop);
    let closed = held.iter().filter(|stream| is_closed(stream)).count();
    Ok(format!(
        "{} connections, {closed} closed by the IOC",
        held.len()
    ))
}
