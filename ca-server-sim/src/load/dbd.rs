//! What record types there are: the contents of `.dbd` files.

use std::sync::Arc;

use hashbrown::HashMap;

/// Type of a field (`dbfType` of EPICS Base).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FieldType {
    /// Text with room for [`FieldSpec::size`] bytes, the final 0 included.
    String,
    /// Signed integer of 8 bits.
    Char,
    /// Unsigned integer of 8 bits.
    UChar,
    /// Signed integer of 16 bits.
    Short,
    /// Unsigned integer of 16 bits.
    UShort,
    /// Signed integer of 32 bits.
    Long,
    /// Unsigned integer of 32 bits.
    ULong,
    /// Signed integer of 64 bits.
    Int64,
    /// Unsigned integer of 64 bits.
    UInt64,
    /// Real number of 32 bits.
    Float,
    /// Real number of 64 bits.
    Double,
    /// Number of a state whose names are in other fields.
    Enum,
    /// Number of a choice of the menu [`FieldSpec::menu`].
    Menu,
    /// Number of a choice of the devices of the record type.
    Device,
    /// Link from which the record reads.
    InLink,
    /// Link to which the record writes.
    OutLink,
    /// Link to the record that is processed next.
    FwdLink,
    /// Not accessible to clients as it is; cannot be set in files.
    NoAccess,
}

impl FieldType {
    /// All types, in the reference's order.
    pub const ALL: [Self; 18] = [
        Self::String,
        Self::Char,
        Self::UChar,
        Self::Short,
        Self::UShort,
        Self::Long,
        Self::ULong,
        Self::Int64,
        Self::UInt64,
        Self::Float,
        Self::Double,
        Self::Enum,
        Self::Menu,
        Self::Device,
        Self::InLink,
        Self::OutLink,
        Self::FwdLink,
        Self::NoAccess,
    ];

    /// The name in `.dbd` files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "DBF_STRING",
            Self::Char => "DBF_CHAR",
            Self::UChar => "DBF_UCHAR",
            Self::Short => "DBF_SHORT",
            Self::UShort => "DBF_USHORT",
            Self::Long => "DBF_LONG",
            Self::ULong => "DBF_ULONG",
            Self::Int64 => "DBF_INT64",
            Self::UInt64 => "DBF_UINT64",
            Self::Float => "DBF_FLOAT",
            Self::Double => "DBF_DOUBLE",
            Self::Enum => "DBF_ENUM",
            Self::Menu => "DBF_MENU",
            Self::Device => "DBF_DEVICE",
            Self::InLink => "DBF_INLINK",
            Self::OutLink => "DBF_OUTLINK",
            Self::FwdLink => "DBF_FWDLINK",
            Self::NoAccess => "DBF_NOACCESS",
        }
    }

    /// The type of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.name().as_bytes() == name)
    }

    /// Whether the field is a link.
    pub const fn is_link(self) -> bool {
        matches!(self, Self::InLink | Self::OutLink | Self::FwdLink)
    }
}

/// What is special about a field (`special.h` of EPICS Base).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Special {
    /// Nothing.
    #[default]
    None,
    /// Clients may not write it.
    NoMod,
    /// The record says what its address is: arrays, fields of a type that depends.
    DbAddr,
    /// Changing it changes when the record is scanned.
    Scan,
    /// Acknowledgement of alarms.
    AlarmAck,
    /// Changing it changes access rights.
    AccessSecurity,
    /// The record is told of a change.
    Mod,
    /// Reset field.
    Reset,
    /// Changing it changes a linear conversion.
    LinConv,
    /// Text of a `calc` expression.
    Calc,
    /// A number that belongs to the record type.
    Other(i16),
}

impl Special {
    /// What a `.dbd` file calls it; a number for what has no name.
    pub fn named(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"SPC_NOMOD" => Self::NoMod,
            b"SPC_DBADDR" => Self::DbAddr,
            b"SPC_SCAN" => Self::Scan,
            b"SPC_ALARMACK" => Self::AlarmAck,
            b"SPC_AS" => Self::AccessSecurity,
            b"SPC_MOD" => Self::Mod,
            b"SPC_RESET" => Self::Reset,
            b"SPC_LINCONV" => Self::LinConv,
            b"SPC_CALC" => Self::Calc,
            _ => match super::number::leading_integer(text)? {
                0 => Self::None,
                1 => Self::NoMod,
                2 => Self::DbAddr,
                3 => Self::Scan,
                5 => Self::AlarmAck,
                6 => Self::AccessSecurity,
                100 => Self::Mod,
                101 => Self::Reset,
                102 => Self::LinConv,
                103 => Self::Calc,
                other => Self::Other(other as i16),
            },
        })
    }
}

