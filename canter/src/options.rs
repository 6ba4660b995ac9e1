//! Options that all commands with a client have, and the client they describe.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, ToSocketAddrs};
use std::time::Duration;

use ca_client::{Channel, Client, ClientBuilder, ConnectError};
use ca_proto::addr_list::{AddrList, BadToken};
use ca_proto::env::EnvClient;
use clap::Args;
use tokio::runtime::Runtime;

use crate::console::Console;
use crate::escape;
use crate::exit::{Stop, UsageError};
use crate::record::RecordArgs;

/// Time-out when neither `--timeout` nor `EPICS_CLI_TIMEOUT` says one, as in the reference tools.
const DEFAULT_TIMEOUT: f64 = 1.0;
/// Stands for "for ever" where a duration is needed: 136 years.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

// Where PVs are searched, and how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientArgs {
    /// Time for all PVs together; 0 waits for ever [default: EPICS_CLI_TIMEOUT or 1.0]
    #[arg(short = 'w', long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Option<f64>,
    /// Search at these addresses and no others, `HOST[:PORT] …`, in place of EPICS_CA_ADDR_LIST and
    /// EPICS_CA_AUTO_ADDR_LIST
    #[arg(long, value_name = "LIST", help_heading = "Network")]
    addr_list: Option<String>,
    /// Ask this name server over TCP, in place of EPICS_CA_NAME_SERVERS; repeatable
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Network")]
    name_server: Vec<String>,
    /// Port of servers where an address names none, in place of EPICS_CA_SERVER_PORT
    #[arg(long, value_name = "PORT", help_heading = "Network", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Priority of the circuits, 0 to 99
    #[arg(short = 'p', long, value_name = "N", help_heading = "Network", allow_negative_numbers = true, value_parser = clap::value_parser!(u8).range(0..=99))]
    priority: Option<u8>,
    /// Keep the addresses of servers in this file: PVs that are in it are asked for at the server that had them,
    /// without a search
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    address_cache: Option<std::path::PathBuf>,
    /// Send at most so many datagrams with searches in a second; 0: no limit [default: 20000]
    #[arg(long, value_name = "N", help_heading = "Network")]
    search_budget: Option<u32>,
    /// Print the configuration in use, and where each value comes from
    #[arg(long, help_heading = "Network")]
    verbose: bool,
    #[command(flatten)]
    pub(crate) record: RecordArgs,
}

/// A time-out of so many seconds; 0 stands for ever.
fn time(seconds: f64) -> Duration {
    match seconds == 0.0 {
        true => FOR_EVER,
        false => Duration::try_from_secs_f64(seconds).unwrap_or(FOR_EVER),
    }
}

/// Parses a number of seconds that is not negative.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(v) if (0.0..=FOR_EVER.as_secs_f64()).contains(&v) => Ok(v),
        _ => Err("give a number of seconds such as 0.5".to_owned()),
    }
}

/// Parses an address with its port.
pub(crate) fn endpoint(text: &str) -> Result<SocketAddrV4, String> {
    let remedy = || "give ADDRESS:PORT such as 127.0.0.1:5064".to_owned();
    text.parse().map_err(|_| remedy())
}

impl ClientArgs {
    /// The time for all PVs.
    ///
    /// # Errors
    /// Those of the error stream's predecessor.
    pub(crate) fn timeout(&self, console: &mut Console<'_>) -> Result<Duration, Stop> {
        let seconds = match self.timeout {
            Some(given) => given,
            None => match variable("EPICS_CLI_TIMEOUT") {
                Some(text) => seconds(&text).or_else(|remedy| {
                    console.complain(format_args!(
                        "warning: EPICS_CLI_TIMEOUT is `{}`, {DEFAULT_TIMEOUT} s is used; {remedy}",
                        escape::printable(&text)
                    ))?;
                    Ok::<_, Stop>(DEFAULT_TIMEOUT)
                })?,
                None => DEFAULT_TIMEOUT,
            },
        };
        Ok(time(seconds))
    }

    /// The time of a command that has another default, whatever the environment says of single requests.
    pub(crate) fn timeout_or(&self, default: f64) -> Duration {
        time(self.timeout.unwrap_or(default))
    }

