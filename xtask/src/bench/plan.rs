//! The cases: workloads, pairs of client and server, pinning modes.

use serde::{Deserialize, Serialize};

/// PVs that each server has.
pub(crate) const PVS: u64 = 100_000;
/// PVs of the servers whose memory is looked at.
pub(crate) const MEMORY_PVS: u64 = 60_000;
/// Rates of the paced writer, puts per second over 1000 PVs.
pub(crate) const PACES: [u64; 4] = [50_000, 200_000, 500_000, 1_000_000];
/// Circuits of the fan-out.
pub(crate) const CIRCUITS: u64 = 100;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Client {
    Libca,
    Bare,
    Ours,
    Blocking,
    /// The Python clients of the wheel.
    Pyepics,
    Aioca,
    /// No Channel Access: what the kernel allows.
    Raw,
    /// No Channel Access: what is left of that on tokio.
    Tokio,
}

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Server {
    Ioc,
    Bare,
    Ours,
    Raw,
    Tokio,
}

/// Which cores the two may use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Pin {
    Same,
    Split,
    Free,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    Get,
    GetMany(u64),
    PutNotify,
    Put,
    Monitor(u64),
    Paced(u64),
    Fan,
    Connect(u64),
    Array,
    Frames,
    Fair,
    Memory,
    OneShot(u64),
}

/// One cell of the tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub work: Work,
    pub pin: Pin,
    pub client: Client,
    pub server: Server,
}

/// The pairs that each workload has.
const PAIRS: [(Client, Server); 7] = [
    (Client::Libca, Server::Ioc),
    (Client::Bare, Server::Ioc),
    (Client::Ours, Server::Ioc),
    (Client::Libca, Server::Ours),
    (Client::Bare, Server::Ours),
    (Client::Ours, Server::Ours),
    (Client::Bare, Server::Bare),
];
const BLOCKING: (Client, Server) = (Client::Blocking, Server::Ours);
const BLOCKING_REAL: (Client, Server) = (Client::Blocking, Server::Ioc);
const PYTHON: [(Client, Server); 4] = [
    (Client::Pyepics, Server::Ioc),
    (Client::Pyepics, Server::Ours),
    (Client::Aioca, Server::Ioc),
    (Client::Aioca, Server::Ours),
];
const RAW: (Client, Server) = (Client::Raw, Server::Raw);
const TOKIO: (Client, Server) = (Client::Tokio, Server::Tokio);
/// All ways to pin.
pub(crate) const ALL_PINS: [Pin; 3] = [Pin::Same, Pin::Split, Pin::Free];

/// All cases in the order in which they are run.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |works: &[Work], pins: &[Pin], pairs: &[(Client, Server)]| {
        for &work in works {
            for &pin in pins {
                cases.extend(pairs.iter().map(|&(client, server)| Case {
                    work,
                    pin,
                    client,
                    server,
                }));
            }
        }
    };
    add(&[Work::Get], &ALL_PINS, &PAIRS);
    add(
        &[Work::Get],
        &ALL_PINS,
        &[BLOCKING, BLOCKING_REAL, RAW, TOKIO],
    );
    add(&[Work::GetMany(10_000)], &[Pin::Same, Pin::Free], &PAIRS);
    let growth = [Work::GetMany(1000), Work::GetMany(PVS)];
    add(&growth, &[Pin::Same], &[PAIRS[0], PAIRS[5]]);
    add(&[Work::PutNotify, Work::Put], &ALL_PINS, &PAIRS);
    add(&[Work::PutNotify, Work::Put], &ALL_PINS, &[BLOCKING]);
    let sizes = [1, 100, 1000, PVS].map(Work::Monitor);
    add(&sizes, &[Pin::Free], &PAIRS);
    let paced = [PAIRS[0], PAIRS[4], PAIRS[5], PAIRS[6]];
    add(&PACES.map(Work::Paced), &[Pin::Free], &paced);
    add(&[Work::Fan], &[Pin::Free], &PAIRS);
    let sizes = [1000, 10_000, 60_000, PVS].map(Work::Connect);
    add(&sizes, &[Pin::Free], &PAIRS);
    add(&[Work::Array], &[Pin::Free], &PAIRS);
    add(&[Work::Array], &[Pin::Free], &[RAW]);
    add(&[Work::Frames], &[Pin::Free], &PAIRS);
    // The bare pair shows what the machine alone delays when three programs share its cores.
    let fair = [PAIRS[0], PAIRS[2], PAIRS[3], PAIRS[4], PAIRS[5], PAIRS[6]];
    add(&[Work::Fair], &[Pin::Free], &fair);
    let memory = [PAIRS[0], PAIRS[3], PAIRS[5], PAIRS[6]];
    add(&[Work::Memory], &[Pin::Free], &memory);
    add(&[1, 100].map(Work::OneShot), &[Pin::Free], &PAIRS);
    add(&[Work::Get], &[Pin::Same, Pin::Free], &PYTHON);
    let several = [Work::GetMany(10_000), Work::Array];
    add(&several, &[Pin::Free], &PYTHON);
    cases
}

