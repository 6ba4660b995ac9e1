//! How a client is configured: the environment, setters, and what came out of both.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ca_net::record::{Keep, Recorder, Side};
use ca_net::tap::Tap;
use ca_net::{Runtime, UdpIo, UdpOptions, identity};
use ca_proto::addr_list::{AddrList, BadToken, search_destinations};
use ca_proto::config::ClientParams;
use ca_proto::env::{EnvClient, SettingLine};

use crate::addresses::Addresses;
use crate::client::Client;
use crate::error::BuildError;
use crate::refresh::{self, LookUp, Source};

/// The runtime that the caller runs on.
#[cfg(feature = "tokio")]
fn around() -> Result<Arc<dyn Runtime>, BuildError> {
    let runtime = ca_net::TokioRuntime::current();
    Ok(Arc::new(runtime.map_err(|_| BuildError::NoRuntime)?))
}

/// No other runtime than tokio's can be found.
#[cfg(not(feature = "tokio"))]
const fn around() -> Result<Arc<dyn Runtime>, BuildError> {
    Err(BuildError::NoRuntime)
}

/// Time for connecting and for operations unless set otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// Receive buffer asked for on the search socket, in bytes: replies to a burst of searches come
/// faster than a busy program takes them.
const SEARCH_BUFFER: usize = 1 << 20;

/// Configures and makes a [`Client`].
///
/// It starts from the environment, the `EPICS_CA_*` variables, like every EPICS client; setters
/// replace single values. [`without_env`](Self::without_env) starts from the defaults instead.
///
/// # Examples
/// ```
/// use ca_client::Client;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder()
///     .without_env()
///     .auto_addr_list(false)
///     .addr_list("127.0.0.1:23900")
///     .timeout(Duration::from_secs(2))
///     .build()?;
/// assert_eq!(client.effective_config().params().search_addrs.len(), 1);
/// println!("{}", client.effective_config());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct ClientBuilder {
    /// What the environment says.
    env: EnvClient,
    without_env: bool,
    /// For tests: only these servers.
    isolated: Option<Vec<SocketAddrV4>>,
    addr_list: Option<String>,
    search_addrs: Option<Vec<SocketAddrV4>>,
    auto_addr_list: Option<bool>,
    name_servers: Option<Vec<SocketAddrV4>>,
    server_port: Option<u16>,
    repeater_port: Option<u16>,
    own_repeater: Option<bool>,
    connection_timeout: Option<Duration>,
    max_search_period: Option<Duration>,
    max_array_bytes: Option<Option<u32>>,
    multicast_ttl: Option<u8>,
    priority: Option<u8>,
    read_only: Option<bool>,
    timeout: Duration,
    runtime: Option<Arc<dyn Runtime>>,
    record: Option<Keep>,
    addresses: Option<PathBuf>,
    look_up: LookUp,
    names_every: Duration,
    search_budget: Option<u32>,
    user: Option<String>,
    host: Option<String>,
    local: Ipv4Addr,
    tweaks: Vec<Box<dyn FnOnce(ClientParams) -> ClientParams + Send>>,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("env", &self.env)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The order of the setters does not matter; of one that is called twice the last call holds, and
