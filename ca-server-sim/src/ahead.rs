//! Fetching the memory of several PVs at once.

use std::hint::black_box;

use ca_proto::ids::CircuitId;
use ca_proto::server::{AHEAD, PvId, Subscriber};

use crate::db::{Db, Node, PvHandle};
use crate::ioc::Ioc;
use crate::plain::Subscribers;

/// Channels of a circuit from which on looking ahead pays: with fewer, everything is in a cache.
pub(crate) const MANY: usize = 4096;

impl Ioc {
    /// Reads from the memory that the next requests in `bytes` will need, so that it is fetched at the
    /// same time, where handling them one by one would wait for each. Returns how many requests that
    /// were.
    pub(crate) fn look_ahead(&self, circuit: CircuitId, bytes: &[u8]) -> usize {
        let Some(connection) = self.circuits.get(circuit) else {
            return 0;
        };
        let mut pvs = [PvId(0); AHEAD];
        let (requests, found) = connection.circuit.look_ahead(bytes, &mut pvs);
        let pvs = &pvs[..found];
        let mut seen = 0;
        for &pv in pvs {
            seen ^= self.db.touch(pv);
        }
        for who in pvs.iter().filter_map(|&pv| self.db.only_subscriber(pv)) {
            if let Some(connection) = self.circuits.get(who.circuit) {
                seen ^= connection.circuit.touch(who.key);
            }
        }
        black_box(seen);
        requests
    }
}

impl Db {
    /// Reads from the beginning, the middle and the end of a record.
    fn touch(&self, pv: PvId) -> u32 {
        match self.nodes.get(PvHandle(pv.0)) {
            Some(Node::Record(record)) => {
                let value = record.snapshot.value.as_ref().data.first();
                let value = value.copied().map_or(0, u32::from);
                value ^ record.snapshot.stamp.nanos ^ record.open
            }
            _ => 0,
        }
    }

    fn only_subscriber(&self, pv: PvId) -> Option<Subscriber> {
        match self.nodes.get(PvHandle(pv.0))? {
            Node::Record(record) => match &record.subs {
                Subscribers::One(who, _) => Some(*who),
                _ => None,
            },
            Node::View(_) | Node::Gone(_) | Node::Field(_) => None,
        }
    }
}
