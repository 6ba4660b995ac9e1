//! What the identifiers of a circuit stand for.

use super::circuit::Circuit;
use crate::ids::{Cid, Sid, SubId};

impl Circuit {
    /// The open channels: the client's identifier, ours, and the name as the client spelt it. For those who look
    /// at messages from outside.
    pub fn names(&self) -> impl Iterator<Item = (Cid, Sid, &[u8])> {
        let channels = self.channels.iter();
        channels.map(|(sid, channel)| (channel.cid, sid, &*channel.name))
    }

    /// The subscriptions: the client's identifier, and that of the channel.
    pub fn subscription_names(&self) -> impl Iterator<Item = (SubId, Sid)> {
        self.subs.iter().map(|(_, sub)| (sub.subid, sub.sid))
    }
}
