//! Errors of operations as exceptions of `canter._errors`.

use std::net::SocketAddrV4;
use std::time::Duration;

use ca_client::{
    BuildError, ConnectError, EcaStatus, GetError, MonitorError, Phase, PutError, Remedy,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule};

use crate::jobs::PutFailed;
use crate::values::Unfit;

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// An exception by the name of its class.
pub(crate) struct Facts<'a> {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) pv: &'a str,
    pub(crate) peer: Option<SocketAddrV4>,
    pub(crate) phase: Option<&'a Phase>,
    pub(crate) elapsed: Duration,
    pub(crate) remedy: Option<String>,
    pub(crate) status: Option<EcaStatus>,
}

const fn phase_word(phase: &Phase) -> &'static str {
    match phase {
        Phase::Searching { .. } => "search",
        Phase::Connecting => "connect",
        Phase::Silent => "silent",
        Phase::Creating => "create",
        Phase::Unresponsive => "unresponsive",
        Phase::Connected => "connected",
        Phase::Closed => "closed",
        _ => "unknown",
    }
}

/// Makes the exception.
pub(crate) fn exception(py: Python<'_>, facts: Facts<'_>) -> PyErr {
    let made = || {
        let module = MODULE.get_or_try_init(py, || {
            PyModule::import(py, "canter._errors").map(Bound::unbind)
        })?;
        let known = PyDict::new(py);
        known.set_item("pv", facts.pv)?;
        known.set_item("peer", facts.peer.map(|peer| peer.to_string()))?;
        known.set_item("phase", facts.phase.map(phase_word))?;
        known.set_item("elapsed", facts.elapsed.as_secs_f64())?;
        known.set_item("remedy", facts.remedy)?;
        known.set_item("status", facts.status.map(|status| status.0))?;
        let class = module.bind(py).getattr(facts.kind)?;
        class.call((facts.message,), Some(&known))
    };
    match made() {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

macro_rules! facts {
    ($error:expr, $kind:expr, $status:expr) => {
        Facts {
            kind: $kind,
            message: $error.to_string(),
            pv: $error.pv(),
            peer: $error.server(),
            phase: $error.phase(),
            elapsed: $error.elapsed(),
            remedy: Some(remedy($error.remedy())),
            status: $status,
        }
    };
}

/// The remedy, in the words of Python where those of Rust would mislead.
fn remedy(remedy: Remedy) -> String {
    match remedy {
        Remedy::SetAddresses => {
            "set EPICS_CA_ADDR_LIST, EPICS_CA_NAME_SERVERS or EPICS_CA_AUTO_ADDR_LIST=YES, or give \
             Client addr_list or name_servers"
                .to_owned()
        }
        Remedy::AllowPuts => {
            "make the Client without read_only where values may be written".to_owned()
        }
        other => other.to_string(),
    }
}

const fn connect_kind(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::BadName { .. } => "BadName",
        ConnectError::TimedOut(_) => "ConnectTimeout",
        ConnectError::NowhereToSearch(_) => "NowhereToSearch",
        ConnectError::Refused { .. } => "TooManyChannels",
        ConnectError::Closed(_) => "Closed",
        _ => "ConnectError",
    }
}

/// A channel that was not connected in time.
const fn unconnected(phase: &Phase) -> &'static str {
    match phase {
        Phase::Closed => "Closed",
        _ => "ConnectTimeout",
    }
}

pub(crate) fn connect(py: Python<'_>, error: &ConnectError) -> PyErr {
    exception(py, facts!(error, connect_kind(error), None))
}

pub(crate) fn get(py: Python<'_>, error: &GetError) -> PyErr {
    let (kind, status) = match error {
        GetError::NotConnected(context) => (unconnected(&context.phase), None),
        GetError::TimedOut(_) => ("GetTimeout", None),
        GetError::Disconnected(_) => ("Disconnected", None),
        GetError::NoAccess(_) => ("AccessDenied", None),
        GetError::Failed { status, .. } => ("GetRefused", Some(*status)),
        GetError::Malformed { .. } => ("Malformed", None),
        GetError::BadRequest { .. } => ("BadRequest", None),
        GetError::Value { .. } => ("ValueProblem", None),
        GetError::Closed(_) => ("Closed", None),
        GetError::Open(error) => (connect_kind(error), None),
        _ => ("GetError", None),
    };
    exception(py, facts!(error, kind, status))
}

