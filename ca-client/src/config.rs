//! How a client is configured: the environment, setters, and what came out of both.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use ca_net::{Runtime, TokioRuntime, UdpIo, UdpOptions, identity};
use ca_proto::addr_list::{AddrList, BadToken, search_destinations};
use ca_proto::config::ClientParams;
use ca_proto::env::{EnvClient, SettingLine};

use crate::client::Client;
use crate::error::BuildError;

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
    env: EnvClient,
    timeout: Duration,
    runtime: Option<Arc<dyn Runtime>>,
    user: Option<String>,
    host: Option<String>,
    local: Ipv4Addr,
    own_repeater: bool,
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
            timeout: DEFAULT_TIMEOUT,
            runtime: None,
            user: None,
            host: None,
            local: Ipv4Addr::UNSPECIFIED,
            own_repeater: true,
            tweaks: Vec::new(),
        }
    }

    /// Forgets what the environment says, and what was set so far: call it first.
    pub fn without_env(self) -> Self {
        let mut fresh = Self::from_env(|_| None);
        fresh.runtime = self.runtime;
        fresh
    }

    /// For tests: no environment, searches go to these addresses only, nothing is registered with
    /// a repeater.
    pub fn isolated(self, servers: impl IntoIterator<Item = SocketAddrV4>) -> Self {
        self.without_env()
            .auto_addr_list(false)
            .repeater_port(0)
            .search_addrs(servers)
    }

    /// Where searches go, in the syntax of `EPICS_CA_ADDR_LIST`; entries without a port get the
    /// [server port](Self::server_port) set before.
    pub fn addr_list(mut self, list: &str) -> Self {
        let list = AddrList::parse(list, self.env.server_port.value);
        self.env.addr_list.set(list);
        self
    }

    /// Where searches go, as addresses.
    pub fn search_addrs(mut self, servers: impl IntoIterator<Item = SocketAddrV4>) -> Self {
        self.env.addr_list.set(addresses(servers));
        self
    }

    /// Whether searches also go to all interfaces of this host (`EPICS_CA_AUTO_ADDR_LIST`).
    pub fn auto_addr_list(mut self, auto: bool) -> Self {
        self.env.auto_addr_list.set(auto);
        self
    }

    /// Servers to be asked for names over TCP (`EPICS_CA_NAME_SERVERS`).
    pub fn name_servers(mut self, servers: impl IntoIterator<Item = SocketAddrV4>) -> Self {
        self.env.name_servers.set(addresses(servers));
        self
    }

    /// Port of searches (`EPICS_CA_SERVER_PORT`).
    pub fn server_port(mut self, port: u16) -> Self {
        self.env.server_port.set(port);
        self
    }

    /// Port of the repeater (`EPICS_CA_REPEATER_PORT`); 0: do not register with one, beacons are
    /// not heard.
    pub fn repeater_port(mut self, port: u16) -> Self {
        self.env.repeater_port.set(port);
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
        self.own_repeater = own;
        self
    }

    /// Silence on a circuit after which the server is asked whether it is alive
    /// (`EPICS_CA_CONN_TMO`).
    pub fn connection_timeout(mut self, silence: Duration) -> Self {
        self.env.connection_timeout.set(silence);
        self
    }

    /// Longest pause between searches for a name (`EPICS_CA_MAX_SEARCH_PERIOD`); at least 60 s.
    pub fn max_search_period(mut self, period: Duration) -> Self {
        self.env.max_search_period.set(period);
        self
    }

    /// Largest array in bytes (`EPICS_CA_MAX_ARRAY_BYTES`); `None` for automatic sizes.
    pub fn max_array_bytes(mut self, bytes: Option<u32>) -> Self {
        self.env.auto_array_bytes.set(bytes.is_none());
        if let Some(bytes) = bytes {
            self.env.max_array_bytes.set(bytes);
        }
        self
    }

    /// Hops that multicast searches may make (`EPICS_CA_MCAST_TTL`).
    pub fn multicast_ttl(mut self, hops: u8) -> Self {
        self.env.mcast_ttl.set(hops);
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
    pub fn priority(self, priority: u8) -> Self {
        self.params(move |params| params.priority(priority))
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
    pub fn read_only(self, read_only: bool) -> Self {
        self.params(move |params| params.read_only(read_only))
    }

    /// Changes parameters of the state machine that have no setter here.
    pub fn params(
        mut self,
        tweak: impl FnOnce(ClientParams) -> ClientParams + Send + 'static,
    ) -> Self {
        self.tweaks.push(Box::new(tweak));
        self
    }

    /// Runs on this runtime instead of the tokio runtime that [`build`](Self::build) is called in.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Makes the client. Host names in lists are looked up here, which may block.
    ///
    /// # Errors
    /// [`BuildError`]: outside of a tokio runtime, or without a UDP socket. Values of the
    /// environment that make no sense are warnings, in
    /// [`effective_config`](Client::effective_config) and in the log.
    pub fn build(self) -> Result<Client, BuildError> {
        let runtime = match self.runtime {
            Some(ref runtime) => runtime.clone(),
            None => Arc::new(TokioRuntime::current().map_err(|_| BuildError::NoRuntime)?),
        };
        let options = UdpOptions {
            address: SocketAddrV4::new(self.local, 0),
            multicast_ttl: self.env.mcast_ttl.value.into(),
            receive_buffer: SEARCH_BUFFER,
            ..UdpOptions::default()
        };
        let local = self.local;
        let config = self.resolve(&*runtime);
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let socket = runtime
            .bind_udp(&options)
            .map_err(|error| BuildError::Socket {
                reason: error.to_string(),
            })?;
        Ok(Client::start(runtime, config, UdpIo::new(socket), local))
    }

    /// Makes a [blocking client](crate::blocking::Client), which brings its own runtime.
    ///
    /// # Errors
    /// [`BuildError`].
    #[cfg(feature = "blocking")]
    pub fn build_blocking(self) -> Result<crate::blocking::Client, BuildError> {
        crate::blocking::Client::start(self)
    }

    fn resolve(self, runtime: &dyn Runtime) -> EffectiveConfig {
        let env = self.env;
        let mut warnings: Vec<String> = env.warnings.iter().map(ToString::to_string).collect();
        let (user_list, bad) = env.addr_list.value.resolve(look_up);
        bad_tokens(&mut warnings, "EPICS_CA_ADDR_LIST", &bad);
        let (name_servers, bad) = env.name_servers.value.resolve(look_up);
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
            .params(found.list, name_servers)
            .user(self.user.unwrap_or_else(identity::user_name))
            .host(self.host.unwrap_or_else(identity::host_name))
            .rng_seed(runtime.entropy());
        for tweak in self.tweaks {
            params = tweak(params);
        }
        EffectiveConfig {
            lines: env.lines(),
            params: Arc::new(params),
            timeout: self.timeout,
            own_repeater: self.own_repeater,
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

fn look_up(name: &str) -> Option<Ipv4Addr> {
    let mut found = (name, 0).to_socket_addrs().ok()?;
    found.find_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    })
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
    warnings: Vec<String>,
}

impl EffectiveConfig {
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
