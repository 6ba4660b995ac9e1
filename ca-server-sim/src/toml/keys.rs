//! The keys of a file, and the page of the book that is made of them.

use std::fmt::Write;

use super::walk::Key;
use crate::plain::RecordType;
use crate::settings::LIMIT_NAMES;

/// Types of PVs, with what the book says of them.
pub(super) const TYPES: &[(&str, &str)] = &[
    ("double", "a 64-bit real number"),
    (
        "float",
        "a 32-bit real number; larger and smaller ones are refused",
    ),
    ("long", "an integer from -2147483648 to 2147483647"),
    ("short", "an integer from -32768 to 32767"),
    ("char", "an integer from 0 to 255"),
    ("string", "a text of at most 39 bytes"),
    ("enum", "one of up to 16 `states`"),
    (
        "text",
        "an array of `char` that holds a text; with `capacity` bytes of room",
    ),
];

const fn key(
    name: &'static str,
    form: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key {
        name,
        form,
        default,
        about,
    }
}

pub(super) const FILE: &[Key] = &[
    key(
        "seed",
        "integer from 0",
        "`--seed`",
        "seed of everything random in signals",
    ),
    key(
        "limits",
        "table",
        "see below",
        "limits against hostile clients",
    ),
    key(
        "pv",
        "table of tables",
        "none",
        "the PVs: `[pv.NAME]`, the name in quotes if it has more than letters, digits, `-` and `_`",
    ),
];

pub(super) const PV: &[Key] = &[
    key(
        "type",
        "text",
        "must be given",
        "type of the value, see above",
    ),
    key(
        "value",
        "value or list",
        "0, empty",
        "first value; a list makes an array; of an enum a state or its number",
    ),
    key(
        "capacity",
        "integer from 1",
        "length of `value`",
        "elements there is room for; makes the PV an array",
    ),
    key(
        "units",
        "text",
        "empty",
        "EGU: at most 15 bytes, of which 7 are sent with values; numbers only",
    ),
    key(
        "precision",
        "integer from 0",
        "0",
        "PREC: digits after the point; `double` and `float` only",
    ),
    key(
        "display",
        "[low, high]",
        "[0, 0]",
        "LOPR and HOPR; numbers only",
    ),
    key(
        "control",
        "[low, high]",
        "none",
        "DRVL and DRVH: what clients write is moved into this range; single numbers only",
    ),
    key(
        "alarm",
        "[low, high]",
        "none",
        "LOLO and HIHI, severity MAJOR; `nan` is no limit; single numbers only",
    ),
    key(
        "warning",
        "[low, high]",
        "none",
        "LOW and HIGH, severity MINOR; `nan` is no limit; single numbers only",
    ),
    key(
        "hysteresis",
        "number from 0",
        "0",
        "HYST: how far a value has to come back before an alarm ends; single numbers only",
    ),
    key(
        "value_deadband",
        "number",
        "0",
        "MDEL: change above which values are sent; negative: always; single numbers only",
    ),
    key(
        "archive_deadband",
        "number",
        "0",
        "ADEL: the same for archivers",
    ),
    key(
        "states",
        "list of texts",
        "none",
        "at most 16, each of at most 25 bytes; `enum` only",
    ),
    key(
        "state_severities",
        "list of texts",
        "none",
        "for each state NO_ALARM, MINOR, MAJOR or INVALID; `enum` only",
    ),
    key("description", "text", "empty", "DESC: at most 40 bytes"),
    key(
        "access_group",
        "text",
        "`DEFAULT`",
        "group of `--acf`: at most 28 bytes, as ASG of a record",
    ),
    key(
        "record_type",
        "text",
        "one that fits",
        "RTYP: the record type to pose as",
    ),
    key(
        "read_only",
        "true or false",
        "false",
        "clients cannot write",
    ),
    key(
        "undefined",
        "true or false",
        "false",
        "alarm UDF and no time stamp until it is first written",
    ),
    key(
        "completes_after",
        "seconds",
        "at once",
        "when a write with completion is answered",
    ),
    key(
        "completes_never",
        "true or false",
        "false",
        "a write with completion is not answered",
    ),
    key(
        "signal",
        "table",
        "none",
        "how the value moves by itself, see below",
    ),
];

