//! The task of a circuit: dial, then read and write until either side ends it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ca_net::{Budget, ByteStream, Received, StreamIo, StreamOptions, Timer, WakerList};
use ca_proto::client::{CloseReason, Hangup, More};
use ca_proto::ids::CircuitId;
use ca_proto::wire::{Deframer, SendQueue};
use tracing::Instrument;

use crate::shared::{Shared, State, Work};
use crate::spans;

/// Time that an orderly end may take: flushing what is queued, and the peer's end of stream.
const LINGER: Duration = Duration::from_millis(500);

/// Output of at most so many bytes is reported as sent before it is written, which spares a look at the state
/// machine: a socket that is not full takes it at once.
const LITTLE: usize = 4096;

/// Runs a circuit from dialling to its end.
pub(crate) async fn run(shared: Arc<Shared>, id: CircuitId, address: SocketAddrV4) {
    let span = spans::of_circuit(address);
    live(shared, id, address).instrument(span).await;
}

async fn live(shared: Arc<Shared>, id: CircuitId, address: SocketAddrV4) {
    let mut end = End {
        shared,
        id,
        why: CloseReason::Hangup,
    };
    end.why = match dial(&end.shared, id, address).await {
        Ok(stream) => {
            tracing::debug!("connected to {address}");
            let mut circuit = Circuit::new(end.shared.clone(), id, stream);
            poll_fn(|cx| circuit.poll(cx)).await
        }
        Err(why) => why,
    };
}

/// Tells the state machine that the circuit has ended, also when the task is dropped.
struct End {
    shared: Arc<Shared>,
    id: CircuitId,
    why: CloseReason,
}

impl Drop for End {
    fn drop(&mut self) {
        let (id, why) = (self.id, self.why);
        tracing::debug!("the circuit ends: {why}");
        self.shared.with(|state, now, wakers| {
            state.forget_circuit(id);
            let (core, mut sink) = state.split(wakers);
            core.handle_closed(now, id, why, &mut sink);
            state.task_ended(wakers);
        });
    }
}

async fn dial(
    shared: &Shared,
    id: CircuitId,
    address: SocketAddrV4,
) -> Result<Box<dyn ByteStream>, CloseReason> {
    let options = StreamOptions {
        local: shared.local,
        ..StreamOptions::default()
    };
    let mut dial = shared.runtime.dial(address, &options);
    poll_fn(|cx| {
        if shared
            .with(|state, _, _| state.poll_unwanted(id, cx.waker()))
            .is_ready()
        {
            return Poll::Ready(Err(CloseReason::Hangup));
        }
        dial.as_mut().poll(cx).map_err(|error| {
            tracing::debug!("cannot connect to {address}: {error}");
            match error.kind() {
                io::ErrorKind::ConnectionRefused => CloseReason::Refused,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    CloseReason::Unreachable
                }
                _ => CloseReason::DialFailed,
            }
        })
    })
    .await
}

/// What was read.
struct Read {
    bytes: usize,
    /// The socket was left empty.
    drained: bool,
    /// There is nothing to do but to read.
    idle: bool,
}

/// What a read is for.
#[derive(Clone, Copy)]
enum Reading {
    /// What there is.
    Any,
    /// The one answer that anybody waits for, which may be waited for.
    Answer,
}

/// What there was to read in a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    /// Nothing more for now; the task will be woken.
    Empty,
    /// The same, and nothing else to do either.
    Idle,
    /// Something; there may be more.
    Some,
    /// As much as others may have to wait for.
    Enough,
}

struct Circuit {
    shared: Arc<Shared>,
    id: CircuitId,
    io: StreamIo,
    wakers: WakerList,
    /// Bytes written that the state machine has not heard of.
    sent: usize,
    /// It has heard of what is to be written now.
    told: bool,
    /// What is to be written now is all that anybody waits for an answer to.
    lone: bool,
    /// Set while the circuit is being ended in order.
    linger: Option<Box<dyn Timer>>,
}

