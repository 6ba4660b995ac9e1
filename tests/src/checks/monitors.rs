//! Subscriptions: first update, changes, masks, cancelling, arrays, slow readers.

use std::time::Instant;

use ca_client::{
    Alarm, AlarmSeverity, DbrType, EcaStatus, EnumIndex, EventMask, Family, MonitorEvent,
    MonitorSpec, NativeType, Reading, Value,
};

use super::{Bench, Check, Named, Stop, checks, ensure, expect, put, restore, same_value};
use crate::api::{Api, Channel, Monitor, TIMEOUT};
use crate::pvs::{self, ARRAYS, SCALARS, Scalar};

pub(super) fn add<'a, A: Api>(bench: Bench<'a, A>, all: &mut Vec<Named<'a>>) {
    for scalar in SCALARS {
        let name = format!("monitor.{}", scalar.name);
        checks! { all: name => changes(bench, scalar); }
    }
    checks! { all:
        "monitor.families" => families(bench);
        "monitor.arrays" => arrays(bench);
        "monitor.empty_array" => empty_array(bench);
        "monitor.count" => fewer_elements(bench);
        "monitor.counter" => counter(bench);
        "monitor.before_connect" => before_connect(bench);
        "mask.value" => mask_value(bench);
        "mask.log" => mask_log(bench);
        "mask.alarm" => mask_alarm(bench);
        "mask.property" => mask_property(bench);
        "monitor.cancel" => cancel(bench);
        "monitor.no_access" => no_access(bench);
        "flow.slow_reader" => slow_reader(bench);
        "flow.burst" => burst(bench);
    }
}

/// Waits for a reading; anything else in between is a failure.
async fn update(subscription: &mut impl Monitor) -> Result<Reading, Stop> {
    match subscription.next(TIMEOUT).await {
        Some(MonitorEvent::Update { value: reading, .. }) => Ok(reading),
        Some(other) => Err(Stop::failed(format!("{other:?} instead of an update"))),
        None => Err(Stop::failed("no update")),
    }
}

async fn changes<A: Api>(bench: Bench<'_, A>, scalar: Scalar) -> Check {
    let channel = bench.connect(scalar.name).await?;
    let mut updates = channel.monitor(MonitorSpec::time().depth(16))?;
    same_value(&update(&mut updates).await?, &scalar.initial())?;
    let outcome = async {
        put(&channel, scalar.written()).await?;
        let got = update(&mut updates).await?;
        expect("type", got.ty(), DbrType::new(Family::Time, scalar.native))?;
        same_value(&got, &scalar.written())
    };
    let outcome = outcome.await;
    restore(&channel, scalar.initial(), outcome).await?;
    same_value(&update(&mut updates).await?, &scalar.initial())
}

async fn families<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("double").await?;
    for family in Family::ALL {
        let mut updates = channel.monitor(MonitorSpec::family(family))?;
        let got = update(&mut updates).await?;
        expect("type", got.ty(), DbrType::new(family, NativeType::Double))?;
        same_value(&got, &3.25.into())?;
    }
    Ok(())
}

async fn arrays<A: Api>(bench: Bench<'_, A>) -> Check {
    for (name, length, _) in ARRAYS {
        if matches!(name, "wf0" | "wf9k") {
            continue;
        }
        let channel = bench.connect(name).await?;
        let mut updates = channel.monitor(MonitorSpec::time())?;
        same_value(&update(&mut updates).await?, &pvs::ramp(length).into())?;
    }
    Ok(())
}

async fn empty_array<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("wf0").await?;
    let mut updates = channel.monitor(MonitorSpec::time())?;
    expect("elements", update(&mut updates).await?.count(), 0)
}

async fn fewer_elements<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("wf5").await?;
    let mut updates = channel.monitor(MonitorSpec::time().count(2))?;
    same_value(&update(&mut updates).await?, &pvs::ramp(2).into())
}

/// One update behind the other, none lost.
async fn counter<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("counter").await?;
    let mut updates = channel.monitor(MonitorSpec::time().depth(100))?;
    let mut last = update(&mut updates).await?;
    for _ in 0..6 {
        let got = update(&mut updates).await?;
        let (before, after) = (last.get_f64(0), got.get_f64(0));
        expect("step", after.zip(before).map(|(a, b)| a - b), Some(1.0))?;
        ensure(
            format!("{:?} is not after {:?}", got.timestamp(), last.timestamp()),
            got.timestamp() > last.timestamp(),
        )?;
        last = got;
    }
    Ok(())
}

