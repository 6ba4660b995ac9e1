//! Commands about clients: `casr`, `dbstat`.

use ca_proto::server::Identity;

use super::commands::{Args, Command, Kind};
use super::fields::find;
use super::run::Run;
use crate::ioc::Ioc;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "casr",
        arguments: &[("level", Kind::Int)],
        usage: "Shows who is connected.\n\
                level 0 - how many clients\n\
                \x20     1 - each of them, and where the IOC is found\n\
                \x20     2 - searches too\n",
        run: casr,
    },
    Command {
        name: "dbsr",
        arguments: &[("level", Kind::Int)],
        usage: "As casr: Channel Access is what serves here.\n",
        run: casr,
    },
    Command {
        name: "dbel",
        arguments: &[("record name", Kind::Record), ("level", Kind::Int)],
        usage: "Counts the subscriptions to the fields of a record; with level 1 field by field.\n",
        run: |run, args| match args.full(0) {
            Some(name) => dbel(run, name, args.int(1)),
            None => true,
        },
    },
    Command {
        name: "dbstat",
        arguments: &[],
        usage: "Lists records that stand at a breakpoint; there are none here.\n",
        run: |_, _| true,
    },
];

fn dbel(run: &mut Run<'_>, name: &str, level: i64) -> bool {
    let fields = run.running("dbel", |ioc, _| {
        // A field that is named stands for itself.
        let of = name.split('.').next().unwrap_or(name).to_owned();
        find(ioc, name)?;
        let all = ioc.subscriptions_of(name.as_bytes());
        Ok::<_, String>((of, all))
    });
    let (of, all) = match fields {
        Some(Ok(found)) => found,
        Some(Err(what)) => {
            run.complain(what);
            return false;
        }
        None => return false,
    };
    let count: usize = all.iter().map(|(_, count)| count).sum();
    match count {
        0 => run.say(format!(
            "\"{name}\": No PV event subscriptions ( monitors )."
        )),
        count => run.say(format!("{count} PV Event Subscriptions ( monitors ).")),
    }
    if level > 0 {
        for (field, count) in all.iter().filter(|(_, count)| *count > 0) {
            run.say(format!("    {of}.{field}: {count}"));
        }
    }
    true
}

/// Clients that are looked at before others have their turn.
const SLICE: usize = 64;

fn casr(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let level = args.int(0);
    let circuits = run.ioc(|ioc, _| ioc.circuits().collect::<Vec<_>>());
    let Some(circuits) = circuits else {
        run.say("The server is not there before iocInit.");
        return false;
    };
    run.say("Channel Access Server V4.13");
    let count = circuits.len();
    let s = if count == 1 { "" } else { "s" };
    match (count, level) {
        (0, _) => run.say("No clients connected."),
        (_, ..=0) => run.say(format!("{count} client{s} connected.")),
        _ => {
            run.say(format!("{count} client{s} connected:"));
            for some in circuits.chunks(SLICE) {
                let text = run.ioc(|ioc, _| {
                    let circuits = some.iter().filter_map(|&id| {
                        let circuit = ioc.circuit(id)?;
                        Some(client(circuit.identity(), circuit.channel_count()))
                    });
                    circuits.collect::<String>()
                });
                run.print(text.unwrap_or_default());
            }
        }
    }
    if level >= 1 {
        let (circuits, searches) = run.host.places();
        for address in circuits {
            let ip = address.ip();
            run.say(format!(
                "CAS-TCP server on {address} with\n    CAS-UDP name server on {ip}:{searches}"
            ));
        }
        let text = run.ioc(|ioc, _| places(ioc, level)).unwrap_or_default();
        run.print(text);
    }
    true
}

fn client(who: &Identity, channels: usize) -> String {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
    let s = if channels == 1 { "" } else { "s" };
    format!(
        "    TCP client at {} '{}':\n\tUser '{}', {channels} Channel{s}\n",
        who.peer,
        name(&who.host),
        name(&who.user)
    )
}

fn places(ioc: &Ioc, level: i64) -> String {
    let stats = ioc.stats();
    let mut text = String::new();
    if level >= 2 {
        text.push_str(&format!(
            "{} searches, {} found, {} subscriptions, {} bytes held for clients\n",
            stats.search.searches, stats.search.found, stats.subscriptions, stats.bytes
        ));
    }
    let beacons = &ioc.params().beacon_addrs;
    let es = if beacons.len() == 1 { "" } else { "es" };
    text.push_str(&format!(
        "Sending CAS-beacons to {} address{es}:\n",
        beacons.len()
    ));
    for address in beacons {
        text.push_str(&format!("    {address}\n"));
    }
    text
}
