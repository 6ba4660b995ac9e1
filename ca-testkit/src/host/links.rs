//! Links of an IOC's records to PVs of other IOCs, through the production client core.

use std::collections::BTreeMap;

use ca_proto::Instant;
use ca_proto::client::{
    ChannelState, Event, Lifecycle, OpError, ReadSpec, SubSpec, Token, TypeSpec,
};
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::wire::message::EventMask;
use ca_server_sim::Ioc;
use ca_server_sim::process::{RemoteId, RemoteInfo, RemoteRequest, RemoteUpdate};
use ca_server_sim::record::Meta;

use super::{Answer, ClientHost, News};

/// What an answer is for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Put(Option<u64>),
    Description(RemoteId),
}

#[derive(Debug)]
struct Remote {
    name: String,
    told: Option<RemoteInfo>,
    subs: [Option<Token>; 2],
}

/// Does for an IOC in the World what the crate `ca-links` does on sockets.
#[derive(Debug)]
pub(super) struct Links {
    pub client: ClientHost,
    /// Where its client receives datagrams.
    pub port: u16,
    remotes: BTreeMap<RemoteId, Remote>,
    names: BTreeMap<String, RemoteId>,
    subs: BTreeMap<Token, (RemoteId, bool)>,
    asked: BTreeMap<Token, Asked>,
    news: Vec<News>,
}

impl Links {
    pub(super) fn new(client: ClientHost, port: u16) -> Self {
        Self {
            client: client.observed(),
            port,
            remotes: BTreeMap::new(),
            names: BTreeMap::new(),
            subs: BTreeMap::new(),
            asked: BTreeMap::new(),
            news: Vec::new(),
        }
    }

    pub(super) fn shutdown(&mut self, now: Instant, ioc: &mut Ioc) {
        ioc.detach_remote(now);
        self.remotes.clear();
        self.names.clear();
        self.subs.clear();
        self.asked.clear();
        self.client.shutdown(now);
    }

    /// Carries from one to the other; true if there was anything.
    pub(super) fn pump(&mut self, now: Instant, ioc: &mut Ioc) -> bool {
        let mut any = false;
        while let Some(request) = ioc.poll_remote() {
            any = true;
            self.execute(now, ioc, request);
        }
        for (_, event) in self.client.take_events() {
            let (Event::Connected { cid }
            | Event::AccessRights { cid, .. }
            | Event::Disconnected { cid, .. }) = event
            else {
                continue;
            };
            let id = self
                .names
                .iter()
                .find(|(name, _)| self.client.cid(name) == Some(cid))
                .map(|(_, &id)| id);
            if let Some(id) = id {
                any = true;
                if matches!(event, Event::Disconnected { .. }) {
                    self.lose(now, ioc, id);
                }
                self.look_at(now, ioc, id);
            }
        }
        let mut news = std::mem::take(&mut self.news);
        self.client.news(&mut news);
        any |= !news.is_empty();
        for item in news.drain(..) {
            self.tell(now, ioc, item);
        }
        self.news = news;
        any
    }

    fn execute(&mut self, now: Instant, ioc: &mut Ioc, request: RemoteRequest) {
        match request {
            RemoteRequest::Open { id, name } => {
                self.client.open(now, &name);
                self.names.insert(name.to_string(), id);
                let remote = Remote {
                    name: name.into(),
                    told: None,
                    subs: [None; 2],
                };
                self.remotes.insert(id, remote);
                self.look_at(now, ioc, id);
            }
            RemoteRequest::Watch { id, as_text } => self.watch(now, id, as_text),
            RemoteRequest::Describe { id } => {
                let spec = ReadSpec {
                    ty: TypeSpec::Exact(DbrType::new(Family::Ctrl, NativeType::Double)),
                    count: 1,
                };
                if let Some(remote) = self.remotes.get(&id)
                    && let Ok(token) = self.client.read(now, &remote.name, spec)
                {
                    self.asked.insert(token, Asked::Description(id));
                }
            }
            RemoteRequest::Put { id, value, wait } => match self.put(now, id, &value, wait) {
                Ok(Some(token)) => drop(self.asked.insert(token, Asked::Put(wait))),
                Ok(None) | Err(_) => {
                    if let Some(wait) = wait {
                        ioc.remote_put_done(now, wait);
                    }
                }
            },
            RemoteRequest::Close { id } => {
                if let Some(remote) = self.remotes.remove(&id) {
                    for token in remote.subs.into_iter().flatten() {
                        self.subs.remove(&token);
                    }
                    self.names.remove(&remote.name);
                    self.client.close(now, &remote.name);
                }
            }
            _ => {}
        }
    }

