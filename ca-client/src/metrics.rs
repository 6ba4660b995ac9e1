//! Numbers about a client, for those who watch programs.

use std::io;
use std::net::SocketAddrV4;
use std::sync::atomic::Ordering;

use ca_proto::client::{BeaconStats, ChannelStates, SearchCost, Traffic};

use crate::addresses::Unused;
use crate::client::{Client, ClientStats};

/// What a client holds, and what has passed since it was made; see [`Client::metrics`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientMetrics {
    /// What it holds.
    pub stats: ClientStats,
    /// How many channels are in which state.
    pub channels: ChannelStates,
    /// What was sent and received.
    pub traffic: Traffic,
    /// Bytes that came on circuits.
    pub bytes_received: u64,
    /// Updates that were dropped because their readers were slow, as far as readers have seen the gap.
    pub updates_dropped: u64,
    /// What was heard of beacons.
    pub beacons: BeaconStats,
    /// Datagrams with searches that may be sent in a second; 0: no limit.
    pub search_budget: u32,
    /// PVs whose server is known to the file of addresses; `None` without
    /// [one](crate::ClientBuilder::address_cache).
    pub known_addresses: Option<usize>,
    /// Why the file that an earlier run has left is not used.
    pub addresses_unused: Option<Unused>,
}

impl Client {
    /// Numbers about the client, for dashboards. It looks at each circuit, not at each channel.
    pub fn metrics(&self) -> ClientMetrics {
        let shared = &self.handle.shared;
        let received = shared.received.load(Ordering::Relaxed);
        let dropped = shared.skipped.load(Ordering::Relaxed);
        shared.peek(|state| ClientMetrics {
            stats: state.stats(),
            channels: state.core.channel_states(),
            traffic: *state.core.traffic(),
            bytes_received: received,
            updates_dropped: dropped,
            beacons: state.core.beacon_stats(),
            search_budget: shared.config.params().search_budget,
            known_addresses: state.addresses.as_ref().map(|known| known.len()),
            addresses_unused: (state.addresses.as_ref()).and_then(|known| known.unused().cloned()),
        })
    }

    /// The names that were searched most of those that are not found, the most expensive first; at most so many.
    /// It looks at each channel.
    ///
    /// # Examples
    /// ```
    /// use ca_client::Client;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::builder().isolated([]).build()?;
    /// for cost in client.most_searched(10) {
    ///     println!("{} was searched {} times", cost.name, cost.datagrams);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn most_searched(&self, most: usize) -> Vec<SearchCost> {
        let shared = &self.handle.shared;
        shared.peek(|state| state.core.most_searched(most))
    }

    /// Where searches go by UDP at this moment: host names and interfaces are looked at again while any PV is
    /// searched.
    pub fn search_addrs(&self) -> Vec<SocketAddrV4> {
        let shared = &self.handle.shared;
        shared.peek(|state| state.core.search_addrs().to_vec())
    }

    /// Writes the servers of all PVs that were connected into the [file of
    /// addresses](crate::ClientBuilder::address_cache), in place of what was there; gives the number of PVs. PVs
    /// that are searched at this moment are left out. Without a file nothing is done.
    ///
    /// # Errors
    /// Those of the file; what was there before stays.
    pub fn save_addresses(&self) -> io::Result<usize> {
        let shared = &self.handle.shared;
        let now = shared.runtime.wall();
        let file = shared.with(|state, _, _| {
            let known = state.addresses.as_mut()?;
            state.core.for_each_searching(|name| known.forget(name));
            Some(known.to_file(now))
        });
        file.map_or(Ok(0), |file| file.write())
    }
}
