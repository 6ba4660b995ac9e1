//! Requests other than subscriptions and writes.

use alloc::sync::Arc;
use bytes::Bytes;

use super::channels::{Channel, Channels, SubList};
use super::circuit::Circuit;
use super::conversion::{Conversion, long_part, wanted};
use super::database::{Database, Strided};
use super::error::Violation;
use super::limit::Limit;
use super::reply::{Refusal, Room};
use super::scalar::Scalar;
use super::subscriptions::{ChannelText, data_header, dynamic_count};
use crate::access::AccessRights;
use crate::dbr::{DbrType, Family};
use crate::ids::{Cid, Sid};
use crate::status::EcaStatus;
use crate::wire::message::{Port, SAME_ADDRESS, SearchFlag, Text};
use crate::wire::{Command, Frame, Header, Minor, tcp};

/// Highest priority a circuit can have (`tcp_version_action` of EPICS Base).
const MAX_PRIORITY: u16 = 99;
/// Longest client and host name in bytes, without NUL (`host_name_action` of EPICS Base).
const MAX_IDENTITY: usize = 511;
/// Largest element count that a client below 4.9 can be told (the CA protocol specification, message structure).
const MAX_OLD_COUNT: u32 = 65_534;
/// What a channel costs beside its name, its place in the table and what the database keeps: the
/// message that says that its PV is gone.
const CHANNEL_BYTES: usize = 32;

impl Channel {
    /// Bytes that it costs beside its place in the table.
    pub(super) fn bytes(&self) -> usize {
        self.name.len() + CHANNEL_BYTES + usize::from(self.bytes)
    }
}

/// Units of work: a channel that is opened, perhaps on a field that nobody has open.
const CREATE: usize = 8;
/// Units of work beyond that: one on a part of an array, or on another view of a record, of which each has
/// its own.
const VIEW: usize = 16;
/// Units of work: a channel that is deleted.
const DELETE: usize = 4;
/// Units of work: a name that is looked up.
const SEARCH: usize = 2;

impl Circuit {
    pub(super) fn version(&mut self, priority: u16, minor: Minor) -> Result<(), Violation> {
        if priority > MAX_PRIORITY {
            return Err(Violation::BadPriority(priority));
        }
        self.set_minor(minor)?;
        // At most 99.
        self.priority = priority as u8;
        Ok(())
    }

    fn set_minor(&mut self, minor: Minor) -> Result<(), Violation> {
        if minor < Minor::OLDEST {
            return Err(Violation::UnsupportedVersion(minor));
        }
        self.minor = minor;
        self.room = Room::new(&self.params, minor);
        Ok(())
    }

    /// `CLIENT_NAME` and `HOST_NAME`.
    pub(super) fn name(&mut self, header: &Header, name: Text<'_>) -> Result<(), Violation> {
        let command = header.command;
        if !self.channels.is_empty() {
            let text = format_args!("{command} must come before the first channel");
            self.error(header, None, EcaStatus::INTERNAL, text);
            return Ok(());
        }
        let name_bytes = name.as_bytes();
        if !name.terminated || name_bytes.len() > MAX_IDENTITY {
            let text = format_args!(
                "{command} needs a NUL-terminated name of at most {MAX_IDENTITY} bytes"
            );
            self.error(header, None, EcaStatus::INTERNAL, text);
            return Err(Violation::BadName(command));
        }
        let identity = Arc::make_mut(&mut self.identity);
        if command == Command::HOST_NAME {
            identity.host = name_bytes.to_ascii_lowercase();
        } else {
            identity.user = name_bytes.to_vec();
        }
        Ok(())
    }

    pub(super) fn search(
        &mut self,
        header: &Header,
        minor: Minor,
        name: Text<'_>,
        db: &(impl Database + ?Sized),
    ) -> Result<(), Violation> {
        if minor < Minor::OLDEST {
            return Err(Violation::UnsupportedVersion(minor));
        }
        let name = name.as_bytes();
        if name.is_empty() {
            return Ok(());
        }
        self.spent += SEARCH;
        if db.serves(name) {
            tcp::Response::Search {
                port: Port(self.params.tcp_port),
                server: SAME_ADDRESS,
                cid: Cid(header.p2),
            }
            .encode(&mut self.out);
        } else if SearchFlag(header.data_type) == SearchFlag::DO_REPLY {
            let reply = Header {
                command: Command::NOT_FOUND,
                payload_len: 0,
                ..*header
            };
            self.out.put(|flat| reply.encode(flat));
        }
        Ok(())
    }

