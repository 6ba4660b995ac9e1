//! Judges any Channel Access server, or [client], from raw frames: no state machine of this
//! project takes part, so that a server and a client with the same mistake do not agree on it.
//!
//! The checks are tables in `checks`; each one says what it demands, and of which section of the
//! protocol text. A check works on circuits of its own. The program `canter conformance` is the face of
//! this library on the command line.
//!
//! [`run`] blocks until every check has ended; a server in the same process needs a thread of its own:
//!
//! ```
//! use ca_conformance::{Target, run};
//! use ca_server_sim::{Ioc, NetConfig, PvSpec};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokio = tokio::runtime::Builder::new_multi_thread()
//!     .worker_threads(1)
//!     .enable_all()
//!     .build()?;
//! let pvs = Ioc::builder().pv("x", PvSpec::double(1.5));
//! let ioc = tokio.block_on(pvs.serve(NetConfig::new()))?;
//! let mut target = Target::new(ioc.addr(), "x");
//! target.udp_port = Some(ioc.udp_port());
//!
//! let report = run(&target, &["echo".to_owned()])?;
//! assert_eq!(report.counts().fail, 0);
//! report.text(&mut std::io::stdout(), true)?;
//! # Ok(())
//! # }
//! ```

mod bare;
mod bytes;
mod checks;
pub mod client;
mod demand;
mod lab;
mod layout;
mod log;
pub mod report;
mod udp;
mod verdict;

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// The protocol's crate, of which types stand in signatures.
pub use ca_proto;
use demand::{check, defect};
use lab::{Lab, Role};

pub use report::{Group, Report, Verdicts};
pub use verdict::Outcome;
use verdict::{Miss, Verdict};

/// The server to judge, and its PVs that the checks may use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where it accepts circuits.
    pub tcp: SocketAddrV4,
    /// The port on which it is searched; `None` leaves those checks out.
    pub udp_port: Option<u16>,
    /// Longest time for one answer.
    pub patience: Duration,
    /// A single number that may be written; it is restored.
    pub pv: String,
    /// An array of numbers that may be written; it is restored.
    pub array: Option<String>,
    /// An enumeration that may be written; it is restored.
    pub enumeration: Option<String>,
    /// A string that may be written; it is restored.
    pub string: Option<String>,
    /// A PV without write access.
    pub readonly: Option<String>,
    /// A number whose puts take a while to complete, at least 0.3 s and less than 2 s.
    pub slow: Option<String>,
}

impl Target {
    /// A server that is searched at the port of its circuits, with one number.
    pub fn new(tcp: SocketAddrV4, pv: impl Into<String>) -> Self {
        Self {
            tcp,
            udp_port: Some(tcp.port()),
            patience: Duration::from_secs(2),
            pv: pv.into(),
            array: None,
            enumeration: None,
            string: None,
            readonly: None,
            slow: None,
        }
    }

    fn name(&self, role: Role) -> Option<&str> {
        match role {
            Role::Pv => Some(&self.pv),
            Role::Array => self.array.as_deref(),
            Role::Enum => self.enumeration.as_deref(),
            Role::Text => self.string.as_deref(),
            Role::ReadOnly => self.readonly.as_deref(),
            Role::Slow => self.slow.as_deref(),
        }
    }
}

/// One demand on a server.
type Check = demand::Check<fn(&Lab<'_>) -> Verdict>;

/// The groups by which checks can be chosen, in the order they run.
pub fn groups() -> impl Iterator<Item = &'static str> {
    checks::ALL.iter().map(|(name, ..)| *name)
}

/// Every check: group, id, demand, and the number of the reference's defect.
pub fn list() -> impl Iterator<Item = (&'static str, String, &'static str, Option<&'static str>)> {
    checks::ALL.iter().flat_map(|(group, _, tables)| {
        let all = tables.iter().copied().flatten();
        all.map(move |check| {
            let id = format!("{group}.{}", check.id);
            (*group, id, check.demands, check.defect)
        })
    })
}

/// Runs the checks of the groups that are wanted; all of them if `wanted` is empty.
///
/// # Errors
/// If the server cannot be judged at all: no circuit, or its `pv` cannot be read or is not a single
/// number. The text says what is wrong.
pub fn run(target: &Target, wanted: &[String]) -> Result<Report, String> {
    let lab = Lab::new(target);
    lab.prepare().map_err(|miss| match miss {
        Miss::Fail(what) | Miss::Skip(what) => what,
    })?;
    let begin = Instant::now();
    let mut groups = Vec::new();
    let mut gone = None;
    for (name, title, tables) in checks::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|group| group == name) {
            continue;
        }
        let all = tables.iter().copied().flatten();
        groups.push(Group {
            name,
            title,
            checks: all
                .map(|check| judge(&lab, name, check, &mut gone))
                .collect(),
        });
    }
    Ok(Report {
        subject: target.tcp.to_string(),
        groups,
        elapsed: begin.elapsed(),
    })
}

/// Runs one check. Where the server did not survive an earlier one, `gone` names that.
fn judge(lab: &Lab<'_>, group: &str, check: &Check, gone: &mut Option<String>) -> Verdicts {
    lab.begin();
    let begin = Instant::now();
    let verdict = match gone {
        Some(id) => Err(verdict::skip(format!("the server is gone since {id}"))),
        None => (check.run)(lab),
    };
    let elapsed = begin.elapsed();
    let transcript = lab.log.lines();
    let restored = lab.restore();
    let outcome = match (verdict, restored) {
        (Ok(()), Ok(())) => Outcome::Pass,
        (Err(Miss::Skip(why)), _) => Outcome::Skipped(why),
        (Err(Miss::Fail(what)), _) if lab.connect().is_err() => {
            *gone = Some(format!("{group}.{}", check.id));
            Outcome::Fail(format!(
                "{what}; after this check the server accepts no circuit"
            ))
        }
        (Err(Miss::Fail(what)), _) if check.defect.is_some() => Outcome::Differs(what),
        (Err(Miss::Fail(what)), _) => Outcome::Fail(what),
        (Ok(()), Err(Miss::Fail(what) | Miss::Skip(what))) => Outcome::Fail(what),
    };
    Verdicts {
        id: format!("{group}.{}", check.id),
        demands: check.demands,
        defect: check.defect,
        outcome,
        elapsed,
        transcript,
    }
}
