//! No circuit waits for ever, in every order of threads.

use std::task::Wake;

use shuttle::sync::Condvar;
use shuttle::thread;

use super::*;

#[path = "../../../../ca-testkit/tests/models/check.rs"]
mod check;

/// A thread that is a task, which has to be woken.
#[derive(Default)]
struct Sleeper {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl Sleeper {
    fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.changed.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// Has so many turns, and ends: in the turn, as one whose task is aborted, or after it.
fn circuit(host: Arc<Host>, mut turns: usize, aborted: bool) {
    let sleeper = Arc::<Sleeper>::default();
    let waker = Waker::from(sleeper.clone());
    let mut place = Place::new(host);
    loop {
        let may = place.may_go_on(&waker);
        let next = if may && turns > 0 {
            turns -= 1;
            place.had_turn(&waker)
        } else {
            place.leave()
        };
        next.into_iter().for_each(Waker::wake);
        if turns == 0 && (aborted || may) {
            return;
        }
        sleeper.sleep();
    }
}

#[test]
fn every_circuit_of_a_host_has_its_turns() {
    check::check(|| {
        let host = Arc::<Host>::default();
        let threads = [(2, false), (1, true), (2, false)].map(|(turns, aborted)| {
            let host = host.clone();
            thread::spawn(move || circuit(host, turns, aborted))
        });
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let line = host.lock();
        assert!(line.serving.is_none() && line.waiting.is_empty());
    });
}
