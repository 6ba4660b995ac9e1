//! What a client runs on, for those who bring a [`Runtime`] of their own
//! ([`ClientBuilder::runtime`](crate::ClientBuilder::runtime)).

#[cfg(feature = "blocking")]
pub use ca_net::PollRuntime;
#[cfg(feature = "tokio")]
pub use ca_net::TokioRuntime;
pub use ca_net::iface;
pub use ca_net::runtime::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, Task,
    TaskHandle, Timer, UdpOptions,
};
