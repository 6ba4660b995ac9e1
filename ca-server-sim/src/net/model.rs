//! Physics behind PVs: set-points in, read-backs out, all in one step.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ca_proto::dbr::Value;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus};
use thiserror::Error;

use super::SimIoc;
use super::model_state::{Run, Steps, lock};
use crate::db::PvHandle;
use crate::fields::number_of;

/// Bytes that a model has in a snapshot at most.
pub const MAX_MODEL_STATE: usize = 16 << 20;

/// What computes read-backs from set-points, as vectors in the order of the PVs that it was given.
pub trait Model: Send {
    /// One step, `t` after the first one. What is not written to `read` stays as it was. It must not take snapshots of
    /// its IOC, which wait for its step to end.
    ///
    /// # Errors
    /// In words, what cannot be: the read-backs show it as an INVALID alarm until a step succeeds.
    fn step(&mut self, t: Duration, set: &[f64], read: &mut [f64]) -> Result<(), String>;

    /// What a [snapshot](SimIoc::snapshot) of the IOC has of the model: all that decides what its next steps give,
    /// beside set-points, last read-backs and time, which the snapshot has anyway. The form is the model's own, of at
    /// most [`MAX_MODEL_STATE`] bytes, and says of which version it is. Nothing by default: a model without memory.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Goes back to what [`save`](Self::save) gave, perhaps in another process.
    ///
    /// # Errors
    /// In words, why that is no state of this model, which has not changed then.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        match state.is_empty() {
            true => Ok(()),
            false => Err("it has a state of its own there, and none here".to_owned()),
        }
    }
}

/// Why a step of a model did not succeed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ModelFault {
    /// The model says so.
    #[error("the model cannot go on: {0}")]
    Said(String),
    /// It panicked.
    #[error("the model panicked: {0}")]
    Panicked(String),
    /// A read-back is not a finite number.
    #[error("the model makes {value} of \"{pv}\"")]
    NotFinite {
        /// The first PV of which it does.
        pv: String,
        /// The value.
        value: String,
    },
}

/// Why a model cannot be connected to its PVs.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// There is no such PV.
    #[error("the IOC has no PV \"{pv}\", which the model {uses}")]
    UnknownPv {
        /// Its name.
        pv: String,
        /// What for.
        uses: &'static str,
    },
    /// An array PV takes read-backs that are not there.
    #[error("\"{pv}\" takes read-backs {from} to {to}, and there are {there}")]
    Range {
        /// Its name.
        pv: String,
        /// The first one.
        from: usize,
        /// The one behind the last.
        to: usize,
        /// How many there are.
        there: usize,
    },
}

/// Which PVs a model reads and writes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ModelPvs {
    /// Set-points: numbers that it reads.
    pub set: Vec<String>,
    /// Read-backs: numbers that it writes.
    pub read: Vec<String>,
    /// Array PVs that show a part of the read-backs: name, first one, one behind the last.
    pub arrays: Vec<(String, usize, usize)>,
    /// A PV that counts the steps.
    pub pulse: Option<String>,
}

/// A model that gives its read-backs as a vector of its own.
///
/// A vector of another length than there are read-backs is a step that fails, and nothing of it is posted.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<F>(pub F);

impl<F> Model for Vectors<F>
where
    F: FnMut(Duration, &[f64]) -> Result<Vec<f64>, String> + Send,
{
    fn step(&mut self, t: Duration, set: &[f64], read: &mut [f64]) -> Result<(), String> {
        let made = (self.0)(t, set)?;
        if made.len() != read.len() {
            let (made, wanted) = (made.len(), read.len());
            return Err(format!(
                "it gives {made} read-backs, and there are {wanted} PVs for them"
            ));
        }
        read.copy_from_slice(&made);
        Ok(())
    }
}

/// PVs that are read or posted while the IOC is locked once: some tenths of a millisecond.
const AT_ONCE: usize = 500;

/// A model behind an IOC. [`step`](Self::step) reads the set-points, computes, and posts the read-backs, all with
/// one time stamp; the IOC is locked for some hundred PVs at a time, and not while the model computes.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use ca_server_sim::net::{ModelPvs, ModelRun};
/// use ca_server_sim::{Ioc, NetConfig, PvSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ioc = Ioc::builder()
///     .pv("magnet:current", PvSpec::double(2.0).units("A"))
///     .pv("magnet:field", PvSpec::double(0.0).units("T").read_only())
///     .serve(NetConfig::new())
///     .await?;
/// let pvs = ModelPvs {
///     set: vec!["magnet:current".into()],
///     read: vec!["magnet:field".into()],
///     ..ModelPvs::default()
/// };
/// let model = |_: Duration, set: &[f64], read: &mut [f64]| {
///     read[0] = 0.1 * set[0];
///     Ok(())
/// };
/// let mut run = ModelRun::new(ioc.clone(), &pvs, model)?;
/// run.step(Duration::ZERO)?;
/// assert_eq!(ioc.read("magnet:field")?.value, 0.2.into());
/// # Ok(())
/// # }
/// ```
pub struct ModelRun<M> {
    ioc: SimIoc,
    /// Snapshots ask for it too. A step has it until all is posted.
    run: Arc<Mutex<Run<M>>>,
    set: Vec<PvHandle>,
    read: Vec<PvHandle>,
    names: Vec<String>,
    arrays: Vec<(PvHandle, usize, usize)>,
    pulse: Option<PvHandle>,
    set_values: Vec<f64>,
    read_values: Vec<f64>,
}

