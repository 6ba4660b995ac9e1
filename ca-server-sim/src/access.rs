//! Rights by who asks, beside those of the PV itself.

mod guard;
mod inputs;
mod refusal;
pub mod rules;

use std::fmt;

use ca_proto::access::AccessRights;
use ca_proto::server::Identity;

pub(crate) use guard::{Guard, Question};
pub use guard::{PutAccess, ReadyRules};
pub use inputs::AccessReport;
pub(crate) use inputs::{INPUTS, LeftInputs};

type Function = Box<dyn Fn(&str, &Identity) -> AccessRights + Send>;

/// A rule that says what a client may do with a PV.
pub(crate) struct AccessRule(Function);

impl AccessRule {
    pub(crate) fn new(rule: impl Fn(&str, &Identity) -> AccessRights + Send + 'static) -> Self {
        Self(Box::new(rule))
    }

    pub(crate) fn rights(&self, name: &str, who: &Identity) -> AccessRights {
        (self.0)(name, who)
    }
}

impl fmt::Debug for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessRule")
    }
}
