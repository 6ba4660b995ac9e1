//! Commands that show fields: `dbgf`, `dbpr`, `dbtr`, `dba`.

use ca_proto::Timestamp;
use ca_proto::server::Turn;
use ca_proto::text::printf::write_g;

use super::columns::Columns;
use super::commands::{Command, Kind};
use super::format::{escaped, kind, of_field};
use super::run::Run;
use crate::ioc::{Ioc, TURN};
use crate::name::Modifiers;
use crate::process::Records;
use crate::record::{Array, Conversion, Dbf, Part, Schema, Special, Val, common};
use crate::served::{RTYP, Served};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "dbgf",
        arguments: &[("record name", Kind::Record)],
        usage: "Shows the value of a field, VAL if none is named.\n\n\
                Example: dbgf sr:gap.EGU\n",
        run: |run, args| match args.full(0) {
            Some(name) => dbgf(run, name),
            None => usage(run, "Usage: dbgf \"pv name\""),
        },
    },
    Command {
        name: "dbpr",
        arguments: &[("record name", Kind::Record), ("interest level", Kind::Int)],
        usage: "Shows the fields of a record.\n\
                interest level 0 - those that people look at\n\
                \x20              1 - those that configure the record too\n\
                \x20              2 - those of interest to who makes records\n\
                \x20              3 - nearly all\n\
                \x20              4 - all that have a value\n\n\
                Example: dbpr sr:gap 1\n",
        run: |run, args| match args.full(0) {
            Some(name) => dbpr(run, "dbpr", name, args.int(1)),
            None => usage(run, "Usage: dbpr \"pv name\", level"),
        },
    },
    Command {
        name: "dbtr",
        arguments: &[("record name", Kind::Record)],
        usage: "Processes a record, and shows its fields.\n",
        run: |run, args| match args.full(0) {
            Some(name) => dbtr(run, name),
            None => usage(run, "Usage: dbtr \"pv name\""),
        },
    },
    Command {
        name: "dba",
        arguments: &[("record name", Kind::Record)],
        usage: "Shows what is known of a field: its type, how many elements it has room for.\n\n\
                Example: dba sr:gap.HIGH\n",
        run: |run, args| match args.full(0) {
            Some(name) => dba(run, name),
            None => usage(run, "Usage: dba \"pv name\""),
        },
    },
];

pub(super) fn usage(run: &mut Run<'_>, text: &str) -> bool {
    run.say(text);
    false
}

/// What a name means.
pub(super) enum Found {
    /// A field of a record.
    Field { id: u32, field: u16, part: Part },
    /// A PV that is none of a file, or a field of it.
    Plain,
}

/// Finds a PV; says that there is none.
pub(super) fn find(ioc: &Ioc, name: &str) -> Result<Found, String> {
    if ioc.db.resolve(name).is_some() {
        return Ok(Found::Plain);
    }
    let missing = || format!("PV '{name}' not found");
    let (id, field, modifiers) = ioc
        .db
        .find_field_channel(name.as_bytes())
        .ok_or_else(missing)?;
    if Modifiers::parse(modifiers).is_none() {
        return Err(missing());
    }
    let text = String::from_utf8_lossy(modifiers);
    let part = Part::split(&format!("VAL{text}")).1;
    Ok(Found::Field { id, field, part })
}

/// Whether there is a record type of this name.
pub(super) fn is_type(run: &mut Run<'_>, name: &str) -> bool {
    types(run).iter().any(|known| known == name)
}

/// The names of all record types.
pub(super) fn types(run: &mut Run<'_>) -> Vec<String> {
    let names = |schema: &Schema| schema.types().map(|of| of.name.to_string()).collect();
    let own = run.ioc(|ioc, _| {
        let served = ioc.db.served.as_ref();
        served.map(|served| names(served.records.schema()))
    });
    own.flatten().unwrap_or_else(|| names(&Schema::base()))
}

/// Bytes of values that are shown of an array.
const SHOWN: usize = 800;

