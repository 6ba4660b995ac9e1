//! Which record types, menus and break tables there are.

use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;

use super::breaktables::BREAK_TABLES;
use super::common;
use super::field::{Dbf, FieldDef, Special};
use super::menus::MENUS;
use super::store::FieldSet;
use super::support::Support;
use super::types::TYPES;
use super::val::{Choices, Conversion, Val};

/// What a record type's file in `types/` says.
#[derive(Clone, Copy, Debug)]
pub struct TypeDef {
    /// Its name.
    pub name: &'static str,
    /// Its own fields, without those that all records have.
    pub fields: &'static [FieldDef],
    /// Its device supports, by their number in DTYP.
    pub devices: &'static [(&'static str, DeviceAddress)],
    /// What it does.
    pub support: &'static Support,
}

/// What the link of a device support looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceAddress {
    /// A constant or a link.
    Constant,
    /// `@…`
    Instrument,
    /// `#…`
    Card,
}

/// A menu.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Menu {
    /// Its name.
    pub name: Box<str>,
    /// The texts of its choices in order of their numbers.
    pub choices: Box<[Box<str>]>,
}

/// Points of a conversion from raw values, in order.
#[derive(Clone, PartialEq, Debug)]
pub struct BreakTable {
    /// Its name.
    pub name: Box<str>,
    /// Raw value and value in engineering units.
    pub points: Box<[(f64, f64)]>,
}

/// What record types ask of the device support that is at work; told by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DeviceKind {
    /// `Raw Soft Channel`
    Raw,
    /// `Async Soft Channel`
    Async,
    /// `Soft Timestamp`
    SoftTimestamp,
    /// `General Time`
    GeneralTime,
    /// `Db State`
    DbState,
    /// `getenv`
    Getenv,
    /// `stdio`
    Stdio,
    /// Any other one: `Soft Channel` among them, as which it works.
    Other,
}

impl DeviceKind {
    fn of(name: &str) -> Self {
        match name {
            "Raw Soft Channel" => Self::Raw,
            "Async Soft Channel" => Self::Async,
            "Soft Timestamp" => Self::SoftTimestamp,
            "General Time" => Self::GeneralTime,
            "Db State" => Self::DbState,
            "getenv" => Self::Getenv,
            "stdio" => Self::Stdio,
            _ => Self::Other,
        }
    }
}

/// A device support of a record type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// What its link looks like.
    pub address: DeviceAddress,
    /// One that we have; records of any other hold their values.
    pub known: bool,
    /// What it is to record types.
    pub kind: DeviceKind,
}

/// A field of a record type.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub dbf: Dbf,
    /// Bytes of a text, its NUL included.
    pub size: u16,
    /// The number of its menu.
    pub menu: Option<u16>,
    /// What it has at the beginning.
    pub default: Val,
    /// Access security level.
    pub asl: u8,
    /// What else happens when it is written.
    pub special: Special,
    /// Writing it processes a passive record.
    pub pp: bool,
    /// Writing it tells those who subscribed to properties.
    pub prop: bool,
    /// For whom it is of interest, 0 to 4.
    pub interest: u8,
}

/// A field as a `.dbd` file says it.
#[derive(Clone, PartialEq, Debug)]
pub struct FieldSpec {
    /// Its name.
    pub name: String,
    /// Its type.
    pub dbf: Dbf,
    /// Bytes of a text, its NUL included.
    pub size: u16,
    /// The name of its menu, or nothing.
    pub menu: String,
    /// What it has at the beginning, or nothing.
    pub initial: String,
    /// Access security level.
    pub asl: u8,
    /// What else happens when it is written.
    pub special: Special,
    /// Writing it processes a passive record.
    pub pp: bool,
    /// Writing it tells those who subscribed to properties.
    pub prop: bool,
    /// For whom it is of interest, 0 to 4.
    pub interest: u8,
}

