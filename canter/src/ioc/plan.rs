//! What `canter ioc` is asked to serve: files and options, read as a whole.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use ca_proto::config::ServerParams;
use ca_server_sim::access::rules::AccessSecurity;
use ca_server_sim::diagnostic::Diagnostics;
use ca_server_sim::load::{Disk, Mistakes, access_security};
use ca_server_sim::{
    BuildError, Described, Description, Ioc, IocBuilder, PvSpec, RecordFiles, is_record_file, toml,
};

use super::IocArgs;
use super::loads::Load;
use crate::console::Console;
use crate::demo;
use crate::exit::{Stop, UsageError};
use crate::{escape, options};

/// A PV that is to be served.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) spec: PvSpec,
    /// The same while its description is the same.
    pub(super) fingerprint: String,
}

/// Everything that is to be served.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) pvs: Vec<Planned>,
    /// What files of records say, and how many there are.
    pub(super) records: Option<IocBuilder>,
    record_count: usize,
    pub(super) seed: Option<u64>,
    /// Who may do what.
    pub(super) access: Option<AccessSecurity>,
    /// The files, for their limits.
    descriptions: Vec<Description>,
    limits: Vec<String>,
}

impl Plan {
    /// Sets the limits that files and options name; the options win.
    pub(super) fn apply(&self, params: &mut ServerParams) {
        for description in &self.descriptions {
            description.apply(params);
        }
        for limit in &self.limits {
            // They were read before.
            let _ = toml::set_limits(params, "--limit", limit);
        }
    }
}

/// What is wrong, as far as it has been looked at.
#[derive(Default)]
struct Report {
    found: Vec<Diagnostics>,
    /// Mistakes in files of records.
    records: Option<Mistakes>,
    /// Mistakes in the file of access security.
    access: Option<Mistakes>,
    /// Mistakes that are in no line.
    whole: Vec<UsageError>,
}

impl Report {
    fn has_errors(&self) -> bool {
        let mut mistakes = self.records.iter().chain(&self.access);
        mistakes.any(Mistakes::has_errors)
            || !self.whole.is_empty()
            || self.found.iter().any(Diagnostics::has_errors)
    }

    fn tell(&self, console: &mut Console<'_>) -> io::Result<()> {
        for error in &self.whole {
            console.complain(error)?;
        }
        let styled = console.err_styled();
        for found in self.found.iter().filter(|found| !found.is_empty()) {
            console.complain(found.render(styled))?;
        }
        let mistakes = self.records.iter().chain(&self.access);
        for mistakes in mistakes.clone().filter(|all| !all.is_empty()) {
            console.complain(mistakes.render(styled))?;
        }
        if self.has_errors() {
            let errors: usize = self.found.iter().map(|found| found.errors().count()).sum();
            let errors = errors + mistakes.map(Mistakes::errors).sum::<usize>();
            let count = escape::counted((errors + self.whole.len()) as u64, "error");
            console.complain(format_args!("{count}, nothing was done"))?;
        }
        Ok(())
    }
}

/// Reads files and options, and tells everything that is wrong or odd about them.
///
/// # Errors
/// Mistakes, which have been told; an output that cannot be written.
pub(super) fn read(args: &IocArgs, console: &mut Console<'_>) -> Result<Plan, Stop> {
    let mut report = Report::default();
    let plan = collect(args, &mut report);
    report.tell(console)?;
    match report.has_errors() {
        true => Err(Stop::Told),
        false => Ok(plan),
    }
}