fn dbgf(run: &mut Run<'_>, name: &str) -> bool {
    let shown = run.running("dbgf", |ioc, _| match find(ioc, name)? {
        Found::Plain => plain(ioc, name),
        Found::Field { id, field, part } => match &ioc.db.served {
            Some(served) => Ok(value(served, id, field, &part)),
            None => Err(format!("PV '{name}' not found")),
        },
    });
    match shown {
        Some(Ok(text)) => {
            run.print(text);
            true
        }
        Some(Err(what)) => {
            run.say(what);
            false
        }
        None => false,
    }
}

/// A PV that is no record of a file: as clients see it.
fn plain(ioc: &Ioc, name: &str) -> Result<String, String> {
    let snapshot = ioc.read(name).map_err(|error| error.to_string())?;
    let native = snapshot.value.native();
    let val = crate::served::from_client(snapshot.value.as_ref());
    let states = &snapshot.meta.states;
    let val = match (val, native) {
        (Val::Enum(number), _) => {
            let text = states.get(number);
            Val::text(text.map_or_else(|| number.to_string().into_bytes(), <[u8]>::to_vec))
        }
        // Bytes have no sign in the database.
        (val, _) => val,
    };
    Ok(buffer(&val))
}

fn value(served: &Served, id: u32, field: u16, part: &Part) -> String {
    let records = &served.records;
    let val = match field {
        RTYP => Val::text(records.type_of(id).name.as_bytes()),
        field => records.get(id, field),
    };
    let val = match val {
        Val::Enum(_) => Val::text(records.text(id, field).unwrap_or_default()),
        // Characters of a text are those of `DBF_CHAR`.
        val if part.characters => match part.of(val) {
            Val::Array(all) => match all.converted(Dbf::Char, usize::MAX, &Conversion::PLAIN) {
                Ok(chars) => Val::from(chars),
                Err(_) => Val::Array(all),
            },
            val => val,
        },
        val => part.of(val),
    };
    buffer(&val)
}

/// The type and the elements of a value (`printBuffer`).
fn buffer(val: &Val) -> String {
    let mut columns = Columns::new(10);
    let dbf = match val {
        Val::Array(all) => all.dbf(),
        val => type_of(val),
    };
    let size = bytes(dbf);
    let count = val.count().min(SHOWN / size);
    let kind = name(dbf);
    match (val, count) {
        (Val::Array(_), 0) => columns.add(&format!("DBF_{kind}[0]: (empty)")),
        (_, 1) => columns.add(&format!("DBF_{kind}: ")),
        _ => columns.add(&format!("DBF_{kind}[{count}]: ")),
    }
    match val {
        Val::Array(all) => match &**all {
            Array::Char(chars) if count > 1 => {
                let chars: Vec<u8> = chars.iter().map(|&c| c as u8).collect();
                text_cells(&mut columns, &chars[..count]);
            }
            all => all
                .iter()
                .take(count)
                .for_each(|val| columns.add(&element(&val))),
        },
        val => columns.add(&element(val)),
    }
    columns.finish()
}

/// Characters as texts that fit into lines.
fn text_cells(columns: &mut Columns, chars: &[u8]) {
    /// Columns for a piece of text between its quotes.
    const ROOM: usize = 75;
    let end = chars.iter().position(|&c| c == 0).unwrap_or(chars.len());
    let mut rest = &chars[..end];
    while !rest.is_empty() {
        let mut piece = rest.len().min(ROOM);
        while escaped(&rest[..piece]).len() >= ROOM && piece > 1 {
            piece -= 1;
        }
        let (now, later) = rest.split_at(piece);
        let more = if later.is_empty() { "" } else { " +" };
        columns.add(&format!("\"{}\"{more}", escaped(now)));
        rest = later;
    }
}

fn element(val: &Val) -> String {
    let general = |value: f64, digits| {
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = write_g(&mut text, value, digits);
        text
    };
    match val {
        Val::String(text) => format!("\"{}\"", escaped(text)),
        Val::Char(n) => {
            let byte = *n as u8;
            match byte {
                b' '..=b'~' => format!("{n} = 0x{byte:x} = '{}'", char::from(byte)),
                _ => format!("{n} = 0x{byte:x}"),
            }
        }
        Val::UChar(n) => format!("{n} = 0x{n:x}"),
        Val::Short(n) => format!("{n} = 0x{n:x}"),
        Val::UShort(n) => format!("{n} = 0x{n:x}"),
        Val::Long(n) => format!("{n} = 0x{n:x}"),
        Val::ULong(n) => format!("{n} = 0x{n:x}"),
        Val::Int64(n) => format!("{n} = 0x{n:x}"),
        Val::UInt64(n) => format!("{n} = 0x{n:x}"),
        Val::Float(n) => general((*n).into(), 6),
        Val::Double(n) => general(*n, 12),
        Val::Enum(n) => n.to_string(),
        _ => "\"\"".to_owned(),
    }
}