/// [`params`](Self::params) come last. What contradicts is an error of [`build`](Self::build).
impl ClientBuilder {
    /// Starts from the environment of this process.
    pub fn new() -> Self {
        Self::from_env(|name| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned()))
    }

    /// Starts from another environment; `env` gives the value of a variable, `None` if it is not
    /// set.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            env: EnvClient::read(env),
            without_env: false,
            isolated: None,
            addr_list: None,
            search_addrs: None,
            auto_addr_list: None,
            name_servers: None,
            server_port: None,
            repeater_port: None,
            own_repeater: None,
            connection_timeout: None,
            max_search_period: None,
            max_array_bytes: None,
            multicast_ttl: None,
            priority: None,
            read_only: None,
            timeout: DEFAULT_TIMEOUT,
            runtime: None,
            record: None,
            addresses: None,
            look_up: LookUp::default(),
            names_every: refresh::NAMES,
            search_budget: None,
            user: None,
            host: None,
            local: Ipv4Addr::UNSPECIFIED,
            tweaks: Vec::new(),
        }
    }

    /// Ignores what the environment says.
    pub fn without_env(mut self) -> Self {
        self.without_env = true;
        self
    }

    /// For tests: no environment, searches go to these addresses only, nothing is registered with
    /// a repeater unless its [port](Self::repeater_port) is told.
    pub fn isolated(mut self, servers: impl IntoIterator<Item = SocketAddrV4>) -> Self {
        self.isolated = Some(servers.into_iter().collect());
        self
    }

    /// Where searches go, in the syntax of `EPICS_CA_ADDR_LIST`; entries without a port get the
    /// [server port](Self::server_port).
    pub fn addr_list(mut self, list: &str) -> Self {
        self.addr_list = Some(list.to_owned());
        self
    }

    /// Where searches go, as addresses.
    pub fn search_addrs(mut self, servers: impl IntoIterator<Item = SocketAddrV4>) -> Self {
        self.search_addrs = Some(servers.into_iter().collect());
        self
    }

    /// Whether searches also go to all interfaces of this host (`EPICS_CA_AUTO_ADDR_LIST`).
    pub fn auto_addr_list(mut self, auto: bool) -> Self {
        self.auto_addr_list = Some(auto);
        self
    }

    /// Servers to be asked for names over TCP (`EPICS_CA_NAME_SERVERS`).
    pub fn name_servers(mut self, servers: impl IntoIterator<Item = SocketAddrV4>) -> Self {
        self.name_servers = Some(servers.into_iter().collect());
        self
    }

    /// Port of searches (`EPICS_CA_SERVER_PORT`).
    pub fn server_port(mut self, port: u16) -> Self {
        self.server_port = Some(port);
        self
    }

    /// Port of the repeater (`EPICS_CA_REPEATER_PORT`); 0: do not register with one, beacons are
    /// not heard.
    pub fn repeater_port(mut self, port: u16) -> Self {
        self.repeater_port = Some(port);
        self
    }

    /// Whether the client runs a repeater itself when none runs on this host. Default: true.
    ///
    /// The repeater copies the beacons of servers to all clients of a host; without one, restarted
    /// servers are found later. It starts with the first channel, as part of the client's task,
    /// and serves clients of other processes and other libraries too. It ends with this client;
    /// then each client of this library that relied on it starts its own or finds the next one
    /// within 60 s. The reference library never registers again: where its clients run beside
    /// ours, better run `canter repeater` all the time. Programs that run for a moment should say
    /// false, or set the [port](Self::repeater_port) to 0.
    ///
    /// With a [local address](Self::local_address) on loopback the repeater stays there too.
    pub fn own_repeater(mut self, own: bool) -> Self {
        self.own_repeater = Some(own);
        self
    }

    /// Silence on a circuit after which the server is asked whether it is alive
    /// (`EPICS_CA_CONN_TMO`).
    pub fn connection_timeout(mut self, silence: Duration) -> Self {
        self.connection_timeout = Some(silence);
        self
    }

    /// Longest pause between searches for a name (`EPICS_CA_MAX_SEARCH_PERIOD`); at least 60 s.
    pub fn max_search_period(mut self, period: Duration) -> Self {
        self.max_search_period = Some(period);
        self
    }

    /// Largest array in bytes (`EPICS_CA_MAX_ARRAY_BYTES`); `None` for automatic sizes.
    pub fn max_array_bytes(mut self, bytes: Option<u32>) -> Self {
        self.max_array_bytes = Some(bytes);
        self
    }

    /// Hops that multicast searches may make (`EPICS_CA_MCAST_TTL`).
    pub fn multicast_ttl(mut self, hops: u8) -> Self {
        self.multicast_ttl = Some(hops);
        self
    }

    /// User name told to servers; by default the login name of this process.
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// Host name told to servers; by default that of this host.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.host = Some(name.into());
        self
    }

    /// Address of this host that searches and circuits leave from; by default the system chooses.
    pub fn local_address(mut self, address: Ipv4Addr) -> Self {
        self.local = address;
        self
    }

    /// Time for connecting a channel and for each operation unless it says otherwise. Default:
    /// 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Circuit priority of channels, 0 to 99.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Refuses every write before anything is sent, acknowledgements of alarms included, with
    /// [`PutError::ReadOnly`](crate::PutError::ReadOnly). For programs that only watch.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, PutError};
    /// let client = Client::builder().isolated([ioc.udp_addr()]).read_only(true).build()?;
    /// let motor = client.connect("m1").await?;
    /// assert_eq!(motor.get::<f64>().await?, 1.5);
    /// assert!(matches!(motor.put(2.0).await, Err(PutError::ReadOnly(_))));
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = Some(read_only);
        self
    }

    /// Changes parameters of the state machine that have no setter here.
    pub fn params(
        mut self,
        tweak: impl FnOnce(ClientParams) -> ClientParams + Send + 'static,
    ) -> Self {
        self.tweaks.push(Box::new(tweak));
        self
    }

    /// Runs on this runtime instead of the tokio runtime that [`build`](Self::build) is called in (feature
    /// `tokio`; without it every client that is not blocking has to be given one).
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Keeps the addresses of servers in this file from one run of a program to the next
    /// ([`Client::save_addresses`]): a PV that is in it is asked for at the server that had it, without a search.
    /// If that server is gone or has the PV no more, the name is searched, at the latest after
    /// [`ClientParams::hint_timeout`]. A file that is damaged, older than 30 days, or of a client that searches at
    /// other addresses is not used, and nothing is told but in [`Client::metrics`]. It holds 2^20 PVs at most.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
    /// use ca_client::Client;
    /// # let file = std::env::temp_dir().join(format!("canter-addresses-{}", std::process::id()));
    ///
    /// for first in [true, false] {
    ///     let client = Client::builder()
    /// #       .isolated([ioc.udp_addr()])
    ///         .address_cache(&file)
    ///         .build()?;
    ///     client.connect("m1").await?;
    ///     let searches = client.metrics().traffic.searches;
    ///     assert_eq!(searches, if first { 1 } else { 0 });
    ///     client.save_addresses()?;
    /// }
    /// # std::fs::remove_file(file)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn address_cache(mut self, file: impl Into<PathBuf>) -> Self {
        self.addresses = Some(file.into());
        self
    }

    /// Datagrams with searches that the client sends in a second at most, copies to several addresses counted; the
    /// names beyond wait. 0: no limit. Default: [`ClientParams::search_budget`], 20 000.
    pub fn search_budget(mut self, per_second: u32) -> Self {
        self.search_budget = Some(per_second);
        self
    }

    /// How the host names in `EPICS_CA_ADDR_LIST` and `EPICS_CA_NAME_SERVERS` are looked up, in place of asking the
    /// system, and how often. They are looked up when the client is made, and then, in a thread of their own, while
    /// any PV is searched; a host that has another address is asked there. Of several addresses the first is used,
    /// for as long as it is among them. Default: every minute; while a host has no address at all after a second,
    /// two, four, and so on.
    pub fn look_up<I: IntoIterator<Item = Ipv4Addr>>(
        mut self,
        every: Duration,
        look_up: impl Fn(&str) -> I + Send + Sync + 'static,
    ) -> Self {
        self.look_up = LookUp(Arc::new(move |name| look_up(name).into_iter().collect()));
        self.names_every = every.max(Duration::from_millis(1));
        self
    }

    /// Keeps the last frames in memory, for [`Client::recorder`] to write them into a file when something has
    /// happened.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
    /// use ca_client::Client;
    /// use ca_client::record::Keep;
    ///
    /// let client = Client::builder()
    /// #   .isolated([ioc.udp_addr()])
    ///     .record(Keep::default().bytes(1 << 20))
    ///     .build()?;
    /// client.connect("m1").await?;
    /// if let Some(recorder) = client.recorder() {
    ///     let mut lines = Vec::new();
    ///     recorder.recording().write_text(&mut lines)?;
    ///     println!("{}", String::from_utf8_lossy(&lines));
    /// #   assert!(String::from_utf8_lossy(&lines).contains("CREATE_CHAN"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn record(mut self, keep: Keep) -> Self {
        self.record = Some(keep);
        self
    }

    /// Makes the client. Host names in lists are looked up here, which may block.
    ///
    /// # Errors
    /// [`BuildError`]: settings that contradict, outside of a tokio runtime, or without a UDP socket. Values of the
    /// environment that make no sense are warnings, in
    /// [`effective_config`](Client::effective_config) and in the log.
    pub fn build(mut self) -> Result<Client, BuildError> {
        if let Some(what) = self.contradiction() {
            return Err(BuildError::Contradiction { what });
        }
        self.apply();
        let runtime = match self.runtime {
            Some(ref runtime) => runtime.clone(),
            None => around()?,
        };
        let recorder =
            (self.record).map(|keep| Arc::new(Recorder::new(runtime.clone(), Side::Client, keep)));
        let runtime: Arc<dyn Runtime> = match &recorder {
            Some(recorder) => Arc::new(Tap::new(runtime, recorder.clone())),
            None => runtime,
        };
        let local = self.local;
        let addresses = self.addresses.take();
        let config = self.resolve(&*runtime);
        let options = config.search_socket(local);
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let socket = runtime
            .bind_udp(&options)
            .map_err(|error| BuildError::Socket {
                reason: error.to_string(),
            })?;
        let udp = UdpIo::new(socket);
        let addresses =
            addresses.map(|path| Addresses::open(path, config.params(), runtime.wall()));
        if let Some(known) = &addresses
            && let Some(why) = known.unused()
        {
            tracing::info!("the file of addresses is not used: {why}");
        }
        Ok(Client::start(
            runtime,
            config,
            udp,
            local,
            (recorder, addresses),
        ))
    }

    /// Makes a [blocking client](crate::blocking::Client), which brings its own runtime.
    ///
    /// # Errors
    /// [`BuildError`].
    #[cfg(feature = "blocking")]
    pub fn build_blocking(self) -> Result<crate::blocking::Client, BuildError> {
        if self.runtime.is_some() {
            let what = "a runtime and build_blocking, which brings its own";
            return Err(BuildError::Contradiction { what });
        }
        crate::blocking::Client::start(self)
    }

    /// What cannot be meant together.
    fn contradiction(&self) -> Option<&'static str> {
        let isolated = self.isolated.is_some();
        let repeater = self.repeater_port.unwrap_or(if isolated { 0 } else { 1 });
        if self.addr_list.is_some() && self.search_addrs.is_some() {
            return Some("addr_list and search_addrs, which both say where searches go");
        }
        if isolated && (self.addr_list.is_some() || self.search_addrs.is_some()) {
            return Some("isolated and another list of where searches go");
        }
        if isolated && self.auto_addr_list == Some(true) {
            return Some("isolated and auto_addr_list(true)");
        }
        if self.own_repeater == Some(true) && repeater == 0 {
            return Some("own_repeater(true) and a repeater port of 0");
        }
        if self.priority.is_some_and(|priority| priority > 99) {
            return Some("a priority above 99");
        }
        None
    }

    /// Puts what was set over what the environment says.
    fn apply(&mut self) {
        if self.without_env || self.isolated.is_some() {
            self.env = EnvClient::read(|_| None);
        }
        let env = &mut self.env;
        if let Some(servers) = self.isolated.take() {
            env.auto_addr_list.set(false);
            env.repeater_port.set(0);
            env.addr_list.set(addresses(servers));
        }
        if let Some(port) = self.server_port {
            env.server_port.set(port);
        }
        if let Some(list) = &self.addr_list {
            let list = AddrList::parse(list, env.server_port.value);
            env.addr_list.set(list);
        }
        if let Some(servers) = self.search_addrs.take() {
            env.addr_list.set(addresses(servers));
        }
        if let Some(auto) = self.auto_addr_list {
            env.auto_addr_list.set(auto);
        }
        if let Some(servers) = self.name_servers.take() {
            env.name_servers.set(addresses(servers));
        }
        if let Some(port) = self.repeater_port {
            env.repeater_port.set(port);
        }
        if let Some(silence) = self.connection_timeout {
            env.connection_timeout.set(silence);
        }
        if let Some(period) = self.max_search_period {
            env.max_search_period.set(period);
        }
        if let Some(bytes) = self.max_array_bytes {
            env.auto_array_bytes.set(bytes.is_none());
            if let Some(bytes) = bytes {
                env.max_array_bytes.set(bytes);
            }
        }
        if let Some(hops) = self.multicast_ttl {
            env.mcast_ttl.set(hops);
        }
    }

    fn resolve(self, runtime: &dyn Runtime) -> EffectiveConfig {
        let env = self.env;
        let mut warnings: Vec<String> = env.warnings.iter().map(ToString::to_string).collect();
        let mut first = BTreeMap::new();
        let mut ask = |name: &str| {
            let ip = self.look_up.find(name, first.get(name).copied())?;
            first.insert(name.to_owned(), ip);
            Some(ip)
        };
        let (user_list, bad) = env.addr_list.value.resolve(&mut ask);
        bad_tokens(&mut warnings, "EPICS_CA_ADDR_LIST", &bad);
        let (name_servers, bad) = env.name_servers.value.resolve(&mut ask);
        bad_tokens(&mut warnings, "EPICS_CA_NAME_SERVERS", &bad);
        let interfaces = match env.auto_addr_list.value.then(|| runtime.interfaces()) {
            Some(Ok(interfaces)) => interfaces,
            Some(Err(error)) => {
                warnings.push(format!("cannot enumerate the interfaces: {error}"));
                Vec::new()
            }
            None => Vec::new(),
        };
        let found = search_destinations(
            env.auto_addr_list.value,
            &interfaces,
            &user_list,
            env.server_port.value,
        );
        warnings.extend(found.warnings());
        if found.list.is_empty() && name_servers.is_empty() {
            warnings.push("empty PV search address list: no PV will be found".to_owned());
        }
        let mut params = env
            .params(found.list.clone(), name_servers.clone())
            .user(self.user.unwrap_or_else(identity::user_name))
            .host(self.host.unwrap_or_else(identity::host_name))
            .rng_seed(runtime.entropy());
        if let Some(priority) = self.priority {
            params = params.priority(priority);
        }
        if let Some(read_only) = self.read_only {
            params = params.read_only(read_only);
        }
        if let Some(budget) = self.search_budget {
            params = params.search_budget(budget);
        }
        for tweak in self.tweaks {
            params = tweak(params);
        }
        // What a tweak has put there stays as it is.
        let datagrams = (params.search_addrs == found.list).then(|| refresh::Datagrams {
            auto: env.auto_addr_list.value,
            list: env.addr_list.value.clone(),
            port: env.server_port.value,
        });
        let named = (params.name_servers == name_servers).then(|| env.name_servers.value.clone());
        let source = Source {
            datagrams,
            name_servers: named,
            look_up: self.look_up,
            names_every: self.names_every,
            first,
        };
        EffectiveConfig {
            lines: env.lines(),
            params: Arc::new(params),
            timeout: self.timeout,
            own_repeater: self.own_repeater.unwrap_or(true),
            multicast_ttl: env.mcast_ttl.value,
            source,
            warnings,
        }
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self::new()
    }
}

