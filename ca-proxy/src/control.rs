//! The line protocol: one command per line, any number of lines back, the last `ok` or `error: …`.

use ca_proto::Instant;

use super::engine::Engine;
use super::rule::{How, Rule};
use super::script;

const HELP: &str = "\
on ID…        switch rules on; after and times count anew
off ID…       switch rules off; ID may be `all`
add RULE      one more rule: on = \"search\", action = \"drop\", id = \"deaf\"
replace ID RULE
              another rule in this place
remove ID…    forget rules; ID may be `all`
list          rules: id, state, faults/matches, text
stats         circuits and datagrams
cut N [reset] end circuit N
help          this
quit          end the proxy";

/// What a line asks for.
#[derive(PartialEq, Debug)]
pub(crate) struct Reply {
    /// The answer, with its last line.
    pub(crate) text: String,
    /// Whether something may have changed that circuits have to look at.
    pub(crate) changed: bool,
    /// Whether the proxy is to end.
    pub(crate) quit: bool,
}

/// Executes a line.
pub(crate) fn execute(engine: &mut Engine, now: Instant, line: &str) -> Reply {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (mut changed, mut quit) = (false, false);
    let done = match words[..] {
        ["on", ref ids @ ..] if !ids.is_empty() => {
            changed = true;
            each(ids, |id| engine.switch(now, id, true))
        }
        ["off", ref ids @ ..] if !ids.is_empty() => {
            changed = true;
            each(ids, |id| engine.switch(now, id, false))
        }
        ["remove", ref ids @ ..] if !ids.is_empty() => {
            changed = true;
            each(ids, |id| engine.remove(now, id))
        }
        ["add", _, ..] => {
            changed = true;
            let id = engine.free_id();
            rule(after(line, 1), &id)
                .and_then(|rule| engine.add(now, rule))
                .map(|()| Vec::new())
        }
        ["replace", id, _, ..] => {
            changed = true;
            rule(after(line, 2), id)
                .and_then(|rule| engine.replace(now, id, rule))
                .map(|()| Vec::new())
        }
        ["add" | "replace"] | ["replace", _] => {
            Err("give a rule such as: add on = \"search\", action = \"drop\"".to_owned())
        }
        ["on" | "off" | "remove"] => Err("name the rules; `list` shows them".to_owned()),
        ["list"] => Ok(engine.list()),
        ["stats"] => Ok(engine.stats()),
        ["cut", id] | ["cut", id, "reset"] => {
            changed = true;
            let how = if words.len() == 3 {
                How::Reset
            } else {
                How::Close
            };
            let number = id.trim_start_matches('#').parse().ok();
            if number.is_some_and(|number| engine.cut(number, how)) {
                Ok(Vec::new())
            } else {
                Err(format!("there is no circuit {id}; `stats` shows them"))
            }
        }
        ["help"] => Ok(HELP.lines().map(str::to_owned).collect()),
        ["quit"] => {
            quit = true;
            Ok(Vec::new())
        }
        _ => Err(format!(
            "there is no command `{}`; `help` shows them",
            line.trim()
        )),
    };
    let text = match done {
        Ok(mut lines) => {
            lines.push("ok".to_owned());
            lines.join("\n")
        }
        Err(what) => format!("error: {what}"),
    };
    Reply {
        text,
        changed,
        quit,
    }
}

fn each(ids: &[&str], mut act: impl FnMut(&str) -> bool) -> Result<Vec<String>, String> {
    match ids.iter().find(|id| !act(id)) {
        None => Ok(Vec::new()),
        Some(id) => Err(format!("there is no rule {id}; `list` shows them")),
    }
}

/// What stands behind so many words.
fn after(line: &str, words: usize) -> &str {
    (0..words).fold(line, |line, _| {
        let split = line.trim_start().split_once(char::is_whitespace);
        split.map_or("", |(_, rest)| rest)
    })
}

fn rule(text: &str, id: &str) -> Result<Rule, String> {
    let rule = script::parse_line(text.trim(), id);
    rule.map_err(|error| {
        format!(
            "{}; {}",
            error.what.trim_end().replace('\n', " "),
            error.remedy
        )
    })
}
