//! Reading, writing and processing through links (`dbLink.c`, `dbDbLink.c` of EPICS Base).

use super::chain::{Root, Want};
use super::cx::Got;
use super::database::Records;
use super::json_link::{constant, shaped, shaped_by};
use crate::record::json::Json;
use crate::record::{
    Array, Conversion, Dbf, Id, Link, LinkProcess, LinkSeverity, LinkTo, Part, PvLink, Val, common,
};

/// Status of an alarm that a link raises.
pub(super) const LINK_ALARM: u8 = 14;

impl Records {
    /// Does what a stage wants; a record that has to be processed first, or thereafter.
    pub(super) fn perform(&mut self, id: Id, want: &Want) -> Option<Id> {
        match want {
            Want::Get { link, .. } => {
                let target = self
                    .link(id, *link)
                    .and_then(|link| self.passive_source(link));
                if target.is_none() {
                    self.take(id, want);
                }
                target
            }
            Want::Put { link, val } => self.put_through(id, *link, val),
            Want::PutAndWait { link, val, stage } => {
                match self
                    .link(id, *link)
                    .map(|link| (link.to, link.target.clone()))
                {
                    Some((LinkTo::Local(to, at), _)) => {
                        self.put_for_record(id, *stage, to, at, val.clone());
                    }
                    Some((_, target)) => self.put_elsewhere(id, *stage, &target, val),
                    None => self.chain.roots.push_back(Root::Resume(id, *stage)),
                }
                None
            }
            Want::ProcessAndWait { link, stage } => {
                match self.link(id, *link).map(|link| link.to) {
                    Some(LinkTo::Local(to, _)) if self.record(to).scan == 0 => {
                        self.put_for_record(id, *stage, to, common::PROC, Val::UChar(1));
                    }
                    _ => self.chain.roots.push_back(Root::Resume(id, *stage)),
                }
                None
            }
            Want::PutPv { name, val, stage } => {
                match self.find_field(name) {
                    Some((to, at)) => self.put_for_record(id, *stage, to, at, val.clone()),
                    None => self.put_elsewhere(id, *stage, name, val),
                }
                None
            }
            Want::Event(name) => {
                self.post_event(name);
                None
            }
            Want::Forward { link } => {
                let link = self.link(id, *link)?;
                match link.to {
                    LinkTo::Local(to, _) if self.record(to).scan == 0 => Some(to),
                    LinkTo::Local(..) | LinkTo::Unknown => None,
                    LinkTo::Remote => {
                        // Others than PROC are not written, and nobody is told of either (`scanForward`).
                        let target = link.target.clone();
                        if is_proc(&target) {
                            self.put_remote_pv(&target, &Val::Short(1));
                        }
                        None
                    }
                }
            }
        }
    }

    /// Writes a PV of another IOC, and waits for what that sets in motion.
    fn put_elsewhere(&mut self, id: Id, stage: u8, target: &str, val: &Val) {
        if !self.put_remote_and_wait(id, stage, target, val) {
            self.set_severity(id, LINK_ALARM, 3, "");
            self.chain.roots.push_back(Root::Resume(id, stage));
        }
    }

    /// A PV by its name, as this type.
    pub(super) fn read_pv(&mut self, name: &str, to: Dbf) -> Option<Val> {
        if let Some((id, field)) = self.find_field(name) {
            let (_, part) = Part::split(name.split_once('.').map_or("", |(_, field)| field));
            return match part.is_all() {
                true => self.read_as(id, field, to).ok(),
                false => part
                    .of(self.get(id, field))
                    .convert(to, &Conversion::PLAIN)
                    .ok(),
            };
        }
        let remote = self.read_named(name, to)?;
        remote.val.convert(to, &Conversion::PLAIN).ok()
    }

    /// The link to a PV that a field has.
    fn link(&self, id: Id, field: u16) -> Option<&PvLink> {
        match self.record(id).fields.get(field)? {
            Val::Link(link) => match &**link {
                Link::Pv(link) => Some(link),
                _ => None,
            },
            _ => None,
        }
    }