    /// The client; call it inside of a runtime.
    ///
    /// # Errors
    /// Options that make no sense, no socket.
    pub(crate) fn client(
        &self,
        console: &mut Console<'_>,
        tune: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, Stop> {
        warn_of_own(console)?;
        let mut builder = tune(self.builder(console)?);
        if let Some(priority) = self.priority {
            builder = builder.priority(priority);
        }
        if let Some(file) = &self.address_cache {
            builder = builder.address_cache(file);
        }
        if let Some(budget) = self.search_budget {
            builder = builder.search_budget(budget);
        }
        if let Some(keep) = self.record.keep() {
            builder = builder.record(keep);
        }
        let client = builder.build().map_err(|error| {
            UsageError::new(
                error.to_string(),
                "look at the limits of this host, `ulimit -n`",
            )
        })?;
        let config = client.effective_config();
        if self.verbose {
            console.complain(config.to_string().trim_end())?;
        } else {
            for warning in config.warnings() {
                console.complain(format_args!("warning: {warning}"))?;
            }
        }
        Ok(client)
    }

    /// Writes the file of addresses, if there is one. What cannot be written is told, and nothing else fails.
    ///
    /// # Errors
    /// Those of the console.
    pub(crate) fn save_addresses(
        &self,
        client: &Client,
        console: &mut Console<'_>,
    ) -> Result<(), Stop> {
        if let Some(file) = &self.address_cache
            && let Err(error) = client.save_addresses()
        {
            console.complain(format_args!(
                "warning: the addresses cannot be written to {}: {error}",
                file.display()
            ))?;
        }
        Ok(())
    }

    fn builder(&self, console: &mut Console<'_>) -> Result<ClientBuilder, Stop> {
        let mut builder = Client::builder();
        let lists = ["EPICS_CA_ADDR_LIST", "EPICS_CA_NAME_SERVERS"].map(variable);
        // What is wrong with the variable is told by the client.
        let port = self
            .port
            .unwrap_or_else(|| EnvClient::read(variable).server_port.value);
        if self.port.is_some() {
            builder = builder.server_port(port);
            // The entries of the environment have the port of the environment.
            let [addrs, servers] = lists;
            if let Some(list) = addrs.filter(|_| self.addr_list.is_none()) {
                builder = builder.addr_list(&list);
            }
            if let Some(list) = servers {
                let (servers, bad) = AddrList::parse(&list, port).resolve(look_up);
                for bad in bad {
                    console.complain(left_out("EPICS_CA_NAME_SERVERS", &bad))?;
                }
                builder = builder.name_servers(servers);
            }
        }
        if let Some(list) = &self.addr_list {
            builder =
                builder
                    .auto_addr_list(false)
                    .search_addrs(addresses("--addr-list", list, port)?);
        }
        if !self.name_server.is_empty() {
            let list = self.name_server.join(" ");
            builder = builder.name_servers(addresses("--name-server", &list, port)?);
        }
        Ok(builder)
    }
}

/// Whether the environment forbids this user to write: `CANTER_READ_ONLY` is set, and not to `NO`
/// or `0`.
pub(crate) fn is_read_only() -> bool {
    variable("CANTER_READ_ONLY").is_some_and(|text| {
        let text = text.trim();
        !text.is_empty() && text != "0" && !text.eq_ignore_ascii_case("no")
    })
}

/// The value of an environment variable.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// A warning of an entry of a list that is not used.
pub(crate) fn left_out(variable: &str, bad: &BadToken) -> String {
    format!(
        "warning: {variable}: {bad}, it is left out; {}",
        bad.remedy()
    )
}

/// Warns of values of our own variables that say neither yes nor no.
fn warn_of_own(console: &mut Console<'_>) -> Result<(), Stop> {
    const WORDS: [&str; 7] = ["", "0", "1", "no", "yes", "true", "on"];
    let name = "CANTER_READ_ONLY";
    let text = variable(name).unwrap_or_default();
    if !WORDS
        .iter()
        .any(|word| text.trim().eq_ignore_ascii_case(word))
    {
        console.complain(format_args!(
            "warning: {name} is `{}`, which is neither YES nor NO; YES is used: nothing is written; write YES \
             or NO",
            escape::printable(&text)
        ))?;
    }
    Ok(())
}

fn addresses(option: &str, list: &str, port: u16) -> Result<Vec<SocketAddrV4>, UsageError> {
    let (addresses, bad) = AddrList::parse(list, port).resolve(look_up);
    match bad.first() {
        Some(bad) => Err(UsageError::new(format!("{option}: {bad}"), bad.remedy())),
        None if addresses.is_empty() => Err(UsageError::new(
            format!("{option} is empty"),
            "give HOST or HOST:PORT, several separated by blanks",
        )),
        None => Ok(addresses),
    }
}

/// The address of a host.
pub(crate) fn look_up(name: &str) -> Option<Ipv4Addr> {
    let mut found = (name, 0).to_socket_addrs().ok()?;
    found.find_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    })
}

/// Runs a future on this thread.
///
/// # Errors
/// Those of the future; without a runtime there is an error too.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    event_loop()?.block_on(work)
}

/// As [`block_on`], for a command that ends afterwards: its event loop is not taken apart, because
/// the system does that at once for the whole process.
///
/// # Errors
/// As [`block_on`].
pub(crate) fn block_on_last<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let event_loop = event_loop()?;
    let result = event_loop.block_on(work);
    std::mem::forget(event_loop);
    result
}

fn event_loop() -> Result<Runtime, UsageError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(|error| {
        UsageError::new(
            format!("cannot start the event loop: {error}"),
            "look at the limits of this host, `ulimit -n`",
        )
    })
}

/// Leaves the circuits of a command that ends to the system, when servers owe no answer any more:
/// it ends the streams in order, and nobody waits for the servers to do the same. Else the client is closed
/// here, because the system resets a connection with bytes that nobody has read.
pub(crate) async fn leave(client: Client, channels: Vec<Result<Channel, ConnectError>>) {
    if client.stats().requests > 0 {
        client.close().await;
    }
    // Each of them would be closed by itself.
    std::mem::forget((client, channels));
}
