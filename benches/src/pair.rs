//! A client core and an IOC core back to back: no socket, no clock, no allocation of ours.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ca_proto::client::{
    Action, ChannelState, Client, Deliver, Lifecycle, More, ReadSpec, Reply, SubSpec, Token,
    TypeSpec, Update,
};
use ca_proto::config::ClientParams;
use ca_proto::dbr::{Brief, Family};
use ca_proto::ids::{Cid, CircuitId};
use ca_proto::wire::message::EventMask;
use ca_proto::wire::{Deframer, PvName};
use ca_proto::{Instant, Timestamp};
use ca_server_sim::{Ioc, PvHandle, PvSpec};

/// Counts what a client delivers, and looks at each payload once.
#[derive(Debug, Default)]
pub struct Count {
    /// Updates of subscriptions.
    pub updates: u64,
    /// Answers to operations.
    pub replies: u64,
    /// Bytes seen, so that nothing is optimised away.
    pub bytes: u64,
}

impl Deliver for Count {
    fn update(&mut self, _: Token, update: Update<'_>) {
        self.updates += 1;
        self.bytes += update.frame.payload().len() as u64;
    }
    fn brief(&mut self, _: Token, brief: Brief) -> bool {
        self.updates += 1;
        black_box(brief);
        true
    }
    fn reply(&mut self, _: Token, reply: Reply<'_>) {
        self.replies += 1;
        if let Reply::Read { frame, .. } = reply {
            self.bytes += frame.payload().len() as u64;
        }
    }
    fn lifecycle(&mut self, _: Token, _: Lifecycle) {}
}

/// One client, one IOC, one circuit between them.
#[derive(Debug)]
pub struct Pair {
    /// The client core.
    pub client: Client,
    /// The IOC core.
    pub ioc: Ioc,
    /// What the client delivered.
    pub count: Count,
    now: Instant,
    to_client: Deframer,
    to_ioc: Deframer,
    client_end: CircuitId,
    ioc_end: CircuitId,
    wire: Vec<u8>,
    /// Sent to the IOC and not yet handled, as replies have to drain first.
    waiting: Vec<u8>,
}

const IOC: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 5064);
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 50_000);

impl Pair {
    /// An IOC with `pvs` PVs of type double, `bench:0` and so on, and a client connected to all of
    /// them. The handles are in order, and so are the channels.
    ///
    /// # Panics
    /// If the two do not come together, which would be a defect of theirs.
    pub fn new(pvs: usize) -> (Self, Vec<PvHandle>, Vec<Cid>) {
        let names: Vec<String> = (0..pvs).map(|n| format!("bench:{n}")).collect();
        let specs = names.iter().map(|name| (name, PvSpec::double(0.0)));
        let mut ioc = Ioc::builder().pvs(specs).build().expect("valid PVs");
        let mut now = Instant::ZERO;
        ioc.start(now, Timestamp::from_unix(1_800_000_000, 0), IOC.port());
        let params = ClientParams::default().search_addrs(vec![IOC]);
        let mut client = Client::new(Arc::new(params), now);
        let mut open = |name: &String| {
            let name = PvName::new(name).expect("a valid name");
            client
                .open_channel(now, name, 0)
                .expect("room in the table")
        };
        let cids: Vec<Cid> = names.iter().map(&mut open).collect();
        let handles = names
            .iter()
            .map(|name| ioc.handle(name).expect("it was added"))
            .collect();

        let mut count = Count::default();
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        let dial = loop {
            while client.poll_transmit(now, &mut request).is_some() {
                ioc.handle_datagram(now, CLIENT, &request);
                while ioc.poll_transmit(now, &mut reply).is_some() {
                    client.handle_datagram(now, IOC, &reply, &mut count);
                }
            }
            if cids.iter().all(|&cid| {
                client
                    .channel(cid)
                    .is_some_and(|c| c.state != ChannelState::Searching)
            }) {
                break client.poll_action();
            }
            now += Duration::from_millis(1);
            client.handle_timeout(now, &mut count);
        };
        let Some(Action::Dial { circuit, .. }) = dial else {
            panic!("no circuit asked for")
        };
        let ioc_end = ioc.accept(now, CLIENT).expect("below the limit");
        client.handle_connected(now, circuit);
        let mut pair = Self {
            to_client: Deframer::new(client.limits(circuit)),
            to_ioc: Deframer::new(ioc.limits(ioc_end)),
            client,
            ioc,
            count,
            now,
            client_end: circuit,
            ioc_end,
            wire: Vec::new(),
            waiting: Vec::new(),
        };
        pair.settle();
        for &cid in &cids {
            let connected = pair
                .client
                .channel(cid)
                .is_some_and(|c| c.connection().is_some());
            assert!(connected, "a channel is not connected");
        }
        (pair, handles, cids)
    }

