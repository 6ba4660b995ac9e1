//! How long one call holds the IOC, in processor time of its thread, which other programs on the machine
//! do not change.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{CircuitId, Ioid, Sid};
use ca_proto::wire::message::Data;
use ca_proto::wire::{Deframer, tcp};
use ca_proto::{Instant, Timestamp};
use ca_server_sim::{Ioc, PvSpec};
use nix::time::{ClockId, clock_gettime};

use super::attack::{create, version};
use super::crowd::Crowd;

/// What a read of a socket brings.
const CHUNK: usize = 64 * 1024;
const NOW: Instant = Instant::from_nanos(1_000_000_000);

/// How long each of many calls took.
#[derive(Clone, Debug, Default)]
pub struct Calls(Vec<Duration>);

impl Calls {
    /// The longest.
    pub fn most(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }

    /// How many there were.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// What the same calls took at least, if they were made again: what else uses the processor's caches
    /// makes a call longer, and never shorter.
    fn least(&mut self, again: &Self) {
        for (call, again) in self.0.iter_mut().zip(&again.0) {
            *call = (*call).min(*again);
        }
    }
}

/// What was measured for one attack, in memory, with the default limits.
#[derive(Debug)]
pub struct Hold {
    /// What it is.
    pub name: &'static str,
    /// Handing in a chunk of requests.
    pub chunk: Calls,
    /// Taking output.
    pub output: Calls,
    /// A turn of the work that was left.
    pub turn: Calls,
    /// The end of a circuit, or what the program did.
    pub end: Calls,
}

struct Meter {
    ioc: Ioc,
    hold: Hold,
}

fn cpu() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

fn timed<R>(calls: &mut Calls, work: impl FnOnce() -> R) -> io::Result<R> {
    let before = cpu()?;
    let result = work();
    let took = cpu()?.saturating_sub(before);
    calls.0.push(took);
    Ok(result)
}

impl Meter {
    fn new(name: &'static str) -> Result<Self, Box<dyn std::error::Error>> {
        let slow = PvSpec::double(0.0).completes_after(Duration::from_secs(2));
        let pvs = [
            ("x", PvSpec::double(1.5)),
            ("slow", slow),
            ("huge", PvSpec::array(vec![0.25; 1_000_000])),
        ];
        let pvs = pvs.map(|(name, spec)| (name.to_owned(), spec));
        let mut ioc = Ioc::builder().pvs(pvs).build()?;
        ioc.start(NOW, Timestamp::from_unix(1_800_000_000, 0), 5064);
        let hold = Hold {
            name,
            chunk: Calls::default(),
            output: Calls::default(),
            turn: Calls::default(),
            end: Calls::default(),
        };
        Ok(Self { ioc, hold })
    }

    fn accept(&mut self, n: u16) -> io::Result<(CircuitId, Deframer)> {
        let peer = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), n);
        let id = self
            .ioc
            .accept(NOW, peer)
            .ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok((id, Deframer::new(self.ioc.limits(id))))
    }

    fn turn(&mut self) -> io::Result<()> {
        let Self { ioc, hold } = self;
        if ioc.has_work() {
            timed(&mut hold.turn, || ioc.work(NOW))?;
        }
        while let Some(id) = ioc.poll_woken() {
            let sent = timed(&mut hold.output, || ioc.transmit(id).map(std::mem::take))?;
            drop(sent);
        }
        Ok(())
    }

    fn rest(&mut self) -> io::Result<()> {
        while self.ioc.has_work() {
            self.turn()?;
        }
        self.turn()
    }

    fn feed(
        &mut self,
        (id, deframer): &mut (CircuitId, Deframer),
        mut bytes: &[u8],
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let chunk = &bytes[..bytes.len().min(CHUNK)];
            let Self { ioc, hold } = self;
            let done = timed(&mut hold.chunk, || {
                ioc.handle_chunk(NOW, *id, deframer, chunk)
            })?;
            bytes = &bytes[done.map_err(io::Error::other)?..];
            self.turn()?;
        }
        self.rest()
    }
}

/// Runs each attack by masses in memory, with so many channels, subscriptions or puts at most, and repeats
/// all of it: of each call counts what it took at least.
///
/// # Errors
/// The IOC refuses something, or the clock cannot be read.
pub fn holds(each: usize, repeats: u32) -> Result<Vec<Hold>, Box<dyn std::error::Error>> {
    let mut least = once(each)?;
    for _ in 1..repeats {
        for (hold, again) in least.iter_mut().zip(once(each)?) {
            hold.chunk.least(&again.chunk);
            hold.output.least(&again.output);
            hold.turn.least(&again.turn);
            hold.end.least(&again.end);
        }
    }
    Ok(least)
}