/// A field of a record type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: FieldType,
    /// What people are asked for.
    pub prompt: Box<str>,
    /// The group in which tools show it; empty for fields that are not meant to be set in files.
    pub promptgroup: Box<str>,
    /// Bytes of a text, the final 0 included.
    pub size: i16,
    /// The menu of a [`FieldType::Menu`].
    pub menu: Option<Arc<Menu>>,
    /// The value that it has when nothing is said.
    pub initial: Option<Box<[u8]>>,
    /// Access security level: 0 or 1.
    pub asl: u8,
    /// What is special about it.
    pub special: Special,
    /// Whether writing it processes a passive record.
    pub pp: bool,
    /// Whether changing it is a property event.
    pub prop: bool,
    /// How deep in the record one has to look to be interested in it.
    pub interest: i16,
    /// Whether tools show the number in base 16.
    pub is_hex: bool,
    /// Declaration in C of what has no type here.
    pub extra: Box<str>,
}

/// A menu and its choices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Menu {
    /// Its name.
    pub name: Box<str>,
    /// Identifier and text of each choice.
    pub choices: Vec<(Box<str>, Box<[u8]>)>,
}

impl Menu {
    /// The number of the choice with this text.
    pub fn index(&self, text: &[u8]) -> Option<u16> {
        let at = self
            .choices
            .iter()
            .position(|(_, choice)| **choice == *text);
        at.and_then(|at| u16::try_from(at).ok())
    }
}

/// How a device's links are written (`link.h` of EPICS Base).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the names are those of the hardware")]
pub enum LinkType {
    /// Constants, PVs and JSON: soft devices.
    Constant,
    /// As `Constant`.
    Pv,
    VmeIo,
    CamacIo,
    AbIo,
    GpibIo,
    BitbusIo,
    Macro,
    /// As `Constant`.
    Json,
    Pn,
    Db,
    Ca,
    /// `@text`.
    InstIo,
    BbGpibIo,
    RfIo,
    VxiIo,
}

impl LinkType {
    /// The type of this name.
    pub const fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"CONSTANT" => Self::Constant,
            b"PV_LINK" => Self::Pv,
            b"VME_IO" => Self::VmeIo,
            b"CAMAC_IO" => Self::CamacIo,
            b"AB_IO" => Self::AbIo,
            b"GPIB_IO" => Self::GpibIo,
            b"BITBUS_IO" => Self::BitbusIo,
            b"MACRO_LINK" => Self::Macro,
            b"JSON_LINK" => Self::Json,
            b"PN_LINK" => Self::Pn,
            b"DB_LINK" => Self::Db,
            b"CA_LINK" => Self::Ca,
            b"INST_IO" => Self::InstIo,
            b"BBGPIB_IO" => Self::BbGpibIo,
            b"RF_IO" => Self::RfIo,
            b"VXI_IO" => Self::VxiIo,
            _ => return None,
        })
    }

    /// Whether links of this type are constants, PVs or JSON.
    pub const fn is_soft(self) -> bool {
        matches!(self, Self::Constant | Self::Pv | Self::Json)
    }
}

/// Device support of a record type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The text of `DTYP`.
    pub choice: Box<[u8]>,
    /// The name of its support.
    pub support: Box<str>,
    /// How `INP` or `OUT` is written for it.
    pub link: LinkType,
}

/// A record type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordTypeSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its fields, in the order of the file; the first is `NAME`.
    pub fields: Vec<FieldSpec>,
    /// Its devices, in the order in which `DTYP` counts them.
    pub devices: Vec<Device>,
    /// By names of 8 bytes at most, which almost all are; and by the others.
    by_short: HashMap<u64, u16>,
    by_name: HashMap<Arc<str>, u16>,
    by_choice: HashMap<Box<[u8]>, u16>,
}

impl RecordTypeSpec {
    /// A record type with these fields; of two with the same name the later one is not found by its name.
    pub fn new(name: impl Into<Arc<str>>, fields: Vec<FieldSpec>) -> Self {
        let mut new = Self {
            name: name.into(),
            by_short: HashMap::with_capacity(fields.len()),
            fields: Vec::with_capacity(fields.len()),
            devices: Vec::new(),
            by_name: HashMap::new(),
            by_choice: HashMap::new(),
        };
        for field in fields {
            new.add_field(field);
        }
        new
    }

    /// Adds a field behind the others.
    pub(super) fn add_field(&mut self, field: FieldSpec) {
        let Ok(index) = u16::try_from(self.fields.len()) else {
            return;
        };
        match packed(field.name.as_bytes()) {
            Some(name) => _ = self.by_short.entry(name).or_insert(index),
            None => _ = self.by_name.entry(Arc::clone(&field.name)).or_insert(index),
        }
        self.fields.push(field);
    }

    /// The index of the field of this name.
    pub fn find(&self, name: &str) -> Option<u16> {
        self.find_bytes(name.as_bytes())
    }

    /// As [`find`](Self::find).
    pub(super) fn find_bytes(&self, name: &[u8]) -> Option<u16> {
        match packed(name) {
            Some(name) => self.by_short.get(&name).copied(),
            None => {
                let name = std::str::from_utf8(name).ok()?;
                self.by_name.get(name).copied()
            }
        }
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.find(name)
            .map(|index| &self.fields[usize::from(index)])
    }

