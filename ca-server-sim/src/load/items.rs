//! Definitions in `.dbd` files: menus, record types, devices and the like.

use std::sync::Arc;

use super::dbd::{
    BreakTable, Device, FieldSpec, FieldType, LinkType, Menu, Named, RecordTypeSpec, Special,
};
use super::lexer::{Keyword, Kind};
use super::mistakes::MistakeKind;
use super::number;
use super::parser::{Lost, Name, Parsed, Parser};
use super::source::{Place, shown};
use super::value::{closest, did_you_mean};
use crate::slip::Weight;

/// Fields that a record type may have: their numbers have 16 bits with a sign in the reference.
const MAX_FIELDS: usize = 4096;

const NAMES_OF_ATTRIBUTES: &[&str] = &[
    "asl",
    "initial",
    "promptgroup",
    "prompt",
    "special",
    "pp",
    "interest",
    "base",
    "size",
    "extra",
    "menu",
    "prop",
];

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

impl Parser<'_, '_> {
    /// A definition behind its first word.
    pub(super) fn definition(&mut self, keyword: Keyword) -> Parsed {
        match keyword {
            Keyword::Menu => self.menu(),
            Keyword::RecordType => self.record_type(),
            Keyword::BreakTable => self.break_table(),
            Keyword::Device => self.device(),
            Keyword::Link => {
                let [name, support] =
                    self.arguments(["the name of a type of link", "the name of its support"])?;
                let links = &mut self.loader.dbd.links;
                links
                    .entry(text(&name.text))
                    .or_insert_with(|| text(&support.text));
                Ok(())
            }
            Keyword::Variable => self.variable(),
            Keyword::Driver | Keyword::Registrar | Keyword::Function => {
                let [name] = self.arguments(["a name"])?;
                let what = match keyword {
                    Keyword::Driver => Named::Driver,
                    Keyword::Registrar => Named::Registrar,
                    _ => Named::Function,
                };
                if self.is_given(&name, "the name") {
                    self.loader.dbd.add_name(what, text(&name.text));
                }
                Ok(())
            }
            other => Err(self.wrong(format!("`{}` cannot stand here", other.text()), "")),
        }
    }

    /// `(A, B, …)`.
    fn arguments<const COUNT: usize>(&mut self, what: [&str; COUNT]) -> Parsed<[Name; COUNT]> {
        let mut names: [Name; COUNT] = std::array::from_fn(|_| Name::default());
        let mut before = b'(';
        for (name, what) in names.iter_mut().zip(what) {
            self.punctuation(before)?;
            self.string_into(name, what)?;
            before = b',';
        }
        self.punctuation(b')')?;
        Ok(names)
    }

    fn is_given(&mut self, name: &Name, what: &str) -> bool {
        if name.text.is_empty() {
            self.bad(name, format!("{what} is empty"), "");
        }
        !name.text.is_empty()
    }

    fn bad(&mut self, name: &Name, message: impl Into<String>, remedy: impl Into<String>) {
        if let Some(place) = name.place {
            self.refuse(
                MistakeKind::Definition,
                place,
                message.into(),
                remedy.into(),
            );
        }
    }

    fn warn(&mut self, place: Option<Place>, message: String) {
        if let Some(place) = place {
            self.report(Weight::Warning, MistakeKind::Definition, place, message, "");
        }
    }

    /// Entries in braces until the one that closes; goes on behind mistakes.
    fn body(
        &mut self,
        what: &str,
        entries: &[Keyword],
        mut entry: impl FnMut(&mut Self) -> Parsed,
    ) -> Parsed {
        self.punctuation(b'{')?;
        let open = self.lexer.place(self.word);
        loop {
            self.advance();
            match self.word.kind {
                Kind::Punctuation(b'}') => return Ok(()),
                Kind::End => {
                    let message = format!("the `{{` of this {what} is not closed");
                    self.report(
                        Weight::Error,
                        MistakeKind::Syntax,
                        open,
                        message,
                        "add the `}`",
                    );
                    return Ok(());
                }
                _ => {}
            }
            if entry(self).is_err() && !self.recover_entry(entries) {
                return Ok(());
            }
        }
    }

