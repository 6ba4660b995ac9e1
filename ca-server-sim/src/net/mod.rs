//! The IOC on sockets: one task for UDP and timers, one that accepts, one for each circuit.

mod accept;
mod beats;
mod bind;
mod circuit_task;
mod config;
mod model;
mod model_state;
mod shared;
mod snapshots;
mod sync;
mod turns;
mod udp;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::dbr::{Snapshot, Value};
use thiserror::Error;

pub use beats::{Beaten, Beats};
pub use ca_net::{Runtime, TokioRuntime};
pub use config::NetConfig;
pub use model::{MAX_MODEL_STATE, Model, ModelError, ModelFault, ModelPvs, ModelRun, Vectors};

use crate::builder::IocBuilder;
use crate::db::PvHandle;
use crate::error::{BuildError, PostError};
use crate::ioc::Ioc;
use crate::program::PvRef;
use crate::state::{NotFrozen, ResetError, Step};
use bind::Sockets;
use shared::Shared;

/// Why an IOC cannot serve.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The description of the IOC is wrong.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There is no tokio runtime around the caller.
    #[error("there is no tokio runtime here; call this inside of one")]
    NoRuntime,
    /// No interface to serve on.
    #[error("the list of interfaces is empty; name at least one, such as 127.0.0.1")]
    NoInterface,
    /// A socket cannot be opened.
    #[error("cannot open {what} on {address}: {reason}; choose another address or port")]
    Socket {
        /// `TCP` or `UDP`.
        what: &'static str,
        /// The address.
        address: SocketAddrV4,
        /// What the system says.
        reason: String,
        /// What the system says, to match on.
        kind: io::ErrorKind,
    },
}

impl IocBuilder {
    /// Builds the IOC and serves it on the tokio runtime that the caller runs on.
    ///
    /// # Errors
    /// [`ServeError`]: a wrong description, or addresses that cannot be used.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Ioc, PvSpec, net::NetConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ioc = Ioc::builder()
    ///     .pv("sim:gap", PvSpec::double(1.5).units("mm"))
    ///     .serve(NetConfig::new()) // on loopback, ports chosen by the system
    ///     .await?;
    /// println!("{}", ioc.env_text()); // paste it where the clients run
    /// ioc.post("sim:gap", 2.5)?;
    /// ioc.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn serve(self, config: NetConfig) -> Result<SimIoc, ServeError> {
        let runtime = TokioRuntime::current().map_err(|_| ServeError::NoRuntime)?;
        self.serve_on(Arc::new(runtime), config).await
    }

    /// Like [`serve`](Self::serve), on any runtime.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn serve_on(
        self,
        runtime: Arc<dyn Runtime>,
        config: NetConfig,
    ) -> Result<SimIoc, ServeError> {
        SimIoc::start_on(runtime, self.build()?, config)
    }
}

impl Ioc {
    /// Serves the IOC on the tokio runtime that the caller runs on.
    ///
    /// # Errors
    /// [`ServeError`]: addresses that cannot be used.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Ioc, NetConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ioc = Ioc::from_db("record(ao, \"gap\") { field(VAL, 1.5) }")?;
    /// let ioc = ioc.serve(NetConfig::new()).await?; // on loopback, ports chosen by the system
    /// assert_eq!(ioc.read("gap")?.value, 1.5.into());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn serve(self, config: NetConfig) -> Result<SimIoc, ServeError> {
        let runtime = TokioRuntime::current().map_err(|_| ServeError::NoRuntime)?;
        SimIoc::start_on(Arc::new(runtime), self, config)
    }
}

/// An IOC that serves on sockets. Clones reach the same one, from any thread; dropping the last one stops it.
///
/// # Examples
/// ```
/// use ca_server_sim::{Ioc, NetConfig, PvSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = Ioc::builder().pv("x", PvSpec::long(1));
/// let ioc = builder.serve(NetConfig::new()).await?;
/// println!("searches to {}, circuits to {}", ioc.udp_addr(), ioc.addr());
///
/// let same = ioc.clone();
/// let x = same.pv("x").unwrap();
/// std::thread::spawn(move || same.post(x, 2)).join().unwrap()?;
/// assert_eq!(ioc.with(|ioc, _now| ioc.number("x"))?, 2.0);
///
/// ioc.restart().await?; // clients lose their connection and come back
/// assert!(ioc.is_running());
/// assert_eq!(ioc.read("x")?.value, 2.into());
/// ioc.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SimIoc(Arc<Served>);

