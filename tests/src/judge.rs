//! Clients of other implementations as judges of a server: runs them and reads what they found.

use std::time::{Duration, Instant};

use crate::checks::Stop;
use crate::checks::restart::Restart;
use crate::lacks;
use crate::peer::Python;
use crate::table::{Outcome, Outcomes};

/// Time a client has for all of its checks.
const LIMIT: Duration = Duration::from_secs(360);

/// Runs a client script against the server on `port`, which nobody controls; the outcome of each of
/// its checks.
///
/// A client that cannot be run, or ends before its last check, has a failed check "run".
pub fn run(python: &Python, script: &str, port: u16, prefix: &str) -> Outcomes {
    let nobody = |_: &str| "CANNOT the server is not controlled here".to_owned();
    follow(python, script, (port, prefix), &[], nobody)
}

/// As [`run`], with a server that the client can have stopped and started.
pub fn run_with(python: &Python, script: &str, served: &mut impl Restart) -> Outcomes {
    let server = served.server();
    let lacks = lacks::all(server.kind);
    let lacks: Vec<_> = lacks.iter().map(|(n, why)| format!("{n}={why}")).collect();
    let options = ["--lacks", &lacks.join("|")];
    let at = (server.address.port(), server.prefix.as_str());
    follow(python, script, at, &options, |what| answer(what, served))
}

/// Runs the script to its end, gives answers to what it wants and notes its outcomes.
fn follow(
    python: &Python,
    script: &str,
    (port, prefix): (u16, &str),
    options: &[&str],
    mut answer: impl FnMut(&str) -> String,
) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let options: Vec<_> = ["--stdin"].iter().chain(options).copied().collect();
    let mut peer = match python.start(script, port, prefix, &options) {
        Ok(peer) => peer,
        Err(error) => return vec![("run".into(), Outcome::Failed(error.to_string()))],
    };
    let deadline = Instant::now() + LIMIT;
    loop {
        match peer.line(deadline) {
            Some(line) if line == "DONE" => break,
            Some(line) => match line.strip_prefix("WANT ") {
                Some(what) => peer.tell(&answer(what)),
                None => outcomes.extend(outcome(&line)),
            },
            None => {
                let error = peer.error("ended before its last check, or took too long");
                outcomes.push(("run".into(), Outcome::Failed(error.to_string())));
                break;
            }
        }
    }
    // Not before: libca waits in its own way for the end of its threads.
    peer.stop();
    outcomes
}

/// Does what the client wants of the server, and says how that ended.
fn answer(what: &str, served: &mut impl Restart) -> String {
    let done = match what {
        "stop" => served.stop(),
        "start" => served.start(false),
        "start changed" => served.start(true),
        "stops" => {
            let stops = served.updates_stopped().map(|stops| stops.to_string());
            return format!("DONE {}", stops.as_deref().unwrap_or("unknown"));
        }
        other => Err(Stop::Failed(format!("nobody knows how to {other}"))),
    };
    match done {
        Ok(()) => "DONE".into(),
        Err(Stop::NotOffered(why)) => format!("CANNOT {why}"),
        Err(Stop::Failed(what)) => format!("FAILED {what}").replace('\n', " "),
    }
}

/// `ok NAME`, `FAIL NAME detail` or `n/a NAME reason`; other lines are chatter of libraries.
fn outcome(line: &str) -> Option<(String, Outcome)> {
    let mut words = line.splitn(3, ' ');
    let (verdict, name) = (words.next()?, words.next()?);
    let detail = words.next().unwrap_or_default().to_owned();
    let outcome = match verdict {
        "ok" => Outcome::Ok,
        "n/a" => Outcome::NotOffered(detail),
        "FAIL" => Outcome::Failed(detail),
        _ => return None,
    };
    Some((name.into(), outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_clients_are_outcomes() {
        assert_eq!(outcome("ok connect"), Some(("connect".into(), Outcome::Ok)));
        let failed = Outcome::Failed("value: 1, expected 2".into());
        assert_eq!(
            outcome("FAIL read value: 1, expected 2"),
            Some(("read".into(), failed))
        );
        let not = Outcome::NotOffered("no types".into());
        assert_eq!(outcome("n/a read no types"), Some(("read".into(), not)));
        assert_eq!(outcome("CA client library: hello"), None);
    }
}
