//! Snapshots and rewinds with changes between their turns.

use std::time::Duration;

use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, Instant, Timestamp};

use super::{IocSnapshot, SnapshotError};
use crate::ioc::Ioc;
use crate::pv::PvSpec;
use crate::signals::{Counter, RandomWalk};

/// As many as take several turns.
const COUNT: usize = 1300;

/// PVs, signals and records that follow each other, and the time.
fn ioc() -> (Ioc, Instant) {
    let ms = Duration::from_millis;
    let mut text = String::new();
    for n in 0..COUNT {
        text += &format!(
            "record(ao, \"r{n}\") {{ field(FLNK, \"sum{n}\") }} record(calc, \"sum{n}\") {{ field(INPA, \"r{n}\") \
             field(INPB, \"sum{n}\") field(CALC, \"A+B\") }} record(calc, \"follows{n}\") {{ field(INPA, \"sum{n} CP\") \
             field(CALC, \"A\") }} record(calc, \"n{n}\") {{ field(SCAN, \".1 second\") field(CALC, \"VAL+RNDM\") }}\n"
        );
    }
    let mut builder = Ioc::builder().seed(3).db_text(text, "");
    for n in 0..COUNT {
        builder = builder
            .pv(format!("p{n}"), PvSpec::double(0.5))
            .pv(
                format!("walk{n}"),
                PvSpec::double(0.0).signal(RandomWalk::new(0.0, 1.0), ms(50 + n as u64 % 3)),
            )
            .pv(
                format!("count{n}"),
                PvSpec::long(0).signal(Counter::new(), ms(70)),
            );
    }
    let mut ioc = builder.build().unwrap();
    let mut now = Instant::ZERO + Duration::from_secs(1);
    ioc.start(now, Timestamp::from_unix(1_800_000_000, 0), 5064);
    now = pass(&mut ioc, now, ms(730));
    (ioc, now)
}

/// Lets time pass.
fn pass(ioc: &mut Ioc, now: Instant, time: Duration) -> Instant {
    let end = now + time;
    let mut now = now;
    while let Some(at) = ioc.poll_timeout().filter(|&at| at <= end) {
        now = now.max(at);
        ioc.handle_timeout(now);
    }
    end
}

/// Something of each kind changes: a value, an alarm, a field, what follows it.
fn change(ioc: &mut Ioc, now: Instant, round: usize) {
    for n in (round % 7..COUNT).step_by(7) {
        let value = round as f64 + n as f64 / 16.0;
        ioc.post(now, &*format!("p{n}"), value).unwrap();
        ioc.post(now, &*format!("r{n}"), value).unwrap();
    }
    let alarm = Alarm::new(AlarmStatus::HIHI, AlarmSeverity::MAJOR);
    let last = format!("p{}", COUNT - 1 - round);
    ioc.set_alarm(now, &*last, alarm).unwrap();
    ioc.set_state("beam", round.is_multiple_of(2));
    while ioc.has_work() {
        ioc.work(now);
    }
}

#[test]
fn a_snapshot_is_of_the_moment_at_which_it_was_begun() {
    let (mut ioc, now) = ioc();
    let at_once = ioc.snapshot(now).unwrap();
    let mut taking = ioc.begin_snapshot(now).unwrap();
    let (mut turns, mut later) = (0, now);
    loop {
        change(&mut ioc, later, turns);
        // Records scan; signals stand still until all are copied.
        later += Duration::from_millis(35);
        ioc.handle_timeout(later);
        while ioc.has_work() {
            ioc.work(later);
        }
        if !ioc.copy_on(&mut taking).unwrap() {
            break;
        }
        turns += 1;
    }
    assert!(turns > 10, "{turns}");
    let in_turns = taking.finish();
    assert!(at_once.as_bytes() == in_turns.as_bytes());
    let counted = ioc.number("count0").unwrap();
    let later = pass(&mut ioc, later, Duration::from_millis(700));
    assert!(ioc.number("count0").unwrap() > counted, "signals go on");
    ioc.rewind(later, &in_turns).unwrap();
    assert!(same(&mut ioc, later, &at_once));
}

/// Whether the state is that of a snapshot, but for the time at which it is taken, and what time stamps follow from that.
fn same(ioc: &mut Ioc, now: Instant, snapshot: &IocSnapshot) -> bool {
    ioc.set_wall(now, snapshot.taken());
    let again = ioc.snapshot(now).unwrap();
    again.as_bytes() == snapshot.as_bytes()
}

#[test]
fn a_rewind_in_turns_leaves_nothing_of_what_came_before_its_first_change() {
    let (mut ioc, now) = ioc();
    let snapshot = ioc.snapshot(now).unwrap();
    let later = pass(&mut ioc, now, Duration::from_millis(330));
    change(&mut ioc, later, 1);
    let mut rewinding = ioc.begin_rewind(&snapshot).unwrap();
    rewinding.read().unwrap();
    let mut turns = 0;
    // What comes behind the first change comes after the rewind.
    while !rewinding.is_changing() {
        change(&mut ioc, later, turns);
        assert!(ioc.go_back(later, &mut rewinding).unwrap());
        turns += 1;
    }
    assert!(turns > 10, "{turns}");
    while ioc.go_back(later, &mut rewinding).unwrap() {
        ioc.handle_timeout(later);
    }
    drop(rewinding);
    assert!(same(&mut ioc, later, &snapshot));
}

