//! The interoperation matrix: groups of checks in rows, pairings of a client and a server in
//! columns.

use std::collections::BTreeMap;
use std::fmt;

use crate::table::{Outcome, Outcomes, Table};

/// Groups of checks, with the names of these; `*` at the end for all that begin so.
const GROUPS: [(&str, &[&str]); 21] = [
    ("connect", &["connect"]),
    (
        "7 types in 5 families",
        &[
            "read.plain.*",
            "read.sts.*",
            "read.time.*",
            "read.gr.*",
            "read.ctrl.*",
            "read.control_limits",
        ],
    ),
    ("arrays of 0 to 1 000 000", &["array.*"]),
    ("count 0, less, more", &["count.*"]),
    (
        "put each type",
        &[
            "write.double",
            "write.float",
            "write.long",
            "write.short",
            "write.char",
            "write.enum",
            "write.string",
        ],
    ),
    ("put as string", &["write.as_string"]),
    ("put-notify", &["put.double", "put.completion"]),
    ("put-notify, slow record", &["put.slow"]),
    ("two put-notifies at once", &["put.two_at_once"]),
    ("each mask", &["mask.*"]),
    ("cancel", &["monitor.cancel"]),
    ("flow control", &["flow.*"]),
    ("unknown name", &["unknown.*"]),
    ("read-only write", &["readonly.*"]),
    ("access rights change", &["rights.*"]),
    ("server restarted", &["restart"]),
    ("… with another type", &["restart.other_type*"]),
    ("60 characters and a field", &["name.60", "name.60.field"]),
    (
        "UTF-8 and other strings",
        &["string.utf8", "string.not_utf8"],
    ),
    ("NaN and infinities", &["nan.*", "infinity.*"]),
    ("alarm acknowledge", &["alarm.*"]),
];

/// Clients, in the order of the columns.
pub const CLIENTS: [&str; 5] = ["async", "blocking", "pyepics", "aioca", "caproto"];

/// What one client found with one server.
#[derive(Debug)]
pub struct Pairing {
    /// One of [`CLIENTS`].
    pub client: &'static str,
    /// The server's name.
    pub server: &'static str,
    /// All of its checks.
    pub outcomes: Outcomes,
}

/// What several clients found with several servers.
#[derive(Debug)]
pub struct Matrix(Vec<Pairing>);

fn is(pattern: &str, check: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => check.starts_with(start),
        None => check == pattern,
    }
}

impl Pairing {
    fn of<'a>(&'a self, group: &'a [&str]) -> impl Iterator<Item = &'a (String, Outcome)> {
        let within = |(check, _): &&(String, Outcome)| group.iter().any(|p| is(p, check));
        self.outcomes.iter().filter(within)
    }

    /// `ok`, `ok*` if a part is `n/a`, `n/a` or `FAIL`; that too if nothing was checked.
    fn cell(&self, group: &[&str]) -> &'static str {
        let (mut ok, mut not, mut failed) = (0, 0, 0);
        for (_, outcome) in self.of(group) {
            match outcome {
                Outcome::Ok => ok += 1,
                Outcome::NotOffered(_) => not += 1,
                Outcome::Failed(_) => failed += 1,
            }
        }
        match (ok, not, failed) {
            (_, _, 1..) | (0, 0, 0) => "FAIL",
            (0, ..) => "n/a",
            (_, 0, _) => "ok",
            _ => "ok*",
        }
    }
}

impl Matrix {
    /// Pairings by server, then by client.
    pub const fn new(pairings: Vec<Pairing>) -> Self {
        Self(pairings)
    }

