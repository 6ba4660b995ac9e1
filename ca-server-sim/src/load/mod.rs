//! Files of EPICS databases: `.dbd`, `.db`, `.template`, `.substitutions`, and `.acf`.
//!
//! [`Loader`] reads them into record types ([`Dbd`]) and records ([`Records`]), and collects all that is wrong in them
//! ([`Mistakes`]), each with its place and the way that led there. It knows no disk: texts come through [`Files`], and
//! what they may ask for is bounded by [`Bounds`].
//!
//! The grammar and its limits are those of EPICS Base (`dbLex.l`, `dbYacc.y`, `dbLexRoutines.c`, `dbStaticLib.c`,
//! `dbLoadTemplate.y`; `msi.cpp` for `substitute`), which judges in the tests. Text is bytes: Latin-1 is kept as it is.
//!
//! # Where we differ from the reference
//! - It leaves a file at the first mistake of some kinds, and keeps what came before; here all mistakes are told, and
//!   the caller loads all or nothing.
//! - Lines may have any length; the reference cuts them, macros expanded, after 1023 bytes.
//! - The end of an included file ends its last line, also where nothing else does.
//! - JSON links of type `pva` are taken and warned of, as they belong to another server.
//! - A file that is not in the search path is also looked for beside the file that names it.

mod acf;
mod bounds;
pub mod dbd;
pub(crate) mod define;
mod files;
mod hold;
mod items;
pub mod json;
mod lexer;
pub mod link;
mod lint;
mod loader;
mod macros;
mod mistakes;
pub mod number;
mod parser;
mod records;
mod source;
mod substitutions;
mod tape;
pub mod value;

pub use crate::record::ShortBytes;
pub use acf::access_security;
pub use bounds::Bounds;
pub use dbd::Dbd;
pub use files::{Disk, FileProblem, Files, InMemory};
pub use lint::lint;
pub(crate) use loader::Paused;
pub use loader::{Loaded, Loader};
pub use macros::{
    Expanded, MAX_DEPTH, MAX_EXPANDED, MAX_STEPS, MacroProblem, MacroProblemKind, MacroReference,
    Macros,
};
pub use mistakes::{Mistake, MistakeKind, Mistakes};
pub use records::{AliasDef, FieldDef, FieldValue, InfoDef, RecordDef, Records};
pub use source::{Located, Place, Sources};

pub use crate::slip::Weight;