/// A subscription made before the channel is connected hears of that, then gets its update.
async fn before_connect<A: Api>(bench: Bench<'_, A>) -> Check {
    // A channel of its own: another client does not know the name yet.
    let api = A::connect_to(bench.server.address)?;
    let channel = api.open(bench.name("long").as_bytes())?;
    let mut updates = channel.monitor(MonitorSpec::time())?;
    expect(
        "first item",
        updates.next(TIMEOUT).await,
        Some(MonitorEvent::Connected),
    )?;
    same_value(&update(&mut updates).await?, &42.into())
}

/// Makes changes, each followed by one that the subscription surely sees, and gives what came.
async fn seen<C: Channel>(
    updates: &mut C::Monitor,
    channel: &C,
    changes: &[Value],
    last: &Value,
) -> Result<Vec<Reading>, Stop> {
    let mut seen = vec![update(updates).await?];
    for value in changes {
        put(channel, value.clone()).await?;
    }
    let deadline = Instant::now() + TIMEOUT;
    while seen.last().is_none_or(|got| got.to_value() != *last) {
        let left = deadline.saturating_duration_since(Instant::now());
        match updates.next(left).await {
            Some(MonitorEvent::Update { value: reading, .. }) => seen.push(reading),
            Some(other) => return Err(Stop::failed(format!("{other:?} instead of an update"))),
            None => break,
        }
    }
    Ok(seen)
}

async fn mask_value<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("long").await?;
    let spec = MonitorSpec::time().mask(EventMask::VALUE).depth(16);
    let mut updates = channel.monitor(spec)?;
    let got = seen(&mut updates, &channel, &[43.into(), 44.into()], &44.into()).await;
    restore(&channel, 42, Ok(())).await?;
    let values: Vec<_> = got?.iter().filter_map(|got| got.get_f64(0)).collect();
    expect("updates", values, vec![42.0, 43.0, 44.0])
}

/// The dead-band of archives: steps below it are no event for LOG.
async fn mask_log<A: Api>(bench: Bench<'_, A>) -> Check {
    let band = bench.connect("double.ADEL").await?;
    put(&band, 10.0).await?;
    let channel = bench.connect("double").await?;
    let steps = [4.0, 5.0, 20.0].map(Value::from);
    let outcome = async {
        let spec = MonitorSpec::time().mask(EventMask::LOG).depth(16);
        let mut log = channel.monitor(spec)?;
        let logged = seen(&mut log, &channel, &steps, &20.0.into()).await?;
        let logged: Vec<_> = logged.iter().filter_map(|got| got.get_f64(0)).collect();
        expect("updates", logged.last(), Some(&20.0))?;
        ensure(format!("{logged:?}"), !logged.contains(&5.0))
    };
    let outcome = outcome.await;
    let outcome = restore(&band, 0.0, outcome).await;
    restore(&channel, 3.25, outcome).await
}

/// Only changes of the severity are events for ALARM: state two is MINOR, three MAJOR.
async fn mask_alarm<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("enum").await?;
    let spec = MonitorSpec::time().mask(EventMask::ALARM).depth(16);
    let mut updates = channel.monitor(spec)?;
    let states = [0, 1, 0, 2, 3].map(|n| EnumIndex(n).into());
    let got = seen(&mut updates, &channel, &states, &EnumIndex(3).into()).await;
    restore(&channel, EnumIndex(1), Ok(())).await?;
    let got: Vec<_> = got?
        .iter()
        .map(|got| (got.enum_index(), got.alarm().map(|alarm| alarm.severity)))
        .collect();
    let wanted = [
        (1, AlarmSeverity::NO_ALARM),
        (2, AlarmSeverity::MINOR),
        (3, AlarmSeverity::MAJOR),
    ];
    let wanted = wanted.map(|(state, severity)| (Some(state), Some(severity)));
    expect("updates", got, wanted.to_vec())?;
    expect(
        "alarm after the end",
        read_alarm(&channel).await?,
        Some(Alarm::NONE),
    )
}

