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
}
