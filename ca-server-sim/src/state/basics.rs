//! How types of the protocol are saved.

use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::Bytes;
use ca_proto::access::AccessRights;
use ca_proto::dbr::{Acknowledge, EnumStates, Limits, NativeType, Range, STRING_LEN, Units, Value};
use ca_proto::ids::CircuitId;
use ca_proto::rng::Pcg32;
use ca_proto::server::{Identity, PutId, PutTicket};
use ca_proto::wire::Command;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Instant, Timestamp};

use super::codec::{Broken, Reader, Saved, Writer, saved};

saved!(struct Timestamp { secs, nanos });
saved!(struct Alarm { status, severity });
saved!(struct Acknowledge { transient, severity });
saved!(struct Range { lower, upper });
saved!(struct Limits { display, alarm, warning, control });
saved!(struct PutTicket { circuit, id });
saved!(struct Identity { user, host, peer });

macro_rules! numbers {
    ($($ty:ident)+) => {$(
        impl Saved for $ty {
            fn save(&self, to: &mut Writer) {
                self.0.save(to);
            }

            fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
                Saved::load(from).map(Self)
            }
        }
    )+};
}

numbers!(AlarmStatus AlarmSeverity CircuitId PutId EcaStatus);

impl Saved for Instant {
    fn save(&self, to: &mut Writer) {
        self.as_nanos().save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        u64::load(from).map(Self::from_nanos)
    }
}

impl Saved for AccessRights {
    fn save(&self, to: &mut Writer) {
        self.bits().save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        u32::load(from).map(Self::from_bits)
    }
}

impl Saved for Pcg32 {
    fn save(&self, to: &mut Writer) {
        self.state().save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        u64::load(from).map(Self::from_state)
    }
}

impl Saved for NativeType {
    fn save(&self, to: &mut Writer) {
        (*self as u16).save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        let code = u16::load(from)?;
        Self::from_code(code).ok_or_else(|| from.broken("it has an unknown type of values"))
    }
}

impl Saved for Value {
    fn save(&self, to: &mut Writer) {
        self.native().save(to);
        to.text(self.as_ref().data);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        let native = NativeType::load(from)?;
        let data = from.text()?;
        match data.len() % native.size() {
            0 => Ok(Self::from_wire(native, Bytes::copy_from_slice(data))),
            _ => Err(from.broken("a value has no whole number of elements")),
        }
    }
}

impl Saved for Units {
    fn save(&self, to: &mut Writer) {
        to.text(self.as_bytes());
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        from.text().map(Self::new)
    }
}

impl Saved for EnumStates {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        self.iter().for_each(|text| to.text(text));
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        let count = from.length()?;
        let texts: Result<Vec<Vec<u8>>, Broken> = (0..count)
            .map(|_| match from.text()? {
                text if text.len() < STRING_LEN => Ok(text.to_vec()),
                _ => Err(from.broken("the text of a state is too long")),
            })
            .collect();
        Ok(Self::whole(texts?))
    }
}

impl Saved for SocketAddrV4 {
    fn save(&self, to: &mut Writer) {
        self.ip().to_bits().save(to);
        self.port().save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        let (ip, port) = <(u32, u16)>::load(from)?;
        Ok(Self::new(Ipv4Addr::from_bits(ip), port))
    }
}

impl Saved for Command {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        u16::load(from).map(Self)
    }
}