    /// The PV of another IOC that a link leads to.
    pub(super) fn remote_name(&self, id: Id, field: u16) -> Option<Box<str>> {
        let link = self.link(id, field)?;
        (link.to == LinkTo::Remote).then(|| link.target.clone())
    }

    /// `dbGetLinkDBFtype`
    pub(super) fn linked_dbf(&self, id: Id, field: u16) -> Option<Dbf> {
        let link = self.link(id, field)?;
        match link.to {
            LinkTo::Local(to, at) => Some(match self.dbf(to, at) {
                _ if link.part.characters => Dbf::UChar,
                dbf if dbf.is_link() => Dbf::String,
                dbf => dbf,
            }),
            LinkTo::Remote | LinkTo::Unknown => Some(self.remote_shape(&link.target)?.0),
        }
    }

    /// `dbGetNelements`: the room of a field of this IOC.
    pub(super) fn linked_count(&self, id: Id, field: u16) -> Option<usize> {
        let link = self.link(id, field)?;
        match link.to {
            LinkTo::Local(to, at) => Some(self.shape(to, at).map_or(1, |shape| shape.capacity)),
            LinkTo::Remote | LinkTo::Unknown => Some(self.remote_shape(&link.target)?.1),
        }
    }

    fn passive_source(&self, link: &PvLink) -> Option<Id> {
        match link.to {
            LinkTo::Local(to, _)
                if link.process == LinkProcess::Passive && self.record(to).scan == 0 =>
            {
                Some(to)
            }
            _ => None,
        }
    }

    /// Reads through a link whose target, if it had to be, has been processed.
    pub(super) fn take(&mut self, id: Id, want: &Want) {
        let Want::Get {
            link,
            to,
            into,
            array,
        } = want
        else {
            return;
        };
        let got = self.read_link(id, *link, *to, *array);
        if let (Got::Val(val), Some(into)) = (&got, into) {
            let of = self.type_of(id).clone();
            self.record_mut(id).set(&of, *into, val.clone());
        }
        self.chain.got.push(got);
    }

    fn read_link(&mut self, id: Id, field: u16, to: Dbf, array: Option<usize>) -> Got {
        let Some(link) = self.link(id, field) else {
            return match self.record(id).fields.get(field) {
                None => Got::Nothing,
                Some(Val::Link(link)) if link.is_constant() => Got::Nothing,
                Some(Val::Link(link)) if matches!(**link, Link::Json(_)) => {
                    let link = link.clone();
                    self.read_json_link(id, field, &link, to, array)
                }
                // Addresses of devices, and JSON links that lead nowhere, have no value.
                Some(_) => Got::Failed,
            };
        };
        let (severity, part) = (link.severity, link.part);
        let follows = matches!(
            link.process,
            LinkProcess::Change | LinkProcess::ChangeIfPassive
        );
        let read = match link.to {
            // What it was told, which may be older than what is there.
            LinkTo::Local(from, at) if follows && from != id => {
                let seen = self.seen.get(&(id, field)).cloned();
                seen.filter(|seen| !matches!(seen.val, Val::None))
                    .and_then(|seen| {
                        let val = part.of(match seen.val {
                            Val::Link(link) => Val::text(link.to_string()),
                            val => val,
                        });
                        let how = |val: &Val, how: &Conversion<'_>| shaped_by(val, to, array, how);
                        let val = self.view(from).convert_as(at, &val, how)?;
                        Some((val, (seen.stat, seen.sevr), false))
                    })
            }
            LinkTo::Local(from, at) => {
                let read = match array {
                    _ if !part.is_all() => {
                        let val = part.of(self.get(from, at));
                        shaped(&val, to, array).ok_or(ca_proto::dbr::ConvertError::Unsupported)
                    }
                    Some(limit) => self.read_array(from, at, to, limit),
                    None => self.read_as(from, at, to),
                };
                let source = self.record(from);
                let alarm = (source.stat, source.sevr);
                read.ok().map(|val| (val, alarm, from == id))
            }
            LinkTo::Remote | LinkTo::Unknown => {
                let target = link.target.clone();
                let remote = self.read_remote(&target, to);
                remote.and_then(|remote| {
                    let val = shaped(&remote.val, to, array)?;
                    Some((val, (remote.stat as u8, remote.sevr as u8), false))
                })
            }
        };
        let Some((val, (stat, sevr), own)) = read else {
            self.link_alarm(id, field);
            return Got::Failed;
        };
        if !own {
            self.inherit(id, severity, stat, sevr);
        }
        Got::Val(val)
    }

