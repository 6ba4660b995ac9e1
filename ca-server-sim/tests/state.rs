//! Snapshots, going back to them, standing still and going on step by step.

mod rig;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::rng::Pcg32;
use ca_proto::wire::message::{Data, EventMask, Text, tcp};
use ca_proto::wire::{Command, Deframer, FrameLimits, Minor};
use ca_proto::{AlarmSeverity, EcaStatus, Timestamp};
use ca_server_sim::signals::{Counter, Noise, RandomWalk, Signal, Sine};
use ca_server_sim::{
    Ioc, IocBuilder, IocSnapshot, MAX_SNAPSHOT, NotFrozen, PvSpec, RecordFiles, ResetError,
    SnapshotError, Step,
};
use rig::{DOUBLE, Rig, TIME_DOUBLE, completion, updates};

const SECOND: Duration = Duration::from_secs(1);

/// Records of many kinds that move by themselves, follow each other, wait for times and for each other.
const RECORDS: &str = r#"
record(calc, "n") { field(SCAN, ".1 second") field(CALC, "VAL+1") field(FLNK, "walk") field(MDEL, "2") field(ADEL, "5") }
record(calc, "walk") { field(CALC, "VAL+RNDM-0.5") field(INPA, "n CP MS") field(HIHI, "2") field(HHSV, "MAJOR")
    field(LOLO, "-2") field(LLSV, "MINOR") field(HYST, "0.5") }
record(calcout, "late") { field(INPA, "set CP") field(CALC, "A*2") field(OOPT, "On Change") field(ODLY, "0.35")
    field(OUT, "end PP MS") }
record(ao, "end") { field(PREC, "2") field(EGU, "mm") field(OROC, "0.7") field(FLNK, "many") }
record(ao, "set") { field(DRVH, "100") field(DRVL, "-100") field(FLNK, "steps") }
record(seq, "steps") { field(DLY1, "0.2") field(DOL1, "1") field(LNK1, "pulse PP") field(DLY2, "0.5") field(DOL2, "3")
    field(LNK2, "mode PP") }
record(bo, "pulse") { field(HIGH, "0.45") field(ZNAM, "off") field(ONAM, "on") field(OSV, "MINOR") field(FLNK, "seen") }
record(mbbo, "mode") { field(ZRVL, "0") field(ONVL, "1") field(TWVL, "2") field(THVL, "3") field(ZRST, "a") field(ONST, "b")
    field(TWST, "c") field(THST, "d") field(THSV, "MAJOR") }
record(event, "seen") { field(VAL, "go") }
record(longin, "gone") { field(SCAN, "Event") field(EVNT, "go") field(INP, "n") field(PRIO, "HIGH") }
record(compress, "many") { field(INP, "end") field(ALG, "Circular Buffer") field(NSAM, "7") }
record(histogram, "spread") { field(SCAN, ".5 second") field(SVL, "walk") field(NELM, "5") field(ULIM, "3") field(LLIM, "-3")
    field(SDEL, "1.3") }
record(busy, "work") { field(FLNK, "slow") field(ZNAM, "Done") field(ONAM, "Busy") }
record(calcout, "slow") { field(CALC, "1") field(ODLY, "0.6") field(OUT, "work.RVAL") }
record(waveform, "wave") { field(FTVL, "DOUBLE") field(NELM, "10") }
record(subArray, "part") { field(INP, "wave") field(FTVL, "DOUBLE") field(MALM, "10") field(NELM, "3") field(INDX, "1")
    field(SCAN, "1 second") }
record(stringout, "text") { field(SIOL, "") field(OMSL, "supervisory") }
record(swait, "wait") { field(SCAN, ".2 second") field(INAN, "n") field(CALC, "A%7") field(OOPT, "When Zero")
    field(ODLY, "0.1") field(OUTN, "end.PROC") }
record(motor, "m") { field(VELO, "5") field(ACCL, "0.2") field(MRES, "0.01") field(DTYP, "Motor Simulation")
    field(HLM, "100") field(LLM, "-100") }
