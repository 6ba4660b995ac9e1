//! Texts of users, of PVs and of the environment.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::HashMap;

use bytes::BytesMut;
use ca_proto::addr_list::{AddrList, BindAddrs, beacon_destinations};
use ca_proto::dbr::{
    Acknowledge, EnumIndex, EnumStates, Metadata, NativeType, STRING_LEN, Snapshot, Value, convert,
};
use ca_proto::env::{EnvClient, EnvServer};
use ca_proto::text::format::{RealKind, format_integer, format_real};
use ca_proto::text::parse::{self, Base, ParseNumberError};
use ca_proto::text::printf::{Conversion, RealFormat};
use ca_proto::wire::SERVER_PORT;
use ca_proto::{Alarm, Timestamp};

use super::{MAX_ELEMENTS, MAX_VALUE, Share, cut};

/// An address list is parsed; what parses is found again.
pub fn addr_list(data: &[u8]) {
    let text = String::from_utf8_lossy(cut(data));
    let list = AddrList::parse(&text, SERVER_PORT);
    assert!(list.0.len() <= text.len());
    assert!(list.entries().count() <= list.0.len());
    let known = |name: &str| (!name.contains("no")).then_some(Ipv4Addr::LOCALHOST);
    let (resolved, bad) = list.resolve(known);
    assert!(resolved.len() + bad.len() <= list.0.len());
    if let Ok(bind) = BindAddrs::from_list(&resolved) {
        // Without an address that is bound, all are.
        assert!(bind.bind.len() <= resolved.len().max(1));
        assert!(bind.groups.len() <= resolved.len());
    }
    // A resolved list, printed, is a list of the same addresses.
    let printed: Vec<String> = resolved.iter().map(SocketAddrV4::to_string).collect();
    let (again, bad) = AddrList::parse(&printed.join(" "), SERVER_PORT).resolve(|_| None);
    assert_eq!((again, bad.len()), (resolved, 0));
}

/// The environment of a process: each line is `NAME=VALUE`. Whatever it says, there is a
/// configuration, and what that prints gives the same configuration again.
pub fn env(data: &[u8]) {
    let text = String::from_utf8_lossy(cut(data));
    let variables: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let env = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let client = EnvClient::read(env);
    let lines = client.lines();
    let _ = client.params(Vec::new(), Vec::new());
    let again = EnvClient::read(|name| {
        let line = lines.iter().find(|line| line.variable == name);
        line.map(|line| line.value.clone())
    });
    let values = |lines: Vec<ca_proto::env::SettingLine>| -> Vec<String> {
        lines.into_iter().map(|line| line.value).collect()
    };
    assert_eq!(values(again.lines()), values(lines));
    let server = EnvServer::read(env);
    let (user, _) = server.beacon_addr_list.value.resolve(|_| None);
    let auto = server.auto_beacon_addr_list.value;
    let port = server.beacon_port.value;
    let found = beacon_destinations(auto, &[Ipv4Addr::LOCALHOST], &[], &user, port);
    assert!(found.list.len() <= user.len() + 1);
    let _ = (server.lines(), server.params(found.list, Vec::new()));
    assert!(client.warnings.len() + server.warnings.len() <= 64);
}

/// A text becomes a number of each type, and the value of a PV of each type.
///
/// # Shape
/// One byte precision, then the text; NULs separate the elements of an array.
pub fn from_text(data: &[u8]) {
    let [precision, text @ ..] = &data[..data.len().min(MAX_VALUE)] else {
        return;
    };
    numbers(text);
    let meta = metadata(i16::from(*precision));
    let share = Share::of(data);
    let texts = text.split(|&byte| byte == 0).take(MAX_ELEMENTS as usize);
    let texts: Vec<&[u8]> = texts.collect();
    for value in [
        Value::string(text),
        Value::strings(&texts),
        Value::array(&text[..text.len().min(MAX_ELEMENTS as usize)]),
    ] {
        for native in NativeType::ALL {
            let Ok(converted) = convert::write(value.as_ref(), native, &meta) else {
                continue;
            };
            assert_eq!(converted.native(), native);
            assert_eq!(converted.count(), value.count());
            encode(&meta, converted, share);
        }
    }
}

