//! Access security: who may do what with the fields of which records, by the rules of an `.acf` file.
//!
//! The decisions are those of `asComputePvt` and `asComputeAsgPvt` of EPICS Base.

use std::net::Ipv4Addr;

use hashbrown::{HashMap, HashSet};

use crate::calc::{ARGUMENTS, Expression, Random};
use crate::load::Located;

/// The group of records whose own group is not in the file.
pub const DEFAULT_GROUP: &str = "DEFAULT";

/// What a client may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Access {
    /// Nothing.
    #[default]
    None,
    /// Read.
    Read,
    /// Read and write.
    Write,
}

impl Access {
    /// The word in `.acf` files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Read => "READ",
            Self::Write => "WRITE",
        }
    }
}

/// A rule of a group.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// The rule is for fields of this access security level and of lower ones.
    pub level: i32,
    /// What it allows.
    pub access: Access,
    /// Whether writes that it allows are told to those who want to know of them (`TRAPWRITE`).
    pub traps_writes: bool,
    /// Groups of users for which it is; for everybody if there is none.
    pub users: Vec<Box<str>>,
    /// Groups of hosts for which it is; for all if there is none.
    pub hosts: Vec<Box<str>>,
    /// What has to be 1 for it to count.
    pub condition: Option<Expression>,
    /// The condition as it was written.
    pub condition_text: Option<Box<str>>,
    /// Something in it is not known to us, so that it never counts.
    pub is_ignored: bool,
    /// Where it is.
    pub place: Located,
}

/// A group of records (`ASG`).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Group {
    /// PVs whose values conditions use, and the number of the letter: 0 for `A`.
    pub inputs: Vec<(u8, Box<str>)>,
    /// Rules, in their order.
    pub rules: Vec<Rule>,
}

/// Values of the inputs of a group.
#[derive(Clone, PartialEq, Debug)]
pub struct Inputs {
    /// By letter.
    pub values: [f64; ARGUMENTS],
    /// Those that have no value, because their PV is not connected or invalid: bit 0 for `A`.
    pub bad: u32,
}

impl Default for Inputs {
    fn default() -> Self {
        Self {
            values: [0.0; ARGUMENTS],
            bad: 0,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The user's name, as the client told it.
    pub user: &'a str,
    /// The host's name as the client told it, or its address; upper and lower case alike.
    pub host: &'a str,
}

/// What a client may do, and why.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Decision<'a> {
    /// What it may do.
    pub access: Access,
    /// Whether its writes are told.
    pub traps_writes: bool,
    /// The rule that allows it; none if no rule does.
    pub rule: Option<&'a Rule>,
}

/// All that an `.acf` file says.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AccessSecurity {
    pub(crate) users: HashMap<Box<str>, HashSet<Box<str>>>,
    pub(crate) hosts: HashMap<Box<str>, HashSet<Box<str>>>,
    pub(crate) groups: HashMap<Box<str>, Group>,
    /// Hosts are known by their addresses.
    pub(crate) by_address: bool,
}

impl AccessSecurity {
    /// Whether clients are known by the addresses that they come from
    /// ([`resolve_hosts`](Self::resolve_hosts)), and not by the names that they say.
    pub const fn is_by_address(&self) -> bool {
        self.by_address
    }

    /// The group of this name; the one called `DEFAULT` for a name that the file does not have.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups
            .get(name)
            .or_else(|| self.groups.get(DEFAULT_GROUP))
    }

    /// The groups and their names, in no order.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// Replaces the names of hosts by their addresses, for clients whose hosts are known by address (`asCheckClientIP`
    /// of EPICS Base); names without an address match nobody.
    pub fn resolve_hosts(&mut self, resolve: impl Fn(&str) -> Option<Ipv4Addr>) {
        self.by_address = true;
        for hosts in self.hosts.values_mut() {
            let addresses = hosts.drain().map(|host| match resolve(&host) {
                Some(address) => address.to_string().into(),
                None => format!("unresolved:{host}").into(),
            });
            *hosts = addresses.collect();
        }
    }

    /// What a client may do with a field of this access security level (0 or 1) of a record in this group. The first
    /// rule that allows most decides.
    pub fn decide(
        &self,
        group: &str,
        level: i32,
        client: Client<'_>,
        inputs: &Inputs,
    ) -> Decision<'_> {
        let Some(group) = self.group(group) else {
            return Decision::default();
        };
        let decided = self.decide_in(group, level, client, |_, rule| rule.counts(inputs));
        decided.map_or_else(Decision::default, |at| group.rules[at].decision())
    }

    /// The rule of a group that decides, given which of them count at present.
    pub(crate) fn decide_in(
        &self,
        group: &Group,
        level: i32,
        client: Client<'_>,
        counts: impl Fn(usize, &Rule) -> bool,
    ) -> Option<usize> {
        let host = client.host.to_lowercase();
        let (mut access, mut decided) = (Access::None, None);
        for (at, rule) in group.rules.iter().enumerate() {
            if access == Access::Write {
                break;
            }
            if access < rule.access
                && level <= rule.level
                && !rule.is_ignored
                && self.is_for_user(rule, client.user)
                && self.is_for_host(rule, &host)
                && counts(at, rule)
            {
                (access, decided) = (rule.access, Some(at));
            }
        }
        decided
    }

    pub(crate) fn is_for_user(&self, rule: &Rule, user: &str) -> bool {
        is_within(&self.users, &rule.users, user)
    }

    /// The host is in lower case.
    pub(crate) fn is_for_host(&self, rule: &Rule, host: &str) -> bool {
        is_within(&self.hosts, &rule.hosts, host)
    }
}

fn is_within(all: &HashMap<Box<str>, HashSet<Box<str>>>, names: &[Box<str>], who: &str) -> bool {
    let has = |name: &str| all.get(name).is_some_and(|members| members.contains(who));
    names.is_empty() || names.iter().any(|name| has(name))
}

impl Rule {
    pub(crate) const fn decision(&self) -> Decision<'_> {
        Decision {
            access: self.access,
            traps_writes: self.traps_writes,
            rule: Some(self),
        }
    }

    /// Whether its condition is 1, give or take 0.01, and all that it reads has a value. One that reads nothing is
    /// never looked at by the reference, which waits for a change of what it reads.
    pub(crate) fn counts(&self, inputs: &Inputs) -> bool {
        let Some(condition) = &self.condition else {
            return true;
        };
        let mut values = inputs.values;
        let result = condition.evaluate(&mut values, 0.0, &mut Random::default());
        let reads = condition.reads();
        reads != 0
            && inputs.bad & reads == 0
            && result.is_some_and(|result| result > 0.99 && result < 1.01)
    }
}