record(ai, "state") { field(INP, {state: "beam"}) field(SCAN, ".5 second") }
record(epid, "loop") { field(SCAN, ".2 second") field(INP, "end") field(KP, "0.5") field(KI, "0.1") field(FBON, "1") }
record(throttle, "rare") { field(DLY, "0.4") field(OUT, "text.DESC") }
record(sel, "best") { field(INPA, "n CPP") field(INPB, "walk CP") field(SELM, "High Signal") }
"#;

const FIELDS: &[&str] = &[
    "n",
    "n.LALM",
    "walk",
    "walk.SEVR",
    "late",
    "end",
    "end.EGU",
    "set",
    "pulse",
    "mode",
    "gone",
    "many",
    "spread",
    "work",
    "slow",
    "wave",
    "part",
    "text",
    "wait",
    "m",
    "m.RBV",
    "m.DMOV",
    "state",
    "loop",
    "rare",
    "best",
    "p:walk",
    "p:count",
    "p:slow",
    "p:noise",
    "p:sine",
    "p:mode",
    "p:alarm",
    "p:alarm.SEVR",
    "p:alarm.HIHI",
];

fn everything() -> IocBuilder {
    let ms = Duration::from_millis;
    let alarm = PvSpec::double(0.0)
        .alarm(-5.0, 5.0)
        .warning(-2.0, 2.0)
        .hysteresis(0.5);
    Ioc::builder()
        .seed(5)
        .db_text(RECORDS, "")
        .pv(
            "p:walk",
            PvSpec::double(0.0).signal(RandomWalk::new(0.0, 1.0), ms(70)),
        )
        .pv("p:count", PvSpec::long(0).signal(Counter::new(), ms(110)))
        .pv(
            "p:noise",
            PvSpec::double(0.0)
                .value_deadband(0.4)
                .archive_deadband(0.8)
                .signal(Noise::new(-1.0, 1.0), ms(110)),
        )
        .pv(
            "p:sine",
            PvSpec::double(0.0).signal(
                Sine::new(-1.0, 1.0, SECOND).shaped().drift(0.3).noise(0.1),
                ms(130),
            ),
        )
        .pv("p:slow", PvSpec::double(0.0).completes_after(ms(450)))
        .pv(
            "p:mode",
            PvSpec::enumeration(["Off", "On"], 0)
                .state_severities([AlarmSeverity::NO_ALARM, AlarmSeverity::MINOR]),
        )
        .pv("p:alarm", alarm.control(-9.0, 9.0))
}

/// A client whose bytes are kept as they come.
struct Peer {
    id: CircuitId,
    input: Deframer,
    waiting: Vec<u8>,
    sids: Vec<Sid>,
    next: u32,
    got: Vec<u8>,
}

impl Peer {
    fn new(rig: &mut Rig) -> Self {
        let id = rig
            .ioc
            .accept(rig.now, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000))
            .unwrap();
        let mut peer = Self {
            id,
            input: Deframer::new(rig.ioc.limits(id)),
            waiting: Vec::new(),
            sids: Vec::new(),
            next: 0,
            got: Vec::new(),
        };
        let minor = Minor(13);
        peer.send(
            rig,
            &tcp::Request::Version {
                priority: 0,
                minor,
                sequence: 0,
            },
        );
        for name in FIELDS {
            let from = peer.got.len();
            let (cid, name) = (Cid(peer.number()), Text::new(name.as_bytes()));
            peer.send(rig, &tcp::Request::CreateChan { cid, minor, name });
            let sid = sid_of(&peer.got[from..]);
            peer.sids.push(sid);
        }
        for sid in peer.sids.clone() {
            let subid = SubId(peer.number());
            let ty = DbrType::new(Family::Time, NativeType::String);
            let mask = EventMask(0xf);
            peer.send(
                rig,
                &tcp::Request::EventAdd {
                    ty,
                    count: 0,
                    sid,
                    subid,
                    mask,
                },
            );
        }
        peer
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn send(&mut self, rig: &mut Rig, request: &tcp::Request<'_>) {
        request.encode_into(&mut self.waiting);
        self.pump(rig);
    }

