//! What libraries that build on both faces of a client need of the blocking one.

use std::future::Future;
use std::time::Instant;

use super::Client;

impl Client {
    /// The async client beneath. Its futures make progress while something is
    /// [waited for](Self::block_on) or the background thread drives.
    pub fn as_async(&self) -> &crate::Client {
        self.inner()
    }

    /// Runs a future of the async client, or one made of such, to its end on this thread.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new());
    /// # let ioc = runtime.block_on(ioc)?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build_blocking()?;
    /// let beneath = client.as_async();
    /// let sum = client.block_on(async {
    ///     let m1 = beneath.connect("m1").await?;
    ///     Ok::<f64, Box<dyn std::error::Error>>(m1.get::<f64>().await? + 1.0)
    /// })?;
    /// assert_eq!(sum, 2.5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.driver.block_on(future)
    }

    /// Waits for a future of the [async client](Self::as_async) on this thread, which moves the bytes
    /// meanwhile as any call does; `None` when the time is up before. The future can be waited for
    /// again, so that a wait can be made of short ones, between which the caller looks whether it is
    /// still wanted.
    ///
    /// # Cancel safety
    /// That of the future.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new());
    /// # let ioc = runtime.block_on(ioc)?;
    /// # let builder = ca_client::Client::builder().isolated([ioc.udp_addr()]);
    /// use std::time::{Duration, Instant};
    ///
    /// # let is_cancelled = || false;
    /// # /*
    /// let client = ca_client::blocking::Client::from_env()?;
    /// # */ let client = builder.build_blocking()?;
    /// let mut get = Box::pin(client.as_async().get::<f64>("m1"));
    /// let value = loop {
    ///     let soon = Instant::now() + Duration::from_millis(50);
    ///     match client.block_until(&mut get, soon) {
    ///         Some(value) => break value?,
    ///         None if is_cancelled() => return Ok(()),
    ///         None => {}
    ///     }
    /// };
    /// assert_eq!(value, 1.5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn block_until<F: Future>(&self, future: F, deadline: Instant) -> Option<F::Output> {
        self.driver.block_until(future, Some(deadline))
    }

    /// Does what can be done at once, and waits for nothing: sends what is queued, reads what has come. It is for
    /// programs that wait in a loop of their own, and so spare the switch to the background thread; what they do not do
    /// for two milliseconds, that one does.
    ///
    /// Such a loop waits for the descriptor of the client (`AsRawFd`, on Unix), which is readable when there is something
    /// to do, beside whatever else it waits for, and is woken by the futures that it polls, as the background thread may
    /// have moved the bytes.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new());
    /// # let ioc = runtime.block_on(ioc)?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build_blocking()?;
    /// use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    ///
    /// let beneath = client.as_async();
    /// let mut get = pin!(async { beneath.get::<f64>("m1").await });
    /// let value = loop {
    ///     match get.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
    ///         Poll::Ready(value) => break value?,
    ///         Poll::Pending => client.turn(),
    ///     }
    /// };
    /// assert_eq!(value, 1.5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn turn(&self) {
        self.driver.turn();
    }
}

/// See [`turn`](Client::turn). It belongs to the client, and is only to be waited for.
#[cfg(unix)]
impl std::os::fd::AsRawFd for Client {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.driver.handle().as_raw_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Client {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.driver.as_fd()
    }
}
