//! W1's bytes over tokio, without Channel Access: what a program on this runtime can reach.

use std::env;
use std::net::{Ipv4Addr, SocketAddrV4};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::operations::one_by_one;

/// A read of a double: a header, and a header with the value.
const REQUEST_LEN: usize = 16;
const REPLY_LEN: usize = 24;
/// Longer than any message: a read that leaves room tells tokio that the socket is empty.
const ROOM: usize = 64;

fn address(variable: &str) -> Result<SocketAddrV4> {
    Ok(SocketAddrV4::new(
        Ipv4Addr::LOCALHOST,
        env::var(variable)?.parse()?,
    ))
}

/// Reads until `len` bytes have come; false at the end of the stream.
async fn receive(stream: &mut TcpStream, len: usize) -> Result<bool> {
    let (mut room, mut received) = ([0; ROOM], 0);
    while received < len {
        match stream.read(&mut room).await? {
            0 => return Ok(false),
            n => received += n,
        }
    }
    Ok(true)
}

/// Answers on the port that `EPICS_CAS_SERVER_PORT` names, until it is killed.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind(address("EPICS_CAS_SERVER_PORT")?).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            while receive(&mut stream, REQUEST_LEN).await? {
                stream.write_all(&[0; REPLY_LEN]).await?;
            }
            Result::Ok(())
        });
    }
}

/// One request outstanding.
pub(crate) async fn ping(n: u64) -> Result<()> {
    let mut stream = TcpStream::connect(address("EPICS_CA_SERVER_PORT")?).await?;
    stream.set_nodelay(true)?;
    one_by_one(n, None, async |_| {
        stream.write_all(&[0; REQUEST_LEN]).await?;
        match receive(&mut stream, REPLY_LEN).await? {
            true => Ok(()),
            false => Err("the server has ended".into()),
        }
    })
    .await
}
