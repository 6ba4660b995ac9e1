//! What was found, for people and for programs.

use std::io::{self, Write};
use std::time::Duration;

use ca_proto::text::is_plain;
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

    /// Writes the report as JUnit XML: one test suite for each group.
    ///
    /// # Errors
    /// Those of the output.
    pub fn junit(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let all = self.counts();
        writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
        writeln!(
            out,
            r#"<testsuites name="conformance of {}" tests="{}" failures="{}" time="{:.3}">"#,
            escaped(&self.subject),
            self.checks().count(),
            all.fail,
            self.elapsed.as_secs_f64()
        )?;
        for group in &self.groups {
            let counts = group.counts();
            writeln!(
                out,
                r#"  <testsuite name="{}" tests="{}" failures="{}" skipped="{}">"#,
                group.name,
                group.checks.len(),
                counts.fail,
                counts.skipped + counts.differs
            )?;
            for check in &group.checks {
                case(out, group.name, check)?;
            }
            writeln!(out, "  </testsuite>")?;
        }
        writeln!(out, "</testsuites>")
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

fn case(out: &mut (impl Write + ?Sized), group: &str, check: &Verdicts) -> io::Result<()> {
    let time = check.elapsed.as_secs_f64();
    write!(
        out,
        r#"    <testcase classname="{group}" name="{}" time="{time:.3}""#,
        escaped(&check.id)
    )?;
    let detail = escaped(check.outcome.detail());
    match &check.outcome {
        Outcome::Pass => return writeln!(out, "/>"),
        Outcome::Fail(_) => {
            writeln!(
                out,
                r#"><failure message="{detail}">{}"#,
                escaped(check.demands)
            )?;
            for line in &check.transcript {
                writeln!(out, "{}", escaped(line))?;
            }
            write!(out, "</failure>")?;
        }
        Outcome::Differs(_) => {
            let number = check.defect.unwrap_or_default();
            write!(out, r#"><skipped message="differs, {number}: {detail}"/>"#)?;
        }
        Outcome::Skipped(_) => write!(out, r#"><skipped message="{detail}"/>"#)?,
    }
    writeln!(out, "</testcase>")
}

/// Text as XML may hold it: control characters are no part of it, and what is not seen helps nobody.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if !is_plain(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
