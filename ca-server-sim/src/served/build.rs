//! From files to records.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::described::Described;
use crate::load::dbd::{
    BreakTable, Dbd, Device, FieldSpec as LoadField, FieldType, LinkType, Menu, RecordTypeSpec,
    Special as LoadSpecial,
};
use crate::load::{
    Disk, FieldDef, FileProblem, Files, InMemory, Loaded, Loader, Mistake, MistakeKind, Mistakes,
    Weight,
};
use crate::process::Records;
use crate::record::{Dbf, DeviceAddress, Field, FieldSpec, Schema, Special, Support, Val};
use crate::signals;

/// Files and texts of records, to be read together: what [`IocBuilder`](crate::IocBuilder) reads, and what
/// programs read that want to see all mistakes by themselves.
///
/// Record types are those of EPICS Base; `.dbd` files add others, menus, devices and break tables. Of a type
/// that Base has, they add device supports only.
///
/// # Examples
/// ```
/// use ca_server_sim::{Ioc, RecordFiles};
///
/// let loaded = RecordFiles::new()
///     .text("record(ao, \"$(P):gap\") { field(EGU, \"mm\") }", "P=ID1")
///     .load();
/// assert!(loaded.mistakes.is_empty(), "{}", loaded.mistakes);
/// let ioc = Ioc::builder().records(loaded).build()?;
/// assert_eq!(ioc.pv_names().collect::<Vec<_>>(), ["ID1:gap"]);
/// # Ok::<(), ca_server_sim::BuildError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecordFiles {
    dbd: Vec<String>,
    files: Vec<(String, String)>,
    texts: InMemory,
    directories: Vec<String>,
    variables: Vec<(String, String)>,
    lint: bool,
    hold_unknown: bool,
}

/// Texts that are given, and the disk behind them.
struct Layered<'a>(&'a InMemory);

impl Files for Layered<'_> {
    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        let own = name.rsplit('/').next().unwrap_or(name);
        match self.0.read(own, limit) {
            Err(FileProblem::Missing) => Disk.read(name, limit),
            found => found,
        }
    }
}

impl RecordFiles {
    /// Nothing to read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads record types, menus, devices and break tables from a `.dbd` file, before all others.
    #[must_use]
    pub fn dbd(mut self, name: impl Into<String>) -> Self {
        self.dbd.push(name.into());
        self
    }

    /// Reads a file, with macros written as `A=1,B=2`: `.substitutions` (also `.subs`, `.sub`) as `dbLoadTemplate`
    /// of EPICS Base does, `.dbd` as another [`dbd`](Self::dbd), all others as `dbLoadRecords`.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, macros: impl Into<String>) -> Self {
        let name = name.into();
        match name.ends_with(".dbd") {
            true => self.dbd(name),
            false => {
                self.files.push((name, macros.into()));
                self
            }
        }
    }

    /// Reads a text as that of a `.db` file. Mistakes name it `text 1`, `text 2` and so on.
    #[must_use]
    pub fn text(mut self, text: impl AsRef<[u8]>, macros: impl Into<String>) -> Self {
        let name = format!("text {}", self.files.len() + 1);
        self.texts.insert(name.as_str(), text);
        self.files.push((name, macros.into()));
        self
    }

    /// Looks for files in this directory, after those that were given before and the current one.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<String>) -> Self {
        self.directories.push(directory.into());
        self
    }

    /// Defines a variable of the environment, which the names of files may use. The environment of the process is
    /// not looked at.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Also looks at links, rings and rates ([`lint`](crate::load::lint)), whose warnings are then among the
    /// mistakes.
    #[must_use]
    pub const fn lint(mut self) -> Self {
        self.lint = true;
        self
    }

    /// Record types and devices that no `.dbd` file describes are no mistakes ([`Loader::hold_unknown`]): for files of
    /// an IOC whose `.dbd` is not at hand.
    #[must_use]
    pub const fn hold_unknown(mut self) -> Self {
        self.hold_unknown = true;
        self
    }

    /// Whether nothing is to be read.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.dbd.is_empty()
    }

    /// Reads them. All that is wrong is among the mistakes of the result.
    pub fn load(&self) -> Loaded {
        let files = Layered(&self.texts);
        // What a site redefines counts; what it only adds to must be known before.
        let types = match self.dbd.is_empty() {
            true => base_dbd(),
            false => {
                let mut first = self.loader(&files, Dbd::new());
                for name in &self.dbd {
                    first.dbd(name, "");
                }
                with_base(&first.finish().dbd)
            }
        };
        let mut loader = self.loader(&files, types);
        if self.hold_unknown {
            loader = loader.hold_unknown();
        }
        for name in &self.dbd {
            loader.dbd(name, "");
        }
        for (name, macros) in &self.files {
            loader.file(name, macros);
        }
        let mut loaded = loader.finish();
        if self.lint {
            crate::load::lint(&mut loaded);
        }
        loaded
    }

    fn loader<'f>(&self, files: &'f dyn Files, dbd: Dbd) -> Loader<'f> {
        let mut loader = Loader::with(files, dbd).directory(".");
        for directory in &self.directories {
            loader = loader.directory(directory.as_str());
        }
        for (name, value) in &self.variables {
            loader = loader.variable(name, value);
        }
        loader
    }
}

