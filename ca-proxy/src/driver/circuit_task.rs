//! The task of one circuit: two streams, and the engine between them.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddrV4;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ca_net::{Budget, ByteStream, Timer};

use super::{Driver, STREAMS};
use crate::engine::Output;
use crate::rule::{Direction, How};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Why a circuit is over.
enum End {
    /// Both sides are done.
    Done,
    /// A fault, or the user.
    Cut(How),
    /// A socket says so.
    Failed(&'static str, io::Error),
}

const NAMES: [&str; 2] = ["client", "server"];

/// Serves a circuit to its end.
pub(super) async fn run(
    proxy: Driver,
    id: u64,
    mut client: Box<dyn ByteStream>,
    server: SocketAddrV4,
    after: Duration,
) {
    let end = match dial(&proxy, id, server, after).await {
        Err(end) => {
            if matches!(end, End::Failed(..)) {
                // As near to a refusal as it gets after an accept.
                client.abort_on_drop();
            }
            end
        }
        Ok(server) => {
            let mut circuit = Circuit {
                timer: proxy.0.runtime.timer(),
                proxy: proxy.clone(),
                id,
                streams: [client, server],
                open: [true; 2],
                ended: [false; 2],
            };
            let end = poll_fn(|cx| circuit.poll(cx)).await;
            if matches!(end, End::Cut(How::Reset)) {
                circuit.streams.iter_mut().for_each(|s| s.abort_on_drop());
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
    proxy.closed(id, &why);
}

impl Driver {
    /// Has the task of a circuit woken when the circuit was changed by others.
    fn register(&self, id: u64, waker: &Waker) {
        let old = self.with_state(|state, _, _| state.circuits.insert(id, waker.clone()));
        drop(old);
    }

    fn closed(&self, id: u64, why: &str) {
        let old = self.with_state(|state, now, _| {
            state.engine.closed(now, id, why);
            state.circuits.remove(&id)
        });
        drop(old);
    }
}

/// Connects to the server, unless the circuit is cut before that.
async fn dial(
    proxy: &Driver,
    id: u64,
    server: SocketAddrV4,
    after: Duration,
) -> Result<Box<dyn ByteStream>, End> {
    let mut connect = Box::pin(async move {
        if !after.is_zero() {
            proxy.sleep(after).await;
        }
        proxy.0.runtime.dial(server, &STREAMS).await
    });
    poll_fn(|cx| {
        proxy.register(id, cx.waker());
        let cut = proxy.with(|engine, now| {
            matches!(engine.output(now, id, Direction::Request), Output::Cut(_))
        });
        if cut {
            return Poll::Ready(Err(End::Cut(How::Close)));
        }
        let connected = ready!(connect.as_mut().poll(cx));
        Poll::Ready(connected.map_err(|error| End::Failed("connecting to the server", error)))
    })
    .await
}

/// Who is in which state.
struct Circuit {
    proxy: Driver,
    id: u64,
    timer: Box<dyn Timer>,
    /// Sender of requests, sender of responses.
    streams: [Box<dyn ByteStream>; 2],
    /// The sender of this direction has more to say.
    open: [bool; 2],
    /// The receiver of this direction was told the end.
    ended: [bool; 2],
}

impl Circuit {
    /// Writes and reads until there is nothing to do or the budget is used up.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.proxy.register(self.id, cx.waker());
        let mut budget = Budget::default();
        loop {
            let mut moved = 0;
            for way in Direction::BOTH {
                match self.write(cx, way, &mut budget) {
                    Ok(written) => moved += written,
                    Err(end) => return Poll::Ready(end),
                }
            }
            if self.ended == [true; 2] {
                return Poll::Ready(End::Done);
            }
            for way in Direction::BOTH {
                match self.read(cx, way) {
                    Ok(read) => moved += read,
                    Err(end) => return Poll::Ready(end),
                }
            }
            if moved > 0 {
                if budget.spend(moved) {
                    continue;
                }
                self.proxy.0.runtime.yield_now(cx);
                return Poll::Pending;
            }
            // What has become due since the writes above is written at once.
            let wake = self.proxy.with(|engine, _| engine.wake(self.id));
            self.timer.reset(wake);
            ready!(self.timer.poll(cx));
        }
    }

    /// Reads once, if there is room; steps that were made.
    fn read(&mut self, cx: &mut Context<'_>, way: Direction) -> Result<usize, End> {
        if !self.open[way.index()] || !self.proxy.with(|engine, _| engine.has_room(self.id, way)) {
            return Ok(0);
        }
        let mut chunk = [0; CHUNK];
        let n = match self.streams[way.index()].poll_read(cx, &mut chunk) {
            Poll::Pending => return Ok(0),
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(error)) => return Err(End::Failed(NAMES[way.index()], error)),
        };
        if n == 0 {
            self.open[way.index()] = false;
            (self.proxy).with(|engine, now| engine.ended(now, self.id, way));
            return Ok(1);
        }
        let mut port_for = |server| self.proxy.port_for(server);
        self.proxy.with(|engine, now| {
            let chunk = chunk.get(..n).unwrap_or_default();
            engine.received(now, self.id, way, chunk, &mut port_for);
        });
        Ok(n)
    }

    /// Writes what may be written in a direction; bytes that went, or steps that were made.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        way: Direction,
        budget: &mut Budget,
    ) -> Result<usize, End> {
        let to = 1 - way.index();
        let mut moved = 0;
        loop {
            let output = (self.proxy).with(|engine, now| engine.output(now, self.id, way));
            let data = match output {
                Output::Data(data) => data,
                Output::Idle => return Ok(moved),
                Output::Cut(how) => return Err(End::Cut(how)),
                Output::End if self.ended[way.index()] => return Ok(moved),
                Output::End => {
                    // Fails if the other side is gone, which reading will tell.
                    if self.streams[to].poll_shutdown(cx).is_ready() {
                        self.ended[way.index()] = true;
                        moved += 1;
                    }
                    return Ok(moved);
                }
            };
            let stream = &mut self.streams[to];
            match stream.poll_write_vectored(cx, &[IoSlice::new(&data)]) {
                Poll::Pending => return Ok(moved),
                Poll::Ready(Err(error)) => return Err(End::Failed(NAMES[to], error)),
                Poll::Ready(Ok(n)) => {
                    (self.proxy).with(|engine, now| engine.sent(now, self.id, way, n));
                    moved += n.max(1);
                    // Not for ever: the other direction and other circuits want their turn.
                    if !budget.spend(n) {
                        return Ok(moved);
                    }
                }
            }
        }
    }
}
