//! A channel with its policy.

use std::fmt;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use ca_client::{
    Channel, Client, ConnectError, EcaStatus, FromReading, GetError, IntoValue, Monitor,
    MonitorEvent, Overflow, PutError, Pv, Value, ValueError,
};
use futures_util::lock::Mutex;

use super::{Patience, Policy, PolicyError, Source};
use crate::clock;
use crate::face::{Face, Named, Op, Work};

/// An adjusting time-out goes towards so many times what the last answer took.
const MARGIN: u32 = 4;

/// A time-out as it is now.
#[derive(Debug)]
struct Clockwork {
    patience: Patience,
    now: StdMutex<Duration>,
}

impl Clockwork {
    fn new(patience: Patience) -> Self {
        let (Patience::Fixed(first) | Patience::Adjusting { first, .. }) = patience;
        Self {
            patience,
            now: StdMutex::new(first),
        }
    }

    fn get(&self) -> Duration {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn adjust(&self, next: impl FnOnce(Duration) -> Duration) {
        if let Patience::Adjusting { least, most, .. } = self.patience {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = next(*now).clamp(least, most);
        }
    }

    fn timed_out(&self) {
        self.adjust(|now| now.saturating_mul(2));
    }

    fn answered(&self, took: Duration) {
        self.adjust(|now| (now / 2).saturating_add(took.saturating_mul(MARGIN) / 2));
    }
}

/// What the monitor of a channel has brought.
#[derive(Debug)]
struct Cache<T> {
    monitor: Option<Monitor<T>>,
    newest: Result<T, NoValue>,
}

#[derive(Clone, Debug)]
enum NoValue {
    Yet,
    Refused(EcaStatus),
    Unusable(ValueError),
}

impl<T: FromReading> Cache<T> {
    fn take(&mut self, event: MonitorEvent<T>) {
        self.newest = match event {
            MonitorEvent::Update { value, .. } => Ok(value),
            MonitorEvent::Disconnected => Err(NoValue::Yet),
            MonitorEvent::Failed(status) => Err(NoValue::Refused(status)),
            MonitorEvent::Unusable(reason) => Err(NoValue::Unusable(reason)),
            _ => return,
        };
    }

    fn look(&mut self) {
        while let Some(event) = self.monitor.as_mut().and_then(Monitor::try_next) {
            self.take(event);
        }
    }
}

#[derive(Debug)]
struct Inner<T> {
    channel: Channel,
    policy: Policy,
    connect: Clockwork,
    request: Clockwork,
    cache: Mutex<Cache<T>>,
}

/// A channel that is dealt with by a policy, its values of one type:
/// [`Kit::with_policy`](crate::Kit::with_policy).
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ioc = Ioc::builder().pv("ring:current", PvSpec::double(300.0)).serve(NetConfig::new()).await?;
/// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
/// use ca_kit::{Kit, Policy, Source};
///
/// let display = Policy::new().source(Source::CacheOrWait);
/// let current = client.with_policy::<f64>("ring:current", display)?;
/// let milliamperes = current.get().await?; // no request: the monitor has brought it
/// # assert_eq!(milliamperes, 300.0);
/// # Ok(())
/// # }
/// ```
pub struct PolicyChannel<'c, C, T> {
    face: &'c C,
    inner: Arc<Inner<T>>,
}

impl<C, T> fmt::Debug for PolicyChannel<'_, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_struct("PolicyChannel");
        it.field("channel", &self.inner.channel)
            .field("policy", &self.inner.policy)
            .finish()
    }
}

impl<'c, C: Face, T: FromReading + Clone + Send + 'static> PolicyChannel<'c, C, T> {
    pub(crate) fn new<'p>(
        face: &'c C,
        pv: impl Into<Pv<'p>>,
        policy: Policy,
    ) -> Result<Self, PolicyError> {
        policy.check()?;
        let client = face.beneath();
        let opened = Named::new(pv).open(client);
        let channel = opened.map_err(|error| PolicyError::Connect { error, tries: 0 })?;
        let usual = Patience::Fixed(client.effective_config().timeout());
        let monitor = match policy.source {
            Source::Server => None,
            _ => Some(channel.monitor().overflow(Overflow::LatestOnly).start()?),
        };
        Ok(Self {
            face,
            inner: Arc::new(Inner {
                channel,
                connect: Clockwork::new(policy.connect.unwrap_or(usual)),
                request: Clockwork::new(policy.request.unwrap_or(usual)),
                policy,
                cache: Mutex::new(Cache {
                    monitor,
                    newest: Err(NoValue::Yet),
                }),
            }),
        })
    }

    /// The channel.
    pub fn channel(&self) -> &Channel {
        &self.inner.channel
    }

    /// The time-outs as they are now: for a connection and for an answer.
    pub fn patience(&self) -> (Duration, Duration) {
        (self.inner.connect.get(), self.inner.request.get())
    }

    /// Gets the value, from where the policy says.
    ///
    /// # Errors
    /// [`PolicyError`], which says how often it was tried.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn get(&self) -> Op<'c, C, PolicyGet<T>> {
        Op::new(self.face, PolicyGet(self.inner.clone()))
    }

    /// Puts a value with completion.
    ///
    /// # Errors
    /// [`PolicyError`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, the value may or may not be put.
    pub fn put(&self, value: impl IntoValue) -> Op<'c, C, PolicyPut<T>> {
        let value = value.into_value();
        Op::new(self.face, PolicyPut(self.inner.clone(), value))
    }
}