    pub(super) fn create_chan(
        &mut self,
        header: &Header,
        name: Text<'_>,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        let cid = Cid(header.p1);
        self.spent += CREATE;
        self.set_minor(Minor(header.p2.min(0xffff) as u16))?;
        let limit = self.params.max_channels_per_circuit;
        if self.channels.len() >= limit.min(Channels::CAPACITY) {
            self.met = Some(Limit::Channels);
            let text = format_args!("the limit of {limit} channels per circuit is reached");
            self.error(header, None, EcaStatus::ALLOCMEM, text);
            self.create_failed(header, cid);
            return Ok(());
        }
        let name = name.as_bytes();
        if name.len() > self.params.max_name_bytes {
            self.met = Some(Limit::NameLength);
            self.create_failed(header, cid);
            return Ok(());
        }
        if !self.affords(self.channels.growth() + name.len() + CHANNEL_BYTES) {
            return self.create_refused(header, cid);
        }
        let pv = if name.is_empty() { None } else { db.open(name) };
        let Some(pv) = pv else {
            self.create_failed(header, cid);
            return Ok(());
        };
        let bytes = db.channel_bytes(pv);
        if bytes > 0 {
            self.spent += VIEW;
        }
        let more = self.channels.growth() + name.len() + CHANNEL_BYTES + usize::from(bytes);
        if !self.affords(more) {
            db.close(pv);
            return self.create_refused(header, cid);
        }
        let info = db.info(pv);
        let rights = db.rights(pv, &self.identity);
        let channel = Channel {
            cid,
            pv,
            rights,
            subs: SubList::NONE,
            puts: None,
            bytes,
            name: name.into(),
        };
        let own = channel.bytes();
        // Below the capacity of the table, as checked above.
        let Ok(sid) = self.channels.insert(channel) else {
            db.close(pv);
            return Ok(());
        };
        self.channel_bytes += own;
        self.settle();
        self.send_rights(cid, rights);
        let count = match self.minor.has_extended_header() {
            true => info.count,
            false => info.count.min(MAX_OLD_COUNT),
        };
        tcp::Response::CreateChan {
            ty: DbrType::new(Family::Plain, info.native),
            count,
            cid,
            sid,
        }
        .encode(&mut self.out);
        Ok(())
    }

    fn create_refused(&mut self, header: &Header, cid: Cid) -> Result<(), Violation> {
        if let Some(limit) = self.met {
            self.error(header, None, EcaStatus::ALLOCMEM, format_args!("{limit}"));
        }
        self.create_failed(header, cid);
        Ok(())
    }

    fn create_failed(&mut self, header: &Header, cid: Cid) {
        if self.minor.has_create_fail() {
            tcp::Response::CreateChFail { cid }.encode(&mut self.out);
        } else {
            let text = format_args!("there is no such channel");
            self.error(header, None, EcaStatus::UKNCHAN, text);
        }
    }

    pub(super) fn send_rights(&mut self, cid: Cid, rights: AccessRights) {
        let rights = rights.bits();
        tcp::Response::AccessRights { cid, rights }.encode(&mut self.out);
    }

    pub(super) fn clear_channel(
        &mut self,
        header: &Header,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        let sid = Sid(header.p1);
        self.channel(header, sid)?;
        self.spent += DELETE;
        self.delete_channel(sid);
        self.mirror(header);
        self.clear_few(db);
        Ok(())
    }

    /// Sends a request's header back without its payload.
    pub(super) fn mirror(&mut self, header: &Header) {
        let reply = Header {
            payload_len: 0,
            ..*header
        };
        self.out.put(|flat| reply.encode(flat));
    }

    pub(super) fn echo(&mut self, frame: &Frame<'_>) {
        let payload = match frame.payload() {
            [] => Bytes::new(),
            payload => match self.out_account.hold(payload.len()) {
                Ok(charge) => charge.on(frame.to_bytes()),
                Err(limit) => {
                    self.met = Some(limit);
                    let text = format_args!("{}: {limit}", frame.header.command);
                    return self.error(&frame.header, None, EcaStatus::ALLOCMEM, text);
                }
            },
        };
        self.out.put(|flat| frame.header.encode(flat));
        self.out.put_shared(payload);
    }

