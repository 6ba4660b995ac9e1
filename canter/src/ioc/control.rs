//! The line protocol: one command per line, any number of lines back, the last `ok` or `error: …`, as
//! of `canter proxy`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus};
use ca_proxy::Pattern;
use ca_server_sim::net::{ServeError, SimIoc};
use ca_server_sim::{BuildError, IocSnapshot, RecordFiles, SnapshotError, Step};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::escape;
use crate::json::JsonSample;
use crate::put::input::{self, Mode, Target};
use crate::sample::Sample;

const HELP: &str = "\
read PV…      the state of each PV or field, a JSON object per line
list [PATTERN]
              the same of all PVs, or those whose name matches, with * and ?
post PV VALUE…
              set a value as its owner does: no rights, limits or hooks
alarm PV SEVERITY [STATUS]
              raise an alarm; NO_ALARM ends it; SOFT unless a status is given
rights PV RIGHTS
              none, read, write or read-write for clients from now on
access PV USER HOST
              what the rules of --acf let a client do, by which rule, and why not more; HOST is an
              address with --acf-by-address
complete PV [STATUS]
              answer the write with completion that the PV is busy with; ECA_NORMAL, or ECA_PUTFAIL
add PV        a PV as of --pv, or records as in a .db file, in quotes
remove PV…    PVs or records, whose clients are told
rename RECORD NEW
              give a record another name
fault FAULT   begin a fault (stuck PV for 10s), end some (off all, off 3), or list them
freeze        let time stand still for scans, timers, signals and faults; clients read and write
thaw          let it go on
step [SECONDS]
              go on to the next moment at which something is due, or so far, as fast as it goes
snapshot [NAME]
              keep the state of the whole IOC, in memory, or in a file of the directory of --snapshots
rewind [NAME] go back to the last snapshot, or to that file; clients stay connected
stats         circuits, channels, subscriptions, and the limits that were met
stop          end all circuits and close the ports, as if the IOC were gone
start         serve again, on the same ports
reload        read the files anew, as on SIGHUP
help          this
quit          end the program";

/// Longest line of a command; a connection that sends a longer one ends.
const MAX_LINE: u64 = 64 * 1024;
/// Commands that wait.
const WAITING: usize = 16;
/// Connections that give commands; each may hold a line and an answer.
const MAX_CONNECTIONS: usize = 16;

/// A line with the place for its answer.
pub(super) type Request = (String, oneshot::Sender<String>);

/// Something that the IOC's owner has to do, for it takes time or ends the IOC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    Stop,
    Start,
    Reload,
    Quit,
}

/// The answer to a command, or what is to be done for it.
pub(super) type Done = Result<Vec<String>, String>;

/// Takes commands from connections, until nobody wants them.
pub(super) fn serve(listener: TcpListener) -> mpsc::Receiver<Request> {
    let (send, requests) = mpsc::channel(WAITING);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                () = send.closed() => return,
            };
            match stream {
                Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => {
                        let conversation = converse(stream, send.clone());
                        tokio::spawn(async move {
                            conversation.await;
                            drop(place);
                        });
                    }
                    Err(_) => refuse(&stream),
                },
                // Out of descriptors, which others may give back.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    requests
}

/// Tells one that is too many, as far as that needs no waiting: a line fits into what the system sends.
fn refuse(stream: &TcpStream) {
    let line = format!(
        "error: there are {MAX_CONNECTIONS} connections that give commands, the most there may be; end one\n"
    );
    let _ = stream.try_write(line.as_bytes());
}

