//! Clients of other implementations as judges of a server: runs them and reads what they found.

use std::time::{Duration, Instant};

use crate::peer::Python;
use crate::table::{Outcome, Outcomes};

/// Time a client has for all of its checks.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a client script against the server on `port`; the outcome of each of its checks.
///
/// A client that cannot be run, or ends before its last check, has a failed check "run".
pub fn run(python: &Python, script: &str, port: u16, prefix: &str) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut peer = match python.start(script, port, prefix, &["--stdin"]) {
        Ok(peer) => peer,
        Err(error) => return vec![("run".into(), Outcome::Failed(error.to_string()))],
    };
    let deadline = Instant::now() + LIMIT;
    loop {
        match peer.line(deadline) {
            Some(line) if line == "DONE" => break,
            Some(line) => outcomes.extend(outcome(&line)),
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
