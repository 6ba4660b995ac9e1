//! What servers and the network say beside the answers that a command waits for.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use ca_client::{Client, ClientEvent, Events};
use serde::Serialize;

use crate::console::Console;
use crate::escape;

/// Different notices that are told; who makes more of them is told of no further.
const MAX_TOLD: usize = 1000;
/// Turns of the event loop in which what has arrived already is looked at.
const TURNS: usize = 3;

/// One thing that a user should know, though nobody asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Debug)]
pub(crate) struct Notice {
    /// The PV it is about, unless it is about a server.
    #[serde(skip)]
    pub(crate) pv: Option<String>,
    /// What happened, in one word for programs.
    pub(crate) event: &'static str,
    /// The server that has to do with it.
    #[serde(serialize_with = "as_text")]
    pub(crate) server: SocketAddrV4,
    /// The same for people.
    pub(crate) message: String,
}

fn as_text<S: serde::Serializer>(server: &SocketAddrV4, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(server)
}

impl Notice {
    /// The notice about an event; none about what a command tells by itself.
    fn new(event: &ClientEvent) -> Option<Self> {
        let (word, pv, server) = match event {
            ClientEvent::Duplicate { pv, ignored, .. } => ("duplicate", Some(pv), ignored),
            ClientEvent::BadAddress { pv, from, .. } => ("bad_address", Some(pv), from),
            ClientEvent::Exception { pv, server, .. } => ("exception", pv.as_ref(), server),
            ClientEvent::Violation { server, .. } => ("violation", None, server),
            ClientEvent::Unresponsive { server } => ("unresponsive", None, server),
            ClientEvent::Responsive { server } => ("responsive", None, server),
            ClientEvent::TooManyCircuits { server, .. } => ("too_many_circuits", None, server),
            _ => return None,
        };
        Some(Self {
            pv: pv.cloned(),
            event: word,
            server: *server,
            message: escape::printable(&event.to_string()).into_owned(),
        })
    }

    /// Whether a server complained about something of this PV.
    pub(crate) fn is_exception_of(&self, name: &str) -> bool {
        self.event == "exception" && self.pv.as_deref() == Some(name)
    }

    /// Whether it has to do with this PV, which is on this server.
    fn concerns(&self, name: &str, server: Option<SocketAddrV4>) -> bool {
        match &self.pv {
            Some(pv) => pv == name,
            None => Some(self.server) == server,
        }
    }
}

/// The notices of a client, each once.
pub(crate) struct Notices {
    events: Events,
    told: BTreeSet<Notice>,
}

impl Notices {
    /// From now on.
    pub(crate) fn of(client: &Client) -> Self {
        Self {
            events: client.events(),
            told: BTreeSet::new(),
        }
    }

    /// Waits for the next notice that was not told; for ever when the client is closed.
    pub(crate) async fn next(&mut self) -> Notice {
        loop {
            let Some(event) = self.events.next().await else {
                std::future::pending::<()>().await;
                continue;
            };
            if let Some(notice) = self.fresh(&event) {
                return notice;
            }
        }
    }

    /// All that has arrived so far, in order.
    pub(crate) async fn arrived(&mut self) -> Vec<Notice> {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        self.rest()
    }

    /// As [`arrived`](Self::arrived), for what arrives within this time.
    pub(crate) async fn within(&mut self, time: Duration) -> Vec<Notice> {
        tokio::time::sleep(time).await;
        self.rest()
    }

    fn rest(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        while let Some(event) = self.events.try_next() {
            notices.extend(self.fresh(&event));
        }
        notices
    }

    fn fresh(&mut self, event: &ClientEvent) -> Option<Notice> {
        let notice = Notice::new(event)?;
        let repeats = ["responsive", "unresponsive"].contains(&notice.event);
        let fresh = self.told.len() < MAX_TOLD && self.told.insert(notice.clone());
        (repeats || fresh).then_some(notice)
    }
}

/// Those that have to do with a PV, for its JSON object.
pub(crate) fn about<'a>(
    notices: &'a [Notice],
    pv: &str,
    server: Option<SocketAddrV4>,
) -> Vec<&'a Notice> {
    let all = notices.iter();
    all.filter(|notice| notice.concerns(pv, server)).collect()
}

/// Tells all on the error stream.
pub(crate) fn tell(console: &mut Console<'_>, notices: &[Notice]) -> io::Result<()> {
    for notice in notices {
        console.complain(format_args!("warning: {}", notice.message))?;
    }
    Ok(())
}
