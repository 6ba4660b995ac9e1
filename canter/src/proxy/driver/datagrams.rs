//! Datagrams: one socket for clients, and per client one towards the server.

use std::collections::HashMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::rc::Rc;

use ca_proto::wire::MAX_UDP_RECV;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, spawn_local};

use super::Proxy;
use crate::proxy::engine::To;
use crate::proxy::rule::Direction;

/// Clients with a socket of their own; for a further one the longest silent is forgotten.
const MAX_CLIENTS: usize = 256;

/// A client's way to the server. Its task ends with it.
#[derive(Debug)]
struct Client {
    socket: Rc<UdpSocket>,
    replies: AbortHandle,
    /// Number of the datagram that it sent last.
    last: u64,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.replies.abort();
    }
}

/// Serves datagrams for ever.
pub(super) async fn run(proxy: Proxy, listen: UdpSocket) {
    let mut clients: HashMap<SocketAddrV4, Client> = HashMap::new();
    let mut received: u64 = 0;
    let mut buffer = vec![0; MAX_UDP_RECV];
    loop {
        while let Some((to, data)) = proxy.with(|engine, now| engine.next_datagram(now)) {
            let (socket, to) = match to {
                To::ServerFor(client) => match clients.get(&client) {
                    Some(known) => (&*known.socket, proxy.0.server),
                    None => continue,
                },
                To::Client(address) | To::Address(address) => (&listen, address),
            };
            // What cannot be sent is lost, as datagrams are.
            let _ = socket.send_to(&data, SocketAddr::from(to)).await;
        }
        let at = proxy.with(|engine, _| engine.wake_datagrams());
        let came = tokio::select! {
            came = listen.recv_from(&mut buffer) => came,
            () = proxy.sleep_until(at) => continue,
            () = proxy.0.datagrams.notified() => continue,
        };
        // Errors are ICMP answers to something sent earlier.
        let Ok((len, SocketAddr::V4(from))) = came else {
            continue;
        };
        received += 1;
        if !clients.contains_key(&from) {
            let Some(client) = client(&proxy, from).await else {
                continue;
            };
            if clients.len() >= MAX_CLIENTS
                && let Some(oldest) = clients.iter().min_by_key(|(_, client)| client.last)
            {
                let oldest = *oldest.0;
                clients.remove(&oldest);
            }
            clients.insert(from, client);
        }
        if let Some(client) = clients.get_mut(&from) {
            client.last = received;
        }
        let data = buffer.get(..len).unwrap_or_default();
        pass(&proxy, Direction::Request, from, proxy.0.server, data);
    }
}

fn pass(proxy: &Proxy, way: Direction, client: SocketAddrV4, server: SocketAddrV4, data: &[u8]) {
    let mut port_for = |server| proxy.port_for(server);
    proxy.with(|engine, now| engine.datagram(now, way, client, server, data, &mut port_for));
}

/// Opens a client's socket towards the server and takes its replies.
async fn client(proxy: &Proxy, client: SocketAddrV4) -> Option<Client> {
    let local = if proxy.0.server.ip().is_loopback() {
        [127, 0, 0, 1]
    } else {
        [0; 4]
    };
    let socket = Rc::new(
        UdpSocket::bind((std::net::Ipv4Addr::from(local), 0))
            .await
            .ok()?,
    );
    let _ = socket.set_broadcast(true);
    let (proxy, from_server) = (proxy.clone(), socket.clone());
    let task = spawn_local(async move {
        let mut buffer = vec![0; MAX_UDP_RECV];
        loop {
            if let Ok((len, SocketAddr::V4(server))) = from_server.recv_from(&mut buffer).await {
                let data = buffer.get(..len).unwrap_or_default();
                pass(&proxy, Direction::Response, client, server, data);
                proxy.0.datagrams.notify_one();
            }
        }
    });
    Some(Client {
        socket,
        replies: task.abort_handle(),
        last: 0,
    })
}
