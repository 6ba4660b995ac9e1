//! What the log says: lines of JSON of bounded length.

use std::net::Ipv4Addr;

use ca_proto::Timestamp;
use ca_proto::dbr::convert::PutValue;
use ca_proto::dbr::{Value, ValueRef};
use ca_proto::server::PutOutcome;
use ca_server_sim::PutReport;
use serde::Serialize;
use serde_json::Value as Json;

use crate::{escape, json};

/// Elements of an array that are written.
const MAX_ELEMENTS: u32 = 32;
/// Bytes of JSON of a value.
const VALUE_BYTES: usize = 400;
/// Bytes of JSON of the name of a user or host.
const NAME_BYTES: usize = 64;
/// Bytes of JSON of the place of a rule.
const RULE_BYTES: usize = 120;
/// Bytes of JSON of the name of a PV.
const PV_BYTES: usize = 600;
/// Bytes of a line, with its end.
pub(super) const MAX_LINE: usize = 2048;

/// A report of a put, as much of it as is written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) stamp: Timestamp,
    pub(super) peer: std::net::SocketAddrV4,
    pub(super) id: u64,
    pv: String,
    user: String,
    host: String,
    r#type: Option<String>,
    /// Left out at the end of a put whose beginning is in the log.
    old: Option<Value>,
    new: Option<Value>,
    /// In place of a value: what is acknowledged.
    number: Option<u16>,
    notify: bool,
    result: String,
    /// Set for a put that failed after it had been carried out.
    carried_out: Option<bool>,
    took: Option<f64>,
    /// Where the rule of access security is that decided, and whether it asks for writes to be told.
    rule: Option<String>,
    trapwrite: bool,
    /// A name is longer than what is kept of it.
    names_cut: bool,
}

/// How a report counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Nothing was written, and nothing will be.
    Refused,
    /// The last report of a put.
    Last,
    /// So many more reports of the put follow at most.
    More(u8),
}

impl Kind {
    pub(super) fn of(put: &PutReport<'_>) -> Self {
        match put.outcome {
            PutOutcome::Pending if put.carried_out => Self::More(1),
            PutOutcome::Pending => Self::More(2),
            PutOutcome::Done(_) if put.carried_out || put.begun.is_some() => Self::Last,
            PutOutcome::Done(_) => Self::Refused,
        }
    }
}

impl Entry {
    pub(super) fn of(put: &PutReport<'_>) -> Self {
        let name = |bytes: &[u8]| cut(&escape::decode(bytes), NAME_BYTES);
        let (user, user_cut) = name(&put.who.user);
        let (host, host_cut) = name(&put.who.host);
        let pv = match put.field {
            "VAL" => put.name.to_owned(),
            field => format!("{}.{field}", put.name),
        };
        let (pv, pv_cut) = cut(&pv, PV_BYTES);
        let short = |value: ValueRef<'_>| value.truncated(MAX_ELEMENTS + 1).to_value();
        let first = put.begun.is_none();
        let result = match put.outcome {
            PutOutcome::Pending if put.carried_out => "begun".to_owned(),
            PutOutcome::Pending => "queued".to_owned(),
            PutOutcome::Done(status) if status.is_success() => "done".to_owned(),
            PutOutcome::Done(status) => status
                .name()
                .map_or_else(|| format!("status {}", status.0), ToOwned::to_owned),
        };
        let failed = matches!(put.outcome, PutOutcome::Done(status) if !status.is_success());
        let (r#type, new, number) = match put.sent {
            Some(PutValue::Value(sent)) => {
                let value = match put.carried_out {
                    true => put.after.value.as_ref(),
                    false => sent,
                };
                let kind = sent.native.name().to_owned();
                (Some(kind), Some(short(value)), None)
            }
            Some(PutValue::AckTransient(on)) => {
                (Some("PUT_ACKT".to_owned()), None, Some(u16::from(on)))
            }
            Some(PutValue::AckSeverity(severity)) => {
                (Some("PUT_ACKS".to_owned()), None, Some(severity.0))
            }
            None => (None, None, None),
        };
        let is_end = !first && put.outcome != PutOutcome::Pending;
        let took = put
            .begun
            .map(|begun| put.now.saturating_duration_since(begun));
        Self {
            kind: Kind::of(put),
            stamp: put.stamp,
            peer: put.who.peer,
            id: put.id,
            names_cut: user_cut || host_cut || pv_cut,
            pv,
            user,
            host,
            r#type,
            old: (!is_end).then(|| short(put.before.value.as_ref())),
            new,
            number,
            notify: put.notify,
            result,
            carried_out: (failed && put.carried_out).then_some(true),
            took: took.map(|time| time.as_secs_f64()),
            rule: put.access.map(|access| match &access.rule {
                Some(rule) => cut(&rule.to_string(), RULE_BYTES).0,
                None => "none".to_owned(),
            }),
            trapwrite: put.access.is_some_and(|access| access.traps_writes),
        }
    }
}

