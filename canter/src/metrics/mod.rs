//! `--metrics`: numbers for Prometheus and what reads its format.

mod client;
mod ioc;
mod prometheus;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ca_client::Client;
use ca_server_sim::net::SimIoc;
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::exit::UsageError;
use prometheus::Page;

/// Connections at a time; further ones are closed.
const MAX_CONNECTIONS: usize = 8;
/// Bytes of a request.
const MAX_REQUEST: usize = 8 << 10;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// Time for a request, and for its answer.
const TIME: Duration = Duration::from_secs(5);

// Where numbers can be fetched.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct MetricsArgs {
    /// Serve numbers for Prometheus at http://ADDRESS:PORT/metrics; a port alone is one of 127.0.0.1. Who can
    /// connect can read them
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = place)]
    metrics: Option<SocketAddrV4>,
}

fn place(text: &str) -> Result<SocketAddrV4, String> {
    let port = text
        .parse()
        .map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    let place = port.or_else(|_| text.parse());
    place.map_err(|_| "give a PORT such as 9100, or ADDRESS:PORT".to_owned())
}

/// Serves pages until it is dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Where.
    pub(crate) address: Option<SocketAddrV4>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl MetricsArgs {
    /// Serves the numbers of a client.
    ///
    /// # Errors
    /// The address cannot be used.
    pub(crate) async fn of_client(&self, client: &Client) -> Result<Serving, UsageError> {
        let client = client.clone();
        self.serve(move || client::page(&client)).await
    }

    /// Serves the numbers of an IOC.
    ///
    /// # Errors
    /// The address cannot be used.
    pub(crate) async fn of_ioc(&self, ioc: &SimIoc) -> Result<Serving, UsageError> {
        let ioc = ioc.clone();
        self.serve(move || ioc::page(&ioc)).await
    }

    async fn serve(
        &self,
        page: impl Fn() -> Page + Send + Sync + 'static,
    ) -> Result<Serving, UsageError> {
        let Some(address) = self.metrics else {
            return Ok(Serving {
                address: None,
                task: None,
            });
        };
        let listener = TcpListener::bind(address).await.map_err(|error| {
            UsageError::new(
                format!("--metrics: cannot listen on {address}: {error}"),
                "choose an address of this host and a free port, or port 0 for any",
            )
        })?;
        let address = match listener.local_addr() {
            Ok(std::net::SocketAddr::V4(address)) => Some(address),
            _ => None,
        };
        let task = Some(tokio::spawn(accept(listener, Arc::new(page))));
        Ok(Serving { address, task })
    }
}

async fn accept(listener: TcpListener, page: Arc<impl Fn() -> Page + Send + Sync + 'static>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, which others may give back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let page = Arc::clone(&page);
            tokio::spawn(async move {
                answer(stream, || page()).await;
                drop(place);
            });
        }
    }
}

/// Answers one request; who asks again connects again.
async fn answer(mut stream: TcpStream, page: impl Fn() -> Page) {
    let Ok(Some(request)) = timeout(TIME, read(&mut stream)).await else {
        return;
    };
    let (status, kind, body) = match request {
        Request::Metrics => (
            "200 OK",
            "text/plain; version=0.0.4; charset=utf-8",
            page().text(),
        ),
        Request::Other => (
            "404 Not Found",
            "text/plain",
            "the numbers are at /metrics\n".to_owned(),
        ),
        Request::Bad => (
            "400 Bad Request",
            "text/plain",
            "this is no GET of HTTP/1.1\n".to_owned(),
        ),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let send = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await
    };
    // Who asked may be gone.
    let _ = timeout(TIME, send).await;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Request {
    Metrics,
    Other,
    Bad,
}

/// Reads the head of a request; none if the peer ends before that.
async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = parse(&bytes) {
            return Some(request);
        }
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(chunk.get(..n)?),
        }
    }
}

/// What is asked for, once the head is there.
fn parse(bytes: &[u8]) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < MAX_REQUEST => None,
        Ok(httparse::Status::Complete(_)) if request.method == Some("GET") => {
            let path = request.path.unwrap_or_default().split('?').next();
            Some(match path {
                Some("/metrics") => Request::Metrics,
                _ => Request::Other,
            })
        }
        _ => Some(Request::Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let get = b"GET /metrics?x=1 HTTP/1.1\r\nHost: here\r\n\r\n";
        assert_eq!(parse(get), Some(Request::Metrics));
        for len in 0..get.len() {
            assert_eq!(parse(&get[..len]), None, "{len}");
        }
        assert_eq!(parse(b"GET / HTTP/1.0\r\n\r\n"), Some(Request::Other));
        assert_eq!(parse(b"POST /metrics HTTP/1.1\r\n\r\n"), Some(Request::Bad));
        assert_eq!(parse(&[0; 20]), Some(Request::Bad));
        let endless = [
            b"GET /metrics HTTP/1.1\r\nX: ".to_vec(),
            vec![b'x'; MAX_REQUEST],
        ]
        .concat();
        assert_eq!(parse(&endless), Some(Request::Bad));
    }

    #[test]
    fn a_port_alone_is_one_of_loopback() {
        assert_eq!(place("9100"), Ok("127.0.0.1:9100".parse().unwrap()));
        assert_eq!(place("0.0.0.0:9100"), Ok("0.0.0.0:9100".parse().unwrap()));
        assert!(place("host:9100").is_err());
    }
}
