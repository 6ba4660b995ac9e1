//! A search by hand: one datagram out, the answer in, on any [`Runtime`].
//!
//! `cargo run -p ca-net --example search -- 127.0.0.1:5064 some:pv`

use std::future::poll_fn;
use std::net::SocketAddrV4;
use std::sync::Arc;

use ca_net::{Budget, Runtime, TokioRuntime, UdpIo, UdpOptions};
use ca_proto::ids::Cid;
use ca_proto::wire::message::{SearchFlag, Text};
use ca_proto::wire::{Minor, PvName, datagram_frames, udp};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(server), Some(name)) = (args.next(), args.next()) else {
        return Err("give the address of an IOC and the name of a PV".into());
    };
    let runtime = Arc::new(TokioRuntime::current()?);
    println!("{}", run(&*runtime, server.parse()?, &name).await?);
    Ok(())
}

/// The example: asks one server for a name and waits for its answer.
///
/// # Errors
/// If the name cannot be one, or the socket cannot be had.
pub async fn run(runtime: &dyn Runtime, server: SocketAddrV4, name: &str) -> Result<String> {
    let mut socket = UdpIo::new(runtime.bind_udp(&UdpOptions::default())?);
    let name = PvName::new(name)?;
    let mut search = Vec::new();
    udp::Request::Version {
        valid: 0,
        minor: Minor::CURRENT,
        sequence: 0,
    }
    .encode_into(&mut search);
    udp::Request::Search {
        reply: SearchFlag::DONT_REPLY,
        minor: Minor::CURRENT,
        cid: Cid(1),
        cid2: Cid(1),
        name: Text::new(name.as_bytes()),
    }
    .encode_into(&mut search);

    let (mut unsent, mut answer) = (Some(search), None);
    poll_fn(|cx| {
        let load = |data: &mut Vec<u8>, to: &mut Vec<SocketAddrV4>| {
            let Some(search) = unsent.take() else {
                return false;
            };
            data.extend(search);
            to.push(server);
            true
        };
        let _ = socket.poll_send(cx, load, |_| {});
        let mut budget = Budget::default();
        let _ = socket.poll_recv(cx, &mut budget, |from, data| {
            for frame in datagram_frames(data).flatten() {
                if let Ok(udp::Response::Search { port, .. }) = udp::Response::parse(&frame) {
                    answer = Some(format!(
                        "{name} is served at port {} of {}",
                        port.0,
                        from.ip()
                    ));
                }
            }
        });
        match answer.take() {
            Some(answer) => std::task::Poll::Ready(Ok(answer)),
            None => std::task::Poll::Pending,
        }
    })
    .await
}