fn collect(args: &IocArgs, report: &mut Report) -> Plan {
    let mut plan = Plan {
        limits: args.limits.clone(),
        ..Plan::default()
    };
    // Where each name comes from.
    let mut names: HashMap<String, String> = HashMap::new();
    let mut of_records = RecordFiles::new();
    if args.hold_unknown {
        of_records = of_records.hold_unknown();
    }
    for path in &args.dbd {
        of_records = of_records.dbd(path.display().to_string());
    }
    if let Some(prefix) = &args.stats {
        of_records = of_records.text(super::stats::RECORDS, format!("IOC={prefix}"));
    }
    for Load { path, macros } in &args.loads.db {
        of_records = of_records.file(path.display().to_string(), macros.as_str());
    }
    if let Some(prefix) = &args.loads.exit {
        of_records = of_records.text(EXIT_RECORD, format!("IOC={prefix}"));
    }
    let script = args.script();
    for Load { path, macros } in &args.loads.files {
        if script.is_some_and(|script| script.path == *path) {
            continue;
        }
        if is_record_file(path) {
            of_records = of_records.file(path.display().to_string(), macros.as_str());
            continue;
        }
        match read_file(path) {
            Err(Mistake::Records) => {
                of_records = of_records.file(path.display().to_string(), macros.as_str());
            }
            Err(Mistake::Whole(error)) => report.whole.push(error),
            Err(Mistake::Lines(found)) => report.found.push(*found),
            Ok(description) => file(&mut plan, report, &mut names, path, description),
        }
    }
    if let Some(Load { path, macros }) = &args.loads.acf {
        plan.access = access(args, path, macros, report);
    }
    if !of_records.is_empty() {
        plan.load(args, of_records, report, &names);
    }
    for pv in &args.pvs {
        option(&mut plan, report, &mut names, pv);
    }
    let mut params = ServerParams::default();
    for limit in &args.limits {
        if let Err(error) = toml::set_limits(&mut params, "--limit", limit) {
            report.found.push(error.all);
        }
    }
    if args.demo {
        for (name, spec) in demo::pvs::all() {
            let other = plan.is_record(name).then(|| RECORDS.to_owned());
            let other = other.or_else(|| names.insert(name.to_owned(), "--demo".to_owned()));
            if let Some(other) = other {
                let what = format!("--demo: PV \"{name}\" is in {other} too");
                report
                    .whole
                    .push(UsageError::new(what, "give the other one another name"));
            }
            plan.add(name, spec, String::new());
        }
    }
    plan.fields(report);
    let later = script.is_some() || args.is_interactive();
    if plan.pvs.is_empty() && plan.record_count == 0 && !report.has_errors() && !later {
        report.whole.push(UsageError::new(
            "there are no PVs to serve",
            "give --pv NAME=TYPE:VALUE such as --pv my:gap=double:1.5, a .db or TOML file, or --demo",
        ));
    }
    plan
}