fn addresses(list: impl IntoIterator<Item = SocketAddrV4>) -> AddrList {
    let entry = |address| Ok(ca_proto::addr_list::Entry::Addr(address));
    AddrList(list.into_iter().map(entry).collect())
}

fn bad_tokens(warnings: &mut Vec<String>, variable: &str, bad: &[BadToken]) {
    let text =
        |token: &BadToken| format!("{variable}: {token}, it is left out; {}", token.remedy());
    warnings.extend(bad.iter().map(text));
}

/// The configuration that a client runs with. Prints itself, one setting per line with its
/// origin, then the destinations of searches and the warnings.
#[derive(Clone, Debug)]
pub struct EffectiveConfig {
    lines: Vec<SettingLine>,
    params: Arc<ClientParams>,
    timeout: Duration,
    own_repeater: bool,
    multicast_ttl: u8,
    source: Source,
    warnings: Vec<String>,
}

impl EffectiveConfig {
    /// What the lists of destinations are made of, as they may change.
    pub(crate) const fn source(&self) -> &Source {
        &self.source
    }

    /// The socket that searches leave from.
    pub(crate) fn search_socket(&self, local: Ipv4Addr) -> UdpOptions {
        UdpOptions {
            address: SocketAddrV4::new(local, 0),
            multicast_ttl: self.multicast_ttl.into(),
            receive_buffer: SEARCH_BUFFER,
            ..UdpOptions::default()
        }
    }

