//! Arguments that several operations share.

use std::time::Duration;

use ca_client::{DbrType, EventMask, Family, Overflow, ReadSpec, TypeSpec};
use pyo3::prelude::*;

use crate::errors;

/// Longest time-out, about 30 years: what is above means "for ever".
const LONGEST: f64 = 1e9;

/// Updates that may wait for a slow callback, unless told: clients of the field's libraries get each one. They are bounded
/// in bytes, too (`MonitorSpec::max_bytes`).
pub(crate) const DEPTH: usize = 10_000;

/// A time-out in seconds.
///
/// # Errors
/// `ValueError` for what is no span of time.
pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    if seconds.is_nan() || seconds < 0.0 {
        let message = format!(
            "a time-out of {seconds} s: give seconds from 0 on, or None for the default of the client"
        );
        return Err(errors::bad(message));
    }
    Ok(Duration::from_secs_f64(seconds.min(LONGEST)))
}

/// What is asked for: an exact type by its code, or a family (0 plain, 1 status, 2 time, 3 graphic,
/// 4 control) of the native type.
pub(crate) fn type_spec(dbr: Option<u16>, family: u8) -> PyResult<TypeSpec> {
    if let Some(code) = dbr {
        let ty = DbrType(code);
        if !ty.is_valid() {
            let message = format!("{code} is no DBR type; they are 0 to 38");
            return Err(errors::bad(message));
        }
        return Ok(TypeSpec::Exact(ty));
    }
    let family = match family {
        0 => Family::Plain,
        1 => Family::Sts,
        2 => Family::Time,
        3 => Family::Gr,
        4 => Family::Ctrl,
        other => {
            let message = format!("{other} is no family of DBR types; they are 0 to 4");
            return Err(errors::bad(message));
        }
    };
    Ok(TypeSpec::Family(family))
}

pub(crate) fn read_spec(dbr: Option<u16>, family: u8, count: u32) -> PyResult<ReadSpec> {
    let ty = type_spec(dbr, family)?;
    Ok(ReadSpec { ty, count })
}

/// The bits of `DBE_VALUE` and the like.
pub(crate) fn mask(bits: u16) -> EventMask {
    EventMask(bits)
}

pub(crate) fn overflow(policy: &str) -> PyResult<Overflow> {
    match policy {
        "squash" => Ok(Overflow::Squash),
        "latest" => Ok(Overflow::LatestOnly),
        "oldest" => Ok(Overflow::DropOldest),
        other => {
            let message = format!("policy \"{other}\": it is \"squash\", \"latest\" or \"oldest\"");
            Err(errors::bad(message))
        }
    }
}

/// When a put is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    Sent,
    Checked,
    Completed,
}

pub(crate) fn until(word: &str) -> PyResult<Until> {
    match word {
        "sent" => Ok(Until::Sent),
        "checked" => Ok(Until::Checked),
        "completed" => Ok(Until::Completed),
        other => {
            let message =
                format!("until=\"{other}\": it is \"sent\", \"checked\" or \"completed\"");
            Err(errors::bad(message))
        }
    }
}
