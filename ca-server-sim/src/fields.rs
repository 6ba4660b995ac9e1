//! Changes of a record's fields other than its value.

use std::sync::Arc;

use ca_proto::AlarmSeverity;
use ca_proto::dbr::{
    ConvertError, EnumStates, Limits, Metadata, NativeType, Range, STRING_LEN, Units, Value,
};
use ca_proto::dbr::{ValueRef, convert};

use crate::alarm::AlarmLimits;
use crate::deadband::Deadband;
use crate::field::Field;
use crate::plain::Record;
use crate::pv::PvSpec;

impl Record {
    /// Takes over what a description says beyond value and metadata.
    pub(crate) fn configure(&mut self, spec: PvSpec) {
        let given = self.snapshot.meta.limits;
        let undefined = |limit: Range| limit.lower.is_nan() && limit.upper.is_nan();
        let plain = spec.description.is_empty()
            && spec.group.is_empty()
            && undefined(given.alarm)
            && undefined(given.warning)
            && spec.severities == Default::default()
            && spec.units.is_empty()
            && spec.hysteresis == 0.0
            && spec.value_deadband == 0.0
            && spec.archive_deadband == 0.0
            && spec.state_severities.is_empty()
            && spec.hooks.is_empty()
            && spec.completion == Default::default();
        if plain {
            return;
        }
        let extra = self.extra_mut();
        extra.description = spec.description.into_bytes().into();
        extra.group = spec.group.into();
        extra.limits = AlarmLimits::new(&given);
        extra.severities = spec.severities;
        extra.hysteresis = spec.hysteresis;
        extra.value_band = Deadband::new(spec.value_deadband);
        extra.archive_band = Deadband::new(spec.archive_deadband);
        extra.state_severities = spec.state_severities;
        extra.hooks = spec.hooks;
        extra.completion = spec.completion;
        extra.units = spec.units.into();
        self.show_limits();
    }

    /// Tells clients of the alarm limits that have a severity.
    fn show_limits(&mut self) {
        let Some(extra) = &self.extra else { return };
        let (limits, severities) = (extra.limits, extra.severities);
        let mut shown = self.snapshot.meta.limits;
        limits.show(&severities, &mut shown);
        // Unshared only if there is something to change; undefined limits are NaN.
        let bits = |limits: &Limits| {
            [limits.alarm, limits.warning].map(|r| (r.lower.to_bits(), r.upper.to_bits()))
        };
        if bits(&shown) != bits(&self.snapshot.meta.limits) {
            Arc::make_mut(&mut self.snapshot.meta).limits = shown;
        }
    }

    /// Stores a client's value in a field other than the value.
    ///
    /// # Errors
    /// When it cannot be converted, or the field is not one that can be set.
    pub(crate) fn set_field(
        &mut self,
        field: Field,
        value: ValueRef<'_>,
    ) -> Result<(), ConvertError> {
        let native = field.native(self);
        if native == NativeType::String {
            let text = text_of(value, field, &self.snapshot.meta)?;
            return self.set_text(field, &text);
        }
        let menu = (!field.shares_metadata()).then(|| field.metadata(self.kind));
        let meta = menu.as_ref().unwrap_or(&self.snapshot.meta);
        let value = convert::write(value.truncated(1), native, meta)?;
        if value.count() == 0 {
            return Ok(());
        }
        let index = enum_of(&value);
        let number = number_of(value.as_ref()).unwrap_or_default();
        match field {
            Field::Udf => self.undefined = number != 0.0,
            Field::Proc => {}
            Field::Hhsv | Field::Hsv | Field::Lsv | Field::Llsv | Field::StateSeverity(_) => {
                self.set_severity(field, AlarmSeverity(index.min(3)));
            }
            Field::Hyst => self.extra_mut().hysteresis = number,
            Field::Mdel => self.extra_mut().value_band.width = number,
            Field::Adel => self.extra_mut().archive_band.width = number,
            _ => return self.set_limit(field, number),
        }
        Ok(())
    }

    fn set_limit(&mut self, field: Field, number: f64) -> Result<(), ConvertError> {
        if matches!(field, Field::Hihi | Field::High | Field::Low | Field::Lolo) {
            self.set_alarm_limit(field, number);
            return Ok(());
        }
        let meta = Arc::make_mut(&mut self.snapshot.meta);
        let limits = &mut meta.limits;
        let limit = match field {
            Field::Hopr => &mut limits.display.upper,
            Field::Lopr => &mut limits.display.lower,
            Field::Drvh => &mut limits.control.upper,
            Field::Drvl => &mut limits.control.lower,
            Field::Prec => {
                // Converted to 16 bits before.
                meta.precision = number as i16;
                return Ok(());
            }
            _ => return Err(ConvertError::WrongDirection),
        };
        *limit = number;
        if !self.kind.has_drive_limits() {
            let limits = &mut Arc::make_mut(&mut self.snapshot.meta).limits;
            limits.control = limits.display;
        }
        Ok(())
    }

