//! Who drives, in every order of threads. A runtime that is as simple as can be stands for that of `ca-net`,
//! which has models of its own: one thread drives, the others sleep until they have their answer or may drive.

use std::mem::take;
use std::task::Wake;

use super::*;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread;

#[path = "../../../../ca-testkit/tests/models/check.rs"]
mod check;

use check::check;

/// What somebody waits for.
#[derive(Debug, Default)]
struct Answer {
    come: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Answer {
    fn has_come(&self) -> bool {
        self.come.load(Ordering::SeqCst)
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            match self.has_come() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    fn give(&self) {
        self.come.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().unwrap().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

#[derive(Debug, Default)]
struct State {
    driven: bool,
    let_go: bool,
    /// Requests that nobody has looked at.
    asked: Vec<Arc<Answer>>,
}

/// The runtime: whoever drives answers what is asked.
#[derive(Debug, Default)]
struct Engine {
    state: Mutex<State>,
    changed: Condvar,
}

impl Engine {
    fn ask(&self) -> Arc<Answer> {
        let answer = Arc::<Answer>::default();
        self.state.lock().unwrap().asked.push(answer.clone());
        self.changed.notify_all();
        answer
    }

    fn let_go(&self) {
        self.state.lock().unwrap().let_go = true;
        self.changed.notify_all();
    }

    /// Drives, or waits for who does, until `done`.
    fn block_on(&self, mut done: impl FnMut(&mut State) -> bool) {
        let mut state = self.state.lock().unwrap();
        let mut drives = false;
        while !done(&mut state) {
            drives |= !std::mem::replace(&mut state.driven, true);
            let asked = if drives {
                take(&mut state.asked)
            } else {
                Vec::new()
            };
            if asked.is_empty() {
                state = self.changed.wait(state).unwrap();
                continue;
            }
            drop(state);
            asked.iter().for_each(|answer| answer.give());
            // Whose answers they are may sleep here.
            self.changed.notify_all();
            state = self.state.lock().unwrap();
        }
        if drives {
            state.driven = false;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Answers what is asked, once; whoever drives already does so instead.
    fn turn(&self) {
        let mut state = self.state.lock().unwrap();
        if state.driven {
            drop(state);
            self.changed.notify_all();
            return;
        }
        state.driven = true;
        let asked = take(&mut state.asked);
        drop(state);
        asked.iter().for_each(|answer| answer.give());
        self.state.lock().unwrap().driven = false;
        self.changed.notify_all();
    }
}

/// What [`Driver`] is, around that runtime.
#[derive(Clone, Debug)]
struct Model(Arc<(Turns, Engine)>);

impl Model {
    fn new() -> Self {
        Self(Arc::new((Turns::new(), Engine::default())))
    }

    /// See [`Driver::start`].
    fn start(&self) -> thread::JoinHandle<()> {
        let this = self.clone();
        thread::spawn(move || {
            let (turns, engine) = &*this.0;
            let waker = Waker::from(Arc::new(this.clone()));
            let cx = Context::from_waker(&waker);
            while turns.wait() {
                while turns.poll_let_go(&cx).is_pending() {
                    engine.block_on(|state| take(&mut state.let_go));
                }
            }
        })
    }

    /// See [`Driver::stop`].
    fn stop(&self) {
        self.0.0.stop();
    }

    /// See [`Driver::block_until`].
    fn call(&self) {
        self.call_until(&self.0.1.ask());
    }

    fn call_until(&self, answer: &Answer) {
        let (turns, engine) = &*self.0;
        let _call = Call::new(turns);
        engine.block_on(|_| answer.has_come());
    }

    /// See [`Driver::turn`].
    fn turn(&self) {
        let (turns, engine) = &*self.0;
        let _call = Call::new(turns);
        engine.turn();
    }

    /// A loop of its own: it asks, has its turn, and sleeps until it is woken if the answer did not come.
    fn ask_and_turn(&self) {
        let answer = self.0.1.ask();
        self.turn();
        shuttle::future::block_on(answer.wait());
    }

    /// Queues what needs no answer, and waits until it was sent.
    fn write(&self) {
        let (_, engine) = &*self.0;
        shuttle::future::block_on(engine.ask().wait());
    }
}

/// Makes the background thread, which drives, look whether it is to let go.
impl Wake for Model {
    fn wake(self: Arc<Self>) {
        self.0.1.let_go();
    }
}

fn spawn(model: &Model, work: impl FnOnce(&Model) + Send + 'static) -> thread::JoinHandle<()> {
    let model = model.clone();
    thread::spawn(move || work(&model))
}

/// All calls get their answer, and what needs no answer is sent when there are no more calls.
#[test]
fn every_call_is_answered_and_the_background_thread_comes_back() {
    check(|| {
        let model = Model::new();
        let background = model.start();
        let calls = [
            spawn(&model, Model::call),
            spawn(&model, |model| {
                model.call();
                model.call();
            }),
            spawn(&model, Model::call),
        ];
        for call in calls {
            call.join().unwrap();
        }
        model.write();
        model.stop();
        background.join().unwrap();
        assert_eq!(model.0.0.lock().calls, 0);
    });
}

/// What needs no answer is sent although a call is under way that waits for long.
#[test]
fn a_write_beside_a_long_call_is_sent() {
    check(|| {
        let model = Model::new();
        let background = model.start();
        let late = Arc::<Answer>::default();
        let long = spawn(&model, {
            let late = late.clone();
            move |model| model.call_until(&late)
        });
        let call = spawn(&model, Model::call);
        model.write();
        call.join().unwrap();
        late.give();
        model.0.1.let_go();
        long.join().unwrap();
        model.write();
        model.stop();
        background.join().unwrap();
    });
}

/// A client that is dropped while its background thread drives, looks or sleeps: the thread ends, and
/// a call that is under way gets its answer.
#[test]
fn the_background_thread_ends_whatever_it_does() {
    check(|| {
        let model = Model::new();
        let background = model.start();
        let call = spawn(&model, Model::call);
        model.stop();
        background.join().unwrap();
        call.join().unwrap();
    });
}

/// The same beside a call that waits for something that does not come before.
#[test]
fn the_background_thread_ends_beside_a_call_that_does_not() {
    check(|| {
        let model = Model::new();
        let background = model.start();
        let late = Arc::<Answer>::default();
        let call = spawn(&model, {
            let late = late.clone();
            move |model| model.call_until(&late)
        });
        model.stop();
        background.join().unwrap();
        late.give();
        model.0.1.let_go();
        call.join().unwrap();
    });
}

/// A loop that has its turns beside calls and the background thread: each of its questions is answered, by its turn
/// or by who drives then, and what it asked without a turn behind it is not left lying.
#[test]
fn a_loop_with_turns_of_its_own_is_answered() {
    check(|| {
        let model = Model::new();
        let background = model.start();
        let threads = [
            spawn(&model, |model| {
                model.ask_and_turn();
                model.ask_and_turn();
            }),
            spawn(&model, Model::call),
        ];
        model.turn();
        for thread in threads {
            thread.join().unwrap();
        }
        model.write();
        model.stop();
        background.join().unwrap();
        assert_eq!(model.0.0.lock().calls, 0);
    });
}

/// A call that waits for what comes late, and turns that come and go meanwhile: a write between them is sent.
#[test]
fn turns_beside_a_long_call_leave_nothing_lying() {
    check(|| {
        let model = Model::new();
        let background = model.start();
        let late = Arc::<Answer>::default();
        let long = spawn(&model, {
            let late = late.clone();
            move |model| model.call_until(&late)
        });
        model.turn();
        model.write();
        model.turn();
        late.give();
        model.0.1.let_go();
        long.join().unwrap();
        model.write();
        model.stop();
        background.join().unwrap();
    });
}

/// Turns while the client is closed.
#[test]
fn the_background_thread_ends_beside_turns() {
    check(|| {
        let model = Model::new();
        let background = model.start();
        let turns = spawn(&model, |model| {
            model.turn();
            model.turn();
        });
        model.stop();
        background.join().unwrap();
        turns.join().unwrap();
        assert!(!model.0.0.wait());
    });
}