/// The device supports that are simulated; those of Base that are not here need hardware or services.
fn is_known(of: &str, device: &str) -> bool {
    let soft = ["Soft Channel", "Raw Soft Channel", "Async Soft Channel"];
    let other = [
        ("ai", "Soft Timestamp"),
        ("stringin", "getenv"),
        ("stringout", "stdio"),
        ("printf", "stdio"),
        ("stringin", "Soft Timestamp"),
        ("ai", "General Time"),
        ("bo", "General Time"),
        ("longin", "General Time"),
        ("stringin", "General Time"),
        ("bi", "Db State"),
        ("bo", "Db State"),
        ("busy", "asynInt32"),
        ("scaler", "Soft Scaler"),
        ("scaler", "Asyn Scaler"),
        ("scaler", "Joerger VSC8/16"),
        ("motor", "asynMotor"),
        ("motor", "Motor Simulation"),
    ];
    soft.contains(&device) || other.contains(&(of, device))
}

impl From<&FieldDef> for FieldSpec {
    fn from(def: &FieldDef) -> Self {
        Self {
            name: def.name.to_owned(),
            dbf: def.dbf,
            size: def.size,
            menu: def.menu.to_owned(),
            initial: def.initial.to_owned(),
            asl: def.asl,
            special: def.special,
            pp: def.pp,
            prop: def.prop,
            interest: def.interest,
        }
    }
}

/// Why a record type cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A field's menu is not there.
    #[error("field {field} of record type {of} has the menu {menu}, which is not defined")]
    NoMenu {
        /// The record type.
        of: String,
        /// The field.
        field: String,
        /// The menu.
        menu: String,
    },
    /// A field's initial value cannot be.
    #[error("field {field} of record type {of} cannot begin with \"{initial}\"")]
    Initial {
        /// The record type.
        of: String,
        /// The field.
        field: String,
        /// The value.
        initial: String,
    },
    /// There is no such record type.
    #[error("there is no record type {0}")]
    NoType(String),
    /// A break table's points are fewer than two, or not in order.
    #[error("break table {0} needs two points at least, with rising raw values")]
    BreakTable(String),
    /// More of something than its numbers can tell apart.
    #[error("{0} has too many parts")]
    TooMany(String),
}

/// A record type: one of EPICS Base, or of a `.dbd` file.
#[derive(Clone, Debug)]
pub struct RecordType {
    /// Its name.
    pub name: Box<str>,
    /// All fields, those of all records first.
    pub fields: Box<[Field]>,
    names: HashMap<Box<str>, u16>,
    /// Its device supports by their number.
    pub devices: Vec<Device>,
    /// Their names.
    pub device_names: Vec<Box<str>>,
    /// What it does.
    pub support: &'static Support,
    /// The index of VAL, if it has one.
    pub value: Option<u16>,
    /// A record that says nothing of DISA and DISV is disabled.
    pub(crate) disabled: bool,
    /// Fields that have something behind them: links, and what a record's support keeps.
    pub(crate) behind: FieldSet,
}

impl RecordType {
    /// The index of a field.
    pub fn find(&self, name: &str) -> Option<u16> {
        self.names.get(name).copied()
    }

    /// A field by its index. The index is one of this type.
    #[inline]
    pub fn field(&self, index: u16) -> &Field {
        &self.fields[usize::from(index)]
    }
}

/// Menus, record types and break tables.
#[derive(Clone, Debug)]
pub struct Schema {
    menus: Vec<Arc<Menu>>,
    menu_names: HashMap<Box<str>, u16>,
    types: Vec<Arc<RecordType>>,
    type_names: HashMap<Box<str>, u16>,
    tables: Vec<Arc<BreakTable>>,
}

impl Schema {
    /// Those of EPICS Base.
    pub fn base() -> Self {
        static BASE: OnceLock<Schema> = OnceLock::new();
        BASE.get_or_init(Self::make_base).clone()
    }

    fn make_base() -> Self {
        let mut schema = Self::empty();
        for (name, choices) in MENUS {
            let choices = choices.iter().map(|&(_, text)| text.into()).collect();
            schema.set_menu(name, choices);
        }
        for (name, points) in BREAK_TABLES {
            let table = schema.add_table(name, points.to_vec());
            debug_assert!(table.is_ok(), "{name}");
        }
        for def in TYPES {
            let fields = def.fields.iter().map(FieldSpec::from).collect();
            // The tables are right, which a test checks.
            if let Ok(number) = schema.add_type(def.name, fields, def.support) {
                for &(name, address) in def.devices {
                    schema.add_device_to(number, name, address, is_known(def.name, name));
                }
            }
        }
        schema
    }

