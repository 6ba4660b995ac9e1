//! The task of one circuit: two sockets, and the engine between them.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddrV4;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::Proxy;
use crate::proxy::engine::Output;
use crate::proxy::rule::{Direction, How};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Why a circuit is over.
enum End {
    /// Both sides are done.
    Done,
    /// A fault, or the user.
    Cut(How),
    /// A socket says so.
    Failed(&'static str, io::Error),
}

/// Who is in which state.
struct Circuit {
    proxy: Proxy,
    id: u64,
    /// Sender of requests, sender of responses.
    streams: [TcpStream; 2],
    /// The sender of this direction has more to say.
    open: [bool; 2],
    /// The receiver of this direction was told the end.
    ended: [bool; 2],
    /// The receiver of this direction takes nothing now.
    blocked: [bool; 2],
}

const NAMES: [&str; 2] = ["client", "server"];

/// Serves a circuit to its end.
pub(super) async fn run(
    proxy: Proxy,
    id: u64,
    client: TcpStream,
    server: SocketAddrV4,
    after: Duration,
) {
    let connect = async {
        tokio::time::sleep(after).await;
        TcpStream::connect(server).await
    };
    let connected = tokio::select! {
        connected = connect => connected,
        () = cut_early(&proxy, id) => {
            return proxy.with(|engine, now| engine.closed(now, id, "cut"));
        }
    };
    let end = match connected {
        Err(error) => {
            // As near to a refusal as it gets after an accept.
            let _ = client.set_zero_linger();
            End::Failed("connecting to the server", error)
        }
        Ok(server) => {
            let mut circuit = Circuit {
                proxy: proxy.clone(),
                id,
                streams: [client, server],
                open: [true; 2],
                ended: [false; 2],
                blocked: [false; 2],
            };
            let end = circuit.serve().await;
            if matches!(end, End::Cut(How::Reset)) {
                for stream in &circuit.streams {
                    let _ = stream.set_zero_linger();
                }
            }
            end
        }
    };
    let why = match end {
        End::Done => "both sides are done".to_owned(),
        End::Cut(How::Close) => "cut".to_owned(),
        End::Cut(How::Reset) => "cut by reset".to_owned(),
        End::Failed(what, error) => format!("{what}: {error}"),
    };
    proxy.with(|engine, now| engine.closed(now, id, &why));
}

/// Ends when the circuit was cut while it waited for its server.
async fn cut_early(proxy: &Proxy, id: u64) {
    loop {
        let cut = proxy.with(|engine, now| {
            let way = Direction::Request;
            matches!(engine.output(now, id, way), Output::Cut(_))
        });
        if cut {
            return;
        }
        proxy.0.changed.notified().await;
    }
}

impl Circuit {
    async fn serve(&mut self) -> End {
        for stream in &self.streams {
            // A proxy that collects small messages would be a fault of its own.
            let _ = stream.set_nodelay(true);
        }
        loop {
            for way in Direction::BOTH {
                if let Err(end) = self.write(way).await {
                    return end;
                }
            }
            if self.ended == [true; 2] {
                return End::Done;
            }
            if let Err(end) = self.wait().await {
                return end;
            }
        }
    }

    /// Waits for anything to do, and reads if that is it.
    async fn wait(&mut self) -> Result<(), End> {
        let reads = Direction::BOTH.map(|way| {
            let room = self.proxy.with(|engine, _| engine.has_room(self.id, way));
            self.open[way.index()] && room
        });
        let at = self.proxy.with(|engine, _| engine.wake(self.id));
        let [client, server] = &self.streams;
        let readable = tokio::select! {
            _ = client.readable(), if reads[0] => Some(Direction::Request),
            _ = server.readable(), if reads[1] => Some(Direction::Response),
            _ = server.writable(), if self.blocked[0] => None,
            _ = client.writable(), if self.blocked[1] => None,
            () = self.proxy.sleep_until(at) => None,
            () = self.proxy.0.changed.notified() => None,
        };
        match readable {
            Some(way) => self.read(way),
            None => Ok(()),
        }
    }

    fn read(&mut self, way: Direction) -> Result<(), End> {
        let mut chunk = [0; CHUNK];
        match self.streams[way.index()].try_read(&mut chunk) {
            Ok(0) => {
                self.open[way.index()] = false;
                self.proxy
                    .with(|engine, now| engine.ended(now, self.id, way));
            }
            Ok(n) => {
                let mut port_for = |server| self.proxy.port_for(server);
                self.proxy.with(|engine, now| {
                    let chunk = chunk.get(..n).unwrap_or_default();
                    engine.received(now, self.id, way, chunk, &mut port_for);
                });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(End::Failed(NAMES[way.index()], error)),
        }
        Ok(())
    }

    /// Writes what may be written in a direction.
    async fn write(&mut self, way: Direction) -> Result<(), End> {
        let to = 1 - way.index();
        self.blocked[way.index()] = false;
        // One chunk after the other, but not for ever: the other direction wants its turn.
        for _ in 0..64 {
            let stream = &self.streams[to];
            let step = self
                .proxy
                .with(|engine, now| match engine.output(now, self.id, way) {
                    Output::Data(data) => {
                        let written = stream.try_write(&data);
                        if let Ok(n) = written {
                            engine.sent(now, self.id, way, n);
                        }
                        Step::Wrote(written)
                    }
                    Output::Idle => Step::Idle,
                    Output::End => Step::End,
                    Output::Cut(how) => Step::Cut(how),
                });
            match step {
                Step::Wrote(Ok(_)) => {}
                Step::Wrote(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked[way.index()] = true;
                    return Ok(());
                }
                Step::Wrote(Err(error)) => return Err(End::Failed(NAMES[to], error)),
                Step::Cut(how) => return Err(End::Cut(how)),
                Step::Idle => return Ok(()),
                Step::End => {
                    if !self.ended[way.index()] {
                        self.ended[way.index()] = true;
                        let stream = &mut self.streams[to];
                        // Fails if the other side is gone, which reading will tell.
                        let _ = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await;
                    }
                    return Ok(());
                }
            }
        }
        self.blocked[way.index()] = true;
        Ok(())
    }
}

enum Step {
    Wrote(io::Result<usize>),
    Idle,
    End,
    Cut(How),
}
