use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use super::*;

/// The tasks that are ready, as an executor of one thread has them.
#[derive(Default)]
struct Ready(Mutex<VecDeque<usize>>);

struct Task(usize, Arc<Ready>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.1.0.lock().unwrap().push_back(self.0);
    }
}

/// Circuits, each of one of the hosts and with so many turns of work.
struct Circuits {
    ready: Arc<Ready>,
    places: Vec<(Place, Waker, usize)>,
    turns: AtomicUsize,
}

impl Circuits {
    fn new(hosts: &[(usize, usize)]) -> Self {
        let ready = Arc::<Ready>::default();
        let mut places = Vec::new();
        for &(circuits, turns) in hosts {
            let host = Arc::<Host>::default();
            for _ in 0..circuits {
                let waker = Waker::from(Arc::new(Task(places.len(), ready.clone())));
                waker.wake_by_ref();
                places.push((Place::new(host.clone()), waker, turns));
            }
        }
        Self {
            ready,
            places,
            turns: AtomicUsize::new(0),
        }
    }

    /// Polls what is ready now; what that wakes has to wait for the next call, as behind a look at the sockets.
    /// Returns how many turns were had.
    fn cycle(&mut self) -> usize {
        let ready = std::mem::take(&mut *self.ready.0.lock().unwrap());
        let before = *self.turns.get_mut();
        for index in ready {
            let (place, waker, left) = &mut self.places[index];
            let next = if place.may_go_on(waker) && *left > 0 {
                *self.turns.get_mut() += 1;
                *left -= 1;
                place.had_turn(waker)
            } else {
                place.leave()
            };
            next.into_iter().for_each(Waker::wake);
        }
        *self.turns.get_mut() - before
    }
}

#[test]
fn a_host_has_one_turn_while_others_have_one() {
    let mut circuits = Circuits::new(&[(100, 5), (1, 40)]);
    for _ in 0..40 {
        assert!(circuits.cycle() <= 2, "one turn for each host");
    }
    assert_eq!(
        circuits.places[100].2, 0,
        "the other host has had all of its turns"
    );
}

#[test]
fn circuits_of_a_host_have_their_turns_one_after_the_other_and_all_of_them() {
    let mut circuits = Circuits::new(&[(10, 3)]);
    for _ in 0..11 {
        circuits.cycle();
    }
    // The first had another before the others came.
    let left: Vec<usize> = circuits.places.iter().map(|place| place.2).collect();
    assert_eq!(left, [1, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
    for _ in 0..50 {
        circuits.cycle();
    }
    assert!(circuits.places.iter().all(|place| place.2 == 0));
    assert!(
        circuits.ready.0.lock().unwrap().is_empty(),
        "who has nothing to do sleeps"
    );
}

#[test]
fn a_circuit_that_ends_passes_the_turn_on() {
    let mut circuits = Circuits::new(&[(3, 3)]);
    circuits.cycle();
    // The first has the turn, the others wait; one that waits ends, then the one that has the turn.
    let third = circuits.places.pop();
    drop(third);
    let first = circuits.places.remove(0);
    drop(first);
    circuits
        .places
        .insert(0, (Place::new(Arc::default()), Waker::noop().clone(), 0));
    for _ in 0..10 {
        circuits.cycle();
    }
    assert_eq!(circuits.places[1].2, 0);
}