    fn set_alarm_limit(&mut self, field: Field, number: f64) {
        let limits = &mut self.extra_mut().limits;
        match field {
            Field::Hihi => limits.hihi = number,
            Field::High => limits.high = number,
            Field::Low => limits.low = number,
            _ => limits.lolo = number,
        }
        self.show_limits();
    }

    fn set_severity(&mut self, field: Field, severity: AlarmSeverity) {
        let extra = self.extra_mut();
        let severities = &mut extra.severities;
        match field {
            Field::Hhsv => severities.hihi = severity,
            Field::Hsv => severities.high = severity,
            Field::Lsv => severities.low = severity,
            Field::Llsv => severities.lolo = severity,
            Field::StateSeverity(index) => {
                let index = usize::from(index);
                let list = &mut extra.state_severities;
                list.resize(list.len().max(index + 1), AlarmSeverity::NO_ALARM);
                list[index] = severity;
            }
            _ => {}
        }
        self.show_limits();
    }

    fn set_text(&mut self, field: Field, text: &[u8]) -> Result<(), ConvertError> {
        match field {
            Field::Desc => self.extra_mut().description = text.into(),
            Field::Egu => {
                let units = Units::new(text);
                Arc::make_mut(&mut self.snapshot.meta).units = units;
                let long = text.len() > units.as_bytes().len();
                if long || self.extra.is_some() {
                    self.extra_mut().units = if long { text.into() } else { Box::default() };
                }
            }
            Field::StateText(index) => {
                let states = &mut Arc::make_mut(&mut self.snapshot.meta).states;
                let mut texts: Vec<Vec<u8>> = states.iter().map(<[u8]>::to_vec).collect();
                let index = usize::from(index);
                texts.resize(texts.len().max(index + 1), Vec::new());
                texts[index] = text.to_vec();
                while texts.last().is_some_and(Vec::is_empty) {
                    texts.pop();
                }
                *states = EnumStates::new(texts);
            }
            _ => return Err(ConvertError::WrongDirection),
        }
        Ok(())
    }
}

/// The text a client writes to a string field: characters as they are, up to the size of the field,
/// anything else as its text.
pub(crate) fn text_of(
    value: ValueRef<'_>,
    field: Field,
    meta: &Metadata,
) -> Result<Vec<u8>, ConvertError> {
    let room = field.text_size() as usize - 1;
    let text = if value.native == NativeType::Char && value.count > 1 {
        let end = value.data.iter().position(|&b| b == 0);
        value.data[..end.unwrap_or(value.data.len())].to_vec()
    } else {
        let text = convert::write(value.truncated(1), NativeType::String, meta)?;
        text.as_ref().string(0).unwrap_or(&[]).to_vec()
    };
    Ok(text[..text.len().min(room)].to_vec())
}

/// A long string as the value of a string field.
pub(crate) fn string_of(value: ValueRef<'_>, meta: &Metadata) -> Result<Value, ConvertError> {
    let text = text_of(value, Field::Val, meta)?;
    Ok(Value::string(&text[..text.len().min(STRING_LEN - 1)]))
}

/// The first element as a number; `None` for strings and empty values.
pub(crate) fn number_of(value: ValueRef<'_>) -> Option<f64> {
    let bytes = value.element_bytes(0)?;
    Some(match (value.native, bytes) {
        (NativeType::Double, &[a, b, c, d, e, f, g, h]) => {
            f64::from_be_bytes([a, b, c, d, e, f, g, h])
        }
        (NativeType::Float, &[a, b, c, d]) => f64::from(f32::from_be_bytes([a, b, c, d])),
        (NativeType::Long, &[a, b, c, d]) => f64::from(i32::from_be_bytes([a, b, c, d])),
        (NativeType::Short, &[a, b]) => f64::from(i16::from_be_bytes([a, b])),
        (NativeType::Enum, &[a, b]) => f64::from(u16::from_be_bytes([a, b])),
        (NativeType::Char, &[a]) => f64::from(a),
        _ => return None,
    })
}

fn enum_of(value: &Value) -> u16 {
    // An enum's number is exact.
    number_of(value.as_ref()).map_or(0, |number| number as u16)
}
