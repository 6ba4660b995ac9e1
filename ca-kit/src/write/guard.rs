//! A put that looks before it writes.

use std::time::Duration;

use ca_client::ca_proto::dbr::{Metadata, convert};
use ca_client::{
    AlarmSeverity, Client, ConnectError, GetError, IntoValue, NativeType, PutError, Pv, Range,
    Reading, Value, ValueError,
};
use thiserror::Error;

use super::limits;
use crate::clock;
use crate::condition::{Impossible, between, near};
use crate::face::{Face, Named, Op, Work};
use crate::snapshot::{Saved, present};

/// What became of a guarded put.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Guarded {
    /// The value was put.
    Put {
        /// Where the PV stood before.
        before: Saved,
    },
    /// The PV stands there already; nothing was put.
    Same {
        /// Where the PV stands.
        at: Saved,
    },
    /// The value would have been put: it was a dry run.
    WouldPut {
        /// Where the PV stands.
        at: Saved,
    },
}

/// Why a guarded put was not made.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The PV is not among those that may be put to.
    #[error(
        "\"{pv}\" is not put to: it is not among the allowed PVs; add it to them if it should be"
    )]
    NotAllowed {
        /// Name of the PV.
        pv: String,
    },
    /// The value is outside of what is allowed.
    #[error(
        "\"{pv}\" is not put to {value}: {of} go from {} to {}; give a value between them",
        range.lower, range.upper
    )]
    OutsideLimits {
        /// Name of the PV.
        pv: String,
        /// The value.
        value: f64,
        /// The limits.
        range: Range,
        /// Whose limits: those of the PV's control, or of the guard.
        of: &'static str,
    },
    /// The record takes no puts.
    #[error(
        "\"{pv}\" is not put to: its field DISP is {disp}, so the record takes no puts; ask who set it"
    )]
    Disabled {
        /// Name of the PV.
        pv: String,
        /// What DISP is.
        disp: i32,
    },
    /// The PV is in alarm.
    #[error("\"{pv}\" is not put to: it has the severity {severity}; look at it first")]
    InAlarm {
        /// Name of the PV.
        pv: String,
        /// How bad it is.
        severity: AlarmSeverity,
    },
    /// This user and host may not write it.
    #[error(
        "\"{pv}\" is not put to: no write access for this user and host; see the access security of the IOC"
    )]
    NoAccess {
        /// Name of the PV.
        pv: String,
    },
    /// The guard itself makes no sense.
    #[error("\"{pv}\" is not put to: {reason}")]
    Guard {
        /// Name of the PV.
        pv: String,
        /// What is wrong with it.
        reason: Impossible,
    },
    /// What has to be looked at cannot be.
    #[error("nothing is put: {0}")]
    Get(#[from] GetError),
    /// The put itself failed.
    #[error(transparent)]
    Put(#[from] PutError),
}

impl From<ConnectError> for GuardError {
    fn from(error: ConnectError) -> Self {
        Self::Get(error.into())
    }
}

impl GuardError {
    /// Name of the PV.
    pub fn pv(&self) -> &str {
        match self {
            Self::NotAllowed { pv }
            | Self::OutsideLimits { pv, .. }
            | Self::Disabled { pv, .. }
            | Self::InAlarm { pv, .. }
            | Self::NoAccess { pv }
            | Self::Guard { pv, .. } => pv,
            Self::Get(error) => error.pv(),
            Self::Put(error) => error.pv(),
        }
    }

    /// True if the time was up, so that waiting longer might have helped.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Get(error) => error.is_timeout(),
            Self::Put(error) => error.is_timeout(),
            _ => false,
        }
    }
}

/// A put that looks before it writes: [`Kit::put_guarded`](crate::Kit::put_guarded).
#[derive(Debug)]
pub struct GuardedPut {
    pv: Named,
    value: Result<Value, ValueError>,
    no_limits: bool,
    range: Option<Range>,
    disp: bool,
    alarm: Option<AlarmSeverity>,
    compare: Option<f64>,
    allowed: Option<Vec<String>>,
    dry_run: bool,
    wait: bool,
    timeout: Option<Duration>,
}

impl GuardedPut {
    pub(crate) fn new<'p>(pv: impl Into<Pv<'p>>, value: impl IntoValue) -> Self {
        Self {
            pv: Named::new(pv),
            value: value.into_value(),
            no_limits: false,
            range: None,
            disp: false,
            alarm: None,
            compare: None,
            allowed: None,
            dry_run: false,
            wait: false,
            timeout: None,
        }
    }
}

/// What a guarded put looks at. The limits of the PV's control and its access rights always count.
impl<C: Face> Op<'_, C, GuardedPut> {
    /// Does not look at the limits of the PV's control.
    pub fn without_limits(self) -> Self {
        self.set(|it| it.no_limits = true)
    }

    /// Refuses values outside of these, too, in the PV's units.
    pub fn range(self, low: f64, high: f64) -> Self {
        self.set(|it| it.range = Some(Range::new(low, high)))
    }

    /// Refuses when the field DISP of the record is not 0. A server that has no such field, as it has no
    /// records, refuses everything then.
    pub fn disp(self) -> Self {
        self.set(|it| it.disp = true)
    }

    /// Refuses when the PV is in an alarm as bad as this, or worse.
    pub fn alarm(self, severity: AlarmSeverity) -> Self {
        self.set(|it| it.alarm = Some(severity))
    }

    /// Puts only when the PV stands elsewhere, numbers by more than the tolerance.
    pub fn compare(self, tolerance: f64) -> Self {
        self.set(|it| it.compare = Some(tolerance))
    }

    /// Refuses PVs that are not among these.
    pub fn allowed(self, pvs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.set(|it| it.allowed = Some(pvs.into_iter().map(Into::into).collect()))
    }

    /// Looks at everything, and puts nothing.
    pub fn dry_run(self) -> Self {
        self.set(|it| it.dry_run = true)
    }

    /// Waits until the server has completed what follows from the value. Without, it learns whether the
    /// server takes it.
    pub fn wait(self) -> Self {
        self.set(|it| it.wait = true)
    }

    /// Time for each look and for the put. Default: that of the client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }
}

