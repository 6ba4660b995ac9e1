//! What a model remembers from step to step, and how it gets into snapshots and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::model::{MAX_MODEL_STATE, Model, ModelFault};
use crate::state::codec::{Reader, Saved, Writer, saved};

/// A model with what it has from its last step.
#[derive(Debug)]
pub(super) struct Run<M> {
    pub model: M,
    /// How many set-points and read-backs, and the first of these: which model it is.
    places: (usize, usize),
    first: Box<str>,
    pub read_values: Vec<f64>,
    pub steps: u32,
    /// The alarm of the last step is shown.
    pub failing: bool,
    /// The time of the last step for whoever asked for it, and for the model.
    asked: Duration,
    own: Duration,
}

/// The same in a snapshot.
struct RunState {
    places: (usize, usize),
    first: Box<str>,
    read_values: Vec<f64>,
    steps: u32,
    failing: bool,
    own: Duration,
    model: Vec<u8>,
}

saved!(struct RunState { places, first, read_values, steps, failing, own, model });

/// Has it as long as this lives, panics of models or not.
pub(super) fn lock<T: ?Sized>(run: &Mutex<T>) -> MutexGuard<'_, T> {
    run.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M: Model> Run<M> {
    pub(super) fn new(model: M, places: (usize, usize), first: Option<&String>) -> Self {
        Self {
            model,
            places,
            first: first.map_or("", String::as_str).into(),
            read_values: vec![0.0; places.1],
            steps: 0,
            failing: false,
            asked: Duration::ZERO,
            own: Duration::ZERO,
        }
    }

    /// Read-backs from set-points; after an error they are as they were.
    pub(super) fn compute(
        &mut self,
        t: Duration,
        set: &[f64],
        names: &[String],
    ) -> Result<(), ModelFault> {
        // For the model time goes on from where it is, which need not be where others are.
        self.own = match t.checked_sub(self.asked) {
            Some(passed) => self.own + passed,
            None => self.own.saturating_sub(self.asked - t),
        };
        self.asked = t;
        let before = self.read_values.clone();
        let (model, own, read) = (&mut self.model, self.own, &mut self.read_values);
        let computed = catch_unwind(AssertUnwindSafe(|| model.step(own, set, read)));
        let computed = match computed {
            Ok(Ok(())) => check(read, names),
            Ok(Err(what)) => Err(ModelFault::Said(what)),
            Err(panic) => Err(ModelFault::Panicked(said(&*panic))),
        };
        if computed.is_err() {
            self.read_values = before;
        }
        computed
    }
}

fn check(read: &[f64], names: &[String]) -> Result<(), ModelFault> {
    match read.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(ModelFault::NotFinite {
            pv: names.get(at).cloned().unwrap_or_default(),
            value: read.get(at).map_or_else(String::new, f64::to_string),
        }),
    }
}

/// What a panic says.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    text.unwrap_or_else(|| "without a text".to_owned())
}

/// A model that an IOC knows, of whatever kind.
pub(super) trait Steps: Send + Sync {
    /// Waits until no step is under way, and lets none begin.
    fn hold(&self) -> Box<dyn Held + '_>;
}

/// A model that does not step.
pub(super) trait Held {
    /// Its state, or in words why there is none.
    fn save(&self) -> Result<Vec<u8>, String>;

    /// Whether a state is of this model; in words what is another.
    fn suits(&self, state: &[u8]) -> Result<(), String>;

    /// Takes over a state, or says in words why it cannot; it has not changed then.
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;
}

impl<M: Model> Steps for Mutex<Run<M>> {
    fn hold(&self) -> Box<dyn Held + '_> {
        Box::new(lock(self))
    }
}

fn shown((set, read): (usize, usize), first: &str) -> String {
    format!("reads {set} and writes {read} PVs from \"{first}\" on")
}

impl<M: Model> Held for MutexGuard<'_, Run<M>> {
    fn save(&self) -> Result<Vec<u8>, String> {
        let saved = catch_unwind(AssertUnwindSafe(|| self.model.save()));
        let model = saved.map_err(|panic| format!("it panicked: {}", said(&*panic)))?;
        if model.len() > MAX_MODEL_STATE {
            let bytes = model.len();
            return Err(format!(
                "its state has {bytes} bytes, and at most {MAX_MODEL_STATE} are taken"
            ));
        }
        let mut to = Writer::default();
        RunState {
            places: self.places,
            first: self.first.clone(),
            read_values: self.read_values.clone(),
            steps: self.steps,
            failing: self.failing,
            own: self.own,
            model,
        }
        .save(&mut to);
        Ok(to.bytes)
    }

    fn suits(&self, state: &[u8]) -> Result<(), String> {
        let state = read(state)?;
        match (state.places, &state.first) == (self.places, &self.first) {
            true => Ok(()),
            false => Err(format!(
                "it {} there, and {} here",
                shown(state.places, &state.first),
                shown(self.places, &self.first)
            )),
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let state = read(state)?;
        let model = &mut self.model;
        let restored = catch_unwind(AssertUnwindSafe(|| model.restore(&state.model)));
        restored.map_err(|panic| format!("it panicked: {}", said(&*panic)))??;
        self.read_values = state.read_values;
        self.steps = state.steps;
        self.failing = state.failing;
        self.own = state.own;
        Ok(())
    }
}

fn read(state: &[u8]) -> Result<RunState, String> {
    let mut from = Reader::new(state);
    let state = RunState::load(&mut from);
    let whole = state.ok().filter(|state| {
        from.is_at_end()
            && state.read_values.len() == state.places.1
            && state.model.len() <= MAX_MODEL_STATE
    });
    whole.ok_or_else(|| "its state has no meaning".to_owned())
}
