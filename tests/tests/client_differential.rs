//! The same story through libca and through our client, on one real IOC: what each tells its user, and when.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ca_client::{Client, ClientEvent, Monitor, MonitorEvent};
use ca_tests::peer::{Peer, Python};
use ca_tests::ports;
use tokio::time::sleep;

const PREFIX: &str = "STORY";
/// Time for whatever is awaited.
const IN_TIME: Duration = Duration::from_secs(60);
/// What the machine may add to what a client does; the story takes seconds.
const JITTER: f64 = 0.4;

/// What happened, with the time since 1970 in seconds.
type Log = Arc<Mutex<Vec<(f64, String)>>>;

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64()
}

/// A port that answers nobody, and counts what comes.
struct Sink {
    port: u16,
    datagrams: Arc<AtomicUsize>,
}

impl Sink {
    fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = socket.local_addr().expect("an address").port();
        let datagrams = Arc::new(AtomicUsize::new(0));
        let count = datagrams.clone();
        std::thread::spawn(move || {
            while socket.recv(&mut [0; 2048]).is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { port, datagrams }
    }

    fn count(&self) -> usize {
        self.datagrams.load(Ordering::Relaxed)
    }
}

/// Our client, told the same as libca.
struct Ours {
    client: Client,
    log: Log,
    double: ca_client::Channel,
}

impl Ours {
    fn start(port: u16, sink: u16) -> Self {
        let client = Client::builder()
            .isolated([ports::at(port), ports::at(sink)])
            .local_address(Ipv4Addr::LOCALHOST)
            .repeater_port(port + 1)
            .own_repeater(false)
            .connection_timeout(Duration::from_secs(2))
            .build();
        let client = client.expect("there is a socket");
        let log = Log::default();
        let mut events = client.events();
        let told = log.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let what = match event {
                    ClientEvent::Connected { pv } => format!("connected {}", short(&pv)),
                    ClientEvent::Disconnected { pv, .. } => format!("disconnected {}", short(&pv)),
                    _ => continue,
                };
                tell(&told, what);
            }
        });
        let open = |name: &str| client.open(format!("{PREFIX}:{name}")).expect("a name");
        let (double, long, _nothing) = (open("double"), open("long"), open("nothing"));
        for (name, channel) in [("double", &double), ("long", &long)] {
            let updates: Monitor<f64> = channel.monitor().start().expect("an open client");
            tokio::spawn(follow(name, updates, log.clone()));
        }
        // It is searched as long as the story takes.
        std::mem::forget(_nothing);
        Self {
            client,
            log,
            double,
        }
    }
}

async fn follow(name: &'static str, mut updates: Monitor<f64>, log: Log) {
    while let Some(event) = updates.next().await {
        if let MonitorEvent::Update { value, .. } = event {
            tell(&log, format!("value {name} {value}"));
        }
    }
}

fn short(pv: &str) -> &str {
    pv.rsplit(':').next().unwrap_or(pv)
}

fn tell(log: &Log, what: String) {
    log.lock().expect("nobody panics").push((now(), what));
}

/// libca, whose words are taken down as they come.
struct Theirs {
    peer: Peer,
    log: Vec<(f64, String)>,
}

impl Theirs {
    fn read(&mut self) {
        while let Some(line) = self.peer.line(Instant::now()) {
            if let Some((at, what)) = line.split_once(' ') {
                self.log
                    .push((at.parse().expect("a time"), what.to_owned()));
            }
        }
    }
}

/// One thing that is done, and what each client told after it.
struct Row {
    done: &'static str,
    told: String,
    libca: f64,
    ours: f64,
}

struct Story {
    theirs: Theirs,
    ours: Ours,
    rows: Vec<Row>,
}