/// Every type in which a value may be read has the size that its type and count say.
fn encode(meta: &Metadata, value: Value, share: Share) {
    let count = value.count();
    let snapshot = Snapshot {
        value,
        alarm: Alarm::default(),
        stamp: Timestamp::default(),
        ack: Acknowledge::default(),
        meta: meta.clone().into(),
    };
    let mut out = BytesMut::new();
    for ty in share.types() {
        out.clear();
        if snapshot.encode(ty, count, &mut out).is_ok() {
            assert_eq!(out.len() as u64, ty.size(count), "{ty} {count}");
        }
    }
}

fn metadata(precision: i16) -> Metadata {
    Metadata {
        precision,
        states: EnumStates::new(["Idle", "Moving", "", "3", " 4 "]),
        ..Metadata::default()
    }
}

fn numbers(text: &[u8]) {
    match parse::strtod(text) {
        Ok((_, len)) => {
            assert!(len <= text.len());
            // What was not read has no part in the result.
            let again = parse::strtod(&text[..len]);
            let bits = |result: Result<(f64, usize), _>| result.map(|(v, n)| (v.to_bits(), n));
            assert_eq!(bits(again), bits(parse::strtod(text)));
        }
        Err(ParseNumberError::NoDigits | ParseNumberError::OutOfRange) => {}
        Err(error) => assert_eq!(error, ParseNumberError::Underflow),
    }
    if let Ok(v) = parse::parse_f32(text) {
        let wide = parse::parse_f64(text).expect("the wider type takes more");
        assert!(v.is_nan() || v == wide as f32);
    }
    for base in [Base::Ten, Base::Prefix] {
        let wide = parse::parse_signed(text, base);
        if let Ok(v) = parse::parse_unsigned(text, base, u16::MAX.into()) {
            assert!(v <= u64::from(u16::MAX));
        }
        if let (Ok(v), Ok(narrow)) = (wide, parse::parse_i8(text)) {
            assert!(base == Base::Ten || v == i64::from(narrow));
        }
    }
    let _ = (parse::parse_u32(text), parse::parse_u64(text));
    let meta = metadata(0);
    if let Some(state) = parse::match_enum(text, meta.states.iter()) {
        assert!(usize::from(state) < meta.states.len());
    }
    let raw = ca_proto::text::unescape(text);
    assert!(raw.len() <= text.len());
}

/// A number becomes text as the reference writes it, which fits a string and is the number again.
///
/// # Shape
/// Two bytes precision, then eight of a 64-bit real number.
pub fn to_text(data: &[u8]) {
    let [p0, p1, rest @ ..] = cut(data) else {
        return;
    };
    let Some(bytes) = rest.first_chunk() else {
        return;
    };
    let precision = i16::from_be_bytes([*p0, *p1]);
    let v = f64::from_be_bytes(*bytes);
    for (kind, v) in [
        (RealKind::Double, v),
        (RealKind::Float, f64::from(v as f32)),
    ] {
        let text = format_real(v, precision, kind);
        assert!(text.len() < STRING_LEN);
        read_back(text.as_bytes(), v);
    }
    let integer = format_integer(i64::from_be_bytes(*bytes));
    let again = parse::parse_signed(integer.as_bytes(), Base::Ten);
    assert_eq!(again, Ok(i64::from_be_bytes(*bytes)));
    for conversion in [Conversion::Exponent, Conversion::Fixed, Conversion::General] {
        let mut text = String::new();
        let digits = usize::from(precision.unsigned_abs() % 64);
        let written = RealFormat::new(conversion, digits).write(&mut text, v);
        written.expect("a string takes everything");
        assert!(text.len() <= 320 + digits);
        read_back(text.as_bytes(), v);
    }
    let meta = metadata(precision);
    let share = Share::of(data);
    encode(&meta, Value::scalar(v), share);
    encode(&meta, Value::scalar(v as f32), share);
    encode(
        &meta,
        Value::scalar(EnumIndex(precision.cast_unsigned())),
        share,
    );
}

/// The text of a number, read again, is a number of its kind and sign.
fn read_back(text: &[u8], v: f64) {
    match parse::strtod(text) {
        Ok((again, len)) => {
            assert_eq!(len, text.len(), "{}", String::from_utf8_lossy(text));
            assert_eq!(again.is_nan(), v.is_nan());
            assert!(again == 0.0 || v.is_nan() || again.is_sign_negative() == (v < 0.0));
        }
        // Rounded up beyond the largest number, or down among the smallest ones.
        Err(ParseNumberError::OutOfRange) => assert!(v.abs() > 1e307),
        Err(ParseNumberError::Underflow) => assert!(v.abs() < 1e-307),
        Err(error) => panic!("{}: {error}", String::from_utf8_lossy(text)),
    }
}
