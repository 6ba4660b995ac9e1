//! What a client runs on, for those who bring a [`Runtime`] of their own
//! ([`ClientBuilder::runtime`](crate::ClientBuilder::runtime)).

pub use ca_net::runtime::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, Task,
    TaskHandle, Timer, UdpOptions,
};
pub use ca_net::{TokioRuntime, iface};
