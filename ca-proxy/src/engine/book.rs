//! What a circuit's messages tell: which ids belong to which channel.

use std::collections::HashMap;

use ca_proto::wire::tcp::{Request, Response};

/// Ids of one kind that are remembered per circuit. Messages with further ids belong to no channel
/// for the rules.
const MAX_IDS: usize = 262_144;

/// A channel as both sides know it.
#[derive(Debug, Default)]
pub(super) struct Channel {
    pub(super) name: Vec<u8>,
    /// The rights that the server gave last.
    pub(super) rights: Option<u32>,
    /// Its subscriptions, also cancelled ones.
    subids: Vec<u32>,
}

/// The ids of a circuit.
#[derive(Debug, Default)]
pub(super) struct Book {
    channels: HashMap<u32, Channel>,
    by_sid: HashMap<u32, u32>,
    /// Reads and writes without an answer so far.
    by_ioid: HashMap<u32, u32>,
    by_subid: HashMap<u32, Subscribed>,
}

#[derive(Debug)]
struct Subscribed {
    cid: u32,
    cancelled: bool,
}

fn note<T>(map: &mut HashMap<u32, T>, id: u32, value: T) {
    if map.len() < MAX_IDS || map.contains_key(&id) {
        map.insert(id, value);
    }
}

impl Book {
    /// Takes note of a request; the CID of its channel.
    pub(super) fn request(&mut self, request: &Request<'_>) -> Option<u32> {
        match *request {
            Request::Search { cid, name, .. } | Request::CreateChan { cid, name, .. } => {
                self.forget(cid.0);
                let channel = Channel {
                    name: name.as_bytes().to_vec(),
                    ..Channel::default()
                };
                note(&mut self.channels, cid.0, channel);
                Some(cid.0)
            }
            Request::Write { sid, .. } => self.of_sid(sid.0),
            Request::ClearChannel { cid, .. } => Some(cid.0),
            Request::Read { sid, ioid, .. }
            | Request::ReadNotify { sid, ioid, .. }
            | Request::WriteNotify { sid, ioid, .. } => {
                let cid = self.of_sid(sid.0)?;
                note(&mut self.by_ioid, ioid.0, cid);
                Some(cid)
            }
            Request::EventAdd { sid, subid, .. } => {
                let cid = self.of_sid(sid.0)?;
                let cancelled = false;
                note(&mut self.by_subid, subid.0, Subscribed { cid, cancelled });
                if let Some(channel) = self.channels.get_mut(&cid)
                    && channel.subids.len() < MAX_IDS
                {
                    channel.subids.push(subid.0);
                }
                Some(cid)
            }
            Request::EventCancel { sid, subid, .. } => {
                if let Some(subscribed) = self.by_subid.get_mut(&subid.0) {
                    subscribed.cancelled = true;
                }
                self.of_sid(sid.0)
            }
            _ => None,
        }
    }

    /// Takes note of a response; the CID of its channel.
    pub(super) fn response(&mut self, response: &Response<'_>) -> Option<u32> {
        match *response {
            Response::CreateChan { cid, sid, .. } => {
                note(&mut self.by_sid, sid.0, cid.0);
                Some(cid.0)
            }
            Response::AccessRights { cid, rights } => {
                if let Some(channel) = self.channels.get_mut(&cid.0) {
                    channel.rights = Some(rights);
                }
                Some(cid.0)
            }
            Response::Search { cid, .. }
            | Response::NotFound { cid, .. }
            | Response::CreateChFail { cid }
            | Response::ServerDisconn { cid }
            | Response::Error { cid, .. } => Some(cid.0),
            Response::ClearChannel { cid, sid, .. } => {
                self.by_sid.remove(&sid.0);
                Some(cid.0)
            }
            Response::Read { ioid, .. }
            | Response::ReadNotify { ioid, .. }
            | Response::WriteNotify { ioid, .. } => self.by_ioid.remove(&ioid.0),
            Response::EventAdd { subid, data, .. } => {
                let subscribed = self.by_subid.get(&subid.0)?;
                let cid = subscribed.cid;
                if subscribed.cancelled && data.0.is_empty() {
                    self.by_subid.remove(&subid.0);
                }
                Some(cid)
            }
            _ => None,
        }
    }

    /// Forgets a channel that is gone.
    pub(super) fn forget(&mut self, cid: u32) {
        let Some(channel) = self.channels.remove(&cid) else {
            return;
        };
        for subid in channel.subids {
            let of_channel = |subscribed: &Subscribed| subscribed.cid == cid;
            if self.by_subid.get(&subid).is_some_and(of_channel) {
                self.by_subid.remove(&subid);
            }
        }
    }

    fn of_sid(&self, sid: u32) -> Option<u32> {
        self.by_sid.get(&sid).copied()
    }

    pub(super) fn name(&self, cid: u32) -> Option<&[u8]> {
        self.channels.get(&cid).map(|channel| &channel.name[..])
    }

    /// The channels with their CIDs, in order of these.
    pub(super) fn channels(&self) -> Vec<(u32, &Channel)> {
        let mut all: Vec<_> = self.channels.iter().map(|(cid, c)| (*cid, c)).collect();
        all.sort_unstable_by_key(|(cid, _)| *cid);
        all
    }

    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }
}