pub(crate) fn put(py: Python<'_>, error: &PutError) -> PyErr {
    let (kind, status) = match error {
        PutError::NotConnected(context) => (unconnected(&context.phase), None),
        PutError::TimedOut(_) => ("PutTimeout", None),
        PutError::Disconnected(_) => ("Disconnected", None),
        PutError::ReadOnly(_) => ("ReadOnly", None),
        PutError::NoAccess(_) => ("AccessDenied", None),
        PutError::Failed { status, .. } => ("PutRefused", Some(*status)),
        PutError::BadRequest { .. } => ("BadRequest", None),
        PutError::Value { .. } => ("ValueProblem", None),
        PutError::Closed(_) => ("Closed", None),
        PutError::Open(error) => (connect_kind(error), None),
        _ => ("PutError", None),
    };
    exception(py, facts!(error, kind, status))
}

/// Why a put failed, before it was sent or after.
pub(crate) fn put_failed(py: Python<'_>, error: PutFailed) -> PyErr {
    let (pv, reason) = match error {
        PutFailed::Put(error) => return put(py, &error),
        PutFailed::Unfit(pv, Unfit::Text(reason)) => {
            return put(py, &PutError::Value { pv, reason });
        }
        PutFailed::Unfit(pv, Unfit::Number(reason)) => (pv, reason),
    };
    let message = format!("cannot write \"{pv}\": {reason}");
    let remedy = "give such a number, or write to a PV of real numbers".to_owned();
    plain(py, "ValueProblem", &pv, message, Some(remedy))
}

pub(crate) fn monitor(py: Python<'_>, error: &MonitorError) -> PyErr {
    let kind = match error {
        MonitorError::BadRequest { .. } => "BadRequest",
        MonitorError::Closed(_) => "Closed",
        MonitorError::Open(error) => connect_kind(error),
        _ => "MonitorError",
    };
    exception(py, facts!(error, kind, None))
}

pub(crate) fn build(py: Python<'_>, error: &BuildError) -> PyErr {
    plain(py, "CannotStart", "", error.to_string(), None)
}

/// What cannot be asked for; behind `; ` and `: give` the text tells the remedy.
pub(crate) fn bad(text: impl Into<String>) -> PyErr {
    let text = text.into();
    let (message, remedy) = match (text.split_once("; "), text.split_once(": give ")) {
        (Some((message, remedy)), _) => (message, remedy.to_owned()),
        (None, Some((message, remedy))) => (message, format!("give {remedy}")),
        (None, None) => (&*text, String::new()),
    };
    let remedy = Some(remedy).filter(|remedy| !remedy.is_empty());
    Python::attach(|py| plain(py, "BadRequest", "", message.to_owned(), remedy))
}

/// An IOC that has no sockets or threads; the text may tell the remedy behind `; `.
pub(crate) fn cannot_serve(py: Python<'_>, text: &str) -> PyErr {
    let (message, remedy) = text
        .split_once("; ")
        .unwrap_or((text, "look at what the system lacks"));
    plain(
        py,
        "CannotStart",
        "",
        message.to_owned(),
        Some(remedy.to_owned()),
    )
}

/// A client that was closed.
pub(crate) fn closed(py: Python<'_>, pv: &str) -> PyErr {
    let remedy = remedy(Remedy::MakeClient);
    let message = match pv {
        "" => "the client was closed".to_owned(),
        pv => format!("cannot use \"{pv}\": the client was closed"),
    };
    plain(py, "Closed", pv, message, Some(remedy))
}

/// An error that happened before anything was tried.
pub(crate) fn plain(
    py: Python<'_>,
    kind: &'static str,
    pv: &str,
    message: String,
    remedy: Option<String>,
) -> PyErr {
    let facts = Facts {
        kind,
        message,
        pv,
        peer: None,
        phase: None,
        elapsed: Duration::ZERO,
        remedy,
        status: None,
    };
    exception(py, facts)
}
