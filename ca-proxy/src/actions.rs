//! The actions of a script: which exist, which keys they take, on what they work.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, ToSocketAddrs};
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::rule::{Action, Direction, Field, How, Rights, Transport, Trigger};
use super::script::RawRule;
use super::words::{self, Wrong};

/// Most copies of one message.
const MAX_COPIES: i64 = 100;
/// Shortest pause between two bursts of a storm, so that a script cannot stop the proxy itself.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// Time in which a message waits for the one it changes places with.
const REORDER_WITHIN: Duration = Duration::from_secs(1);

/// What an action works on.
#[derive(Clone, Copy, PartialEq)]
enum On {
    Messages,
    MessagesAndCircuits,
    Circuits,
    Rights,
    Beacons,
}

/// An action: name, what it works on, keys it needs, keys it may have.
struct Kind {
    name: &'static str,
    on: On,
    needs: &'static [&'static str],
    takes: &'static [&'static str],
}

/// The keys that limit how often a fault happens.
const CHANCE: [&str; 3] = ["probability", "after", "times"];

const fn kind(
    name: &'static str,
    on: On,
    needs: &'static [&'static str],
    takes: &'static [&'static str],
) -> Kind {
    Kind {
        name,
        on,
        needs,
        takes,
    }
}

const KINDS: [Kind; 11] = [
    kind("drop", On::Messages, &[], &[]),
    kind("delay", On::MessagesAndCircuits, &["by"], &["jitter"]),
    kind("duplicate", On::Messages, &[], &["copies"]),
    kind("reorder", On::Messages, &[], &["by"]),
    kind("corrupt", On::Messages, &["field"], &["value", "offset"]),
    kind("cut", On::MessagesAndCircuits, &[], &["bytes", "how"]),
    kind("refuse", On::Circuits, &[], &[]),
    kind("stall", On::MessagesAndCircuits, &[], &["by"]),
    kind("throttle", On::Circuits, &["rate"], &[]),
    kind("rights", On::Rights, &["rights"], &[]),
    kind("storm", On::Beacons, &["to", "every"], &["servers"]),
];

impl RawRule {
    /// The action, checked together with everything that goes with it.
    pub(super) fn action(
        &self,
        on: Trigger,
        ways: (bool, bool),
        transport: Option<Transport>,
        span: Range<usize>,
    ) -> Result<Action, Wrong> {
        let kinds = KINDS.each_ref().map(|kind| (kind.name, kind));
        let kind = words::choice("action", &self.action, &kinds)?;
        self.check_target(kind, on, transport)?;
        self.check_keys(kind, span)?;
        Ok(match kind.name {
            "drop" => Action::Drop,
            "delay" => Action::Delay {
                by: words::duration("by", self.by.as_ref())?.unwrap_or_default(),
                jitter: words::duration("jitter", self.jitter.as_ref())?.unwrap_or_default(),
            },
            "duplicate" => Action::Duplicate {
                copies: words::number("copies", self.copies.as_ref(), 1..=MAX_COPIES)?.unwrap_or(1),
            },
            "reorder" => Action::Reorder {
                by: words::duration("by", self.by.as_ref())?.unwrap_or(REORDER_WITHIN),
            },
            "corrupt" => Action::Corrupt {
                field: self.corrupted(on, ways)?,
                value: words::number("value", self.value.as_ref(), 0..=i64::from(u32::MAX))?,
            },
            "cut" => Action::Cut {
                bytes: words::number("bytes", self.bytes.as_ref(), 0..=i64::MAX)?.unwrap_or(0),
                how: self.how()?,
            },
            "refuse" => Action::Refuse,
            "stall" => Action::Stall {
                by: words::duration("by", self.by.as_ref())?,
            },
            "throttle" => Action::Throttle {
                rate: words::number("rate", self.rate.as_ref(), 1..=i64::from(u32::MAX))?
                    .unwrap_or(u32::MAX),
            },
            "rights" => self.new_rights()?,
            _ => self.storm()?,
        })
    }

    fn check_target(
        &self,
        kind: &Kind,
        on: Trigger,
        transport: Option<Transport>,
    ) -> Result<(), Wrong> {
        let rights = Trigger::Command(ca_proto::wire::Command::ACCESS_RIGHTS);
        let fits = match kind.on {
            On::Messages => !matches!(on, Trigger::Circuit | Trigger::Beacon),
            On::MessagesAndCircuits => on != Trigger::Beacon,
            On::Circuits => on == Trigger::Circuit,
            On::Rights => on == rights,
            On::Beacons => on == Trigger::Beacon,
        };
        let wanted = match kind.on {
            On::Messages => "a command or `any`",
            On::MessagesAndCircuits => "a command, `any` or `circuit`",
            On::Circuits => "`circuit`",
            On::Rights => "`access_rights`",
            On::Beacons => "`beacon`",
        };
        if !fits {
            let name = self.action.get_ref();
            return Err(Wrong::new(
                self.action.span(),
                format!("key `action`: `{name}` does not work with this `on`"),
                format!("`{name}` needs {wanted} for `on`"),
            ));
        }
        let circuit_only =
            on == Trigger::Circuit || matches!(kind.name, "reorder" | "cut" | "stall" | "rights");
        if circuit_only && transport == Some(Transport::Udp) {
            return Err(Wrong::new(
                self.action.span(),
                format!("key `transport`: `{}` needs a circuit", kind.name),
                "leave it out, or say `transport = \"tcp\"`",
            ));
        }
        Ok(())
    }