    fn pump(&mut self, rig: &mut Rig) {
        loop {
            let ioc = &mut rig.ioc;
            let done = ioc
                .handle_chunk(rig.now, self.id, &mut self.input, &self.waiting)
                .unwrap();
            self.waiting.drain(..done);
            let pressed = ioc.is_pressed();
            while ioc.has_work() {
                ioc.work(rig.now);
            }
            let before = self.got.len();
            while let Some(queue) = ioc.transmit(self.id).filter(|queue| !queue.is_empty()) {
                self.got.extend_from_slice(&queue.to_vec());
                queue.clear();
            }
            if !pressed && (self.waiting.is_empty() || (done == 0 && self.got.len() == before)) {
                return;
            }
        }
    }

    /// Something a client does.
    fn act(&mut self, rig: &mut Rig, rng: &mut Pcg32) {
        let sid = self.sids[rng.below(self.sids.len() as u32) as usize];
        let number = f64::from(rng.below(2000)) / 100.0 - 10.0;
        let value = match rng.below(4) {
            0 => Value::string(format!("{number:.0}")),
            1 => Value::from(vec![number, 1.0, 2.0]),
            _ => Value::scalar(number),
        };
        let ty = DbrType(value.native() as u16);
        let data = Data(value.as_ref().data);
        let (count, ioid) = (value.count(), Ioid(self.number()));
        let request = match rng.below(8) {
            0..3 => tcp::Request::Write {
                ty,
                count,
                sid,
                cid: Cid(0),
                data,
            },
            3..6 => tcp::Request::WriteNotify {
                ty,
                count,
                sid,
                ioid,
                data,
            },
            _ => tcp::Request::ReadNotify {
                ty: TIME_DOUBLE,
                count: 0,
                sid,
                ioid,
            },
        };
        self.send(rig, &request);
    }
}

fn sid_of(bytes: &[u8]) -> Sid {
    let mut frames = Deframer::new(FrameLimits {
        max_payload: 1 << 20,
        extended: true,
    });
    let mut frames = frames.frames(bytes);
    while let Some(frame) = frames.next() {
        let header = frame.unwrap().header;
        if header.command == Command::CREATE_CHAN {
            return Sid(header.p2);
        }
    }
    panic!("the channel is not there");
}

/// A part of a story, the same for the same seed.
fn tell(rig: &mut Rig, acts: &mut Peer, hears: &mut Peer, seed: u64, steps: usize) {
    let mut rng = Pcg32::new(seed);
    for _ in 0..steps {
        match rng.below(3) {
            0 => rig.advance(Duration::from_micros(rng.below(150_000).into())),
            _ => acts.act(rig, &mut rng),
        }
        if rng.chance(0.01) {
            rig.ioc.set_state("beam", rng.chance(0.5));
        }
        acts.pump(rig);
        hears.pump(rig);
    }
}

/// The seeds and steps of the story; many more with `CANTER_STORIES`.
fn stories() -> (u64, usize) {
    match std::env::var("CANTER_STORIES")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        Some(seeds) => (seeds, 10_000),
        None => (2, 10_000),
    }
}