/// The record types, menus, devices and break tables that records have without any `.dbd` file: those of EPICS
/// Base, as a [`Loader`] wants them.
pub fn base_dbd() -> Dbd {
    shared_base().clone()
}

fn shared_base() -> &'static Dbd {
    static BASE: OnceLock<Dbd> = OnceLock::new();
    BASE.get_or_init(|| with_base(&Dbd::new()))
}

/// A site's menus and break tables, which win over those of Base; the record types of Base, to which it adds
/// devices; and types of its own.
pub(crate) fn with_base(site: &Dbd) -> Dbd {
    let base = Schema::base();
    let mut dbd = Dbd::new();
    for menu in site.menus() {
        dbd.add_menu(Menu::clone(menu));
    }
    for table in site.break_tables() {
        dbd.add_break_table(BreakTable::clone(table));
    }
    for menu in base.menus() {
        let choices = menu.choices.iter();
        let choices = choices.map(|text| (text.clone(), text.as_bytes().into()));
        dbd.add_menu(Menu {
            name: menu.name.clone(),
            choices: choices.collect(),
        });
    }
    for table in base.tables() {
        dbd.add_break_table(BreakTable {
            name: table.name.clone(),
            points: table.points.to_vec(),
        });
    }
    for of in base.types() {
        let fields = of.fields.iter().map(|field| load_field(&base, &dbd, field));
        let mut spec = RecordTypeSpec::new(&*of.name, fields.collect());
        for (device, name) in of.devices.iter().zip(&of.device_names) {
            spec.add_device(Device {
                choice: name.as_bytes().into(),
                support: Box::default(),
                link: match device.address {
                    DeviceAddress::Constant => LinkType::Constant,
                    DeviceAddress::Instrument => LinkType::InstIo,
                    DeviceAddress::Card => LinkType::VmeIo,
                },
            });
        }
        dbd.add_type(spec);
    }
    for link in ["const", "calc", "state", "debug", "trace", "pva"] {
        dbd.links.insert(link.into(), Box::default());
    }
    dbd
}

const KINDS: [(FieldType, Dbf); 18] = [
    (FieldType::String, Dbf::String),
    (FieldType::Char, Dbf::Char),
    (FieldType::UChar, Dbf::UChar),
    (FieldType::Short, Dbf::Short),
    (FieldType::UShort, Dbf::UShort),
    (FieldType::Long, Dbf::Long),
    (FieldType::ULong, Dbf::ULong),
    (FieldType::Int64, Dbf::Int64),
    (FieldType::UInt64, Dbf::UInt64),
    (FieldType::Float, Dbf::Float),
    (FieldType::Double, Dbf::Double),
    (FieldType::Enum, Dbf::Enum),
    (FieldType::Menu, Dbf::Menu),
    (FieldType::Device, Dbf::Device),
    (FieldType::InLink, Dbf::InLink),
    (FieldType::OutLink, Dbf::OutLink),
    (FieldType::FwdLink, Dbf::FwdLink),
    (FieldType::NoAccess, Dbf::NoAccess),
];

const SPECIALS: [(LoadSpecial, Special); 10] = [
    (LoadSpecial::None, Special::Plain),
    (LoadSpecial::NoMod, Special::NoMod),
    (LoadSpecial::DbAddr, Special::DbAddr),
    (LoadSpecial::Scan, Special::Scan),
    (LoadSpecial::AlarmAck, Special::AlarmAck),
    (LoadSpecial::AccessSecurity, Special::As),
    (LoadSpecial::Mod, Special::Mod),
    (LoadSpecial::Reset, Special::Reset),
    (LoadSpecial::LinConv, Special::LinConv),
    (LoadSpecial::Calc, Special::Calc),
];

fn load_field(base: &Schema, dbd: &Dbd, field: &Field) -> LoadField {
    let kind = KINDS.iter().find(|(_, dbf)| *dbf == field.dbf);
    let special = SPECIALS.iter().find(|(_, own)| *own == field.special);
    let menu = field.menu.and_then(|menu| base.menu_name(menu));
    let initial = match &field.default {
        Val::String(text) => Some((**text).into()),
        _ => None,
    };
    LoadField {
        name: (&*field.name).into(),
        kind: kind.map_or(FieldType::NoAccess, |(kind, _)| *kind),
        prompt: Box::default(),
        promptgroup: "10 - Common".into(),
        size: i16::try_from(field.size).unwrap_or(i16::MAX),
        menu: menu.and_then(|menu| dbd.menu(menu)).cloned(),
        initial,
        asl: field.asl,
        special: special.map_or(LoadSpecial::None, |(special, _)| *special),
        pp: field.pp,
        prop: field.prop,
        interest: field.interest.into(),
        is_hex: false,
        extra: Box::default(),
    }
}