    fn check_keys(&self, kind: &Kind, span: Range<usize>) -> Result<(), Wrong> {
        let given = self.action_keys();
        let chance: &[&str] = match kind.name {
            "throttle" => &[],
            "storm" => &["times"],
            _ => &CHANCE,
        };
        let known = |key: &str| {
            kind.needs.contains(&key) || kind.takes.contains(&key) || chance.contains(&key)
        };
        for (key, place) in &given {
            match place {
                Some(place) if !known(key) => {
                    let all = [kind.needs, kind.takes, chance].concat();
                    let remedy = if all.is_empty() {
                        "leave it out".to_owned()
                    } else {
                        format!("leave it out; `{}` takes {}", kind.name, all.join(", "))
                    };
                    return Err(Wrong::new(
                        place.clone(),
                        format!("key `{key}` has no effect with action `{}`", kind.name),
                        remedy,
                    ));
                }
                None if kind.needs.contains(key) => {
                    return Err(Wrong::new(
                        span,
                        format!("key `{key}` is missing for action `{}`", kind.name),
                        example(key),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn how(&self) -> Result<How, Wrong> {
        let allowed = [("close", How::Close), ("reset", How::Reset)];
        let given = self.how.as_ref();
        given.map_or(Ok(How::Close), |given| {
            words::choice("how", given, &allowed)
        })
    }

    fn new_rights(&self) -> Result<Action, Wrong> {
        let allowed = [
            ("none", Rights::Set(0)),
            ("read", Rights::Set(1)),
            ("write", Rights::Set(2)),
            ("read-write", Rights::Set(3)),
            ("flip", Rights::Flip),
        ];
        let given = self.rights.as_ref();
        let rights = given.map_or(Ok(Rights::Flip), |given| {
            words::choice("rights", given, &allowed)
        })?;
        Ok(Action::Rights(rights))
    }

    /// A field by its header column, or by the name that the command gives it.
    fn corrupted(&self, on: Trigger, (request, response): (bool, bool)) -> Result<Field, Wrong> {
        let byte = words::number("offset", self.offset.as_ref(), 0..=i64::from(u32::MAX))?;
        let mut allowed = vec![
            ("command", Field::Command),
            ("payload_len", Field::PayloadLen),
            ("data_type", Field::DataType),
            ("count", Field::Count),
            ("p1", Field::P1),
            ("p2", Field::P2),
            ("payload", Field::Payload(byte.unwrap_or(0))),
        ];
        if let Trigger::Command(command) = on {
            let ways = [
                (request, Direction::Request),
                (response, Direction::Response),
            ];
            for (_, way) in ways.into_iter().filter(|(covered, _)| *covered) {
                for &(name, column) in words::fields(way, command) {
                    let field = allowed.iter().find(|(known, _)| *known == column);
                    if let Some(&(_, field)) = field {
                        allowed.push((name, field));
                    }
                }
            }
        }
        let Some(given) = &self.field else {
            return Ok(Field::Payload(0));
        };
        let field = words::choice("field", given, &allowed)?;
        match (&self.offset, field) {
            (Some(offset), f) if !matches!(f, Field::Payload(_)) => Err(Wrong::new(
                offset.span(),
                "key `offset` has an effect in the payload only",
                "leave it out, or say `field = \"payload\"`",
            )),
            _ => Ok(field),
        }
    }

    fn storm(&self) -> Result<Action, Wrong> {
        let every = words::duration("every", self.every.as_ref())?.unwrap_or(SHORTEST_PAUSE);
        if let Some(given) = self.every.as_ref().filter(|_| every < SHORTEST_PAUSE) {
            return Err(Wrong::new(
                given.span(),
                format!("key `every`: `{}` is too short", given.get_ref()),
                "give at least 1ms, and more `servers` for more beacons",
            ));
        }
        let to = match self.to.as_ref() {
            Some(given) => address(given)?,
            None => SocketAddrV4::new([127, 0, 0, 1].into(), ca_proto::wire::REPEATER_PORT),
        };
        Ok(Action::Storm {
            to,
            every,
            servers: words::number("servers", self.servers.as_ref(), 1..=1000)?.unwrap_or(1),
        })
    }
}

fn address(given: &Spanned<String>) -> Result<SocketAddrV4, Wrong> {
    let parsed = given.get_ref().rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse().ok().filter(|&port: &u16| port > 0)?;
        Some(SocketAddrV4::new(look_up(host)?, port))
    });
    parsed.ok_or_else(|| {
        Wrong::new(
            given.span(),
            format!("key `to`: `{}` is no address", given.get_ref()),
            "give HOST:PORT such as \"127.0.0.1:5065\"",
        )
    })
}

fn example(key: &str) -> &'static str {
    match key {
        "by" => "add a time such as by = \"200ms\"",
        "field" => "add a field such as field = \"count\"",
        "rate" => "add bytes per second such as rate = 10000",
        "rights" => "add one of rights = \"none\", \"read\", \"write\", \"read-write\", \"flip\"",
        "to" => "add the address of a repeater such as to = \"127.0.0.1:5065\"",
        "every" => "add a time such as every = \"10ms\"",
        _ => "add it",
    }
}

/// The address of a host.
fn look_up(name: &str) -> Option<Ipv4Addr> {
    let mut found = (name, 0).to_socket_addrs().ok()?;
    found.find_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    })
}
