//! The task of a circuit: read, handle, write, until either side ends it.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ca_net::{Budget, ByteStream, Received, StreamIo, Timer};
use ca_proto::Instant;
use ca_proto::ids::CircuitId;
use ca_proto::server::{Circuit, StallWatch};
use ca_proto::wire::{Deframer, FrameLimits, SendQueue};
use tracing::Instrument;

use super::shared::{Bell, Shared};
use super::sync::Ordering;
use super::turns::{Host, Place};
use crate::ioc::Ioc;

/// Time for the last replies to leave, and for the client to end its side.
const LINGER: Duration = Duration::from_secs(1);
/// Time after which a circuit that goes on receiving lets others have their turn: a request of another
/// circuit is to be answered within 2 ms.
const TURN: Duration = Duration::from_micros(500);
/// Bytes of requests, or of what they cause, from which on they count as a turn although they took less.
const MUCH: usize = 4096;

/// Serves a circuit to its end, within a span of its own for who wants it.
pub(super) async fn run(
    shared: Arc<Shared>,
    (id, client): (CircuitId, SocketAddrV4),
    place: (Bell, Arc<Host>),
    stream: Box<dyn ByteStream>,
    limits: FrameLimits,
) {
    let span = tracing::debug_span!(parent: None, "circuit", %client);
    let serve = async {
        tracing::debug!("{client} has connected");
        serve(shared, id, place, stream, limits).await;
    };
    serve.instrument(span).await;
}

async fn serve(
    shared: Arc<Shared>,
    id: CircuitId,
    (bell, host): (Bell, Arc<Host>),
    stream: Box<dyn ByteStream>,
    limits: FrameLimits,
) {
    let guard = Guard { shared, id };
    let mut task = CircuitTask {
        shared: Arc::clone(&guard.shared),
        id,
        place: Place::new(host),
        waker: None,
        bell,
        // Our version.
        more: true,
        io: StreamIo::new(stream, limits),
        held: None,
        linger: None,
        stall: guard.shared.with(|ioc, _| StallWatch::new(ioc.params())),
        stall_timer: None,
        ended: false,
    };
    // Errors end the circuit like the end of the stream does.
    let _ = poll_fn(|cx| task.poll_in_turn(cx)).await;
}

/// Tells the IOC that the circuit has ended, also when the task is aborted.
struct Guard {
    shared: Arc<Shared>,
    id: CircuitId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        tracing::debug!("the circuit ends");
        self.shared.closed(self.id);
    }
}

struct CircuitTask {
    shared: Arc<Shared>,
    id: CircuitId,
    place: Place,
    /// The waker that the IOC knows.
    waker: Option<Waker>,
    bell: Bell,
    /// The IOC had more than was taken.
    more: bool,
    io: StreamIo,
    /// Input that waits until the replies before it have drained.
    held: Option<Vec<u8>>,
    /// Runs from when no more input is handled.
    linger: Option<Box<dyn Timer>>,
    /// Whether the connection takes what is sent.
    stall: StallWatch,
    /// Made when the connection is full for the first time.
    stall_timer: Option<Box<dyn Timer>>,
    /// The peer has ended its side.
    ended: bool,
}

/// What became of the input.
#[derive(PartialEq)]
enum Input {
    /// Bytes that were handled, and when.
    Handled(usize, Instant),
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

thread_local! {
    static SPARE: Cell<Option<SendQueue>> = const { Cell::new(None) };
}

/// An empty queue to be swapped for that of the IOC, with the buffer that the circuit served before has
/// left: circuits that have nothing to send hold no buffer.
fn spare() -> SendQueue {
    SPARE.take().unwrap_or_default()
}

/// Keeps the buffer of an empty queue for the next circuit on this thread.
fn keep(queue: SendQueue) {
    if queue.is_empty() && queue.capacity() > 0 {
        SPARE.set(Some(queue));
    }
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
    /// The IOC has more output than was taken.
    more: bool,
    /// When it was handled.
    at: Instant,
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
            Self { bytes, at, .. } => Input::Handled(*bytes, *at),
        }
    }
}

