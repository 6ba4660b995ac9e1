//! Descriptions of PVs, as Python gives them.

use std::time::Duration;

use ca_client::ca_proto::dbr::convert;
use ca_server_sim::{AccessRights, AlarmSeverity, Metadata, NativeType, PostError, PvSpec};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::values;

pub(super) const fn rights(read: bool, write: bool) -> AccessRights {
    match (read, write) {
        (true, true) => AccessRights::ALL,
        (true, false) => AccessRights::READ,
        (false, true) => AccessRights::WRITE,
        (false, false) => AccessRights::NONE,
    }
}

pub(super) fn refused(error: impl std::fmt::Display) -> PyErr {
    errors::bad(error.to_string())
}

/// What cannot be done with the PV or field of a name.
pub(super) fn unknown(name: &str, error: &PostError) -> PyErr {
    let (kind, remedy) = match error {
        PostError::UnknownPv { .. } => ("UnknownPv", "check how it is spelled, or add it"),
        PostError::Convert { .. } | PostError::TooManyElements { .. } => {
            ("ValueProblem", "give a value of its type and size")
        }
        _ => ("BadRequest", "look at what the PV is"),
    };
    let text = error.to_string();
    Python::attach(|py| errors::plain(py, kind, name, text, Some(remedy.to_owned())))
}

fn native(pv: &str, word: &str) -> PyResult<NativeType> {
    Ok(match word {
        "double" => NativeType::Double,
        "float" => NativeType::Float,
        "long" => NativeType::Long,
        "short" => NativeType::Short,
        "char" => NativeType::Char,
        "string" => NativeType::String,
        other => {
            let message = format!(
                "PV \"{pv}\": type \"{other}\"; there are double, float, long, short, char, string, \
                 text and enum"
            );
            return Err(errors::bad(message));
        }
    })
}

/// The first value of a PV.
fn first(pv: &str, given: &Bound<'_, PyDict>) -> PyResult<PvSpec> {
    let missing = || PyTypeError::new_err(format!("PV \"{pv}\" has no value"));
    let value = given.get_item("value")?.ok_or_else(missing)?;
    let states = given.get_item("states")?;
    let word: Option<String> = given.get_item("type")?.map(|it| it.extract()).transpose()?;
    match (word.as_deref(), states) {
        (None | Some("enum"), Some(states)) => {
            let states: Vec<String> = states.extract()?;
            let index = match value.extract::<u16>() {
                Ok(index) => Some(index),
                Err(_) => {
                    let text: String = value.extract()?;
                    let at = states.iter().position(|state| *state == text);
                    at.and_then(|at| u16::try_from(at).ok())
                }
            };
            let index = index.ok_or_else(|| {
                errors::bad(format!("PV \"{pv}\": the value is none of the states"))
            })?;
            Ok(PvSpec::enumeration(states, index))
        }
        (Some("text"), _) => Ok(PvSpec::text(value.extract::<String>()?)),
        (word, _) => {
            let wire = values::to_wire(&value, pv)?.for_type(None);
            let mut wire = wire.map_err(|error| refused(format!("PV \"{pv}\": {error}")))?;
            if let Some(to) = word.map(|word| native(pv, word)).transpose()? {
                let converted = convert::write(wire.as_ref(), to, &Metadata::default());
                wire = converted.map_err(|reason| {
                    errors::bad(format!("PV \"{pv}\": the value is no {to}: {reason}"))
                })?;
            }
            let is_array = value.hasattr("__len__")? && value.extract::<String>().is_err();
            Ok(match is_array {
                true => PvSpec::array(wire),
                false => PvSpec::value(wire),
            })
        }
    }
}

pub(super) fn spec(pv: &str, given: &Bound<'_, PyDict>) -> PyResult<PvSpec> {
    let mut spec = first(pv, given).map_err(|error| named(pv, "value", error))?;
    for (key, value) in given.iter() {
        let key: String = key.extract()?;
        spec = one(spec, pv, &key, &value).map_err(|error| named(pv, &key, error))?;
    }
    Ok(spec)
}

/// Says which PV has something of a wrong type or size.
fn named(pv: &str, key: &str, error: PyErr) -> PyErr {
    Python::attach(|py| {
        let wrong = error.is_instance_of::<PyTypeError>(py)
            || error.is_instance_of::<PyValueError>(py)
            || error.is_instance_of::<PyOverflowError>(py);
        let text = error.value(py).to_string();
        if !wrong || text.contains(pv) {
            return error;
        }
        let message = format!("PV \"{pv}\": {key}: {text}");
        let remedy = Some(format!("give another {key}"));
        errors::plain(py, "BadRequest", pv, message, remedy)
    })
}

/// A part of the description.
fn one(spec: PvSpec, pv: &str, key: &str, value: &Bound<'_, PyAny>) -> PyResult<PvSpec> {
    Ok(match key {
        "value" | "type" | "states" => spec,
        "units" => spec.units(value.extract::<String>()?),
        "precision" => spec.precision(value.extract()?),
        "description" => spec.description(value.extract::<String>()?),
        "capacity" => spec.capacity(value.extract()?),
        "hysteresis" => spec.hysteresis(value.extract()?),
        "value_deadband" => spec.value_deadband(value.extract()?),
        "archive_deadband" => spec.archive_deadband(value.extract()?),
        "display" | "control" | "alarm" | "warning" => {
            let (low, high) = value.extract()?;
            match key {
                "display" => spec.display(low, high),
                "control" => spec.control(low, high),
                "alarm" => spec.alarm(low, high),
                _ => spec.warning(low, high),
            }
        }
        "severities" => {
            let severities: Vec<u16> = value.extract()?;
            spec.state_severities(
                severities
                    .into_iter()
                    .map(AlarmSeverity)
                    .collect::<Vec<_>>(),
            )
        }
        "read_only" if value.extract()? => spec.read_only(),
        "undefined" if value.extract()? => spec.undefined(),
        "read_only" | "undefined" => spec,
        "completes_after" => match value.extract::<Option<f64>>()? {
            Some(seconds) => {
                let time: Duration = crate::params::duration(seconds)?;
                spec.completes_after(time)
            }
            None => spec.completes_never(),
        },
        other => {
            let message = format!(
                "PV \"{pv}\": nothing of a PV is called \"{other}\"; there are value, type, states, \
                     units, precision, description, capacity, hysteresis, value_deadband, \
                     archive_deadband, display, control, alarm, warning, severities, read_only, undefined and \
                     completes_after"
            );
            return Err(PyTypeError::new_err(message));
        }
    })
}
