//! Autosave: values of chosen fields in files, from which they are restored at the next start.
//!
//! The files are those of the autosave module of synApps (`save_restore.c`, `dbrestore.c`): request files (`.req`)
//! name fields, save files (`.sav`) have their values, and end with `<END>`. The module reads what is
//! written here, and the other way round. There is no I/O in here: [`Settings`] say what is saved when and
//! where, [`Save`] makes the text of a file a slice at a time, [`SaveFile`] reads one, and
//! [`Ioc::restore_at_start`](crate::Ioc::restore_at_start) takes it over.
//!
//! # Where we differ from the module
//! - A value may have any length; there 200 bytes of a line count.
//! - A backslash in an element of an array comes back as it was.
//! - 64-bit integers are saved exactly.
//! - A copy of the file that was restored is `.bu`; dated copies only when they are asked for.

mod file;
mod request;
mod restore;
mod save;
mod settings;

#[cfg(test)]
mod tests;

pub use file::{SaveFile, Saved, SavedValue};
pub use request::{Request, read_request};
pub use restore::{Pass, Restore};
pub use save::Save;
pub use settings::{Settings, Trigger, WatchedSet};

/// Bytes of a request or save file.
pub const MAX_FILE: usize = 64 << 20;
/// Fields of a set.
pub const MAX_FIELDS: usize = 1_000_000;
/// Request files that include each other.
pub const MAX_INCLUDES: usize = 16;
/// Sets of an IOC, and files that are restored.
pub const MAX_SETS: usize = 1000;