async fn converse(mut stream: TcpStream, requests: mpsc::Sender<Request>) {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = String::new();
        match (&mut read).take(MAX_LINE).read_line(&mut line).await {
            Ok(1..) if line.ends_with('\n') => {}
            _ => return,
        }
        let (answer, wait) = oneshot::channel();
        if requests.send((line, answer)).await.is_err() {
            return;
        }
        // A command that ends the IOC may end the wait too.
        let Ok(mut answer) = wait.await else { return };
        answer.push('\n');
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The answer as it is sent.
pub(super) fn reply(done: Done) -> String {
    match done {
        Ok(mut lines) => {
            lines.push("ok".to_owned());
            lines.join("\n")
        }
        Err(what) => format!("error: {what}"),
    }
}

/// Executes a line, or says what the owner has to do for it.
pub(super) fn execute(ioc: &SimIoc, line: &str) -> Result<Done, Deed> {
    let Some(words) = shlex::split(line) else {
        return Ok(Err("a quote has no end".to_owned()));
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match words[..] {
        ["read", ref pvs @ ..] if !pvs.is_empty() => pvs.iter().map(|pv| read(ioc, pv)).collect(),
        ["list"] => list(ioc, &Pattern::new("*")),
        ["list", pattern] => list(ioc, &Pattern::new(pattern)),
        ["post", pv, ref values @ ..] if !values.is_empty() => post(ioc, pv, values),
        ["alarm", pv, severity] => alarm(ioc, pv, severity, None),
        ["alarm", pv, severity, status] => alarm(ioc, pv, severity, Some(status)),
        ["rights", pv, rights] => set_rights(ioc, pv, rights),
        ["access", pv, user, host] => access(ioc, pv, user, host),
        ["complete", pv] => complete(ioc, pv, "ECA_NORMAL"),
        ["complete", pv, status] => complete(ioc, pv, status),
        ["add", text] => add(ioc, text),
        ["remove", ref pvs @ ..] if !pvs.is_empty() => remove(ioc, pvs),
        ["rename", old, new] => rename(ioc, old, new),
        ["fault", _, ..] => fault(ioc, line),
        ["freeze"] => match ioc.freeze() {
            true => Ok(Vec::new()),
            false => Err("time stands still already".to_owned()),
        },
        ["thaw"] => match ioc.thaw() {
            true => Ok(Vec::new()),
            false => Err("time goes on already".to_owned()),
        },
        ["stats"] => Ok(stats(ioc)),
        ["stop"] => return Err(Deed::Stop),
        ["start"] => return Err(Deed::Start),
        ["reload"] => return Err(Deed::Reload),
        ["quit"] => return Err(Deed::Quit),
        ["help"] => Ok(HELP.lines().map(str::to_owned).collect()),
        [] => Ok(Vec::new()),
        [known, ..]
            if HELP
                .lines()
                .any(|line| line.split(' ').next() == Some(known)) =>
        {
            Err(format!(
                "that is not how `{known}` is used; `help` shows it"
            ))
        }
        _ => Err(format!(
            "there is no command `{}`; `help` shows them",
            escape::printable(line.trim())
        )),
    })
}

/// What takes longer than others want to wait: it is done beside them.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Task {
    Step(Step),
    /// To a file, or into memory.
    Snapshot(Option<PathBuf>),
    Rewind(Option<PathBuf>),
}

impl Task {
    /// The task of a line; `None` for those that are none.
    pub(super) fn of(line: &str, snapshots: Option<&Path>) -> Option<Result<Self, String>> {
        let words = shlex::split(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match words[..] {
            ["step"] => Ok(Self::Step(Step::Event)),
            ["step", seconds] => {
                let time = seconds.parse().ok().map(Duration::try_from_secs_f64);
                let time = time
                    .and_then(Result::ok)
                    .map(|time| Self::Step(Step::Time(time)));
                time.ok_or_else(|| "a step takes some seconds, 0 or more".to_owned())
            }
            ["snapshot"] => Ok(Self::Snapshot(None)),
            ["rewind"] => Ok(Self::Rewind(None)),
            ["snapshot", name] => place(snapshots, name).map(|file| Self::Snapshot(Some(file))),
            ["rewind", name] => place(snapshots, name).map(|file| Self::Rewind(Some(file))),
            _ => return None,
        })
    }

