//! Records: types, fields, values and what a record keeps.
//!
//! A **record type** is a table of fields and a [`Support`], which says what the type does. Those of EPICS
//! Base are in `types/`, one file each; a site's own come from its `.dbd` files and hold their values. Both
//! become the same [`RecordType`] in a [`Schema`]. What *happens* with records (processing, links, scans,
//! puts) is in [`process`](crate::process).
//!
//! A **record** keeps its state in a few words, and of its fields those only whose values differ from the
//! type's (`store.rs`).

mod breaktables;
pub(crate) mod common;
pub(crate) mod field;
pub(crate) mod json;
mod link;
mod menus;
pub(crate) mod schema;
mod short;
mod store;
pub(crate) mod support;
pub(crate) mod types;
pub(crate) mod val;

pub use field::{Dbf, FieldDef, Special};
pub(crate) use link::Part;
pub use link::{Link, LinkError, LinkProcess, LinkSeverity, LinkTo, PvLink};
pub use schema::{
    BreakTable, Device, DeviceAddress, DeviceKind, Field, FieldSpec, Menu, RecordType, Schema,
    SchemaError, TypeDef,
};
pub use short::ShortBytes;
pub(crate) use store::{Bits, FieldSet, Id, Record};
pub use support::{ArrayShape, Flow, Meta, SpecialFn, States, Support};
pub use val::{Array, Choices, Conversion, Val};
