//! Values as text, with the options that say how.

use std::io::IsTerminal;

use ca_proto::dbr::{EnumIndex, NativeType, ValueRef};
use ca_proto::text::printf::{Conversion, RealFormat};
use clap::Args;

use crate::escape;
use crate::sample::{Meta, Sample};

// Options about how values look, common to `get`, `put` and `monitor`.
//
// Real numbers have six significant digits, as `%g` prints them, whatever the precision of the PV;
// `--string` shows them as the server would, with the precision of the PV.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct FormatArgs {
    /// Real numbers in exponent form with this many digits, as `%e` does
    #[arg(short = 'e', value_name = "DIGITS", group = "real", value_parser = digits())]
    exponent: Option<u16>,
    /// Real numbers with this many digits after the point, as `%f` does
    #[arg(short = 'f', value_name = "DIGITS", group = "real", value_parser = digits())]
    fixed: Option<u16>,
    /// Real numbers with this many significant digits, as `%g` does [default: 6]
    #[arg(short = 'g', value_name = "DIGITS", group = "real", value_parser = digits())]
    general: Option<u16>,
    /// Enums as the number of the state instead of its text
    #[arg(short = 'n', long)]
    pub(crate) enum_index: bool,
    /// Arrays of CHAR as text, up to the first NUL
    #[arg(short = 'S', long)]
    pub(crate) long_string: bool,
    /// Every element of long arrays; on a terminal only the first 20 are shown otherwise
    #[arg(long)]
    all: bool,
    /// Who reads is a person: long arrays are cut.
    #[arg(skip = std::io::stdout().is_terminal())]
    terminal: bool,
}

/// Elements of a long array that a person gets to see.
const SHOWN: usize = 20;

fn digits() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(0..=18)
}

/// Significant digits of real numbers unless said otherwise, those of C's `%g`.
const DEFAULT_DIGITS: u16 = 6;

impl FormatArgs {
    /// Real numbers with this many digits after the point, or as by default.
    pub(crate) fn fixed(digits: Option<u16>) -> Self {
        Self {
            fixed: digits,
            ..Self::default()
        }
    }

    fn real_format(&self) -> RealFormat {
        let (conversion, digits) = match (self.exponent, self.fixed, self.general) {
            (Some(digits), ..) => (Conversion::Exponent, digits),
            (_, Some(digits), _) => (Conversion::Fixed, digits),
            (_, _, digits) => (Conversion::General, digits.unwrap_or(DEFAULT_DIGITS)),
        };
        RealFormat::new(conversion, digits.into())
    }