    fn empty() -> Self {
        Self {
            menus: Vec::new(),
            menu_names: HashMap::new(),
            types: Vec::new(),
            type_names: HashMap::new(),
            tables: Vec::new(),
        }
    }

    /// Defines a menu, or replaces the one of this name.
    pub fn set_menu(&mut self, name: &str, choices: Box<[Box<str>]>) {
        let menu = Arc::new(Menu {
            name: name.into(),
            choices,
        });
        if let Some(&number) = self.menu_names.get(name) {
            self.menus[usize::from(number)] = menu;
        } else if let Ok(number) = u16::try_from(self.menus.len()) {
            self.menus.push(menu);
            self.menu_names.insert(name.into(), number);
        }
    }

    /// Defines a record type, or replaces the one of this name. What all records have is added; fields
    /// of these names in the list are left out. A type of EPICS Base keeps what it does only if it is
    /// left alone.
    ///
    /// # Errors
    /// [`SchemaError`]: a field's menu or initial value cannot be, or there are too many.
    pub fn add_type(
        &mut self,
        name: &str,
        fields: Vec<FieldSpec>,
        support: &'static Support,
    ) -> Result<u16, SchemaError> {
        let own = fields.iter().filter(|field| {
            !common::FIELDS
                .iter()
                .any(|common| common.name == field.name)
        });
        let all = common::FIELDS
            .iter()
            .map(FieldSpec::from)
            .chain(own.cloned());
        let all = all
            .map(|field| self.field(name, field))
            .collect::<Result<Box<[_]>, _>>()?;
        let too_many = || SchemaError::TooMany(name.to_owned());
        u16::try_from(all.len()).map_err(|_| too_many())?;
        let names: HashMap<Box<str>, u16> = all
            .iter()
            .zip(0..)
            .map(|(field, index)| (field.name.clone(), index))
            .collect();
        let behind: Vec<u16> = all
            .iter()
            .zip(0..)
            .filter(|(field, _)| field.dbf.is_link() || field.dbf == Dbf::NoAccess)
            .map(|(_, index)| index)
            .collect();
        let record = Arc::new(RecordType {
            name: name.into(),
            value: names.get("VAL").copied(),
            behind: FieldSet::of(&behind),
            disabled: all
                .get(usize::from(common::DISA))
                .map(|field| &field.default)
                == all
                    .get(usize::from(common::DISV))
                    .map(|field| &field.default),
            fields: all,
            names,
            devices: Vec::new(),
            device_names: Vec::new(),
            support,
        });
        if let Some(&number) = self.type_names.get(name) {
            self.types[usize::from(number)] = record;
            return Ok(number);
        }
        let number = u16::try_from(self.types.len()).map_err(|_| too_many())?;
        self.types.push(record);
        self.type_names.insert(name.into(), number);
        Ok(number)
    }

    fn field(&self, of: &str, spec: FieldSpec) -> Result<Field, SchemaError> {
        let menu = self.menu_names.get(&*spec.menu).copied();
        if spec.dbf == Dbf::Menu && menu.is_none() {
            let (of, field, menu) = (of.to_owned(), spec.name, spec.menu);
            return Err(SchemaError::NoMenu { of, field, menu });
        }
        let choices = menu.map_or(Choices::Number, |menu| self.menu_texts(menu));
        let how = Conversion {
            choices,
            ..Conversion::PLAIN
        };
        let default = if spec.initial.is_empty() {
            Val::zero(spec.dbf)
        } else {
            // "65535" is no choice of any menu, and stands for none.
            let text = Val::text(&spec.initial);
            let number = spec.initial.parse().map(Val::Enum);
            text.convert(spec.dbf, &how)
                .or_else(|_| {
                    if spec.dbf.is_choice() {
                        number
                    } else {
                        Ok(Val::zero(spec.dbf))
                    }
                })
                .map_err(|_| SchemaError::Initial {
                    of: of.to_owned(),
                    field: spec.name.clone(),
                    initial: spec.initial.clone(),
                })?
        };
        Ok(Field {
            name: spec.name.into(),
            dbf: spec.dbf,
            size: spec.size,
            menu,
            default,
            asl: spec.asl,
            special: spec.special,
            pp: spec.pp,
            prop: spec.prop,
            interest: spec.interest,
        })
    }

