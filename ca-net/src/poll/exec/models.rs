//! Who leads, in every order of threads. A flag under a lock stands for the sockets.

use std::future::poll_fn;

use shuttle::thread;

use super::*;

#[path = "../../../../ca-testkit/tests/models/check.rs"]
mod check;

use check::check;

/// Sockets on which nothing ever comes.
#[derive(Debug, Default)]
struct Quiet {
    poked: Mutex<bool>,
    changed: Condvar,
}

#[derive(Debug)]
struct Sockets(Arc<Quiet>);

impl Park for Sockets {
    fn wait(&mut self, block: bool) {
        let mut poked = lock(&self.0.poked);
        while block && !*poked {
            poked = self.0.changed.wait(poked).unwrap();
        }
        *poked = false;
    }

    fn dispatch(&mut self) {}

    fn set_alone(&self, _alone: bool) {}
}

impl Poke for Arc<Quiet> {
    fn poke(&self) {
        *lock(&self.poked) = true;
        self.changed.notify_one();
    }
}

fn exec() -> Arc<Exec<Sockets>> {
    let quiet = Arc::<Quiet>::default();
    Arc::new(Exec::new(Sockets(quiet.clone()), Box::new(quiet)))
}

/// What somebody waits for.
#[derive(Clone, Debug, Default)]
struct Answer(Arc<Mutex<(bool, Option<Waker>)>>);

impl Answer {
    async fn wait(self) {
        poll_fn(|cx| {
            let mut state = lock(&self.0);
            if state.0 {
                return Poll::Ready(());
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn give(&self) {
        let waker = {
            let mut state = lock(&self.0);
            state.0 = true;
            state.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Asks a task for an answer, and waits for it.
fn call(exec: &Exec<Sockets>) {
    let answer = Answer::default();
    let asked = answer.clone();
    drop(exec.spawn(Box::pin(async move { asked.give() })));
    exec.block_on(answer.wait());
}

/// Threads that lead, follow and come back all get their answers, whoever runs the tasks.
#[test]
fn every_call_is_answered() {
    check(|| {
        let exec = exec();
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let exec = exec.clone();
                thread::spawn(move || (0..=n % 2).for_each(|_| call(&exec)))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(lock(&exec.lead).engine.is_some());
        assert!(lock(&exec.lead).waiting.is_empty());
        assert!(lock(&exec.hub.tasks).living.is_empty());
    });
}

/// An answer that comes from a thread which has nothing to do with the runtime reaches who waits, whether he leads,
/// sleeps, or is about to do either.
#[test]
fn an_answer_from_outside_is_seen() {
    check(|| {
        let exec = exec();
        let answers: Vec<Answer> = (0..2).map(|_| Answer::default()).collect();
        let threads: Vec<_> = (answers.iter().cloned())
            .map(|answer| {
                let exec = exec.clone();
                thread::spawn(move || exec.block_on(answer.wait()))
            })
            .collect();
        answers.iter().for_each(Answer::give);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// A task that yields, and one that is aborted by another thread, both end, and who waits for them is told.
#[test]
fn a_task_that_yields_and_one_that_is_aborted_end() {
    check(|| {
        let exec = exec();
        let yields = exec.spawn(Box::pin({
            let exec = exec.clone();
            async move {
                let mut first = true;
                poll_fn(|cx| match mem::take(&mut first) {
                    true => {
                        exec.yield_now(cx.waker());
                        Poll::Pending
                    }
                    false => Poll::Ready(()),
                })
                .await;
            }
        }));
        let aborted = exec.spawn(Box::pin(std::future::pending()));
        let other = thread::spawn({
            let exec = exec.clone();
            move || exec.block_on(yields)
        });
        aborted.abort();
        exec.block_on(aborted);
        other.join().unwrap();
    });
}

/// Tasks that are dropped while threads wait for them: the threads are told.
#[test]
fn a_shutdown_ends_what_is_waited_for() {
    check(|| {
        let exec = exec();
        let task = exec.spawn(Box::pin(std::future::pending()));
        let waits = thread::spawn({
            let exec = exec.clone();
            move || exec.block_on(task)
        });
        exec.shutdown();
        waits.join().unwrap();
        assert!(lock(&exec.hub.tasks).living.is_empty());
    });
}

/// A loop of its own that asks, has its turn, and sleeps until it is woken if that brought no answer.
fn turn_once(exec: &Exec<Sockets>) {
    let answer = Answer::default();
    let asked = answer.clone();
    drop(exec.spawn(Box::pin(async move { asked.give() })));
    exec.turn();
    exec.block_on(answer.wait());
}

/// A turn runs what is ready, and what becomes ready by that, also what another thread has woken just before.
#[test]
fn a_turn_does_what_is_there() {
    check(|| {
        let exec = exec();
        let (first, second) = (Answer::default(), Answer::default());
        drop(exec.spawn(Box::pin({
            let (first, second) = (first.clone(), second.clone());
            async move {
                first.wait().await;
                second.give();
            }
        })));
        let other = thread::spawn({
            let first = first.clone();
            move || first.give()
        });
        exec.turn();
        other.join().unwrap();
        exec.turn();
        assert!(lock(&second.0).0);
        assert!(lock(&exec.lead).engine.is_some());
        assert!(lock(&exec.hub.tasks).living.is_empty());
    });
}

/// Turns beside threads that wait: all of them end, whoever leads, and the lead is left where the next finds it.
#[test]
fn turns_beside_calls_end_and_lose_nothing() {
    check(|| {
        let exec = exec();
        let works: [fn(&Exec<Sockets>); 3] = [turn_once, call, |exec| {
            exec.turn();
            exec.turn();
        }];
        let threads: Vec<_> = (works.into_iter())
            .map(|work| {
                let exec = exec.clone();
                thread::spawn(move || work(&exec))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(lock(&exec.lead).engine.is_some());
        assert!(lock(&exec.lead).waiting.is_empty());
        assert!(lock(&exec.hub.tasks).living.is_empty());
    });
}

/// A thread that waits for what only another gives is not left without a leader by turns that come and go, nor do the
/// turns wait for it.
#[test]
fn turns_beside_a_long_wait_end() {
    check(|| {
        let exec = exec();
        let answer = Answer::default();
        let waits = thread::spawn({
            let (exec, answer) = (exec.clone(), answer.clone());
            move || exec.block_on(answer.wait())
        });
        let turns = thread::spawn({
            let exec = exec.clone();
            move || turn_once(&exec)
        });
        exec.turn();
        turns.join().unwrap();
        answer.give();
        waits.join().unwrap();
        assert!(lock(&exec.lead).engine.is_some());
    });
}
