//! The interfaces of this host.

use std::io;

use ca_proto::addr_list::{Interface, Reach};
use if_addrs::{IfAddr, IfOperStatus};

/// The IPv4 addresses of this host's interfaces, in the system's order.
///
/// The peer of a point-to-point interface is not known here: such an interface has
/// [`Reach::None`], and its peer has to be listed by hand.
///
/// # Errors
/// When the system cannot enumerate them.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let found = if_addrs::get_if_addrs()?;
    let v4 = |interface: if_addrs::Interface| match interface.addr {
        IfAddr::V4(address) => Some(Interface {
            addr: address.ip,
            up: interface.oper_status != IfOperStatus::Down,
            loopback: address.ip.is_loopback(),
            reach: match address.broadcast {
                Some(broadcast) if !interface.is_p2p => Reach::Broadcast(broadcast),
                _ => Reach::None,
            },
        }),
        IfAddr::V6(_) => None,
    };
    Ok(found.into_iter().filter_map(v4).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found_and_reaches_nobody() {
        let all = interfaces().unwrap();
        let loopback = all.iter().find(|i| i.addr.is_loopback());
        // A host may run without one, but then it has no other 127.x address either.
        assert!(loopback.is_none_or(|i| i.loopback));
        assert!(all.iter().all(|i| i.loopback == i.addr.is_loopback()));
    }
}