fn type_of(val: &Val) -> Dbf {
    match val {
        Val::Char(_) => Dbf::Char,
        Val::UChar(_) => Dbf::UChar,
        Val::Short(_) => Dbf::Short,
        Val::UShort(_) => Dbf::UShort,
        Val::Long(_) => Dbf::Long,
        Val::ULong(_) => Dbf::ULong,
        Val::Int64(_) => Dbf::Int64,
        Val::UInt64(_) => Dbf::UInt64,
        Val::Float(_) => Dbf::Float,
        Val::Double(_) => Dbf::Double,
        Val::Enum(_) => Dbf::Enum,
        _ => Dbf::String,
    }
}

/// The types by their numbers (`dbFldTypes.h`).
const TYPES: [(Dbf, &str, usize); 18] = [
    (Dbf::String, "STRING", 40),
    (Dbf::Char, "CHAR", 1),
    (Dbf::UChar, "UCHAR", 1),
    (Dbf::Short, "SHORT", 2),
    (Dbf::UShort, "USHORT", 2),
    (Dbf::Long, "LONG", 4),
    (Dbf::ULong, "ULONG", 4),
    (Dbf::Int64, "INT64", 8),
    (Dbf::UInt64, "UINT64", 8),
    (Dbf::Float, "FLOAT", 4),
    (Dbf::Double, "DOUBLE", 8),
    (Dbf::Enum, "ENUM", 2),
    (Dbf::Menu, "MENU", 2),
    (Dbf::Device, "DEVICE", 2),
    (Dbf::InLink, "INLINK", 80),
    (Dbf::OutLink, "OUTLINK", 80),
    (Dbf::FwdLink, "FWDLINK", 80),
    (Dbf::NoAccess, "NOACCESS", 8),
];

fn number(dbf: Dbf) -> usize {
    TYPES
        .iter()
        .position(|(known, ..)| *known == dbf)
        .unwrap_or(0)
}

pub(super) fn name(dbf: Dbf) -> &'static str {
    TYPES[number(dbf)].1
}

fn bytes(dbf: Dbf) -> usize {
    TYPES[number(dbf)].2
}

/// A cell of `dbpr`; a time is told by itself.
enum Cell {
    Text(String),
    Time(String, Timestamp),
}

pub(super) fn dbpr(run: &mut Run<'_>, command: &str, name: &str, level: i64) -> bool {
    let cells = run.running(command, |ioc, _| match find(ioc, name)? {
        Found::Plain => Err(format!(
            "'{name}' is a PV without a record: dbgf shows its value and fields"
        )),
        Found::Field { id, .. } => match &ioc.db.served {
            Some(served) => Ok(cells(&served.records, id, level)),
            None => Err(format!("PV '{name}' not found")),
        },
    });
    match cells {
        Some(Ok(cells)) => {
            let mut columns = Columns::new(20);
            for cell in cells {
                match cell {
                    Cell::Text(text) => columns.add(&text),
                    Cell::Time(field, stamp) => {
                        let time = match stamp == Timestamp::UNDEFINED {
                            true => "<undefined>".to_owned(),
                            false => run.host.date(stamp, "%Y-%m-%d %H:%M:%S.%9f"),
                        };
                        columns.add(&format!("{field:4}: {time}"));
                    }
                }
            }
            run.print(columns.finish());
            true
        }
        Some(Err(what)) => {
            run.say(what);
            false
        }
        None => false,
    }
}