/// A random story, a snapshot, ten thousand steps, back, the same steps: the same bytes on the wire.
#[test]
fn the_same_steps_after_going_back_give_the_same_bytes() {
    let (seeds, steps) = stories();
    for seed in 0..seeds {
        let mut rig = Rig::new(everything());
        let mut stays = Peer::new(&mut rig);
        let mut leaves = Peer::new(&mut rig);
        if seed % 2 == 1 {
            rig.ioc
                .fault(rig.now, "noise p:alarm by 0.5 every 300ms for 60s")
                .unwrap();
            rig.ioc.fault(rig.now, "stuck p:mode for 30s").unwrap();
            rig.ioc.fault(rig.now, "freeze n for 20s").unwrap();
        }
        tell(&mut rig, &mut leaves, &mut stays, seed * 1000 + 1, 500);
        stays.pump(&mut rig);
        // Puts that are under way go on unheard.
        rig.ioc.handle_closed(rig.now, leaves.id);
        let rewound =
            |rig: &mut Rig, snapshot: &IocSnapshot, stamp: Timestamp, stays: &mut Peer| {
                rig.ioc.rewind(rig.now, snapshot).unwrap();
                rig.ioc.set_wall(rig.now, stamp);
                stays.pump(rig);
                stays.got.clear();
            };
        let snapshot = rig.ioc.snapshot(rig.now).unwrap();
        let from_file = IocSnapshot::from_bytes(snapshot.as_bytes()).unwrap();
        let stamp = snapshot.taken();
        let mut run = |snapshot: &IocSnapshot| {
            rewound(&mut rig, snapshot, stamp, &mut stays);
            let again = rig.ioc.snapshot(rig.now).unwrap();
            let mut new = Peer::new(&mut rig);
            let now = rig.now;
            tell(&mut rig, &mut new, &mut stays, seed * 1000 + 2, steps);
            stays.pump(&mut rig);
            rig.ioc.handle_closed(rig.now, new.id);
            (
                again,
                new.got,
                std::mem::take(&mut stays.got),
                rig.now - now,
            )
        };
        let first = run(&snapshot);
        for snapshot in [&snapshot, &from_file] {
            let second = run(snapshot);
            assert_eq!(first.3, second.3);
            assert!(
                first.0.as_bytes() == second.0.as_bytes(),
                "seed {seed}: the state is the one that was taken"
            );
            let at = first.1.iter().zip(&second.1).position(|(a, b)| a != b);
            assert_eq!(at, None, "seed {seed}: bytes of a new client");
            assert_eq!(first.1.len(), second.1.len());
            assert!(first.2 == second.2, "seed {seed}: bytes of one that stayed");
        }
        assert!(
            first.1.len() > 100_000 && first.2.len() > 100_000,
            "the story has something to tell"
        );
    }
}

/// What is there after a reboot is what a program has that has just loaded the same files.
#[test]
fn nothing_is_left_of_what_came_before_a_reboot() {
    for seed in 0..3 {
        let mut rig = Rig::new(everything());
        let mut hears = Peer::new(&mut rig);
        let mut acts = Peer::new(&mut rig);
        tell(&mut rig, &mut acts, &mut hears, seed, 1000);
        let came = "record(ao, \"came\") {} record(calc, \"too\") { field(INPA, \"n CP\") field(CALC, \"A\") }";
        let came = RecordFiles::new().text(came, "");
        rig.ioc.add_records(rig.now, came.load()).unwrap();
        rig.ioc.add(rig.now, "p:came", PvSpec::double(2.0)).unwrap();
        rig.ioc.handle_closed(rig.now, acts.id);
        rig.ioc.handle_closed(rig.now, hears.id);
        rig.advance(SECOND);
        rig.ioc.reset(rig.now).unwrap();
        let mut fresh = everything().build().unwrap();
        fresh.start(rig.now, rig.ioc.snapshot(rig.now).unwrap().taken(), 5064);
        for pv in FIELDS {
            let (now, then) = (rig.ioc.read(*pv).unwrap(), fresh.read(*pv).unwrap());
            assert_eq!(format!("{now:?}"), format!("{then:?}"), "{pv}");
        }
        assert!(rig.ioc.read("came").is_err());
        assert_eq!(rig.ioc.pv_count(), fresh.pv_count());
        let mut fresh = Rig {
            ioc: fresh,
            now: rig.now,
        };
        // And what comes of it: a client of each gets the same bytes.
        let heard = [&mut rig, &mut fresh].map(|rig| {
            let mut acts = Peer::new(rig);
            let mut hears = Peer::new(rig);
            tell(rig, &mut acts, &mut hears, seed + 10, 2000);
            hears.pump(rig);
            (acts.got, hears.got)
        });
        assert!(heard[0].1.len() > 100_000, "there is something to hear");
        assert!(heard[0] == heard[1], "seed {seed}");
    }
}

