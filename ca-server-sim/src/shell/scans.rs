//! Commands about what processes records: `scanppl`, `scanpel`, `scanpiol`, `scanOnce`, `postEvent`, `dbcar`.

use ca_proto::server::Turn;

use super::SLICE;
use super::commands::{Args, Command, Kind};
use super::fields::{Found, find, usage};
use super::format::{kind, matches};
use super::run::Run;
use crate::ioc::{Ioc, TURN};
use crate::process::ScanList;
use crate::record::{Link, LinkTo};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "scanppl",
        arguments: &[("rate", Kind::Real)],
        usage: "Lists the records that are scanned with a period, in seconds; 0: with any.\n",
        run: |run, args| {
            let rate = args.real(0);
            lists(
                run,
                "scanppl",
                |of, _| matches!(of, Shown::Period(_, period) if rate <= 0.0 || (rate - period).abs() <= 0.05),
            )
        },
    },
    Command {
        name: "scanpel",
        arguments: &[("event name", Kind::Text)],
        usage: "Lists the records that wait for an event, or for any.\n",
        run: |run, args| {
            let pattern = args.full(0).unwrap_or("*").to_owned();
            lists(
                run,
                "scanpel",
                move |of, _| matches!(of, Shown::Event(name) if matches(name, &pattern)),
            )
        },
    },
    Command {
        name: "scanpiol",
        arguments: &[],
        usage: "Lists the records of SCAN \"I/O Intr\".\n",
        run: |run, _| lists(run, "scanpiol", |of, _| matches!(of, Shown::Interrupt)),
    },
    Command {
        name: "scanOnce",
        arguments: &[("record name", Kind::Record)],
        usage: "Processes a record.\n",
        run: scan_once,
    },
    Command {
        name: "postEvent",
        arguments: &[("event name", Kind::Text)],
        usage: "Processes the records that wait for an event.\n",
        run: post_event,
    },
    Command {
        name: "dbcar",
        arguments: &[("record name", Kind::Record), ("level", Kind::Int)],
        usage: "Shows the links that go through Channel Access, of a record or of all.\n\
                level 0 - how many there are\n\
                \x20     1 - those that are not connected\n\
                \x20     2 - all of them\n",
        run: dbcar,
    },
];

/// What a scan list is for.
enum Shown {
    Period(String, f64),
    Event(String),
    Interrupt,
}

/// Records of a list that are shown.
const MOST: usize = 100_000;

fn lists(run: &mut Run<'_>, command: &str, wanted: impl Fn(&Shown, ()) -> bool) -> bool {
    let found = run.running(command, |ioc, _| {
        ioc.db.served.as_ref().map(|served| {
            let records = &served.records;
            let menu = records.schema().menu("menuScan");
            let lists = records
                .scan_lists(MOST)
                .into_iter()
                .filter_map(|(list, ids)| {
                    let (shown, priority) = match list {
                        ScanList::Period(number) => {
                            let texts = menu.map(|menu| &menu.choices);
                            let text = texts.and_then(|texts| texts.get(usize::from(number)));
                            let text = text.map_or_else(String::new, |text| text.to_string());
                            (
                                Shown::Period(text, records.period(number).unwrap_or(0.0)),
                                0,
                            )
                        }
                        ScanList::Event(name, priority) => (
                            Shown::Event(String::from_utf8_lossy(&name).into_owned()),
                            priority,
                        ),
                        ScanList::Interrupt(priority) => (Shown::Interrupt, priority),
                    };
                    wanted(&shown, ()).then_some((shown, priority, ids))
                });
            lists.collect::<Vec<_>>()
        })
    });
    let Some(found) = found else {
        return false;
    };
    // The longest period first, as in the menu of EPICS Base.
    let mut told = None;
    for (shown, priority, ids) in found.into_iter().flatten() {
        let priority = ["Low", "Medium", "High"]
            .get(usize::from(priority))
            .copied();
        let priority = priority.unwrap_or("Low");
        match &shown {
            Shown::Period(text, _) => {
                run.say(format!("Records with SCAN = '{text}' (0 over-runs):"));
            }
            Shown::Event(name) => {
                if told.as_ref() != Some(name) {
                    run.say(format!("Event \"{name}\""));
                    told = Some(name.clone());
                }
                run.say(format!(" Priority {priority}"));
            }
            Shown::Interrupt => run.say(format!("IO Event: Priority {priority}")),
        }
        for some in ids.chunks(SLICE) {
            let names = run.ioc(|ioc, _| names(ioc, some)).unwrap_or_default();
            run.print(names);
        }
    }
    true
}

