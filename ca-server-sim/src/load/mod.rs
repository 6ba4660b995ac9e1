//! Files of EPICS databases.

mod macros;

pub use macros::{
    Expanded, MAX_DEPTH, MAX_EXPANDED, MAX_STEPS, MacroProblem, MacroProblemKind, Macros,
};