/// A reboot by a fault; what is out of order by other faults stays so.
#[test]
fn a_reboot_keeps_faults_and_says_what_it_cannot_take_back() {
    let mut rig = Rig::new(everything());
    let _connected = rig.client();
    for line in ["freeze n", "offline p:alarm", "type p:count double"] {
        rig.ioc.fault(rig.now, line).unwrap();
    }
    rig.ioc.post(rig.now, "set", 7.0).unwrap();
    rig.ioc.post(rig.now, "p:slow", 7.0).unwrap();
    rig.advance(5 * SECOND);
    rig.ioc.fault(rig.now, "reboot by 2s").unwrap();
    rig.advance(SECOND);
    assert!(
        rig.ioc
            .accept(rig.now, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000))
            .is_none()
    );
    rig.advance(2 * SECOND);
    assert_eq!(rig.ioc.resets(), 1);
    assert_eq!(number(&rig, "set"), 0.0);
    assert_eq!(number(&rig, "p:slow"), 0.0);
    assert_eq!(number(&rig, "n"), 0.0, "it is frozen as it was loaded");
    let alarm = rig.ioc.read("p:alarm").unwrap().alarm;
    assert_eq!(alarm.severity, AlarmSeverity::INVALID);
    rig.ioc.fault(rig.now, "off all").unwrap();
    rig.advance(SECOND);
    assert!(number(&rig, "n") > 5.0);
    assert_eq!(
        rig.ioc.read("p:count").unwrap().value.native(),
        NativeType::Double
    );
    // A record that was loaded and is gone.
    rig.ioc.remove(rig.now, "best");
    rig.ioc.post(rig.now, "set", 8.0).unwrap();
    let error = rig.ioc.reset(rig.now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "best, which was loaded, was removed or renamed since then; restart the program that serves it"
    );
    assert_eq!(number(&rig, "set"), 8.0);
    // One that does not keep it.
    let mut small = Rig::new(everything().reboots(false));
    small.ioc.post(small.now, "set", 8.0).unwrap();
    assert_eq!(small.ioc.reset(small.now), Err(ResetError::NotKept));
    assert_eq!(number(&small, "set"), 8.0);
}

fn counting() -> Rig {
    let n = "record(calc, \"n\") { field(SCAN, \"1 second\") field(CALC, \"VAL+1\") }";
    let late = "record(calcout, \"late\") { field(CALC, \"1\") field(ODLY, \"5\") field(OUT, \"done PP\") } record(ao, \"done\") {}";
    let builder = Ioc::builder().db_text(format!("{n} {late}"), "");
    Rig::new(
        builder
            .pv("count", PvSpec::long(0).signal(Counter::new(), SECOND))
            .pv("x", PvSpec::double(1.0))
            .pv("slow", PvSpec::double(0.0).completes_after(10 * SECOND))
            .pv("other", PvSpec::double(0.0).completes_after(10 * SECOND)),
    )
}

fn number(rig: &Rig, pv: &str) -> f64 {
    rig.ioc.number(pv).unwrap()
}

#[test]
fn time_stands_still_while_clients_read_and_write() {
    let mut rig = counting();
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let (slow, ..) = client.create(&mut rig, "slow");
    let (late, ..) = client.create(&mut rig, "late.PROC");
    rig.advance(3 * SECOND + SECOND / 2);
    let before = (number(&rig, "n"), number(&rig, "count"));
    let (ioid, replies) = client.write_notify(&mut rig, slow, &Value::scalar(1.0));
    assert_eq!(completion(&replies, ioid), None);
    client.write(&mut rig, late, &Value::scalar(1));
    rig.ioc.fault(rig.now, "stuck x for 20s").unwrap();
    assert!(rig.ioc.freeze(rig.now) && !rig.ioc.freeze(rig.now) && rig.ioc.is_frozen());
    rig.advance(3600 * SECOND);
    assert_eq!(before, (number(&rig, "n"), number(&rig, "count")));
    assert_eq!(number(&rig, "done"), 0.0);
    let replies = client.received(&mut rig);
    assert_eq!(completion(&replies, ioid), None);
    rig.ioc.fault(rig.now, "off all").unwrap();
    assert_eq!(
        client.put(&mut rig, x, &Value::scalar(7.0)),
        EcaStatus::NORMAL
    );
    assert_eq!(client.read(&mut rig, x, DOUBLE, 0).f64(), 7.0);
    // What is left of the second goes on.
    assert!(rig.ioc.thaw(rig.now) && !rig.ioc.thaw(rig.now));
    rig.advance(SECOND / 4);
    assert_eq!(before, (number(&rig, "n"), number(&rig, "count")));
    rig.advance(SECOND / 2);
    assert_eq!(
        (before.0 + 1.0, before.1 + 1.0),
        (number(&rig, "n"), number(&rig, "count"))
    );
    rig.advance(5 * SECOND);
    assert_eq!(number(&rig, "done"), 1.0);
    rig.advance(5 * SECOND);
    let replies = client.received(&mut rig);
    assert_eq!(completion(&replies, ioid), Some(EcaStatus::NORMAL));
}

