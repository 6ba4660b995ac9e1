//! What it costs to find the PVs of a facility: our client on a virtual network, and a model of libca's schedule
//! beside it.
//!
//! One client, so many servers on one network, names of which one in twenty exists nowhere. Cold: nothing is
//! known. Storm: all servers go down at once and are back, one after the other, within ten seconds. Warm: a new
//! client with the file of addresses that the first one has left. Beacons are left out on both sides.

pub mod libca;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ca_client::{Channel, Client};
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, PvSpec};
use ca_testkit::runtime::SimRuntime;

/// One name in so many exists nowhere: 5 %.
const DEAD: usize = 20;
/// Time within which all servers are back after a power cut.
pub const BACK: Duration = Duration::from_secs(10);
/// Time between the last channel and the power cut: searches for the dead names are seldom then.
pub const CALM: Duration = Duration::from_secs(600);
/// Longest time that anything takes.
const PATIENCE: Duration = Duration::from_secs(100_000);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);
const PORT: u16 = 5064;
/// Servers on a network.
const ON_NETWORK: usize = 250;

/// What is to be found.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// Names that the client asks for, those that exist nowhere among them.
    pub names: usize,
    /// Servers, each with as many of the others as its neighbours.
    pub servers: usize,
}

impl Plant {
    /// The server of a name; `None` if it exists nowhere.
    pub fn server(&self, name: usize) -> Option<usize> {
        (name % DEAD != DEAD - 1).then_some(name % self.servers)
    }

    /// Networks that the servers are on; each search goes to the broadcast address of each.
    pub fn networks(&self) -> usize {
        self.servers.div_ceil(ON_NETWORK)
    }

    /// A name, of 21 bytes, as those of facilities are.
    pub fn name(name: usize) -> String {
        format!("SR{:02}C:BPM{name:07}:SA:X", name % 97)
    }

    /// When a server is back after a power cut.
    pub fn back(&self, server: usize) -> Duration {
        BACK * (server as u32 + 1) / self.servers as u32
    }
}

/// What it took until the last name that exists was found.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Cost {
    /// Datagrams with searches.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Time to the last channel.
    pub last: Duration,
}

/// All three.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Costs {
    /// Nothing is known.
    pub cold: Cost,
    /// After a power cut.
    pub storm: Cost,
    /// With the file of an earlier run; libca has none, and is cold again.
    pub warm: Cost,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.last.as_secs_f64();
        write!(
            f,
            "{:>9} | {:>11} | {seconds:>9.3}",
            self.datagrams, self.bytes
        )
    }
}

/// A table for the book.
pub fn table(plant: &Plant, ours: &Costs, libca: &Costs) -> String {
    let mut table = format!(
        "{} names on {} servers, {} of them nowhere\n\n\
         |       |       | datagrams |       bytes |   last, s |\n\
         |-------|-------|----------:|------------:|----------:|\n",
        plant.names,
        plant.servers,
        plant.names / DEAD
    );
    for (case, ours, libca) in [
        ("cold", ours.cold, libca.cold),
        ("storm", ours.storm, libca.storm),
        ("warm", ours.warm, libca.warm),
    ] {
        table.push_str(&format!("| {case:<5} | libca | {libca} |\n"));
        table.push_str(&format!("| {case:<5} | ours  | {ours} |\n"));
    }
    table
}

/// A file that goes with its user.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        let name = format!("canter-finding-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What our client takes, on the virtual network.
///
/// # Panics
/// If a name that exists is not found.
pub fn ours(plant: &Plant) -> Costs {
    let rt = SimRuntime::new(1);
    rt.trace(|trace| trace.enabled = false);
    rt.set_time_limit(2 * PATIENCE);
    let iocs: Arc<[SimIoc]> = (0..plant.servers).map(|n| serve(&rt, plant, n)).collect();
    let file = File::new();
    let run = Run { rt: &rt, plant };
    let finished = rt.block_on(async {
        let (client, channels, cold) = run.start(&file).await;
        client.save_addresses().expect("there is room for the file");
        rt.sleep(CALM).await;
        let storm = run.storm(&client, &channels, &iocs).await;
        drop(channels);
        client.close().await;
        let (client, channels, warm) = run.start(&file).await;
        drop(channels);
        client.close().await;
        Costs { cold, storm, warm }
    });
    finished.unwrap_or_else(|stuck| panic!("{stuck}"))
}

fn serve(rt: &SimRuntime, plant: &Plant, server: usize) -> SimIoc {
    let names = (0..plant.names).filter(|&name| plant.server(name) == Some(server));
    let pvs = names.map(|name| (Plant::name(name), PvSpec::long(0)));
    let config = NetConfig::new()
        .interfaces([Ipv4Addr::UNSPECIFIED])
        .tcp_port(PORT)
        .udp_port(PORT)
        .repeater(None);
    let ioc = Ioc::builder().pvs(pvs).seed(7).build().expect("valid PVs");
    // 1 to 250, as no network has hosts 0 and 255.
    let (network, host) = (server / ON_NETWORK, server % ON_NETWORK);
    let host = Ipv4Addr::new(10, 0, network as u8, host as u8 + 1);
    SimIoc::start_on(rt.host(host), ioc, config).expect("the ports are free")
}

struct Run<'a> {
    rt: &'a SimRuntime,
    plant: &'a Plant,
}

impl Run<'_> {
    /// A new client that looks for everything.
    async fn start(&self, file: &File) -> (Client, Vec<Channel>, Cost) {
        let networks = 0..self.plant.networks();
        let networks = networks.map(|net| Ipv4Addr::new(10, 0, net as u8, 255));
        let client = Client::builder()
            .without_env()
            .user("operator")
            .host("console")
            .repeater_port(0)
            .address_cache(&file.0)
            .auto_addr_list(false)
            .search_addrs(networks.map(|net| SocketAddrV4::new(net, PORT)))
            .runtime(self.rt.host(CLIENT))
            .build()
            .expect("the settings are valid");
        let began = self.rt.now();
        let names = (0..self.plant.names).map(Plant::name);
        let channels: Vec<Channel> = names
            .map(|name| client.open(name).expect("there is room"))
            .collect();
        self.found(&channels).await;
        let traffic = client.metrics().traffic;
        let cost = Cost {
            datagrams: traffic.search_datagrams,
            bytes: traffic.search_bytes,
            last: self.rt.now() - began,
        };
        (client, channels, cost)
    }

    /// Waits for all that exist.
    async fn found(&self, channels: &[Channel]) {
        for (name, channel) in channels.iter().enumerate() {
            if self.plant.server(name).is_some() {
                let found = channel.connected().timeout(PATIENCE).await;
                found.unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    async fn storm(&self, client: &Client, channels: &[Channel], iocs: &Arc<[SimIoc]>) -> Cost {
        for ioc in &**iocs {
            ioc.stop().await;
        }
        let before = client.metrics().traffic;
        let began = self.rt.now();
        for server in 0..iocs.len() {
            let (sleep, iocs) = (self.rt.sleep(self.plant.back(server)), iocs.clone());
            self.rt.spawn(async move {
                sleep.await;
                iocs[server].start().await.expect("its ports are free");
            });
        }
        // All have noticed that they are lost.
        self.rt.sleep(Duration::from_millis(10)).await;
        self.found(channels).await;
        let traffic = client.metrics().traffic;
        Cost {
            datagrams: traffic.search_datagrams - before.search_datagrams,
            bytes: traffic.search_bytes - before.search_bytes,
            last: self.rt.now() - began,
        }
    }
}
