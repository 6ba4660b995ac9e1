//! Operations of the blocking client with their options.

use std::future::Future;
use std::time::Duration;

use ca_proto::client::ReadSpec;
use ca_proto::dbr::{DbrType, Family};

use super::driver::Driver;
use super::{Channel, Monitor};
use crate::convert::{FromReading, IntoValue};
use crate::error::{ConnectError, MonitorError};
use crate::monitor::MonitorBuilder;
use crate::{
    Connect, ConnectMany, Connected, EventMask, Explain, Get, GetMany, GetOnce, MonitorSpec,
    Overflow, Put, PutMany, PutOnce,
};

/// An operation with its options, as that of the async client which it holds;
/// [`call`](Self::call) does it and waits for its end.
#[derive(Debug)]
#[must_use = "nothing is done before it is called"]
pub struct Call<O>(O, Driver);

impl<O> Call<O> {
    pub(super) fn new(operation: O, driver: &Driver) -> Self {
        Self(operation, driver.clone())
    }

    fn map(self, set: impl FnOnce(O) -> O) -> Self {
        Self(set(self.0), self.1)
    }
}

/// The same setters as the operation has.
macro_rules! setters {
    ($(impl[$($generics:tt)*] $operation:ty { $($name:ident($($arg:ident: $ty:ty)?)),* $(,)? })*) => {$(
        impl<$($generics)*> Call<$operation> {
            $(
                #[doc = concat!("As the method of this name of the async operation.")]
                pub fn $name(self $(, $arg: $ty)?) -> Self {
                    self.map(|operation| operation.$name($($arg)?))
                }
            )*
        }
    )*};
}

setters! {
    impl['a, T] Get<'a, T> {
        count(count: u32), family(family: Family), ty(ty: DbrType), spec(spec: ReadSpec),
        timeout(timeout: Duration),
    }
    impl['a, T] GetOnce<'a, T> {
        count(count: u32), family(family: Family), ty(ty: DbrType), spec(spec: ReadSpec),
        timeout(timeout: Duration),
    }
    impl['a, T] GetMany<'a, T> {
        count(count: u32), family(family: Family), ty(ty: DbrType), spec(spec: ReadSpec),
        timeout(timeout: Duration),
    }
    impl['a, V] Put<'a, V> { wait(), check(), ty(ty: DbrType), timeout(timeout: Duration) }
    impl['a] PutOnce<'a> { wait(), check(), ty(ty: DbrType), timeout(timeout: Duration) }
    impl['a] PutMany<'a> { wait(), check(), ty(ty: DbrType), timeout(timeout: Duration) }
    impl['a] Connect<'a> { timeout(timeout: Duration), priority(priority: u8) }
    impl['a, N] ConnectMany<'a, N> { timeout(timeout: Duration), priority(priority: u8) }
    impl['a] Connected<'a> { timeout(timeout: Duration) }
    impl['a] Explain<'a> { timeout(timeout: Duration) }
    impl['a, T] MonitorBuilder<'a, T> {
        count(count: u32), family(family: Family), ty(ty: DbrType), spec(spec: MonitorSpec),
        mask(mask: EventMask), depth(depth: usize), max_bytes(bytes: usize),
        overflow(policy: Overflow),
    }
}

/// What is done is that of the async operation, its errors too.
macro_rules! calls {
    ($(impl[$($generics:tt)*] $operation:ty => $run:expr, $output:ty;)*) => {$(
        impl<$($generics)*> Call<$operation> {
            /// Does it and waits for its end.
            ///
            /// # Errors
            /// Those of the async operation.
            pub fn call(self) -> $output {
                let Self(operation, driver) = self;
                let run: fn($operation, Driver) -> $output = $run;
                run(operation, driver)
            }
        }
    )*};
}

type Output<F> = <F as Future>::Output;

calls! {
    impl['a, T: FromReading] Get<'a, T> => |get, driver| driver.block_on(get), Output<Get<'a, T>>;
    impl['a, T: FromReading + 'a] GetOnce<'a, T>
        => |get, driver| driver.block_on(get), Output<GetOnce<'a, T>>;
    impl['a, T: FromReading + 'a] GetMany<'a, T>
        => |get, driver| driver.block_on(get), Output<GetMany<'a, T>>;
    impl['a, V: IntoValue] Put<'a, V> => |put, driver| match put.waits() {
        true => driver.block_on(put),
        // Mostly there is room.
        false => driver.try_block_on(put),
    }, Output<Put<'a, V>>;
    impl['a] PutOnce<'a> => |put, driver| driver.block_on(put), Output<PutOnce<'a>>;
    impl['a] PutMany<'a> => |put, driver| match put.waits() {
        true => driver.block_on(put),
        false => driver.try_block_on(put),
    }, Output<PutMany<'a>>;
    impl['a] Connected<'a> => |wait, driver| driver.block_on(wait), Output<Connected<'a>>;
    impl['a] Explain<'a> => |explain, driver| driver.block_on(explain), Output<Explain<'a>>;
    impl['a] Connect<'a> => |connect, driver| {
        let connected = driver.block_on(connect);
        connected.map(|channel| Channel(channel, driver))
    }, Result<Channel, ConnectError>;
    impl['a, N: AsRef<[u8]> + Sync] ConnectMany<'a, N> => |connect, driver| {
        let connected = driver.block_on(connect).into_iter();
        let wrap = |one: Result<_, _>| one.map(|channel| Channel(channel, driver.clone()));
        connected.map(wrap).collect()
    }, Vec<Result<Channel, ConnectError>>;
}

impl<T> Call<MonitorBuilder<'_, T>> {
    /// Starts it.
    ///
    /// # Errors
    /// As [`MonitorBuilder::start`].
    pub fn start(self) -> Result<Monitor<T>, MonitorError> {
        let monitor = self.0.start()?;
        Ok(Monitor(monitor, self.1))
    }
}
