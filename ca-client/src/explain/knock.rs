//! When nobody answers: whether a server lives where searches go.
//!
//! Servers do not say by UDP what they do not have. They take connections at the same port, unless it was taken when
//! they began, and search by them, too (`search_reply_tcp` of EPICS Base). So the addresses of single hosts that were
//! searched are asked for the name once more, as name servers are.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ca_net::tap::Tap;
use ca_net::{Runtime as _, UdpIo};
use ca_proto::addr_list::Reach;

use crate::client::Client;
use crate::config::EffectiveConfig;

/// Addresses that are asked.
const MAX_ADDRESSES: usize = 8;
/// Time for all of them together.
const TIME: Duration = Duration::from_millis(700);

/// Asks by connections, each step of which `tap` sees. Without addresses of single hosts it does nothing.
pub(super) async fn knock(tap: &Arc<Tap>, config: &EffectiveConfig, local: Ipv4Addr, name: &[u8]) {
    let addresses = single_hosts(tap, &config.params().search_addrs);
    if addresses.is_empty() {
        return;
    }
    let config = config.by_connections(addresses);
    let Ok(socket) = tap.bind_udp(&config.search_socket(local)) else {
        return;
    };
    let look = Client::start(
        Arc::clone(tap) as _,
        config,
        UdpIo::new(socket),
        local,
        (None, None),
    );
    if let Ok(channel) = look.open(name) {
        let _ = channel.connected().timeout(TIME).await;
    }
    look.close().await;
}

/// Those that are of one host each.
fn single_hosts(tap: &Tap, searched: &[SocketAddrV4]) -> Vec<SocketAddrV4> {
    let ours = tap.interfaces().unwrap_or_default();
    let is_one = |address: &&SocketAddrV4| {
        let ip = *address.ip();
        let reaches_many = |reach| matches!(reach, Reach::Broadcast(broadcast) if broadcast == ip);
        !ip.is_multicast()
            && !ip.is_broadcast()
            && ip.octets()[3] != 255
            && !ours.iter().any(|ours| reaches_many(ours.reach))
    };
    let single = searched.iter().filter(is_one).copied();
    single.take(MAX_ADDRESSES).collect()
}
