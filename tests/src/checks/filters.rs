//! Names with a range or with a channel filter behind the field. Filters are the server's affair:
//! the client passes such names on.

use std::time::Duration;

use ca_client::{ConnectError, Family, MonitorEvent, MonitorSpec, Value};

use super::{Bench, Check, Kind, Named, Stop, checks, ensure, expect, native, same_value};
use crate::api::{Api, Channel, Monitor, TIMEOUT};

pub(super) fn add<'a, A: Api>(bench: Bench<'a, A>, all: &mut Vec<Named<'a>>) {
    match bench.server.kind {
        Kind::RealIoc | Kind::Simulated => {
            checks! { all:
                "filter.range" => reads(bench, "wf5.[1:3]");
                "filter.arr" => reads(bench, r#"wf5.{"arr":{"s":1,"e":3}}"#);
                "filter.dbnd" => dead_band(bench);
                "filter.broken" => not_found(bench, "wf5.{arr");
            }
        }
        // What they make of such names is their own.
        _ => {}
    }
}

/// The middle of five elements; type and count of the channel are those of the part.
async fn reads<A: Api>(bench: Bench<'_, A>, suffix: &str) -> Check {
    let channel = bench.connect(suffix).await?;
    let count = channel
        .info()
        .and_then(|info| info.connection().map(|c| c.count));
    expect("element count", count, Some(3))?;
    let got = channel.get(native(Family::Time)).await?;
    same_value(&got, &Value::from(vec![1.0, 2.0, 3.0]))
}

/// A counter that moves by one ten times a second tells steps of more than five.
async fn dead_band<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect(r#"counter.{"dbnd":{"abs":5}}"#).await?;
    let mut updates = channel.monitor(MonitorSpec::time().depth(16))?;
    let mut before = None;
    for _ in 0..3 {
        let value = match updates.next(TIMEOUT).await {
            Some(MonitorEvent::Update { value: reading, .. }) => reading.get_f64(0),
            other => return Err(Stop::failed(format!("{other:?} instead of an update"))),
        };
        if let (Some(before), Some(value)) = (before, value) {
            ensure(format!("{value} after {before}"), value - before > 5.0)?;
        }
        before = value;
    }
    Ok(())
}

/// The server finds the record and refuses the channel; others on the circuit go on.
async fn not_found<A: Api>(bench: Bench<'_, A>, suffix: &str) -> Check {
    let limit = Duration::from_millis(600);
    match bench.open(suffix)?.connected(limit).await {
        Err(ConnectError::TimedOut(_)) => {}
        Err(error) => return Err(error.into()),
        Ok(()) => return Err(Stop::failed("it connected")),
    }
    let channel = bench.connect("wf5").await?;
    let got = channel.get(native(Family::Plain)).await?;
    expect("elements", got.count(), 5)
}
