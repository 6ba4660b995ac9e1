//! The run queue and the table of tasks.

use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use ca_net::{BoxFuture, Task, TaskHandle};
use ca_proto::Instant;

use super::Inner;
use crate::net::{ConnId, HostId};

/// Names a task, in the order in which they were started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct TaskId(u64);

impl TaskId {
    /// The future that `block_on` runs.
    pub(super) const MAIN: Self = Self(0);
}

/// Runnable tasks. Its lock is a leaf: wakers take it and nothing else.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<VecDeque<Arc<TaskWaker>>>);

#[derive(Debug)]
struct TaskWaker {
    id: TaskId,
    /// Not held: the queue holds the wakers of runnable tasks.
    queue: Weak<Queue>,
    queued: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed)
            && let Some(queue) = self.queue.upgrade()
        {
            let mut ready = queue.0.lock().unwrap_or_else(PoisonError::into_inner);
            ready.push_back(self);
        }
    }
}

impl Queue {
    pub(super) fn waker(self: &Arc<Self>, id: TaskId) -> Waker {
        Waker::from(Arc::new(TaskWaker {
            id,
            queue: Arc::downgrade(self),
            queued: AtomicBool::new(false),
        }))
    }

    /// Takes the task at the position that `choose` names, given their number.
    pub(super) fn pop(&self, choose: impl FnOnce(usize) -> usize) -> Option<TaskId> {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_empty() {
            return None;
        }
        let at = choose(ready.len());
        let waker = ready.remove(at)?;
        // A wake from here on, also while the task runs, makes it run once more.
        waker.queued.store(false, Ordering::Relaxed);
        Some(waker.id)
    }
}

/// What a task was told to wait for when it ran last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    Time(Instant),
    Datagram(u16),
    Accept(u16),
    Dial(ConnId),
    Read(ConnId),
    Write(ConnId),
    Join(TaskId),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(at) => write!(f, "until {at:?}"),
            Self::Datagram(port) => write!(f, "a datagram at port {port}"),
            Self::Accept(port) => write!(f, "a stream at port {port}"),
            Self::Dial(conn) => write!(f, "the dial of stream {}", conn.0),
            Self::Read(conn) => write!(f, "bytes of stream {}", conn.0),
            Self::Write(conn) => write!(f, "room in stream {}", conn.0),
            Self::Join(id) => write!(f, "the end of task {}", id.0),
        }
    }
}

struct Entry {
    /// None for tasks of the test itself.
    host: Option<HostId>,
    /// Absent while it runs.
    future: Option<BoxFuture<()>>,
    waker: Waker,
    aborted: bool,
    joiner: Option<Waker>,
    polls: u64,
}

/// All tasks that have not ended.
#[derive(Default)]
pub(super) struct Tasks {
    entries: BTreeMap<TaskId, Entry>,
    last: u64,
    current: Option<TaskId>,
    waits: BTreeMap<TaskId, Vec<Wait>>,
    shut_down: bool,
}

impl Tasks {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn of(&self, host: HostId) -> impl Iterator<Item = TaskId> {
        let entries = self.entries.iter();
        entries.filter_map(move |(&id, entry)| (entry.host == Some(host)).then_some(id))
    }

    /// A task is about to run.
    pub(super) fn enter(&mut self, id: TaskId) {
        self.current = Some(id);
        self.waits.entry(id).or_default().clear();
    }

    /// Notes what the running task waits for.
    pub(super) fn note(&mut self, wait: Wait) {
        if let Some(waits) = self.current.and_then(|id| self.waits.get_mut(&id))
            && !waits.contains(&wait)
        {
            waits.push(wait);
        }
    }

    /// Takes all tasks, to be dropped outside of the lock; no others are started from now on.
    pub(super) fn shut_down(&mut self) -> Vec<BoxFuture<()>> {
        self.shut_down = true;
        let entries = std::mem::take(&mut self.entries);
        entries.into_values().filter_map(|e| e.future).collect()
    }

    /// Every task and what it waits for.
    pub(super) fn describe<'a>(&self, name: impl Fn(HostId) -> &'a str) -> Vec<String> {
        let waits = |id: &TaskId| {
            let waits = self.waits.get(id).map_or(&[][..], Vec::as_slice);
            let words: Vec<_> = waits.iter().map(ToString::to_string).collect();
            match words.is_empty() {
                true => "another task".to_owned(),
                false => words.join(", "),
            }
        };
        let task = |(id, entry): (&TaskId, &Entry)| {
            let (host, polls) = (entry.host.map_or("the test", &name), entry.polls);
            let waits = waits(id);
            format!(
                "task {} of {host}, polled {polls}x: waits for {waits}",
                id.0
            )
        };
        let main = format!("the blocked-on future: waits for {}", waits(&TaskId::MAIN));
        let tasks = self.entries.iter().map(task);
        std::iter::once(main).chain(tasks).collect()
    }
}

/// Starts a task.
pub(super) fn spawn(inner: &Arc<Inner>, host: Option<HostId>, future: BoxFuture<()>) -> TaskHandle {
    let (id, refused) = inner.with(|state, wakers| {
        let tasks = &mut state.tasks;
        tasks.last += 1;
        let id = TaskId(tasks.last);
        if tasks.shut_down {
            return (id, Some(future));
        }
        let waker = inner.queue.waker(id);
        wakers.push(waker.clone());
        let entry = Entry {
            host,
            future: Some(future),
            waker,
            aborted: false,
            joiner: None,
            polls: 0,
        };
        tasks.entries.insert(id, entry);
        (id, None)
    });
    drop(refused);
    let inner = inner.clone();
    TaskHandle::new(SimTask { inner, id })
}

/// Polls a task that was woken.
pub(super) fn run(inner: &Inner, id: TaskId) {
    let taken = inner.with(|state, _| {
        let entry = state.tasks.entries.get_mut(&id)?;
        entry.polls += 1;
        let taken = (entry.future.take()?, entry.waker.clone(), entry.aborted);
        state.tasks.enter(id);
        Some(taken)
    });
    // Woken after its end.
    let Some((mut future, waker, aborted)) = taken else {
        return;
    };
    let done = aborted
        || future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
    if done {
        drop(future);
        inner.with(|state, wakers| {
            state.tasks.waits.remove(&id);
            let entry = state.tasks.entries.remove(&id);
            wakers.extend(entry.and_then(|entry| entry.joiner));
        });
    } else {
        inner.with(|state, _| {
            if let Some(entry) = state.tasks.entries.get_mut(&id) {
                entry.future = Some(future);
            }
        });
    }
}

#[derive(Debug)]
struct SimTask {
    inner: Arc<Inner>,
    id: TaskId,
}

impl Task for SimTask {
    /// The future is dropped when it is the task's turn, never here: the caller may hold locks
    /// that the future's end wants.
    fn abort(&self) {
        self.inner.with(|state, wakers| {
            if let Some(entry) = state.tasks.entries.get_mut(&self.id) {
                entry.aborted = true;
                wakers.push(entry.waker.clone());
            }
        });
    }

    fn poll_join(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.with(|state, _| {
            let Some(entry) = state.tasks.entries.get_mut(&self.id) else {
                return Poll::Ready(());
            };
            state.old.extend(entry.joiner.replace(cx.waker().clone()));
            state.tasks.note(Wait::Join(self.id));
            Poll::Pending
        })
    }
}
