//! The board as lines of text, and a terminal that is redrawn in place.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use ca_proto::{Alarm, AlarmSeverity};

use super::board::{Board, Row};
use super::chart::{bar, curve, sparkline};
use crate::escape::padded;
use crate::paint::Paint;

/// Characters of the curve of the array.
const CURVE: (usize, usize) = (72, 4);
/// Steps that fit below the table on a terminal of 24 lines.
const STEPS: usize = 7;
/// Width in which the bar of time is drawn.
const BAR: usize = 18;

/// The whole picture, 24 lines of at most 80 characters.
pub(super) fn picture(board: &Board, paint: Paint) -> Vec<String> {
    let left = board
        .total
        .saturating_sub(board.elapsed)
        .as_secs_f64()
        .ceil();
    let share = board.elapsed.as_secs_f64() / board.total.as_secs_f64().max(0.001);
    let mut lines = vec![format!(
        " {}  {}  {} {left:>3.0} s",
        paint.bold("canter demo"),
        paint.dim("control system (IOC) → network → client"),
        paint.styled(AnsiColor::Cyan.on_default(), bar(share, BAR)),
    )];
    lines.extend(table(board, paint));
    lines.extend(scope(board, paint));
    lines.push(String::new());
    let hidden = board.steps.len().saturating_sub(STEPS);
    for (number, (time, text)) in board.steps.iter().enumerate().skip(hidden) {
        let line = step_line(*time, text, paint);
        let newest = number + 1 == board.steps.len();
        lines.push(if newest {
            paint.bold(line).to_string()
        } else {
            line
        });
    }
    lines
}

/// A line of the log.
pub(super) fn step_line(time: Duration, text: &str, paint: Paint) -> String {
    let time = format!("{:>5.1} s", time.as_secs_f64());
    format!("{}  {text}", paint.dim(time))
}

/// The PVs with their values.
pub(super) fn table(board: &Board, paint: Paint) -> Vec<String> {
    let head = format!(
        "   {} {} {} {:>8}  {}",
        padded("PV", 17),
        padded("value", 12),
        padded("alarm", 14),
        "updates",
        "history"
    );
    let mut lines = vec![
        paint
            .styled(Style::new().underline(), padded(&head, 78))
            .to_string(),
    ];
    lines.extend(board.rows.iter().map(|row| row_line(row, paint)));
    lines
}

fn row_line(row: &Row, paint: Paint) -> String {
    let name = padded(row.name, 17);
    let updates = format!("{:>8}", row.updates);
    if !row.connected {
        let style = AnsiColor::BrightBlack.on_default();
        let lost = AnsiColor::Magenta.on_default();
        return format!(
            " {} {} {} {} {}",
            paint.styled(lost, '○'),
            paint.styled(style, name),
            paint.styled(style, padded(&row.text, 12)),
            paint.styled(lost, padded("disconnected", 14)),
            paint.styled(style, updates),
        );
    }
    let Alarm { status, severity } = row.alarm;
    let alarm = match severity {
        AlarmSeverity::NO_ALARM => String::new(),
        severity => format!("{severity} {status}"),
    };
    let history: Vec<f64> = row.history.iter().copied().collect();
    format!(
        " {} {name} {} {} {updates}  {}",
        paint.styled(AnsiColor::Green.on_default(), '●'),
        paint.severity(severity, padded(&row.text, 12)),
        paint.severity(severity, padded(&alarm, 14)),
        paint.styled(
            AnsiColor::Cyan.on_default(),
            sparkline(&history, super::board::HISTORY)
        ),
    )
}

/// The array as a curve.
pub(super) fn scope(board: &Board, paint: Paint) -> Vec<String> {
    let trace = &board.trace;
    let (mark, style) = if trace.connected {
        (
            paint.styled(AnsiColor::Green.on_default(), '●'),
            AnsiColor::Green,
        )
    } else {
        (
            paint.styled(AnsiColor::Magenta.on_default(), '○'),
            AnsiColor::BrightBlack,
        )
    };
    let state = if trace.connected {
        ""
    } else {
        ", disconnected"
    };
    let mut lines = vec![format!(
        " {mark} {} {}",
        padded(super::pvs::SCOPE, 17),
        paint.dim(format_args!(
            "array of {} numbers, {} updates{state}",
            trace.values.len(),
            trace.updates
        ))
    )];
    let (width, height) = CURVE;
    for line in curve(&trace.values, -1.1, 1.1, width, height) {
        lines.push(format!("   {}", paint.styled(style.on_default(), line)));
    }
    lines
}

/// A terminal that shows pictures, restored when dropped.
pub(super) struct Terminal<'a> {
    out: &'a mut dyn Write,
}

/// Alternate screen, no cursor, no wrapped lines.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

impl<'a> Terminal<'a> {
    /// Takes the terminal over.
    pub(super) fn enter(out: &'a mut dyn Write) -> io::Result<Self> {
        let terminal = Self { out };
        terminal.out.write_all(ENTER.as_bytes())?;
        Ok(terminal)
    }

    /// Replaces the picture.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        // One write per picture, so that it does not flicker.
        let mut frame = String::from("\x1b[H");
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                frame.push_str("\r\n");
            }
            frame.push_str(line);
            frame.push_str("\x1b[K");
        }
        frame.push_str("\x1b[J");
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        // Nobody is left to tell of an error.
        let _ = self.out.write_all(LEAVE.as_bytes());
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_picture_fits_a_terminal_of_24_lines_and_80_columns() {
        let mut board = Board::new(super::super::pvs::SCALARS, Duration::from_secs(20));
        board.trace.values = vec![0.5; 200];
        board.trace.connected = true;
        for row in &mut board.rows {
            row.connected = true;
            row.text = "-10.00 mm".into();
            row.alarm = Alarm::new(ca_proto::AlarmStatus::HIHI, AlarmSeverity::MAJOR);
        }
        for n in 0..10 {
            board.tick();
            board.step(format!("step {n}"));
        }
        let lines = picture(&board, Paint::PLAIN);
        assert!(lines.len() <= 24, "{} lines", lines.len());
        let widest = lines.iter().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?}\n{}", lines.join("\n"));
        assert!(
            lines
                .join("\n")
                .contains("demo:sine         -10.00 mm    MAJOR HIHI")
        );
        assert!(!lines.join("").contains('\x1b'));
    }

    #[test]
    fn the_terminal_is_restored() {
        let mut out = Vec::new();
        let mut terminal = Terminal::enter(&mut out).unwrap();
        terminal.draw(&["one".into(), "two".into()]).unwrap();
        drop(terminal);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(ENTER) && text.ends_with(LEAVE), "{text:?}");
        assert!(text.contains("one\x1b[K\r\ntwo\x1b[K"), "{text:?}");
    }
}
