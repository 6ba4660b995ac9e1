//! What files may ask for at most.

/// Bounds of everything that is loaded by one [`Loader`](super::Loader): a hostile file ends with a message.
///
/// The defaults suit a facility with a million records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of one file.
    pub file: usize,
    /// Files that include each other, one in another.
    pub depth: usize,
    /// Files opened, templates once for each time that they are expanded.
    pub opened: usize,
    /// Bytes of all lines after their macros are expanded, and bytes looked at in expanding them.
    pub work: usize,
    /// Records and aliases.
    pub records: usize,
    /// Fields, info items and menu choices of all records and record types, repetitions included.
    pub fields: usize,
    /// Bytes of one value, of a field or of an info item.
    pub value: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            file: 128 << 20,
            depth: 32,
            opened: 1_000_000,
            work: 4 << 30,
            records: 4_000_000,
            fields: 64_000_000,
            value: 1 << 20,
        }
    }
}

impl Bounds {
    /// Bounds under which anything ends within milliseconds, for fuzzing.
    pub fn small() -> Self {
        Self {
            file: 1 << 20,
            depth: 8,
            opened: 100,
            work: 1 << 22,
            records: 10_000,
            fields: 50_000,
            value: 1 << 16,
        }
    }
}

/// Lists within lists of a JSON value.
pub(super) const MAX_JSON_DEPTH: usize = 32;
/// Directories in which files are looked for.
pub(super) const MAX_PATH: usize = 1000;
/// Mistakes that are kept; further ones are counted.
pub(super) const MAX_MISTAKES: usize = 1000;
/// Syntax errors after which a file is left: what follows is hardly what its author wrote.
pub(super) const MAX_SYNTAX_ERRORS: usize = 50;
/// Macros that a pattern or a set of a `.substitutions` file may have.
pub(super) const MAX_VARIABLES: usize = 10_000;
/// Record types that are made up where records hold what nobody describes.
pub(super) const MAX_HELD_TYPES: usize = 1000;
/// Fields that such a type has at most.
pub(super) const MAX_HELD_FIELDS: usize = 2000;
/// Devices that are made up.
pub(super) const MAX_HELD_DEVICES: usize = 1000;