    /// The same for a client that lives for a moment and writes nothing.
    pub(crate) fn for_a_look(&self, seed: u64) -> Self {
        let params = ClientParams::clone(&self.params)
            .rng_seed(seed)
            .read_only(true);
        Self {
            params: Arc::new(params),
            own_repeater: false,
            ..self.clone()
        }
    }

    /// The same for a client that asks these addresses by connections, and nobody by datagrams.
    pub(crate) fn by_connections(&self, addresses: Vec<SocketAddrV4>) -> Self {
        let params = ClientParams::clone(&self.params)
            .search_addrs(Vec::new())
            .name_servers(addresses);
        let source = Source {
            datagrams: None,
            name_servers: None,
            ..self.source.clone()
        };
        Self {
            params: Arc::new(params),
            source,
            ..self.clone()
        }
    }

    /// Parameters of the state machine, with all destinations of searches.
    pub fn params(&self) -> &Arc<ClientParams> {
        &self.params
    }

    /// Time for connecting a channel and for each operation unless it says otherwise.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether the client runs a repeater when there is none; never with a repeater port of 0.
    pub fn own_repeater(&self) -> bool {
        self.own_repeater && self.params.repeater_port != 0
    }

    /// The settings, one per variable, with where each comes from.
    pub fn lines(&self) -> &[SettingLine] {
        &self.lines
    }

    /// What cannot be meant in the settings, with what is used and what to write.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl fmt::Display for EffectiveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "searches go to")?;
        for address in &self.params.search_addrs {
            write!(f, " {address}")?;
        }
        for address in &self.params.name_servers {
            write!(f, " tcp:{address}")?;
        }
        writeln!(f)?;
        let repeater = match self.params.repeater_port {
            0 => "none",
            _ if self.own_repeater => "our own if no other runs",
            _ => "only if another runs",
        };
        writeln!(f, "repeater: {repeater}")?;
        match self.params.search_budget {
            0 => writeln!(f, "datagrams of searches: no limit")?,
            budget => writeln!(f, "datagrams of searches: {budget} in a second at most")?,
        }
        writeln!(
            f,
            "user {:?}, host {:?}",
            self.params.user, self.params.host
        )?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
