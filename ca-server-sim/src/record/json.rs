//! JSON in links: `{const:[1,2]}`, `{calc:{expr:"A+1",args:[…]}}`, with names and texts as JSON5 has them
//! (`dbJLink.c`, `lnkConst.c`, `lnkCalc.c`, `lnkState.c`, `lnkDebug.c` of EPICS Base).

use ca_proto::text::parse::strtod;

/// Deeper nesting is no link.
const DEEPEST: usize = 16;

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Json {
    /// A number, `true`, `false` or `null`, as it was written.
    Word(String),
    /// A text in quotes.
    Text(String),
    /// `[…]`
    Array(Vec<Self>),
    /// `{…}`
    Object(Vec<(String, Self)>),
}

impl Json {
    /// A value and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { rest: text.trim() };
        let value = parser.value(0)?;
        parser.rest.is_empty().then_some(value)
    }

    /// What an object has under a name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(all) => all
                .iter()
                .find(|(have, _)| have == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// A link: its kind and what that is given.
    pub(crate) fn link(&self) -> Option<(&str, &Self)> {
        match self {
            Self::Object(all) => all.first().map(|(kind, value)| (kind.as_str(), value)),
            _ => None,
        }
    }

    /// As a text: of numbers as they were written.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a number.
    pub(crate) fn number(&self) -> Option<f64> {
        let text = self.text()?.trim();
        let (number, length) = strtod(text.as_bytes()).ok()?;
        (length == text.len()).then_some(number)
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > DEEPEST {
            return None;
        }
        if self.take('{') {
            return self
                .all('}', |parser| {
                    let name = match parser.rest.chars().next()? {
                        '"' | '\'' => parser.text()?,
                        _ => parser.word()?,
                    };
                    parser.take(':').then_some(())?;
                    Some((name, parser.value(depth + 1)?))
                })
                .map(Json::Object);
        }
        if self.take('[') {
            return self
                .all(']', |parser| parser.value(depth + 1))
                .map(Json::Array);
        }
        match self.rest.chars().next()? {
            '"' | '\'' => self.text().map(Json::Text),
            _ => self.word().map(Json::Word),
        }
    }

    fn all<T>(&mut self, end: char, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut all = Vec::new();
        while !self.take(end) {
            all.push(one(self)?);
            if !self.take(',') {
                return self.take(end).then_some(all);
            }
        }
        Some(all)
    }

    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let body = self.rest.get(1..)?;
        let mut escaped = false;
        let end = body.find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        let text = ca_proto::text::unescape(body.get(..end)?.as_bytes());
        self.rest = body.get(end + 1..)?.trim_start();
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    fn word(&mut self) -> Option<String> {
        let end = self
            .rest
            .find(|c: char| ",:[]{}\"'".contains(c) || c.is_whitespace());
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        (!word.is_empty()).then(|| word.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quotes_and_commas_may_end_lists() {
        let json =
            Json::parse("{calc:{\"expr\": 'A+B', args:[1, \"a b\", {state:x},], prec:3}}").unwrap();
        let (kind, calc) = json.link().unwrap();
        assert_eq!(
            (kind, calc.get("expr").unwrap().text()),
            ("calc", Some("A+B"))
        );
        let Some(Json::Array(args)) = calc.get("args") else {
            panic!("{calc:?}");
        };
        assert_eq!((args.len(), args[0].number()), (3, Some(1.0)));
        for wrong in ["{a:}", "{a:1", "[1}", "{a:1} 2", ""] {
            assert_eq!(Json::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Json::parse(&"[".repeat(100)), None);
    }
}
