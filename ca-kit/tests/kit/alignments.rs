//! Rows of values that belong together.

use std::time::Duration;

use ca_client::Timestamp;
use ca_kit::{AlignError, Kit, Tag};
use ca_server_sim::{Ioc, PvSpec};

use crate::rig::{MILLI, Rig, SECOND, survives};

fn stamp(nanos: u64) -> Timestamp {
    Timestamp {
        secs: 1_000_000 + (nanos / 1_000_000_000) as u32,
        nanos: (nanos % 1_000_000_000) as u32,
    }
}

fn ring(pvs: usize) -> (Rig, Vec<String>) {
    let names: Vec<String> = (0..pvs).map(|n| format!("bpm{n}")).collect();
    let mut ioc = Ioc::builder();
    for name in &names {
        ioc = ioc.pv(name, PvSpec::double(0.0));
    }
    (Rig::with(ioc), names)
}

fn post(rig: &Rig, pv: &str, value: f64, at: Timestamp) {
    rig.ioc
        .with(|ioc, now| ioc.post_stamped(now, pv, value, at))
        .unwrap();
}

/// 1000 PVs at 100 Hz for a second: every pulse is a row, and no row has values of two pulses.
#[test]
fn a_ring_of_a_thousand_loses_and_mixes_nothing() {
    let (rig, names) = ring(1000);
    rig.run(async {
        let mut rows = rig.client.align(&names).start().unwrap();
        // All are connected when the state at the start has come from all.
        while rows.counts().updates < 1000 {
            let _ = rig.rt.timeout(10 * MILLI, rows.next()).await;
        }
        let mut seen = 0;
        for pulse in 1..=100u32 {
            let at = stamp(u64::from(pulse) * 10_000_000);
            for name in &names {
                post(&rig, name, f64::from(pulse), at);
            }
            if pulse % 7 != 0 {
                // A reader that looks away now and then.
                let row = rig.rt.timeout(SECOND, rows.next()).await.unwrap().unwrap();
                seen += 1;
                check(&row.numbers(), seen);
                assert_eq!(row.tag, Tag::from(stamp(u64::from(seen) * 10_000_000)));
            }
            rig.rt.sleep(10 * MILLI).await;
        }
        while seen < 100 {
            let row = rig.rt.timeout(SECOND, rows.next()).await.unwrap().unwrap();
            seen += 1;
            check(&row.numbers(), seen);
        }
        let counts = rows.counts();
        assert_eq!(
            (counts.lost, counts.twice, counts.untagged),
            (0, 0, 0),
            "{counts:?}"
        );
        let back = rows.get_at(stamp(50 * 10_000_000)).unwrap();
        check(&back.numbers(), 50);
    });

    fn check(numbers: &[f64], pulse: u32) {
        assert_eq!(numbers.len(), 1000);
        assert!(
            numbers.iter().all(|&it| it == f64::from(pulse)),
            "pulse {pulse} is mixed"
        );
    }
}

#[test]
fn values_that_come_late_find_their_row_and_what_misses_is_counted() {
    let (rig, names) = ring(2);
    rig.run(async {
        let mut rows = rig.client.align(&names).depth(4).partial().start().unwrap();
        while rows.counts().updates < 2 {
            let _ = rig.rt.timeout(100 * MILLI, rows.next()).await;
        }
        let before = rows.counts();
        for pulse in 1..=3u32 {
            post(&rig, "bpm0", f64::from(pulse), stamp(u64::from(pulse)));
        }
        assert!(rig.rt.timeout(SECOND, rows.next()).await.is_none());
        let half = rows.get_at(stamp(2)).unwrap();
        assert!(!half.is_complete() && half.numbers()[0] == 2.0);
        post(&rig, "bpm1", 2.0, stamp(2));
        let row = rows.next().await.unwrap();
        assert_eq!(
            (row.tag, row.numbers()),
            (Tag::from(stamp(2)), vec![2.0, 2.0])
        );
        // The same again is not another row.
        post(&rig, "bpm1", 9.0, stamp(2));
        assert!(rig.rt.timeout(SECOND, rows.next()).await.is_none());
        assert_eq!(rows.counts().twice, before.twice + 1);
        assert_eq!(rows.get_at(stamp(2)).unwrap().numbers(), [2.0, 2.0]);
        for pulse in 4..=8u32 {
            post(&rig, "bpm0", f64::from(pulse), stamp(u64::from(pulse)));
        }
        let mut partial = Vec::new();
        while let Some(Some(row)) = rig.rt.timeout(SECOND, rows.next()).await {
            partial.push(row.numbers()[0]);
        }
        assert!(partial.ends_with(&[1.0, 3.0, 4.0]), "{partial:?}");
        assert!(rows.get_at(stamp(2)).is_none(), "it has left the buffer");
    });
}

