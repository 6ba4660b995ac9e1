//! Gets and puts as futures over the shared state; no allocation per operation.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ca_net::WakerList;
use ca_proto::client::{Malformed, OpError, ReadSpec};
use ca_proto::dbr::{DbrType, Reading, Value};
use ca_proto::ids::Ioid;
use ca_proto::{EcaStatus, Instant};

use crate::channel::ChannelInner;
use crate::put::Done;
use crate::shared::{Op, OpKey, Results, State};
use crate::waits::{Until, WaitKey, Waiter};

/// What is asked of the server.
#[derive(Debug)]
pub(crate) enum Request {
    Get(ReadSpec),
    Put(Done, DbrType, Value),
}

/// Why it did not work, before the words are found for it.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    NotConnected,
    Refused(OpError),
    /// The server's status, and its text if it sent one.
    Failed(EcaStatus, Option<Box<str>>),
    Malformed(Malformed),
    Disconnected,
    TimedOut,
    Closed,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    /// Waits for the connection or for room in the queue; without a key it polls.
    Wait(Option<WaitKey>),
    Sent(OpKey, Ioid),
    Done,
}

/// One get or put on its way. Dropping it takes it back, as far as it was not sent.
#[derive(Debug)]
pub(crate) struct Operation<'a> {
    channel: &'a ChannelInner,
    request: Request,
    started: Instant,
    deadline: Instant,
    step: Step,
}

/// A reading for gets, nothing for puts.
pub(crate) type Answer = Result<Option<Reading>, Failure>;

impl<'a> Operation<'a> {
    /// An operation that begins when it is first polled; its time counts from now.
    pub(crate) fn new(channel: &'a ChannelInner, request: Request, timeout: Duration) -> Self {
        let started = channel.client.shared.runtime.now();
        Self {
            channel,
            request,
            started,
            deadline: started + timeout,
            step: Step::Start,
        }
    }

    /// When it was made.
    pub(crate) const fn started(&self) -> Instant {
        self.started
    }

    /// Takes the answer, if it has come.
    fn poll_answer(
        results: &mut Results,
        key: OpKey,
        current: &Waker,
        old: &mut Option<Waker>,
    ) -> Poll<Answer> {
        if let Some(Op::Waiting(waker)) = results.ops.get_mut(key) {
            if !waker.will_wake(current) {
                *old = Some(std::mem::replace(waker, current.clone()));
            }
            return Poll::Pending;
        }
        Poll::Ready(match results.ops.remove(key) {
            Some(Op::Done(answer)) => answer,
            Some(Op::Waiting(_)) | None => Err(Failure::Closed),
        })
    }

    /// Hands the request to the state machine.
    fn send(
        &self,
        state: &mut State,
        (now, deadline): (Instant, Instant),
        waker: &Waker,
    ) -> Result<Option<(OpKey, Ioid)>, OpError> {
        let (cid, deadline) = (self.channel.cid, Some(deadline));
        if let Request::Put(Done::Sent, ty, value) = &self.request {
            return state.core.write(now, cid, *ty, value).map(|()| None);
        }
        let waiting = Op::Waiting(waker.clone());
        let Ok(key) = state.results.ops.insert(waiting) else {
            return Err(OpError::TooManyOps);
        };
        let token = key.token();
        let core = &mut state.core;
        let sent = match &self.request {
            Request::Get(spec) => core.read(now, cid, *spec, token, deadline),
            Request::Put(Done::Checked, ty, value) => {
                core.write_checked(now, cid, *ty, value, token, deadline)
            }
            Request::Put(_, ty, value) => core.write_notify(now, cid, *ty, value, token, deadline),
        };
        if sent.is_err() {
            state.results.ops.remove(key);
        }
        Ok(Some((key, sent?)))
    }

