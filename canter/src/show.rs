//! Samples as lines for people, and anything as a line of JSON.

use std::io;
use std::time::Duration;

use ca_proto::AlarmSeverity;
use ca_proto::dbr::{Limits, NativeType};
use serde::Serialize;

use crate::argument::Pv;
use crate::console::Console;
use crate::format::FormatArgs;
use crate::sample::{self, Sample};
use crate::{escape, json, when};

/// Names longer than this do not push the values of all others to the right.
const MAX_NAME_WIDTH: usize = 40;

/// Width of the column of names.
pub(crate) fn name_width(pvs: &[impl ToString]) -> usize {
    let widths = pvs.iter().map(|pv| pv.to_string().chars().count());
    widths.max().unwrap_or(0).min(MAX_NAME_WIDTH)
}

/// `NAME  VALUE UNITS  ALARM` on one line.
pub(crate) fn line(
    console: &mut Console<'_>,
    pv: &Pv,
    width: usize,
    format: &FormatArgs,
    sample: &Sample,
    is_array: bool,
) -> io::Result<()> {
    let name = escape::padded(pv.shown(), width);
    let value = value(console, format, sample, is_array);
    writeln!(console.out, "{name}  {value}")
}

/// `NAME  TIME  VALUE UNITS  ALARM` on one line.
pub(crate) fn wide(
    console: &mut Console<'_>,
    pv: &Pv,
    width: usize,
    format: &FormatArgs,
    sample: &Sample,
    is_array: bool,
) -> io::Result<()> {
    let name = escape::padded(pv.shown(), width);
    let stamp = sample.stamp.map(when::local).unwrap_or_default();
    let stamp = console.paint.dim(escape::padded(&stamp, when::WIDTH));
    let value = value(console, format, sample, is_array);
    writeln!(console.out, "{name}  {stamp}  {value}")
}

/// `VALUE UNITS  ALARM`, coloured by the severity.
pub(crate) fn value(
    console: &Console<'_>,
    format: &FormatArgs,
    sample: &Sample,
    is_array: bool,
) -> String {
    let mut value = with_units(format, sample, is_array);
    let Some(alarm) = sample.raised_alarm() else {
        return value;
    };
    value.push_str(&format!("  {} {}", alarm.severity, alarm.status));
    console.paint.severity(alarm.severity, value).to_string()
}

/// `VALUE UNITS`.
pub(crate) fn with_units(format: &FormatArgs, sample: &Sample, is_array: bool) -> String {
    let mut value = format.value(sample, is_array);
    if let Some(units) = &sample.meta.units {
        value.push(' ');
        value.push_str(units);
    }
    value
}

/// Everything that is known, one item per line.
pub(crate) fn long(
    console: &mut Console<'_>,
    pv: &Pv,
    format: &FormatArgs,
    sample: &Sample,
    is_array: bool,
) -> io::Result<()> {
    let name = console.paint.bold(pv);
    writeln!(console.out, "{name}")?;
    item(console, "value", long_value(format, sample, is_array))?;
    item(console, "type", sample.ty)?;
    if let Some(stamp) = sample.stamp {
        item(console, "time", when::local(stamp))?;
    }
    if let Some(alarm) = sample.alarm {
        let text = match alarm.severity {
            AlarmSeverity::NO_ALARM => alarm.severity.to_string(),
            severity => format!("{severity} {}", alarm.status),
        };
        let text = console.paint.severity(alarm.severity, text).to_string();
        item(console, "alarm", text)?;
    }
    if let Some(ack) = sample.ack {
        let transient = if ack.transient { "yes" } else { "no" };
        item(console, "to acknowledge", ack.severity)?;
        item(console, "also when over", transient)?;
    }
    if let Some(precision) = sample.meta.precision {
        item(
            console,
            "precision",
            escape::counted(precision.max(0).unsigned_abs(), "digit"),
        )?;
    }
    if let Some(limits) = &sample.meta.limits {
        for (name, text) in limit_items(format, limits) {
            item(console, name, text)?;
        }
    }
    if let Some(states) = &sample.meta.states {
        for (number, state) in states.iter().enumerate() {
            let name = if number == 0 { "states" } else { "" };
            item(
                console,
                name,
                format_args!("{number} {}", escape::line(state)),
            )?;
        }
    }
    Ok(())
}

/// One line of the long form.
pub(crate) fn item(
    console: &mut Console<'_>,
    name: &str,
    text: impl std::fmt::Display,
) -> io::Result<()> {
    let name = console.paint.dim(escape::padded(name, 14));
    writeln!(console.out, "    {name} {text}")
}

fn long_value(format: &FormatArgs, sample: &Sample, is_array: bool) -> String {
    let mut value = with_units(format, sample, is_array);
    if sample.native() == NativeType::Enum
        && let Some(index) = sample.enum_index()
        && !is_array
        && !format.enum_index
    {
        value = format!("{value} ({index})");
    }
    value
}

/// Limits that the server defines.
fn limit_items(format: &FormatArgs, limits: &Limits) -> Vec<(&'static str, String)> {
    let Limits {
        display,
        alarm,
        warning,
        control,
    } = limits;
    [
        ("display", display),
        ("warning", warning),
        ("alarm limits", alarm),
        ("control", control),
    ]
    .into_iter()
    .filter(|(_, range)| sample::is_defined(range))
    .map(|(name, range)| {
        (
            name,
            format!(
                "{} to {}",
                limit(format, range.lower),
                limit(format, range.upper)
            ),
        )
    })
    .collect()
}

fn limit(format: &FormatArgs, v: f64) -> String {
    if v.is_nan() {
        "none".to_owned()
    } else {
        format.real(v)
    }
}

/// A short time as people say it: `0.52 ms`, `1.25 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.01 {
        format!("{:.2} ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// One line of JSON.
pub(crate) fn json_line(console: &mut Console<'_>, object: &impl Serialize) -> io::Result<()> {
    writeln!(console.out, "{}", json::text(object)?)
}