impl Story {
    /// Waits until both have told something after a time, and notes it.
    async fn both(&mut self, since: f64, done: &'static str, told: &str) {
        let deadline = Instant::now() + IN_TIME;
        let find = |log: &[(f64, String)]| {
            let found = log.iter().find(|(at, what)| *at >= since && what == told);
            found.map(|(at, _)| at - since)
        };
        loop {
            self.theirs.read();
            let libca = find(&self.theirs.log);
            let ours = find(&self.ours.log.lock().expect("nobody panics"));
            if let (Some(libca), Some(ours)) = (libca, ours) {
                let told = told.to_owned();
                return self.rows.push(Row {
                    done,
                    told,
                    libca,
                    ours,
                });
            }
            assert!(
                Instant::now() < deadline,
                "after {done}, {told}: libca {libca:?}, ours {ours:?}\n{:?}\n{:?}",
                self.theirs.log,
                self.ours.log
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn tell_it(python: &Python) -> (Vec<Row>, [usize; 2]) {
    let mut ioc = python.serve("run_ioc.py", PREFIX, &[]).expect("a real IOC");
    let port = ioc.port();
    let sinks = [Sink::new(), Sink::new()];
    let begin = now();
    let ours = Ours::start(port, sinks[1].port);
    let theirs = python.start(
        "libca_story.py",
        port,
        PREFIX,
        &["--sink", &sinks[0].port.to_string()],
    );
    let theirs = Theirs {
        peer: theirs.expect("libca"),
        log: Vec::new(),
    };
    let mut story = Story {
        theirs,
        ours,
        rows: Vec::new(),
    };
    story.both(begin, "both start", "value double 3.25").await;
    // libca starts with Python, which is not what is compared.
    story.rows.clear();

    let at = now();
    story.theirs.peer.tell("get");
    let got = story.ours.double.get::<f64>().await.expect("a value");
    tell(&story.ours.log, format!("got {got}"));
    story.both(at, "get", "got 3.25").await;

    let at = now();
    story.theirs.peer.tell("put 7");
    story.both(at, "libca puts 7", "value double 7").await;
    let at = now();
    story.ours.double.put(8.0).wait().await.expect("a put");
    story.both(at, "ours puts 8", "value double 8").await;

    let at = now();
    ioc.kill();
    story
        .both(at, "the IOC is killed", "disconnected double")
        .await;
    let mut ioc = (python.serve_again("run_ioc.py", port, PREFIX, &[])).expect("the IOC again");
    let at = now();
    story
        .both(at, "the IOC serves again", "connected long")
        .await;
    story
        .both(at, "the IOC serves again", "value double 3.25")
        .await;

    let at = now();
    ioc.signal("-STOP");
    story
        .both(at, "the IOC stands still", "disconnected double")
        .await;
    let at = now();
    ioc.signal("-CONT");
    story.both(at, "the IOC goes on", "connected double").await;
    ioc.stop();
    story.ours.client.close().await;
    (story.rows, [sinks[0].count(), sinks[1].count()])
}

fn page(rows: &[Row], datagrams: [usize; 2]) -> String {
    let mut page = String::from(
        "| what is done | what both tell | libca, after s | ours, after s |\n|---|---|---|---|\n",
    );
    for Row {
        done,
        told,
        libca,
        ours,
    } in rows
    {
        let _ = writeln!(page, "| {done} | {told} | {libca:.3} | {ours:.3} |");
    }
    let [libca, ours] = datagrams;
    let _ = writeln!(
        page,
        "| all of it | datagrams with searches | {libca} | {ours} |"
    );
    page
}

/// Writes the table into the book, between its marks.
fn bless(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/interop.md");
    let text = std::fs::read_to_string(&path).expect("the page");
    let (begin, end) = ("<!-- story: begin -->\n", "<!-- story: end -->");
    let (head, rest) = text.split_once(begin).expect("the first mark");
    let (_, tail) = rest.split_once(end).expect("the second mark");
    std::fs::write(&path, format!("{head}{begin}{table}{end}{tail}")).expect("the page is written");
}

/// `cargo xtask differential --client` writes the table of the book.
#[test]
#[ignore = "needs real EPICS: cargo xtask test"]
fn ours_notices_no_later_comes_back_no_later_and_searches_no_more_than_libca() {
    let python = Python::here();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (rows, datagrams) = runtime.expect("a runtime").block_on(tell_it(&python));
    let table = page(&rows, datagrams);
    println!("{table}");
    for row in &rows {
        assert!(
            row.ours <= row.libca + JITTER,
            "{} {}\n{table}",
            row.done,
            row.told
        );
    }
    assert!(datagrams[1] <= datagrams[0], "{table}");
    if std::env::var_os("CANTER_BLESS").is_some() {
        bless(&table);
    }
}
