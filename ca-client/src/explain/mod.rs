//! Why does this PV not connect?

mod knock;
mod observed;
mod verdict;

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddrV4;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use ca_net::tap::Tap;
use ca_net::{Runtime, UdpIo};
use ca_proto::addr_list::Reach;
use ca_proto::client::{ReadSpec, TypeSpec};
use ca_proto::dbr::{Family, Reading};
use ca_proto::text::Plain;

pub use observed::{Observed, Step};
pub use verdict::{Cause, Remark};

use crate::client::Client;
use crate::connect::text;
use crate::error::ConnectError;
use crate::running::Running;
use observed::Notebook;
use verdict::{Ending, Known};

/// Time for further servers of the same PV to answer, after it has connected.
const FURTHER: Duration = Duration::from_millis(300);
/// Time for names that are almost the same to be found.
const OTHERS: Duration = Duration::from_millis(700);

/// What was found out about a PV. Prints itself: what was seen with its times, remarks, the verdict, what
/// decided it, and what to do.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// Name of the PV.
    pub pv: String,
    /// Why it does not connect, or that it does.
    pub cause: Cause,
    /// What was seen, in order.
    pub steps: Vec<Step>,
    /// What was seen beyond the first steps that are kept.
    pub left_out: usize,
    /// The step that decided, by its place.
    pub decided_by: Option<usize>,
    /// What else ought to be known.
    pub remarks: Vec<Remark>,
    /// Time that it took.
    pub elapsed: Duration,
}

impl Explanation {
    /// Whether the PV connects and can be read.
    pub fn works(&self) -> bool {
        self.cause == Cause::Works
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Plain(self.pv.as_bytes()))?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        if self.left_out > 0 {
            writeln!(f, "  … and {} more", self.left_out)?;
        }
        for remark in &self.remarks {
            writeln!(f, "note: {remark}")?;
        }
        write!(f, "verdict: {} ({})", self.cause, self.cause.id())?;
        if let Some(step) = self.decided_by.and_then(|at| self.steps.get(at)) {
            write!(f, "\nbecause: {}", step.what)?;
        }
        match self.works() {
            true => Ok(()),
            false => write!(f, "\nremedy: {}", self.cause.remedy()),
        }
    }
}

impl Client {
    /// Finds out why a PV does not connect, or how it does: it is searched anew by a client of its own with the
    /// configuration of this one, whose every step is written down. The channels of this client have nothing
    /// to do with it.
    ///
    /// It takes at most about two seconds more than the client's [time-out](crate::ClientBuilder::timeout) or
    /// [another](Explain::timeout).
    ///
    /// # Cancel safety
    /// Safe: everything that was opened for it is closed.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("motor:gap", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
    /// use ca_client::{Cause, Client};
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let explained = client.explain("motor:Gap").timeout(Duration::from_millis(300)).await;
    /// println!("{explained}");
    /// assert!(matches!(explained.cause, Cause::OtherName { found, .. } if found == "motor:gap"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn explain(&self, name: impl AsRef<[u8]>) -> Explain<'_> {
        Explain {
            client: self,
            name: name.as_ref().into(),
            timeout: self.effective_config().timeout(),
            running: Running::new(),
        }
    }

    /// A server whose beacons were heard, if there is one.
    fn heard(&self) -> Option<SocketAddrV4> {
        let shared = &self.handle.shared;
        shared.peek(|state| state.core.beacon_servers().next())
    }
}

/// Finds out about a PV: [`Client::explain`]. It begins when it is first polled.
#[derive(Debug)]
#[must_use = "nothing is found out before it is awaited"]
pub struct Explain<'a> {
    client: &'a Client,
    name: Box<[u8]>,
    timeout: Duration,
    running: Running<'a, Explanation>,
}

impl Explain<'_> {
    /// Time for the connection and for the value, counted from the first poll.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Future for Explain<'_> {
    type Output = Explanation;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Explanation> {
        let this = self.get_mut();
        let (client, timeout) = (this.client, this.timeout);
        let name = &mut this.name;
        this.running.poll(cx, || {
            let name = std::mem::take(name);
            async move { explain(client, &name, timeout).await }
        })
    }
}

