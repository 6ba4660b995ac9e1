//! Descriptions of PVs.

use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::dbr::value::EnumIndex;
use ca_proto::dbr::{EnumStates, Metadata, NativeType, Range, Units, Value};
use ca_proto::{AlarmSeverity, EcaStatus};

use crate::alarm::LimitSeverities;
use crate::fault::{self, Fault};
use crate::hook::{Hook, PutDecision, PutRequest};
use crate::plain::{Completion, RecordType};
use crate::signals::{BoxedSignal, Signal};

/// Bytes of a string without its NUL.
pub(crate) const MAX_STRING: usize = ca_proto::dbr::STRING_LEN - 1;

/// What a PV is: its type and first value, and whatever describes it.
///
/// What does not fit the PV, or would have no effect on it, is refused when the PV is added
/// ([`BuildError::Unfit`](crate::BuildError::Unfit)): nothing is cut or left out.
///
/// # Examples
/// ```
/// use ca_server_sim::PvSpec;
/// use std::time::Duration;
///
/// let motor = PvSpec::double(1.5)
///     .units("mm")
///     .precision(3)
///     .display(-10.0, 10.0)
///     .control(-5.0, 5.0)
///     .warning(-4.0, 4.0)
///     .description("position of the stage")
///     .completes_after(Duration::from_secs(2));
/// let shutter = PvSpec::enumeration(["Closed", "Open"], 0);
/// let trace = PvSpec::array([0.0, 0.5, 1.0]).capacity(1000);
/// ```
#[derive(Debug)]
pub struct PvSpec {
    pub(crate) value: Value,
    /// What was given and does not fit its place; told when the PV is added.
    pub(crate) faults: Vec<Fault>,
    pub(crate) array: bool,
    pub(crate) capacity: u32,
    pub(crate) meta: Metadata,
    /// Units in full if they are longer than what is sent with values.
    pub(crate) units: Vec<u8>,
    /// Whether control limits were given; without them a PV that is not writable shows its display
    /// limits, as input records do.
    pub(crate) control: bool,
    pub(crate) record_type: Option<RecordType>,
    pub(crate) rights: AccessRights,
    pub(crate) undefined: bool,
    pub(crate) description: String,
    pub(crate) group: String,
    pub(crate) severities: LimitSeverities,
    pub(crate) hysteresis: f64,
    pub(crate) value_deadband: f64,
    pub(crate) archive_deadband: f64,
    pub(crate) state_severities: Vec<AlarmSeverity>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) completion: Completion,
    pub(crate) signal: Option<(BoxedSignal, Duration)>,
}

impl PvSpec {
    fn new(value: Value, array: bool) -> Self {
        Self {
            capacity: value.count().max(1),
            value,
            array,
            faults: Vec::new(),
            meta: Metadata::default(),
            units: Vec::new(),
            control: false,
            record_type: None,
            rights: AccessRights::ALL,
            undefined: false,
            description: String::new(),
            group: String::new(),
            severities: LimitSeverities::default(),
            hysteresis: 0.0,
            value_deadband: 0.0,
            archive_deadband: 0.0,
            state_severities: Vec::new(),
            hooks: Vec::new(),
            completion: Completion::Now,
            signal: None,
        }
    }

    /// A 64-bit real number.
    pub fn double(value: f64) -> Self {
        Self::new(value.into(), false)
    }

    /// A 32-bit real number.
    pub fn float(value: f32) -> Self {
        Self::new(value.into(), false)
    }

    /// A 32-bit integer.
    pub fn long(value: i32) -> Self {
        Self::new(value.into(), false)
    }

    /// A 16-bit integer.
    pub fn short(value: i16) -> Self {
        Self::new(value.into(), false)
    }

    /// An 8-bit integer.
    pub fn char(value: u8) -> Self {
        Self::new(value.into(), false)
    }

    /// A text of at most 39 bytes.
    pub fn string(value: impl AsRef<[u8]>) -> Self {
        let fault = fault::text("value", "the text", value.as_ref(), MAX_STRING);
        Self::new(Value::string(value), false).faulty(fault)
    }

    /// A state out of up to 16, each with a text of up to 25 bytes. The index counts from 0.
    pub fn enumeration<T: AsRef<[u8]>>(states: impl IntoIterator<Item = T>, index: u16) -> Self {
        Self::new(EnumIndex(index).into(), false).states(states)
    }