fn cells(records: &Records, id: u32, level: i64) -> Vec<Cell> {
    let of = records.type_of(id);
    let shown = |(index, field): &(u16, &crate::record::Field)| {
        i64::from(field.interest) <= level && *index != common::RTYP
    };
    let mut fields: Vec<(u16, &crate::record::Field)> =
        (0..).zip(&of.fields).filter(shown).collect();
    fields.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let mut cells = Vec::new();
    for (index, field) in fields {
        let text = match field.dbf {
            Dbf::InLink | Dbf::OutLink | Dbf::FwdLink => match records.link_of(id, index) {
                Some(link) => format!("{} {link}", kind(&link)),
                None => "CONSTANT ".to_owned(),
            },
            Dbf::NoAccess if index == common::TIME => {
                cells.push(Cell::Time(field.name.to_string(), records.state(id).time));
                continue;
            }
            Dbf::NoAccess if index == common::BKPT => "00".to_owned(),
            Dbf::NoAccess => match records.shape(id, index) {
                Some(shape) => {
                    format!("{}[{}]", name(shape.dbf), records.get(id, index).count())
                }
                None if records.dbf(id, index) != Dbf::NoAccess => {
                    records.text(id, index).unwrap_or_default()
                }
                None => continue,
            },
            _ => of_field(records, id, index).unwrap_or_default(),
        };
        cells.push(Cell::Text(format!("{:4}: {text}", field.name)));
    }
    cells
}

fn dbtr(run: &mut Run<'_>, name: &str) -> bool {
    let done = run.running("dbtr", |ioc, now| {
        let Found::Field { id, .. } = find(ioc, name)? else {
            return Err(format!(
                "'{name}' is a PV without a record: it is not processed"
            ));
        };
        let clock = ioc.stamp(now);
        if let Some(served) = &mut ioc.db.served {
            let is_active = served.records.raw(id, common::PACT).as_i64() != 0;
            if is_active {
                return Err("record active".to_owned());
            }
            served.records.set_time(now, clock);
            served.records.process(id);
        }
        ioc.run_records(now, &mut Turn::new(TURN), false);
        ioc.settle(now);
        Ok(())
    });
    match done {
        Some(Ok(())) => dbpr(run, "dbtr", name, 3),
        Some(Err(what)) => {
            run.say(what);
            false
        }
        None => false,
    }
}

fn dba(run: &mut Run<'_>, name: &str) -> bool {
    let shown = run.running("dba", |ioc, _| {
        let (Found::Field { id, field, .. }, Some(served)) = (find(ioc, name)?, &ioc.db.served)
        else {
            return Err(format!("'{name}' is a PV without a record"));
        };
        Ok(address(&served.records, id, field))
    });
    match shown {
        Some(Ok(text)) => {
            run.print(text);
            true
        }
        Some(Err(what)) => {
            run.say(what);
            false
        }
        None => false,
    }
}

fn address(records: &Records, id: u32, field: u16) -> String {
    let of = records.type_of(id);
    let info = match field {
        RTYP => of.field(common::RTYP),
        field => of.field(field),
    };
    let field = if field == RTYP { common::RTYP } else { field };
    let shape = records.shape(id, field);
    let kind = match (&shape, records.dbf(id, field)) {
        (Some(shape), _) => shape.dbf,
        (None, dbf) => dbf,
    };
    let size = match (&shape, kind) {
        (None, Dbf::String) => records.room(id, field),
        (_, kind) => bytes(kind),
    };
    // What clients ask for: choices as ENUM, links as STRING.
    let asked = match kind {
        Dbf::Menu | Dbf::Device => Dbf::Enum,
        kind if kind.is_link() => Dbf::String,
        kind => kind,
    };
    let special = match info.special {
        Special::Plain => 0,
        Special::NoMod => 1,
        Special::DbAddr => 2,
        Special::Scan => 3,
        Special::AlarmAck => 5,
        Special::As => 6,
        Special::Mod => 100,
        Special::Reset => 101,
        Special::LinConv => 102,
        Special::Calc => 103,
    };
    format!(
        "Record Number: {id} Field Number: {field}\n\
         \x20  No Elements: {}\n\
         \x20  Record Type: {}\n\
         \x20   Field Type: {} = DBF_{}\n\
         \x20   Field Size: {size}\n\
         \x20      Special: {special}\n\
         DBR Field Type: {} = DBR_{}\n",
        shape.map_or(1, |shape| shape.capacity),
        of.name,
        number(kind),
        name(kind),
        number(asked),
        name(asked),
    )
}