impl<M> fmt::Debug for ModelRun<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelRun")
            .field("set", &self.set.len())
            .field("read", &self.read.len())
            .finish_non_exhaustive()
    }
}

impl<F> Model for F
where
    F: FnMut(Duration, &[f64], &mut [f64]) -> Result<(), String> + Send,
{
    fn step(&mut self, t: Duration, set: &[f64], read: &mut [f64]) -> Result<(), String> {
        self(t, set, read)
    }
}

impl<M: Model + 'static> ModelRun<M> {
    /// Connects a model to PVs of an IOC.
    ///
    /// # Errors
    /// [`ModelError`]
    pub fn new(ioc: SimIoc, pvs: &ModelPvs, model: M) -> Result<Self, ModelError> {
        let handle = |pv: &String, uses| {
            let pv = pv.clone();
            ioc.pv(&pv).ok_or(ModelError::UnknownPv { pv, uses })
        };
        let all = |names: &[String], uses| -> Result<Vec<_>, _> {
            names.iter().map(|pv| handle(pv, uses)).collect()
        };
        let (set, read) = (all(&pvs.set, "reads")?, all(&pvs.read, "writes")?);
        let mut arrays = Vec::new();
        for (pv, from, to) in &pvs.arrays {
            if from > to || *to > read.len() {
                return Err(ModelError::Range {
                    pv: pv.clone(),
                    from: *from,
                    to: *to,
                    there: read.len(),
                });
            }
            arrays.push((handle(pv, "writes")?, *from, *to));
        }
        let pulse = pvs.pulse.as_ref().map(|pv| handle(pv, "counts with"));
        let run = Run::new(model, (set.len(), read.len()), pvs.read.first());
        let run = Arc::new(Mutex::new(run));
        ioc.join_model(Arc::clone(&run) as Arc<dyn Steps>);
        Ok(Self {
            pulse: pulse.transpose()?,
            set_values: vec![0.0; set.len()],
            read_values: vec![0.0; read.len()],
            names: pvs.read.clone(),
            ioc,
            run,
            set,
            read,
            arrays,
        })
    }

    /// Works with the model, between its steps.
    pub fn with_model<R>(&mut self, work: impl FnOnce(&mut M) -> R) -> R {
        work(&mut lock(&self.run).model)
    }

    /// Whether time stands still for its IOC.
    pub(super) fn is_frozen(&self) -> bool {
        self.ioc.is_frozen()
    }

    /// The read-backs of the last step.
    pub fn read_backs(&self) -> &[f64] {
        &self.read_values
    }

    /// Does a step, `t` after the first one. After the IOC has gone [back](SimIoc::rewind) to a snapshot it is `t` less
    /// what was between the two for the model.
    ///
    /// # Errors
    /// [`ModelFault`]: nothing is posted but an INVALID alarm on all read-backs. The next step may succeed.
    pub fn step(&mut self, t: Duration) -> Result<(), ModelFault> {
        let run = Arc::clone(&self.run);
        // No snapshot has a part of a step.
        let mut run = lock(&run);
        self.gather();
        let computed = run.compute(t, &self.set_values, &self.names);
        let failing = computed.is_err();
        if std::mem::replace(&mut run.failing, failing) != failing {
            self.show_alarm(failing);
        }
        computed?;
        run.steps = run.steps.wrapping_add(1);
        self.read_values.copy_from_slice(&run.read_values);
        self.post(run.steps);
        Ok(())
    }

    fn gather(&mut self) {
        let slices = self.ioc.slices();
        let chunks = self.set.chunks(AT_ONCE);
        for (handles, values) in chunks.zip(self.set_values.chunks_mut(AT_ONCE)) {
            slices.with(|ioc, _| {
                for (handle, value) in handles.iter().zip(values) {
                    let number = ioc.peek(*handle).and_then(|v| number_of(v.as_ref()));
                    *value = number.unwrap_or(f64::NAN);
                }
            });
        }
    }

    fn post(&self, steps: u32) {
        let slices = self.ioc.slices();
        let stamp = slices.with(|ioc, now| ioc.stamp(now));
        let pairs = self.read.chunks(AT_ONCE);
        for (handles, values) in pairs.zip(self.read_values.chunks(AT_ONCE)) {
            slices.with(|ioc, now| {
                for (handle, value) in handles.iter().zip(values) {
                    // A PV that was removed meanwhile shows nothing.
                    let _ = ioc.post_stamped(now, *handle, *value, stamp);
                }
            });
        }
        for &(handle, from, to) in &self.arrays {
            let part = self.read_values.get(from..to).unwrap_or_default();
            let value = Value::array(part);
            let _ = slices.with(|ioc, now| ioc.post_stamped(now, handle, value, stamp));
        }
        if let Some(pulse) = self.pulse {
            let value = Value::scalar(steps as i32);
            let _ = slices.with(|ioc, now| ioc.post_stamped(now, pulse, value, stamp));
        }
    }

    fn show_alarm(&self, failing: bool) {
        let alarm = match failing {
            true => Alarm::new(AlarmStatus::CALC, AlarmSeverity::INVALID),
            false => Alarm::NONE,
        };
        let slices = self.ioc.slices();
        for handles in self.read.chunks(AT_ONCE) {
            slices.with(|ioc, now| {
                for handle in handles {
                    let _ = ioc.set_alarm(now, *handle, alarm);
                }
            });
        }
    }
}