    /// A real number.
    pub(crate) fn real(&self, v: f64) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.real_format().write(&mut out, v);
        out
    }

    /// The elements of a value, one text each.
    pub(crate) fn elements(&self, value: ValueRef<'_>, meta: &Meta) -> Vec<String> {
        fn each<T: ToString>(items: Option<impl Iterator<Item = T>>) -> Vec<String> {
            items.map_or_else(Vec::new, |items| items.map(|v| v.to_string()).collect())
        }
        match value.native {
            NativeType::String => (0..value.count)
                .map_while(|n| value.string(n))
                .map(escape::line)
                .collect(),
            NativeType::Float => each(
                value
                    .elements::<f32>()
                    .map(|v| v.map(|v| self.real(v.into()))),
            ),
            NativeType::Double => each(value.elements::<f64>().map(|v| v.map(|v| self.real(v)))),
            NativeType::Short => each(value.elements::<i16>()),
            NativeType::Char => each(value.elements::<u8>()),
            NativeType::Long => each(value.elements::<i32>()),
            NativeType::Enum => each(value.elements::<EnumIndex>().map(|states| {
                states.map(|EnumIndex(state)| match meta.label(state) {
                    Some(label) if !self.enum_index => label,
                    _ => state.to_string(),
                })
            })),
        }
    }

    /// The elements alone, with blanks between them, for scripts.
    pub(crate) fn terse(&self, sample: &Sample, is_array: bool) -> String {
        match sample.long_string() {
            Some(text) if self.long_string && is_array => escape::line(text),
            _ => self.elements(sample.value.as_ref(), &sample.meta).join(" "),
        }
    }

    /// Whether arrays of `CHAR` of this PV are texts: on request, and where the name asks the server for
    /// one, as in `X.DESC$`.
    pub(crate) fn is_text(&self, pv: &str) -> bool {
        self.long_string || pv.ends_with('$')
    }

    /// The options for the values of this PV.
    pub(crate) fn of(&self, pv: &str) -> Self {
        Self {
            long_string: self.is_text(pv),
            ..self.clone()
        }
    }

    /// The value of a sample on one line, arrays with their length in front: `[3] 1 2 3`.
    pub(crate) fn value(&self, sample: &Sample, is_array: bool) -> String {
        if self.long_string
            && is_array
            && let Some(text) = sample.long_string()
        {
            return escape::line(text);
        }
        let texts = self.elements(sample.value.as_ref(), &sample.meta);
        // A text that may be long is sent without an element when it is empty.
        let empty = texts.is_empty() && sample.native() == NativeType::String;
        if !is_array && (empty || texts.len() == 1) {
            return texts.into_iter().next().unwrap_or_default();
        }
        let cut = self.terminal && !self.all && texts.len() > 2 * SHOWN;
        let shown = if cut { SHOWN } else { texts.len() };
        let mut line = format!("[{}]", texts.len());
        for text in &texts[..shown] {
            line.push(' ');
            line.push_str(text);
        }
        if cut {
            line.push_str(&format!(
                " … {} more, --all shows them",
                texts.len() - shown
            ));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ca_proto::dbr::{DbrType, EnumStates, Value};

    fn sample(value: impl Into<Value>) -> Sample {
        let value = value.into();
        Sample {
            ty: DbrType(value.native() as u16),
            value,
            alarm: None,
            stamp: None,
            ack: None,
            meta: Meta {
                states: Some(EnumStates::new(["Idle", "Moving", ""])),
                ..Meta::default()
            },
        }
    }

    fn shown(format: &FormatArgs, value: impl Into<Value>) -> String {
        format.value(&sample(value), false)
    }

    #[test]
    fn real_numbers_look_as_c_prints_them() {
        let plain = FormatArgs::default();
        assert_eq!(shown(&plain, 2.345_678_9), "2.34568");
        assert_eq!(shown(&plain, 1.234_567_89e12), "1.23457e+12");
        assert_eq!(shown(&plain, 0.1f32), "0.1");
        assert_eq!(shown(&plain, f64::NAN), "nan");
        let fixed = FormatArgs::fixed(Some(2));
        assert_eq!(shown(&fixed, 2.345_678_9), "2.35");
        let exponent = FormatArgs {
            exponent: Some(3),
            ..FormatArgs::default()
        };
        assert_eq!(shown(&exponent, -1234.5), "-1.234e+03");
        let general = FormatArgs {
            general: Some(15),
            ..FormatArgs::default()
        };
        assert_eq!(shown(&general, -123.456_789_012_345), "-123.456789012345");
    }

    #[test]
    fn a_state_without_text_is_shown_as_number() {
        let plain = FormatArgs::default();
        assert_eq!(shown(&plain, EnumIndex(1)), "Moving");
        assert_eq!(shown(&plain, EnumIndex(2)), "2");
        assert_eq!(shown(&plain, EnumIndex(9)), "9");
        let index = FormatArgs {
            enum_index: true,
            ..FormatArgs::default()
        };
        assert_eq!(shown(&index, EnumIndex(1)), "1");
    }

    #[test]
    fn a_person_sees_the_beginning_of_a_long_array() {
        let long = sample(vec![7i32; 70_000]);
        let person = FormatArgs {
            terminal: true,
            ..FormatArgs::default()
        };
        let line = person.value(&long, true);
        assert!(line.starts_with("[70000] 7 7"), "{line}");
        assert!(line.ends_with("7 … 69980 more, --all shows them"), "{line}");
        let script = FormatArgs::default();
        assert_eq!(script.value(&long, true).split(' ').count(), 70_001);
    }

    #[test]
    fn arrays_tell_their_length() {
        let plain = FormatArgs::default();
        assert_eq!(shown(&plain, [1i32, -2]), "[2] 1 -2");
        assert_eq!(
            plain.value(&sample(Value::empty(NativeType::Double)), true),
            "[0]"
        );
        assert_eq!(plain.value(&sample([7u8]), true), "[1] 7");
        assert_eq!(
            shown(&plain, Value::strings(&["a b", "c\n"])),
            "[2] a b c\\n"
        );
    }

    #[test]
    fn an_empty_text_is_empty() {
        let none = Value::empty(NativeType::String);
        assert_eq!(shown(&FormatArgs::default(), none.clone()), "");
        let none = sample(none);
        assert_eq!(FormatArgs::default().value(&none, true), "[0]");
    }

    #[test]
    fn a_name_with_a_dollar_asks_for_a_text() {
        let text = sample(&b"hello\0"[..]);
        let plain = FormatArgs::default();
        assert_eq!(plain.of("X.DESC$").value(&text, true), "hello");
        assert!(plain.of("X").value(&text, true).starts_with("[6] 104"));
    }

    #[test]
    fn long_strings_end_at_their_nul() {
        let long = FormatArgs {
            long_string: true,
            ..FormatArgs::default()
        };
        let text = sample(&b"hello\tworld\0rest"[..]);
        assert_eq!(long.value(&text, true), "hello\\tworld");
    }
}