/// The numbers that a value consists of, texts that are numbers included; none if it has no such form.
fn numbers(value: &Value) -> Vec<f64> {
    let numbers = convert::write(value.as_ref(), NativeType::Double, &Metadata::default());
    let Ok(numbers) = numbers else {
        return Vec::new();
    };
    let elements = numbers.as_ref().elements();
    elements.map_or_else(Vec::new, Iterator::collect)
}

/// The field DISP of the record that a PV is a field of.
fn disp_of(pv: &str) -> String {
    let record = pv.split_once('.').map_or(pv, |(record, _)| record);
    format!("{record}.DISP")
}

impl Work for GuardedPut {
    type Output = Result<Guarded, GuardError>;

    async fn run(self, client: &Client) -> Self::Output {
        let timeout = clock::patience(client, self.timeout);
        let channel = self.pv.open(client)?;
        let pv = channel.name();
        self.check_guard(&pv)?;
        let value = self.value.clone().map_err(|reason| PutError::Value {
            pv: pv.clone(),
            reason,
        })?;
        if self
            .allowed
            .as_ref()
            .is_some_and(|allowed| !allowed.contains(&pv))
        {
            return Err(GuardError::NotAllowed { pv });
        }
        let metadata = channel.metadata().timeout(timeout).await?;
        self.check_limits(&pv, &value, &metadata)?;
        if self.disp {
            let disp = client.get::<i32>(disp_of(&pv)).timeout(timeout).await?;
            if disp != 0 {
                return Err(GuardError::Disabled { pv, disp });
            }
        }
        let channels = [channel];
        let [channel] = &channels;
        let before = present(client, &channels, timeout).await;
        let before = match before.into_iter().next() {
            Some(before) => before?,
            // One was asked for.
            None => return Err(GuardError::NoAccess { pv }),
        };
        if self.alarm.is_some_and(|worst| before.severity >= worst) {
            let severity = before.severity;
            return Err(GuardError::InAlarm { pv, severity });
        }
        if self.is_there(&value, &before.value, &metadata) {
            return Ok(Guarded::Same { at: before.value });
        }
        if !channel.info().is_some_and(|info| info.rights().can_write()) {
            return Err(GuardError::NoAccess { pv });
        }
        if self.dry_run {
            return Ok(Guarded::WouldPut { at: before.value });
        }
        let put = channel.put(value).timeout(timeout);
        match self.wait {
            true => put.wait().await?,
            false => put.check().await?,
        }
        Ok(Guarded::Put {
            before: before.value,
        })
    }
}

impl GuardedPut {
    fn check_guard(&self, pv: &str) -> Result<(), GuardError> {
        let range = self.range.map(|range| between(range.lower, range.upper));
        let compare = self.compare.map(|tolerance| near(0.0, tolerance));
        for condition in range.into_iter().chain(compare) {
            condition.check().map_err(|reason| GuardError::Guard {
                pv: pv.to_owned(),
                reason,
            })?;
        }
        Ok(())
    }

    fn check_limits(&self, pv: &str, value: &Value, metadata: &Reading) -> Result<(), GuardError> {
        let own = limits(metadata).filter(|_| !self.no_limits);
        let ranges = [
            (own, "the limits of its control"),
            (self.range, "the limits of the guard"),
        ];
        let numbers = numbers(value);
        for (range, of) in ranges {
            let Some(range) = range else { continue };
            // NaN is outside of every range.
            let outside = |number: &&f64| !(range.lower..=range.upper).contains(*number);
            if let Some(&value) = numbers.iter().find(outside) {
                return Err(GuardError::OutsideLimits {
                    pv: pv.to_owned(),
                    value,
                    range,
                    of,
                });
            }
        }
        Ok(())
    }

    /// Whether the PV stands at the value already.
    fn is_there(&self, value: &Value, at: &Saved, metadata: &Reading) -> bool {
        let Some(tolerance) = self.compare else {
            return false;
        };
        // As the server would convert it.
        let to = metadata.native();
        let states = metadata.states().unwrap_or_default();
        let converted = match (to, value.as_ref().string(0)) {
            (NativeType::Enum, Some(text)) => states.position(text).map(|index| Saved::State {
                index,
                label: states
                    .get(index)
                    .and_then(|it| String::from_utf8(it.to_vec()).ok()),
            }),
            (NativeType::Enum, None) => numbers(value).first().map(|&index| Saved::State {
                index: index as u16,
                label: None,
            }),
            (NativeType::String, _) => value
                .as_ref()
                .string(0)
                .map(|text| Saved::Text(String::from_utf8_lossy(text).into_owned())),
            _ => match numbers(value)[..] {
                [number] => Some(Saved::Number(number)),
                [] => None,
                ref all => Some(Saved::Numbers(all.to_vec())),
            },
        };
        converted.is_some_and(|value| value.is_same(at, tolerance))
    }
}