    /// Goes as far as possible now. `old` receives a waker that was replaced, to be dropped
    /// outside of the lock.
    fn advance(
        &mut self,
        (state, now, wakers): (&mut State, Instant, &mut WakerList),
        waker: &Waker,
        old: &mut Option<Waker>,
    ) -> Poll<Answer> {
        let deadline = self.deadline;
        match self.step {
            Step::Wait(Some(key)) => *old = state.waits.remove(key),
            Step::Wait(None) | Step::Start | Step::Sent(..) | Step::Done => {}
        }
        self.step = Step::Start;
        if state.is_closing() {
            return Poll::Ready(Err(Failure::Closed));
        }
        let until = match self.send(state, (now, deadline), waker) {
            Ok(None) => return Poll::Ready(Ok(None)),
            Ok(Some((key, ioid))) => {
                self.step = Step::Sent(key, ioid);
                return Poll::Pending;
            }
            Err(OpError::NotConnected) if now >= deadline || state.core.has_nowhere_to_search() => {
                return Poll::Ready(Err(Failure::NotConnected));
            }
            Err(OpError::NotConnected) => Until::Channel(self.channel.cid),
            Err(OpError::QueueFull(_) | OpError::TooManyOps) if now < deadline => Until::Room,
            Err(error) => return Poll::Ready(Err(Failure::Refused(error))),
        };
        let waiter = Waiter::Task(waker.clone());
        let key = state.waits.add(until, deadline, waiter, wakers);
        self.step = Step::Wait(key);
        Poll::Pending
    }
}

impl Future for Operation<'_> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.get_mut();
        let shared = &this.channel.client.shared;
        // The waker of another task, where this future was polled before, may own what wants the
        // lock when it is dropped.
        let mut old = None;
        let waker = cx.waker();
        let answer = match this.step {
            Step::Sent(key, _) => {
                shared.collect(|results| Self::poll_answer(results, key, waker, &mut old))
            }
            // It would be sent again.
            Step::Done => return Poll::Pending,
            Step::Start | Step::Wait(_) => shared
                .with(|state, now, wakers| this.advance((state, now, wakers), waker, &mut old)),
        };
        drop(old);
        if answer.is_ready() {
            this.step = Step::Done;
        }
        answer
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let step = std::mem::replace(&mut self.step, Step::Done);
        match step {
            Step::Sent(key, ioid) => {
                // The slot holds a waker, which must not be dropped under the lock: it may own
                // the task that drops us.
                let _slot = self.channel.client.shared.with(|state, _, _| {
                    state.core.cancel(ioid);
                    state.results.ops.remove(key)
                });
            }
            Step::Wait(Some(key)) => {
                let shared = &self.channel.client.shared;
                let _waker = shared.with(|state, _, _| state.waits.remove(key));
            }
            Step::Start | Step::Wait(None) | Step::Done => {}
        }
    }
}

/// Waits until a channel satisfies a condition; false when the time is up before.
#[derive(Debug)]
pub(crate) struct WaitFor<'a, F> {
    pub(crate) channel: &'a ChannelInner,
    pub(crate) deadline: Instant,
    pub(crate) condition: F,
    pub(crate) key: Option<WaitKey>,
}

impl<F: FnMut(&State) -> bool + Unpin> Future for WaitFor<'_, F> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = self.get_mut();
        let (condition, key) = (&mut this.condition, &mut this.key);
        let (deadline, cid) = (this.deadline, this.channel.cid);
        let (ready, _old) = this.channel.client.shared.with(|state, now, wakers| {
            let old = key.take().and_then(|key| state.waits.remove(key));
            if condition(state) {
                return (Poll::Ready(true), old);
            }
            if now >= deadline || state.is_closing() {
                return (Poll::Ready(false), old);
            }
            let waiter = Waiter::Task(cx.waker().clone());
            let until = Until::Channel(cid);
            *key = state.waits.add(until, deadline, waiter, wakers);
            (Poll::Pending, old)
        });
        ready
    }
}

impl<F> Drop for WaitFor<'_, F> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let shared = &self.channel.client.shared;
            let _waker = shared.with(|state, _, _| state.waits.remove(key));
        }
    }
}