async fn read_alarm<C: Channel>(channel: &C) -> Result<Option<Alarm>, Stop> {
    let got = channel.get(super::native(Family::Sts)).await?;
    Ok(got.alarm())
}

/// Changed units are an event for PROPERTY, a changed value is not.
async fn mask_property<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("double").await?;
    let units = bench.connect("double.EGU").await?;
    let spec = MonitorSpec::family(Family::Ctrl)
        .mask(EventMask::PROPERTY)
        .depth(16);
    let mut updates = channel.monitor(spec)?;
    let first = update(&mut updates).await?;
    let outcome = async {
        expect(
            "units",
            first.units().map(|u| u.to_string()),
            Some("mm".into()),
        )?;
        put(&channel, 4.0).await?;
        put(&units, "km").await?;
        let got = update(&mut updates).await?;
        expect(
            "units",
            got.units().map(|u| u.to_string()),
            Some("km".into()),
        )
    };
    let outcome = outcome.await;
    let outcome = restore(&units, pvs::UNITS, outcome).await;
    restore(&channel, 3.25, outcome).await
}

/// A cancelled subscription gets nothing more and does not disturb the other one.
async fn cancel<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("long").await?;
    let spec = MonitorSpec::time().depth(16);
    let mut kept = channel.monitor(spec)?;
    let mut cancelled = channel.monitor(spec)?;
    update(&mut kept).await?;
    update(&mut cancelled).await?;
    drop(cancelled);
    put(&channel, 43).await?;
    let outcome = match update(&mut kept).await {
        Ok(got) => same_value(&got, &43.into()),
        Err(stop) => Err(stop),
    };
    restore(&channel, 42, outcome).await?;
    same_value(&update(&mut kept).await?, &42.into())
}

async fn no_access<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("noaccess").await?;
    let mut updates = channel.monitor(MonitorSpec::time())?;
    match updates.next(TIMEOUT).await {
        Some(MonitorEvent::Failed(EcaStatus::NORDACCESS)) => Ok(()),
        other => Err(Stop::failed(format!("{other:?}"))),
    }
}

/// The last value arrives although the reader was slower than the PV; what was lost is counted.
async fn slow_reader<A: Api>(bench: Bench<'_, A>) -> Check {
    const CHANGES: i32 = 40;
    let channel = bench.connect("long").await?;
    let mut updates = channel.monitor(MonitorSpec::time().depth(2))?;
    for n in 1..=CHANGES {
        put(&channel, 1000 + n).await?;
    }
    let last = f64::from(1000 + CHANGES);
    let (mut count, mut lost) = (0, 0);
    let outcome = loop {
        match updates.next(TIMEOUT).await {
            Some(MonitorEvent::Update {
                value: reading,
                skipped,
            }) => {
                count += 1;
                lost += skipped;
                if reading.get_f64(0) == Some(last) {
                    break Ok(());
                }
            }
            other => break Err(Stop::failed(format!("{other:?} before the last value"))),
        }
    };
    restore(&channel, 42, outcome).await?;
    ensure(
        format!("{count} updates, {lost} lost"),
        lost > 0 && count < CHANGES,
    )
}

/// Large updates faster than they can be read: the last one arrives, and none after it.
async fn burst<A: Api>(bench: Bench<'_, A>) -> Check {
    const CHANGES: u32 = 60;
    let channel = bench.connect("wf70k").await?;
    let mut updates = channel.monitor(MonitorSpec::time().depth(2))?;
    update(&mut updates).await?;
    let ty = DbrType::new(Family::Plain, NativeType::Double);
    for n in 1..=CHANGES {
        let value = vec![f64::from(n); 70_000];
        channel.put(ty, value.into()).await?;
    }
    let last = f64::from(CHANGES);
    let mut seen = Vec::new();
    let outcome = loop {
        match updates.next(TIMEOUT).await {
            Some(MonitorEvent::Update { value: reading, .. }) => {
                seen.extend(reading.get_f64(0));
                if seen.last() == Some(&last) {
                    break Ok(());
                }
            }
            other => break Err(Stop::failed(format!("{other:?} after {seen:?}"))),
        }
    };
    restore(&channel, pvs::ramp(70_000), outcome).await?;
    ensure(format!("out of order: {seen:?}"), seen.is_sorted())
}
