//! Snapshots of an IOC that serves, in turns, together with the models behind its PVs.

use std::sync::Arc;

use super::SimIoc;
use super::model_state::{Held, Steps};
use crate::state::{IocSnapshot, Rewinding, SnapshotError};

impl SimIoc {
    /// The state of the whole IOC with its models, see [`Ioc::snapshot`](crate::Ioc::snapshot). It is that of one
    /// moment, and between two steps of each model; the IOC is locked for some hundred records at a time, and goes on
    /// meanwhile. It takes its time on the thread that calls it: one that serves clients has better things to do.
    ///
    /// # Errors
    /// [`SnapshotError::NotStarted`], [`SnapshotError::Reshaped`], [`SnapshotError::Model`]
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Ioc, IocSnapshot, NetConfig, PvSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ioc = Ioc::builder().pv("x", PvSpec::long(1)).serve(NetConfig::new()).await?;
    /// let before = ioc.snapshot()?;
    /// ioc.post("x", 2)?;
    /// ioc.rewind(&before)?; // clients stay connected, and see the old value
    /// assert_eq!(ioc.read("x")?.value, 1.into());
    /// # Ok(())
    /// # }
    /// ```
    pub fn snapshot(&self) -> Result<IocSnapshot, SnapshotError> {
        let shared = &self.0.shared;
        let _one = shared.one_at_a_time();
        let slices = shared.slices();
        let models = shared.models();
        let mut taking = {
            let held = hold(&models);
            let states = held.iter().enumerate().map(|(n, model)| {
                let state = model.save();
                state.map_err(|what| SnapshotError::Model {
                    number: n + 1,
                    what,
                })
            });
            let states = states.collect::<Result<_, _>>()?;
            let mut taking = slices.with(crate::Ioc::begin_snapshot)?;
            taking.set_models(states);
            taking
        };
        while slices.with(|ioc, _| ioc.copy_on(&mut taking))? {}
        Ok(taking.finish())
    }

    /// Goes back to a snapshot, see [`Ioc::rewind`](crate::Ioc::rewind). Models go on from what they were; they make no
    /// step meanwhile. The IOC is locked for some hundred records at a time; what it is begun with is read and compared
    /// before anything changes. PVs that are no records of files go back one after the other.
    ///
    /// # Errors
    /// [`SnapshotError`]: it does not fit, and nothing has changed.
    pub fn rewind(&self, snapshot: &IocSnapshot) -> Result<(), SnapshotError> {
        let shared = &self.0.shared;
        let _one = shared.one_at_a_time();
        let slices = shared.slices();
        let models = shared.models();
        let mut rewinding = slices.with(|ioc, _| ioc.begin_rewind(snapshot))?;
        rewinding.read()?;
        let mut held = hold(&models);
        compare(&held, rewinding.models())?;
        while !rewinding.is_changing() {
            slices.with(|ioc, now| ioc.go_back(now, &mut rewinding))?;
        }
        let before = restore(&mut held, &rewinding)?;
        let exchanged = slices.with(|ioc, now| ioc.go_back(now, &mut rewinding));
        if let Err(error) = exchanged {
            undo(&mut held, &before);
            return Err(error);
        }
        while slices.with(|ioc, now| ioc.go_back(now, &mut rewinding))? {}
        Ok(())
    }

    /// A model is behind PVs of this IOC.
    pub(super) fn join_model(&self, model: Arc<dyn Steps>) {
        self.0.shared.join_model(Arc::downgrade(&model));
    }
}

fn hold(models: &[Arc<dyn Steps>]) -> Vec<Box<dyn Held + '_>> {
    models.iter().map(|model| model.hold()).collect()
}

fn compare(held: &[Box<dyn Held + '_>], states: &[Vec<u8>]) -> Result<(), SnapshotError> {
    if held.len() != states.len() {
        let (there, here) = (states.len(), held.len());
        let what = format!("it has {there} models, and here are {here}");
        return Err(SnapshotError::OtherDatabase { what });
    }
    for (n, (model, state)) in held.iter().zip(states).enumerate() {
        let suits = model.suits(state);
        suits.map_err(|what| SnapshotError::Model {
            number: n + 1,
            what,
        })?;
    }
    Ok(())
}

/// All or none of them; what they were.
fn restore(
    held: &mut [Box<dyn Held + '_>],
    rewinding: &Rewinding,
) -> Result<Vec<Vec<u8>>, SnapshotError> {
    let mut before = Vec::new();
    for n in 0..held.len() {
        let (Some(model), Some(state)) = (held.get_mut(n), rewinding.models().get(n)) else {
            break;
        };
        let restored = model.save().and_then(|was| {
            model.restore(state)?;
            Ok(was)
        });
        match restored {
            Ok(was) => before.push(was),
            Err(what) => {
                undo(held, &before);
                return Err(SnapshotError::Model {
                    number: n + 1,
                    what,
                });
            }
        }
    }
    Ok(before)
}

fn undo(held: &mut [Box<dyn Held + '_>], before: &[Vec<u8>]) {
    for (model, state) in held.iter_mut().zip(before) {
        // It was in it a moment ago.
        let _ = model.restore(state);
    }
}
