//! What is to be reached, and whether it was.

use std::collections::BTreeSet;

use super::plan::{ALL_PINS, Case, Client, PVS, Pin, Server, Work};
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
    let mut targets = Targets::default();
    targets.latencies();
    targets.real_ioc();
    targets.throughput();
    targets.monitors();
    targets.connections();
    targets.arrays();
    targets.memory();
    targets.one_shot();
    targets.growth();
    targets.0
}

/// The cases on which targets hang.
pub(crate) fn cases() -> BTreeSet<Case> {
    let both = |target: Target| [Some(target.case), target.over];
    all().into_iter().flat_map(both).flatten().collect()
}

#[derive(Default)]
struct Targets(Vec<Target>);

impl Targets {
    fn ratio(&mut self, what: String, case: Case, figure: Figure, over: Case, bound: Bound) {
        self.0.push(Target {
            what,
            case,
            figure,
            over: Some(over),
            unit: "",
            bound,
        });
    }

    /// A figure of ours alone.
    fn figure(
        &mut self,
        what: String,
        case: Case,
        figure: Figure,
        unit: &'static str,
        bound: Bound,
    ) {
        self.0.push(Target {
            what,
            case,
            figure,
            over: None,
            unit,
            bound,
        });
    }

    /// Ours over libca and the real IOC.
    fn over_libca(&mut self, what: String, case: Case, figure: Figure, bound: Bound) {
        let over = libca(case.work, case.pin);
        self.ratio(what, case, figure, over, bound);
    }

    /// The rate of ours over that of libca and the real IOC.
    fn rate_over_libca(&mut self, case: Case, least: f64) {
        let pin = match case.work {
            Work::GetMany(_) | Work::Put => format!(", {}", case.pin.name()),
            _ => String::new(),
        };
        let what = format!("{}{pin}, rate over libca ↔ real IOC", case.work.name());
        let figure = match case.work {
            Work::Connect(_) => Figure::Rate,
            _ => Figure::Main,
        };
        self.over_libca(what, case, figure, Bound::AtLeast(least));
    }

    fn latencies(&mut self) {
        for work in [Work::Get, Work::PutNotify] {
            for pin in ALL_PINS {
                let begin = format!("{}, {}", work.name(), pin.name());
                let mut over_bare = |api: &str, client, most| {
                    let what = format!("{begin}{api}, p50 over bare ↔ bare");
                    let case = case(work, pin, client, Server::Ours);
                    self.ratio(
                        what,
                        case,
                        Figure::Main,
                        bare(work, pin),
                        Bound::AtMost(most),
                    );
                };
                over_bare("", Client::Ours, 1.10);
                if work == Work::Get {
                    over_bare(", blocking", Client::Blocking, 1.3);
                }
            }
        }
    }

    /// Beside a bare client of the same server: what the client adds to a get from the IOC that users have.
    fn real_ioc(&mut self) {
        let work = Work::Get;
        for pin in ALL_PINS {
            let begin = format!("{}, {}", work.name(), pin.name());
            let over = case(work, pin, Client::Bare, Server::Ioc);
            let mut over_bare = |api: &str, client, what: &str, figure, most| {
                let what = format!("{begin}{api} → real IOC, {what} over bare → real IOC");
                let case = case(work, pin, client, Server::Ioc);
                self.ratio(what, case, figure, over, Bound::AtMost(most));
            };
            over_bare(", ours", Client::Ours, "p50", Figure::Main, 1.10);
            let api = ", ours, blocking";
            over_bare(api, Client::Blocking, "p50", Figure::Main, 1.10);
            over_bare(api, Client::Blocking, "client CPU", Figure::ClientCpu, 1.25);
        }
    }

    fn throughput(&mut self) {
        let gets = [Pin::Same, Pin::Free].map(|pin| (Work::GetMany(10_000), pin));
        let puts = ALL_PINS.map(|pin| (Work::Put, pin));
        for (work, pin) in gets.into_iter().chain(puts) {
            let begin = format!("{}, {}", work.name(), pin.name());
            self.rate_over_libca(ours(work, pin), 2.0);
            let what = format!("{begin}, our IOC over the real one, bare client");
            let [new, old] =
                [Server::Ours, Server::Ioc].map(|ioc| case(work, pin, Client::Bare, ioc));
            self.ratio(what, new, Figure::Main, old, Bound::AtLeast(2.0));
            if work != Work::Put {
                let what = format!("{begin}, client CPU over libca's");
                self.over_libca(what, ours(work, pin), Figure::ClientCpu, Bound::AtMost(0.6));
            }
        }
    }

