//! What can be wrong with a description of PVs, or with a value that is posted.

use std::time::Duration;

use ca_proto::dbr::{ConvertError, NativeType};
use ca_proto::text::Shown;
use thiserror::Error;

/// Why an IOC, or one of its PVs, cannot be built.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The name cannot be one of a record.
    #[error("PV name \"{}\": {reason}", Shown(.name))]
    BadName {
        /// The refused name.
        name: String,
        /// What is wrong with it, and the remedy.
        reason: &'static str,
    },
    /// A name with a dot that is also that of a field of another PV.
    #[error(
        "PV name \"{}\": this is a field of PV \"{}\"; give one of the two another name", Shown(.name), Shown(.owner)
    )]
    IsField {
        /// The name with the dot.
        name: String,
        /// The PV whose field it would be.
        owner: String,
    },
    /// What is given does not fit the PV, or would have no effect.
    #[error("PV \"{}\": {}", Shown(.name), listed(.faults))]
    Unfit {
        /// The PV.
        name: String,
        /// Each thing that is wrong, at least one.
        faults: Vec<crate::fault::Fault>,
    },
    /// Two PVs have the same name.
    #[error("PV \"{}\" exists already; give each PV its own name, or remove the old one first", Shown(.name))]
    Duplicate {
        /// The name that came twice.
        name: String,
    },
    /// A value has more elements than the PV has room for.
    #[error(
        "PV \"{}\": {given} elements do not fit a capacity of {capacity}; raise the capacity", Shown(.name)
    )]
    TooManyElements {
        /// The PV.
        name: String,
        /// Elements of the initial value.
        given: u32,
        /// Capacity in elements.
        capacity: u32,
    },
    /// A capacity of 0, or one above the largest payload.
    #[error("PV \"{}\": a capacity of {capacity} elements is not possible, it is 1 to {limit}", Shown(.name))]
    BadCapacity {
        /// The PV.
        name: String,
        /// Capacity in elements.
        capacity: u32,
        /// Largest possible capacity of the PV's type in elements.
        limit: u32,
    },
    /// A signal with a period that a scan cannot have.
    #[error("PV \"{}\": a signal period of {period:?} is too short, use at least 100 us", Shown(.name))]
    BadPeriod {
        /// The PV.
        name: String,
        /// The refused period.
        period: Duration,
    },
    /// More PVs than identifiers.
    #[error("PV \"{}\": the database is full", Shown(.name))]
    Full {
        /// The PV that found no room.
        name: String,
    },
    /// A text that describes a PV cannot be understood.
    #[error(transparent)]
    Text(#[from] crate::describe::PvTextError),
    /// There is no such record to be changed.
    #[error("there is no record \"{}\"", Shown(.name))]
    NoRecord {
        /// The name.
        name: String,
    },
    /// Files that are read while an IOC runs describe a record type otherwise.
    #[error(
        "record type {of} has other fields, choices or device supports than when the IOC was started; start it anew"
    )]
    OtherType {
        /// The record type.
        of: String,
    },
    /// Records were added twice, and may belong together.
    #[error(
        "record \"{}\": the IOC has records already; read all files together, as with `RecordFiles`", Shown(.name)
    )]
    SecondDatabase {
        /// The first record of those that came later.
        name: String,
    },
    /// Files of records are wrong.
    #[error("{0}")]
    Files(FileErrors),
}

/// All that is wrong in files of records, and what is odd.
///
/// Its text shows each with file, line and column; [`mistakes`](Self::mistakes) has them one by one, and with the
/// feature `diagnostics` shows them in their lines.
#[derive(Clone, Debug)]
pub struct FileErrors(pub(crate) std::sync::Arc<crate::load::Mistakes>);

impl FileErrors {
    /// What was found.
    pub fn mistakes(&self) -> &crate::load::Mistakes {
        &self.0
    }
}

/// The same reading of the same files.
impl PartialEq for FileErrors {
    fn eq(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Display for FileErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_string().trim_end())
    }
}

fn listed(faults: &[crate::fault::Fault]) -> String {
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    texts.join("; also, ")
}

/// Why a PV could not be read, written or changed from the program.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum PostError {
    /// There is no such PV or field (any more).
    #[error("no PV or field \"{}\" in this IOC", Shown(.name))]
    UnknownPv {
        /// The name, or the handle's number.
        name: String,
    },
    /// The value cannot be converted to the PV's type.
    #[error("PV \"{}\": cannot convert {from} to {to}: {reason}", Shown(.name))]
    Convert {
        /// The PV.
        name: String,
        /// Type of the value.
        from: NativeType,
        /// Type of the PV.
        to: NativeType,
        /// Why.
        reason: ConvertError,
    },
    /// The value has more elements than the PV has room for.
    #[error("PV \"{}\": {given} elements do not fit a capacity of {capacity}", Shown(.name))]
    TooManyElements {
        /// The PV.
        name: String,
        /// Elements of the value.
        given: u32,
        /// Capacity in elements.
        capacity: u32,
    },
    /// A field was named for something that is the same for the whole record.
    #[error(
        "\"{}\" is a field, and alarms, rights and completion are those of the whole PV; leave \
         out the part from the dot on", Shown(.name)
    )]
    NotARecord {
        /// PV and field.
        name: String,
    },
    /// A record of the database was named for something that only PVs have that the program describes.
    #[error(
        "\"{}\" is a record of a database: its rights and completion follow from its fields", Shown(.name)
    )]
    IsRecord {
        /// The record.
        name: String,
    },
    /// The record did not take the value.
    #[error("field \"{}\" was not written: {reason}", Shown(.name))]
    NotWritten {
        /// The record and its field.
        name: String,
        /// Why.
        reason: crate::process::PutError,
    },
    /// The field cannot be changed.
    #[error("field \"{}\" cannot be changed", Shown(.name))]
    ReadOnlyField {
        /// PV and field.
        name: String,
    },
}