    /// Looks for the next entry, on a line of its own; whether there is one. What begins no entry of this body, but one
    /// of what is around it, ends the body: nothing is looked at twice.
    fn recover_entry(&mut self, entries: &[Keyword]) -> bool {
        loop {
            match self.word.kind {
                Kind::End => return false,
                Kind::Punctuation(b'}') if self.word.first => {
                    self.unread = true;
                    return true;
                }
                Kind::Keyword(keyword) if self.word.first => {
                    self.unread = true;
                    return entries.contains(&keyword);
                }
                _ => self.advance(),
            }
        }
    }

    fn menu(&mut self) -> Parsed {
        let [name] = self.arguments(["the name of a menu"])?;
        self.is_given(&name, "the name of the menu");
        let mut choices: Vec<(Box<str>, Box<[u8]>)> = Vec::new();
        self.body(
            "menu",
            &[Keyword::Choice, Keyword::Include],
            |parser| match parser.word.kind {
                Kind::Keyword(Keyword::Choice) => {
                    let [id, choice] =
                        parser.arguments(["the identifier of a choice", "the text of a choice"])?;
                    let place = id.place.unwrap_or_else(|| parser.lexer.place(parser.word));
                    if parser.is_given(&id, "the identifier of the choice") && parser.count(place) {
                        choices.push((text(&id.text), choice.text.into()));
                    }
                    Ok(())
                }
                Kind::Keyword(Keyword::Include) => parser.include(),
                _ => Err(parser.unexpected("`choice(`, or the `}` of the menu")),
            },
        )?;
        if choices.is_empty() {
            self.bad(
                &name,
                format!("menu `{}` has no choices", shown(&name.text)),
                "",
            );
        }
        self.loader.dbd.add_menu(Menu {
            name: text(&name.text),
            choices,
        });
        Ok(())
    }

    fn record_type(&mut self) -> Parsed {
        let [name] = self.arguments(["the name of a record type"])?;
        self.is_given(&name, "the name of the record type");
        let known = self.loader.dbd.find_type(&name.text).is_some();
        let mut fields: Vec<FieldSpec> = Vec::new();
        let mut seen = hashbrown::HashSet::new();
        let mut any = false;
        self.body(
            "record type",
            &[Keyword::Field, Keyword::Include],
            |parser| {
                any = true;
                match parser.word.kind {
                    Kind::Keyword(Keyword::Field) => {
                        let field = parser.field_spec()?;
                        let Some((field, place)) = field else {
                            return Ok(());
                        };
                        if fields.len() >= MAX_FIELDS {
                            let message = format!(
                                "record type `{}` has more than {MAX_FIELDS} fields",
                                shown(&name.text)
                            );
                            parser.refuse(MistakeKind::Bound, place, message, String::new());
                            return Err(Lost);
                        }
                        if !seen.insert(Arc::clone(&field.name)) {
                            let message = format!("field `{}` is described twice", field.name);
                            parser.report(
                                Weight::Warning,
                                MistakeKind::Duplicate,
                                place,
                                message,
                                "",
                            );
                        }
                        fields.push(field);
                        Ok(())
                    }
                    Kind::Keyword(Keyword::Include) => parser.include(),
                    Kind::Definition => Ok(()),
                    _ => Err(parser.unexpected("`field(`, or the `}` of the record type")),
                }
            },
        )?;
        if known {
            return Ok(());
        }
        if !any {
            let message = format!(
                "record type `{}` is declared before it is described",
                shown(&name.text)
            );
            self.bad(&name, message, "read the file that describes it first");
            return Ok(());
        }
        for field in &fields {
            let lacks = match (field.kind, field.size, field.extra.is_empty()) {
                (FieldType::String, 0, _) => "size",
                (FieldType::NoAccess, _, true) => "extra",
                _ => continue,
            };
            self.warn(
                name.place,
                format!(
                    "field `{}` of type {} has no `{lacks}`",
                    field.name,
                    field.kind.name()
                ),
            );
        }
        let name = text(&name.text);
        self.loader
            .dbd
            .add_type(RecordTypeSpec::new(&*name, fields));
        Ok(())
    }