    /// The servers in order.
    fn servers(&self) -> Vec<&'static str> {
        let mut servers: Vec<_> = self.0.iter().map(|pairing| pairing.server).collect();
        servers.dedup();
        servers
    }

    fn with(&self, server: &str) -> impl Iterator<Item = &Pairing> {
        self.0.iter().filter(move |p| p.server == server)
    }

    /// A table of every check for each server.
    pub fn details(&self) -> Vec<Table> {
        let table = |server: &'static str| {
            let columns: Vec<_> = self.with(server).map(|pairing| pairing.client).collect();
            let mut table = Table::new(format!("server: {server}"), &columns);
            for pairing in self.with(server) {
                table.add(pairing.client, pairing.outcomes.clone());
            }
            table
        };
        self.servers().into_iter().map(table).collect()
    }

    /// Rows whose cell is `FAIL`, with the pairing and the group.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for pairing in &self.0 {
            for (name, group) in GROUPS {
                if pairing.cell(group) == "FAIL" {
                    let (client, server) = (pairing.client, pairing.server);
                    failures.push(format!("{client} with {server}: {name}"));
                }
            }
        }
        failures
    }

    /// Why checks of the groups were left out: reason, then who with whom and which checks.
    fn reasons(&self) -> BTreeMap<&str, Vec<(String, Vec<String>)>> {
        let mut reasons: BTreeMap<&str, Vec<(String, Vec<String>)>> = BTreeMap::new();
        let mut found: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for pairing in &self.0 {
            for (check, outcome) in GROUPS.iter().flat_map(|(_, group)| pairing.of(group)) {
                if let Outcome::NotOffered(reason) = outcome {
                    let pairings = found.entry((reason, check)).or_default();
                    pairings.push(pairing.client);
                    pairings.push(pairing.server);
                }
            }
        }
        for ((reason, check), pairings) in found {
            let who = self.who(&pairings);
            let all = reasons.entry(reason).or_default();
            match all.iter_mut().find(|(same, _)| *same == who) {
                Some((_, checks)) => checks.push(format!("`{check}`")),
                None => all.push((who, vec![format!("`{check}`")])),
            }
        }
        reasons
    }

    /// Clients and servers in turn as a short text.
    fn who(&self, pairings: &[&str]) -> String {
        let every = |role: usize, total: usize, all: &str| {
            let mut names: Vec<&str> = Vec::new();
            for name in pairings.iter().skip(role).step_by(2) {
                if !names.contains(name) {
                    names.push(name);
                }
            }
            if names.len() == total {
                all.to_owned()
            } else {
                names.join(", ")
            }
        };
        let clients = every(0, CLIENTS.len(), "all clients");
        let servers = every(1, self.servers().len(), "all servers");
        format!("{clients} with {servers}")
    }

    /// The matrix as a page's tables, one for each server, and the reasons.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for server in self.servers() {
            let pairings: Vec<_> = self.with(server).collect();
            let heads: Vec<_> = pairings.iter().map(|pairing| pairing.client).collect();
            text += &format!("**Server: {server}**\n\n| | {} |\n|---", heads.join(" | "));
            text += &format!("{}|\n", "|---".repeat(heads.len()));
            for (name, group) in GROUPS {
                let cells: Vec<_> = pairings.iter().map(|pairing| pairing.cell(group)).collect();
                text += &format!("| {name} | {} |\n", cells.join(" | "));
            }
            text.push('\n');
        }
        text += "What was left out, and why:\n\n";
        text + &self.list_reasons("- ")
    }

    fn list_reasons(&self, bullet: &str) -> String {
        let mut text = String::new();
        for (reason, all) in self.reasons() {
            for (who, checks) in all {
                let (some, more) = checks.split_at(checks.len().min(4));
                let more = match more.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                text += &format!("{bullet}{who}: {reason} ({}{more})\n", some.join(", "));
            }
        }
        text
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FIRST: usize = 27;
        writeln!(f)?;
        write!(f, "{:FIRST$}", "interoperation matrix")?;
        let servers = self.servers();
        for server in &servers {
            write!(f, "| {server:34}")?;
        }
        write!(f, "\n{:FIRST$}", "")?;
        for server in &servers {
            write!(f, "| ")?;
            for pairing in self.with(server) {
                write!(f, "{:7.6}", pairing.client)?;
            }
        }
        writeln!(f)?;
        for (name, group) in GROUPS {
            write!(f, "{name:FIRST$}")?;
            for server in &servers {
                write!(f, "| ")?;
                for pairing in self.with(server) {
                    write!(f, "{:7}", pairing.cell(group))?;
                }
            }
            writeln!(f)?;
        }
        writeln!(f, "n/a, and * where a part of the checks is:")?;
        write!(f, "{}", self.list_reasons("  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairing(outcomes: &[(&str, Outcome)]) -> Pairing {
        let own = |(name, outcome): &(&str, Outcome)| ((*name).into(), outcome.clone());
        Pairing {
            client: "async",
            server: "ours",
            outcomes: outcomes.iter().map(own).collect(),
        }
    }

    #[test]
    fn a_cell_sums_the_checks_of_its_group_up() {
        let not = Outcome::NotOffered("small".into());
        let failed = Outcome::Failed("wrong".into());
        let cell = |first: &Outcome, second: &Outcome| {
            let checks = [("mask.log", first.clone()), ("mask.value", second.clone())];
            pairing(&checks).cell(&["mask.*"])
        };
        assert_eq!(cell(&Outcome::Ok, &Outcome::Ok), "ok");
        assert_eq!(cell(&Outcome::Ok, &not), "ok*");
        assert_eq!(cell(&not, &not), "n/a");
        assert_eq!(cell(&not, &failed), "FAIL");
    }

    #[test]
    fn a_group_without_a_check_is_a_failure() {
        let matrix = Matrix::new(vec![pairing(&[("connect", Outcome::Ok)])]);
        let failures = matrix.failures();
        assert_eq!(failures.len(), GROUPS.len() - 1);
        assert_eq!(failures[0], "async with ours: 7 types in 5 families");
    }
}