    /// Moves what the client wants to send; true if there was anything.
    pub fn client_to_ioc(&mut self) -> bool {
        let Some(queue) = self.client.transmit(self.now, self.client_end) else {
            return false;
        };
        self.wire.clear();
        queue
            .slices()
            .for_each(|slice| self.wire.extend_from_slice(slice));
        queue.clear();
        self.client
            .handle_sent(self.now, self.client_end, self.wire.len());
        self.waiting.extend_from_slice(&self.wire);
        let mut done = 0;
        loop {
            let rest = &self.waiting[done..];
            let chunk = &rest[..rest.len().min(64 * 1024)];
            let handled = self
                .ioc
                .handle_chunk(self.now, self.ioc_end, &mut self.to_ioc, chunk)
                .expect("our client keeps the protocol");
            done += handled;
            while self.ioc.has_work() {
                self.ioc.work(self.now);
            }
            if handled == 0 || (done == self.waiting.len() && !self.ioc.is_pressed()) {
                break;
            }
        }
        self.waiting.drain(..done);
        while self.ioc.poll_woken().is_some() {}
        done > 0 || !self.wire.is_empty()
    }

    /// Takes what the IOC wants to send; true if there is anything.
    pub fn fetch(&mut self) -> bool {
        self.wire.clear();
        while let Some(queue) = self.ioc.transmit(self.ioc_end) {
            if queue.is_empty() {
                break;
            }
            queue
                .slices()
                .for_each(|slice| self.wire.extend_from_slice(slice));
            queue.clear();
        }
        !self.wire.is_empty()
    }

    /// Hands the client what [`fetch`](Self::fetch) took.
    pub fn deliver(&mut self) {
        for chunk in self.wire.chunks(64 * 1024) {
            let more = if chunk.len() < 64 * 1024 {
                More::Drained
            } else {
                More::Maybe
            };
            self.client
                .handle_chunk(
                    self.now,
                    self.client_end,
                    &mut self.to_client,
                    chunk,
                    more,
                    &mut self.count,
                )
                .expect("our IOC keeps the protocol");
        }
        while self.client.poll_woken().is_some() {}
        while self.client.poll_event().is_some() {}
    }

    /// Moves bytes both ways until nothing is left.
    pub fn settle(&mut self) {
        loop {
            let sent = self.client_to_ioc();
            let received = self.fetch();
            self.deliver();
            if !sent && !received {
                break;
            }
        }
    }

    /// Subscribes to values with time stamps.
    pub fn subscribe(&mut self, cids: &[Cid]) {
        for (token, &cid) in (0..).zip(cids) {
            let spec = SubSpec {
                ty: TypeSpec::Family(Family::Time),
                count: 0,
                mask: EventMask::VALUE | EventMask::ALARM,
            };
            self.client
                .subscribe(self.now, cid, spec, Token(token))
                .expect("room in the table");
        }
        self.settle();
    }

    /// Asks for the value of a channel.
    pub fn read(&mut self, cid: Cid) {
        let spec = ReadSpec {
            ty: TypeSpec::Family(Family::Plain),
            count: 1,
        };
        self.client
            .read(self.now, cid, spec, Token(0), None)
            .expect("connected");
    }

    /// Posts a value inside the IOC.
    pub fn post(&mut self, pv: PvHandle, value: f64) {
        self.ioc.post(self.now, pv, value).expect("the PV exists");
    }
}