    pub(super) fn read_notify(
        &mut self,
        header: &Header,
        db: &(impl Database + ?Sized),
    ) -> Result<(), Violation> {
        let ty = DbrType(header.data_type);
        self.check_type(header.command, ty)?;
        let Some(channel) = self.channels.get(Sid(header.p1)) else {
            return Err(self.no_channel(header, Sid(header.p1)));
        };
        let (pv, cid) = (channel.pv, channel.cid);
        let readable = self.rights_now(channel, db).can_read();
        let room = self.room;
        let reply = |count, status| data_header(Command::READ_NOTIFY, ty, count, status, header.p2);
        let result = if !readable {
            room.put_failure(&mut self.out, reply(header.count, EcaStatus::NORDACCESS))
        } else if let Some(part) = long_part(db, pv, ty, header.count) {
            let failure = reply(header.count, EcaStatus::GETFAIL);
            let count = match header.count {
                0 => part.count,
                count => count,
            };
            self.convert_later(&failure, reply(count, EcaStatus::NORMAL), part)
        } else {
            let snapshot = db.read_as(pv, ty, wanted(ty, header.count));
            // hot: a scalar as it is.
            if header.count <= 1
                && room.fits_scalars()
                && let Some(scalar) = Scalar::of(&snapshot)
                && scalar.put(&mut self.out, Command::READ_NOTIFY, ty, header.p2)
            {
                return Ok(());
            }
            let count = match header.count {
                0 => dynamic_count(ty, &snapshot, || db.info(pv).count),
                count => count,
            };
            let failure = reply(header.count, EcaStatus::GETFAIL);
            let header = reply(count, EcaStatus::NORMAL);
            match Conversion::is_long(ty, count, &snapshot) {
                true => {
                    let whole = Strided::whole(snapshot.into_owned());
                    self.convert_later(&failure, header, whole)
                }
                false => room.put_value(&mut self.out, header, &snapshot, &self.out_account),
            }
        };
        let result = match result {
            Err(Refusal::NoConversion) => {
                room.put_failure(&mut self.out, reply(header.count, EcaStatus::GETFAIL))
            }
            result => result,
        };
        if let Err(refusal) = result {
            self.read_refused(header, cid, refusal);
        }
        Ok(())
    }

    /// The obsolete `READ`: the reply carries the client's channel id, failures come as `ERROR`.
    pub(super) fn read(
        &mut self,
        header: &Header,
        db: &(impl Database + ?Sized),
    ) -> Result<(), Violation> {
        let ty = DbrType(header.data_type);
        let channel = self.channel(header, Sid(header.p1))?;
        let (pv, cid, rights) = (channel.pv, channel.cid, channel.rights);
        if !ty.is_valid() {
            let text = alloc::format!("{}: there is no type {}", ChannelText(channel), ty.0);
            self.error(
                header,
                Some(cid),
                EcaStatus::BADTYPE,
                format_args!("{text}"),
            );
            return self.check_type(header.command, ty);
        }
        let rights = match self.has_sweep() {
            true => db.rights(pv, &self.identity),
            false => rights,
        };
        if !rights.can_read() {
            let name = self.channels.get(Sid(header.p1)).map(ChannelText);
            let text = name.map(|name| alloc::format!("{name}"));
            let text = text.unwrap_or_default();
            self.error(
                header,
                Some(cid),
                EcaStatus::NORDACCESS,
                format_args!("{text}"),
            );
            return Ok(());
        }
        let room = self.room;
        let reply = Header {
            p1: cid.0,
            ..*header
        };
        let result = if let Some(part) = long_part(db, pv, ty, header.count) {
            self.convert_later(header, reply, part)
        } else {
            let snapshot = db.read_as(pv, ty, wanted(ty, header.count));
            if ty == DbrType(0) && header.count == 1 {
                room.put_short_string(&mut self.out, reply, &snapshot)
            } else if Conversion::is_long(ty, header.count, &snapshot) {
                self.convert_later(header, reply, Strided::whole(snapshot.into_owned()))
            } else {
                room.put_value(&mut self.out, reply, &snapshot, &self.out_account)
            }
        };
        if let Err(refusal) = result {
            self.read_refused(header, cid, refusal);
        }
        Ok(())
    }

    pub(super) fn read_refused(&mut self, header: &Header, cid: Cid, refusal: Refusal) {
        self.met = refusal.limit();
        let channel = self.channels.get(Sid(header.p1));
        let name = channel.map(|channel| alloc::format!("{}", ChannelText(channel)));
        let text = format_args!("{}{refusal}", name.unwrap_or_default());
        self.error(header, Some(cid), refusal.status(), text);
    }
}
