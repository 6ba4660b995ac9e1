use std::sync::mpsc::{self, Receiver, Sender};
use std::task::Wake;

use super::*;

/// A name service that the test changes, and what it was asked.
struct Bench {
    refresh: Refresh,
    runtime: ca_net::TokioRuntime,
    knows: Arc<Mutex<BTreeMap<&'static str, Vec<Ipv4Addr>>>>,
    woken: Receiver<()>,
    waker: Waker,
}

struct Bell(Mutex<Sender<()>>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.lock().unwrap().send(());
    }
}

const EVERY: Duration = Duration::from_secs(60);

const fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

const fn host(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn there(last: u8) -> Vec<SocketAddrV4> {
    vec![SocketAddrV4::new(host(last), 5064)]
}

impl Bench {
    /// A client with these lists, at 0 s; `first` is what was known then.
    fn new(searched: &str, name_servers: &str, first: &[(&'static str, u8)]) -> Self {
        let knows: BTreeMap<_, _> = first
            .iter()
            .map(|&(name, ip)| (name, vec![host(ip)]))
            .collect();
        let knows = Arc::new(Mutex::new(knows));
        let asked = knows.clone();
        let look_up =
            move |name: &str| asked.lock().unwrap().get(name).cloned().unwrap_or_default();
        let source = Source {
            datagrams: Some(Datagrams {
                auto: false,
                list: AddrList::parse(searched, 5064),
                port: 5064,
            }),
            name_servers: Some(AddrList::parse(name_servers, 5064)),
            look_up: LookUp(Arc::new(look_up)),
            names_every: EVERY,
            first: first
                .iter()
                .map(|&(name, ip)| (name.to_owned(), host(ip)))
                .collect(),
        };
        let (bell, woken) = mpsc::channel();
        Self {
            refresh: Refresh::new(at(0), &source).unwrap(),
            runtime: ca_net::TokioRuntime::current().unwrap(),
            knows,
            woken,
            waker: Arc::new(Bell(Mutex::new(bell))).into(),
        }
    }

    fn knows(&self, name: &'static str, hosts: &[u8]) {
        let hosts = hosts.iter().copied().map(host).collect();
        self.knows.lock().unwrap().insert(name, hosts);
    }

    /// Looks the names up at the time at which that is due; when that was, and what has come of it.
    fn next(&mut self) -> (Instant, Changes) {
        let now = self.refresh.due();
        assert_eq!(self.refresh.poll(now, &self.runtime, &self.waker), None);
        // Rung by the thread that looks them up.
        self.woken.recv().unwrap();
        let found = self.refresh.poll(now, &self.runtime, &self.waker);
        (now, found.unwrap())
    }
}

#[tokio::test]
async fn name_servers_are_looked_up_again_with_the_addresses_of_searches() {
    let mut bench = Bench::new("gateway", "finder", &[("gateway", 1), ("finder", 2)]);
    bench.knows("finder", &[3]);
    let (when, found) = bench.next();
    assert_eq!(when, at(60));
    assert_eq!(found.search_addrs, Some(there(1)));
    assert_eq!(found.name_servers, Some(there(3)));
    assert_eq!(bench.refresh.due(), at(120));
}

#[tokio::test]
async fn a_host_that_cannot_be_found_any_more_stays_where_it_was() {
    let mut bench = Bench::new("", "finder", &[("finder", 2)]);
    bench.knows("finder", &[]);
    assert_eq!(bench.next().1.name_servers, Some(there(2)));
}

#[tokio::test]
async fn a_host_without_an_address_is_looked_up_soon_and_then_more_seldom() {
    let mut bench = Bench::new("", "finder", &[]);
    let mut times = vec![];
    for _ in 0..8 {
        let (when, found) = bench.next();
        assert_eq!(found.name_servers, Some(vec![]));
        times.push(when.as_nanos() / 1_000_000_000);
    }
    assert_eq!(times, [1, 3, 7, 15, 31, 63, 123, 183]);
    bench.knows("finder", &[7]);
    assert_eq!(
        bench.next(),
        (
            at(243),
            Changes {
                search_addrs: Some(vec![]),
                name_servers: Some(there(7)),
            }
        )
    );
    assert_eq!(bench.refresh.due(), at(303));
}

/// Such names have their addresses in another order each time; a client that followed the first would search
/// everything anew, and leave its name server, each minute.
#[tokio::test]
async fn of_several_addresses_the_one_in_use_is_kept() {
    let mut bench = Bench::new("pool", "pool", &[("pool", 2)]);
    bench.knows("pool", &[4, 3, 2]);
    let (_, found) = bench.next();
    assert_eq!(
        (found.search_addrs, found.name_servers),
        (Some(there(2)), Some(there(2)))
    );
    bench.knows("pool", &[4, 3]);
    assert_eq!(bench.next().1.name_servers, Some(there(4)));
}

#[test]
fn lists_of_numbers_are_never_looked_at_again() {
    let source = Source {
        datagrams: Some(Datagrams {
            auto: false,
            list: AddrList::parse("10.0.0.1", 5064),
            port: 5064,
        }),
        name_servers: Some(AddrList::parse("10.0.0.2", 5064)),
        look_up: LookUp::default(),
        names_every: EVERY,
        first: Found::new(),
    };
    assert!(Refresh::new(at(0), &source).is_none());
}
