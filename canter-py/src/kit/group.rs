//! Groups of files, and snapshots of groups.

use std::path::PathBuf;

use ca_kit::{
    Group, GroupError, GroupFileError, Groups, Kit, Member, Outcome, RestoreReport, Snapshot,
};
use pyo3::prelude::*;

use super::perform;
use crate::client::Client;
use crate::errors;
use crate::params;

/// A member: what it is called, its PV, its tolerance, its turn.
type Row = (String, String, f64, i32);

pub(super) fn mistake(py: Python<'_>, message: String) -> PyErr {
    errors::plain(py, "FileProblem", "", message, None)
}

/// The groups of a file in TOML.
#[pyfunction]
pub(crate) fn load_groups(py: Python<'_>, path: PathBuf) -> PyResult<Vec<(String, Vec<Row>)>> {
    let groups =
        Groups::load(path).map_err(|error: GroupFileError| mistake(py, error.to_string()))?;
    let row = |member: &Member| {
        let (name, pv) = (member.name.clone(), member.pv.clone());
        (name, pv, member.tolerance, member.order)
    };
    let rows = |group: &Group| {
        let members = group.members().iter().map(row).collect();
        (group.name().to_owned(), members)
    };
    Ok(groups.iter().map(rows).collect())
}

fn group(name: String, members: Vec<Row>) -> Result<Group, GroupError> {
    let mut group = Group::new(name);
    for (name, pv, tolerance, order) in members {
        let mut member = Member::new(pv).named(name).tolerance(tolerance);
        member.order = order;
        group.add(member)?;
    }
    Ok(group)
}

#[pymethods]
impl Client {
    /// Keeps the values of a group in a file: whole, or not at all. The names of members whose value could not be had
    /// are returned, with the reason.
    #[pyo3(signature = (name, members, path, timeout=None, *, callback=None))]
    fn snapshot(
        &self,
        py: Python<'_>,
        name: String,
        members: Vec<Row>,
        path: PathBuf,
        timeout: Option<f64>,
        callback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let native = self.slot.core(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, ""))?;
        let group = group(name, members).map_err(|error| mistake(py, error.to_string()))?;
        let timeout = timeout.map(params::duration).transpose()?;
        let client = core.client.as_async().clone();
        let work = async move {
            let open = client
                .open_group(group)
                .map_err(|error| error.to_string())?;
            let mut take = open.snapshot();
            if let Some(timeout) = timeout {
                take = take.timeout(timeout);
            }
            let snapshot = take.await;
            snapshot.save(&path).map_err(|error| error.to_string())?;
            let missing = snapshot.members.into_iter();
            let missing = missing.filter_map(|it| Some((it.member.name, it.value.err()?)));
            Ok::<_, String>(missing.collect::<Vec<_>>())
        };
        perform(py, &native, callback, work, |py, missing| {
            let missing = missing.map_err(|message| mistake(py, message))?;
            Ok(missing.into_pyobject(py)?.into_any().unbind())
        })
    }

    /// Brings a snapshot back, by turns: whether all stands as saved, the report as text, and a line for each member:
    /// its name, its PV, a word, and what became of it.
    #[pyo3(signature = (path, timeout=None, *, dry_run=false, partial=false, callback=None))]
    fn restore(
        &self,
        py: Python<'_>,
        path: PathBuf,
        timeout: Option<f64>,
        dry_run: bool,
        partial: bool,
        callback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let native = self.slot.core(py)?;
        let core = native.get().ok_or_else(|| errors::closed(py, ""))?;
        let snapshot = Snapshot::load(path).map_err(|error| mistake(py, error.to_string()))?;
        let timeout = timeout.map(params::duration).transpose()?;
        let client = core.client.as_async().clone();
        let work = async move {
            let mut restore = client.restore(&snapshot);
            if dry_run {
                restore = restore.dry_run();
            }
            if partial {
                restore = restore.partial();
            }
            if let Some(timeout) = timeout {
                restore = restore.timeout(timeout);
            }
            restore.await.map_err(|error| error.to_string())
        };
        perform(py, &native, callback, work, |py, report| {
            report_of(py, &report.map_err(|message| mistake(py, message))?)
        })
    }
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Same => "same",
        Outcome::Different => "different",
        Outcome::Restored => "restored",
        Outcome::NotThere => "not there",
        Outcome::NotSaved(_) => "not saved",
        Outcome::Unreachable(_) => "unreachable",
        Outcome::NoAccess => "no access",
        Outcome::Refused(_) => "refused",
        _ => "other",
    }
}

fn report_of(py: Python<'_>, report: &RestoreReport) -> PyResult<Py<PyAny>> {
    let lines = report.lines.iter();
    let lines: Vec<_> = lines
        .map(|line| {
            let (name, pv) = (line.name.clone(), line.pv.clone());
            (name, pv, word(&line.outcome), line.to_string())
        })
        .collect();
    let made = (report.is_ok(), report.put, report.to_string(), lines);
    Ok(made.into_pyobject(py)?.into_any().unbind())
}
