//! Named groups of PVs.

mod cafe;
mod cafe_values;
mod file;
mod open;
mod values;
mod xml;

use std::collections::{BTreeMap, HashMap};

use ca_client::PvName;
use thiserror::Error;

pub use self::cafe::{Collection, Collections};
pub use self::cafe_values::{CafeSnapshot, CafeValue};
pub use self::file::GroupFileError;
pub(crate) use self::file::read_file;
pub use self::open::{GroupEvent, GroupMonitor, GroupRow, MemberStatus, OpenGroup};
pub use self::values::{GroupConnect, GroupGet, GroupPut, GroupResults, NoSuchMember};

/// Members of a group: as many as channels of a large client. Files could ask for any number by few
/// lines.
pub const MAX_MEMBERS: usize = 1 << 18;

/// A PV of a group.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Member {
    /// Name of the PV.
    pub pv: String,
    /// What it is called within the group; mostly the PV's name.
    pub name: String,
    /// How far a number may be away and still count as the same, in the PV's units.
    pub tolerance: f64,
    /// Its turn when the group is restored: lower ones first, those of one turn together.
    pub order: i32,
}

impl Member {
    /// A member that is called as its PV, with tolerance 0 and order 0.
    pub fn new(pv: impl Into<String>) -> Self {
        let pv = pv.into();
        Self {
            name: pv.clone(),
            pv,
            tolerance: 0.0,
            order: 0,
        }
    }

    /// What it is called within the group.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How far a number may be away and still count as the same.
    #[must_use]
    pub const fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Its turn when the group is restored.
    #[must_use]
    pub const fn order(mut self, order: i32) -> Self {
        self.order = order;
        self
    }
}

/// A named group of PVs: what it consists of, not yet its channels
/// ([`Kit::open_group`](crate::Kit::open_group)).
///
/// # Examples
/// ```
/// use ca_kit::{Group, Groups, Member};
///
/// let orbit = Group::of("orbit", ["bpm1:x", "bpm2:x"])?;
/// let magnets = Group::devices("magnets", ["q1", "q2"], ["set", "read"], ":")?;
/// assert_eq!(magnets.members()[3].pv, "q2:read");
/// let mixed = Group::new("mixed").with(Member::new("k1").tolerance(0.1).order(2))?;
///
/// let from_file = Groups::from_toml("groups.toml", r#"
///     [group.magnets]
///     devices = ["q1", "q2"]
///     attributes = ["set", "read"]
///     delimiter = ":"
///
///     [group.all]
///     include = ["magnets"]
///     pvs = ["ring:current"]
/// "#)?;
/// assert_eq!(from_file.get("all").unwrap().len(), 5);
/// # let _ = (orbit, mixed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    name: String,
    members: Vec<Member>,
    /// Places of the members by their names.
    names: HashMap<String, usize>,
}

/// Why a group cannot be as it is told.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The name of a PV cannot be one.
    #[error("group \"{group}\": {reason}")]
    BadName {
        /// Name of the group.
        group: String,
        /// The name that cannot be one.
        pv: String,
        /// Why not.
        reason: ca_client::PvNameError,
    },
    /// Two members have the same name.
    #[error("group \"{group}\" has two members \"{name}\"; leave one out, or give it another name")]
    Twice {
        /// Name of the group.
        group: String,
        /// The name that both have.
        name: String,
    },
    /// A tolerance with which nothing is ever the same.
    #[error(
        "group \"{group}\": with the tolerance {tolerance} \"{name}\" can never match; give one that is 0 or more"
    )]
    Tolerance {
        /// Name of the group.
        group: String,
        /// Name of the member.
        name: String,
        /// The tolerance.
        tolerance: f64,
    },
    /// It has too many members.
    #[error("group \"{group}\" has more than {MAX_MEMBERS} members; make several of it")]
    TooMany {
        /// Name of the group.
        group: String,
    },
}

impl GroupError {
    /// What is wrong, and what to do about it, for the place in a file.
    pub(crate) fn parts(&self) -> (String, String) {
        let text = self.to_string();
        match text.split_once("; ") {
            Some((message, remedy)) => (message.to_owned(), remedy.to_owned()),
            None => (text, "check how the name is spelled".to_owned()),
        }
    }

    /// Whether further members make no sense.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self, Self::TooMany { .. })
    }
}

impl Group {
    /// A group without members.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            members: Vec::new(),
            names: HashMap::new(),
        }
    }

    /// A group of these PVs.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn of(
        name: impl Into<String>,
        pvs: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, GroupError> {
        let mut group = Self::new(name);
        for pv in pvs {
            group.add(Member::new(pv))?;
        }
        Ok(group)
    }

    /// A group of all attributes of all devices, device by device: `q1:set`, `q1:read`, `q2:set` …
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn devices(
        name: impl Into<String>,
        devices: impl IntoIterator<Item = impl AsRef<str>>,
        attributes: impl IntoIterator<Item = impl AsRef<str>>,
        delimiter: &str,
    ) -> Result<Self, GroupError> {
        let attributes: Vec<_> = attributes.into_iter().collect();
        let mut group = Self::new(name);
        for device in devices {
            for attribute in &attributes {
                let (device, attribute) = (device.as_ref(), attribute.as_ref());
                group.add(Member::new(format!("{device}{delimiter}{attribute}")))?;
            }
        }
        Ok(group)
    }

    /// The group with one more member.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn with(mut self, member: Member) -> Result<Self, GroupError> {
        self.add(member)?;
        Ok(self)
    }

    /// Adds a member.
    ///
    /// # Errors
    /// [`GroupError`]; the group is as before then.
    pub fn add(&mut self, member: Member) -> Result<(), GroupError> {
        let group = || self.name.clone();
        if let Err(reason) = PvName::new(&member.pv) {
            let (group, pv) = (group(), member.pv);
            return Err(GroupError::BadName { group, pv, reason });
        }
        if member.tolerance.is_nan() || member.tolerance < 0.0 {
            let (group, name, tolerance) = (group(), member.name, member.tolerance);
            return Err(GroupError::Tolerance {
                group,
                name,
                tolerance,
            });
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err(GroupError::TooMany { group: group() });
        }
        if self.names.contains_key(&member.name) {
            let (group, name) = (group(), member.name);
            return Err(GroupError::Twice { group, name });
        }
        self.names.insert(member.name.clone(), self.members.len());
        self.members.push(member);
        Ok(())
    }

    /// Name of the group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its members, in order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Place of the member of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// How many members it has.
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// True without members.
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// Groups by their names, mostly those of a file.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Groups(BTreeMap<String, Group>);

impl Groups {
    /// The group of this name.
    pub fn get(&self, name: &str) -> Option<&Group> {
        self.0.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a group; one of the same name makes room for it.
    pub fn insert(&mut self, group: Group) {
        self.0.insert(group.name.clone(), group);
    }
}
