//! Steps of a model, one each period, on a thread of their own.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::model::{Model, ModelFault, ModelRun};

/// How long the last steps took: so many are kept.
const MAX_TIMES: usize = 10_000;

/// What became of the steps of a model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Beaten {
    /// Steps, those that failed among them.
    pub steps: u64,
    /// Steps that failed.
    pub failed: u64,
    /// Steps that began a period or more after their time.
    pub late: u64,
    /// How long the first 10 000 of them took.
    pub times: Vec<Duration>,
}

impl Beaten {
    /// The time within which this part of the steps was done, 0.5 for the median; zero without steps.
    pub fn time(&self, part: f64) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let place = (times.len().saturating_sub(1) as f64 * part) as usize;
        times.get(place).copied().unwrap_or_default()
    }
}

/// A model that steps until this is [stopped](Self::stop) or dropped.
#[derive(Debug)]
pub struct Beats {
    stop: mpsc::Sender<()>,
    told: Arc<Mutex<Beaten>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<M: Model + 'static> ModelRun<M> {
    /// Steps each period on a thread of its own. `tell` is called when a step fails after one that did not, and
    /// with `None` when one succeeds again.
    ///
    /// While the IOC is [frozen](super::SimIoc::freeze) there are no steps, and time stands still for the model, too.
    ///
    /// A step that takes longer than the period makes the next one late; none is left out and none doubled.
    pub fn every(
        mut self,
        period: Duration,
        mut tell: impl FnMut(Option<&ModelFault>) + Send + 'static,
    ) -> Beats {
        let (stop, stopped) = mpsc::channel();
        let told = Arc::new(Mutex::new(Beaten::default()));
        let tells = Arc::clone(&told);
        let thread = thread::spawn(move || {
            let started = Instant::now();
            let (mut due, mut failing) = (Duration::ZERO, false);
            let mut held = Duration::ZERO;
            loop {
                let begun = started.elapsed();
                if self.is_frozen() {
                    match stopped.recv_timeout(period) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                    }
                    held += started.elapsed() - begun;
                    due = started.elapsed();
                    continue;
                }
                let done = self.step(begun.saturating_sub(held));
                let took = started.elapsed() - begun;
                note(&tells, done.is_err(), took, begun >= due + period);
                if std::mem::replace(&mut failing, done.is_err()) != done.is_err() {
                    tell(done.as_ref().err());
                }
                due = (due + period).max(begun);
                let wait = due.saturating_sub(started.elapsed());
                match stopped.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Beats {
            stop,
            told,
            thread: Some(thread),
        }
    }
}

impl Beats {
    /// What became of the steps so far.
    pub fn told(&self) -> Beaten {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends the steps, and waits for the one that is under way.
    pub fn stop(mut self) -> Beaten {
        self.end();
        self.told()
    }

    fn end(&mut self) {
        // The thread may have ended by a panic of `tell`, which has said so itself.
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.end();
    }
}

fn note(told: &Mutex<Beaten>, failed: bool, took: Duration, late: bool) {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    told.steps += 1;
    told.failed += u64::from(failed);
    told.late += u64::from(late);
    if told.times.len() < MAX_TIMES {
        told.times.push(took);
    }
}
