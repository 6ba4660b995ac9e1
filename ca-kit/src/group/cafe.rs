//! Collections and groups in CAFE's XML files.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::file::{GroupFileError, read_file};
use super::xml::{self, Element, Grammar};
use super::{Group, Groups, Member};
use crate::mistakes::{Mistakes, did_you_mean};

const COLLECTIONS: Grammar = &[
    ("", &[("config", &[])]),
    ("config", &[("collection", &["id"])]),
    (
        "collection",
        &[
            ("description", &[]),
            ("attributes", &[]),
            ("member", &["pos"]),
        ],
    ),
    ("attributes", &[("attribute", &[])]),
    ("member", &[("device", &[])]),
    ("device", &[]),
    ("attribute", &[]),
    ("description", &[]),
];

/// Of groups, and of snapshots of them.
pub(super) const GROUPS: Grammar = &[
    ("", &[("config", &[])]),
    ("config", &[("group", &["id"])]),
    (
        "group",
        &[
            ("description", &[]),
            ("statusgroup", &[]),
            ("npv", &[]),
            ("member", &[]),
            ("collection", &[]),
            ("collectivetype", &[]),
        ],
    ),
    (
        "member",
        &[
            ("name", &[]),
            ("nelem", &[]),
            ("status", &[]),
            ("rule", &[]),
            ("datatype", &[]),
            ("val", &[]),
            ("settable", &[]),
        ],
    ),
    (
        "collection",
        &[
            ("id", &[]),
            ("attribute", &[]),
            ("attrib", &[]),
            ("collectivetype", &[]),
        ],
    ),
    ("name", &[]),
    ("id", &[]),
    ("attribute", &[]),
    ("nelem", &[]),
    ("val", &[]),
    ("settable", &[]),
];

/// Devices of one kind, with the attributes that they have: what groups in CAFE's files are made of.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Collection {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// The devices, in the order of the file, each with its position along the machine, in metres by custom.
    pub devices: Vec<(String, f64)>,
    /// The attributes that the devices have; none if the file does not say.
    pub attributes: Vec<String>,
}

/// Collections of devices from CAFE's files, by their names: what [`Groups::from_cafe`] expands.
///
/// # Examples
/// ```
/// use ca_kit::{Collections, Groups};
///
/// let collections = Collections::from_cafe("collections.xml", r#"
///     <cafe:config>
///       <cafe:collection id="quads">
///         <cafe:attributes><cafe:attribute>I-SET</cafe:attribute></cafe:attributes>
///         <cafe:member pos="3.25"><cafe:device>Q1</cafe:device></cafe:member>
///         <cafe:member pos="12.5"><cafe:device>Q2</cafe:device></cafe:member>
///       </cafe:collection>
///     </cafe:config>
/// "#)?;
/// let groups = Groups::from_cafe("groups.xml", r#"
///     <config>
///       <group id="all">
///         <member><name>ring:current</name></member>
///         <collection><id>quads</id><attribute>I-SET</attribute></collection>
///       </group>
///     </config>
/// "#, &collections)?;
/// let pvs = groups.get("all").unwrap().members().iter().map(|it| it.pv.as_str());
/// assert_eq!(pvs.collect::<Vec<_>>(), ["ring:current", "Q1:I-SET", "Q2:I-SET"]);
/// # Ok::<(), ca_kit::Mistakes>(())
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Collections {
    all: Vec<Collection>,
    /// Places of the collections by their names.
    places: HashMap<String, usize>,
    delimiter: Option<String>,
}

impl Collection {
    /// A collection of devices, each with its position along the machine, that have these attributes.
    pub fn new<D: Into<String>, A: Into<String>>(
        name: impl Into<String>,
        devices: impl IntoIterator<Item = (D, f64)>,
        attributes: impl IntoIterator<Item = A>,
    ) -> Self {
        let devices = devices.into_iter();
        Self {
            name: name.into(),
            description: String::new(),
            devices: devices.map(|(device, at)| (device.into(), at)).collect(),
            attributes: attributes.into_iter().map(Into::into).collect(),
        }
    }
}