#[derive(Debug)]
struct Served {
    shared: Arc<Shared>,
    config: NetConfig,
    bound: Bound,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.shared.halt());
    }
}

/// Where an IOC serves.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// One for each interface, all on the same port.
    pub tcp: Vec<SocketAddrV4>,
    pub udp_port: u16,
}

impl SimIoc {
    /// Serves an IOC on a runtime.
    ///
    /// # Errors
    /// [`ServeError`] for addresses that cannot be used.
    pub fn start_on(
        runtime: Arc<dyn Runtime>,
        ioc: Ioc,
        config: NetConfig,
    ) -> Result<Self, ServeError> {
        let sockets = Sockets::bind(&*runtime, &config)?;
        let bound = sockets.bound.clone();
        let shared = Shared::new(runtime, ioc);
        shared.launch(sockets, &config);
        Ok(Self(Arc::new(Served {
            shared,
            config,
            bound,
        })))
    }

    /// The address of the (first) TCP socket.
    pub fn addr(&self) -> SocketAddrV4 {
        self.0.bound.tcp[0]
    }

    /// The port on which searches are answered.
    pub fn udp_port(&self) -> u16 {
        self.0.bound.udp_port
    }

    /// Where searches are answered: the first interface (127.0.0.1 for 0.0.0.0) and
    /// [`udp_port`](Self::udp_port). This is what belongs into a client's address list.
    pub fn udp_addr(&self) -> SocketAddrV4 {
        let interface = NetConfig::reachable(*self.0.bound.tcp[0].ip());
        SocketAddrV4::new(interface, self.0.bound.udp_port)
    }