#[test]
fn what_comes_or_goes_meanwhile_ends_it_and_nothing_has_changed() {
    let (mut ioc, now) = ioc();
    let snapshot = ioc.snapshot(now).unwrap();
    let mut taking = ioc.begin_snapshot(now).unwrap();
    assert_eq!(ioc.begin_snapshot(now).unwrap_err(), SnapshotError::Busy);
    ioc.copy_on(&mut taking).unwrap();
    assert!(ioc.remove(now, "p7"));
    assert_eq!(ioc.copy_on(&mut taking), Err(SnapshotError::Reshaped));
    drop(taking);
    ioc.add(now, "p7", PvSpec::double(0.5)).unwrap();
    // Whoever has its place now: it is the PV that the snapshot has.
    ioc.rewind(now, &snapshot).unwrap();

    let mut rewinding = ioc.begin_rewind(&snapshot).unwrap();
    rewinding.read().unwrap();
    ioc.post(now, "p7", 9.0).unwrap();
    ioc.go_back(now, &mut rewinding).unwrap();
    assert!(ioc.remove(now, "r3"));
    assert_eq!(
        ioc.go_back(now, &mut rewinding),
        Err(SnapshotError::Reshaped)
    );
    drop(rewinding);
    assert_eq!(ioc.number("p7").unwrap(), 9.0);
    // One that nobody goes on with holds nothing up.
    let taking = ioc.begin_snapshot(now).unwrap();
    drop(taking);
    let counted = ioc.number("count0").unwrap();
    pass(&mut ioc, now, Duration::from_millis(500));
    assert!(ioc.number("count0").unwrap() > counted);
    assert!(ioc.begin_snapshot(now).is_ok());
}

/// The processor time of this thread.
#[cfg(unix)]
fn processor() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

/// The longest of some turns, the longest one of the others, and all together.
#[cfg(unix)]
#[derive(Default)]
struct Turns(Vec<Duration>);

#[cfg(unix)]
impl Turns {
    fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let began = processor();
        let result = work();
        self.0.push(processor() - began);
        result
    }

    fn all(&self) -> Duration {
        self.0.iter().sum()
    }

    fn longest(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }
}

/// Prints what SECURITY.md says of 60 000 records and PVs: of seven runs the middle one, and the longest turn of all.
#[cfg(unix)]
#[test]
#[ignore = "it measures: run it alone with --release, --ignored and --nocapture"]
fn what_a_snapshot_of_60_000_records_costs() {
    let mut records = String::new();
    for n in 0..15_000 {
        records += &format!(
            "record(ao, \"s:mag{n}:set\") {{ field(EGU, \"A\") field(PREC, 3) field(DRVH, 100) field(FLNK, \"s:mag{n}:get\") }}
             record(ai, \"s:mag{n}:get\") {{ field(INP, \"s:mag{n}:set\") field(HIHI, 90) field(HHSV, MAJOR) field(EGU, \"A\") }}
             record(calc, \"s:mag{n}:sum\") {{ field(INPA, \"s:mag{n}:get CP\") field(CALC, \"A*2+B\") field(SCAN, \"1 second\") }}
             record(mbbo, \"s:mag{n}:mode\") {{ field(ZRST, \"Off\") field(ONST, \"On\") field(TWST, \"Fault\") }}\n"
        );
    }
    let of_records = Ioc::builder().db_text(records, "");
    let of_pvs = (0..60_000).fold(Ioc::builder(), |builder, n| {
        let spec = PvSpec::double(0.5).units("mm").description("a position");
        builder.pv(format!("s:bpm{n}:x"), spec)
    });
    let signals = (0..60_000).fold(Ioc::builder(), |builder, n| {
        let signal = RandomWalk::new(0.0, 1.0);
        let spec = PvSpec::double(0.0).signal(signal, Duration::from_secs(1));
        builder.pv(format!("s:walk{n}"), spec)
    });
    for (what, builder) in [
        ("records", of_records),
        ("PVs", of_pvs),
        ("PVs with signals", signals),
    ] {
        let mut ioc = builder.build().unwrap();
        let mut now = Instant::ZERO + Duration::from_secs(1);
        ioc.start(now, Timestamp::from_unix(1_800_000_000, 0), 5064);
        now = pass(&mut ioc, now, Duration::from_secs(3));
        let (mut taken, mut back, mut unlocked) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for _ in 0..7 {
            let (mut turns, mut free) = (Turns::default(), Turns::default());
            let mut taking = turns.time(|| ioc.begin_snapshot(now)).unwrap();
            while turns.time(|| ioc.copy_on(&mut taking)).unwrap() {}
            let snapshot = free.time(|| taking.finish());
            bytes = snapshot.as_bytes().len();
            taken.push(turns);
            unlocked.push(free);
            now = pass(&mut ioc, now, Duration::from_secs(3));
            let (mut turns, mut free) = (Turns::default(), Turns::default());
            let mut rewinding = turns.time(|| ioc.begin_rewind(&snapshot)).unwrap();
            free.time(|| rewinding.read()).unwrap();
            while turns.time(|| ioc.go_back(now, &mut rewinding)).unwrap() {}
            free.time(|| drop(rewinding));
            back.push(turns);
            unlocked.push(free);
        }
        for (did, mut all) in [
            ("taken", taken),
            ("gone back", back),
            ("without the lock", unlocked),
        ] {
            all.sort_by_key(Turns::all);
            let longest = all.iter().map(Turns::longest).max().unwrap();
            let mut longests: Vec<Duration> = all.iter().map(Turns::longest).collect();
            longests.sort();
            println!(
                "60000 {what}, {bytes} bytes, {did}: {:?} in {} turns, the longest {:?} in the middle, {longest:?} at most",
                all[3].all(),
                all[3].0.len(),
                longests[3],
            );
        }
    }
}