    fn read_json_link(
        &mut self,
        id: Id,
        field: u16,
        link: &Link,
        to: Dbf,
        array: Option<usize>,
    ) -> Got {
        let Link::Json(text) = link else {
            return Got::Failed;
        };
        let given = Json::parse(text).and_then(|json| self.read_json(id, &json, to));
        let read = given.and_then(|(val, alarm)| Some((shaped(&val, to, array)?, alarm)));
        match read {
            Some((val, (stat, sevr))) => {
                self.set_severity(id, stat, sevr, "");
                Got::Val(val)
            }
            None => {
                self.link_alarm(id, field);
                Got::Failed
            }
        }
    }

    /// An alarm of a link that cannot be used (`setLinkAlarm`).
    pub(super) fn link_alarm(&mut self, id: Id, field: u16) {
        let name = &self.type_of(id).field(field).name;
        let message = format!("field {name}");
        self.set_severity(id, LINK_ALARM, 3, &message);
    }

    /// `recGblInheritSevr`.
    fn inherit(&mut self, id: Id, severity: LinkSeverity, stat: u8, sevr: u8) {
        match severity {
            LinkSeverity::Ignore => {}
            LinkSeverity::Invalid if sevr < 3 => {}
            LinkSeverity::Invalid | LinkSeverity::Maximize => {
                self.set_severity(id, LINK_ALARM, sevr, "")
            }
            LinkSeverity::Status => self.set_severity(id, stat, sevr, ""),
        }
    }

    fn put_through(&mut self, id: Id, field: u16, val: &Val) -> Option<Id> {
        let Some(link) = self.link(id, field) else {
            let done = match self.record(id).fields.get(field) {
                None => true,
                Some(Val::Link(link)) => match &**link {
                    Link::Json(text) => {
                        let json = Json::parse(text);
                        json.is_some_and(|json| self.write_json(id, &json, val))
                    }
                    link => link.is_constant(),
                },
                Some(_) => false,
            };
            self.chain
                .got
                .push(if done { Got::Nothing } else { Got::Failed });
            return None;
        };
        let LinkTo::Local(to, at) = link.to else {
            let done = self.put_remote(id, field, val);
            self.chain
                .got
                .push(if done { Got::Nothing } else { Got::Failed });
            return None;
        };
        let (severity, process) = (link.severity, link.process);
        let text = match val {
            // Characters are a text again.
            Val::Array(all) if link.part.characters => {
                let mut bytes: Vec<u8> = all.iter().map(|c| c.as_i32() as u8).collect();
                let end = bytes.iter().position(|&c| c == 0).unwrap_or(bytes.len());
                bytes.truncate(end);
                Some(Val::text(bytes))
            }
            _ => None,
        };
        let result = self.db_put(to, at, text.as_ref().unwrap_or(val));
        let source = self.record(id);
        let (nsta, nsev) = (source.nsta, source.nsev);
        self.inherit(to, severity, nsta, nsev);
        if result.is_err() {
            self.link_alarm(id, field);
            self.chain.got.push(Got::Failed);
            return None;
        }
        self.chain.got.push(Got::Nothing);
        let passive = process == LinkProcess::Passive && self.record(to).scan == 0;
        (at == common::PROC || passive).then_some(to)
    }

