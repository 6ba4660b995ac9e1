//! The checks of our client against a server, whoever wrote that.

mod alarms;
mod arrays;
mod filters;
mod monitors;
mod puts;
mod reads;
pub mod restart;
mod texts;

use std::fmt;
use std::future::Future;
use std::net::SocketAddrV4;
use std::pin::Pin;
use std::time::Instant;

use ca_client::{
    BuildError, ConnectError, DbrType, EcaStatus, Family, GetError, MonitorError, NativeType,
    PutError, ReadSpec, Reading, TypeSpec, Value,
};

use crate::api::{Api, Channel};
use crate::lacks::lacks;
use crate::table::{Outcome, Outcomes};

/// Who wrote the server, and so what it can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The IOC of EPICS Base.
    RealIoc,
    /// Our simulated IOC.
    Simulated,
    /// The server of caproto.
    Caproto,
    /// The portable CA server of C++, in Python.
    Pcaspy,
}

impl Kind {
    /// Whether it has FLOAT: real numbers of the portable server in Python are all DOUBLE.
    pub(crate) const fn has_float(self) -> bool {
        !matches!(self, Self::Pcaspy)
    }
}

/// A server under test.
#[derive(Clone, Debug)]
pub struct Server {
    /// Who wrote it.
    pub kind: Kind,
    /// Where it answers searches.
    pub address: SocketAddrV4,
    /// Prefix of its PVs.
    pub prefix: String,
}

/// Why a check did not end well.
#[derive(Debug)]
pub enum Stop {
    /// The server cannot do it.
    NotOffered(&'static str),
    /// Something else happened than should.
    Failed(String),
}

impl Stop {
    fn failed(what: impl fmt::Display) -> Self {
        Self::Failed(what.to_string())
    }

    /// With what it is about.
    fn about(self, what: impl fmt::Display) -> Self {
        match self {
            Self::Failed(why) => Self::Failed(format!("{what}: {why}")),
            not_offered @ Self::NotOffered(_) => not_offered,
        }
    }
}

macro_rules! failures {
    ($($error:ty),*) => {$(
        impl From<$error> for Stop {
            fn from(error: $error) -> Self {
                Self::failed(error)
            }
        }
    )*};
}

failures!(BuildError, ConnectError, GetError, PutError, MonitorError);

/// What a check gives.
pub type Check = Result<(), Stop>;

/// Fails unless both are the same.
fn expect<T: PartialEq + fmt::Debug>(what: &str, found: T, wanted: T) -> Check {
    if found == wanted {
        return Ok(());
    }
    let (mut found, mut wanted) = (format!("{found:?}"), format!("{wanted:?}"));
    found.truncate(200);
    wanted.truncate(200);
    Err(Stop::Failed(format!("{what}: {found}, expected {wanted}")))
}

/// Fails unless it is true.
fn ensure(what: impl fmt::Display, is: bool) -> Check {
    if is { Ok(()) } else { Err(Stop::failed(what)) }
}

/// A client and the server it is tested against.
struct Bench<'a, A> {
    api: &'a A,
    server: &'a Server,
}

impl<A> Clone for Bench<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Bench<'_, A> {}

impl<A: Api> Bench<'_, A> {
    fn name(&self, suffix: &str) -> String {
        format!("{}:{suffix}", self.server.prefix)
    }

    fn open(&self, suffix: &str) -> Result<A::Channel, Stop> {
        Ok(self.api.open(self.name(suffix).as_bytes())?)
    }

    async fn connect(&self, suffix: &str) -> Result<A::Channel, Stop> {
        let channel = self.open(suffix)?;
        channel.connected(crate::api::TIMEOUT).await?;
        Ok(channel)
    }
}

/// The whole value in its native type and a family.
fn native(family: Family) -> ReadSpec {
    ReadSpec {
        ty: TypeSpec::Family(family),
        count: 0,
    }
}

fn exact(ty: DbrType, count: u32) -> ReadSpec {
    ReadSpec {
        ty: TypeSpec::Exact(ty),
        count,
    }
}

const fn plain(native: NativeType) -> DbrType {
    DbrType::new(Family::Plain, native)
}

