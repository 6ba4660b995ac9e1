//! What handles show of themselves with `{:?}`: what a log line is read for, not the state behind them, which
//! grows with every channel of the client. None waits for a lock: a handle may be shown from anywhere.

use std::fmt;

use crate::channel::{Channel, ChannelInner};
use crate::client::{Client, Guard, Handle};
use crate::monitor::SubSlot;
use crate::shared::Shared;

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Client");
        shown.field("timeout", &self.config.timeout());
        // None while somebody works on it.
        if let Some(state) = self.try_lock() {
            shown.field("addresses", &state.core.search_addrs());
            shown.field("name_servers", &self.config.params().name_servers);
            shown.field("channels", &state.core.channel_count());
        }
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

impl fmt::Debug for ChannelInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Channel");
        if let Some(state) = self.client.shared.try_lock()
            && let Some(view) = state.core.channel(self.cid)
        {
            shown.field("pv", view.name).field("state", &view.state);
        } else {
            shown.field("cid", &self.cid);
        }
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for SubSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn handles_show_a_line() {
        let client = crate::Client::builder()
            .isolated([std::net::SocketAddrV4::new(
                std::net::Ipv4Addr::LOCALHOST,
                9,
            )])
            .timeout(std::time::Duration::from_secs(2))
            .build()
            .unwrap();
        let channels: Vec<_> = (0..1000)
            .map(|n| client.open(format!("x{n}")).unwrap())
            .collect();
        assert_eq!(
            format!("{client:?}"),
            "Client { timeout: 2s, addresses: [127.0.0.1:9], name_servers: [], channels: 1000, .. }"
        );
        assert_eq!(
            format!("{:?}", channels[7]),
            "Channel { pv: \"x7\", state: Searching, .. }"
        );
        let monitor = channels[7].monitor::<f64>().start().unwrap();
        let shown = format!("{monitor:?}");
        assert!(shown.contains("pv: \"x7\"") && shown.len() < 300, "{shown}");
    }
}