/// A line of the log.
#[derive(Clone, Debug)]
pub(super) enum Record {
    Put(Box<Entry>),
    /// Lines that could not be kept.
    Missing(Span),
    /// Refused puts of a host that are not listed; of all others together without one.
    Refused(Option<Ipv4Addr>, Span),
}

/// So many in this time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) count: u64,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

impl Span {
    /// One more.
    pub(super) fn add(span: &mut Option<Self>, stamp: Timestamp) {
        let span = span.get_or_insert(Self {
            count: 0,
            since: stamp,
            until: stamp,
        });
        span.count += 1;
        span.until = stamp;
    }
}

#[derive(Serialize)]
struct PutLine<'a> {
    timestamp: String,
    /// As the client says.
    user: &'a str,
    host: &'a str,
    peer: String,
    pv: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Json>,
    /// As sent, if it was not carried out; null if it cannot be read.
    new: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'a str>,
    /// Whether the client waits for completion.
    notify: bool,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    carried_out: Option<bool>,
    /// Seconds since the put was told first.
    #[serde(skip_serializing_if = "Option::is_none")]
    took: Option<f64>,
    /// The rule of access security that decided what the client may do, `none` if no rule allows it anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    /// Whether that rule says `TRAPWRITE`.
    #[serde(skip_serializing_if = "is_false")]
    trapwrite: bool,
    /// The same in all lines about a put.
    put: u64,
    /// A value or a name is longer than what is shown of it.
    #[serde(skip_serializing_if = "is_false")]
    cut: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref)] // As serde wants it.
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[derive(Serialize)]
struct MissingLine {
    timestamp: String,
    missing: u64,
    since: String,
}

#[derive(Serialize)]
struct RefusedLine {
    timestamp: String,
    refused: u64,
    since: String,
    peer: String,
}

impl Record {
    /// Appends the line.
    pub(super) fn render(&self, out: &mut Vec<u8>) {
        let line = match self {
            Self::Put(entry) => entry.line(),
            Self::Missing(span) => serde_json::to_string(&MissingLine {
                timestamp: span.until.to_string(),
                missing: span.count,
                since: span.since.to_string(),
            }),
            Self::Refused(host, span) => serde_json::to_string(&RefusedLine {
                timestamp: span.until.to_string(),
                refused: span.count,
                since: span.since.to_string(),
                peer: host.map_or_else(|| "others".to_owned(), |host| host.to_string()),
            }),
        };
        // Strings and numbers always become JSON.
        let line = line.unwrap_or_default();
        for c in line.chars() {
            match is_hidden(c) {
                true => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
                false => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.push(b'\n');
    }
}

impl Entry {
    fn line(&self) -> serde_json::Result<String> {
        let (new, new_cut) = self.new.as_ref().map_or((None, false), |new| {
            let (json, cut) = shown(new.as_ref());
            (Some(json), cut)
        });
        let (old, old_cut) = self.old.as_ref().map_or((None, false), |old| {
            let (json, cut) = shown(old.as_ref());
            (Some(json), cut)
        });
        serde_json::to_string(&PutLine {
            timestamp: self.stamp.to_string(),
            user: &self.user,
            host: &self.host,
            peer: self.peer.to_string(),
            pv: &self.pv,
            old,
            new: new.unwrap_or_else(|| self.number.into()),
            r#type: self.r#type.as_deref(),
            notify: self.notify,
            result: &self.result,
            carried_out: self.carried_out,
            took: self.took,
            rule: self.rule.as_deref(),
            trapwrite: self.trapwrite,
            put: self.id,
            cut: new_cut || old_cut || self.names_cut,
        })
    }
}

/// As much of a value as fits, and whether that is not all.
fn shown(value: ValueRef<'_>) -> (Json, bool) {
    let is_array = value.count != 1;
    let mut is_cut = value.count > MAX_ELEMENTS;
    let Json::Array(elements) = json::value(value.truncated(MAX_ELEMENTS), true) else {
        return (Json::Null, is_cut);
    };
    let mut left = VALUE_BYTES;
    let mut kept = Vec::new();
    for element in elements {
        let (element, bytes, part) = match element {
            Json::String(text) => {
                // Beside quotes, a comma and an ellipsis.
                let (text, part) = cut(&text, left.saturating_sub(6));
                let bytes = text.chars().map(cost).sum::<usize>() + 3;
                (Json::String(text), bytes, part)
            }
            number => {
                let bytes = number.to_string().len() + 1;
                (number, bytes, false)
            }
        };
        if bytes > left && !kept.is_empty() {
            is_cut = true;
            break;
        }
        left = left.saturating_sub(bytes);
        kept.push(element);
        if part {
            is_cut = true;
            break;
        }
    }
    match (is_array, kept.pop()) {
        (false, Some(only)) => (only, is_cut),
        (_, last) => {
            kept.extend(last);
            (Json::Array(kept), is_cut)
        }
    }
}

/// Characters that would act on a terminal, or hide: control characters, and marks of the direction of text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Bytes of a character in JSON.
fn cost(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        c if is_hidden(c) => 6,
        c => c.len_utf8(),
    }
}

/// The beginning of a text that fits, and whether that is not all; an ellipsis stands for the rest.
fn cut(text: &str, most: usize) -> (String, bool) {
    let mut left = most;
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if at == end && cost(c) <= left {
            left -= cost(c);
            end = at + c.len_utf8();
        }
    }
    match text.get(..end) {
        Some(begin) if end < text.len() => (format!("{begin}…"), true),
        _ => (text.to_owned(), false),
    }
}