/// The record of `-x` (`softIocExit.db`).
const EXIT_RECORD: &str = "record(sub, \"$(IOC):exit\") {
    field(DESC, \"Exit subroutine\")
    field(SNAM, \"exit\")
}
";

/// Where records are from, in messages.
const RECORDS: &str = "the files of records";

impl Plan {
    /// Whether records or PVs are there from the beginning.
    pub(super) fn is_empty(&self) -> bool {
        self.pvs.is_empty() && self.record_count == 0
    }

    /// Whether a name is that of a record of the files.
    pub(super) fn is_record(&self, name: &str) -> bool {
        let builder = self.records.as_ref();
        builder.is_some_and(|builder| builder.has_record(name))
    }

    /// Reads the files of records.
    fn load(
        &mut self,
        args: &IocArgs,
        mut files: RecordFiles,
        report: &mut Report,
        names: &HashMap<String, String>,
    ) {
        let paths = match args.include.is_empty() {
            true => std::env::var("EPICS_DB_INCLUDE_PATH").into_iter().collect(),
            false => args.include.clone(),
        };
        for directory in paths.iter().flat_map(|path| path.split(':')) {
            files = files.directory(directory);
        }
        for (name, value) in std::env::vars_os() {
            if let (Some(name), Some(value)) = (name.to_str(), value.to_str()) {
                files = files.variable(name, value);
            }
        }
        let loaded = files.load();
        let mut taken: Vec<_> = names.iter().collect();
        taken.retain(|(name, _)| loaded.records.contains(name));
        taken.sort_unstable();
        for (name, other) in taken {
            let what = format!("record \"{name}\" exists already, it is a PV of {other}");
            report
                .whole
                .push(UsageError::new(what, "give one of the two another name"));
        }
        self.record_count = loaded.records.len();
        if loaded.mistakes.has_errors() || report.has_errors() {
            report.records = Some(loaded.mistakes);
            return;
        }
        // As a whole they show more: what a record type's own rules refuse, and what is not simulated.
        match Ioc::builder().try_records(loaded) {
            Ok((builder, remarks)) => {
                self.records = Some(builder);
                report.records = Some(remarks);
            }
            Err(BuildError::Files(wrong)) => report.records = Some(wrong.mistakes().clone()),
            Err(error) => report.whole.push(UsageError::new(error.to_string(), "")),
        }
    }

    /// Names that are those of fields of other PVs.
    fn fields(&self, report: &mut Report) {
        let specs: HashMap<&str, &PvSpec> = (self.pvs.iter())
            .map(|pv| (pv.name.as_str(), &pv.spec))
            .collect();
        for pv in &self.pvs {
            let splits = pv
                .name
                .match_indices('.')
                .map(|(dot, _)| pv.name.split_at(dot));
            let mut owners = splits.filter(|(owner, field)| {
                let spec = specs.get(owner);
                spec.is_some_and(|spec| spec.has_field(&field[1..]))
            });
            if let Some((owner, _)) = owners.next() {
                let what = format!(
                    "PV \"{}\" has the name of a field of PV \"{owner}\"",
                    pv.name
                );
                report
                    .whole
                    .push(UsageError::new(what, "give one of the two another name"));
            }
        }
    }

    fn add(&mut self, name: &str, spec: PvSpec, fingerprint: String) {
        self.pvs.push(Planned {
            name: name.to_owned(),
            spec,
            fingerprint,
        });
    }
}

fn file(
    plan: &mut Plan,
    report: &mut Report,
    names: &mut HashMap<String, String>,
    path: &Path,
    mut description: Description,
) {
    let shown = path.display().to_string();
    let mut found = std::mem::replace(&mut description.remarks, Diagnostics::new("", ""));
    plan.seed = description.seed.or(plan.seed);
    for pv in std::mem::take(&mut description.pvs) {
        let Described {
            name,
            spec,
            span,
            fingerprint,
            ..
        } = pv;
        if let Some(other) = names.get(&name) {
            let what = format!("PV \"{name}\" exists already, it is in {other} too");
            found.error(span, what, "give one of the two another name");
            continue;
        }
        names.insert(name.clone(), shown.clone());
        plan.add(&name, spec, fingerprint);
    }
    report.found.push(found);
    plan.descriptions.push(description);
}

fn option(plan: &mut Plan, report: &mut Report, names: &mut HashMap<String, String>, pv: &str) {
    let mut found = Diagnostics::new("--pv", pv);
    let plain = match unescaped(pv) {
        Ok(plain) => plain,
        Err((what, remedy)) => {
            found.error(0..pv.len(), what, remedy);
            return report.found.push(found);
        }
    };
    let pv = plain.as_str();
    let mut found = Diagnostics::new("--pv", pv);
    match ca_server_sim::describe::parse(pv) {
        Ok((name, spec)) => match (plan.is_record(name).then(|| RECORDS.to_owned()))
            .or_else(|| names.insert(name.to_owned(), format!("--pv {pv}")))
        {
            None => plan.add(name, spec, pv.to_owned()),
            Some(other) => {
                let what = format!("PV \"{name}\" exists already, it is in {other} too");
                found.error(0..name.len(), what, "give one of the two another name");
            }
        },
        Err(error) => {
            let before = pv.chars().take(error.column - 1).map(char::len_utf8);
            let start: usize = before.sum();
            let (what, remedy) = error.reason.split_once("; ").unwrap_or((&error.reason, ""));
            found.error(start..start + error.at.len(), what, remedy);
        }
    }
    report.found.push(found);
}

/// What a description stands for: its escapes are those of `canter put`. Names and texts of PVs are UTF-8.
fn unescaped(pv: &str) -> Result<String, (String, &'static str)> {
    let bytes = escape::bytes(pv.as_bytes());
    let bytes = bytes.map_err(|error| (error.to_string(), escape::BadEscape::REMEDY))?;
    String::from_utf8(bytes).map_err(|error| {
        let byte = error.as_bytes()[error.utf8_error().valid_up_to()];
        let what = format!(r"a description is UTF-8, which \x{byte:02x} is not");
        (
            what,
            r"write \u{b0} for a character; `canter put` writes other bytes",
        )
    })
}

enum Mistake {
    /// It is a file of records.
    Records,
    /// The file is none that could be read.
    Whole(UsageError),
    /// Boxed because it is rare.
    Lines(Box<Diagnostics>),
}

fn read_file(path: &Path) -> Result<Description, Mistake> {
    let shown = path.display().to_string();
    let whole = |what: String, remedy: &str| Mistake::Whole(UsageError::new(what, remedy));
    let bytes = std::fs::read(path).map_err(|error| {
        whole(
            format!("cannot read {shown}: {error}"),
            "name a readable TOML file, see `canter ioc --help`",
        )
    })?;
    let content = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..at];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        let what = match error.as_bytes().contains(&0) {
            true => format!("{shown} is no text"),
            false => format!("{shown}, line {line}: this is not UTF-8"),
        };
        whole(what, "name a TOML file, which is text in UTF-8")
    })?;
    match toml::parse(&shown, &content) {
        Ok(description) => Ok(description),
        Err(_) if is_database(&content) => Err(Mistake::Records),
        Err(error) => match foreign(path, &content) {
            Some((what, remedy)) => Err(whole(format!("{shown} is {what}"), remedy)),
            None => Err(Mistake::Lines(Box::new(error.all))),
        },
    }
}