#[test]
fn steps_go_from_event_to_event_and_a_minute_goes_in_no_time() {
    let mut rig = counting();
    assert_eq!(rig.ioc.step(rig.now, Step::Event), Err(NotFrozen));
    rig.advance(SECOND / 2);
    rig.ioc.freeze(rig.now);
    let (n, count) = (number(&rig, "n"), number(&rig, "count"));
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "n");
    client.subscribe(&mut rig, sid, DOUBLE, EventMask::VALUE);
    // Signals and scans begin at the same time.
    let went = rig.ioc.step(rig.now, Step::Event).unwrap();
    assert_eq!(went, Some(SECOND / 2));
    assert_eq!(
        (number(&rig, "n"), number(&rig, "count")),
        (n + 1.0, count + 1.0)
    );
    assert_eq!(updates(&client.received(&mut rig)), [n + 1.0]);
    assert_eq!(
        rig.ioc.step(rig.now, Step::Time(60 * SECOND)).unwrap(),
        Some(60 * SECOND)
    );
    let mut turns = 0;
    while rig.ioc.is_stepping(rig.now) {
        assert_eq!(rig.ioc.poll_timeout().map(|at| at <= rig.now), Some(true));
        rig.ioc.handle_timeout(rig.now);
        turns += 1;
        assert!(turns < 1000);
    }
    assert_eq!(
        (number(&rig, "n"), number(&rig, "count")),
        (n + 61.0, count + 61.0)
    );
    assert!(rig.ioc.poll_timeout().is_none_or(|at| at > rig.now));
    // One that is ended half-way stands where it is.
    rig.ioc.step(rig.now, Step::Time(3600 * SECOND)).unwrap();
    rig.ioc.thaw(rig.now);
    let there = number(&rig, "n");
    rig.advance(SECOND);
    assert_eq!(number(&rig, "n"), there + 1.0);
    let mut quiet = Rig::new(Ioc::builder().pv("x", PvSpec::double(0.0)));
    quiet.ioc.freeze(quiet.now);
    assert_eq!(quiet.ioc.step(quiet.now, Step::Event), Ok(None));
}

