//! What is to be reached, and whether it was.

use super::plan::{Case, Client, PVS, Pin, Server, Work};
use super::results::{Figure, Results, Spread};

/// Which side of a number is good.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

/// A target: a figure of one case, or its ratio to another.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub what: String,
    pub case: Case,
    pub figure: Figure,
    /// Whose figure is the unit.
    pub over: Option<Case>,
    /// Of the figure itself when there is no ratio.
    pub unit: &'static str,
    pub bound: Bound,
}

impl Target {
    pub(crate) fn value(&self, results: &Results) -> Option<Spread> {
        match &self.over {
            Some(over) => results.ratio(&self.case, over, self.figure),
            None => results.figure(&self.case, self.figure),
        }
    }
}

const fn case(work: Work, pin: Pin, client: Client, server: Server) -> Case {
    Case {
        work,
        pin,
        client,
        server,
    }
}

const fn ours(work: Work, pin: Pin) -> Case {
    case(work, pin, Client::Ours, Server::Ours)
}

const fn libca(work: Work, pin: Pin) -> Case {
    case(work, pin, Client::Libca, Server::Ioc)
}

const fn bare(work: Work, pin: Pin) -> Case {
    case(work, pin, Client::Bare, Server::Bare)
}

/// All targets.
pub(crate) fn all() -> Vec<Target> {
    let mut targets = latencies();
    targets.extend(throughput());
    targets.extend(monitors());
    targets.extend(connections());
    targets.extend(arrays());
    targets.extend(memory());
    targets.extend(one_shot());
    targets.extend(growth());
    targets
}

fn ratio(what: String, case: Case, figure: Figure, over: Case, bound: Bound) -> Target {
    Target {
        what,
        case,
        figure,
        over: Some(over),
        unit: "",
        bound,
    }
}

fn figure(what: String, case: Case, figure: Figure, unit: &'static str, bound: Bound) -> Target {
    Target {
        what,
        case,
        figure,
        over: None,
        unit,
        bound,
    }
}

fn latencies() -> Vec<Target> {
    let mut targets = Vec::new();
    for work in [Work::Get, Work::PutNotify] {
        for pin in [Pin::Same, Pin::Split, Pin::Free] {
            let what = |api| format!("{}, {}{api}, p50 over bare ↔ bare", work.name(), pin.name());
            let bound = Bound::AtMost(1.10);
            targets.push(ratio(
                what(""),
                ours(work, pin),
                Figure::Main,
                bare(work, pin),
                bound,
            ));
            if work == Work::Get {
                let blocking = case(work, pin, Client::Blocking, Server::Ours);
                let bound = Bound::AtMost(1.3);
                let what = what(", blocking");
                targets.push(ratio(what, blocking, Figure::Main, bare(work, pin), bound));
            }
        }
    }
    targets
}

fn throughput() -> Vec<Target> {
    let mut targets = Vec::new();
    let mut versus_libca = |work: Work, pin: Pin| {
        let what = format!(
            "{}, {}, rate over libca ↔ real IOC",
            work.name(),
            pin.name()
        );
        let bound = Bound::AtLeast(2.0);
        targets.push(ratio(
            what,
            ours(work, pin),
            Figure::Main,
            libca(work, pin),
            bound,
        ));
        let what = format!(
            "{}, {}, our IOC over the real one, bare client",
            work.name(),
            pin.name()
        );
        let [new, old] = [Server::Ours, Server::Ioc].map(|ioc| case(work, pin, Client::Bare, ioc));
        targets.push(ratio(what, new, Figure::Main, old, bound));
        if matches!(work, Work::GetMany(_)) {
            let what = format!("{}, {}, client CPU over libca's", work.name(), pin.name());
            let (ours, libca) = (ours(work, pin), libca(work, pin));
            targets.push(ratio(
                what,
                ours,
                Figure::ClientCpu,
                libca,
                Bound::AtMost(0.6),
            ));
        }
    };
    for pin in [Pin::Same, Pin::Free] {
        versus_libca(Work::GetMany(10_000), pin);
    }
    for pin in [Pin::Same, Pin::Split, Pin::Free] {
        versus_libca(Work::Put, pin);
    }
    targets
}

fn monitors() -> Vec<Target> {
    let mut targets = Vec::new();
    let free = Pin::Free;
    for work in [1, 100, 1000, PVS].map(Work::Monitor) {
        let what = format!("{}, rate over libca ↔ real IOC", work.name());
        let bound = Bound::AtLeast(4.0);
        targets.push(ratio(
            what,
            ours(work, free),
            Figure::Main,
            libca(work, free),
            bound,
        ));
        let what = format!("{}, client CPU over libca's", work.name());
        let (ours, libca) = (ours(work, free), libca(work, free));
        targets.push(ratio(
            what,
            ours,
            Figure::ClientCpu,
            libca,
            Bound::AtMost(0.5),
        ));
    }
    let work = Work::Paced(1_000_000);
    let what = format!("{}, squashed", work.name());
    let none = Bound::AtMost(0.0);
    targets.push(figure(what, ours(work, free), Figure::Lost, "%", none));
    let (work, bound) = (Work::Fan, Bound::AtLeast(40.0));
    let what = format!("{}, rate over libca ↔ real IOC", work.name());
    targets.push(ratio(
        what,
        ours(work, free),
        Figure::Main,
        libca(work, free),
        bound,
    ));
    let (what, two) = (work.name(), Bound::AtLeast(2.0));
    targets.push(figure(
        what,
        ours(work, free),
        Figure::Main,
        "million/s",
        two,
    ));
    let work = Work::Fair;
    let (what, delay) = (format!("{}, p99", work.name()), Bound::AtMost(2000.0));
    targets.push(figure(what, ours(work, free), Figure::P99, "µs", delay));
    targets
}