    /// Does it.
    pub(super) async fn perform(self, ioc: SimIoc) -> Done {
        // What takes its time is not for the thread that serves.
        let elsewhere = |work: Box<dyn FnOnce() -> Done + Send>| async {
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or_else(|_| Err("the program ends".to_owned()))
        };
        match self {
            Self::Step(step) => match ioc.step_async(step).await {
                Ok(Some(went)) => Ok(vec![format!("{} s", went.as_secs_f64())]),
                Ok(None) => Err("nothing will be due by itself".to_owned()),
                Err(error) => Err(error.to_string()),
            },
            Self::Snapshot(None) => {
                elsewhere(Box::new(move || {
                    let taken = ioc.snapshot();
                    if let Ok(taken) = &taken {
                        ioc.with(|ioc, _| ioc.keep(taken.clone()));
                    }
                    kept(taken)
                }))
                .await
            }
            Self::Rewind(None) => elsewhere(Box::new(move || rewind(&ioc))).await,
            Self::Snapshot(Some(file)) => {
                elsewhere(Box::new(move || {
                    let taken = ioc.snapshot();
                    kept(taken.and_then(|taken| taken.write(&file).map(|()| taken)))
                }))
                .await
            }
            Self::Rewind(Some(file)) => {
                elsewhere(Box::new(move || {
                    let read = IocSnapshot::read(&file).and_then(|read| ioc.rewind(&read));
                    let name = file.display();
                    read.map_err(|error| match &error {
                        SnapshotError::File { .. } => one_line(&error),
                        _ => one_line(&format!("{name}: {error}")),
                    })?;
                    Ok(Vec::new())
                }))
                .await
            }
        }
    }
}

/// Where a snapshot of this name is.
fn place(snapshots: Option<&Path>, name: &str) -> Result<PathBuf, String> {
    let directory =
        snapshots.ok_or("there is no directory for files; start it with --snapshots DIR")?;
    let is_name = !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "._-+ ".contains(c));
    match is_name {
        true => Ok(directory.join(name)),
        false => Err(
            "the name of a snapshot has letters, digits and . _ - +, and no directory".to_owned(),
        ),
    }
}

fn one_line(what: &impl ToString) -> String {
    escape::printable(&what.to_string()).into_owned()
}

/// What was taken.
fn kept(taken: Result<IocSnapshot, SnapshotError>) -> Done {
    let taken = taken.map_err(|error| one_line(&error))?;
    Ok(vec![format!("{} bytes", taken.as_bytes().len())])
}

/// Goes back to the snapshot that is kept.
fn rewind(ioc: &SimIoc) -> Done {
    let snapshot = ioc.with(|ioc, _| ioc.kept_snapshot().cloned());
    let snapshot = snapshot.ok_or("there is no snapshot; take one with `snapshot`")?;
    ioc.rewind(&snapshot).map_err(|error| one_line(&error))?;
    Ok(Vec::new())
}

/// Begins and ends faults; they have words of their own.
fn fault(ioc: &SimIoc, line: &str) -> Done {
    let order = line.trim_start().strip_prefix("fault").unwrap_or_default();
    let done = ioc.with(|ioc, now| ioc.fault(now, order.trim()));
    let printable = |text: &str| escape::printable(text).into_owned();
    match done {
        Ok(lines) => Ok(lines.iter().map(|line| printable(line)).collect()),
        Err(error) => Err(printable(&error.to_string())),
    }
}

/// A PV or field as a line.
#[derive(Serialize)]
struct Line<'a> {
    pv: &'a str,
    #[serde(flatten)]
    sample: JsonSample,
}

fn read(ioc: &SimIoc, pv: &str) -> Result<String, String> {
    let snapshot = ioc.read(pv).map_err(unknown)?;
    let is_array = snapshot.value.count() != 1 || room(ioc, pv) > 1;
    let sample = Sample::from_snapshot(snapshot);
    let sample = JsonSample::new(&sample, is_array, false);
    serde_json::to_string(&Line { pv, sample }).map_err(|error| error.to_string())
}

/// What the rules say of a client.
#[derive(Serialize)]
struct AccessLine<'a> {
    pv: &'a str,
    access: &'static str,
    group: &'a str,
    level: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    trapwrite: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    why_not: &'a str,
}

fn access(ioc: &SimIoc, pv: &str, user: &str, host: &str) -> Done {
    let report = ioc
        .with(|ioc, _| ioc.access(pv, user, host))
        .map_err(unknown)?;
    let report = report.ok_or("there are no rules; start it with --acf FILE")?;
    let decided = &report.decided;
    let line = AccessLine {
        pv,
        access: report.access.name(),
        group: &decided.group,
        level: decided.level,
        rule: decided.rule.as_ref().map(ToString::to_string),
        trapwrite: decided.traps_writes,
        why_not: &report.why_not,
    };
    let line = serde_json::to_string(&line).map_err(|error| error.to_string())?;
    Ok(vec![line])
}

