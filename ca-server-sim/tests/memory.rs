//! Memory of the IOC, counted exactly: what it asks of the allocator, without the allocator's own
//! overhead. The bounds are 0.7 times what the real IOC needs for the same, and 500 bytes for a PV,
//! where an `ao` record takes 1900.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use allocation_counter::measure;
use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::wire::message::{Data, EventMask, Text};
use ca_proto::wire::{Deframer, Minor, tcp};
use ca_proto::{Instant, Timestamp};
use ca_server_sim::{Ioc, PvSpec, RecordFiles};

const PVS: usize = 60_000;
const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 50_000);

fn build(pvs: usize) -> Ioc {
    let specs = (0..pvs).map(|n| (format!("B:{n}"), PvSpec::double(0.0)));
    let mut ioc = Ioc::builder().pvs(specs).build().expect("valid PVs");
    ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
    ioc
}

/// What `work` leaves allocated, in bytes, and what it returns.
fn held<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let mut result = None;
    let counted = measure(|| result = Some(work()));
    let bytes = counted.bytes_current as f64;
    (bytes, result.expect("it has run"))
}

struct Client {
    circuit: CircuitId,
    deframer: Deframer,
}

impl Client {
    fn new(ioc: &mut Ioc) -> Self {
        let circuit = ioc.accept(Instant::ZERO, PEER).expect("below the limit");
        let deframer = Deframer::new(ioc.limits(circuit));
        let mut client = Self { circuit, deframer };
        let version = tcp::Request::Version {
            priority: 0,
            minor: Minor::CURRENT,
            sequence: 0,
        };
        client.send(ioc, [version]);
        client
    }

    /// Sends requests and reads the replies; returns how many bytes these were.
    fn send<'a>(
        &mut self,
        ioc: &mut Ioc,
        requests: impl IntoIterator<Item = tcp::Request<'a>>,
    ) -> usize {
        let (mut bytes, mut replies) = (Vec::new(), 0);
        for request in requests {
            bytes.clear();
            request.encode_into(&mut bytes);
            let mut rest = bytes.as_slice();
            loop {
                let done = ioc
                    .handle_chunk(Instant::ZERO, self.circuit, &mut self.deframer, rest)
                    .expect("nothing is wrong with the request");
                rest = &rest[done..];
                if rest.is_empty() && !ioc.is_pressed() {
                    break;
                }
                while ioc.has_work() {
                    ioc.work(Instant::ZERO);
                }
                replies += self.read(ioc);
            }
        }
        replies + self.read(ioc)
    }

    fn read(&self, ioc: &mut Ioc) -> usize {
        let mut bytes = 0;
        while let Some(queue) = ioc.transmit(self.circuit) {
            if queue.is_empty() {
                break;
            }
            bytes += queue.len();
            queue.advance(queue.len());
        }
        while ioc.poll_woken().is_some() {}
        bytes
    }

    fn create(&mut self, ioc: &mut Ioc, channels: usize) {
        for n in 0..channels {
            let name = format!("B:{n}");
            let create = tcp::Request::CreateChan {
                cid: Cid(n as u32),
                minor: Minor::CURRENT,
                name: Text::new(name.as_bytes()),
            };
            assert!(self.send(ioc, [create]) > 0);
        }
    }
}

/// Lets the IOC see that nothing happens.
fn idle(ioc: &mut Ioc) {
    for second in [20, 40, 60] {
        ioc.handle_timeout(Instant::ZERO + Duration::from_secs(second));
    }
}

#[test]
fn an_ioc_shows_a_line_however_many_pvs_it_has() {
    let shown = format!("{:?}", build(1000));
    assert!(
        shown.starts_with("Ioc { pvs: 1000, counts: Counts {") && shown.len() < 300,
        "{shown}"
    );
}

/// A file of records of the usual types, which set four to seven fields.
fn records(count: usize) -> String {
    let record = |n: usize| {
        let next = (n + 1) % count;
        match n % 3 {
            0 => format!(
                "record(calc, \"S:{n}\") {{\n  field(DESC, \"sum {n}\")\n  field(SCAN, \"1 second\")\n  \
                 field(INPA, \"S:{next} NPP NMS\")\n  field(CALC, \"A+1\")\n  field(EGU, \"mm\")\n}}\n"
            ),
            1 => format!(
                "record(bo, \"S:{n}\") {{\n  field(DESC, \"switch {n}\")\n  field(ZNAM, \"Off\")\n  \
                 field(ONAM, \"On\")\n}}\n"
            ),
            _ => format!(
                "record(ai, \"S:{n}\") {{\n  field(DESC, \"reading {n}\")\n  field(EGU, \"mm\")\n  \
                 field(PREC, \"3\")\n  field(HIHI, \"1000\")\n  field(HHSV, \"MAJOR\")\n  field(VAL, \"1.5\")\n}}\n"
            ),
        }
    };
    (0..count).map(record).collect()
}

