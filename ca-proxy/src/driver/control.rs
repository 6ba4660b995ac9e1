//! The line protocol on connections.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;

use ca_net::{ByteStream, Listener};

use super::Driver;

/// Longest line of a command; a connection that sends a longer one ends.
const MAX_LINE: usize = 4096;

/// Connections that give commands; each may hold a line and an answer.
const MAX_CONNECTIONS: usize = 16;

/// Takes commands from connections, for ever.
pub(super) async fn serve(proxy: Driver, mut listener: Box<dyn Listener>) {
    // As many as there are conversations, and this.
    let places = Arc::new(());
    loop {
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok((mut stream, _)) if Arc::strong_count(&places) > MAX_CONNECTIONS => {
                refuse(&mut *stream).await;
            }
            Ok((stream, _)) => {
                let (conversation, place) = (converse(proxy.clone(), stream), places.clone());
                proxy.spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            Err(_) => proxy.sleep(super::PAUSE).await,
        }
    }
}

/// Tells one that is too many, as far as that needs no waiting.
async fn refuse(stream: &mut dyn ByteStream) {
    let line = format!(
        "error: there are {MAX_CONNECTIONS} connections that give commands, the most there may be; end one\n"
    );
    poll_fn(|cx| {
        let _ = stream.poll_write_vectored(cx, &[IoSlice::new(line.as_bytes())]);
        Poll::Ready(())
    })
    .await;
}

async fn converse(proxy: Driver, mut stream: Box<dyn ByteStream>) {
    let mut received = Vec::new();
    while let Some(line) = next_line(&mut *stream, &mut received).await {
        let mut answer = proxy.execute(&line);
        answer.push('\n');
        if !write_all(&mut *stream, answer.as_bytes()).await {
            return;
        }
    }
}

/// The next line; `None` when there is none, or one that is too long or no text.
async fn next_line(stream: &mut dyn ByteStream, received: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = received.iter().position(|&byte| byte == b'\n') {
            let line = received.drain(..=end).collect();
            return String::from_utf8(line).ok();
        }
        if received.len() >= MAX_LINE {
            return None;
        }
        let mut chunk = [0; 1024];
        let read = poll_fn(|cx| stream.poll_read(cx, &mut chunk)).await;
        let n = read.ok().filter(|&n| n > 0)?;
        received.extend_from_slice(chunk.get(..n)?);
    }
}

/// False if the other side is gone.
async fn write_all(stream: &mut dyn ByteStream, mut data: &[u8]) -> bool {
    while !data.is_empty() {
        let write = poll_fn(|cx| stream.poll_write_vectored(cx, &[IoSlice::new(data)]));
        match write.await {
            Ok(n @ 1..) => data = data.get(n..).unwrap_or_default(),
            _ => return false,
        }
    }
    true
}