    fn monitors(&mut self) {
        let ours = |work| ours(work, Pin::Free);
        for work in [1, 100, 1000, PVS].map(Work::Monitor) {
            self.rate_over_libca(ours(work), 4.0);
            let what = format!("{}, client CPU over libca's", work.name());
            self.over_libca(what, ours(work), Figure::ClientCpu, Bound::AtMost(0.5));
        }
        let work = Work::Paced(1_000_000);
        let what = format!("{}, squashed", work.name());
        self.figure(what, ours(work), Figure::Lost, "%", Bound::AtMost(0.0));
        let (work, two) = (Work::Fan, Bound::AtLeast(2.0));
        self.rate_over_libca(ours(work), 40.0);
        self.figure(work.name(), ours(work), Figure::Main, "million/s", two);
        let work = Work::Fair;
        let (what, delay) = (format!("{}, p99", work.name()), Bound::AtMost(2000.0));
        self.figure(what, ours(work), Figure::P99, "µs", delay);
    }

    fn connections(&mut self) {
        let ours = |channels| ours(Work::Connect(channels), Pin::Free);
        for (channels, milliseconds) in [(1000, 4.0), (10_000, 20.0), (PVS, 250.0)] {
            let (case, most) = (ours(channels), Bound::AtMost(milliseconds));
            self.figure(case.work.name(), case, Figure::Main, "ms", most);
        }
        self.rate_over_libca(ours(60_000), 2.5);
        for channels in [1000, 10_000, 60_000, PVS] {
            let case = ours(channels);
            let what = format!("{}, datagrams dropped", case.work.name());
            self.figure(what, case, Figure::Dropped, "", Bound::AtMost(0.0));
            let what = format!("{}, datagrams over libca's", case.work.name());
            self.over_libca(what, case, Figure::Datagrams, Bound::AtMost(1.0));
        }
    }

    fn arrays(&mut self) {
        let pin = Pin::Free;
        let raw = case(Work::Array, pin, Client::Raw, Server::Raw);
        let (work, least) = (Work::Array, Bound::AtLeast(0.80));
        let what = format!("{}, rate over a TCP stream", work.name());
        self.ratio(what, ours(work, pin), Figure::Main, raw, least);
        self.rate_over_libca(ours(Work::Frames, pin), 1.5);
    }

    /// The clients against the real IOC and ours, the servers under the client on libca.
    fn memory(&mut self) {
        let (work, pin) = (Work::Memory, Pin::Free);
        let ours = ours(work, pin);
        let under_libca = case(work, pin, Client::Libca, Server::Ours);
        for (what, key, new, most) in [
            (
                "client's per channel over libca's",
                "client_channel",
                ours,
                1.0,
            ),
            (
                "client's per subscription over libca's",
                "client_sub",
                ours,
                1.0,
            ),
            (
                "server's per channel over the real IOC's",
                "server_channel",
                under_libca,
                0.7,
            ),
            (
                "server's per subscription over the real IOC's",
                "server_sub",
                under_libca,
                0.7,
            ),
        ] {
            let what = format!("{}, {what}", work.name());
            self.over_libca(what, new, Figure::Named(key), Bound::AtMost(most));
        }
        for (what, key, unit, most) in [
            ("server's per PV", "server_pv", "bytes", 500.0),
            ("server's per idle circuit", "idle_circuit", "bytes", 8192.0),
            ("until serving", "startup_ms", "ms", 150.0),
        ] {
            let what = format!("{}, {what}", work.name());
            self.figure(what, ours, Figure::Named(key), unit, Bound::AtMost(most));
        }
    }

    /// `canter get` over the bare client, both with each IOC.
    fn one_shot(&mut self) {
        for work in [1, 100].map(Work::OneShot) {
            for server in [Server::Ioc, Server::Ours] {
                let (pvs, ioc) = (work.name(), server.name());
                let what = format!("{pvs}, {ioc}, wall over the bare client's");
                let [canter, bare] =
                    [Client::Ours, Client::Bare].map(|who| case(work, Pin::Free, who, server));
                self.ratio(what, canter, Figure::Main, bare, Bound::AtMost(1.4));
            }
        }
    }

    /// The cost of an operation with 10^5 channels over that with 10^3.
    fn growth(&mut self) {
        for (large, small, pin, most) in [
            (Work::GetMany(PVS), Work::GetMany(1000), Pin::Same, 1.3),
            (Work::Monitor(PVS), Work::Monitor(1000), Pin::Free, 1.5),
            (Work::Connect(PVS), Work::Connect(1000), Pin::Free, 1.5),
        ] {
            let large_name = large.name();
            let what = format!("growth: CPU of both per operation, {large_name} over 1000");
            let (large, small) = (ours(large, pin), ours(small, pin));
            self.ratio(what, large, Figure::BothCpu, small, Bound::AtMost(most));
        }
    }
}