    fn watch(&mut self, now: Instant, id: RemoteId, as_text: bool) {
        let Some(remote) = self.remotes.get_mut(&id) else {
            return;
        };
        let slot = &mut remote.subs[usize::from(as_text)];
        if slot.is_some() {
            return;
        }
        let ty = match as_text {
            true => TypeSpec::Exact(DbrType::new(Family::Time, NativeType::String)),
            false => TypeSpec::Family(Family::Time),
        };
        let spec = SubSpec {
            ty,
            count: 0,
            mask: EventMask::VALUE | EventMask::ALARM,
        };
        if let Ok(token) = self.client.subscribe(now, &remote.name, spec) {
            *slot = Some(token);
            self.subs.insert(token, (id, as_text));
        }
    }

    fn put(
        &mut self,
        now: Instant,
        id: RemoteId,
        value: &Value,
        wait: Option<u64>,
    ) -> Result<Option<Token>, OpError> {
        let Some(remote) = self.remotes.get(&id) else {
            return Ok(None);
        };
        match wait {
            Some(_) => self.client.write_notify(now, &remote.name, value).map(Some),
            None => self.client.write(now, &remote.name, value).map(|()| None),
        }
    }

    fn look_at(&mut self, now: Instant, ioc: &mut Ioc, id: RemoteId) {
        let Some(remote) = self.remotes.get_mut(&id) else {
            return;
        };
        let channel = self.client.cid(&remote.name);
        let channel = channel.and_then(|cid| self.client.client().channel(cid));
        let info = channel.and_then(|channel| match channel.state {
            ChannelState::Connected(connection) => Some(RemoteInfo {
                native: connection.native,
                count: connection.count,
                readable: connection.rights.can_read(),
                writable: connection.rights.can_write(),
            }),
            _ => None,
        });
        if let Some(info) = info
            && remote.told != Some(info)
        {
            remote.told = Some(info);
            ioc.remote_connected(now, id, info);
        }
    }

    fn lose(&mut self, now: Instant, ioc: &mut Ioc, id: RemoteId) {
        let told = self.remotes.get_mut(&id).and_then(|r| r.told.take());
        if told.is_some() {
            ioc.remote_disconnected(now, id);
        }
    }

    fn tell(&mut self, now: Instant, ioc: &mut Ioc, news: News) {
        match news {
            News::Update(token, update) => {
                if let (Some(&(id, as_text)), Some(reading)) =
                    (self.subs.get(&token), &update.reading)
                {
                    let update = RemoteUpdate::from(reading);
                    ioc.remote_update(now, id, as_text, &update);
                }
            }
            News::Lifecycle(token, Lifecycle::Disconnected) => {
                if let Some(&(id, _)) = self.subs.get(&token) {
                    self.lose(now, ioc, id);
                }
            }
            News::Lifecycle(_, Lifecycle::Connected) => {}
            News::Answer(token, answer) => match (self.asked.remove(&token), answer) {
                (Some(Asked::Put(Some(wait))), _) => ioc.remote_put_done(now, wait),
                (Some(Asked::Description(id)), Answer::Read(reading)) => {
                    ioc.remote_described(now, id, Meta::from(&reading));
                }
                _ => {}
            },
        }
    }
}
