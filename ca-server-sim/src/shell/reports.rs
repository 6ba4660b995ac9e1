//! Commands that report on what is behind records in EPICS Base, or set it up: what there is of it here, and what
//! stands in scripts and does nothing.

use super::commands::{Args, Command, Kind};
use super::run::Run;

const NUMBER: &[(&str, Kind)] = &[("value", Kind::Int)];
const DUMP: &[(&str, Kind)] = &[
    ("pdbbase", Kind::Text),
    ("name", Kind::Text),
    ("level", Kind::Int),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "errlog",
        arguments: &[("message", Kind::Text)],
        usage: "Writes a message to the error stream.\n",
        run: |run, args| {
            let text = format!("{}\n", args.text(0).unwrap_or_default());
            run.mutter(&text);
            true
        },
    },
    Command {
        name: "generalTimeReport",
        arguments: &[("interest_level", Kind::Int)],
        usage: "Shows where time stamps come from.\n",
        run: general_time,
    },
    Command {
        name: "epicsPrtEnvParams",
        arguments: &[],
        usage: "Shows the variables of the environment that EPICS knows, with their defaults.\n",
        run: |run, _| parameters(run),
    },
    Command {
        name: "epicsParamShow",
        arguments: &[],
        usage: "As epicsPrtEnvParams.\n",
        run: |run, _| parameters(run),
    },
    Command {
        name: "dbDumpPath",
        arguments: DUMP,
        usage: "Shows where files of databases are looked for: there is no such path here.\n",
        run: |run, args| {
            let done = is_base(run, args);
            if done {
                run.say("no path defined");
            }
            done
        },
    },
    // Nothing to set up.
    silent("callbackSetQueueSize", NUMBER),
    silent("callbackParallelThreads", NUMBER),
    silent("scanOnceSetQueueSize", NUMBER),
    silent("eltc", NUMBER),
    silent("errlogInit", NUMBER),
    silent("errlogInit2", NUMBER),
    silent("iocLogInit", &[]),
    silent("iocLogDisable", NUMBER),
    silent("setIocLogDisable", NUMBER),
    silent("iocLogShow", NUMBER),
    silent("iocLogPrefix", &[("prefix", Kind::Text)]),
    silent("installLastResortEventProvider", &[]),
    silent("dbPvdTableSize", NUMBER),
    silent("dbThreadRealtimeLock", NUMBER),
    // Nothing to report on.
    silent(
        "dbior",
        &[("driver name", Kind::Text), ("level", Kind::Int)],
    ),
    silent("dbhcr", &[]),
    silent("dbNotifyDump", &[]),
    silent("dbReportDeviceConfig", &[]),
    silent("dbDumpDriver", DUMP),
    silent("dbDumpFunction", DUMP),
    silent("dbDumpBreaktable", DUMP),
];

/// Commands of EPICS Base for what is not there, and what to use instead. Scripts go on: nothing that serves depends
/// on them.
const ABSENT: &[(&str, &str)] = &[
    (
        "dbb",
        "there are no breakpoints here; freeze and step stop the whole IOC and go from event to event, dbtr processes a record",
    ),
    ("dbd", BREAK),
    ("dbc", BREAK),
    ("dbs", BREAK),
    ("dbp", BREAK),
    ("dbap", BREAK),
    ("dbjlr", "links in JSON are shown by dbpr, record by record"),
    ("dbtgf", VALUES),
    ("dbtpf", VALUES),
    ("dbtpn", COMPLETION),
    ("tpn", COMPLETION),
    ("gft", VALUES),
    ("pft", VALUES),
    ("dbDumpRecordType", DESCRIPTION),
    ("dbDumpMenu", DESCRIPTION),
    ("dbDumpField", DESCRIPTION),
    ("dbDumpDevice", DESCRIPTION),
    ("dbDumpLink", DESCRIPTION),
    ("dbDumpRegistrar", DESCRIPTION),
    ("dbDumpVariable", "var shows the variables"),
    ("dbPvdDump", "dbnr counts records, dbl lists them"),
    ("callbackQueueShow", QUEUES),
    ("scanOnceQueueShow", QUEUES),
    ("dbLockShowLocked", QUEUES),
    ("epicsThreadShow", THREADS),
    ("epicsThreadShowAll", THREADS),
    ("epicsThreadResume", THREADS),
    ("epicsMutexShowAll", THREADS),
    ("taskwdShow", THREADS),
    (
        "ClockTime_Report",
        "date shows the time, dbStateShowAll flags, and --stats serves when the IOC began",
    ),
    (
        "asDumpHash",
        "asprules, aspuag and asphag show what there is",
    ),
    (
        "astac",
        "`access` of the control socket tells what a client may do, and why not more",
    ),
    (
        "coreRelease",
        "dbgf of EPICS_VERS of --stats tells the version, as does canter --version",
    ),
    ("dbPutAttribute", DESCRIPTION),
    (
        "dbCreateAlias",
        "write alias(\"record\", \"name\") in a file that dbLoadRecords loads",
    ),
    ("registryDeviceSupportFind", DESCRIPTION),
    ("registryDriverSupportFind", DESCRIPTION),
    ("registryDump", DESCRIPTION),
    ("registryFunctionFind", DESCRIPTION),
    ("registryRecordTypeFind", DESCRIPTION),
];