/// Whether a text begins as a file of records does.
fn is_database(content: &str) -> bool {
    let lines = content.lines().map(str::trim_start);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(first) = lines.next() else {
        return false;
    };
    let end = first.find(|c: char| !c.is_ascii_alphanumeric());
    let (word, rest) = first.split_at(end.unwrap_or(first.len()));
    let bracket = rest.trim_start().starts_with(['(', '{']);
    matches!(word, "record" | "grecord" | "alias" | "recordtype" | "menu") && bracket
}

/// What a file is that is no TOML, by its name and its first words.
fn foreign(path: &Path, content: &str) -> Option<(&'static str, &'static str)> {
    const SCRIPT: (&str, &str) = (
        "a second start-up script",
        "give one; it can read others with `< file` and iocshLoad",
    );
    if is_script(path, content) {
        return Some(SCRIPT);
    }
    let lines = content.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines.take(100) {
        if line.starts_with('{') || line.starts_with('<') || line.starts_with("---") {
            let remedy = "describe the PVs in TOML, see `canter ioc --help`";
            return Some(match line.as_bytes()[0] {
                b'{' => ("JSON", remedy),
                b'<' => ("XML", remedy),
                _ => ("YAML", remedy),
            });
        }
    }
    None
}

/// Whether a file is a script for the shell of an IOC, by its name and its lines.
pub(super) fn is_script(path: &Path, content: &str) -> bool {
    let extension = path.extension().and_then(|end| end.to_str());
    let extension = extension.map(str::to_lowercase);
    if matches!(extension.as_deref(), Some("cmd" | "iocsh")) || content.starts_with("#!") {
        return true;
    }
    if extension.as_deref() == Some("toml") || is_record_file(path) {
        return false;
    }
    let lines = content.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let known = |line: &str| {
        let end = line.find(|c: char| !c.is_ascii_alphanumeric());
        let word = &line[..end.unwrap_or(line.len())];
        let include = line
            .strip_prefix('<')
            .is_some_and(|rest| rest.starts_with(' '));
        include
            || matches!(
                word,
                "dbLoadDatabase"
                    | "dbLoadRecords"
                    | "dbLoadTemplate"
                    | "iocInit"
                    | "epicsEnvSet"
                    | "cd"
                    | "dbpf"
                    | "iocshLoad"
            )
    };
    lines.take(100).any(known)
}

/// Reads the rules of access security.
fn access(
    args: &IocArgs,
    path: &Path,
    macros: &str,
    report: &mut Report,
) -> Option<AccessSecurity> {
    let (mut rules, mistakes) = access_security(&Disk, &path.display().to_string(), macros);
    let is_right = !mistakes.has_errors();
    report.access = Some(mistakes);
    if args.acf_by_address {
        rules.resolve_hosts(|host| {
            let text = host.parse::<Ipv4Addr>();
            text.ok().or_else(|| options::look_up(host))
        });
    }
    is_right.then_some(rules)
}

/// What `--check` says if nothing is wrong.
pub(super) fn summary(plan: &Plan) -> String {
    let pvs = escape::counted(plan.pvs.len() as u64, "PV");
    let records = escape::counted(plan.record_count as u64, "record");
    match (plan.pvs.len(), plan.record_count) {
        (_, 0) => format!("{pvs}, no mistakes"),
        (0, _) => format!("{records}, no mistakes"),
        _ => format!("{pvs} and {records}, no mistakes"),
    }
}