/// The record types of files, with what those of Base do.
fn schema(dbd: &Dbd, mistakes: &mut Mistakes) -> Schema {
    let mut schema = Schema::base();
    let mut wrong = |message: String| {
        mistakes.add(Mistake {
            weight: Weight::Error,
            kind: MistakeKind::Definition,
            message,
            remedy: String::new(),
            place: None,
            notes: Vec::new(),
            times: 1,
        });
    };
    // What is shared with that of Base says nothing new.
    let base = shared_base();
    let is_new = |menu: &&Arc<Menu>| {
        base.menu(&menu.name)
            .is_none_or(|own| !Arc::ptr_eq(own, menu))
    };
    let mut menus: Vec<_> = dbd.menus().filter(is_new).collect();
    menus.sort_by(|a, b| a.name.cmp(&b.name));
    for menu in menus {
        let texts = menu.choices.iter();
        let texts = texts.map(|(_, text)| String::from_utf8_lossy(text).into_owned().into());
        schema.set_menu(&menu.name, texts.collect());
    }
    let is_new = |table: &&Arc<BreakTable>| {
        base.break_table(&table.name)
            .is_none_or(|own| !Arc::ptr_eq(own, table))
    };
    for table in dbd.break_tables().filter(is_new) {
        if let Err(error) = schema.add_table(&table.name, table.points.clone()) {
            wrong(error.to_string());
        }
    }
    let is_new = |(index, spec): &(usize, &Arc<RecordTypeSpec>)| {
        base.types()
            .get(*index)
            .is_none_or(|own| !Arc::ptr_eq(own, spec))
    };
    for (_, spec) in dbd.types().iter().enumerate().filter(is_new) {
        if schema.find(&spec.name).is_none() {
            let fields = spec.fields.iter().map(field_spec).collect();
            if let Err(error) = schema.add_type(&spec.name, fields, &Support::HOLDER) {
                wrong(error.to_string());
            }
        }
        for device in &spec.devices {
            let name = String::from_utf8_lossy(&device.choice);
            let address = match device.link {
                link if link.is_soft() => DeviceAddress::Constant,
                LinkType::InstIo => DeviceAddress::Instrument,
                _ => DeviceAddress::Card,
            };
            // The type is there.
            let _ = schema.add_device(&spec.name, &name, address);
        }
    }
    schema
}

fn field_spec(field: &LoadField) -> FieldSpec {
    let dbf = KINDS.iter().find(|(kind, _)| *kind == field.kind);
    let special = SPECIALS.iter().find(|(load, _)| *load == field.special);
    FieldSpec {
        name: field.name.to_string(),
        dbf: dbf.map_or(Dbf::NoAccess, |(_, dbf)| *dbf),
        size: u16::try_from(field.size).unwrap_or(0),
        menu: field
            .menu
            .as_ref()
            .map_or_else(String::new, |menu| menu.name.to_string()),
        initial: field.initial.as_ref().map_or_else(String::new, |initial| {
            String::from_utf8_lossy(initial).into_owned()
        }),
        asl: field.asl,
        special: special.map_or(Special::Mod, |(_, own)| *own),
        pp: field.pp,
        prop: field.prop,
        interest: u8::try_from(field.interest).unwrap_or(4),
    }
}