impl Collections {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the collections of a file of CAFE's from its text; `origin` is its name in messages.
    ///
    /// # Errors
    /// [`Mistakes`]: all of them, each with its line and what to do about it.
    pub fn from_cafe(origin: &str, text: &str) -> Result<Self, Mistakes> {
        let mut found = Mistakes::new(origin, text);
        let mut collections = Self::new();
        let root = xml::read(&mut found, text, COLLECTIONS);
        for element in root.iter().flat_map(|root| root.all("collection")) {
            let there = |name: &str| collections.get(name).is_some();
            let name = id(&mut found, element, there);
            let read = collection(&mut found, element, name.unwrap_or("without a name"));
            if name.is_some() {
                collections.insert(read);
            }
        }
        found.or(collections)
    }

    /// Reads a file of CAFE's, as [`from_cafe`](Self::from_cafe); at most 64 MiB.
    ///
    /// # Errors
    /// [`GroupFileError`].
    pub fn load_cafe(path: impl AsRef<Path>) -> Result<Self, GroupFileError> {
        let (origin, text) = file(path.as_ref())?;
        Ok(Self::from_cafe(&origin, &text)?)
    }

    /// Adds those of another file; one of the same name takes the place of that here.
    pub fn extend(&mut self, other: Self) {
        for collection in other.all {
            self.insert(collection);
        }
    }

    /// Adds one; it takes the place of one of the same name.
    pub fn insert(&mut self, collection: Collection) {
        match self
            .places
            .get(&collection.name)
            .and_then(|&place| self.all.get_mut(place))
        {
            Some(there) => *there = collection,
            None => {
                self.places.insert(collection.name.clone(), self.all.len());
                self.all.push(collection);
            }
        }
    }

    /// What stands between a device and an attribute. Default: `:`.
    #[must_use]
    pub fn delimiter(mut self, delimiter: &str) -> Self {
        self.delimiter = Some(delimiter.to_owned());
        self
    }

    /// The collection of a name.
    pub fn get(&self, name: &str) -> Option<&Collection> {
        self.all.get(*self.places.get(name)?)
    }

    /// All of them, in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Collection> {
        self.all.iter()
    }
}

impl Groups {
    /// Reads the groups of a file of CAFE's from its text; `origin` is its name in messages. Their collections are
    /// expanded: each attribute that the group names, or else each that the collection has, of each device. Values in
    /// the file, as those of CAFE's snapshots, are not looked at.
    ///
    /// # Errors
    /// [`Mistakes`]: all of them, each with its line and what to do about it.
    pub fn from_cafe(
        origin: &str,
        text: &str,
        collections: &Collections,
    ) -> Result<Self, Mistakes> {
        let mut found = Mistakes::new(origin, text);
        let mut groups = Self::default();
        let root = xml::read(&mut found, text, GROUPS);
        for element in root.iter().flat_map(|root| root.all("group")) {
            let there = |name: &str| groups.get(name).is_some();
            let name = id(&mut found, element, there);
            let read = group(&mut found, element, name.unwrap_or_default(), collections);
            if let (Some(_), Some(group)) = (name, read) {
                groups.insert(group);
            }
        }
        found.or(groups)
    }

    /// Reads a file of CAFE's, as [`from_cafe`](Self::from_cafe); at most 64 MiB.
    ///
    /// # Errors
    /// [`GroupFileError`].
    pub fn load_cafe(
        path: impl AsRef<Path>,
        collections: &Collections,
    ) -> Result<Self, GroupFileError> {
        let (origin, text) = file(path.as_ref())?;
        Ok(Self::from_cafe(&origin, &text, collections)?)
    }
}

pub(super) fn file(path: &Path) -> Result<(String, String), GroupFileError> {
    let text = read_file(path).map_err(|reason| GroupFileError::Read {
        path: path.to_owned(),
        reason,
    })?;
    Ok((path.display().to_string(), text))
}

/// The name of a collection or a group.
pub(super) fn id<'a>(
    found: &mut Mistakes,
    element: &'a Element,
    is_there: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    let name = element.attribute("id").unwrap_or_default().trim();
    let span = element.span.clone();
    if name.is_empty() {
        let message = format!("<{}> has no name", element.name);
        found.add(span, message, format!("write <{} id=\"…\">", element.name));
        return None;
    }
    if is_there(name) {
        found.add(
            span,
            format!("\"{name}\" is there already"),
            "give it another name",
        );
        return None;
    }
    Some(name)
}