    /// An array of the element type, with room for as many elements as are given here, at least 1.
    pub fn array(value: impl Into<Value>) -> Self {
        Self::new(value.into(), true)
    }

    /// An array of texts of at most 39 bytes each.
    pub fn strings(values: &[impl AsRef<[u8]>]) -> Self {
        let fault = |value| fault::text("value", "a text", value, MAX_STRING);
        let fault = values.iter().find_map(|value| fault(value.as_ref()));
        Self::new(Value::strings(values), true).faulty(fault)
    }

    /// An array of `CHAR` that holds a text longer than a string can; clients show it as a long
    /// string. Give it a [`capacity`](Self::capacity) for the longest text.
    pub fn text(value: impl AsRef<str>) -> Self {
        let fault = fault::text("value", "the text", value.as_ref(), usize::MAX);
        Self::array(value.as_ref().as_bytes()).faulty(fault)
    }

    fn faulty(mut self, fault: Option<Fault>) -> Self {
        self.faults.extend(fault);
        self
    }

    /// A value of any type; an array unless it has exactly one element.
    pub fn value(value: Value) -> Self {
        let array = value.count() != 1;
        Self::new(value, array)
    }

    /// Room for this many elements; makes the PV an array.
    #[must_use]
    pub const fn capacity(mut self, elements: u32) -> Self {
        self.capacity = elements;
        self.array = true;
        self
    }

    /// Engineering units (EGU), at most 15 bytes; 7 of them are sent with values, the field has
    /// them all.
    #[must_use]
    pub fn units(mut self, units: impl AsRef<[u8]>) -> Self {
        let units = units.as_ref();
        self.faults.retain(|fault| fault.part != "units");
        self.faults
            .extend(fault::text("units", "the text of the units", units, 15));
        let units = &units[..units.len().min(15)];
        self.meta.units = Units::new(units);
        let long = units.len() > self.meta.units.as_bytes().len();
        self.units = if long { units.to_vec() } else { Vec::new() };
        self
    }

    /// Digits after the point (PREC); also decides how numbers are turned into text.
    #[must_use]
    pub const fn precision(mut self, digits: i16) -> Self {
        self.meta.precision = digits;
        self
    }

    /// Range of displays (LOPR, HOPR).
    #[must_use]
    pub const fn display(mut self, low: f64, high: f64) -> Self {
        self.meta.limits.display = Range::new(low, high);
        self
    }

    /// Range of values that clients can set (DRVL, DRVH). What they write beyond it is moved to its
    /// end, if the range is not empty.
    #[must_use]
    pub const fn control(mut self, low: f64, high: f64) -> Self {
        self.meta.limits.control = Range::new(low, high);
        self.control = true;
        self
    }

    /// Alarm limits (LOLO, HIHI) of severity MAJOR. NaN means no limit on that side, and so does
    /// severity NO_ALARM, set later.
    #[must_use]
    pub const fn alarm(mut self, low: f64, high: f64) -> Self {
        self.meta.limits.alarm = Range::new(low, high);
        self.severities.lolo = unless_nan(low, AlarmSeverity::MAJOR);
        self.severities.hihi = unless_nan(high, AlarmSeverity::MAJOR);
        self
    }

    /// Warning limits (LOW, HIGH) of severity MINOR. NaN means no limit on that side.
    #[must_use]
    pub const fn warning(mut self, low: f64, high: f64) -> Self {
        self.meta.limits.warning = Range::new(low, high);
        self.severities.low = unless_nan(low, AlarmSeverity::MINOR);
        self.severities.high = unless_nan(high, AlarmSeverity::MINOR);
        self
    }

    /// Severities of the limits (HHSV, HSV, LSV, LLSV).
    #[must_use]
    pub const fn severities(mut self, severities: LimitSeverities) -> Self {
        self.severities = severities;
        self
    }

    /// How far a value has to come back before an alarm ends (HYST).
    #[must_use]
    pub const fn hysteresis(mut self, width: f64) -> Self {
        self.hysteresis = width;
        self
    }

    /// Change above which a value is posted to `DBE_VALUE` subscriptions (MDEL); negative posts
    /// every processing.
    #[must_use]
    pub const fn value_deadband(mut self, width: f64) -> Self {
        self.value_deadband = width;
        self
    }