    /// `(NAME, TYPE) { … }`; nothing if it is wrong and was told.
    fn field_spec(&mut self) -> Parsed<Option<(FieldSpec, Place)>> {
        let [name, kind] = self.arguments(["the name of a field", "the type of the field"])?;
        let place = name.place.unwrap_or_else(|| self.lexer.place(self.word));
        let mut is_good = self.is_given(&name, "the name of the field") && self.count(place);
        let field_type = FieldType::named(&kind.text).unwrap_or_else(|| {
            is_good = false;
            let near = closest(
                &String::from_utf8_lossy(&kind.text),
                FieldType::ALL.into_iter().map(FieldType::name),
            );
            let message = format!("there is no type of fields `{}`", shown(&kind.text));
            self.bad(&kind, message, did_you_mean(near));
            FieldType::NoAccess
        });
        let mut field = FieldSpec {
            name: text(&name.text).into(),
            kind: field_type,
            prompt: "".into(),
            promptgroup: "".into(),
            size: 0,
            menu: None,
            initial: None,
            asl: 1,
            special: Special::None,
            pp: false,
            prop: false,
            interest: 0,
            is_hex: false,
            extra: "".into(),
        };
        let mut any = false;
        self.body("field", &[], |parser| {
            any = true;
            let mut name = Name::default();
            match parser.word.kind {
                Kind::Keyword(Keyword::Menu) => name.text.extend_from_slice(b"menu"),
                _ => parser.taken_into(&mut name, "an attribute of the field")?,
            }
            let [value] = parser.arguments(["the value of the attribute"])?;
            parser.attribute(&mut field, &name, &value);
            Ok(())
        })?;
        if !any {
            self.bad(
                &name,
                "a field needs one attribute at least",
                "such as prompt(\"…\")",
            );
        }
        Ok(is_good.then_some((field, place)))
    }

    fn attribute(&mut self, field: &mut FieldSpec, name: &Name, value: &Name) {
        let given = value.text.as_slice();
        let wrong = match &*name.text {
            b"asl" => match given {
                b"ASL0" => {
                    let _: () = field.asl = 0;
                    Ok(())
                }
                b"ASL1" => {
                    let _: () = field.asl = 1;
                    Ok(())
                }
                _ => Err("ASL0 or ASL1"),
            },
            b"initial" => {
                let _: () = field.initial = Some(given.into());
                Ok(())
            }
            b"promptgroup" => {
                let _: () = field.promptgroup = text(given);
                Ok(())
            }
            b"prompt" => {
                let _: () = field.prompt = text(given);
                Ok(())
            }
            b"extra" => {
                let _: () = field.extra = text(given);
                Ok(())
            }
            b"special" => Special::named(given)
                .map(|special| field.special = special)
                .ok_or("a name such as SPC_MOD, or a number"),
            b"pp" => match given {
                b"YES" | b"TRUE" => {
                    let _: () = field.pp = true;
                    Ok(())
                }
                b"NO" | b"FALSE" => {
                    let _: () = field.pp = false;
                    Ok(())
                }
                _ => Err("TRUE or FALSE"),
            },
            b"prop" => {
                let _: () = field.prop = given == b"YES";
                Ok(())
            }
            b"interest" => number::leading_integer(given)
                .map(|number| field.interest = number as i16)
                .ok_or("an integer"),
            b"size" => number::leading_integer(given)
                .map(|number| field.size = number as i16)
                .ok_or("an integer"),
            b"base" => match given {
                b"DECIMAL" => {
                    let _: () = field.is_hex = false;
                    Ok(())
                }
                b"HEX" => {
                    let _: () = field.is_hex = true;
                    Ok(())
                }
                _ => Err("DECIMAL or HEX"),
            },
            b"menu" => {
                let wanted = String::from_utf8_lossy(given);
                field.menu = self.loader.dbd.menu(&wanted).cloned();
                if field.menu.is_none() {
                    let known: Vec<Arc<Menu>> = self.loader.dbd.menus().cloned().collect();
                    let remedy = match closest(&wanted, known.iter().map(|menu| &*menu.name)) {
                        Some(near) => did_you_mean(Some(near)),
                        None => "a menu has to be described before it is used".into(),
                    };
                    self.bad(
                        value,
                        format!("there is no menu `{}`", shown(given)),
                        remedy,
                    );
                }
                Ok(())
            }
            _ => {
                let near = closest(
                    &String::from_utf8_lossy(&name.text),
                    NAMES_OF_ATTRIBUTES.iter().copied(),
                );
                let message = format!(
                    "`{}` is no attribute of fields and is left out",
                    shown(&name.text)
                );
                if let Some(place) = name.place {
                    self.report(
                        Weight::Warning,
                        MistakeKind::Definition,
                        place,
                        message,
                        did_you_mean(near),
                    );
                }
                Ok(())
            }
        };
        if let Err(wanted) = wrong {
            let message = format!("`{}` cannot be `{}`", shown(&name.text), shown(given));
            self.bad(value, message, format!("write {wanted}"));
        }
    }