fn collection(found: &mut Mistakes, element: &Element, name: &str) -> Collection {
    let attributes = element.all("attributes").flat_map(|it| it.all("attribute"));
    let attributes = attributes.filter(|it| !it.text.is_empty());
    let mut devices: Vec<(String, f64)> = Vec::new();
    let mut there = HashSet::new();
    for member in element.all("member") {
        let span = || member.span.clone();
        let Some(device) = member.text_of("device") else {
            found.add(
                span(),
                "a <member> without a device",
                "write <device>NAME</device>",
            );
            continue;
        };
        if !there.insert(device) {
            let message = format!("\"{device}\" is in \"{name}\" twice");
            found.add(span(), message, "leave one out");
            continue;
        }
        let text = member.attribute("pos").unwrap_or("0").trim();
        let position = text.parse().ok().filter(|it: &f64| it.is_finite());
        if position.is_none() {
            let message = format!("the position \"{text}\" of \"{device}\" is no number");
            found.add(span(), message, "write one such as pos=\"12.5\"");
        }
        devices.push((device.to_owned(), position.unwrap_or(0.0)));
    }
    if element.all("member").next().is_none() {
        let message = format!("the collection \"{name}\" has no members");
        let remedy = "write <member><device>NAME</device></member>";
        found.add(element.span.clone(), message, remedy);
    }
    Collection {
        name: name.to_owned(),
        description: element
            .text_of("description")
            .unwrap_or_default()
            .to_owned(),
        devices,
        attributes: attributes.map(|it| it.text.clone()).collect(),
    }
}

/// A group; `None` if there are more members than there may be.
fn group(
    found: &mut Mistakes,
    element: &Element,
    name: &str,
    collections: &Collections,
) -> Option<Group> {
    let mut group = Group::new(name);
    let before = found.count();
    for child in &element.children {
        let pvs = match child.name.as_str() {
            "member" => match child.text_of("name") {
                Some(pv) => vec![pv.to_owned()],
                None => {
                    let span = child.span.clone();
                    found.add(span, "a <member> without a name", "write <name>PV</name>");
                    continue;
                }
            },
            "collection" => expanded(found, child, collections),
            _ => continue,
        };
        for pv in pvs {
            if let Err(error) = group.add(Member::new(pv)) {
                let (message, remedy) = error.parts();
                found.add(child.span.clone(), message, remedy);
                if error.is_final() {
                    return None;
                }
            }
        }
    }
    if group.is_empty() && found.count() == before {
        let message = format!("the group \"{name}\" has no members");
        let remedy = "give it <member> with <name>, or <collection> with <id>";
        found.add(element.span.clone(), message, remedy);
    }
    Some(group)
}

/// The PVs of a collection in a group.
fn expanded(found: &mut Mistakes, element: &Element, collections: &Collections) -> Vec<String> {
    let place = element.all("id").next().unwrap_or(element);
    let name = element.text_of("id").unwrap_or_default();
    let Some(collection) = collections.get(name) else {
        let known = collections.iter().map(|it| it.name.as_str());
        let remedy = did_you_mean(name, known)
            .unwrap_or_else(|| "load the file that has it before this one".to_owned());
        let message = format!("there is no collection \"{name}\"");
        found.add(place.span.clone(), message, remedy);
        return Vec::new();
    };
    let wanted = element.children.iter();
    let wanted = wanted.filter(|it| it.name == "attribute" || it.name == "attrib");
    let mut names = Vec::new();
    for attribute in wanted {
        let known = &collection.attributes;
        if !known.is_empty() && !known.contains(&attribute.text) {
            let remedy = did_you_mean(&attribute.text, known.iter().map(String::as_str))
                .unwrap_or_else(|| format!("it has {}", known.join(", ")));
            let message = format!("\"{name}\" has no attribute \"{}\"", attribute.text);
            found.add(attribute.span.clone(), message, remedy);
            continue;
        }
        names.push(&attribute.text);
    }
    if element
        .all("attribute")
        .chain(element.all("attrib"))
        .next()
        .is_none()
    {
        names.extend(&collection.attributes);
        if names.is_empty() {
            let message = format!("which attribute of \"{name}\"?");
            found.add(
                place.span.clone(),
                message,
                "write <attribute>NAME</attribute>",
            );
        }
    }
    let delimiter = collections.delimiter.as_deref().unwrap_or(":");
    let devices = || collection.devices.iter().map(|(device, _)| device);
    let names = names.into_iter();
    names
        .flat_map(|attribute| {
            devices().map(move |device| format!("{device}{delimiter}{attribute}"))
        })
        .collect()
}