async fn explain(client: &Client, name: &[u8], timeout: Duration) -> Explanation {
    let shared = &client.handle.shared;
    let runtime = &shared.runtime;
    let started = runtime.now();
    let notebook = Arc::new(Notebook::new(started));
    let tap = Arc::new(Tap::new(Arc::clone(runtime), notebook.clone()));
    let config = shared.config.for_a_look(runtime.entropy());
    let stray = stray(&**runtime, &config.params().search_addrs);
    let ending = match tap.bind_udp(&config.search_socket(shared.local)) {
        Ok(socket) => {
            let look = Client::start(
                Arc::clone(&tap) as _,
                config.clone(),
                UdpIo::new(socket),
                shared.local,
                (None, None),
            );
            let ending = attempt(&look, name, timeout).await;
            look.close().await;
            if ending.is_unanswered() && client.heard().is_none() && !notebook.has_heard() {
                knock::knock(&tap, &config, shared.local, name).await;
            }
            ending
        }
        Err(error) => {
            tracing::warn!("no socket for a look at \"{}\": {error}", text(name));
            Ending::NoSocket
        }
    };
    let (steps, left_out) = notebook.steps();
    let pv = text(name);
    let known = Known {
        name: &pv,
        steps: &steps,
        stray,
        heard: client.heard(),
    };
    let cause = known.cause(&ending);
    let mut remarks = known.remarks();
    let cost = client
        .handle
        .shared
        .peek(|state| state.core.search_cost(name));
    if let Some(cost) = cost.filter(|cost| cost.datagrams > 0) {
        remarks.push(Remark::Searched {
            datagrams: cost.datagrams,
            answered: cost.answered,
        });
    }
    Explanation {
        decided_by: known.decided_by(&cause),
        remarks,
        cause,
        left_out,
        elapsed: runtime.now().saturating_duration_since(started),
        pv,
        steps,
    }
}

/// Does what a program would do with the PV, once.
async fn attempt(look: &Client, name: &[u8], timeout: Duration) -> Ending {
    let channel = match look.open(name) {
        Ok(channel) => channel,
        Err(error) => return Ending::NotConnected(error),
    };
    let started = look.now();
    if let Err(error) = channel.connected().timeout(timeout).await {
        if let ConnectError::TimedOut(context) = &error
            && context.peer.is_none()
        {
            let others = others(name);
            let _ = look.connect_many(&others).timeout(OTHERS).await;
        }
        return Ending::NotConnected(error);
    }
    let server = channel.info().and_then(|info| info.server());
    let left = timeout.saturating_sub(look.now().saturating_duration_since(started));
    let spec = ReadSpec {
        ty: TypeSpec::Family(Family::Time),
        count: 1,
    };
    let read = channel.get::<Reading>().spec(spec).timeout(left).await;
    pause(look, FURTHER).await;
    match (read, server) {
        (Ok(_), _) | (Err(_), None) => Ending::Read,
        (Err(error), Some(server)) => Ending::NotRead(server, error),
    }
}

async fn pause(client: &Client, time: Duration) {
    let runtime = &client.handle.shared.runtime;
    let mut timer = runtime.timer();
    timer.reset(Some(runtime.now() + time));
    poll_fn(|cx| timer.poll(cx)).await;
}

/// Names that people mean when they write this one: in other case, without the field, without blanks.
fn others(name: &[u8]) -> Vec<Vec<u8>> {
    let mut others = Vec::new();
    let record = match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot) => name.get(..dot).unwrap_or(name),
        None => name,
    };
    for base in [name, record] {
        for other in [
            base.to_vec(),
            base.to_ascii_uppercase(),
            base.to_ascii_lowercase(),
            base.trim_ascii().to_vec(),
        ] {
            if other != name && !other.is_empty() && !others.contains(&other) {
                others.push(other);
            }
        }
    }
    others
}

/// An address that looks like the broadcast address of a network, and is that of none of this host.
fn stray(runtime: &dyn Runtime, searched: &[SocketAddrV4]) -> Option<SocketAddrV4> {
    let ours: Vec<_> = runtime.interfaces().ok()?;
    let is_ours = |address: &SocketAddrV4| {
        let ip = *address.ip();
        ours.iter()
            .any(|ours| matches!(ours.reach, Reach::Broadcast(broadcast) if broadcast == ip))
    };
    let looks = |address: &&SocketAddrV4| {
        address.ip().octets()[3] == 255 && !address.ip().is_broadcast() && !is_ours(address)
    };
    searched.iter().find(looks).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_meant() {
        let text = |name: &str| -> Vec<String> {
            let others = others(name.as_bytes()).into_iter();
            others
                .map(|other| String::from_utf8(other).unwrap())
                .collect()
        };
        assert_eq!(text("a:b"), ["A:B"]);
        assert_eq!(
            text("Ring:Cur.VALUE "),
            [
                "RING:CUR.VALUE ",
                "ring:cur.value ",
                "Ring:Cur.VALUE",
                "Ring:Cur",
                "RING:CUR",
                "ring:cur"
            ]
        );
    }
}
