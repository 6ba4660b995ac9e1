//! Commands that write: `dbpf`.

use super::commands::{Args, Command, Kind};
use super::fields::{Found, find, usage};
use super::run::Run;
use crate::ioc::Ioc;
use crate::record::json::Json;
use crate::record::{Array, Conversion, Dbf, Special, Val};
use crate::served::RTYP;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "dbpf",
    arguments: &[("record name", Kind::Record), ("value", Kind::Text)],
    usage: "Writes a field, VAL if none is named, and shows it. The record is processed as for clients.\n\
            Arrays are written as [1, 2, 3], and those of characters as a text.\n\n\
            Example: dbpf sr:gap.HIGH 7.5\n\
            \x20        dbpf sr:wave \"[1, 2, 3]\"\n",
    run: dbpf,
}];

fn dbpf(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let (Some(name), Some(value)) = (args.full(0), args.text(1)) else {
        return usage(run, "Usage: dbpf \"pv name\", \"value\"");
    };
    let Some(written) = run.running("dbpf", |ioc, now| {
        let found = find(ioc, name)?;
        let written = match found {
            Found::Plain => ioc
                .post(now, name, value)
                .map_err(|error| error.to_string()),
            Found::Field { id, field, .. } => {
                let stamp = ioc.stamp(now);
                let written = field_put(ioc, (now, stamp), (id, field), value);
                ioc.settle(now);
                written
            }
        };
        Ok::<_, String>(written)
    }) else {
        return false;
    };
    let done = match written {
        Err(missing) => {
            run.say(missing);
            return false;
        }
        Ok(Err(why)) => {
            run.complain(format!("{name}: {why}"));
            false
        }
        Ok(Ok(())) => true,
    };
    // What is there now, written or not.
    run.execute(&["dbgf".to_owned(), name.to_owned()], None) && done
}

fn field_put(
    ioc: &mut Ioc,
    (now, stamp): (ca_proto::Instant, ca_proto::Timestamp),
    (id, field): (u32, u16),
    value: &str,
) -> Result<(), String> {
    let Some(served) = &mut ioc.db.served else {
        return Err("there are no records".to_owned());
    };
    let records = &mut served.records;
    if field == RTYP || records.type_of(id).field(field).special == Special::NoMod {
        return Err("the field cannot be written".to_owned());
    }
    let val = match records.shape(id, field) {
        Some(shape) if shape.capacity > 1 => array(value, shape.dbf)?,
        _ => Val::text(value),
    };
    records.set_time(now, stamp);
    records
        .put(id, field, val)
        .map_err(|error| error.to_string())
}

/// What is written to an array (`dbPutConvertJSON`); a text becomes characters with a NUL.
fn array(text: &str, dbf: Dbf) -> Result<Val, String> {
    if matches!(dbf, Dbf::Char | Dbf::UChar) {
        let chars = text.bytes().chain([0]);
        return Ok(Val::from(Array::UChar(chars.collect())));
    }
    let no_array = || format!("`{text}` is no array; write it as [1, 2, 3]");
    let elements = match Json::parse(text).ok_or_else(no_array)? {
        Json::Array(all) => all,
        Json::Object(_) => return Err(no_array()),
        one => vec![one],
    };
    let texts = elements.iter().map(|one| one.text().map(Val::text));
    let texts: Option<Vec<Val>> = texts.collect();
    let texts = texts.ok_or_else(no_array)?;
    Array::collect(texts, dbf, usize::MAX, &Conversion::PLAIN)
        .map(Val::from)
        .map_err(|error| format!("`{text}`: {error}"))
}
