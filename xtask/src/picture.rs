//! The picture of the README and the book: `canter demo` as it shows on a terminal, drawn as SVG.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use crate::steps;

const FILE: &str = "docs/src/demo.svg";
/// Characters of a line.
const WIDTH: usize = 80;
/// Width of a character and height of a line, in pixels.
const CELL: (f64, f64) = (8.4, 18.0);
/// Empty pixels around the text.
const MARGIN: f64 = 14.0;
/// How each picture of the demo begins, and what ends it: the cursor goes home, the rest is cleared.
const FRAME: (&str, &str) = ("\x1b[H", "\x1b[J");

/// Options of `cargo xtask picture`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Length of the demo, in seconds
    #[arg(long, value_name = "S", default_value = "20")]
    seconds: u32,
}

/// Runs the demo on a terminal of its own and draws the last of its pictures.
///
/// # Errors
/// When the demo fails, or there is no `script` (util-linux), which makes the terminal.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    steps::run(&mut steps::cargo(&["build", "--quiet", "-p", "canter"]))?;
    let program = steps::target().join("debug/canter");
    let demo = format!("'{}' demo --seconds {}", program.display(), options.seconds);
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &demo, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    let output = script
        .output()
        .map_err(|error| format!("cannot run script (of util-linux): {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("the demo ended with {}: {text}", output.status));
    }
    let frame = last_frame(&text).ok_or("the demo drew no picture")?;
    let file = steps::root().join(FILE);
    steps::write(&file, &svg(frame))?;
    println!("{FILE}: {} lines", frame.lines().count());
    Ok(())
}

fn last_frame(text: &str) -> Option<&str> {
    let (before, _) = text.rsplit_once(FRAME.1)?;
    before.rsplit_once(FRAME.0).map(|(_, frame)| frame)
}

/// How text looks, as far as the demo uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Look {
    bold: bool,
    dim: bool,
    underline: bool,
    colour: Option<&'static str>,
}

/// Red to white, dark and bright, as they are legible on the picture's background.
const COLOURS: [&str; 8] = [
    "#6e7681", "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#f0f6fc",
];

impl Look {
    /// Obeys a sequence of "select graphic rendition" (ECMA-48, 8.3.117).
    fn select(&mut self, parameters: &str) {
        for parameter in parameters.split(';') {
            match parameter.parse::<usize>().unwrap_or(0) {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                4 => self.underline = true,
                code @ (30..=37 | 90..=97) => self.colour = COLOURS.get(code % 10).copied(),
                _ => {}
            }
        }
    }

    fn attributes(&self) -> String {
        let mut text = String::new();
        if let Some(colour) = self.colour {
            let _ = write!(text, " fill=\"{colour}\"");
        }
        if self.bold {
            text += " font-weight=\"bold\"";
        }
        if self.dim {
            text += " opacity=\"0.65\"";
        }
        if self.underline {
            text += " text-decoration=\"underline\"";
        }
        text
    }
}

/// The runs of equal look in a line, each with the column in which it begins.
fn runs(line: &str, look: &mut Look) -> Vec<(usize, String, Look)> {
    let mut runs = Vec::new();
    let mut column = 0;
    let mut pieces = line.split("\x1b[");
    let mut add = |text: &str, look: &Look| {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let start = column;
        column += text.chars().count();
        if !text.is_empty() {
            runs.push((start, text, look.clone()));
        }
    };
    add(pieces.next().unwrap_or_default(), look);
    for piece in pieces {
        let end = piece.find(|c: char| c.is_ascii_alphabetic());
        let (parameters, rest) = piece.split_at(end.unwrap_or(piece.len()));
        if let Some(text) = rest.strip_prefix('m') {
            look.select(parameters);
            add(text, look);
        } else {
            add(rest.get(1..).unwrap_or_default(), look);
        }
    }
    runs
}

fn svg(frame: &str) -> String {
    let (width, height) = (
        WIDTH as f64 * CELL.0 + 2.0 * MARGIN,
        frame.lines().count() as f64 * CELL.1 + 2.0 * MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\">\n\
         <title>canter demo: a simulated IOC and a client at work</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n\
         <g fill=\"#c9d1d9\" font-size=\"14\" xml:space=\"preserve\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n"
    );
    let mut look = Look::default();
    for (number, line) in frame.lines().enumerate() {
        let y = MARGIN + CELL.1 * (number as f64 + 0.75);
        for (column, text, look) in runs(line, &mut look) {
            let shown = text.trim_end();
            // Underlined blanks are seen, others only make the file longer.
            let text = if look.underline { text.as_str() } else { shown };
            let skipped = text.chars().take_while(|c| *c == ' ').count();
            let text = if look.underline {
                text
            } else {
                text.trim_start()
            };
            if text.is_empty() {
                continue;
            }
            let column = if look.underline {
                column
            } else {
                column + skipped
            };
            let x = MARGIN + CELL.0 * column as f64;
            let length = CELL.0 * text.chars().count() as f64;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\"{}>{}</text>",
                look.attributes(),
                escaped(text)
            );
        }
    }
    svg + "</g>\n</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_picture_is_taken() {
        let text = "\x1b[?25l\x1b[Hone\x1b[K\x1b[J\x1b[Htwo\x1b[K\x1b[J\x1b[?25h";
        assert_eq!(last_frame(text), Some("two\x1b[K"));
        assert_eq!(last_frame("nothing"), None);
    }

    #[test]
    fn colours_end_where_they_are_reset_and_columns_count_characters() {
        let runs = runs(" \x1b[32m●\x1b[0m a\x1b[K", &mut Look::default());
        let green = Look {
            colour: Some("#56d364"),
            ..Look::default()
        };
        let expected = [
            (0, " ".to_owned(), Look::default()),
            (1, "●".to_owned(), green),
            (2, " a".to_owned(), Look::default()),
        ];
        assert_eq!(runs, expected);
    }

    #[test]
    fn text_is_placed_by_its_column_and_escaped() {
        let text = svg("  a<b\x1b[K\r\n\x1b[1mx");
        assert!(
            text.contains("<text x=\"30.8\" y=\"27.5\" textLength=\"25.2\">a&lt;b</text>"),
            "{text}"
        );
        assert!(
            text.contains("y=\"45.5\" textLength=\"8.4\" font-weight=\"bold\">x<"),
            "{text}"
        );
    }
}
