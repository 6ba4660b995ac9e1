//! What a client receives: a DBR structure, kept as it came and looked at on demand.

use super::{DbrType, Payload};

/// A received DBR structure.
#[derive(Clone, PartialEq, Debug)]
pub struct Reading {
    ty: DbrType,
    count: u32,
    data: Payload,
}

impl Reading {
    /// Type of the structure.
    pub const fn ty(&self) -> DbrType {
        self.ty
    }

    /// Number of elements in the structure.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The structure as it came, without padding.
    pub const fn payload(&self) -> &Payload {
        &self.data
    }
}