/// A get by a policy.
#[derive(Debug)]
pub struct PolicyGet<T>(Arc<Inner<T>>);

/// A put by a policy.
#[derive(Debug)]
pub struct PolicyPut<T>(Arc<Inner<T>>, Result<Value, ValueError>);

impl<T> Inner<T> {
    /// Waits for the connection, as long as the policy says.
    async fn connected(&self, client: &Client) -> Result<(), ConnectError> {
        let begun = clock::now(client);
        let waited = self.channel.connected().timeout(self.connect.get()).await;
        match &waited {
            Ok(()) => self
                .connect
                .answered(clock::now(client).saturating_duration_since(begun)),
            Err(error) if error.is_timeout() => self.connect.timed_out(),
            Err(_) => {}
        }
        waited
    }
}

impl<T: FromReading + Clone + Send + 'static> Inner<T> {
    async fn get_from_server(&self, client: &Client) -> Result<T, GetError> {
        self.connected(client).await?;
        let begun = clock::now(client);
        let got = self.channel.get().timeout(self.request.get()).await;
        match &got {
            Ok(_) => self
                .request
                .answered(clock::now(client).saturating_duration_since(begun)),
            Err(error) if error.is_timeout() => self.request.timed_out(),
            Err(_) => {}
        }
        got
    }

    async fn get_from_cache(&self, client: &Client) -> Result<T, PolicyError> {
        let deadline = clock::now(client) + self.connect.get() + self.request.get();
        let pv = || self.channel.name();
        let newest = async {
            // Whoever comes second waits for the first one, and finds what that has got.
            let mut cache = self.cache.lock().await;
            loop {
                cache.look();
                let waits = self.policy.source == Source::CacheOrWait;
                match &cache.newest {
                    Err(NoValue::Yet) if waits => {}
                    newest => return newest.clone(),
                }
                let Some(monitor) = &mut cache.monitor else {
                    return Err(NoValue::Yet);
                };
                let Some(event) = monitor.next().await else {
                    return Err(NoValue::Yet);
                };
                cache.take(event);
            }
        };
        match clock::by(client, deadline, newest).await {
            Some(Ok(value)) => Ok(value),
            Some(Err(NoValue::Refused(status))) => Err(PolicyError::Refused { pv: pv(), status }),
            Some(Err(NoValue::Unusable(reason))) => Err(PolicyError::Value { pv: pv(), reason }),
            Some(Err(NoValue::Yet)) | None => Err(PolicyError::NoValue { pv: pv() }),
        }
    }
}

impl<T: FromReading + Clone + Send + 'static> Work for PolicyGet<T> {
    type Output = Result<T, PolicyError>;

    async fn run(self, client: &Client) -> Self::Output {
        let Self(inner) = self;
        if inner.policy.source != Source::Server {
            return inner.get_from_cache(client).await;
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match inner.get_from_server(client).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let again = error.is_timeout() || matches!(error, GetError::Disconnected(_));
            if !again || tries > inner.policy.retries {
                return Err(PolicyError::Get { error, tries });
            }
            clock::sleep(client, inner.policy.pause).await;
        }
    }
}

impl<T: FromReading + Clone + Send + 'static> Work for PolicyPut<T> {
    type Output = Result<(), PolicyError>;

    async fn run(self, client: &Client) -> Self::Output {
        let Self(inner, made) = self;
        let value = made.map_err(|reason| PolicyError::Put {
            error: PutError::Value {
                pv: inner.channel.name(),
                reason,
            },
            tries: 0,
        })?;
        let mut tries = 0;
        loop {
            tries += 1;
            match inner.connected(client).await {
                Ok(()) => break,
                Err(error) if error.is_timeout() && tries <= inner.policy.retries => {
                    clock::sleep(client, inner.policy.pause).await;
                }
                Err(error) => return Err(PolicyError::Connect { error, tries }),
            }
        }
        let begun = clock::now(client);
        let put = inner
            .channel
            .put(value)
            .wait()
            .timeout(inner.request.get())
            .await;
        match put {
            Ok(()) => {
                inner
                    .request
                    .answered(clock::now(client).saturating_duration_since(begun));
                Ok(())
            }
            Err(error) => {
                if error.is_timeout() {
                    inner.request.timed_out();
                }
                Err(PolicyError::Put { error, tries })
            }
        }
    }
}