    /// The number of the device with this text.
    pub fn device(&self, choice: &[u8]) -> Option<u16> {
        self.by_choice.get(choice).copied()
    }

    /// Adds a device, unless there is one of its text (`dbDevice` of EPICS Base).
    pub fn add_device(&mut self, device: Device) {
        let Ok(index) = u16::try_from(self.devices.len()) else {
            return;
        };
        if !self.by_choice.contains_key(&device.choice) {
            self.by_choice.insert(device.choice.clone(), index);
            self.devices.push(device);
        }
    }
}

/// A short name as a number; no name has a byte 0.
fn packed(name: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    Some(u64::from_le_bytes(bytes))
}

/// A table for the conversion of raw numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct BreakTable {
    /// Its name.
    pub name: Box<str>,
    /// Raw number, and what it stands for.
    pub points: Vec<(f64, f64)>,
}

/// All that `.dbd` files say.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Dbd {
    /// Shared by copies: those of Base have thousands of fields.
    types: Vec<Arc<RecordTypeSpec>>,
    types_by_name: HashMap<Arc<str>, u32>,
    menus: HashMap<Box<str>, Arc<Menu>>,
    break_tables: HashMap<Box<str>, Arc<BreakTable>>,
    /// JSON links by name, with the name of their support.
    pub links: HashMap<Box<str>, Box<str>>,
    /// Variables that a start-up file may set, with their C types.
    pub variables: HashMap<Box<str>, Box<str>>,
    /// Functions that records may call.
    pub functions: Vec<Box<str>>,
    /// Functions that are called at start.
    pub registrars: Vec<Box<str>>,
    /// Drivers.
    pub drivers: Vec<Box<str>>,
    known: hashbrown::HashSet<(Named, Box<str>)>,
}

/// What is only named in `.dbd` files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Named {
    Driver,
    Registrar,
    Function,
}

impl Dbd {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The record types, in the order of the files.
    pub fn types(&self) -> &[Arc<RecordTypeSpec>] {
        &self.types
    }

    /// The index in [`types`](Self::types) of the one of this name.
    pub fn find_type(&self, name: &[u8]) -> Option<usize> {
        let name = std::str::from_utf8(name).ok()?;
        self.types_by_name.get(name).map(|&index| index as usize)
    }

    /// The record type of this name.
    pub fn record_type(&self, name: &str) -> Option<&RecordTypeSpec> {
        self.find_type(name.as_bytes())
            .map(|index| &*self.types[index])
    }

    /// For devices to be added.
    pub fn record_type_mut(&mut self, name: &[u8]) -> Option<&mut RecordTypeSpec> {
        let index = self.find_type(name)?;
        self.type_mut(index)
    }

    /// As [`record_type_mut`](Self::record_type_mut), by index.
    pub(super) fn type_mut(&mut self, index: usize) -> Option<&mut RecordTypeSpec> {
        self.types.get_mut(index).map(Arc::make_mut)
    }

    /// Adds a record type, unless there is one of its name.
    pub fn add_type(&mut self, new: RecordTypeSpec) {
        let Ok(index) = u32::try_from(self.types.len()) else {
            return;
        };
        if !self.types_by_name.contains_key(&new.name) {
            self.types_by_name.insert(Arc::clone(&new.name), index);
            self.types.push(Arc::new(new));
        }
    }

    /// The menu of this name.
    pub fn menu(&self, name: &str) -> Option<&Arc<Menu>> {
        self.menus.get(name)
    }

    /// All menus, in no order.
    pub fn menus(&self) -> impl Iterator<Item = &Arc<Menu>> {
        self.menus.values()
    }

    /// Adds a menu, unless there is one of its name.
    pub fn add_menu(&mut self, menu: Menu) {
        let name = menu.name.clone();
        self.menus.entry(name).or_insert_with(|| Arc::new(menu));
    }

    /// The break table of this name.
    pub fn break_table(&self, name: &str) -> Option<&Arc<BreakTable>> {
        self.break_tables.get(name)
    }

    /// All break tables, in no order.
    pub fn break_tables(&self) -> impl Iterator<Item = &Arc<BreakTable>> {
        self.break_tables.values()
    }

    /// Adds a break table, unless there is one of its name.
    pub fn add_break_table(&mut self, table: BreakTable) {
        let name = table.name.clone();
        let entry = self.break_tables.entry(name);
        entry.or_insert_with(|| Arc::new(table));
    }

    /// Notes a name of something that we have no use for but to know it.
    pub(super) fn add_name(&mut self, what: Named, name: Box<str>) {
        if self.known.insert((what, name.clone())) {
            match what {
                Named::Driver => self.drivers.push(name),
                Named::Registrar => self.registrars.push(name),
                Named::Function => self.functions.push(name),
            }
        }
    }
}
