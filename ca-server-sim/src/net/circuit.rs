//! The task of a circuit: read, handle, write, until either side ends it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ca_net::{Budget, ByteStream, Received, StreamIo, Timer};
use ca_proto::ids::CircuitId;
use ca_proto::wire::{Deframer, Limits};

use super::shared::Shared;

/// Time for the last replies to leave, and for the client to end its side.
const LINGER: Duration = Duration::from_secs(1);

pub(super) async fn run(
    shared: Arc<Shared>,
    id: CircuitId,
    stream: Box<dyn ByteStream>,
    limits: Limits,
) {
    let guard = Guard { shared, id };
    let mut task = CircuitTask {
        shared: Arc::clone(&guard.shared),
        id,
        io: StreamIo::new(stream, limits),
        held: None,
        linger: None,
        ended: false,
    };
    // Errors end the circuit like the end of the stream does.
    let _ = poll_fn(|cx| task.poll(cx)).await;
}

/// Tells the IOC that the circuit has ended, also when the task is aborted.
struct Guard {
    shared: Arc<Shared>,
    id: CircuitId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.closed(self.id);
    }
}

struct CircuitTask {
    shared: Arc<Shared>,
    id: CircuitId,
    io: StreamIo,
    /// Input that waits until the replies before it have drained.
    held: Option<Vec<u8>>,
    /// Runs from when no more input is handled.
    linger: Option<Box<dyn Timer>>,
    /// The peer has ended its side.
    ended: bool,
}

/// What became of the input.
#[derive(PartialEq)]
enum Input {
    /// Bytes that were handled.
    Handled(usize),
    /// What it caused has filled the queue of another circuit, whose task is to have its turn.
    Pressed,
    /// The peer has ended its direction, or broken the protocol: no more is handled.
    Last,
    Nothing,
}

/// What there is to send.
#[derive(PartialEq)]
enum Output {
    Filled,
    /// Nothing, and the circuit cannot go on.
    Broken,
    Nothing,
}

/// The circuit broke the protocol.
struct Stop;

/// What handling a chunk came to.
struct Handled {
    bytes: usize,
    /// What is left of it when replies or updates have to drain first. It may be empty and stand for
    /// a frame that the deframer holds back.
    rest: Option<Vec<u8>>,
    pressed: bool,
}

impl Handled {
    fn input(&self) -> Input {
        match self {
            Self { pressed: true, .. } => Input::Pressed,
            Self {
                bytes: 0,
                rest: Some(_),
                ..
            } => Input::Nothing,
            Self { bytes, .. } => Input::Handled(*bytes),
        }
    }
}

/// Handles a chunk as far as the queues allow.
fn handle(
    shared: &Shared,
    id: CircuitId,
    deframer: &mut Deframer,
    chunk: &[u8],
) -> Result<Handled, Stop> {
    shared.with(|ioc, now| {
        let bytes = ioc
            .handle_readable(now, id, deframer, chunk)
            .map_err(|_| Stop)?;
        let rest = chunk.get(bytes..).unwrap_or_default();
        let pressed = ioc.pressed;
        let held = pressed || !rest.is_empty() || !ioc.is_readable(id);
        Ok(Handled {
            bytes,
            rest: held.then(|| rest.to_vec()),
            pressed,
        })
    })
}

impl CircuitTask {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut budget = Budget::default();
        loop {
            if let Some(timer) = &mut self.linger {
                if timer.poll(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
                return self.poll_end(cx);
            }
            let input = self.input(cx)?;
            let output = self.output(cx);
            let flushed = self.io.poll_flush(cx, &mut 0)?.is_ready();
            if input == Input::Last || (output == Output::Broken && flushed) {
                self.start_linger();
                continue;
            }
            match input {
                Input::Handled(bytes) if budget.spend(bytes) => continue,
                Input::Handled(_) | Input::Pressed => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Input::Last | Input::Nothing => {}
            }
            // A full socket wakes the task when it has room. What has left may have made room for
            // more updates and for input that was held.
            if output != Output::Filled || !flushed {
                return Poll::Pending;
            }
            if !budget.spend(0) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn start_linger(&mut self) {
        let runtime = self.shared.runtime();
        let mut timer = runtime.timer();
        timer.reset(Some(runtime.now() + LINGER));
        self.linger = Some(timer);
    }

    /// Handles what was held, or else reads once. Nothing is read while replies do not drain.
    fn input(&mut self, cx: &mut Context<'_>) -> io::Result<Input> {
        let (shared, id) = (&self.shared, self.id);
        if self.io.unsent() > 0 {
            return Ok(Input::Nothing);
        }
        if let Some(chunk) = self.held.take() {
            let deframer = self.io.deframer();
            return Ok(match handle(shared, id, deframer, &chunk) {
                Ok(handled) => {
                    let input = handled.input();
                    self.held = handled.rest;
                    input
                }
                Err(Stop) => Input::Last,
            });
        }
        let received = self
            .io
            .poll_read_chunk(cx, |deframer, chunk, _| handle(shared, id, deframer, chunk));
        let Poll::Ready(received) = received else {
            return Ok(Input::Nothing);
        };
        Ok(match received? {
            Received::Chunk {
                bytes,
                result: Ok(handled),
            } => {
                self.held = handled.rest;
                match handled.pressed {
                    true => Input::Pressed,
                    false => Input::Handled(bytes),
                }
            }
            Received::Chunk { .. } => Input::Last,
            Received::End => {
                self.ended = true;
                Input::Last
            }
        })
    }

    /// Takes over what the IOC has to send; parks the task if that is nothing.
    fn output(&mut self, cx: &Context<'_>) -> Output {
        let (shared, id, io) = (&self.shared, self.id, &mut self.io);
        if io.unsent() > 0 {
            return Output::Filled;
        }
        let output = shared.with_circuit(id, cx.waker(), |ioc, _| {
            if ioc.transmit(id).is_some_and(|queue| io.swap_in(queue)) {
                Some(Output::Filled)
            } else {
                ioc.is_broken(id).then_some(Output::Broken)
            }
        });
        output.unwrap_or(Output::Nothing)
    }

    /// Sends what is left, ends our direction, and waits for the end of the other.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut budget = Budget::default();
        loop {
            ready!(self.io.poll_flush(cx, &mut 0))?;
            if self.output(cx) != Output::Filled {
                break;
            }
            if !budget.spend(self.io.unsent()) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        ready!(self.io.poll_shutdown(cx))?;
        // Unread input would turn our end into a reset, which may overtake the last replies.
        while !self.ended {
            match ready!(self.io.poll_read_chunk(cx, |_, _, _| ()))? {
                Received::End => self.ended = true,
                Received::Chunk { bytes, .. } if budget.spend(bytes) => {}
                Received::Chunk { .. } => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
