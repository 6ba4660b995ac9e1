//! Devices that are declared: a struct whose fields are PVs with their types.

use std::fmt;
use std::marker::PhantomData;

use ca_client::{Channel, FromReading, IntoValue};

use super::{DeviceError, DeviceGet, DevicePut, expand};
use crate::face::{Face, Op};

/// An attribute of a declared device: a PV whose values have a type.
pub struct Attribute<'c, C, T> {
    face: &'c C,
    channel: Channel,
    wanted: PhantomData<fn() -> T>,
}

impl<C, T> fmt::Debug for Attribute<'_, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attribute").field(&self.channel).finish()
    }
}

impl<'c, C: Face, T: FromReading + IntoValue + Send> Attribute<'c, C, T> {
    /// Opens the channel of a name with macros, as [`device!`](crate::device) does.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn open(face: &'c C, name: &str, macros: &[(&str, &str)]) -> Result<Self, DeviceError> {
        let channel = face.beneath().open(expand(name, macros)?)?;
        Ok(Self {
            face,
            channel,
            wanted: PhantomData,
        })
    }

    /// Its channel, for monitors and what else channels can do.
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Gets its value.
    ///
    /// # Errors
    /// [`DeviceError::Get`].
    ///
    /// # Cancel safety
    /// Safe.
    pub fn get(&self) -> Op<'c, C, DeviceGet<T>> {
        Op::new(self.face, DeviceGet::new(Ok(self.channel.clone())))
    }

    /// Puts a value, and learns whether the server takes it.
    ///
    /// # Errors
    /// [`DeviceError::Put`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, the value may or may not be put.
    pub fn put(&self, value: T) -> Op<'c, C, DevicePut> {
        Op::new(self.face, DevicePut::new(Ok(self.channel.clone()), value))
    }
}

/// Declares a device: a struct whose fields are PVs with their types, by names with
/// [macros](crate::expand). It is opened on a client of either face.
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// ca_kit::device! {
///     /// An axis.
///     pub struct Axis {
///         /// Where it is to go.
///         target: f64 = "$(P)$(M).VAL",
///         /// Where it is.
///         position: f64 = "$(P)$(M).RBV",
///         name: String = "$(P)$(M).DESC",
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut ioc = Ioc::builder();
/// # for pv in ["x:m1.VAL", "x:m1.RBV", "x:m1.DESC"] { ioc = ioc.pv(pv, PvSpec::double(1.5)); }
/// # let ioc = ioc.serve(NetConfig::new()).await?;
/// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
/// let axis = Axis::open(&client, &[("P", "x:"), ("M", "m1")])?;
/// let position: f64 = axis.position.get().await?;
/// axis.target.put(position + 1.0).wait().await?;
/// # assert_eq!(axis.target.get().await?, 2.5);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! device {
    (
        $(#[$meta:meta])*
        $vis:vis struct $device:ident {
            $( $(#[$about:meta])* $field:ident : $ty:ty = $name:literal ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $device<'c, C> {
            $( $(#[$about])* pub $field: $crate::Attribute<'c, C, $ty>, )*
        }

        impl<'c, C: $crate::Face> $device<'c, C> {
            /// Opens the channels and returns at once; they connect in the background.
            ///
            /// # Errors
            /// A macro without a value, a name that is none, or a client that was closed.
            $vis fn open(
                client: &'c C,
                macros: &[(&str, &str)],
            ) -> ::core::result::Result<Self, $crate::DeviceError> {
                ::core::result::Result::Ok(Self {
                    $( $field: $crate::Attribute::open(client, $name, macros)?, )*
                })
            }
        }
    };
}
