//! Why a write was refused: for the log, and for who asks.

use std::time::Duration;

use ca_proto::Instant;
use ca_proto::server::Identity;

use super::guard::{Guard, Question};
use super::rules::{Access, Rule};
use crate::calc::ARGUMENTS;

/// Rules that an explanation names at most.
const MAX_REASONS: usize = 4;
/// Lines about refused writes that may come at once; then one each second.
const BURST: u32 = 16;
/// Lines that wait to be written.
const MAX_LINES: usize = 32;

/// How often refused writes are told.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Lines that were told, less one for each second.
    told: u32,
    since: Option<Instant>,
    /// Refused writes that were not told.
    unsaid: u64,
}

impl Pace {
    /// Whether another line may be told, and how many were not since the last.
    fn next(&mut self, now: Instant) -> Option<u64> {
        let since = *self.since.get_or_insert(now);
        let passed = now.checked_duration_since(since).map_or(0, |d| d.as_secs());
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.told = self.told.saturating_sub(passed);
        self.since = Some(since + Duration::from_secs(passed.into()));
        if self.told >= BURST {
            self.unsaid += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl Guard {
    /// Notes for the log that a write was refused.
    pub(crate) fn note_refused(
        &mut self,
        now: Instant,
        name: &str,
        field: &str,
        question: Question<'_>,
    ) {
        if self.lines.len() >= MAX_LINES {
            return;
        }
        let Some(unsaid) = self.pace.next(now) else {
            return;
        };
        let who = question.who;
        let why = self.why_not(question, Access::Write);
        let mut line = format!("{who} may not write {name}.{field}: {why}");
        if unsaid > 0 {
            line.push_str(&format!(" ({unsaid} refused writes before were not told)"));
        }
        self.lines.push_back(line);
    }

    /// Which rules would have to let a client do something, and why none does.
    pub(crate) fn why_not(&self, question: Question<'_>, wanted: Access) -> String {
        let group = self.group_name(question.group);
        let word = wanted.name();
        let mut why = format!("group {group}, level {}", question.level);
        if group != question.group && !question.group.is_empty() {
            why.push_str(&format!(" (there is no group {})", question.group));
        }
        let Some((rules, inputs)) = self.rules(question.group) else {
            return why + ": there is no such group";
        };
        let rules = rules.filter(|(rule, _)| rule.access >= wanted);
        let reasons = rules.map(|(rule, counts)| {
            let reason = self.reason(rule, counts, question, inputs.bad, &inputs.values);
            format!("{} {reason}", rule.place)
        });
        let mut reasons: Vec<String> = reasons.take(MAX_REASONS + 1).collect();
        let more = reasons.len() > MAX_REASONS;
        reasons.truncate(MAX_REASONS);
        if reasons.is_empty() {
            return format!("{why}: no rule allows {word}");
        }
        let end = if more { "; and more" } else { "" };
        format!("{why}: {}{end}", reasons.join("; "))
    }

    fn reason(
        &self,
        rule: &Rule,
        counts: bool,
        question: Question<'_>,
        bad: u32,
        values: &[f64; ARGUMENTS],
    ) -> String {
        let Identity { user, .. } = question.who;
        let host = self.host(question.who);
        let (user, host) = (
            String::from_utf8_lossy(user),
            String::from_utf8_lossy(&host),
        );
        let security = self.security();
        let shown = |text: &str| text.escape_debug().to_string();
        if rule.is_ignored {
            return "never counts".into();
        }
        if question.level > rule.level {
            return format!("is for fields up to level {}", rule.level);
        }
        if !security.is_for_user(rule, &user) {
            return format!("is not for user {}", shown(&user));
        }
        if !security.is_for_host(rule, &host.to_lowercase()) {
            return format!("is not for host {}", shown(&host));
        }
        if counts {
            return "allows it".into();
        }
        let reads = rule
            .condition
            .as_ref()
            .map_or(0, |condition| condition.reads());
        let inputs = (0..ARGUMENTS).filter(|at| reads & (1 << at) != 0);
        let inputs = inputs.map(|at| {
            // One of 21 letters.
            let letter = char::from(b'A' + at as u8);
            match bad & (1 << at) {
                0 => format!("{letter} = {}", values[at]),
                _ => format!("{letter} has no value"),
            }
        });
        let inputs: Vec<String> = inputs.collect();
        format!("does not count now ({})", inputs.join(", "))
    }
}