impl Circuit {
    fn new(shared: Arc<Shared>, id: CircuitId, stream: Box<dyn ByteStream>) -> Self {
        let limits = shared.with(|state, now, _| {
            state.core.handle_connected(now, id);
            state.core.limits(id)
        });
        Self {
            shared,
            id,
            io: StreamIo::new(stream, limits),
            wakers: WakerList::new(),
            sent: 0,
            told: false,
            lone: false,
            linger: None,
        }
    }

    /// Reads, handles, writes, until there is nothing to do or the budget is used up.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if let Some(timer) = &mut self.linger {
            return match timer.poll(cx) {
                Poll::Ready(()) => Poll::Ready(CloseReason::Hangup),
                Poll::Pending => self.poll_end(cx),
            };
        }
        let mut budget = Budget::default();
        loop {
            let input = match self.receive(cx, &mut budget) {
                Ok(input) => input,
                Err(why) => return Poll::Ready(why),
            };
            if input == Input::Idle {
                return Poll::Pending;
            }
            if let Work::Hangup(how) = self.work(cx.waker()) {
                return self.hang_up(cx, how);
            }
            // A full socket wakes the task when there is room, a parked one when there is work.
            let flushed = self.io.poll_flush(cx, &mut self.sent);
            self.settle_told();
            let wrote = match flushed {
                Poll::Ready(Err(_)) => return Poll::Ready(self.read_rest(cx, &mut budget)),
                Poll::Ready(Ok(())) => self.sent > 0,
                Poll::Pending => false,
            };
            if input == Input::Enough {
                self.shared.runtime.yield_now(cx);
                return Poll::Pending;
            }
            if input == Input::Empty && (!wrote || self.report(cx.waker())) {
                match self.poll_answer(cx) {
                    Poll::Ready(Ok(read)) if read.drained && read.idle => return Poll::Pending,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(why)) => return Poll::Ready(why),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
    }

    /// Waits for the answer to a request that is alone, if the runtime has nothing else to do.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Read, CloseReason>> {
        match std::mem::take(&mut self.lone) && self.io.is_quiet(cx.waker()) {
            true => self.read(cx, Reading::Answer),
            false => Poll::Pending,
        }
    }

    /// What the state machine was told before the writing was so, or is put right.
    fn settle_told(&mut self) {
        if !std::mem::take(&mut self.told) {
            return;
        }
        self.sent = 0;
        let (id, left) = (self.id, self.io.unsent());
        if left > 0 {
            (self.shared).look(|state, now| state.core.handle_unsent(now, id, left));
        }
    }

    /// Tells the state machine that everything has left; true if there is nothing more to do.
    fn report(&mut self, waker: &Waker) -> bool {
        let (id, sent) = (self.id, self.sent);
        let told = self.shared.look(|state, now| {
            let quiet = state.waits.is_empty() && state.is_parked(now, id, waker);
            if quiet {
                state.core.handle_sent(now, id, sent);
            }
            quiet
        });
        if told {
            self.sent = 0;
        }
        told
    }

    /// Reads. A read that emptied the socket is followed by another look, which has the task woken by
    /// what comes next, so that it need not turn once more for that, with the lock.
    fn receive(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> Result<Input, CloseReason> {
        let mut nothing = Input::Empty;
        for _ in 0..2 {
            // hot: it comes to write, or has just read all there was.
            if self.io.is_quiet(cx.waker()) {
                return Ok(nothing);
            }
            match self.read(cx, Reading::Any) {
                Poll::Ready(Ok(read)) if !budget.spend(read.bytes) => return Ok(Input::Enough),
                Poll::Ready(Ok(read)) if read.drained => {
                    if read.idle {
                        nothing = Input::Idle;
                    }
                }
                Poll::Ready(Ok(_)) => break,
                Poll::Ready(Err(why)) => return Err(why),
                Poll::Pending => return Ok(nothing),
            }
        }
        Ok(Input::Some)
    }

    /// Takes what a peer said before it closed a connection that cannot be written to any more: it may
    /// have said why.
    fn read_rest(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> CloseReason {
        loop {
            match self.read(cx, Reading::Any) {
                Poll::Ready(Ok(read)) if budget.spend(read.bytes) => {}
                Poll::Ready(Err(why @ CloseReason::Violation)) => return why,
                _ => return CloseReason::Reset,
            }
        }
    }

    /// Reads once.
    fn read(&mut self, cx: &mut Context<'_>, what: Reading) -> Poll<Result<Read, CloseReason>> {
        let (shared, id, wakers) = (&self.shared, self.id, &mut self.wakers);
        let (mut empty, mut idle) = (false, self.sent == 0 && self.io.unsent() == 0);
        let waker = cx.waker();
        let handle = |deframer: &mut Deframer, chunk: &[u8], drained| {
            empty = drained;
            let more = if drained { More::Drained } else { More::Maybe };
            shared.with_list(wakers, |state, now, wakers| {
                let (core, mut sink) = state.split(wakers);
                let handled = core.handle_chunk(now, id, deframer, chunk, more, &mut sink);
                idle = idle && state.is_parked(now, id, waker);
                handled
            })
        };
        let received = match what {
            Reading::Any => self.io.poll_read_chunk(cx, handle),
            Reading::Answer => self.io.poll_read_answer(cx, handle),
        };
        received.map(|received| match received {
            Ok(Received::Chunk { bytes, result }) => {
                self.shared
                    .received
                    .fetch_add(bytes as u64, Ordering::Relaxed);
                match result {
                    Ok(()) => Ok(Read {
                        bytes,
                        drained: empty,
                        idle,
                    }),
                    Err(_) => Err(CloseReason::Violation),
                }
            }
            Ok(Received::End) => Err(CloseReason::Eof),
            Err(_) => Err(CloseReason::Reset),
        })
    }

    /// Takes output over, or parks.
    fn work(&mut self, waker: &Waker) -> Work {
        let (id, io) = (self.id, &mut self.io);
        let (told, lone) = (&mut self.told, &mut self.lone);
        *lone = false;
        let sent = std::mem::take(&mut self.sent);
        let blocked = io.unsent() > 0;
        let mut look = |state: &mut State, now| {
            let swap = |queue: &mut SendQueue| !blocked && io.swap_in(queue);
            let filled = state.core.transmit(now, id).is_some_and(swap);
            // A circuit that is to be ended looks again when everything has left.
            let quiet = state.waits.is_empty() && !state.is_ending(id);
            if filled && io.unsent() <= LITTLE && quiet {
                state.core.handle_sent(now, id, io.unsent());
                *told = true;
                *lone = state.core.counts().operations == 1;
            }
            state.circuit_work(id, blocked || filled, waker)
        };
        if sent == 0 {
            return self.shared.look(look);
        }
        let wakers = &mut self.wakers;
        self.shared.with_list(wakers, |state, now, wakers| {
            state.circuit_sent(now, id, sent, wakers);
            look(state, now)
        })
    }

    fn hang_up(&mut self, cx: &mut Context<'_>, how: Hangup) -> Poll<CloseReason> {
        if how == Hangup::Abort {
            return Poll::Ready(CloseReason::Hangup);
        }
        let runtime = &self.shared.runtime;
        let mut timer = runtime.timer();
        timer.reset(Some(runtime.now() + LINGER));
        let armed = timer.poll(cx);
        self.linger = Some(timer);
        match armed {
            Poll::Ready(()) => Poll::Ready(CloseReason::Hangup),
            Poll::Pending => self.poll_end(cx),
        }
    }

    /// Flushes, ends our direction, and waits for the end of the other.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let ended = self.try_end(cx);
        ended.map(|_| CloseReason::Hangup)
    }

    fn try_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.io.poll_flush(cx, &mut self.sent))?;
        std::task::ready!(self.io.poll_shutdown(cx))?;
        loop {
            match std::task::ready!(self.io.poll_read_chunk(cx, |deframer, chunk, _| {
                let mut frames = deframer.frames(chunk);
                while frames.next().is_some() {}
            }))? {
                Received::Chunk { .. } => {}
                Received::End => return Poll::Ready(Ok(())),
            }
        }
    }
}
