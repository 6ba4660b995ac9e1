//! Whether the parts of a description fit each other: nothing is bent, and nothing is without effect.

use ca_proto::AlarmSeverity;
use ca_proto::dbr::{NativeType, Range};

use crate::fault::Fault;
use crate::field::Field;
use crate::fields::number_of;
use crate::plain::RecordType;
use crate::pv::PvSpec;

/// States of an enum.
const MAX_STATES: usize = 16;
/// Bytes of EGU that travel with values; the field has up to 15.
#[cfg(feature = "toml")]
pub(crate) const SENT_UNITS: usize = 7;

impl PvSpec {
    /// The record type that the PV poses as.
    pub(crate) fn kind(&self) -> RecordType {
        self.record_type.unwrap_or_else(|| self.fitting())
    }

    /// Whether the PV has a field of this name, such as `HIHI`.
    pub fn has_field(&self, field: &str) -> bool {
        Field::find(self.kind(), self.native(), field.as_bytes()).is_some()
    }

    /// How messages call the type.
    pub(crate) fn type_name(&self) -> String {
        let name = self.native().name().to_lowercase();
        if self.array {
            return format!("an array of {name}");
        }
        let article = if name == "enum" { "an" } else { "a" };
        format!("{article} {name}")
    }

    /// Everything that is wrong with it, but for name, capacity and the period of its signal.
    pub(crate) fn check(&self) -> Vec<Fault> {
        let mut faults = self.faults.clone();
        self.check_kind(&mut faults);
        self.check_texts(&mut faults);
        self.check_states(&mut faults);
        self.check_limits(&mut faults);
        self.check_bands(&mut faults);
        faults
    }

    fn check_kind(&self, faults: &mut Vec<Fault>) {
        use NativeType as T;
        use RecordType as R;
        let Some(kind) = self.record_type else { return };
        let native = self.native();
        let fits = match kind {
            R::Waveform => self.array,
            _ if self.array => false,
            R::Ai | R::Ao => native.is_real(),
            R::LongIn | R::LongOut => matches!(native, T::Char | T::Short | T::Long),
            R::Bi | R::Bo => native == T::Enum && self.meta.states.len() <= 2,
            R::MbbI | R::MbbO => native == T::Enum,
            R::StringIn | R::StringOut => native == T::String,
        };
        if !fits {
            let (kind, this) = (kind.name(), self.type_name());
            let what = format!("record type {kind} cannot hold {this}");
            let remedy = format!("leave it out, or use {}", self.fitting().name());
            faults.push(Fault::new("record_type", what, remedy));
        }
    }

    fn fitting(&self) -> RecordType {
        let states = self.meta.states.len();
        RecordType::fitting(self.native(), self.array, states, self.rights.can_write())
    }

    fn check_texts(&self, faults: &mut Vec<Fault>) {
        let desc = crate::fault::text("description", "the description", &self.description, 40);
        let group = crate::fault::text("access_group", "the access group", &self.group, 28);
        faults.extend(desc.into_iter().chain(group));
        let native = self.native();
        let numeric = !matches!(native, NativeType::String | NativeType::Enum);
        if !numeric && !self.meta.units.as_bytes().is_empty() {
            faults.push(self.idle("units", "units"));
        }
        if self.meta.precision < 0 {
            let what = format!("a precision of {} is not possible", self.meta.precision);
            faults.push(Fault::new("precision", what, "it is 0 or more digits"));
        } else if self.meta.precision > 0 && !(native.is_real() || self.is_string_array()) {
            let what = format!("{} has no precision", self.type_name());
            let remedy = "leave it out: only float and double have digits after the point";
            faults.push(Fault::new("precision", what, remedy));
        }
    }

    /// Their digits are those of numbers that are written to them.
    fn is_string_array(&self) -> bool {
        self.array && self.native() == NativeType::String
    }

    fn idle(&self, part: &'static str, thing: &str) -> Fault {
        let what = format!("{thing} have no effect on {}", self.type_name());
        Fault::new(part, what, "leave them out")
    }

    fn check_states(&self, faults: &mut Vec<Fault>) {
        let states = self.meta.states.len();
        let is_enum = self.native() == NativeType::Enum && !self.array;
        if !is_enum {
            if states > 0 {
                faults.push(self.idle("states", "states"));
            }
            if !self.state_severities.is_empty() {
                faults.push(self.idle("state_severities", "severities of states"));
            }
            return;
        }
        let index = number_of(self.value.as_ref()).unwrap_or(0.0);
        // Without texts there is nothing to say which numbers are states.
        if states > 0 && index >= states as f64 {
            let what = format!("there is no state {index}: there are {states}, counted from 0");
            let remedy = format!("use one from 0 to {}", states - 1);
            faults.push(Fault::new("value", what, remedy));
        }
        let above = if states == 0 { MAX_STATES } else { states };
        let given = self.state_severities.len();
        if given > above {
            let what = format!("{given} severities for {above} states");
            faults.push(Fault::new(
                "state_severities",
                what,
                "give one for each state",
            ));
        }
        Self::check_severities("state_severities", &self.state_severities, faults);
    }

