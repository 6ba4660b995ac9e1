//! The simulated IOC on loopback with ports of the system's choice.
#![allow(dead_code, unreachable_pub, missing_debug_implementations)] // Not every test file uses all of it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ca_client::{Client, EcaStatus, Value};
use ca_net::TokioRuntime;
use ca_proto::Timestamp;
use ca_proto::wire::message::Port;
use ca_proto::wire::{datagram_frames, udp};
use ca_server_sim::{AccessRights, Ioc, NetConfig, PvSpec, SimIoc};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// For what comes at once, except on a machine that is busy with much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The time stamp of every PV at the start.
pub const STAMP: Timestamp = Timestamp {
    secs: 1_000_000_000,
    nanos: 123_456_789,
};

/// A PV whose puts with completion take until [`Server::complete_put`].
pub const SLOW: &str = "t:slow";

/// PVs of many kinds.
pub fn pvs() -> Vec<(&'static str, PvSpec)> {
    let large: Vec<f64> = (0..1_000_000).map(f64::from).collect();
    vec![
        ("t:analog", PvSpec::double(1.5).units("mm").precision(3)),
        ("t:state", PvSpec::enumeration(["Off", "On", "Auto"], 1)),
        ("t:fixed", PvSpec::long(7).read_only()),
        (SLOW, PvSpec::double(0.0).completes_never()),
        ("t:text", PvSpec::string("hello")),
        ("t:wave", PvSpec::array([1.0, 2.0, 3.0, 4.0, 5.0])),
        ("t:large", PvSpec::array(large)),
    ]
}

/// A running IOC.
pub struct Server {
    ioc: SimIoc,
    pub udp: SocketAddrV4,
    pub tcp: SocketAddrV4,
    /// What tells clients a port that the IOC does not have.
    liar: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(pvs: Vec<(&'static str, PvSpec)>) -> Self {
        Self::start_on(pvs, 0)
    }

    /// Starts on a given UDP port, to come back where an earlier server was.
    pub fn start_on(pvs: Vec<(&'static str, PvSpec)>, port: u16) -> Self {
        let runtime = Arc::new(TokioRuntime::current().unwrap());
        let names: Vec<_> = pvs.iter().map(|(name, _)| *name).collect();
        let add = |builder: ca_server_sim::IocBuilder, (name, spec)| builder.pv(name, spec);
        let ioc = pvs.into_iter().fold(Ioc::builder(), add).build().unwrap();
        let config = NetConfig::new().udp_port(port).repeater(None);
        let ioc = SimIoc::start_on(runtime, ioc, config).unwrap();
        ioc.with(|ioc, now| {
            for name in names {
                let value = ioc.read(name).unwrap().value;
                ioc.post_stamped(now, name, value, STAMP).unwrap();
            }
        });
        Self {
            udp: ioc.udp_addr(),
            tcp: ioc.addr(),
            ioc,
            liar: None,
        }
    }

    /// Starts, and searches are answered with another TCP port than it has.
    pub async fn start_lying(port: u16) -> Self {
        let mut this = Self::start(pvs());
        let honest = this.udp;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let Ok(std::net::SocketAddr::V4(udp)) = socket.local_addr() else {
            panic!("it was bound to an address of IPv4");
        };
        this.udp = udp;
        this.liar = Some(tokio::spawn(lie(socket, honest, port)));
        this
    }

    /// A client that searches here only.
    pub fn client(&self) -> Client {
        let builder = Client::builder().isolated([self.udp]);
        builder.timeout(PATIENCE).build().unwrap()
    }

    /// Changes a PV and posts it.
    pub fn post(&self, name: &str, value: impl Into<Value>) {
        self.ioc.post(name, value).unwrap();
    }

    /// Changes what everybody may do with a PV.
    pub fn set_rights(&self, name: &str, rights: AccessRights) {
        self.ioc
            .with(|ioc, now| ioc.set_rights(now, name, rights).unwrap());
    }

    /// Completes the put-notify that the slow PV is busy with; whether there was one.
    pub fn complete_put(&self, status: EcaStatus) -> bool {
        self.ioc
            .with(|ioc, now| ioc.finish_put(now, SLOW, status).unwrap())
    }

    pub fn value(&self, name: &str) -> Value {
        self.ioc.read(name).unwrap().value
    }

    /// Circuits, channels and subscriptions at this moment.
    pub fn counts(&self) -> (usize, usize, usize) {
        let counts = self.ioc.with(|ioc, _| ioc.counts());
        (counts.circuits, counts.channels, counts.subscriptions)
    }

    /// Lets others run until a condition holds, or for too long.
    async fn until(&self, mut condition: impl FnMut() -> bool) {
        let holds = async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        };
        // Who waited for it says what is instead.
        let _ = timeout(PATIENCE, holds).await;
    }

    /// Waits until the counts are these.
    pub async fn reaches(&self, counts: (usize, usize, usize)) {
        self.until(|| self.counts() == counts).await;
        assert_eq!(self.counts(), counts);
    }

    /// Waits until a put-notify waits for its completion.
    pub async fn has_a_put(&self) {
        let waits = || self.ioc.with(|ioc, _| ioc.counts().puts) > 0;
        self.until(waits).await;
        assert!(waits());
    }

    /// Ends everything as if the process was killed.
    pub async fn stop(self) {
        self.ioc.stop().await;
        self.reaches((0, 0, 0)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(liar) = self.liar.take() {
            liar.abort();
        }
    }
}

/// Stands between clients and the IOC, and changes the port in what the IOC answers to searches.
async fn lie(socket: UdpSocket, honest: SocketAddrV4, port: u16) {
    let behind = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut data = [0; 2048];
    loop {
        let (len, client) = socket.recv_from(&mut data).await.unwrap();
        behind.send_to(&data[..len], honest).await.unwrap();
        // Names that nobody has are not answered.
        let answer = timeout(Duration::from_millis(200), behind.recv_from(&mut data));
        let Ok(Ok((len, _))) = answer.await else {
            continue;
        };
        let mut lies = Vec::new();
        for frame in datagram_frames(&data[..len]).flatten() {
            let mut message = udp::Response::parse(&frame).unwrap();
            if let udp::Response::Search { port: told, .. } = &mut message {
                *told = Port(port);
            }
            message.encode_into(&mut lies);
        }
        socket.send_to(&lies, client).await.unwrap();
    }
}
