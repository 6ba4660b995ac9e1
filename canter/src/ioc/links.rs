//! Links of records to PVs of other IOCs.

use ca_client::Client;
use ca_links::Links;
use ca_server_sim::net::SimIoc;
use tokio::task::JoinHandle;

use crate::background::say;

/// What connects them, until it is dropped.
#[derive(Debug)]
pub(super) struct Linked(JoinHandle<()>);

impl Linked {
    /// Connects links from now on, by a client that is made when the first one wants it: an IOC without such links
    /// searches for nothing.
    pub(super) fn start(ioc: &SimIoc) -> Self {
        Self(tokio::spawn(connect(ioc.clone())))
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connect(ioc: SimIoc) {
    ioc.with(|ioc, _| ioc.attach_remote());
    // They are asked for again.
    drop(ioc.remote_requests().await);
    ioc.with(|ioc, now| ioc.detach_remote(now));
    match Client::from_env() {
        Ok(client) => Links::new(&ioc, &client).run().await,
        Err(error) => say(&format!("links to other IOCs are not connected: {error}")),
    }
}