    fn check_severities(part: &'static str, given: &[AlarmSeverity], faults: &mut Vec<Fault>) {
        if let Some(bad) = given.iter().find(|severity| severity.0 > 3) {
            let what = format!("there is no severity {}", bad.0);
            let remedy = "use NO_ALARM (0), MINOR (1), MAJOR (2) or INVALID (3)";
            faults.push(Fault::new(part, what, remedy));
        }
    }

    fn check_limits(&self, faults: &mut Vec<Fault>) {
        let limits = &self.meta.limits;
        let given = |range: Range| !range.lower.is_nan() || !range.upper.is_nan();
        let parts = [
            (
                "display",
                limits.display,
                limits.display != Range::default(),
            ),
            ("control", limits.control, self.control),
            ("alarm", limits.alarm, given(limits.alarm)),
            ("warning", limits.warning, given(limits.warning)),
        ];
        for (part, range, is_given) in parts {
            if is_given && let Some(fault) = self.check_range(part, range) {
                faults.push(fault);
            }
        }
        let severities = [
            self.severities.hihi,
            self.severities.high,
            self.severities.low,
            self.severities.lolo,
        ];
        Self::check_severities("alarm", &severities, faults);
    }

    fn check_range(&self, part: &'static str, range: Range) -> Option<Fault> {
        let fault = |what: String, remedy: &str| Some(Fault::new(part, what, remedy));
        let Range { lower, upper } = range;
        let numeric = self.kind().is_numeric();
        if !(numeric || (part == "display" && self.array)) || !self.has_numbers() {
            let this = self.type_name();
            let what = match part {
                "control" => format!("control limits do not limit {this}"),
                "display" => format!("{this} has no display limits"),
                _ => format!("{this} never alarms"),
            };
            return fault(
                what,
                "leave them out: only single numbers have these limits",
            );
        }
        if matches!(part, "display" | "control") && (lower.is_nan() || upper.is_nan()) {
            let remedy = "give both numbers, or leave both out";
            return fault(format!("{part} limits cannot be NaN"), remedy);
        }
        if lower > upper {
            let what = format!("the lower {part} limit {lower} is above the upper one {upper}");
            return fault(what, "write [low, high]");
        }
        if part == "control" && lower == upper && (lower, upper) != (0.0, 0.0) {
            let what = format!("a control range from {lower} to {upper} limits nothing");
            return fault(what, "give two different numbers, or leave them out");
        }
        let (least, most) = reach(self.native())?;
        let whole = !self.native().is_real();
        for limit in [lower, upper] {
            if limit.is_nan() || (limit.is_infinite() && !whole) {
                continue;
            }
            let this = self.type_name();
            // Displays may show more than there is.
            if part != "display" && (limit < least || limit > most)
                || limit.abs() > 2_147_483_647.0 && whole
            {
                let what = format!("{this} does not reach a limit of {limit}");
                return fault(what, &format!("use limits from {least} to {most}"));
            }
            if whole && limit.fract() != 0.0 {
                let what = format!("{this} has limits that are integers, unlike {limit}");
                return fault(what, "round it, or make the PV a double");
            }
        }
        None
    }

    const fn has_numbers(&self) -> bool {
        !matches!(self.native(), NativeType::String | NativeType::Enum)
    }

    fn check_bands(&self, faults: &mut Vec<Fault>) {
        let bands = [
            ("hysteresis", "a hysteresis", self.hysteresis),
            ("value_deadband", "a dead-band", self.value_deadband),
            ("archive_deadband", "a dead-band", self.archive_deadband),
        ];
        for (part, thing, width) in bands {
            let refused = |what: String, remedy: &str| Fault::new(part, what, remedy);
            if width == 0.0 {
                continue;
            }
            if !self.kind().is_numeric() {
                let what = format!("{thing} has no effect on {}", self.type_name());
                faults.push(refused(what, "leave it out: only single numbers have one"));
            } else if width.is_nan() {
                faults.push(refused(format!("{thing} cannot be NaN"), "give a number"));
            } else if part == "hysteresis" && !(0.0..f64::INFINITY).contains(&width) {
                let what = format!("a hysteresis of {width} is not possible");
                faults.push(refused(
                    what,
                    "give a width of 0 or more, in units of the value",
                ));
            } else if !self.native().is_real() && width.is_finite() && width.fract() != 0.0 {
                let what = format!(
                    "{} has whole numbers here, unlike {width}",
                    self.type_name()
                );
                faults.push(refused(what, "round it, or make the PV a double"));
            }
        }
    }
}

/// The smallest and largest number of a type; `None` if it has all.
pub(crate) const fn reach(native: NativeType) -> Option<(f64, f64)> {
    Some(match native {
        NativeType::Char => (0.0, 255.0),
        NativeType::Short => (-32_768.0, 32_767.0),
        NativeType::Long => (-2_147_483_648.0, 2_147_483_647.0),
        NativeType::Float => (f32::MIN as f64, f32::MAX as f64),
        _ => return None,
    })
}
