//! What the servers of other implementations cannot do, each found out by trying.

use crate::checks::Kind;

/// Checks, `*` at the end for all that begin so, and why the server cannot pass them.
type Lacks = &'static [(&'static str, &'static str)];

const CAPROTO: Lacks = &[
    (
        "read.ctrl.string",
        "it lays DBR_CTRL_STRING out as DBR_TIME_STRING",
    ),
    (
        "array.read.wfstr",
        "it lays DBR_CTRL_STRING out as DBR_TIME_STRING",
    ),
    ("array.read.wfenum", "its enums are scalars"),
    ("array.write.wfenum", "its enums are scalars"),
    ("array.write.wfuchar", "it drops NULs at the end of bytes"),
    ("count.padded", "it gives no more elements than there are"),
    ("count.more", "it gives no more elements than there are"),
    (
        "mask.log",
        "it sends every change to every subscription, whatever the mask",
    ),
    (
        "mask.alarm",
        "it sends every change to every subscription, whatever the mask",
    ),
    (
        "mask.property",
        "it sends every change to every subscription, whatever the mask",
    ),
    (
        "rights.change",
        "it tells access rights once, when a channel is made",
    ),
    ("name.60*", "it allows 59 characters in a record name"),
    (
        "nan.scalar",
        "it takes NaN for a value beyond the control limits",
    ),
    (
        "alarm.stsack_string",
        "it leaves the value out of DBR_STSACK_STRING",
    ),
    ("string.of_each_type", "it formats in its own way"),
    ("write.base_prefix", "it reads numbers in decimal only"),
    (
        "write.not_a_number",
        "it takes 32768 for a SHORT, which becomes -32768",
    ),
    ("write.converted", "it formats in its own way"),
    (
        "monitor.no_access",
        "it sends updates to those who may not read",
    ),
];

const PCASPY: Lacks = &[
    (
        "disabled.refused",
        "it answers a refused put as a successful one",
    ),
    ("string.as_char_array", "it knows no modifiers of names"),
    ("string.of_each_type", "it formats in its own way"),
    ("write.base_prefix", "it takes 010 for ten"),
    ("write.converted", "it formats in its own way"),
    (
        "array.write.wfenum",
        "it refuses arrays of enums, and the server ends",
    ),
    ("alarm.*", "it knows no acknowledgement"),
    (
        "read.control_limits",
        "its control limits are its display limits",
    ),
    (
        "array.write.wfstr",
        "its Python layer fails on it and the server ends",
    ),
    (
        "string.not_utf8",
        "its Python layer fails on it and the server ends",
    ),
    ("count.more", "it fills the answer with zeros only"),
    ("read.class_name", "it sends an empty text"),
    (
        "read.undefined",
        "it sets a time stamp for what was never written",
    ),
];

/// Checks of our clients that want the type FLOAT itself; those of the others look at the number.
const FLOAT: &[&str] = &[
    "read.plain.float",
    "read.sts.float",
    "read.time.float",
    "read.gr.float",
    "read.ctrl.float",
    "array.read.wffloat",
    "array.write.wffloat",
    "write.float",
    "put.float",
    "monitor.float",
];

/// All that this server lacks, whoever checks it.
pub const fn all(kind: Kind) -> Lacks {
    match kind {
        Kind::RealIoc | Kind::Simulated => &[],
        Kind::Caproto => CAPROTO,
        Kind::Pcaspy => PCASPY,
    }
}

/// Why this server cannot pass the check of our clients, if it cannot.
pub fn lacks(kind: Kind, check: &str) -> Option<&'static str> {
    if !kind.has_float() && FLOAT.contains(&check) {
        return Some("its real numbers are all DOUBLE");
    }
    let is = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => check.starts_with(start),
        None => check == pattern,
    };
    let found = all(kind).iter().find(|(pattern, _)| is(pattern));
    found.map(|(_, why)| *why)
}