    fn put_remote(&mut self, id: Id, field: u16, val: &Val) -> bool {
        let Some(target) = self.link(id, field).map(|link| link.target.clone()) else {
            return false;
        };
        let done = self.put_remote_pv(&target, val);
        if !done {
            self.link_alarm(id, field);
        }
        done
    }

    /// The elements of a field as another type.
    pub(super) fn read_array(
        &self,
        id: Id,
        field: u16,
        to: Dbf,
        limit: usize,
    ) -> Result<Val, ca_proto::dbr::ConvertError> {
        let view = self.view(id);
        view.with_conversion(field, |val, how| {
            Ok(match val {
                Val::Array(all) => Val::from(all.converted(to, limit, how)?),
                val => Val::from(Array::collect([val.clone()], to, limit, how)?),
            })
        })
    }

    /// Loads a constant link, at the start (`dbLoadLink`): `None` if it has no value.
    pub(super) fn load_constant(&self, id: Id, field: u16, to: Dbf) -> Option<Val> {
        self.load_array(id, field, to, 1)?.first()
    }

    /// Loads a text: a number gives none, of an array its first element if it is one
    /// (`dbLSConvertJSON`).
    pub(super) fn load_text(&self, id: Id, field: u16) -> Option<Vec<u8>> {
        let Val::Link(link) = self.record(id).fields.get(field)? else {
            return None;
        };
        match &**link {
            Link::Constant(text) if text.is_empty() => None,
            Link::Constant(text) => match text.strip_prefix('[') {
                Some(inner) if !inner.trim_start().starts_with(['"', '\'']) => None,
                Some(_) => Some(
                    self.load_constant(id, field, Dbf::String)?
                        .as_text()
                        .to_vec(),
                ),
                None => Some(Vec::new()),
            },
            _ => Some(
                self.load_constant(id, field, Dbf::String)?
                    .as_text()
                    .to_vec(),
            ),
        }
    }

    /// Loads a constant link into an array (`dbLoadLinkArray`).
    pub(super) fn load_array(&self, id: Id, field: u16, to: Dbf, limit: usize) -> Option<Val> {
        let Val::Link(link) = self.record(id).fields.get(field)? else {
            return None;
        };
        if let Link::Json(text) = &**link {
            let vals = constant(&Json::parse(text)?)?;
            let to = if to.is_choice() { Dbf::UShort } else { to };
            let all = Array::collect(vals, to, limit, &Conversion::PLAIN);
            return all.ok().map(Val::from);
        }
        let Link::Constant(text) = &**link else {
            return None;
        };
        if text.is_empty() {
            return None;
        }
        let to = if to.is_choice() { Dbf::UShort } else { to };
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let vals = inner.map_or_else(|| vec![Val::text(&**text)], constants);
        Array::collect(vals, to, limit, &Conversion::PLAIN)
            .ok()
            .map(Val::from)
    }
}

/// Whether a forward link to another IOC may process what it leads to.
fn is_proc(target: &str) -> bool {
    target
        .rsplit_once('.')
        .is_some_and(|(_, field)| field.contains("PROC"))
}

/// The elements of an array in a link: numbers, and texts in quotes.
fn constants(inner: &str) -> Vec<Val> {
    let mut vals = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        if let Some(quote) = quote {
            let body = &rest[1..];
            let mut escaped = false;
            let end = body.find(|c| {
                let ends = c == quote && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.unwrap_or(body.len());
            vals.push(Val::text(ca_proto::text::unescape(&body.as_bytes()[..end])));
            rest = body
                .get(end + 1..)
                .unwrap_or("")
                .trim_start()
                .trim_start_matches(',')
                .trim_start();
        } else {
            let (element, after) = rest.split_once(',').unwrap_or((rest, ""));
            vals.push(Val::text(element.trim()));
            rest = after.trim_start();
        }
    }
    vals
}