impl Work {
    /// Its row in the tables.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Get => "W1 get, one outstanding".into(),
            Self::GetMany(n) => format!("W2 {} gets in flight", grouped(n)),
            Self::PutNotify => "W3 put-notify, one outstanding".into(),
            Self::Put => "W3 put".into(),
            Self::Monitor(1) => "W4 updates of 1 PV".into(),
            Self::Monitor(n) => format!("W4 updates of {} PVs", grouped(n)),
            Self::Paced(n) => format!("W4 {} puts/s to 1000 PVs", grouped(n)),
            Self::Fan => format!("W4 one PV to {CIRCUITS} circuits"),
            Self::Connect(n) => format!("W5 connect {}", grouped(n)),
            Self::Array => "W6 get of 8 MB".into(),
            Self::Frames => "W6 frames of 4 MB by monitor".into(),
            Self::Fair => "fairness: get beside a firehose".into(),
            Self::Memory => format!("W7 memory with {} PVs", grouped(MEMORY_PVS)),
            Self::OneShot(1) => "W8 one-shot get of 1 PV".into(),
            Self::OneShot(n) => format!("W8 one-shot get of {n} PVs"),
        }
    }
}

/// 10000 as `10 000`; numbers of four digits stay together.
pub(crate) fn grouped(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{} {:03}", n / 1000, n % 1000),
        _ => format!("{} {:03} {:03}", n / 1_000_000, n / 1000 % 1000, n % 1000),
    }
}

impl Pin {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Same => "same core",
            Self::Split => "one core each",
            Self::Free => "free",
        }
    }
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Libca => "libca",
            Self::Bare => "bare",
            Self::Ours => "ours",
            Self::Blocking => "ours, blocking",
            Self::Pyepics => "pyepics",
            Self::Aioca => "aioca",
            Self::Raw => "TCP",
            Self::Tokio => "tokio",
        }
    }

    /// Whether it is a library of Python.
    pub(crate) fn is_python(self) -> bool {
        matches!(self, Self::Pyepics | Self::Aioca)
    }
}

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ioc => "real IOC",
            Self::Bare => "bare",
            Self::Ours => "ours",
            Self::Raw => "TCP",
            Self::Tokio => "tokio",
        }
    }
}

impl Case {
    /// `w1` to `w9`, `fair`.
    pub(crate) fn group(&self) -> &'static str {
        match self.work {
            _ if self.client.is_python() => "w9",
            Work::Get => "w1",
            Work::GetMany(_) => "w2",
            Work::PutNotify | Work::Put => "w3",
            Work::Monitor(_) | Work::Paced(_) | Work::Fan => "w4",
            Work::Connect(_) => "w5",
            Work::Array | Work::Frames => "w6",
            Work::Fair => "fair",
            Work::Memory => "w7",
            Work::OneShot(_) => "w8",
        }
    }

    /// `libca → real IOC`.
    pub(crate) fn pair(&self) -> String {
        match self.client {
            Client::Raw => "TCP alone".into(),
            Client::Tokio => "tokio alone".into(),
            client => format!("{} → {}", client.name(), self.server.name()),
        }
    }

    /// The title of the table that it is in.
    pub(crate) fn title(&self) -> String {
        match self.client.is_python() {
            true => format!("W9 Python: {}", self.work.name()),
            false => self.work.name(),
        }
    }

    /// Whether it jitters so little that a few repeats do.
    pub(crate) fn is_steady(&self) -> bool {
        self.work == Work::Memory
    }

    /// Whether a quick run has it: the pairs that most targets need, without repetition.
    pub(crate) fn is_quick(&self) -> bool {
        let real = self.work == Work::Get;
        let pair = match (self.client, self.server) {
            (Client::Libca, Server::Ioc)
            | (Client::Ours | Client::Blocking, Server::Ours)
            | (Client::Bare, Server::Bare)
            | (Client::Raw | Client::Tokio, _) => true,
            // What users have today.
            (Client::Ours | Client::Blocking | Client::Bare, Server::Ioc) => real,
            _ => false,
        };
        let paced = matches!(self.work, Work::Paced(rate) if rate < 1_000_000);
        let long = self.work == Work::Memory;
        let growth = matches!(self.work, Work::GetMany(n) if n != 10_000);
        let sizes = matches!(self.work, Work::Monitor(100) | Work::Connect(PVS));
        pair && !sizes && self.pin != Pin::Split && !paced && !growth && !long
    }
}