#[test]
fn clients_stay_connected_and_see_the_old_values() {
    let mut rig = counting();
    let mut client = rig.client();
    let mut subscribe = |rig: &mut Rig, name: &str| {
        let (sid, ..) = client.create(rig, name);
        client.subscribe(rig, sid, DOUBLE, EventMask::VALUE);
        sid
    };
    let (x, _n, slow) = (
        subscribe(&mut rig, "x"),
        subscribe(&mut rig, "n"),
        subscribe(&mut rig, "slow"),
    );
    let (unit, other) = (
        subscribe(&mut rig, "done.HOPR"),
        subscribe(&mut rig, "other"),
    );
    rig.advance(2 * SECOND + SECOND / 2);
    let (first, _) = client.write_notify(&mut rig, slow, &Value::scalar(1.0));
    client.received(&mut rig);
    let n = number(&rig, "n");
    let snapshot = rig.ioc.snapshot(rig.now).unwrap();
    client.put(&mut rig, x, &Value::scalar(5.0));
    client.put(&mut rig, unit, &Value::scalar(8.0));
    rig.advance(3 * SECOND);
    let (second, _) = client.write_notify(&mut rig, other, &Value::scalar(2.0));
    client.received(&mut rig);
    rig.ioc.rewind(rig.now, &snapshot).unwrap();
    let replies = client.received(&mut rig);
    assert_eq!(
        completion(&replies, second),
        Some(EcaStatus::PUTFAIL),
        "it was never made"
    );
    assert_eq!(completion(&replies, first), None, "it is under way still");
    // Those of which nothing is another may be told, too.
    let seen = updates(&replies);
    for (value, of) in [(0.0, "done.HOPR"), (1.0, "x"), (n, "n")] {
        assert!(seen.contains(&value), "{of}: {seen:?}");
    }
    assert!(!seen.contains(&5.0) && !seen.contains(&8.0), "{seen:?}");
    rig.advance(9 * SECOND);
    let replies = client.received(&mut rig);
    assert_eq!(completion(&replies, first), None);
    rig.advance(SECOND);
    let replies = client.received(&mut rig);
    assert_eq!(completion(&replies, first), Some(EcaStatus::NORMAL));
    assert_eq!(number(&rig, "n"), n + 10.0);
    // Once more: the first put has been answered, and goes on unheard.
    rig.ioc.rewind(rig.now, &snapshot).unwrap();
    client.received(&mut rig);
    let (third, _) = client.write_notify(&mut rig, slow, &Value::scalar(3.0));
    rig.advance(10 * SECOND);
    let replies = client.received(&mut rig);
    assert_eq!(
        completion(&replies, first),
        None,
        "nobody is answered twice"
    );
    assert_eq!(completion(&replies, third), None, "it waits for the first");
    rig.advance(10 * SECOND);
    assert_eq!(
        completion(&client.received(&mut rig), third),
        Some(EcaStatus::NORMAL)
    );
}

