//! The line protocol: one command per line, any number of lines back, the last `ok` or `error: …`.

use ca_proto::Instant;

use super::engine::Engine;
use super::rule::How;

const HELP: &str = "\
on ID…        switch rules on; after and times count anew
off ID…       switch rules off; ID may be `all`
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
            switch(engine, now, ids, true)
        }
        ["off", ref ids @ ..] if !ids.is_empty() => {
            changed = true;
            switch(engine, now, ids, false)
        }
        ["on" | "off"] => Err("name the rules; `list` shows them".to_owned()),
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

fn switch(
    engine: &mut Engine,
    now: Instant,
    ids: &[&str],
    on: bool,
) -> Result<Vec<String>, String> {
    match ids.iter().find(|id| !engine.switch(now, id, on)) {
        None => Ok(Vec::new()),
        Some(id) => Err(format!("there is no rule {id}; `list` shows them")),
    }
}
