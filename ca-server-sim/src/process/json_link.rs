//! JSON links: constants, expressions, states, and those that are looked into (`lnkConst.c`, `lnkCalc.c`,
//! `lnkState.c`, `lnkDebug.c` of EPICS Base).

use std::collections::HashMap as Names;

use super::database::Records;
use crate::calc::{ARGUMENTS, Expression};
use crate::record::json::Json;
use crate::record::{Array, Conversion, Dbf, Id, Link, PvLink, Val};

/// What a JSON link gives: a value, and the alarm that comes with it.
pub(super) type Given = (Val, (u8, u8));

const LINK_ALARM: u8 = 14;

/// Flags by name, which links and device support `Db State` share (`dbState.c` of EPICS Base).
pub(super) type DbStates = Names<Box<str>, bool>;

/// The value of `{const: …}`.
pub(super) fn constant(json: &Json) -> Option<Vec<Val>> {
    match json.link()? {
        ("const", Json::Array(all)) => all.iter().map(|one| one.text().map(Val::text)).collect(),
        ("const", one) => Some(vec![Val::text(one.text()?)]),
        ("debug" | "trace", inner) => constant(inner),
        _ => None,
    }
}

impl Records {
    /// A flag by its name; one that nobody has set is clear.
    pub fn flag(&self, name: &str) -> bool {
        self.states.get(name).copied().unwrap_or(false)
    }

    /// Whether a flag is set; `None` if there is none: nobody has set it, and no record names it.
    pub(crate) fn known_flag(&self, name: &str) -> Option<bool> {
        self.states.get(name).copied()
    }

    /// All flags.
    pub(crate) fn known_flags(&self) -> Vec<(String, bool)> {
        let all = self.states.iter();
        all.map(|(name, &set)| (name.to_string(), set)).collect()
    }

    /// Makes the flag that a link names.
    pub(super) fn make_flag_of(&mut self, link: &Link) {
        if let Link::Json(text) = link
            && let Some(json) = Json::parse(text)
            && let Some(("state", name)) = json.link()
            && let Some(name) = name.text()
        {
            self.make_flag(name.strip_prefix('!').unwrap_or(name));
        }
    }

    /// Makes a flag, which is clear, unless there is one (`dbStateCreate`).
    pub(super) fn make_flag(&mut self, name: &str) {
        if !self.states.contains_key(name) {
            self.states.insert(name.into(), false);
        }
    }

    /// Sets or clears a flag (`dbStateSet`, `dbStateClear`).
    pub fn set_flag(&mut self, name: &str, value: bool) {
        self.states.insert(name.into(), value);
    }

    /// Reads through a JSON link.
    pub(super) fn read_json(&mut self, id: Id, json: &Json, to: Dbf) -> Option<Given> {
        let (kind, inner) = json.link()?;
        match kind {
            "state" => {
                let name = inner.text()?;
                let (name, inverted) = match name.strip_prefix('!') {
                    Some(name) => (name, true),
                    None => (name, false),
                };
                Some((Val::Short((self.flag(name) != inverted).into()), (0, 0)))
            }
            "calc" => self.calculate(id, inner),
            "debug" | "trace" => {
                let given = self.read_json(id, inner, to);
                let shown = match &given {
                    Some((val, _)) => val.to_text(&Conversion::PLAIN).map_or_else(
                        |error| error.to_string(),
                        |text| String::from_utf8_lossy(&text).into_owned(),
                    ),
                    None => "nothing".to_owned(),
                };
                let line = format!("{}: link {kind} gives {shown}", self.name_of(id));
                self.lines.push_back(line);
                given
            }
            "const" => Some((constant(json)?.into_iter().next()?, (0, 0))),
            // Kinds that lead to PVs.
            "db" | "ca" | "pva" => {
                let name = inner.text().or_else(|| inner.get("pv")?.text())?.to_owned();
                self.read_target(id, &name, to)
            }
            _ => None,
        }
    }

    /// The value and the alarm of a PV by its name and modifiers.
    fn read_target(&mut self, id: Id, text: &str, to: Dbf) -> Option<Given> {
        let Ok(Link::Pv(link)) = Link::parse(text, Dbf::InLink) else {
            return Some((Val::text(text), (0, 0)));
        };
        let PvLink { target, .. } = link;
        let val = self.read_pv(&target, to)?;
        let alarm = match self.find_field(&target) {
            Some((from, _)) if from != id => {
                let record = self.record(from);
                (record.stat, record.sevr)
            }
            _ => (0, 0),
        };
        Some((val, alarm))
    }

    /// `{calc: {expr, args, major, minor}}`
    fn calculate(&mut self, id: Id, calc: &Json) -> Option<Given> {
        let mut arguments = [0.0; ARGUMENTS];
        if let Some(Json::Array(all)) = calc.get("args") {
            for (argument, given) in arguments.iter_mut().zip(all) {
                *argument = match given.number() {
                    Some(number) => number,
                    None => {
                        let (val, _) = match given {
                            Json::Text(name) => self.read_target(id, name, Dbf::Double)?,
                            given => self.read_json(id, given, Dbf::Double)?,
                        };
                        val.convert(Dbf::Double, &Conversion::PLAIN).ok()?.as_f64()
                    }
                };
            }
        }
        let mut evaluate = |name: &str, old: f64| {
            let text = calc.get(name)?.text()?;
            let expression = Expression::parse(text).ok()?;
            expression.evaluate(&mut arguments, old, &mut self.random)
        };
        let value = evaluate("expr", 0.0)?;
        let severity = if evaluate("major", value).is_some_and(|alarm| alarm != 0.0) {
            2
        } else if evaluate("minor", value).is_some_and(|alarm| alarm != 0.0) {
            1
        } else {
            0
        };
        Some((
            Val::Double(value),
            (if severity > 0 { LINK_ALARM } else { 0 }, severity),
        ))
    }

    /// Writes through a JSON link; whether there was anything to write to.
    pub(super) fn write_json(&mut self, id: Id, json: &Json, val: &Val) -> bool {
        match json.link() {
            Some(("state", name)) => {
                let Some(name) = name.text() else {
                    return false;
                };
                let set = match val.first() {
                    Some(Val::String(text)) => !matches!(&*text, b"" | b"0"),
                    Some(val) => val.as_f64() != 0.0,
                    None => false,
                };
                match name.strip_prefix('!') {
                    Some(name) => self.set_flag(name, !set),
                    None => self.set_flag(name, set),
                }
                true
            }
            Some(("const", _)) => true,
            Some((kind @ ("debug" | "trace"), inner)) => {
                let line = format!("{}: link {kind} is written", self.name_of(id));
                self.lines.push_back(line);
                self.write_json(id, inner, val)
            }
            _ => false,
        }
    }
}

/// Of a value as so many elements of this type, or as one.
pub(super) fn shaped(val: &Val, to: Dbf, array: Option<usize>) -> Option<Val> {
    shaped_by(val, to, array, &Conversion::PLAIN)
}

/// The same with texts of its own.
pub(super) fn shaped_by(
    val: &Val,
    to: Dbf,
    array: Option<usize>,
    how: &Conversion<'_>,
) -> Option<Val> {
    match array {
        None => val.convert(to, how).ok(),
        Some(limit) => {
            let all = match val {
                Val::Array(all) => all.converted(to, limit, how),
                val => Array::collect([val.clone()], to, limit, how),
            };
            all.ok().map(Val::from)
        }
    }
}