fn unknown(error: ca_server_sim::PostError) -> String {
    match error {
        ca_server_sim::PostError::UnknownPv { name } => {
            let name = escape::printable(&name);
            format!("there is no PV or field {name}; `list` shows the PVs")
        }
        other => escape::printable(&other.to_string()).into_owned(),
    }
}

/// Elements that a PV has room for.
fn room(ioc: &SimIoc, pv: &str) -> u32 {
    let elements = ioc.with(|ioc, _| ioc.number(format!("{pv}.NELM").as_str()));
    // A number of 32 bits.
    elements.map_or(1, |elements| elements as u32)
}

fn list(ioc: &SimIoc, pattern: &Pattern) -> Done {
    let names = ioc.with(|ioc, _| {
        let names = ioc
            .pv_names()
            .filter(|name| pattern.matches(name.as_bytes()));
        names.map(str::to_owned).collect::<Vec<_>>()
    });
    // One that is removed meanwhile is no error.
    Ok(names
        .iter()
        .filter_map(|name| read(ioc, name).ok())
        .collect())
}

fn post(ioc: &SimIoc, pv: &str, values: &[&str]) -> Done {
    let snapshot = ioc.read(pv).map_err(unknown)?;
    let target = Target {
        pv,
        native: snapshot.value.native(),
        count: room(ioc, pv),
        states: &snapshot.meta.states,
    };
    let plain = |value: &&str| escape::bytes(value.as_bytes()).map_err(|error| error.to_string());
    let values = values.iter().map(plain).collect::<Result<Vec<_>, _>>()?;
    let value = input::value(&target, Mode::Native, &values)
        .map_err(|error| format!("{}; {}", error.what, error.remedy))?;
    ioc.post(pv, value).map_err(unknown)?;
    Ok(Vec::new())
}

fn alarm(ioc: &SimIoc, pv: &str, severity: &str, status: Option<&str>) -> Done {
    let find = AlarmSeverity::ALL.iter();
    let severity = find
        .copied()
        .find(|known| known.name() == Some(severity))
        .ok_or("a severity is NO_ALARM, MINOR, MAJOR or INVALID")?;
    let status = match status {
        None => AlarmStatus::SOFT,
        Some(status) => {
            let mut all = AlarmStatus::ALL.iter();
            let found = all.find(|known| known.name() == Some(status)).copied();
            found.ok_or_else(|| {
                let names = AlarmStatus::ALL.iter().filter_map(|status| status.name());
                let names = names.collect::<Vec<_>>().join(", ");
                format!(
                    "there is no status {}; there are {names}",
                    escape::printable(status)
                )
            })?
        }
    };
    let alarm = match severity {
        AlarmSeverity::NO_ALARM => Alarm::NONE,
        severity => Alarm::new(status, severity),
    };
    ioc.with(|ioc, now| ioc.set_alarm(now, pv, alarm))
        .map_err(unknown)?;
    Ok(Vec::new())
}

fn set_rights(ioc: &SimIoc, pv: &str, rights: &str) -> Done {
    let rights = match rights {
        "none" => AccessRights::NONE,
        "read" => AccessRights::READ,
        "write" => AccessRights::WRITE,
        "read-write" => AccessRights::ALL,
        _ => return Err("rights are none, read, write or read-write".to_owned()),
    };
    ioc.with(|ioc, now| ioc.set_rights(now, pv, rights))
        .map_err(unknown)?;
    Ok(Vec::new())
}

fn complete(ioc: &SimIoc, pv: &str, status: &str) -> Done {
    let status = match status {
        "ECA_NORMAL" => EcaStatus::NORMAL,
        "ECA_PUTFAIL" => EcaStatus::PUTFAIL,
        _ => return Err("a put ends with ECA_NORMAL or ECA_PUTFAIL".to_owned()),
    };
    match ioc
        .with(|ioc, now| ioc.finish_put(now, pv, status))
        .map_err(unknown)?
    {
        true => Ok(Vec::new()),
        false => Err(format!(
            "{} is not busy with a write",
            escape::printable(pv)
        )),
    }
}

/// An error in one line.
fn told(error: &BuildError) -> String {
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    escape::printable(&lines.join("; ")).into_owned()
}

