//! A line of the shell in its words and redirections.
//!
//! The rules are those of `iocsh.cpp` of EPICS Base: words end at blanks, commas and brackets; quotes of both kinds
//! keep everything but themselves, a backslash outside of them the next character.

/// Where a stream of a command goes to, or comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// 0 for `<`, 1 for `>`, the digit before it for the others.
    pub stream: u8,
    /// What is written goes behind what is in the file (`>>`).
    pub append: bool,
    /// The file.
    pub file: String,
}

/// A line in its parts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Words {
    /// The command and its arguments.
    pub words: Vec<String>,
    /// Each stream at most once; the last one of a stream counts.
    pub redirects: Vec<Redirect>,
}

/// Why a line has no words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WordsError {
    /// `>` or `<` without a file.
    #[error("Illegal redirection: `>` and `<` are followed by the name of a file.")]
    Redirect,
    /// A quote that does not end.
    #[error("Unbalanced quote.")]
    Quote,
    /// Nothing behind a backslash.
    #[error("Trailing backslash.")]
    Backslash,
}

/// The word that is being read.
enum Into {
    Argument,
    Redirect(u8, bool),
}

/// Splits a line, whose macros are expanded.
///
/// ```
/// use ca_server_sim::shell::split;
///
/// let line = split(r#"dbLoadRecords("x.db", 'P=A,Q=b c') >> out"#)?;
/// assert_eq!(line.words, ["dbLoadRecords", "x.db", "P=A,Q=b c"]);
/// assert_eq!((line.redirects[0].stream, line.redirects[0].append), (1, true));
/// # Ok::<(), ca_server_sim::shell::WordsError>(())
/// ```
///
/// # Errors
/// [`WordsError`]
pub fn split(line: &str) -> Result<Words, WordsError> {
    let mut found = Words::default();
    let mut chars = line.chars().peekable();
    let mut word: Option<String> = None;
    let mut into = Into::Argument;
    let mut quote = None;
    while let Some(c) = chars.next() {
        if let Some(open) = quote {
            match c == open {
                true => quote = None,
                false => word.get_or_insert_default().push(c),
            }
            continue;
        }
        match c {
            '\\' => {
                let next = chars.next().ok_or(WordsError::Backslash)?;
                word.get_or_insert_default().push(next);
            }
            '"' | '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ' ' | '\t' | '(' | ')' | ',' | '\r' => end(&mut word, &mut into, &mut found),
            '<' => {
                end(&mut word, &mut into, &mut found);
                begin(&mut into, 0, false)?;
            }
            '1'..='9' if chars.peek() == Some(&'>') => {
                end(&mut word, &mut into, &mut found);
                chars.next();
                let append = chars.next_if_eq(&'>').is_some();
                begin(&mut into, c as u8 - b'0', append)?;
            }
            '>' => {
                end(&mut word, &mut into, &mut found);
                let append = chars.next_if_eq(&'>').is_some();
                begin(&mut into, 1, append)?;
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(WordsError::Quote);
    }
    end(&mut word, &mut into, &mut found);
    match into {
        Into::Argument => Ok(found),
        Into::Redirect(..) => Err(WordsError::Redirect),
    }
}

fn begin(into: &mut Into, stream: u8, append: bool) -> Result<(), WordsError> {
    match into {
        Into::Redirect(..) => Err(WordsError::Redirect),
        Into::Argument => {
            *into = Into::Redirect(stream, append);
            Ok(())
        }
    }
}

fn end(word: &mut Option<String>, into: &mut Into, found: &mut Words) {
    let Some(word) = word.take() else {
        return;
    };
    match std::mem::replace(into, Into::Argument) {
        Into::Argument => found.words.push(word),
        Into::Redirect(stream, append) => {
            found.redirects.retain(|other| other.stream != stream);
            let file = word;
            found.redirects.push(Redirect {
                stream,
                append,
                file,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line).unwrap().words
    }

    #[test]
    fn words_end_at_blanks_commas_and_brackets() {
        assert_eq!(words(r#"dbpr("a:b", 2)"#), ["dbpr", "a:b", "2"]);
        assert_eq!(words("dbpr a:b,2\r"), ["dbpr", "a:b", "2"]);
        assert_eq!(words("  "), [""; 0]);
        assert_eq!(words("()"), [""; 0]);
    }

    #[test]
    fn quotes_keep_what_is_in_them() {
        assert_eq!(
            words(r#"echo "a, (b)" '"' "it's""#),
            ["echo", "a, (b)", "\"", "it's"]
        );
        assert_eq!(words(r#"x "" y"#), ["x", "", "y"]);
        assert_eq!(words(r#"x a"b c"d"#), ["x", "ab cd"]);
        // A backslash is one within quotes.
        assert_eq!(words(r#"x "a\nb""#), ["x", r"a\nb"]);
        assert_eq!(words(r"x a\ b \\"), ["x", "a b", "\\"]);
        assert_eq!(split("x \"a"), Err(WordsError::Quote));
        assert_eq!(split("x a\\"), Err(WordsError::Backslash));
    }

    #[test]
    fn streams_are_redirected() {
        let line = split("dbl ai >list 2>> errors").unwrap();
        let (to, append) = (|at: usize| line.redirects[at].clone(), true);
        assert_eq!(line.words, ["dbl", "ai"]);
        assert_eq!(
            to(0),
            Redirect {
                stream: 1,
                append: false,
                file: "list".into()
            }
        );
        assert_eq!(
            to(1),
            Redirect {
                stream: 2,
                append,
                file: "errors".into()
            }
        );
        let line = split("< envPaths").unwrap();
        assert!(line.words.is_empty());
        assert_eq!(
            (line.redirects[0].stream, line.redirects[0].file.as_str()),
            (0, "envPaths")
        );
        for bad in ["echo a >", "echo a > > b", "<"] {
            assert_eq!(split(bad), Err(WordsError::Redirect), "{bad}");
        }
    }
}
