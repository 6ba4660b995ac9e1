//! Values in CAFE's XML files of snapshots.

use std::path::Path;

use super::cafe::{GROUPS, file, id};
use super::file::GroupFileError;
use super::xml::{self, Element};
use crate::mistakes::Mistakes;

/// What CAFE's snapshot has of a PV, as the texts that the file has.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CafeValue {
    /// Name of the PV.
    pub pv: String,
    /// Its elements; one of a scalar.
    pub values: Vec<String>,
    /// Whether it is an array.
    pub is_array: bool,
}

/// A snapshot as CAFE writes it: the values of groups that may be written back.
///
/// # Examples
/// ```
/// let snapshot = ca_kit::CafeSnapshot::from_cafe("orbit.xml", r#"
///     <cafe:config><cafe:group id="orbit">
///       <cafe:member><cafe:name>bpm:x</cafe:name><cafe:nelem>1</cafe:nelem><cafe:val>0.25</cafe:val>
///         <cafe:settable>true</cafe:settable></cafe:member>
///       <cafe:member><cafe:name>wave</cafe:name><cafe:nelem>3</cafe:nelem><cafe:val>7 8 9</cafe:val></cafe:member>
///     </cafe:group></cafe:config>
/// "#)?;
/// let (name, values) = &snapshot.groups[0];
/// assert_eq!((name.as_str(), values[0].pv.as_str()), ("orbit", "bpm:x"));
/// assert_eq!(values[1].values, ["7", "8", "9"]);
/// # Ok::<(), ca_kit::Mistakes>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct CafeSnapshot {
    /// The groups, each with its values, in the order of the file. What is not settable is left out.
    pub groups: Vec<(String, Vec<CafeValue>)>,
}

impl CafeSnapshot {
    /// Reads a snapshot from its text; `origin` is its name in messages.
    ///
    /// # Errors
    /// [`Mistakes`]: all of them, each with its line and what to do about it.
    pub fn from_cafe(origin: &str, text: &str) -> Result<Self, Mistakes> {
        let mut found = Mistakes::new(origin, text);
        let mut snapshot = Self::default();
        let root = xml::read(&mut found, text, GROUPS);
        for element in root.iter().flat_map(|root| root.all("group")) {
            let there = |name: &str| snapshot.groups.iter().any(|(known, _)| known == name);
            let Some(name) = id(&mut found, element, there) else {
                continue;
            };
            let members = element.all("member");
            let values = members.filter_map(|member| value(&mut found, member));
            let values = values.collect();
            snapshot.groups.push((name.to_owned(), values));
        }
        found.or(snapshot)
    }

    /// Reads the file of a snapshot, as [`from_cafe`](Self::from_cafe); at most 64 MiB.
    ///
    /// # Errors
    /// [`GroupFileError`].
    pub fn load_cafe(path: impl AsRef<Path>) -> Result<Self, GroupFileError> {
        let (origin, text) = file(path.as_ref())?;
        Ok(Self::from_cafe(&origin, &text)?)
    }
}

/// What a member has; nothing if it may not be written.
fn value(found: &mut Mistakes, member: &Element) -> Option<CafeValue> {
    let (Some(pv), Some(first)) = (member.text_of("name"), member.all("val").next()) else {
        let remedy = "write <name>PV</name> and <val>VALUE</val>";
        let message = "a <member> without a name or a value";
        found.add(member.span.clone(), message, remedy);
        return None;
    };
    let settable = member.all("settable").next();
    if settable.is_some_and(|it| !it.text.eq_ignore_ascii_case("true")) {
        return None;
    }
    let mut values: Vec<String> = member.all("val").map(|it| it.text.clone()).collect();
    let mut count = values.len();
    if let Some(nelem) = member.all("nelem").next() {
        match nelem.text.parse::<usize>() {
            Ok(given) => count = given,
            Err(_) => {
                let message = format!("<nelem> of \"{}\" is no count", nelem.text);
                found.add(
                    nelem.span.clone(),
                    message,
                    "write how many elements there are",
                );
                return None;
            }
        }
    }
    if count > 1 && values.len() == 1 {
        // All of them in one text.
        values = first.text.split_whitespace().map(str::to_owned).collect();
    }
    if values.len() != count.max(1) {
        let message = format!("{} values, and <nelem> says {count}", values.len());
        let remedy = "write as many values as <nelem> says";
        found.add(first.span.clone(), message, remedy);
        return None;
    }
    Some(CafeValue {
        pv: pv.to_owned(),
        values,
        is_array: count > 1,
    })
}
