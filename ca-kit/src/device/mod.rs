//! Devices: PVs that belong together by the beginning of their names.

mod declared;
mod macros;

use std::marker::PhantomData;
use std::time::Duration;

use ca_client::{
    Channel, Client, ConnectError, FromReading, GetError, IntoValue, PutError, Value, ValueError,
};
use thiserror::Error;

pub use self::declared::Attribute;
pub use self::macros::expand;
use crate::clock;
use crate::face::{Face, Op, Work};
use crate::group::{Group, GroupError, Member, OpenGroup};
use crate::mistakes::did_you_mean;

/// Why a device cannot do what is asked of it.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// It has no such attribute; nothing was done.
    #[error("device \"{device}\" has no attribute \"{attribute}\"; {remedy}")]
    NoSuchAttribute {
        /// The beginning of its names.
        device: String,
        /// The attribute that is asked for.
        attribute: String,
        /// What to do about it.
        remedy: String,
    },
    /// Its attributes cannot be what they are told to be.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A macro in a name has no value.
    #[error("\"{name}\" has the macro \"{macro_name}\", for which there is no value; give it one")]
    NoMacro {
        /// The name with macros.
        name: String,
        /// The macro.
        macro_name: String,
    },
    /// A macro in a name has no end, or is nested too deeply.
    #[error("\"{name}\" has a macro that does not end, or that names itself; write $(NAME)")]
    BadMacro {
        /// The name with macros.
        name: String,
    },
    /// A channel cannot be opened.
    #[error(transparent)]
    Open(#[from] ConnectError),
    /// A get failed.
    #[error(transparent)]
    Get(#[from] GetError),
    /// A put failed.
    #[error(transparent)]
    Put(#[from] PutError),
}

/// A device: a prefix, and attributes that are PVs with it: [`Kit::device`](crate::Kit::device). It is a group
/// whose members are called as the attributes, so what groups can do, devices can.
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ioc = Ioc::builder().pv("m1.VAL", PvSpec::double(1.5)).pv("m1.RBV", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
/// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
/// use ca_kit::Kit;
///
/// let motor = client.device("m1.", ["VAL", "RBV"])?;
/// motor.put("VAL", 2.5).wait().await?;
/// let position: f64 = motor.get("RBV").await?;
/// let all = motor.group().snapshot().await;
/// let error = motor.get::<f64>("RVB").await.unwrap_err();
/// println!("{error}"); // device "m1." has no attribute "RVB"; did you mean "RBV"?
/// # let _ = (position, all);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Device<'c, C> {
    prefix: String,
    group: OpenGroup<'c, C>,
}

impl<'c, C: Face> Device<'c, C> {
    pub(crate) fn new(
        face: &'c C,
        prefix: &str,
        attributes: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, DeviceError> {
        let mut group = Group::new(prefix);
        for attribute in attributes {
            let attribute = attribute.as_ref();
            group.add(Member::new(format!("{prefix}{attribute}")).named(attribute))?;
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            group: OpenGroup::new(face, group)?,
        })
    }

    /// The beginning of its names.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Its attributes as a group: all at once, their status, monitors, snapshots.
    pub const fn group(&self) -> &OpenGroup<'c, C> {
        &self.group
    }

    /// The channel of an attribute.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchAttribute`].
    pub fn channel(&self, attribute: &str) -> Result<&Channel, DeviceError> {
        let group = self.group.group();
        let channel = group
            .position(attribute)
            .and_then(|at| self.group.channels.get(at));
        channel.ok_or_else(|| {
            let known = group.members().iter().map(|member| member.name.as_str());
            DeviceError::NoSuchAttribute {
                device: self.prefix.clone(),
                attribute: attribute.to_owned(),
                remedy: did_you_mean(attribute, known)
                    .unwrap_or_else(|| "see its attributes".to_owned()),
            }
        })
    }

    /// Gets an attribute.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Cancel safety
    /// Safe.
    pub fn get<T: FromReading + Send>(&self, attribute: &str) -> Op<'c, C, DeviceGet<T>> {
        let channel = self.channel(attribute).cloned();
        Op::new(self.group.face, DeviceGet::new(channel))
    }

    /// Puts a value to an attribute, and learns whether the server takes it.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, the value may or may not be put.
    pub fn put(&self, attribute: &str, value: impl IntoValue) -> Op<'c, C, DevicePut> {
        let channel = self.channel(attribute).cloned();
        Op::new(self.group.face, DevicePut::new(channel, value))
    }
}

/// A get of an attribute.
#[derive(Debug)]
pub struct DeviceGet<T> {
    channel: Result<Channel, DeviceError>,
    timeout: Option<Duration>,
    wanted: PhantomData<fn() -> T>,
}

impl<T> DeviceGet<T> {
    pub(crate) const fn new(channel: Result<Channel, DeviceError>) -> Self {
        Self {
            channel,
            timeout: None,
            wanted: PhantomData,
        }
    }
}

/// Options of a get of an attribute.
impl<C: Face, T: FromReading + Send> Op<'_, C, DeviceGet<T>> {
    /// Time for connection and answer. Default: that of the client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }
}

impl<T: FromReading + Send> Work for DeviceGet<T> {
    type Output = Result<T, DeviceError>;

    async fn run(self, client: &Client) -> Self::Output {
        let timeout = clock::patience(client, self.timeout);
        Ok(self.channel?.get().timeout(timeout).await?)
    }
}

/// A put to an attribute.
#[derive(Debug)]
pub struct DevicePut {
    channel: Result<Channel, DeviceError>,
    value: Result<Value, ValueError>,
    wait: bool,
    timeout: Option<Duration>,
}

impl DevicePut {
    pub(crate) fn new(channel: Result<Channel, DeviceError>, value: impl IntoValue) -> Self {
        Self {
            channel,
            value: value.into_value(),
            wait: false,
            timeout: None,
        }
    }
}

/// Options of a put to an attribute.
impl<C: Face> Op<'_, C, DevicePut> {
    /// Waits until the server has completed what follows from the value.
    pub fn wait(self) -> Self {
        self.set(|it| it.wait = true)
    }

    /// Time for the connection and for what is waited for. Default: that of the client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }
}

impl Work for DevicePut {
    type Output = Result<(), DeviceError>;

    async fn run(self, client: &Client) -> Self::Output {
        let timeout = clock::patience(client, self.timeout);
        let channel = self.channel?;
        let value = self.value.map_err(|reason| PutError::Value {
            pv: channel.name(),
            reason,
        })?;
        let put = channel.put(value).timeout(timeout);
        match self.wait {
            true => put.wait().await?,
            false => put.check().await?,
        }
        Ok(())
    }
}
