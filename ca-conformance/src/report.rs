//! What was found, for people and for programs.

use std::io::{self, Write};
use std::time::Duration;

use ca_proto::text::is_plain;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde::{Serialize, Serializer};

use super::verdict::Outcome;

/// How one check ended.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Verdicts {
    /// Group and name.
    pub id: String,
    /// What the protocol text demands, with its section.
    pub demands: &'static str,
    /// The number in the list of the reference's defects, if the reference does otherwise.
    pub defect: Option<&'static str>,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Time it took, in seconds when serialized.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// What was sent and received: decoded lines and hexadecimal ones.
    pub transcript: Vec<String>,
}

/// Checks of one section.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Group {
    /// The name by which it is chosen.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Its checks, in the order they ran.
    pub checks: Vec<Verdicts>,
}

/// How many checks ended in which way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Counts {
    /// As demanded.
    pub pass: usize,
    /// Not as demanded.
    pub fail: usize,
    /// With a defect that the reference has, too.
    pub differs: usize,
    /// Not applicable.
    pub skipped: usize,
}

/// The judgement of a server or of a client.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// Address of a server's circuits, or the command that starts a client.
    pub subject: String,
    /// The checks, grouped.
    pub groups: Vec<Group>,
    /// Time all took, in seconds when serialized.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Group {
    /// The outcomes, counted.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for check in &self.checks {
            *match check.outcome {
                Outcome::Pass => &mut counts.pass,
                Outcome::Fail(_) => &mut counts.fail,
                Outcome::Differs(_) => &mut counts.differs,
                Outcome::Skipped(_) => &mut counts.skipped,
            } += 1;
        }
        counts
    }
}

impl Report {
    /// Every check.
    pub fn checks(&self) -> impl Iterator<Item = &Verdicts> {
        self.groups.iter().flat_map(|group| &group.checks)
    }

    /// The outcomes, counted.
    pub fn counts(&self) -> Counts {
        self.groups.iter().map(Group::counts).fold(
            Counts::default(),
            |Counts {
                 pass,
                 fail,
                 differs,
                 skipped,
             },
             more| Counts {
                pass: pass + more.pass,
                fail: fail + more.fail,
                differs: differs + more.differs,
                skipped: skipped + more.skipped,
            },
        )
    }

    /// Writes the report for people: what did not pass with everything that was sent and received,
    /// what passed if `verbose`, and the counts of each group.
    ///
    /// # Errors
    /// Those of the output.
    pub fn text(&self, out: &mut (impl Write + ?Sized), verbose: bool) -> io::Result<()> {
        writeln!(out, "Conformance of {}", self.subject)?;
        for group in &self.groups {
            writeln!(out, "\n{} ({})", group.title, group.name)?;
            for check in &group.checks {
                line(out, check, verbose)?;
            }
            writeln!(out, "  {}", group.counts())?;
        }
        let time = self.elapsed.as_secs_f64();
        writeln!(out, "\n{} in {time:.1} s", self.counts())
    }

    /// Writes the report as JUnit XML: one test suite for each group. What differs as the reference does
    /// counts as skipped.
    ///
    /// # Errors
    /// Those of the output.
    pub fn junit(&self, out: &mut impl Write) -> io::Result<()> {
        let mut junit =
            quick_junit::Report::new(visible(&format!("conformance of {}", self.subject)));
        junit.set_time(self.elapsed);
        for group in &self.groups {
            let mut suite = TestSuite::new(group.name);
            suite.add_test_cases(group.checks.iter().map(|check| case(group.name, check)));
            junit.add_test_suite(suite);
        }
        junit.serialize(out).map_err(io::Error::other)
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            pass,
            fail,
            differs,
            skipped,
        } = self;
        write!(
            f,
            "{pass} passed, {fail} failed, {differs} differ as the reference does, "
        )?;
        write!(f, "{skipped} skipped")
    }
}

fn line(out: &mut (impl Write + ?Sized), check: &Verdicts, verbose: bool) -> io::Result<()> {
    let bad = matches!(check.outcome, Outcome::Fail(_) | Outcome::Differs(_));
    if !bad && !verbose && check.outcome == Outcome::Pass {
        return Ok(());
    }
    writeln!(
        out,
        "  {:<8}{}: {}",
        check.outcome.word(),
        check.id,
        check.demands
    )?;
    if check.outcome != Outcome::Pass {
        let number = check.defect.map_or(String::new(), |n| format!("{n}: "));
        writeln!(out, "          {number}{}", check.outcome.detail())?;
    }
    if bad || verbose && check.outcome == Outcome::Pass {
        for line in &check.transcript {
            writeln!(out, "            {line}")?;
        }
    }
    Ok(())
}

fn case(group: &str, check: &Verdicts) -> TestCase {
    let detail = visible(check.outcome.detail());
    let status = match &check.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail(_) => {
            let mut failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let lines = std::iter::once(check.demands)
                .chain(check.transcript.iter().map(String::as_str))
                .map(visible);
            failure
                .set_message(detail)
                .set_description(lines.collect::<Vec<_>>().join("\n"));
            failure
        }
        Outcome::Differs(_) => {
            let number = check.defect.unwrap_or_default();
            skipped(format!("differs, {number}: {detail}"))
        }
        Outcome::Skipped(_) => skipped(detail),
    };
    let mut case = TestCase::new(visible(&check.id), status);
    case.set_classname(group).set_time(check.elapsed);
    case
}

fn skipped(why: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}

/// Text in which what is not seen, which helps nobody, shows as a replacement.
fn visible(text: &str) -> String {
    let shown = |c| if is_plain(c) { c } else { '\u{fffd}' };
    text.chars().map(shown).collect()
}
