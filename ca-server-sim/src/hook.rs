//! Code of the user that sees puts before they are carried out.

use std::fmt;

use ca_proto::dbr::{Snapshot, Value};
use ca_proto::server::Identity;
use ca_proto::{EcaStatus, Instant};

/// A put by a client, as a hook sees it.
#[derive(Debug)]
pub struct PutRequest<'a> {
    /// Time of the put.
    pub now: Instant,
    /// The PV.
    pub name: &'a str,
    /// The new value, in the PV's native type.
    pub value: &'a Value,
    /// The state before.
    pub before: &'a Snapshot,
    /// Who writes.
    pub who: &'a Identity,
}

/// What a hook makes of a put.
#[derive(Clone, PartialEq, Debug)]
pub enum PutDecision {
    /// The value is stored.
    Accept,
    /// This value is stored instead; it is converted to the PV's type.
    Replace(Value),
    /// Nothing is stored; the client gets this status if it asked for one.
    Reject(EcaStatus),
}

type Function = Box<dyn FnMut(&PutRequest<'_>) -> PutDecision + Send>;

/// A put hook.
pub(crate) struct Hook(Function);

impl Hook {
    pub(crate) fn new(
        function: impl FnMut(&PutRequest<'_>) -> PutDecision + Send + 'static,
    ) -> Self {
        Self(Box::new(function))
    }

    pub(crate) fn call(&mut self, request: &PutRequest<'_>) -> PutDecision {
        (self.0)(request)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