/// What files say, as records that are not started, and as what another reading is compared with. Their mistakes come back, errors among them or not.
pub(crate) fn build(loaded: Loaded) -> (Records, Described, Mistakes) {
    let Loaded {
        dbd,
        records: defined,
        mut mistakes,
    } = loaded;
    let mut records = Records::new(Arc::new(schema(&dbd, &mut mistakes)));
    // Types that hold their values, with their first record and how many there are.
    let mut holders: BTreeMap<String, (FieldPlace, usize)> = BTreeMap::new();
    let places = Places::of(&dbd, records.schema(), |index| defined.has_type(index));
    records.reserve(defined.len());
    let mut described = Described::with_room(defined.len(), defined.field_count());
    for record in defined.into_each() {
        let name = String::from_utf8_lossy(&record.name);
        let id = match records.add(&record.type_name, &name) {
            Ok(id) => id,
            Err(error) => {
                report(
                    &mut mistakes,
                    MistakeKind::Name,
                    record.place,
                    error.to_string(),
                );
                continue;
            }
        };
        let holds = places.holds(record.type_index);
        if holds {
            let holder = holders.entry(record.type_name.to_string());
            holder.or_insert((record.place, 0)).1 += 1;
        }
        described.push(&record, |field| places.field(record.type_index, field));
        records.expect_fields(id, record.fields.len());
        for field in &record.fields {
            let place = places.field(record.type_index, field.index);
            set(&mut records, id, field, place, &mut mistakes);
        }
        let aliases = record.aliases.iter();
        for alias in aliases {
            let other = String::from_utf8_lossy(&alias.name);
            if let Err(error) = records.add_alias(&name, &other) {
                report(
                    &mut mistakes,
                    MistakeKind::Name,
                    alias.place,
                    error.to_string(),
                );
            }
        }
        let infos = record.infos.iter();
        for info in infos.chain(record.aliases.iter().flat_map(|alias| &alias.infos)) {
            let (name, value) = (
                String::from_utf8_lossy(&info.name),
                String::from_utf8_lossy(info.value.bytes()),
            );
            if name == SIGNAL
                && let Err((column, what)) = signals::line::parse(&value, &mut read_recording)
            {
                let what = format!("{name}, column {column}: {what}");
                report(&mut mistakes, MistakeKind::Value, info.place, what);
            }
            records.set_info(id, &name, &value);
        }
    }
    for (of, (place, count)) in holders {
        mistakes.add(Mistake {
            weight: Weight::Warning,
            kind: MistakeKind::UnknownType,
            message: format!(
                "record type {of} is not simulated: {count} of its records hold their values, \
                 with alarms, time stamps and FLNK"
            ),
            remedy: String::new(),
            place: Some(place),
            notes: Vec::new(),
            times: 1,
        });
    }
    described.shrink();
    (records, described, mistakes)
}

type FieldPlace = crate::load::Place;

/// The `info` of a record that has it follow a signal.
pub(super) const SIGNAL: &str = "canter:signal";

/// The text of a recording.
pub(crate) fn read_recording(name: &str) -> Result<String, String> {
    let length = std::fs::metadata(name)
        .map_err(|error| error.to_string())?
        .len();
    if length > signals::MAX_RECORDING as u64 {
        return Err(format!(
            "it has {length} bytes, at most {} are read",
            signals::MAX_RECORDING
        ));
    }
    std::fs::read_to_string(name).map_err(|error| error.to_string())
}

fn report(mistakes: &mut Mistakes, kind: MistakeKind, place: FieldPlace, message: String) {
    mistakes.add(Mistake {
        weight: Weight::Error,
        kind,
        message,
        remedy: String::new(),
        place: Some(place),
        notes: Vec::new(),
        times: 1,
    });
}

/// Where the fields of files are among those of records, by type and field.
struct Places(Vec<(bool, Vec<Option<u16>>)>);

impl Places {
    /// Of the types that are used: all have thousands of fields.
    fn of(dbd: &Dbd, schema: &Schema, is_used: impl Fn(usize) -> bool) -> Self {
        let base = Schema::base();
        let place = |(index, spec): (usize, &Arc<RecordTypeSpec>)| {
            if !is_used(index) {
                return (false, Vec::new());
            }
            let of = schema.find(&spec.name);
            let of = of.map(|of| schema.record_type(of));
            let index = |field: &LoadField| of.and_then(|of| of.find(&field.name));
            let fields = spec.fields.iter().map(index).collect();
            (base.find(&spec.name).is_none(), fields)
        };
        Self(dbd.types().iter().enumerate().map(place).collect())
    }

    /// Whether records of a type hold their values only.
    fn holds(&self, of: usize) -> bool {
        self.0.get(of).is_some_and(|(holds, _)| *holds)
    }

    fn field(&self, of: usize, field: u16) -> Option<u16> {
        *self.0.get(of)?.1.get(usize::from(field))?
    }
}

fn set(
    records: &mut Records,
    id: u32,
    field: &FieldDef,
    place: Option<u16>,
    mistakes: &mut Mistakes,
) {
    let bytes = field.value.bytes();
    let result = match (std::str::from_utf8(bytes), place) {
        (Ok(text), Some(place)) => records.set_index(id, place, text),
        (Ok(text), None) => records.set_field(id, &field.name, text),
        (Err(_), _) => records.set_bytes(id, &field.name, bytes),
    };
    if let Err(error) = result {
        report(mistakes, MistakeKind::Value, field.place, error.to_string());
    }
}

impl std::fmt::Debug for Layered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Layered")
    }
}

/// Whether a path is that of a file of records, by what it ends in.
pub fn is_record_file(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    let end = end.unwrap_or_default().to_ascii_lowercase();
    [
        "db",
        "vdb",
        "template",
        "substitutions",
        "subs",
        "sub",
        "dbd",
    ]
    .contains(&end.as_str())
}