/// As bytes are, and no more of it than is a snapshot.
fn a_file_is_read_as_far_as_it_makes_sense(whole: &[u8]) {
    let file = std::env::temp_dir().join(format!("canter-state-{}.snap", std::process::id()));
    let read = |bytes: &[u8], most: u64| {
        std::fs::write(&file, bytes).unwrap();
        IocSnapshot::read_at_most(&file, most)
    };
    let length = whole.len() as u64;
    assert_eq!(read(whole, length).unwrap().as_bytes(), whole);
    let error = read(whole, length - 1).unwrap_err();
    let told = format!(
        "byte 20: the snapshot says that it has {length} bytes, and at most {}",
        length - 1
    );
    assert!(error.to_string().starts_with(&told), "{error}");
    // Whatever it says.
    let mut huge = whole.to_vec();
    huge[20..28].fill(0xff);
    assert!(matches!(
        read(&huge, MAX_SNAPSHOT),
        Err(SnapshotError::TooLarge {
            wanted: u64::MAX,
            ..
        })
    ));
    let mut longer = whole.to_vec();
    longer.extend([0; 200_000]);
    for bytes in [
        &whole[..5],
        &whole[..31],
        &whole[..whole.len() - 1],
        &longer,
        b"",
        b"record",
    ] {
        let of_bytes = IocSnapshot::from_bytes(bytes).unwrap_err();
        let of_file = read(bytes, MAX_SNAPSHOT).unwrap_err();
        match (&of_bytes, &of_file) {
            // A file is not read to its end to say how long it is.
            (
                SnapshotError::Length { wanted, .. },
                SnapshotError::Length {
                    found,
                    wanted: same,
                },
            ) => {
                assert!(wanted == same && *found <= wanted + 1);
            }
            _ => assert_eq!(of_bytes, of_file),
        }
    }
    let mut flipped = whole.to_vec();
    flipped[40] ^= 1;
    assert!(matches!(
        read(&flipped, MAX_SNAPSHOT),
        Err(SnapshotError::Checksum { .. })
    ));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn what_is_no_snapshot_of_this_ioc_changes_nothing() {
    let mut rig = counting();
    rig.advance(3 * SECOND);
    let whole = rig.ioc.snapshot(rig.now).unwrap().as_bytes().to_vec();
    let told = |bytes: &[u8]| IocSnapshot::from_bytes(bytes).unwrap_err().to_string();
    assert_eq!(
        told(b"record(ai, x) {}"),
        "byte 0: this is no snapshot of an IOC: it does not begin with \"canter snapshot\"; name one that was written by `snapshot`"
    );
    assert!(told(b"").contains("no snapshot"));
    for cut in [5, 17, 31, whole.len() / 2, whole.len() - 1] {
        let told = told(&whole[..cut]);
        assert!(
            told.starts_with(&format!(
                "byte {cut}: the snapshot ends here, and should at byte "
            )),
            "{told}"
        );
    }
    let mut other = whole.clone();
    other[16] = 9;
    assert!(
        told(&other)
            .starts_with("byte 16: the snapshot has version 9, and this program reads version 2;")
    );
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    assert!(matches!(
        IocSnapshot::from_bytes(flipped),
        Err(SnapshotError::Checksum { .. })
    ));

    a_file_is_read_as_far_as_it_makes_sense(&whole);
    let mut elsewhere =
        Rig::new(Ioc::builder().db_text("record(calc, \"n\") {} record(ai, \"other\") {}", ""));
    let now = elsewhere.now;
    let whole = IocSnapshot::from_bytes(whole).unwrap();
    let told = elsewhere.ioc.rewind(now, &whole).unwrap_err().to_string();
    assert_eq!(
        told,
        "the snapshot is of another database: its PV 1 is \"count\" (long), and here is nothing; \
         start the IOC with the files that it had then"
    );
    let before = rig.ioc.snapshot(rig.now).unwrap();
    let theirs = elsewhere.ioc.snapshot(now).unwrap();
    assert!(matches!(
        rig.ioc.rewind(rig.now, &theirs),
        Err(SnapshotError::OtherDatabase { .. })
    ));
    rig.ioc.remove(rig.now, "done");
    let told = rig.ioc.rewind(rig.now, &before).unwrap_err().to_string();
    assert!(
        told.contains("its record 3 is \"done\" (ao), and here is nothing (it was removed)"),
        "{told}"
    );
    assert_eq!(number(&rig, "n"), 3.0);
    rig.ioc.stop(rig.now);
    assert_eq!(
        rig.ioc.rewind(rig.now, &before),
        Err(SnapshotError::NotStarted)
    );
}

/// Bytes that were changed with a checksum that fits: whatever they say, nothing panics, and what is refused has
/// changed nothing.
#[test]
fn whatever_the_bytes_say_nothing_panics() {
    let mut rig = Rig::new(everything());
    let mut client = Peer::new(&mut rig);
    let mut hears = Peer::new(&mut rig);
    tell(&mut rig, &mut client, &mut hears, 3, 300);
    let whole = rig.ioc.snapshot(rig.now).unwrap();
    let mut rng = Pcg32::new(8);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..400 {
        let mut bytes = whole.as_bytes().to_vec();
        for _ in 0..=rng.below(2) {
            let at = 32 + rng.below(bytes.len() as u32 - 32) as usize;
            bytes[at] = match rng.below(3) {
                0 => bytes[at] ^ 1 << rng.below(8),
                1 => 0xff,
                _ => rng.below(256) as u8,
            };
        }
        let sum = crc32fast::hash(&bytes[32..]);
        bytes[28..32].copy_from_slice(&sum.to_le_bytes());
        let Ok(snapshot) = IocSnapshot::from_bytes(bytes) else {
            continue;
        };
        match rig.ioc.rewind(rig.now, &snapshot) {
            Ok(()) => {
                taken += 1;
                // It may be another time than it was, and much be due.
                let due = |rig: &Rig| rig.ioc.poll_timeout().is_some_and(|at| at <= rig.now);
                for _ in 0..10_000 {
                    if !due(&rig) {
                        break;
                    }
                    rig.ioc.handle_timeout(rig.now);
                }
                assert!(!due(&rig), "round {round}");
                tell(&mut rig, &mut client, &mut hears, round, 20);
                rig.ioc.rewind(rig.now, &whole).unwrap();
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
        (client.got, hears.got) = (Vec::new(), Vec::new());
    }
    assert!(
        taken > 20 && refused > 20,
        "{taken} taken, {refused} refused"
    );
}