/// Handles a chunk as far as the queues allow, and takes the replies into the empty `out`.
fn handle(
    shared: &Shared,
    id: CircuitId,
    deframer: &mut Deframer,
    chunk: &[u8],
    out: &mut SendQueue,
) -> Result<Handled, Stop> {
    shared.with(|ioc, now| {
        let bytes = ioc
            .handle_chunk(now, id, deframer, chunk)
            .map_err(|_| Stop)?;
        let rest = chunk.get(bytes..).unwrap_or_default();
        let pressed = ioc.is_pressed();
        let held = pressed || !rest.is_empty() || !ioc.is_readable(id);
        Ok(Handled {
            bytes,
            rest: held.then(|| rest.to_vec()),
            pressed,
            more: take_output(ioc, id, out),
            at: now,
        })
    })
}

/// Takes what is to be sent into the empty `out`; true if that is not all that there is to do.
fn take_output(ioc: &mut Ioc, id: CircuitId, out: &mut SendQueue) -> bool {
    if let Some(queue) = ioc.transmit(id) {
        std::mem::swap(queue, out);
    }
    ioc.is_broken(id) || ioc.circuit(id).is_some_and(Circuit::has_output)
}

impl CircuitTask {
    fn poll_in_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut had_turn = false;
        let result = self.poll(cx, &mut had_turn);
        let next = match had_turn && result.is_pending() {
            true => self.place.had_turn(cx.waker()),
            false => self.place.leave(),
        };
        if let Some(waker) = next {
            self.shared
                .runtime()
                .yield_now(&mut Context::from_waker(&waker));
        }
        result
    }

    /// `had_turn` tells whether others are to come before it is polled again.
    fn poll(&mut self, cx: &mut Context<'_>, had_turn: &mut bool) -> Poll<io::Result<()>> {
        self.register(cx.waker());
        let mut budget = Budget::default();
        let mut began = None;
        loop {
            if let Some(timer) = &mut self.linger {
                if timer.poll(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
                return self.poll_end(cx);
            }
            let input = self.input(cx)?;
            let output = self.output();
            *had_turn |= self.is_much(&input);
            let flushed = self.flush(cx)?;
            if (!flushed || self.stall_timer.is_some()) && self.is_stalled(cx) {
                return Poll::Ready(Ok(()));
            }
            if input == Input::Last || (output == Output::Broken && flushed) {
                self.start_linger();
                continue;
            }
            match input {
                Input::Handled(bytes, at)
                    if budget.spend(bytes) && at - *began.get_or_insert(at) < TURN =>
                {
                    continue;
                }
                Input::Handled(..) | Input::Pressed => {
                    *had_turn = true;
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
                *had_turn = true;
                return Poll::Pending;
            }
        }
    }

    /// Whether the input alone counts as a turn.
    fn is_much(&self, input: &Input) -> bool {
        match input {
            Input::Handled(bytes, _) => *bytes + self.io.unsent() >= MUCH || self.more,
            Input::Pressed => true,
            Input::Last | Input::Nothing => false,
        }
    }

    /// Sends what was taken over; true if all of it has left. The buffer goes back then.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.io.unsent() == 0 {
            return Ok(true);
        }
        let mut sent = 0;
        let flushed = self.io.poll_flush(cx, &mut sent)?.is_ready();
        if sent > 0 {
            self.stall.moved();
        }
        if flushed {
            let mut out = SendQueue::new();
            self.io.swap_in(&mut out);
            keep(out);
        }
        Ok(flushed)
    }

    fn register(&mut self, waker: &Waker) {
        if !(self.waker.as_ref()).is_some_and(|known| known.will_wake(waker)) {
            self.shared.register(self.id, waker);
            self.waker = Some(waker.clone());
        }
    }

    /// Watches a connection that is full; true once it has taken nothing for too long.
    fn is_stalled(&mut self, cx: &mut Context<'_>) -> bool {
        let (shared, unsent) = (&self.shared, self.io.unsent() > 0);
        if unsent && let Some(due) = self.stall.blocked(|| shared.runtime().now()) {
            let timer = || shared.runtime().timer();
            self.stall_timer.get_or_insert_with(timer).reset(Some(due));
        }
        let Some(timer) = &mut self.stall_timer else {
            return false;
        };
        while timer.poll(cx).is_ready() {
            match self.stall.poll(shared.runtime().now(), unsent) {
                Ok(Some(due)) => timer.reset(Some(due)),
                Ok(None) => {
                    self.stall_timer = None;
                    break;
                }
                Err(limit) => {
                    shared.with(|ioc, now| ioc.handle_limit(now, self.id, limit));
                    return true;
                }
            }
        }
        false
    }

    fn start_linger(&mut self) {
        let runtime = self.shared.runtime();
        let mut timer = runtime.timer();
        timer.reset(Some(runtime.now() + LINGER));
        self.linger = Some(timer);
        self.more = true;
    }

    /// Handles what was held, or else reads once. Nothing is read while replies do not drain.
    fn input(&mut self, cx: &mut Context<'_>) -> io::Result<Input> {
        let (shared, id) = (&self.shared, self.id);
        if self.io.unsent() > 0 || !self.place.may_go_on(cx.waker()) {
            return Ok(Input::Nothing);
        }
        let mut out = spare();
        if let Some(chunk) = self.held.take() {
            let handled = handle(shared, id, self.io.deframer(), &chunk, &mut out);
            self.take_over(out);
            let Ok(handled) = handled else {
                return Ok(Input::Last);
            };
            let input = handled.input();
            self.settle(handled);
            return Ok(input);
        }
        let received = (self.io).poll_read_chunk(cx, |deframer, chunk, _| {
            handle(shared, id, deframer, chunk, &mut out)
        });
        self.take_over(out);
        let Poll::Ready(received) = received else {
            return Ok(Input::Nothing);
        };
        Ok(match received? {
            Received::Chunk {
                bytes,
                result: Ok(handled),
            } => {
                let input = match handled.pressed {
                    true => Input::Pressed,
                    false => Input::Handled(bytes, handled.at),
                };
                self.settle(handled);
                input
            }
            Received::Chunk { .. } => Input::Last,
            Received::End => {
                self.ended = true;
                Input::Last
            }
        })
    }

    /// Takes over what the IOC has filled, to be sent; true if there is any.
    fn take_over(&mut self, mut out: SendQueue) -> bool {
        let filled = !out.is_empty() && self.io.swap_in(&mut out);
        keep(out);
        filled
    }

    fn settle(&mut self, handled: Handled) {
        self.held = handled.rest;
        self.more |= handled.more;
    }

    /// Takes over what the IOC has to send, if it has rung for it.
    fn output(&mut self) -> Output {
        if self.io.unsent() > 0 {
            return Output::Filled;
        }
        if !std::mem::take(&mut self.more) && !self.bell.swap(false, Ordering::Acquire) {
            return Output::Nothing;
        }
        let (id, mut out) = (self.id, spare());
        let (more, broken) = self.shared.with(|ioc, _| {
            let more = take_output(ioc, id, &mut out);
            (more, ioc.is_broken(id))
        });
        self.more = more;
        match self.take_over(out) {
            true => Output::Filled,
            false if broken => Output::Broken,
            false => Output::Nothing,
        }
    }

    /// Sends what is left, ends our direction, and waits for the end of the other.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut budget = Budget::default();
        loop {
            if !self.flush(cx)? {
                return Poll::Pending;
            }
            if self.output() != Output::Filled {
                break;
            }
            if !budget.spend(self.io.unsent()) {
                self.shared.runtime().yield_now(cx);
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
                    self.shared.runtime().yield_now(cx);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
