//! Where lines of the line protocol come from: connections, or standard input.

use std::io::BufRead;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::spawn_local;

use super::Proxy;

/// Longest line of a command; a connection that sends a longer one ends.
const MAX_LINE: u64 = 4096;
/// Lines of standard input that wait.
const MAX_LINES: usize = 16;

/// Takes commands from connections, for ever.
pub(super) async fn serve(proxy: Proxy, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                spawn_local(converse(proxy.clone(), stream));
            }
            Err(_) => tokio::time::sleep(super::PAUSE).await,
        }
    }
}

async fn converse(proxy: Proxy, mut stream: TcpStream) {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = String::new();
        match (&mut read).take(MAX_LINE).read_line(&mut line).await {
            Ok(1..) if line.ends_with('\n') => {}
            _ => return,
        }
        let mut answer = proxy.execute(&line);
        answer.push('\n');
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The lines of standard input. A thread reads them, which ends with the process.
pub(in crate::proxy) fn lines_of_stdin() -> Receiver<String> {
    let (send, lines) = channel(MAX_LINES);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        // Fails when nobody takes lines any more.
        lines
            .take_while(|line| send.blocking_send(line.clone()).is_ok())
            .count();
    });
    lines
}