pub(super) const SIGNAL: &[Key] = &[
    key("kind", "text", "must be given", "see the next table"),
    key(
        "every",
        "seconds",
        "must be given",
        "time between two samples, at least 0.0001",
    ),
    key("low", "number", "0; of `walk` none", "smallest value"),
    key("high", "number", "1; of `walk` none", "largest value"),
    key(
        "period",
        "seconds",
        "10; of `camera` 4",
        "time of one repetition",
    ),
    key("start", "number", "0", "first value"),
    key(
        "step",
        "number",
        "1",
        "largest change (`walk`), or difference (`counter`), of two samples",
    ),
    key("points", "integer from 1", "`capacity`", "elements"),
    key(
        "cycles",
        "number",
        "2",
        "periods of the sine that the trace shows",
    ),
    key("amplitude", "number", "1", "largest value of the sine"),
    key(
        "noise",
        "number",
        "0.02",
        "largest value of the noise that is added",
    ),
    key(
        "width",
        "integer from 1",
        "must be given",
        "pixels in a row",
    ),
    key("height", "integer from 1", "must be given", "rows"),
    key(
        "file",
        "text",
        "must be given",
        "a recording: CSV or NDJSON",
    ),
    key("column", "text", "must be given", "its column"),
    key("repeat", "true or false", "false", "begin anew at its end"),
    key("value", "number", "0", "the value of `constant`"),
    key(
        "group",
        "text",
        "must be given",
        "whose members go together; of the same name and period",
    ),
    key("mean", "number", "0", "mean of a `correlated` value"),
    key("rms", "number", "1", "root mean square about it"),
    key(
        "share",
        "number from -1 to 1",
        "1",
        "what of it the members of the group have in common; two have the product as correlation",
    ),
    key("noise_rms", "number", "0", "normal noise on top; all kinds"),
    key(
        "drift",
        "number",
        "0",
        "root mean square of a random walk on top, after a second; all kinds",
    ),
    key(
        "latency",
        "seconds",
        "0",
        "as it was so long ago; not of `noise`, `walk`, `counter`, which do not follow from the time",
    ),
    key(
        "quantum",
        "number",
        "0",
        "whole multiples of this; all kinds",
    ),
];

/// Keys that all kinds of signals have.
pub(super) const SHAPE: &[&str] = &["noise_rms", "drift", "latency", "quantum"];

/// Kinds that do not follow from the time, so that there is no earlier value to show.
pub(super) const TIMELESS: &[&str] = &["noise", "walk", "counter"];

/// A kind of signal with its keys, beside `kind` and `every`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignalKind {
    pub name: &'static str,
    pub keys: &'static [&'static str],
    about: &'static str,
}

const WAVE: &[&str] = &["low", "high", "period"];

const fn kind(
    name: &'static str,
    keys: &'static [&'static str],
    about: &'static str,
) -> SignalKind {
    SignalKind { name, keys, about }
}

pub(super) const SIGNALS: &[SignalKind] = &[
    kind(
        "constant",
        &["value"],
        "stays, for what is put on top of it",
    ),
    kind("ramp", WAVE, "rises evenly, then falls back at once"),
    kind("sine", WAVE, "a sine"),
    kind(
        "square",
        WAVE,
        "`high` for half a period, `low` for the other",
    ),
    kind("triangle", WAVE, "rises evenly, then falls as evenly"),
    kind("noise", &["low", "high"], "independent values"),
    kind(
        "walk",
        &["start", "step", "low", "high"],
        "moves by up to `step` at each sample",
    ),
    kind(
        "counter",
        &["start", "step"],
        "counts samples, with integers",
    ),
    kind(
        "correlated",
        &["group", "mean", "rms", "share"],
        "normal numbers that move with those of other PVs",
    ),
    kind(
        "scope",
        &["points", "cycles", "amplitude", "noise"],
        "an array: a few periods of a noisy sine that wanders",
    ),
    kind(
        "playback",
        &["file", "column", "repeat"],
        "what was recorded, CSV or NDJSON",
    ),
    kind(
        "camera",
        &["width", "height", "period"],
        "an array of `char`: a bright spot that circles",
    ),
];

/// The reference of files for `canter ioc`, in Markdown: every table and every key.
///
/// # Examples
/// ```
/// let page = ca_server_sim::toml::reference();
/// assert!(page.contains("| `hysteresis` | number from 0 | 0 | HYST"));
/// ```
pub fn reference() -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_reference(&mut page);
    page
}

fn write_reference(page: &mut String) -> std::fmt::Result {
    writeln!(page, "### The file\n")?;
    keys(page, FILE)?;
    writeln!(page, "\n### A PV: `[pv.NAME]`\n")?;
    writeln!(page, "| `type` | value |\n|---|---|")?;
    for (name, about) in TYPES {
        writeln!(page, "| `{name}` | {about} |")?;
    }
    writeln!(page)?;
    keys(page, PV)?;
    let types = RecordType::ALL.map(RecordType::name).join("`, `");
    writeln!(
        page,
        "\nRecord types are `{types}`; one that cannot hold the value is refused."
    )?;
    writeln!(
        page,
        "\n### A signal: `signal = {{ kind = …, every = … }}`\n"
    )?;
    keys(page, SIGNAL)?;
    writeln!(page, "\n| `kind` | keys | value |\n|---|---|---|")?;
    for kind in SIGNALS {
        let keys = kind.keys.join("`, `");
        writeln!(page, "| `{}` | `{keys}` | {} |", kind.name, kind.about)?;
    }
    writeln!(
        page,
        "\nA signal of single numbers fits a PV with one number, or an enum whose states it does not leave."
    )?;
    writeln!(page, "\n### Limits: `[limits]`\n")?;
    let limits = LIMIT_NAMES.join("`, `");
    writeln!(
        page,
        "`{limits}`: numbers, times in seconds. What each means, and its default, is in [Configuration](configuration.md#limits-against-hostile-peers)."
    )
}

fn keys(page: &mut String, keys: &[Key]) -> std::fmt::Result {
    writeln!(
        page,
        "| key | value | without it | meaning |\n|---|---|---|---|"
    )?;
    for key in keys {
        let Key {
            name,
            form,
            default,
            about,
        } = key;
        writeln!(page, "| `{name}` | {form} | {default} | {about} |")?;
    }
    Ok(())
}
