//! Colours on a terminal, none elsewhere.

use std::fmt;
use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};
use ca_proto::AlarmSeverity;

/// Whether output is coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { on: false };

    /// Colours if the stream is a terminal and `NO_COLOR` is not set.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            on: stream.is_terminal() && !refused,
        }
    }

    /// Whether there are colours.
    pub(crate) const fn is_on(self) -> bool {
        self.on
    }

    /// The text in a style.
    pub(crate) const fn styled<T: fmt::Display>(self, style: Style, text: T) -> Painted<T> {
        let style = if self.on { Some(style) } else { None };
        Painted { style, text }
    }

    /// The text in the colour of a severity, as operator screens show it.
    pub(crate) fn severity<T: fmt::Display>(self, severity: AlarmSeverity, text: T) -> Painted<T> {
        self.styled(severity_style(severity), text)
    }

    /// Text that may be overlooked.
    pub(crate) const fn dim<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.styled(Style::new().dimmed(), text)
    }

    /// Text that stands out.
    pub(crate) const fn bold<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.styled(Style::new().bold(), text)
    }
}

/// Green, yellow, red and magenta: the usual colours of `NO_ALARM`, `MINOR`, `MAJOR` and `INVALID`.
pub(crate) fn severity_style(severity: AlarmSeverity) -> Style {
    let color = match severity {
        AlarmSeverity::NO_ALARM => return Style::new(),
        AlarmSeverity::MINOR => AnsiColor::Yellow,
        AlarmSeverity::MAJOR => AnsiColor::Red,
        _ => AnsiColor::Magenta,
    };
    color.on_default().bold()
}

/// Text with its style.
#[derive(Debug)]
pub(crate) struct Painted<T> {
    style: Option<Style>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Some(style) => write!(f, "{style}{}{style:#}", self.text),
            None => self.text.fmt(f),
        }
    }
}
