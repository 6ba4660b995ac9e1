//! CAFE's files of collections, groups and snapshots in XML.

use std::path::PathBuf;

use ca_kit::{CafeSnapshot, Collection, Collections, GroupFileError, Groups};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use super::group::mistake;
use crate::life;

/// A collection: its name, description, devices with their positions, attributes.
type Row = (String, String, Vec<(String, f64)>, Vec<String>);

/// A PV of a snapshot: its name, its elements, whether it is an array.
type Value = (String, Vec<String>, bool);

/// What is wrong with a file is `FileProblem`, one that cannot be read `OSError`.
fn problem(py: Python<'_>, error: &GroupFileError) -> PyErr {
    match error {
        GroupFileError::Mistakes(mistakes) => mistake(py, mistakes.to_string()),
        other => PyOSError::new_err(other.to_string()),
    }
}

/// The collections of a file.
#[pyfunction]
pub(crate) fn load_cafe_collections(py: Python<'_>, path: PathBuf) -> PyResult<Vec<Row>> {
    let read = life::detached(py, || Collections::load_cafe(path));
    let collections = read.map_err(|error| problem(py, &error))?;
    let row = |it: &Collection| {
        let (name, description) = (it.name.clone(), it.description.clone());
        (name, description, it.devices.clone(), it.attributes.clone())
    };
    Ok(collections.iter().map(row).collect())
}

/// The groups of a file, each with the names of its PVs; collections are known.
#[pyfunction]
pub(crate) fn load_cafe_groups(
    py: Python<'_>,
    path: PathBuf,
    collections: Vec<Row>,
    delimiter: &str,
) -> PyResult<Vec<(String, Vec<String>)>> {
    let mut known = Collections::new().delimiter(delimiter);
    for (name, _, devices, attributes) in collections {
        known.insert(Collection::new(name, devices, attributes));
    }
    let read = life::detached(py, || Groups::load_cafe(path, &known));
    let groups = read.map_err(|error| problem(py, &error))?;
    let pvs = groups.iter().map(|group| {
        let members = group.members().iter().map(|member| member.pv.clone());
        (group.name().to_owned(), members.collect())
    });
    Ok(pvs.collect())
}

/// The groups of a snapshot with the values that may be written back.
#[pyfunction]
pub(crate) fn load_cafe_snapshot(
    py: Python<'_>,
    path: PathBuf,
) -> PyResult<Vec<(String, Vec<Value>)>> {
    let read = life::detached(py, || CafeSnapshot::load_cafe(path));
    let snapshot = read.map_err(|error| problem(py, &error))?;
    let groups = snapshot.groups.into_iter().map(|(name, values)| {
        let values = values.into_iter();
        let values = values.map(|it| (it.pv, it.values, it.is_array));
        (name, values.collect())
    });
    Ok(groups.collect())
}