    /// Change above which a value is posted to `DBE_LOG` subscriptions (ADEL); negative posts every
    /// processing.
    #[must_use]
    pub const fn archive_deadband(mut self, width: f64) -> Self {
        self.archive_deadband = width;
        self
    }

    /// Texts of the states, for enums.
    #[must_use]
    pub fn states<T: AsRef<[u8]>>(mut self, states: impl IntoIterator<Item = T>) -> Self {
        let states: Vec<T> = states.into_iter().collect();
        self.faults.retain(|fault| fault.part != "states");
        let long = |state: &T| fault::text("states", "the text of a state", state.as_ref(), 25);
        self.faults.extend(states.iter().find_map(long));
        if states.len() > 16 {
            let what = format!("{} states, at most 16 are possible", states.len());
            self.faults
                .push(Fault::new("states", what, "leave some out"));
        }
        self.meta.states = EnumStates::new(states);
        self
    }

    /// Alarm severities of the states, for enums; states without one carry no alarm.
    #[must_use]
    pub fn state_severities(mut self, severities: impl Into<Vec<AlarmSeverity>>) -> Self {
        self.state_severities = severities.into();
        self
    }

    /// Text about the PV (DESC), at most 40 bytes.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Access security group (ASG) in an IOC with rules
    /// ([`Ioc::set_access_security`](crate::Ioc::set_access_security)); DEFAULT without this.
    #[must_use]
    pub fn access_group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// The record type to pose as, instead of one that fits the value.
    #[must_use]
    pub const fn record_type(mut self, record_type: RecordType) -> Self {
        self.record_type = Some(record_type);
        self
    }

    /// Clients can read, not write.
    #[must_use]
    pub const fn read_only(self) -> Self {
        self.rights(AccessRights::READ)
    }

    /// Clients can read and write; this is the default.
    #[must_use]
    pub const fn writable(self) -> Self {
        self.rights(AccessRights::ALL)
    }

    /// What clients can do.
    #[must_use]
    pub const fn rights(mut self, rights: AccessRights) -> Self {
        self.rights = rights;
        self
    }

    /// The PV shows alarm UDF and no time stamp until it is first written.
    #[must_use]
    pub const fn undefined(mut self) -> Self {
        self.undefined = true;
        self
    }

    /// Calls `hook` for each put of a client, before it is carried out. Several hooks are called in
    /// the order they were added, each with the value the one before left.
    #[must_use]
    pub fn on_put(
        mut self,
        hook: impl FnMut(&PutRequest<'_>) -> PutDecision + Send + 'static,
    ) -> Self {
        self.hooks.push(Hook::new(hook));
        self
    }

    /// Refuses puts whose value (in the PV's native type) does not satisfy `valid`, with
    /// `ECA_PUTFAIL`.
    #[must_use]
    pub fn validated(self, mut valid: impl FnMut(&Value) -> bool + Send + 'static) -> Self {
        self.on_put(move |put| match valid(put.value) {
            true => PutDecision::Accept,
            false => PutDecision::Reject(EcaStatus::PUTFAIL),
        })
    }

    /// Writes with completion are answered after this time. The value is stored and posted at once,
    /// as by a record that starts a chain of slow ones.
    #[must_use]
    pub const fn completes_after(mut self, time: Duration) -> Self {
        self.completion = Completion::After(time);
        self
    }

    /// Writes with completion are not answered, unless the program does it
    /// ([`Ioc::finish_put`](crate::Ioc::finish_put)).
    #[must_use]
    pub const fn completes_never(mut self) -> Self {
        self.completion = Completion::Never;
        self
    }

    /// Lets the PV follow a signal, sampled every `period` (at least 100 us).
    #[must_use]
    pub fn signal(mut self, signal: impl Signal + Send + 'static, period: Duration) -> Self {
        self.signal = Some((BoxedSignal(Box::new(signal)), period));
        self
    }

    /// Type of the elements.
    pub const fn native(&self) -> NativeType {
        self.value.native()
    }
}

const fn unless_nan(limit: f64, severity: AlarmSeverity) -> AlarmSeverity {
    if limit.is_nan() {
        return AlarmSeverity::NO_ALARM;
    }
    severity
}