fn names(ioc: &Ioc, ids: &[u32]) -> String {
    let Some(served) = &ioc.db.served else {
        return String::new();
    };
    ids.iter()
        .map(|&id| format!("    {:<28}\n", served.records.name_of(id)))
        .collect()
}

fn scan_once(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let Some(name) = args.full(0) else {
        return usage(run, "Usage: scanOnce \"record name\"");
    };
    let done = run.running("scanOnce", |ioc, now| {
        let Found::Field { id, .. } = find(ioc, name)? else {
            return Err(format!(
                "'{name}' is a PV without a record: it is not processed"
            ));
        };
        let clock = ioc.stamp(now);
        if let Some(served) = &mut ioc.db.served {
            served.records.set_time(now, clock);
            served.records.process(id);
        }
        ioc.run_records(now, &mut Turn::new(TURN), false);
        ioc.settle(now);
        Ok(())
    });
    match done {
        Some(Ok(())) => true,
        Some(Err(what)) => usage(run, &what),
        None => false,
    }
}

fn post_event(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let Some(name) = args.full(0) else {
        return usage(run, "Usage: postEvent \"event name\"");
    };
    let done = run.running("postEvent", |ioc, now| {
        let clock = ioc.stamp(now);
        if let Some(served) = &mut ioc.db.served {
            served.records.set_time(now, clock);
            served.records.post_event(name);
        }
        ioc.run_records(now, &mut Turn::new(TURN), false);
        ioc.settle(now);
    });
    done.is_some()
}

/// What `dbcar` counts.
#[derive(Default)]
struct CaLinks {
    all: usize,
    connected: usize,
    text: String,
}

fn dbcar(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let (name, level) = (args.full(0).filter(|name| *name != "*"), args.int(1));
    let count = run.running("dbcar", |ioc, _| {
        let served = ioc.db.served.as_ref();
        served.map_or(0, |served| served.records.numbers() as u32)
    });
    let Some(count) = count else {
        return false;
    };
    run.print(match name {
        None => "CA links in all records\n\n".to_owned(),
        Some(name) => format!("CA links in record named '{name}'\n\n"),
    });
    let mut links = CaLinks::default();
    match name {
        None => {
            for first in (0..count).step_by(SLICE) {
                let end = count.min(first.saturating_add(SLICE as u32));
                run.ioc(|ioc, _| (first..end).for_each(|id| links.add(ioc, id, level)));
                let text = std::mem::take(&mut links.text);
                run.print(text);
            }
        }
        Some(name) => {
            run.ioc(|ioc, _| {
                if let Ok(Found::Field { id, .. }) = find(ioc, name) {
                    links.add(ioc, id, level);
                }
            });
            let text = std::mem::take(&mut links.text);
            run.print(text);
        }
    }
    let CaLinks { all, connected, .. } = links;
    if (level > 1 && connected > 0) || (level > 0 && all != connected) {
        run.say("");
    }
    let s = if all == 1 { "" } else { "s" };
    run.say(format!(
        "Total {all} CA link{s}; {connected} connected, {} not connected.",
        all - connected
    ));
    run.say("    0 can't read, 0 can't write.  (0 disconnects, 0 writes prohibited)\n");
    true
}

impl CaLinks {
    fn add(&mut self, ioc: &Ioc, id: u32, level: i64) {
        let Some(served) = &ioc.db.served else {
            return;
        };
        let records = &served.records;
        let of = records.type_of(id);
        let fields = of
            .fields
            .iter()
            .zip(0..)
            .filter(|(field, _)| field.dbf.is_link());
        for (field, index) in fields {
            let Some(link) = records.link_of(id, index) else {
                continue;
            };
            let (Link::Pv(pv), "CA_LINK") = (&*link, kind(&link)) else {
                continue;
            };
            let connected = matches!(pv.to, LinkTo::Local(..));
            self.all += 1;
            self.connected += usize::from(connected);
            let name = records.name_of(id);
            if connected && level > 1 {
                self.text.push_str(&format!(
                    "{name:>28}.{:<4} ==> {:<28}  (0, 0)\n                      [{}] host localhost, Read/Write\n",
                    field.name,
                    pv.target,
                    match field.dbf {
                        crate::record::Dbf::InLink => "IN      ",
                        crate::record::Dbf::OutLink => "    ON  ",
                        _ => "        ",
                    },
                ));
            } else if !connected && level > 0 {
                self.text.push_str(&format!(
                    "{name:>28}.{:<4} --> {:<28}  (0, 0)\n",
                    field.name, pv.target
                ));
            }
        }
    }
}