    fn device(&mut self) -> Parsed {
        let [kind, link, support, choice] = self.arguments([
            "a record type",
            "the type of its link",
            "the name of its support",
            "the text for DTYP",
        ])?;
        let link_type = LinkType::named(&link.text);
        if link_type.is_none() {
            let message = format!("there is no type of link `{}`", shown(&link.text));
            self.bad(&link, message, "such as CONSTANT, INST_IO, VME_IO");
        }
        let known = self.loader.dbd.find_type(&kind.text);
        if known.is_none() {
            let wanted = String::from_utf8_lossy(&kind.text);
            let near = closest(
                &wanted,
                self.loader.dbd.types().iter().map(|one| &*one.name),
            );
            let near = did_you_mean(near);
            let message = format!(
                "device `{}` is for the unknown record type `{}`",
                shown(&choice.text),
                shown(&kind.text)
            );
            self.bad(&kind, message, near);
        }
        if let (Some(link), Some(spec)) = (link_type, self.loader.dbd.record_type_mut(&kind.text)) {
            spec.add_device(Device {
                choice: choice.text.into(),
                support: text(&support.text),
                link,
            });
        }
        Ok(())
    }

    fn variable(&mut self) -> Parsed {
        self.punctuation(b'(')?;
        let name = self.string("the name of a variable")?;
        self.advance();
        let mut kind = "int".into();
        if self.word.kind == Kind::Punctuation(b',') {
            kind = text(&self.string("the type of the variable")?.text);
            self.advance();
        }
        if self.word.kind != Kind::Punctuation(b')') {
            return Err(self.unexpected("`)`"));
        }
        if self.is_given(&name, "the name of the variable") {
            self.loader
                .dbd
                .variables
                .entry(text(&name.text))
                .or_insert(kind);
        }
        Ok(())
    }

    fn break_table(&mut self) -> Parsed {
        let [name] = self.arguments(["the name of a break table"])?;
        let mut is_good = self.is_given(&name, "the name of the break table");
        let mut numbers: Vec<f64> = Vec::new();
        let mut comma = true;
        self.body("break table", &[], |parser| {
            if parser.word.kind == Kind::Punctuation(b',') && !comma {
                comma = true;
                return Ok(());
            }
            comma = false;
            let mut item = Name::default();
            parser.taken_into(&mut item, "a number")?;
            let place = item
                .place
                .unwrap_or_else(|| parser.lexer.place(parser.word));
            match number::real(&item.text).ok() {
                Some(number) if parser.count(place) => numbers.push(number),
                Some(_) => {}
                None => {
                    is_good = false;
                    parser.bad(
                        &item,
                        format!("`{}` is not a number", shown(&item.text)),
                        "",
                    );
                }
            }
            Ok(())
        })?;
        let whole = shown(&name.text);
        if self.loader.dbd.break_table(&text(&name.text)).is_some() || !is_good {
            return Ok(());
        }
        if comma && !numbers.is_empty() {
            self.bad(
                &name,
                format!("a comma stands at the end of break table `{whole}`"),
                "",
            );
            return Ok(());
        }
        if numbers.len() % 2 == 1 {
            let message =
                format!("break table `{whole}` has a raw number without what it stands for");
            self.bad(&name, message, "");
            return Ok(());
        }
        let points: Vec<(f64, f64)> = numbers
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect();
        if let Some(message) = table_problem(&points) {
            self.bad(&name, format!("break table `{whole}` {message}"), "");
            return Ok(());
        }
        self.loader.dbd.add_break_table(BreakTable {
            name: text(&name.text),
            points,
        });
        Ok(())
    }
}

/// Why points are no table (`dbBreakBody`).
fn table_problem(points: &[(f64, f64)]) -> Option<&'static str> {
    if points.len() < 2 {
        return Some("has fewer than two points");
    }
    let mut down = None;
    for pair in points.windows(2) {
        let slope = (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0);
        if slope == 0.0 {
            return Some("has two points of the same value");
        }
        if *down.get_or_insert(slope < 0.0) != (slope < 0.0) {
            return Some("goes up and down");
        }
    }
    None
}
