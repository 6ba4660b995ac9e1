//! A server that goes away and comes back, with subscriptions alive.

use std::time::Duration;

use ca_client::{DbrType, Family, MonitorEvent, MonitorSpec, NativeType, Value};

use super::{Bench, Check, Server, Stop, ensure, expect, put, read_is, same_value};
use crate::api::{Api, Channel, Monitor, TIMEOUT};

/// Time until everything is back after the server is: searches, holding off, connecting.
const BACK: Duration = Duration::from_secs(30);

/// A server that can be ended and started again on its port.
pub trait Restart {
    /// How clients find it.
    fn server(&self) -> Server;
    /// How often clients asked it to hold updates back, if it counts that.
    fn updates_stopped(&self) -> Option<u64> {
        None
    }
    /// Ends it as a crash would.
    ///
    /// # Errors
    /// If that is not possible.
    fn stop(&mut self) -> Check;
    /// Starts it again: as it was, or with `double` as an array of three `LONG` 7, 8, 9.
    ///
    /// # Errors
    /// If that is not possible.
    fn start(&mut self, changed: bool) -> Check;
}

async fn item(updates: &mut impl Monitor, timeout: Duration) -> Result<MonitorEvent, Stop> {
    let item = updates.next(timeout).await;
    item.ok_or_else(|| Stop::failed(format!("nothing came within {timeout:?}")))
}

/// Ends the server; the subscription is told.
async fn lose(updates: &mut impl Monitor, server: &mut impl Restart) -> Check {
    server.stop()?;
    expect(
        "end",
        item(updates, TIMEOUT).await?,
        MonitorEvent::Disconnected,
    )
}

/// The subscription is told that the server is back, then gets its value.
async fn regain(updates: &mut impl Monitor, wanted: &Value) -> Check {
    expect(
        "return",
        item(updates, BACK).await?,
        MonitorEvent::Connected,
    )?;
    match item(updates, TIMEOUT).await? {
        MonitorEvent::Update { value: reading, .. } => {
            expect(
                "type",
                reading.ty(),
                DbrType::new(Family::Time, wanted.native()),
            )?;
            same_value(&reading, wanted)
        }
        other => Err(Stop::failed(format!("{other:?} instead of an update"))),
    }
}

/// Everything is as before after a restart: subscriptions, reads, writes, and updates after them.
///
/// # Errors
/// What was not.
pub async fn restarted<A: Api>(restart: &mut impl Restart) -> Check {
    let server = &restart.server();
    let api = A::connect_to(server.address)?;
    let bench = Bench { api: &api, server };
    let channel = bench.connect("double").await?;
    let other = bench.connect("string").await?;
    let mut updates = channel.monitor(MonitorSpec::time().depth(16))?;
    let mut others = other.monitor(MonitorSpec::time().depth(16))?;
    same_value(&first(&mut updates).await?, &3.25.into())?;
    same_value(&first(&mut others).await?, &"hello".into())?;

    lose(&mut updates, restart).await?;
    expect(
        "end",
        item(&mut others, TIMEOUT).await?,
        MonitorEvent::Disconnected,
    )?;
    let limit = Duration::from_millis(50);
    let read = channel.get_within(limit, super::native(Family::Plain));
    let read = read.await;
    ensure("a read without server", read.is_err())?;

    restart.start(false)?;
    regain(&mut updates, &3.25.into()).await?;
    regain(&mut others, &"hello".into()).await?;
    put(&channel, 4.5).await?;
    same_value(&first(&mut updates).await?, &4.5.into())?;
    put(&channel, 3.25).await?;
    read_is(&channel, &3.25.into()).await
}

async fn first(updates: &mut impl Monitor) -> Result<ca_client::Reading, Stop> {
    match item(updates, TIMEOUT).await? {
        MonitorEvent::Update { value: reading, .. } => Ok(reading),
        other => Err(Stop::failed(format!("{other:?} instead of an update"))),
    }
}

/// The PV comes back with another type and count; the subscription follows.
///
/// # Errors
/// What did not.
pub async fn restarted_changed<A: Api>(restart: &mut impl Restart) -> Check {
    let server = &restart.server();
    let api = A::connect_to(server.address)?;
    let bench = Bench { api: &api, server };
    let channel = bench.connect("double").await?;
    let mut updates = channel.monitor(MonitorSpec::time().depth(16))?;
    same_value(&first(&mut updates).await?, &3.25.into())?;
    lose(&mut updates, restart).await?;
    restart.start(true)?;
    let changed = Value::from([7, 8, 9]);
    regain(&mut updates, &changed).await?;
    let connection = channel.info().and_then(|info| info.connection().copied());
    expect(
        "native type",
        connection.map(|c| c.native),
        Some(NativeType::Long),
    )?;
    expect("element count", connection.map(|c| c.count), Some(3))?;
    read_is(&channel, &changed).await
}