fn add(ioc: &SimIoc, what: &str) -> Done {
    let word = what.trim_start().split(['(', ' ']).next();
    let added = match word {
        Some("record" | "grecord") => {
            let loaded = RecordFiles::new().text(what, "").load();
            ioc.with(|ioc, now| ioc.add_records(now, loaded)).map(drop)
        }
        _ => match ca_server_sim::describe::parse(what) {
            Ok((name, spec)) => ioc.with(|ioc, now| ioc.add(now, name, spec)).map(drop),
            Err(error) => Err(error.into()),
        },
    };
    added.map_err(|error| told(&error))?;
    Ok(Vec::new())
}

fn remove(ioc: &SimIoc, pvs: &[&str]) -> Done {
    let gone = |pv: &&&str| !ioc.with(|ioc, now| ioc.remove(now, **pv));
    let unknown: Vec<_> = pvs
        .iter()
        .filter(gone)
        .map(|pv| escape::printable(pv))
        .collect();
    match unknown.is_empty() {
        true => Ok(Vec::new()),
        false => Err(format!(
            "there is no PV {}; `list` shows the PVs",
            unknown.join(", ")
        )),
    }
}

fn rename(ioc: &SimIoc, old: &str, new: &str) -> Done {
    let renamed = ioc.with(|ioc, now| ioc.rename_record(now, old, new));
    renamed.map_err(|error| told(&error))?;
    Ok(Vec::new())
}

fn stats(ioc: &SimIoc) -> Vec<String> {
    let stats = ioc.with(|ioc, _| ioc.stats());
    let serves = if ioc.is_running() {
        "serves"
    } else {
        "stopped"
    };
    let mut lines = vec![
        format!("{serves} on {}, UDP port {}", ioc.addr(), ioc.udp_port()),
        format!(
            "{} circuits, {} channels, {} subscriptions, {} searches, {} found",
            stats.circuits,
            stats.channels,
            stats.subscriptions,
            stats.search.searches,
            stats.search.found
        ),
    ];
    if ioc.is_frozen() {
        lines.push("time stands still".to_owned());
    }
    let met = stats.limits.iter().filter(|&(_, times)| times > 0);
    lines.extend(met.map(|(limit, times)| format!("{}: met {times} times", limit.setting())));
    lines
}

/// Why the IOC does not serve again.
pub(super) fn cannot_start(error: &ServeError) -> String {
    format!("{error}; it is still stopped")
}

/// Lines of commands; each is answered by lines of printable text, the last of which says how it ended.
#[cfg(feature = "world")]
pub(crate) fn fuzz(data: &[u8]) {
    use std::net::Ipv4Addr;

    use ca_proto::text::is_plain;
    use ca_server_sim::net::NetConfig;
    use ca_server_sim::{Ioc, PvSpec};

    /// Longest input looked at, in bytes.
    const MAX_INPUT: usize = 1024;
    let runtime = ca_testkit::runtime::SimRuntime::new(1);
    let pvs = [
        ("x", PvSpec::double(1.5).units("mm").alarm(-1.0, 10.0)),
        ("note", PvSpec::string("hello")),
        ("valve", PvSpec::enumeration(["Off", "On"], 1)),
        ("wave", PvSpec::array(vec![1_i32, 2, 3])),
        ("slow", PvSpec::long(0).completes_never()),
    ];
    let ioc = Ioc::builder().pvs(pvs).build().expect("PVs that can be");
    let host = runtime.host(Ipv4Addr::new(10, 0, 0, 1));
    let config = NetConfig::new().repeater(None);
    let ioc = SimIoc::start_on(host, ioc, config).expect("a network with nobody else on it");
    let text = String::from_utf8_lossy(&data[..data.len().min(MAX_INPUT)]);
    for line in text.lines() {
        let Ok(done) = execute(&ioc, line) else {
            continue;
        };
        let failed = done.is_err();
        let answer = reply(done);
        let lines: Vec<&str> = answer.split('\n').collect();
        assert!(
            lines.iter().all(|line| line.chars().all(is_plain)),
            "{line:?}: {answer:?}"
        );
        let last = lines.last().copied().unwrap_or_default();
        assert_eq!(failed, last.starts_with("error: "), "{line:?}: {answer:?}");
        assert!(failed || last == "ok", "{line:?}: {answer:?}");
    }
}