fn once(each: usize) -> Result<Vec<Hold>, Box<dyn std::error::Error>> {
    let mut holds = Vec::new();
    for (crowd, name) in [
        (
            Crowd::Subscriptions,
            "subscriptions on one channel, then a reset",
        ),
        (Crowd::Cancels, "subscriptions cancelled youngest first"),
        (Crowd::Views, "views of single elements, then a reset"),
        (Crowd::Puts, "channels with a put-notify each, then a reset"),
        (
            Crowd::Strides,
            "strided views of 10^6 elements and small puts",
        ),
        (Crowd::Fields, "channels of a field, cleared"),
    ] {
        let mut meter = Meter::new(name)?;
        let (asks, then) = crowd.requests(crowd.each(each));
        let mut circuit = meter.accept(1)?;
        meter.feed(&mut circuit, &asks)?;
        // The program posts to all of them.
        timed(&mut meter.hold.end, || meter.ioc.post(NOW, "x", 2.5))??;
        meter.rest()?;
        meter.feed(&mut circuit, &then)?;
        timed(&mut meter.hold.end, || {
            meter.ioc.handle_closed(NOW, circuit.0)
        })?;
        meter.rest()?;
        holds.push(meter.hold);
    }
    holds.push(hundred(each)?);
    holds.push(program(each)?);
    holds.push(texts()?);
    holds.push(array()?);
    Ok(holds)
}

/// A hundred circuits with a hundredth each, reset one after the other without a pause.
fn hundred(each: usize) -> Result<Hold, Box<dyn std::error::Error>> {
    let mut meter = Meter::new("100 circuits with a hundredth each, reset together")?;
    let (asks, _) = Crowd::Subscriptions.requests((each / 100).max(1));
    let mut circuits = Vec::new();
    for n in 0..100 {
        let mut circuit = meter.accept(n)?;
        meter.feed(&mut circuit, &asks)?;
        circuits.push(circuit);
    }
    for (id, _) in circuits {
        timed(&mut meter.hold.end, || meter.ioc.handle_closed(NOW, id))?;
    }
    meter.rest()?;
    Ok(meter.hold)
}

/// What the program does with a PV that has very many channels.
fn program(each: usize) -> Result<Hold, Box<dyn std::error::Error>> {
    let mut meter = Meter::new("rights changed, then the PV removed, under channels of fields")?;
    let (asks, _) = Crowd::Fields.requests(Crowd::Fields.each(each));
    let mut circuit = meter.accept(1)?;
    meter.feed(&mut circuit, &asks)?;
    let read = ca_proto::access::AccessRights::READ;
    timed(&mut meter.hold.end, || meter.ioc.set_rights(NOW, "x", read))??;
    meter.rest()?;
    timed(&mut meter.hold.end, || meter.ioc.remove(NOW, "x"))?;
    meter.rest()?;
    Ok(meter.hold)
}

/// A million numbers put in their own type, and every second of them read.
fn array() -> Result<Hold, Box<dyn std::error::Error>> {
    let mut meter = Meter::new("10^6 numbers put with completion, every second read")?;
    let data = vec![0; 8_000_000];
    let mut asks = Vec::new();
    version().encode_into(&mut asks);
    create("huge").encode_into(&mut asks);
    create("huge.VAL[0:2:-1]").encode_into(&mut asks);
    let double = DbrType::new(Family::Plain, NativeType::Double);
    tcp::Request::WriteNotify {
        ty: double,
        count: 1_000_000,
        sid: Sid(0),
        ioid: Ioid(1),
        data: Data(&data),
    }
    .encode_into(&mut asks);
    tcp::Request::ReadNotify {
        ty: double,
        count: 0,
        sid: Sid(1),
        ioid: Ioid(2),
    }
    .encode_into(&mut asks);
    let mut circuit = meter.accept(1)?;
    meter.feed(&mut circuit, &asks)?;
    Ok(meter.hold)
}

/// A million numbers as texts.
fn texts() -> Result<Hold, Box<dyn std::error::Error>> {
    let mut meter = Meter::new("10^6 numbers read as texts")?;
    let mut asks = Vec::new();
    version().encode_into(&mut asks);
    create("huge").encode_into(&mut asks);
    tcp::Request::ReadNotify {
        ty: DbrType::new(Family::Plain, NativeType::String),
        count: 1_000_000,
        sid: Sid(0),
        ioid: Ioid(1),
    }
    .encode_into(&mut asks);
    let mut circuit = meter.accept(1)?;
    meter.feed(&mut circuit, &asks)?;
    Ok(meter.hold)
}