/// Why a command of EPICS Base does nothing here.
pub(super) fn absent(name: &str) -> Option<&'static str> {
    let found = ABSENT.iter().find(|(known, _)| *known == name);
    found.map(|(_, why)| *why)
}

const BREAK: &str =
    "there are no breakpoints here; freeze and step stop the whole IOC and go from event to event";
const VALUES: &str = "dbgf and dbpf do this in the type of the field; clients ask for other types";
const COMPLETION: &str = "dbpf writes and processes; whether all is complete is told to clients";
const DESCRIPTION: &str = "record types are those of EPICS Base and of the files that were loaded; dba and dbpr 4 show fields";
const QUEUES: &str =
    "what is queued here is not queued by priority; casr 1 shows clients, scanppl the scans";
const THREADS: &str = "records have no threads of their own here";

/// What start-up files of other IOCs have, and needs nothing here.
const fn silent(name: &'static str, arguments: &'static [(&'static str, Kind)]) -> Command {
    Command {
        name,
        arguments,
        usage: "Nothing here; start-up files of other IOCs have it.\n",
        run: |_, _| true,
    }
}

/// Whether the first argument is the database.
pub(super) fn is_base(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    match args.text(0) {
        Some("pdbbase" | "0" | "") | None => true,
        Some(other) => {
            run.complain(format!("Expecting 'pdbbase' got '{other}'."));
            false
        }
    }
}

fn general_time(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let mut text = "Backwards time errors prevented 0 times.\n\nCurrent Time Providers:\n    \"OS Clock\", priority = 999\n"
        .to_owned();
    if args.int(0) > 0 {
        let now = run.host.now();
        let date = run.host.date(now, "%Y-%m-%d %H:%M:%S.%6f");
        text += &format!("\tCurrent Time is {date}.\n");
    }
    run.print(text + "\nEvent Time Providers:\n\tNo Providers registered.\n");
    true
}

/// The parameters of EPICS Base and their defaults, in its order (`envDefs.h`, `CONFIG_ENV`); of the target's name
/// and the time zone it is what a build has.
const PARAMETERS: &[(&str, Option<&str>)] = &[
    ("EPICS_CA_ADDR_LIST", Some("")),
    ("EPICS_CA_AUTO_ADDR_LIST", Some("YES")),
    ("EPICS_CA_NAME_SERVERS", None),
    ("EPICS_CA_CONN_TMO", Some("30.0")),
    ("EPICS_CA_REPEATER_PORT", Some("5065")),
    ("EPICS_CA_SERVER_PORT", Some("5064")),
    ("EPICS_CA_MAX_ARRAY_BYTES", Some("16384")),
    ("EPICS_CA_AUTO_ARRAY_BYTES", Some("YES")),
    ("EPICS_CA_BEACON_PERIOD", Some("15.0")),
    ("EPICS_CA_MAX_SEARCH_PERIOD", Some("300.0")),
    ("EPICS_CA_MCAST_TTL", Some("1")),
    ("EPICS_CAS_BEACON_PERIOD", None),
    ("EPICS_CAS_BEACON_PORT", None),
    ("EPICS_CAS_AUTO_BEACON_ADDR_LIST", None),
    ("EPICS_CAS_BEACON_ADDR_LIST", None),
    ("EPICS_CAS_SERVER_PORT", None),
    ("EPICS_CAS_INTF_ADDR_LIST", None),
    ("EPICS_CAS_IGNORE_ADDR_LIST", None),
    ("EPICS_IOC_IGNORE_SERVERS", None),
    ("IOCSH_PS1", Some("epics> ")),
    ("IOCSH_HISTSIZE", Some("50")),
    ("IOCSH_HISTEDIT_DISABLE", None),
];

fn parameters(run: &mut Run<'_>) -> bool {
    let lines =
        PARAMETERS.iter().map(
            |(name, default)| match run.shell.variable(name).or(*default) {
                Some(value) => format!("{name}: {value}\n"),
                None => format!("{name} is undefined\n"),
            },
        );
    let text: String = lines.collect();
    run.print(text);
    true
}
