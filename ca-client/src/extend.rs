//! What libraries that build on a client need of it: its clock and timers, so that they depend on no
//! runtime of their own.

use std::sync::Arc;

use ca_net::Runtime;

use crate::client::Client;

impl Client {
    /// What the client runs on: its clock, timers and tasks. What is built on these runs wherever the
    /// client does, on a virtual clock too.
    ///
    /// # Examples
    /// ```
    /// use ca_client::Client;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::builder().isolated([]).build()?;
    /// let begun = client.runtime().now();
    /// let mut timer = client.runtime().timer();
    /// timer.reset(Some(begun + Duration::from_millis(5)));
    /// std::future::poll_fn(|cx| timer.poll(cx)).await;
    /// assert!(client.runtime().now() >= begun + Duration::from_millis(5));
    /// # Ok(())
    /// # }
    /// ```
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.handle.shared.runtime
    }
}