#[cfg(test)]
impl Entry {
    /// A put of a number by a host.
    pub(super) fn example(kind: Kind, host: [u8; 4], id: u64) -> Self {
        Self {
            kind,
            stamp: Timestamp { secs: 1, nanos: 0 },
            peer: std::net::SocketAddrV4::new(host.into(), 4000),
            id,
            pv: "x".to_owned(),
            user: "me".to_owned(),
            host: "here".to_owned(),
            r#type: None,
            old: None,
            new: Some(Value::scalar(1.0)),
            number: None,
            notify: false,
            result: "done".to_owned(),
            carried_out: None,
            took: None,
            rule: None,
            trapwrite: false,
            names_cut: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ca_proto::dbr::NativeType;

    fn line(record: &Record) -> String {
        let mut out = Vec::new();
        record.render(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn entry(user: &str, old: &Value, new: &Value) -> Entry {
        let name = |text: &str| cut(text, NAME_BYTES).0;
        let short = |value: &Value| value.as_ref().truncated(MAX_ELEMENTS + 1).to_value();
        Entry {
            kind: Kind::Last,
            stamp: Timestamp {
                secs: u32::MAX,
                nanos: 999_999_999,
            },
            peer: "255.255.255.255:65535".parse().unwrap(),
            id: u64::MAX,
            pv: cut(&"n".repeat(1000), PV_BYTES).0,
            user: name(user),
            host: name(user),
            r#type: Some("PUT_ACKT".to_owned()),
            old: Some(short(old)),
            new: Some(short(new)),
            number: None,
            notify: false,
            result: "ECA_PUTCBINPROG".to_owned(),
            carried_out: Some(true),
            took: Some(f64::MIN_POSITIVE),
            rule: Some(cut(&"\u{1}".repeat(1000), RULE_BYTES).0),
            trapwrite: true,
            names_cut: cut(user, NAME_BYTES).1,
        }
    }

    /// Strings of control characters.
    fn texts(len: usize, count: usize) -> Value {
        let mut one = vec![1; len];
        one.resize(40, 0);
        Value::from_wire(NativeType::String, one.repeat(count).into())
    }

    #[test]
    fn a_line_is_short_whatever_it_tells_of() {
        let controls: String = (0..500)
            .map(|n| if n % 2 == 0 { '\u{1}' } else { '\u{9b}' })
            .collect();
        let names = [
            controls.as_str(),
            &"\"".repeat(511),
            &"\u{202e}".repeat(170),
            "a",
        ];
        let values = [
            texts(39, 100),
            texts(13, 1),
            Value::from(vec![-1.797_693_134_862_315_7e308; 1000]),
            Value::from(vec![f64::NAN; 33]),
            Value::scalar(1.5),
        ];
        for name in names {
            for value in &values {
                let line = line(&Record::Put(Box::new(entry(name, value, value))));
                assert!(line.len() <= MAX_LINE, "{} {line}", line.len());
                serde_json::from_str::<Json>(&line).unwrap();
                let text = line.strip_suffix('\n').unwrap();
                assert!(!text.chars().any(is_hidden), "{line}");
            }
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        let json = |new: &Value| {
            let line = line(&Record::Put(Box::new(entry("a", &Value::scalar(1), new))));
            serde_json::from_str::<Json>(&line).unwrap()
        };
        let whole = json(&Value::from((0..32).collect::<Vec<i32>>()));
        assert_eq!(
            (whole["new"].as_array().unwrap().len(), &whole["cut"]),
            (32, &Json::Null)
        );
        let long = json(&Value::from((0..33).collect::<Vec<i32>>()));
        assert_eq!(
            (long["new"].as_array().unwrap().len(), &long["cut"]),
            (32, &true.into())
        );
        let text = json(&texts(39, 3));
        assert_eq!(text["cut"], true);
        let name = "u".repeat(65);
        let one = Value::scalar(1);
        let named = line(&Record::Put(Box::new(entry(&name, &one, &one))));
        assert!(
            named.contains("…") && named.contains(r#""cut":true"#),
            "{named}"
        );
        let short = text["new"].as_array().unwrap().last().unwrap();
        assert!(short.as_str().unwrap().ends_with('…'), "{text}");
    }

    #[test]
    fn pvs_of_arrays_keep_their_brackets() {
        assert_eq!(
            shown(Value::from(vec![1, 2]).as_ref()).0,
            serde_json::json!([1, 2])
        );
        assert_eq!(shown(Value::scalar(1).as_ref()).0, serde_json::json!(1));
    }
}
