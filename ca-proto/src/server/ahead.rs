//! What the next requests are about.

use super::circuit::Circuit;
use super::database::{PvId, SubKey};
use crate::ids::Sid;
use crate::wire::{Command, Header};

/// Requests that are looked at together: their memory is fetched at the same time, where handling
/// them one by one would wait for each.
pub const AHEAD: usize = 16;
impl Circuit {
    /// The PVs that the next requests in `bytes` name. Returns how many requests were looked at, at most
    /// [`AHEAD`], and how many PVs there are in `pvs`. `bytes` begins with a header; the look ends at
    /// what is no read and no write.
    pub fn look_ahead(&self, mut bytes: &[u8], pvs: &mut [PvId; AHEAD]) -> (usize, usize) {
        let (mut requests, mut found) = (0, 0);
        while requests < AHEAD
            && let Some((header, len)) = Header::decode(bytes, self.limits().extended)
        {
            requests += 1;
            let sid = match header.command {
                Command::READ_NOTIFY | Command::WRITE | Command::WRITE_NOTIFY => header.p1,
                _ => break,
            };
            if let (Some(channel), Some(pv)) = (self.channels.get(Sid(sid)), pvs.get_mut(found)) {
                *pv = channel.pv;
                found += 1;
            }
            let end = len + header.payload_len as usize;
            bytes = bytes.get(end..).unwrap_or_default();
        }
        (requests, found)
    }

    /// The PV that the next request in `bytes` writes to, if it is a write.
    pub fn next_write(&self, bytes: &[u8]) -> Option<PvId> {
        let (header, _) = Header::decode(bytes, self.limits().extended)?;
        match header.command {
            Command::WRITE | Command::WRITE_NOTIFY => Some(self.channels.get(Sid(header.p1))?.pv),
            _ => None,
        }
    }

    /// The PV of a channel, by the server's identifier of it.
    pub fn opened(&self, sid: u32) -> Option<PvId> {
        Some(self.channels.get(Sid(sid))?.pv)
    }

    /// Reads from the memory of a subscription; for its effect on the cache.
    pub fn touch(&self, sub: SubKey) -> u32 {
        self.subs.get(sub).map_or(0, |sub| sub.subid.0)
    }
}