fn connections() -> Vec<Target> {
    let free = Pin::Free;
    let mut targets = Vec::new();
    for (channels, milliseconds) in [(1000, 4.0), (10_000, 20.0), (PVS, 250.0)] {
        let work = Work::Connect(channels);
        let bound = Bound::AtMost(milliseconds);
        targets.push(figure(
            work.name(),
            ours(work, free),
            Figure::Main,
            "ms",
            bound,
        ));
    }
    let work = Work::Connect(60_000);
    let what = format!("{}, rate over libca ↔ real IOC", work.name());
    let bound = Bound::AtLeast(2.5);
    targets.push(ratio(
        what,
        ours(work, free),
        Figure::Rate,
        libca(work, free),
        bound,
    ));
    for work in [1000, 10_000, 60_000, PVS].map(Work::Connect) {
        let what = format!("{}, datagrams dropped", work.name());
        let none = Bound::AtMost(0.0);
        targets.push(figure(what, ours(work, free), Figure::Dropped, "", none));
        let what = format!("{}, datagrams over libca's", work.name());
        let (ours, libca) = (ours(work, free), libca(work, free));
        targets.push(ratio(
            what,
            ours,
            Figure::Datagrams,
            libca,
            Bound::AtMost(1.0),
        ));
    }
    targets
}

fn arrays() -> Vec<Target> {
    let free = Pin::Free;
    let raw = case(Work::Array, free, Client::Raw, Server::Raw);
    let (work, bound) = (Work::Array, Bound::AtLeast(0.80));
    let what = format!("{}, rate over a TCP stream", work.name());
    let array = ratio(what, ours(work, free), Figure::Main, raw, bound);
    let (work, bound) = (Work::Frames, Bound::AtLeast(1.5));
    let what = format!("{}, rate over libca ↔ real IOC", work.name());
    let frames = ratio(
        what,
        ours(work, free),
        Figure::Main,
        libca(work, free),
        bound,
    );
    vec![array, frames]
}

/// The clients against the real IOC and ours, the servers under the client on libca.
fn memory() -> Vec<Target> {
    let (work, pin) = (Work::Memory, Pin::Free);
    let (libca, ours) = (libca(work, pin), ours(work, pin));
    let under_libca = case(work, pin, Client::Libca, Server::Ours);
    let mut targets = Vec::new();
    let mut versus = |what: &str, key, new, old, most| {
        let what = format!("{}, {what}", work.name());
        targets.push(ratio(
            what,
            new,
            Figure::Named(key),
            old,
            Bound::AtMost(most),
        ));
    };
    versus(
        "client's per channel over libca's",
        "client_channel",
        ours,
        libca,
        1.0,
    );
    versus(
        "client's per subscription over libca's",
        "client_sub",
        ours,
        libca,
        1.0,
    );
    versus(
        "server's per channel over the real IOC's",
        "server_channel",
        under_libca,
        libca,
        0.7,
    );
    versus(
        "server's per subscription over the real IOC's",
        "server_sub",
        under_libca,
        libca,
        0.7,
    );
    let mut absolute = |what: &str, key, unit, most| {
        let what = format!("{}, {what}", work.name());
        targets.push(figure(
            what,
            ours,
            Figure::Named(key),
            unit,
            Bound::AtMost(most),
        ));
    };
    absolute("server's per PV", "server_pv", "bytes", 500.0);
    absolute("server's per idle circuit", "idle_circuit", "bytes", 8192.0);
    absolute("until serving", "startup_ms", "ms", 150.0);
    targets
}

/// `canter get` over the bare client, both with each IOC.
fn one_shot() -> Vec<Target> {
    let mut targets = Vec::new();
    for work in [1, 100].map(Work::OneShot) {
        for server in [Server::Ioc, Server::Ours] {
            let what = format!(
                "{}, {}, wall over the bare client's",
                work.name(),
                server.name()
            );
            let [canter, bare] =
                [Client::Ours, Client::Bare].map(|client| case(work, Pin::Free, client, server));
            targets.push(ratio(what, canter, Figure::Main, bare, Bound::AtMost(1.4)));
        }
    }
    targets
}

/// The cost of an operation with 10^5 channels over that with 10^3.
fn growth() -> Vec<Target> {
    let pairs = [
        (Work::GetMany(PVS), Work::GetMany(1000), Pin::Same),
        (Work::Monitor(PVS), Work::Monitor(1000), Pin::Free),
        (Work::Connect(PVS), Work::Connect(1000), Pin::Free),
    ];
    let grown = |(large, small, pin): (Work, Work, Pin)| {
        let what = format!(
            "growth: CPU of both per operation, {} over 1000",
            large.name()
        );
        let bound = Bound::AtMost(1.5);
        ratio(
            what,
            ours(large, pin),
            Figure::BothCpu,
            ours(small, pin),
            bound,
        )
    };
    pairs.map(grown).to_vec()
}
