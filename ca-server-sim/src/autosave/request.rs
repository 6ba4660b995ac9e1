//! Request files: which fields are saved.

use ca_proto::text::Shown;

use super::{MAX_FIELDS, MAX_FILE, MAX_INCLUDES};
use crate::load::{FileProblem, Files, Macros};

/// What a request file asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// The fields, each once, in the order of the file.
    pub fields: Vec<String>,
    /// What is wrong, with file and line; the rest goes on.
    pub odd: Vec<String>,
}

/// Remarks on one request.
const MAX_ODD: usize = 50;

/// Reads a request file with macros as `A=1,B=2`, and those that it includes (`file x.req P=$(P)`).
///
/// ```
/// use ca_server_sim::autosave::read_request;
/// use ca_server_sim::load::InMemory;
///
/// let files = InMemory::from([
///     ("all.req", "file \"gap.req\" P=$(P) N=1\n# comment\n$(P)mode\n"),
///     ("gap.req", "$(P)gap$(N).VAL\n"),
/// ]);
/// let request = read_request(&files, "all.req", "P=sr:");
/// assert_eq!(request.fields, ["sr:gap1.VAL", "sr:mode"]);
/// ```
pub fn read_request(files: &dyn Files, name: &str, macros: &str) -> Request {
    let mut reader = Reader {
        files,
        request: Request::default(),
        seen: hashbrown::HashSet::new(),
        lines: 0,
    };
    reader.file(name, macros, 0, None);
    reader.request
}

struct Reader<'a> {
    files: &'a dyn Files,
    request: Request,
    seen: hashbrown::HashSet<String>,
    lines: usize,
}

impl Reader<'_> {
    fn remark(&mut self, what: String) {
        if self.request.odd.len() < MAX_ODD {
            self.request.odd.push(Shown(what).to_string());
        }
    }

    fn file(&mut self, name: &str, macros: &str, depth: usize, from: Option<&str>) {
        let place = from.map_or_else(String::new, |from| format!("{from}: "));
        if depth >= MAX_INCLUDES {
            return self.remark(format!(
                "{place}{MAX_INCLUDES} request files include each other, the most there may be"
            ));
        }
        let text = match self.files.read(name, MAX_FILE) {
            Ok(text) => text,
            Err(problem) => {
                let why = match problem {
                    FileProblem::Missing => "there is no such file".to_owned(),
                    FileProblem::TooLarge => format!("it has more than {MAX_FILE} bytes"),
                    FileProblem::Unreadable(why) => why,
                };
                return self.remark(format!("{place}request file {name}: {why}"));
            }
        };
        let mut defined = Macros::new();
        defined.define(macros);
        for (line, number) in text.split(|&b| b == b'\n').zip(1..) {
            self.lines += 1;
            if self.lines > MAX_FIELDS {
                let place = format!("{name}:{number}");
                return self.remark(format!(
                    "{place}: more than {MAX_FIELDS} lines, nothing more is read"
                ));
            }
            self.line(name, number, line, &mut defined, depth);
        }
    }

    fn line(&mut self, name: &str, number: usize, line: &[u8], defined: &mut Macros, depth: usize) {
        let place = || format!("{name}:{number}");
        if line.trim_ascii_start().starts_with(b"#") {
            return;
        }
        let expanded = defined.expand(line);
        for problem in &expanded.problems {
            let text = String::from_utf8_lossy(line.trim_ascii()).into_owned();
            self.remark(format!("{}: {problem}: {text}", place()));
        }
        if !expanded.problems.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&expanded.text).into_owned();
        let text = text.trim();
        let Some(word) = text.split_ascii_whitespace().next() else {
            return;
        };
        if let Some(rest) = text
            .strip_prefix("file")
            .filter(|rest| rest.starts_with([' ', '\t', '"']))
        {
            let (file, macros) = include(rest);
            return self.file(&file, &macros, depth + 1, Some(&place()));
        }
        if !word.starts_with(|c: char| c.is_alphanumeric() || "_-:[]<>;/".contains(c)) {
            return self.remark(format!("{}: `{word}` is no field", place()));
        }
        if self.seen.insert(word.to_owned()) {
            self.request.fields.push(word.to_owned());
        }
    }
}

/// `"x.req" P=1, Q=2`: the file and its macros, blanks between which count as commas.
fn include(rest: &str) -> (String, String) {
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('"').unwrap_or(rest).trim_start();
    let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '#');
    let (file, macros) = rest.split_at(end.unwrap_or(rest.len()));
    let macros = macros.replace('"', "");
    let words = macros.split(|c: char| c.is_whitespace() || c == ',');
    let words: Vec<&str> = words.filter(|word| word.contains('=')).collect();
    (file.to_owned(), words.join(","))
}