/// What is held at most while files are read is what the process keeps, as allocators give little back of it: beside
/// the text no more than the records themselves take.
#[test]
fn records_of_files_take_little_more_while_they_are_read() {
    const RECORDS: usize = 20_000;
    let text = records(RECORDS);
    let length = text.len();
    // What all IOCs share.
    drop(Ioc::from_db(records(3)).expect("valid records"));
    let files = RecordFiles::new().text(text, "");
    let mut loaded = None;
    let reading = measure(|| loaded = Some(files.load()));
    let mut ioc = None;
    let making = measure(|| {
        let loaded = loaded.take().expect("it was read");
        ioc = Some(
            Ioc::builder()
                .records(loaded)
                .build()
                .expect("valid records"),
        );
    });
    let (bytes, mut ioc) = held(|| ioc.expect("it was made"));
    assert_eq!(bytes, 0.0);
    let (starting, ()) = held(|| {
        ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
    });
    let each = |bytes: f64| bytes / RECORDS as f64;
    let defined = each(reading.bytes_current as f64);
    let most = each(reading.bytes_max as f64);
    let made = each((reading.bytes_current + making.bytes_current) as f64);
    let peak = each((reading.bytes_current as u64 + making.bytes_max) as f64);
    let started = made + each(starting);
    println!(
        "bytes a record, of a text of {}: described {defined:.0} (at most {most:.0}), made {made:.0} (at most {peak:.0}), \
         started {started:.0}",
        length / RECORDS
    );
    assert!(
        most <= 250.0,
        "{most} bytes to hold what a file says of a record"
    );
    assert!(started <= 410.0, "{started} bytes per record");
    assert!(peak <= 500.0, "{peak} bytes at most while records are made");
}

#[test]
fn a_pv_a_channel_and_a_subscription_take_few_bytes() {
    let (bytes, mut ioc) = held(|| build(PVS));
    let per_pv = bytes / PVS as f64;
    let mut client = Client::new(&mut ioc);
    let (bytes, ()) = held(|| {
        client.create(&mut ioc, PVS);
        idle(&mut ioc);
    });
    let per_channel = bytes / PVS as f64;
    assert_eq!(
        ioc.circuit(client.circuit).map(|c| c.channel_count()),
        Some(PVS)
    );
    let subscribe = |n| tcp::Request::EventAdd {
        ty: DbrType::new(Family::Time, NativeType::Double),
        count: 1,
        sid: Sid(n),
        subid: SubId(n),
        mask: EventMask::VALUE | EventMask::ALARM,
    };
    let (bytes, updates) = held(|| {
        let updates = client.send(&mut ioc, (0..PVS as u32).map(subscribe));
        idle(&mut ioc);
        updates
    });
    let per_subscription = bytes / PVS as f64;
    assert_eq!(updates, PVS * 40);
    println!("PV {per_pv:.0}, channel {per_channel:.0}, subscription {per_subscription:.0} bytes");
    assert!(per_pv <= 500.0, "{per_pv} bytes per PV");
    assert!(per_channel <= 223.0, "{per_channel} bytes per channel");
    assert!(
        per_subscription <= 170.0,
        "{per_subscription} bytes per subscription"
    );
}

#[test]
fn an_idle_circuit_gives_back_what_a_burst_took() {
    let mut ioc = build(10);
    const CIRCUITS: usize = 20;
    let (bytes, clients) = held(|| {
        let mut clients: Vec<Client> = (0..CIRCUITS).map(|_| Client::new(&mut ioc)).collect();
        for client in &mut clients {
            client.create(&mut ioc, 10);
            let data = &[0; 8];
            let request = |n: u32| match n % 2 {
                0 => tcp::Request::ReadNotify {
                    ty: DbrType::new(Family::Ctrl, NativeType::Double),
                    count: 1,
                    sid: Sid(n % 10),
                    ioid: Ioid(n),
                },
                _ => tcp::Request::Write {
                    ty: DbrType::new(Family::Plain, NativeType::Double),
                    count: 1,
                    sid: Sid(n % 10),
                    cid: Cid(0),
                    data: Data(data),
                },
            };
            let replies = client.send(&mut ioc, (0..10_000).map(request));
            assert_eq!(replies, 5000 * 104);
        }
        idle(&mut ioc);
        clients
    });
    let per_circuit = bytes / CIRCUITS as f64;
    println!("idle circuit with 10 channels {per_circuit:.0} bytes");
    assert!(
        per_circuit <= 8192.0,
        "{per_circuit} bytes per idle circuit"
    );
    drop(clients);
}