    /// The environment variables with which a client finds this IOC, and only this one.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        self.0.config.env(&self.0.bound)
    }

    /// [`env`](Self::env) as lines to paste into a shell.
    pub fn env_text(&self) -> String {
        let line = |(name, value)| format!("export {name}={value}\n");
        self.env().into_iter().map(line).collect()
    }

    /// Sets the value of a PV or field, see [`Ioc::post`].
    ///
    /// # Errors
    /// As [`Ioc::post`].
    pub fn post<'a>(
        &self,
        pv: impl Into<PvRef<'a>>,
        value: impl Into<Value>,
    ) -> Result<(), PostError> {
        let (pv, value) = (pv.into(), value.into());
        self.with(|ioc, now| ioc.post(now, pv, value))
    }

    /// The state of a PV or field, see [`Ioc::read`].
    ///
    /// # Errors
    /// As [`Ioc::read`].
    pub fn read<'a>(&self, pv: impl Into<PvRef<'a>>) -> Result<Snapshot, PostError> {
        let pv = pv.into();
        self.with(|ioc, _| ioc.read(pv))
    }

    /// The handle of a PV, to reach it without its name.
    pub fn pv(&self, name: &str) -> Option<PvHandle> {
        self.with(|ioc, _| ioc.handle(name))
    }

    /// Does anything with the IOC at the current time: adds PVs, changes rights, raises alarms. The
    /// IOC is locked meanwhile, so `work` must be short and must not use this object or a clone of it.
    pub fn with<R>(&self, work: impl FnOnce(&mut Ioc, Instant) -> R) -> R {
        self.0.shared.with(work)
    }

    /// Waits until links of records to PVs of other IOCs want something of a client, once a driver is
    /// [attached](Ioc::attach_remote), and gives all of it. One task at a time can wait.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn remote_requests(&self) -> Vec<crate::process::RemoteRequest> {
        poll_fn(|cx| {
            let mut requests = Vec::new();
            self.0.shared.poll_remote(cx.waker(), &mut requests);
            match requests.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(requests),
            }
        })
        .await
    }

    /// Reads files of records anew while clients are connected, see [`Ioc::reload_records`]. The IOC is locked for some
    /// hundred records at a time.
    ///
    /// # Errors
    /// As [`Ioc::reload_records`]; nothing is changed then.
    pub fn reload_records(
        &self,
        mut reload: crate::Reload,
    ) -> Result<crate::RecordChanges, BuildError> {
        let slices = self.0.shared.slices();
        while !slices.with(|ioc, now| ioc.reload_step(now, &mut reload))? {}
        Ok(reload.changes())
    }

    /// To work with the IOC a slice at a time, between which those come that wait for it.
    fn slices(&self) -> shared::Slices<'_> {
        self.0.shared.slices()
    }

    /// Lets time stand still for the database, see [`Ioc::freeze`].
    pub fn freeze(&self) -> bool {
        self.with(Ioc::freeze)
    }

    /// Lets it go on, see [`Ioc::thaw`].
    pub fn thaw(&self) -> bool {
        self.with(Ioc::thaw)
    }

    /// Whether time stands still.
    pub fn is_frozen(&self) -> bool {
        self.with(|ioc, _| ioc.is_frozen())
    }

    /// Goes a step of a time that stands still, to its end, see [`Ioc::step`]. The IOC is locked for a turn at a time; a
    /// [`thaw`](Self::thaw) from elsewhere ends a step that is long.
    ///
    /// # Errors
    /// [`NotFrozen`]
    pub fn step(&self, step: Step) -> Result<Option<Duration>, NotFrozen> {
        let went = self.with(|ioc, now| ioc.step(now, step))?;
        while self.step_on() {}
        Ok(went)
    }

    /// As [`step`](Self::step), for tasks: others have their turn in between.
    ///
    /// # Errors
    /// [`NotFrozen`]
    ///
    /// # Cancel safety
    /// A step that was begun goes on to its end by itself.
    pub async fn step_async(&self, step: Step) -> Result<Option<Duration>, NotFrozen> {
        let went = self.with(|ioc, now| ioc.step(now, step))?;
        poll_fn(|cx| {
            if !self.step_on() {
                return Poll::Ready(());
            }
            self.0.shared.runtime().yield_now(cx);
            Poll::Pending
        })
        .await;
        Ok(went)
    }

    /// Does a turn of a step; whether there is more.
    fn step_on(&self) -> bool {
        self.with(|ioc, now| {
            let goes = ioc.is_stepping(now);
            if goes {
                ioc.handle_timeout(now);
            }
            goes
        })
    }

    /// True while it serves.
    pub fn is_running(&self) -> bool {
        self.0.shared.is_running()
    }

    /// Ends all circuits and closes all sockets, as when an IOC is killed: clients see their
    /// connections end. When it returns the ports are free. The values of the PVs stay.
    ///
    /// # Cancel safety
    /// The IOC stops at the first poll; a dropped future only does not wait for it.
    pub async fn stop(&self) {
        for task in self.0.shared.halt() {
            task.await;
        }
        // What very many channels have left.
        poll_fn(|cx| {
            if !self.0.shared.clear() {
                return Poll::Ready(());
            }
            self.0.shared.runtime().yield_now(cx);
            Poll::Pending
        })
        .await;
    }

    /// Serves again after [`stop`](Self::stop), on the same ports; does nothing while it serves.
    ///
    /// # Errors
    /// [`ServeError::Socket`] if somebody else has taken a port meanwhile.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn start(&self) -> Result<(), ServeError> {
        if self.is_running() {
            return Ok(());
        }
        let config = self.0.config.clone().tcp_port(self.addr().port());
        // Asked before the port is fixed: a port that the system chose gets no beacons.
        let config = config.repeater(self.0.config.repeater_port());
        let config = config.udp_port(self.0.bound.udp_port).exact(true);
        let sockets = Sockets::bind(self.0.shared.runtime(), &config)?;
        self.0.shared.launch(sockets, &config);
        Ok(())
    }

    /// As an IOC reboots: [`stop`](Self::stop), all values as they were loaded ([`Ioc::reset`]), [`start`](Self::start).
    /// Values of one that does not keep what it was loaded with stay: why, is the answer.
    ///
    /// # Errors
    /// As [`start`](Self::start); the IOC is stopped then.
    ///
    /// # Cancel safety
    /// A dropped future leaves the IOC either stopped or serving.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Ioc, NetConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ioc = Ioc::from_db("record(ao, \"gap\") { field(VAL, 1.5) field(PINI, YES) }")?;
    /// let ioc = ioc.serve(NetConfig::new()).await?;
    /// ioc.post("gap", 7.0)?;
    /// assert_eq!(ioc.reboot().await?, Ok(())); // clients lose their connection, and find what was loaded
    /// assert_eq!(ioc.read("gap")?.value, 1.5.into());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reboot(&self) -> Result<Result<(), ResetError>, ServeError> {
        self.stop().await;
        let reset = self.with(Ioc::reset);
        self.start().await.map(|()| reset)
    }

    /// [`stop`](Self::stop), then [`start`](Self::start): values stay.
    ///
    /// # Errors
    /// As [`start`](Self::start); the IOC is stopped then.
    ///
    /// # Cancel safety
    /// A dropped future leaves the IOC either stopped or serving.
    pub async fn restart(&self) -> Result<(), ServeError> {
        self.stop().await;
        self.start().await
    }
}