    /// Adds a device support to a record type; one that we do not have gives no values and takes all.
    ///
    /// # Errors
    /// [`SchemaError::NoType`].
    pub fn add_device(
        &mut self,
        of: &str,
        name: &str,
        address: DeviceAddress,
    ) -> Result<(), SchemaError> {
        let number = self.type_names.get(of).copied();
        let number = number.ok_or_else(|| SchemaError::NoType(of.to_owned()))?;
        self.add_device_to(number, name, address, false);
        Ok(())
    }

    fn add_device_to(&mut self, number: u16, name: &str, address: DeviceAddress, known: bool) {
        let record = &mut self.types[usize::from(number)];
        if !record.device_names.iter().any(|have| **have == *name) {
            // Schemas share their types as long as they are the same.
            let record = Arc::make_mut(record);
            let kind = DeviceKind::of(name);
            record.devices.push(Device {
                address,
                known,
                kind,
            });
            record.device_names.push(name.into());
        }
    }

    /// Defines a break table, or replaces the one of this name.
    ///
    /// # Errors
    /// [`SchemaError::BreakTable`].
    pub fn add_table(&mut self, name: &str, points: Vec<(f64, f64)>) -> Result<(), SchemaError> {
        let rising = points
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.0 < b.0));
        if points.len() < 2 || !rising {
            return Err(SchemaError::BreakTable(name.to_owned()));
        }
        let table = Arc::new(BreakTable {
            name: name.into(),
            points: points.into(),
        });
        match self.tables.iter_mut().find(|have| *have.name == *name) {
            Some(have) => *have = table,
            None => self.tables.push(table),
        }
        Ok(())
    }

    /// A record type by name.
    pub fn find(&self, name: &str) -> Option<u16> {
        self.type_names.get(name).copied()
    }

    /// All record types.
    pub fn types(&self) -> impl Iterator<Item = &RecordType> {
        self.types.iter().map(|record| &**record)
    }

    /// A record type by the number that [`Self::find`] gave.
    #[inline]
    pub fn record_type(&self, number: u16) -> &Arc<RecordType> {
        &self.types[usize::from(number)]
    }

    /// A menu by name.
    pub fn menu(&self, name: &str) -> Option<&Menu> {
        let number = self.menu_names.get(name)?;
        self.menus.get(usize::from(*number)).map(|menu| &**menu)
    }

    /// All menus.
    pub fn menus(&self) -> impl Iterator<Item = &Menu> {
        self.menus.iter().map(|menu| &**menu)
    }

    /// The name of a menu by its number.
    pub fn menu_name(&self, menu: u16) -> Option<&str> {
        let menu = self.menus.get(usize::from(menu))?;
        Some(&menu.name)
    }

    /// All break tables.
    pub fn tables(&self) -> impl Iterator<Item = &BreakTable> {
        self.tables.iter().map(|table| &**table)
    }

    /// A break table by name.
    pub fn table(&self, name: &str) -> Option<&Arc<BreakTable>> {
        self.tables.iter().find(|table| *table.name == *name)
    }

    /// The texts of a menu by its number.
    pub fn menu_texts(&self, menu: u16) -> Choices<'_> {
        let menu = self.menus.get(usize::from(menu));
        menu.map_or(Choices::Number, |menu| Choices::Texts(&menu.choices))
    }

    /// The texts of a field that is a choice, unless the record has them.
    pub fn choices<'a>(&'a self, of: &'a RecordType, field: &Field) -> Choices<'a> {
        match field.dbf {
            Dbf::Device => Choices::Texts(&of.device_names),
            _ => field
                .menu
                .map_or(Choices::Number, |menu| self.menu_texts(menu)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tables_of_base_are_understood() {
        let schema = Schema::base();
        assert_eq!(schema.types().count(), TYPES.len());
        for def in TYPES {
            let record = schema.record_type(schema.find(def.name).unwrap());
            assert_eq!(
                record.fields.len(),
                def.fields.len() + common::FIELDS.len(),
                "{}",
                def.name
            );
            assert!(record.value.is_some(), "{}", def.name);
            assert_eq!(record.devices.len(), def.devices.len());
        }
        assert_eq!(schema.table("typeKdegF").unwrap().points.len(), 9);
        assert_eq!(schema.menu("menuScan").unwrap().choices.len(), 10);
    }
}