#[test]
fn rows_are_made_by_near_stamps_pulses_and_whatever_is_told() {
    let (rig, names) = ring(2);
    rig.run(async {
        let mut near = rig
            .client
            .align(&names)
            .within(Duration::from_micros(10))
            .start()
            .unwrap();
        let mut pulse = rig.client.align(&names).by_pulse(17).start().unwrap();
        let mut own = rig
            .client
            .align(&names)
            .by(|reading| Some(Tag(reading.get_f64(0)? as u64)).filter(|tag| tag.0 > 0))
            .start()
            .unwrap();
        while near.counts().updates < 2 || pulse.counts().updates < 2 || own.counts().updates < 2 {
            let _ = rig.rt.timeout(10 * MILLI, near.next()).await;
            let _ = rig.rt.timeout(10 * MILLI, pulse.next()).await;
            let _ = rig.rt.timeout(10 * MILLI, own.next()).await;
        }
        // Not far apart, and with another pulse number each.
        post(&rig, "bpm0", 1.0, stamp(100_000));
        post(&rig, "bpm1", 1.0, stamp(109_000));
        let row = near.next().await.unwrap();
        assert_eq!(
            (row.tag, row.numbers()),
            (Tag::from(stamp(100_000)), vec![1.0, 1.0])
        );
        assert!(near.get_at(stamp(105_000)).is_some() && near.get_at(stamp(120_000)).is_none());
        assert_eq!(own.next().await.unwrap().tag, Tag(1));
        assert!(own.counts().untagged >= 2);
        assert!(rig.rt.timeout(SECOND, pulse.next()).await.is_none());
        // Far apart, with the same pulse number.
        post(&rig, "bpm0", 2.0, stamp(3 << 17 | 77));
        post(&rig, "bpm1", 2.0, stamp(900 << 17 | 77));
        let row = pulse.next().await.unwrap();
        assert_eq!((row.tag, row.numbers()), (Tag(77), vec![2.0, 2.0]));
        assert!(rig.rt.timeout(SECOND, near.next()).await.is_none());
    });
}

#[test]
fn what_is_kept_is_bounded() {
    let (rig, names) = ring(2);
    let none: [&str; 0] = [];
    assert!(matches!(
        rig.client.align(none).start(),
        Err(AlignError::Empty)
    ));
    let many = rig.client.align(&names).depth(usize::MAX).start();
    assert!(matches!(many, Err(AlignError::TooMany { .. })));
    rig.run(async {
        // Small values have 20 bytes or so each.
        let mut rows = rig.client.align(&names).max_bytes(300).start().unwrap();
        while rows.counts().updates < 2 {
            let _ = rig.rt.timeout(100 * MILLI, rows.next()).await;
        }
        for pulse in 1..=50u32 {
            post(&rig, "bpm0", f64::from(pulse), stamp(u64::from(pulse)));
            rig.rt.sleep(MILLI).await;
        }
        assert!(rig.rt.timeout(SECOND, rows.next()).await.is_none());
        assert!(rows.counts().incomplete > 30, "{:?}", rows.counts());
        assert!(rows.get_at(stamp(50)).is_some() && rows.get_at(stamp(20)).is_none());
    });
}

#[test]
fn alignments_may_be_dropped_at_any_poll() {
    survives(
        async |client| {
            let rows = client.align(["a", "b"]).within(3600 * SECOND);
            rows.start().unwrap().next().await.unwrap().is_complete()
        },
        |_, _, _| {},
    );
}
