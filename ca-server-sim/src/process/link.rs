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

    /// Reads through a link whose target was processed for that. One whose device failed gives nothing
    /// (`dbDbGetValue`).
    pub(super) fn take_processed(&mut self, id: Id, want: &Want) {
        if let Want::Get { link, quiet, .. } = want
            && self
                .target(id, *link)
                .is_some_and(|to| self.record(to).failed)
        {
            if !quiet {
                self.link_alarm(id, *link);
            }
            self.note_failure(id, *link);
            return self.chain.got.push(Got::Failed);
        }
        self.take(id, want);
    }

    /// A record to which another one has written has been processed; a device of it that failed counts for
    /// the writer's link (`dbDbPutValue`).
    pub(super) fn written(&mut self, from: Id, link: u16, to: Id) {
        if !self.record(to).failed {
            return;
        }
        self.link_alarm(from, link);
        self.note_failure(from, link);
        if let Some(got) = self.chain.got.last_mut() {
            *got = Got::Failed;
        }
    }

    fn target(&self, id: Id, field: u16) -> Option<Id> {
        match self.link(id, field)?.to {
            LinkTo::Local(to, _) => Some(to),
            _ => None,
        }
    }

    /// A link could not be used. If it is the device's, and the device support of the reference says so, the
    /// processing of the record has failed.
    fn note_failure(&mut self, id: Id, field: u16) {
        let of = self.type_of(id);
        let failed = match &*of.field(field).name {
            "SIOL" => true,
            "INP" => matches!(
                &*of.name,
                "ai" | "bi"
                    | "longin"
                    | "int64in"
                    | "stringin"
                    | "mbbi"
                    | "mbbiDirect"
                    | "lsi"
                    | "event"
                    | "aai"
                    | "waveform"
            ),
            "OUT" => matches!(&*of.name, "ao" | "bo" | "stringout" | "lso" | "printf"),
            _ => false,
        };
        self.record_mut(id).failed |= failed;
    }

    /// Reads into a field through a link whose target needs no processing; whether that is so.
    pub(super) fn take_at_once(&mut self, id: Id, link: u16, into: u16) -> bool {
        let source = self.link(id, link).and_then(|pv| self.passive_source(pv));
        if source.is_some() {
            return false;
        }
        let to = self.type_of(id).field(into).dbf;
        let got = self.try_link(id, link, to, None);
        match &got {
            Got::Failed => {
                self.link_alarm(id, link);
                self.note_failure(id, link);
            }
            Got::Val(val) => self.store_val(id, into, val.clone()),
            Got::Nothing => {}
        }
        self.chain.got.push(got);
        true
    }

    /// Reads through a link whose target, if it had to be, has been processed.
    pub(super) fn take(&mut self, id: Id, want: &Want) {
        let Want::Get {
            link,
            to,
            into,
            array,
            quiet,
        } = want
        else {
            return;
        };
        let got = self.try_link(id, *link, *to, *array);
        if got.failed() {
            if !quiet {
                self.link_alarm(id, *link);
            }
            self.note_failure(id, *link);
        }
        if let (Got::Val(val), Some(into)) = (&got, into) {
            self.store_val(id, *into, val.clone());
        }
        self.chain.got.push(got);
    }

    /// Reads through a link without processing what it leads to; a link that cannot be used raises the alarm
    /// (`dbGetLink`).
    pub(super) fn read_link(&mut self, id: Id, field: u16, to: Dbf) -> Got {
        let got = self.try_link(id, field, to, None);
        if got.failed() {
            self.link_alarm(id, field);
        }
        got
    }

    /// The same without an alarm of its own (`dbTryGetLink`).
    fn try_link(&mut self, id: Id, field: u16, to: Dbf, array: Option<usize>) -> Got {
        let Some(link) = self.link(id, field) else {
            return match self.record(id).fields.get(field) {
                None => Got::Nothing,
                Some(Val::Link(link)) if link.is_constant() => Got::Nothing,
                Some(Val::Link(link)) if matches!(**link, Link::Json(_)) => {
                    let link = link.clone();
                    self.read_json_link(id, &link, to, array)
                }
                // Addresses of devices, and JSON links that lead nowhere, have no value.
                Some(_) => Got::Failed,
            };
        };
        let (severity, part) = (link.severity, link.part);
        let source = match link.to {
            LinkTo::Local(from, _) => Some(from),
            _ => None,
        };
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
            return Got::Failed;
        };
        if !own && severity != LinkSeverity::Ignore {
            // The message of a record that is followed is that of now.
            let message = source
                .map(|from| self.message(from, common::AMSG))
                .unwrap_or_default();
            self.inherit(id, severity, (stat, sevr), &message);
        }
        Got::Val(val)
    }

    fn read_json_link(&mut self, id: Id, link: &Link, to: Dbf, array: Option<usize>) -> Got {
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
            None => Got::Failed,
        }
    }

    /// An alarm of a link that cannot be used (`setLinkAlarm`).
    pub(super) fn link_alarm(&mut self, id: Id, field: u16) {
        let name = &self.type_of(id).field(field).name;
        let message = format!("field {name}");
        self.set_severity(id, LINK_ALARM, 3, &message);
    }

    /// The text of an alarm.
    fn message(&self, id: Id, field: u16) -> Box<[u8]> {
        let message = self.record(id).fields.get(field);
        message.map_or_else(Box::default, |message| message.as_text().into())
    }

    /// `recGblInheritSevrMsg`
    fn inherit(&mut self, id: Id, severity: LinkSeverity, (stat, sevr): (u8, u8), message: &[u8]) {
        match severity {
            LinkSeverity::Ignore => {}
            LinkSeverity::Invalid if sevr < 3 => {}
            LinkSeverity::Invalid | LinkSeverity::Maximize => {
                self.set_severity(id, LINK_ALARM, sevr, "")
            }
            LinkSeverity::Status => {
                let message = String::from_utf8_lossy(message);
                self.set_severity(id, stat, sevr, &message);
            }
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
            if !done {
                self.note_failure(id, field);
            }
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
        if severity != LinkSeverity::Ignore {
            let source = self.record(id);
            let raised = (source.nsta, source.nsev);
            let message = self.message(id, common::NAMSG);
            self.inherit(to, severity, raised, &message);
        }
        if result.is_err() {
            self.link_alarm(id, field);
            self.note_failure(id, field);
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
        self.load_elements(id, field, to, 1, |text: &str| Val::text(text))?
            .first()
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

    /// Loads a constant link into an array (`dbLoadLinkArray`): a number is one before it becomes a text.
    pub(super) fn load_array(&self, id: Id, field: u16, to: Dbf, limit: usize) -> Option<Val> {
        self.load_elements(id, field, to, limit, |text| match to {
            Dbf::String => number(text),
            _ => Val::text(text),
        })
    }

    fn load_elements(
        &self,
        id: Id,
        field: u16,
        to: Dbf,
        limit: usize,
        bare: impl Fn(&str) -> Val,
    ) -> Option<Val> {
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
        let vals = inner.map_or_else(|| vec![bare(text)], |inner| constants(inner, &bare));
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

/// A number of a JSON array.
fn number(text: &str) -> Val {
    let real = || ca_proto::text::parse::parse_f64(text.as_bytes()).map(Val::Double);
    let number = text.parse().map(Val::Int64).or_else(|_| real());
    number.unwrap_or_else(|_| Val::text(text))
}

/// The elements of an array in a link: numbers, and texts in quotes.
fn constants(inner: &str, bare: &impl Fn(&str) -> Val) -> Vec<Val> {
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
            vals.push(bare(element.trim()));
            rest = after.trim_start();
        }
    }
    vals
}