/// The elements as texts; strings as far as their NUL, so that bytes behind it do not count.
fn same_value(found: &Reading, wanted: &Value) -> Check {
    let value = found.to_value();
    if wanted.native() != NativeType::String || found.native() != NativeType::String {
        let size = found.count() == wanted.count() && found.count() > 8;
        if size && value != *wanted {
            return Err(Stop::failed("wrong elements"));
        }
        let texts = |value: &Value| format!("{:?} {:02x?}", value, value.payload().as_slice());
        return expect("value", texts(&value), texts(wanted));
    }
    let texts = |value: &Value| -> Vec<Vec<u8>> {
        let value = value.as_ref();
        let texts = (0..value.count).map_while(|n| value.string(n));
        texts.map(<[u8]>::to_vec).collect()
    };
    expect("value", texts(&value), texts(wanted))
}

async fn read_is<C: Channel>(channel: &C, wanted: &Value) -> Check {
    same_value(&channel.get(native(Family::Plain)).await?, wanted)
}

/// Reads until the value is there: what was written without completion may be overtaken.
async fn read_becomes<C: Channel>(channel: &C, wanted: &Value) -> Check {
    let deadline = Instant::now() + crate::api::TIMEOUT;
    loop {
        let same = read_is(channel, wanted).await;
        if same.is_ok() || Instant::now() >= deadline {
            return same;
        }
    }
}

async fn put<C: Channel>(channel: &C, value: impl Into<Value>) -> Result<(), PutError> {
    let value = value.into();
    channel.put_wait(plain(value.native()), value).await
}

/// Puts a value back, then gives the outcome of what was done with the PV.
async fn restore<C: Channel>(channel: &C, value: impl Into<Value>, outcome: Check) -> Check {
    let restored = put(channel, value).await;
    outcome?;
    Ok(restored?)
}

/// Fails unless the write was refused with this status.
fn refused(outcome: Result<(), PutError>, wanted: EcaStatus) -> Check {
    match outcome {
        Err(PutError::Failed { status, .. }) => expect("status", status, wanted),
        Err(error) => Err(error.into()),
        Ok(()) => Err(Stop::failed("the write was not refused")),
    }
}

/// A check's name and its run, not yet begun.
type Named<'a> = (String, Pin<Box<dyn Future<Output = Check> + 'a>>);

/// Failures in a row after which the server is taken to be gone: each may take seconds.
const GIVE_UP: u32 = 5;

/// Runs every check with one client; the outcomes in order.
pub async fn run<A: Api>(server: &Server) -> Outcomes {
    let api = match A::connect_to(server.address) {
        Ok(api) => api,
        Err(error) => return vec![("client".into(), Outcome::Failed(error.to_string()))],
    };
    let bench = Bench { api: &api, server };
    let mut all: Vec<Named<'_>> = Vec::new();
    reads::add(bench, &mut all);
    arrays::add(bench, &mut all);
    puts::add(bench, &mut all);
    texts::add(bench, &mut all);
    monitors::add(bench, &mut all);
    alarms::add(bench, &mut all);
    filters::add(bench, &mut all);
    let mut outcomes = Outcomes::new();
    let mut failures = 0;
    for (name, check) in all {
        if failures == GIVE_UP {
            let what = "not run: the checks before it failed".into();
            outcomes.push((name, Outcome::Failed(what)));
            continue;
        }
        if let Some(why) = lacks(server.kind, &name) {
            outcomes.push((name, Outcome::NotOffered(why.into())));
            continue;
        }
        let outcome = check.await;
        failures = match outcome {
            Err(Stop::Failed(_)) => failures + 1,
            _ => 0,
        };
        outcomes.push((name, outcome.into()));
    }
    outcomes
}

impl From<Check> for Outcome {
    fn from(check: Check) -> Self {
        match check {
            Ok(()) => Self::Ok,
            Err(Stop::NotOffered(why)) => Self::NotOffered(why.into()),
            Err(Stop::Failed(what)) => Self::Failed(what),
        }
    }
}

/// Adds checks by the name they have in the table.
macro_rules! checks {
    ($all:ident: $($name:expr => $check:expr;)*) => {$(
        $all.push(($name.into(), Box::pin($check)));
    )*};
}
use checks;
