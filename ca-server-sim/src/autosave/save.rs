//! Making the text of a save file.

use ca_proto::text::printf::write_g;

use crate::ioc::Ioc;
use crate::record::{Array, Dbf, Val};
use crate::served::Served;

/// The text of a save file that is being made, a slice at a time, so that clients do not wait for all of it.
///
/// ```
/// use ca_server_sim::autosave::Save;
/// use ca_server_sim::{Instant, Ioc, Timestamp};
///
/// let mut ioc = Ioc::from_db("record(ao, \"gap\") { field(VAL, 1.5) }")?;
/// ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
/// let fields = ["gap.VAL".to_owned(), "gap.EGU".to_owned()];
/// let mut save = Save::default();
/// save.add(&ioc, &fields);
/// assert_eq!(save.finish("now"), "# canter\tAutomatically generated - DO NOT MODIFY - now\n\
///                                 gap.VAL 1.5\ngap.EGU \n<END>\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Save {
    lines: String,
    missing: usize,
}

impl Save {
    /// Adds fields with their values.
    pub fn add(&mut self, ioc: &Ioc, fields: &[String]) {
        for field in fields {
            match text(ioc, field) {
                Some(value) => self.lines.push_str(&format!("{field} {value}\n")),
                None => {
                    self.missing += 1;
                    self.lines.push_str(&format!("#{field} Not Connected\n"));
                }
            }
        }
    }

    /// The values alone: the same as long as nothing has changed.
    pub fn values(&self) -> &str {
        &self.lines
    }

    /// Fields that are not there.
    pub const fn missing(&self) -> usize {
        self.missing
    }

    /// The file, with its date as a text.
    pub fn finish(self, date: &str) -> String {
        let missing = match self.missing {
            0 => String::new(),
            n => format!("! {n} channel(s) not connected - or not all gets were successful\n"),
        };
        format!(
            "# canter\tAutomatically generated - DO NOT MODIFY - {date}\n{missing}{}<END>\n",
            self.lines
        )
    }
}

/// The value of a field as the module writes it.
fn text(ioc: &Ioc, name: &str) -> Option<String> {
    let (name, long) = match name.strip_suffix('$') {
        Some(name) => (name, true),
        None => (name, false),
    };
    if ioc.db.resolve(name).is_some() {
        let snapshot = ioc.read(name).ok()?;
        return Some(shown(
            &crate::served::from_client(snapshot.value.as_ref()),
            false,
        ));
    }
    let (id, field, modifiers) = ioc.db.find_field_channel(name.as_bytes())?;
    let served = ioc.db.served.as_ref().filter(|_| modifiers.is_empty())?;
    Some(of_field(served, id, field, long))
}

fn of_field(served: &Served, id: u32, field: u16, long: bool) -> String {
    let records = &served.records;
    if field == crate::served::RTYP {
        return records.type_of(id).name.to_string();
    }
    let val = records.get(id, field);
    shown(&val, long)
}

fn shown(val: &Val, long: bool) -> String {
    match val {
        Val::Array(all) => match all.len() {
            0 => String::new(),
            1 => all.get(0).map_or_else(String::new, |one| scalar(&one)),
            _ if long => String::from_utf8_lossy(&characters(all)).into_owned(),
            _ => array(all),
        },
        val => scalar(val),
    }
}

fn characters(all: &Array) -> Vec<u8> {
    let bytes = all.iter().map(|val| val.as_i64() as u8);
    bytes.take_while(|&byte| byte != 0).collect()
}

fn scalar(val: &Val) -> String {
    match val {
        Val::String(text) => crate::shell::escaped(text),
        val => number(val),
    }
}

fn number(val: &Val) -> String {
    let general = |value: f64, digits| {
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = write_g(&mut text, value, digits);
        text
    };
    match val {
        Val::Float(n) => general((*n).into(), 7),
        Val::Double(n) => general(*n, 14),
        Val::Char(n) => n.to_string(),
        Val::UChar(n) => n.to_string(),
        Val::Short(n) => n.to_string(),
        Val::UShort(n) | Val::Enum(n) => n.to_string(),
        Val::Long(n) => n.to_string(),
        Val::ULong(n) => n.to_string(),
        Val::Int64(n) => n.to_string(),
        Val::UInt64(n) => n.to_string(),
        _ => String::new(),
    }
}

fn array(all: &Array) -> String {
    let mut text = "@array@ { ".to_owned();
    for val in all.iter() {
        let element = match (&val, all.dbf()) {
            (Val::String(bytes), Dbf::String) => crate::shell::escaped(bytes),
            (val, _) => number(val),
        };
        text.push_str(&format!("\"{element}\" "));
    }
    text.push('}');
    text
}
