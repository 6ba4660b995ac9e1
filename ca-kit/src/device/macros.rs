//! Macros in names, as in databases and panels: `$(P)$(M).VAL`.

use super::DeviceError;

/// Macros within macros.
const MAX_DEPTH: usize = 16;
/// Macros in a name, those in their values included: nested ones could ask for any number.
const MAX_MACROS: usize = 1000;
/// Bytes that a name may have when all macros have their values; a PV has 991 at most.
const MAX_NAME: usize = 4096;

/// Puts values in the place of macros: `$(NAME)` or `${NAME}`, with a default as `$(NAME=value)`. Values and
/// defaults may have macros themselves (`macLib` of EPICS Base).
///
/// # Errors
/// [`DeviceError::NoMacro`], [`DeviceError::BadMacro`].
///
/// # Examples
/// ```
/// use ca_kit::expand;
///
/// let macros = [("P", "x:"), ("M", "m1"), ("MOTOR", "$(P)$(M)")];
/// assert_eq!(expand("$(MOTOR).VAL", &macros)?, "x:m1.VAL");
/// assert_eq!(expand("${P}$(A=$(M))", &macros)?, "x:m1");
/// assert!(expand("$(NOBODY)", &macros).is_err());
/// # Ok::<(), ca_kit::DeviceError>(())
/// ```
pub fn expand(name: &str, macros: &[(&str, &str)]) -> Result<String, DeviceError> {
    let (mut out, mut left) = (String::new(), MAX_MACROS);
    expand_into(&mut out, name, name, macros, (0, &mut left))?;
    Ok(out)
}

fn expand_into(
    out: &mut String,
    whole: &str,
    text: &str,
    macros: &[(&str, &str)],
    (depth, left): (usize, &mut usize),
) -> Result<(), DeviceError> {
    let bad = || DeviceError::BadMacro {
        name: whole.to_owned(),
    };
    if depth > MAX_DEPTH || out.len() > MAX_NAME || *left == 0 {
        return Err(bad());
    }
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let close = match from.as_bytes().get(1) {
            Some(b'(') => b')',
            Some(b'{') => b'}',
            // A dollar is a modifier of fields, too.
            _ => {
                out.push('$');
                rest = from.get(1..).unwrap_or_default();
                continue;
            }
        };
        let end = end_of(from, close).ok_or_else(bad)?;
        let inside = from.get(2..end).unwrap_or_default();
        rest = from.get(end + 1..).unwrap_or_default();
        let (name, default) = match inside.split_once('=') {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let value = macros
            .iter()
            .find(|(it, _)| *it == name)
            .map(|(_, value)| *value);
        match value.or(default) {
            Some(value) => {
                *left = left.saturating_sub(1);
                expand_into(out, whole, value, macros, (depth + 1, &mut *left))?;
            }
            None => {
                return Err(DeviceError::NoMacro {
                    name: whole.to_owned(),
                    macro_name: name.to_owned(),
                });
            }
        }
    }
    out.push_str(rest);
    if out.len() > MAX_NAME {
        Err(bad())
    } else {
        Ok(())
    }
}

/// Where the bracket that begins behind the dollar is closed.
fn end_of(from: &str, close: u8) -> Option<usize> {
    let open = *from.as_bytes().get(1)?;
    let mut depth = 0usize;
    for (at, &byte) in from.as_bytes().iter().enumerate().skip(1) {
        if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_have_values_and_ends() {
        let macros = [
            ("P", "x:"),
            ("LOOP", "$(LOOP)"),
            ("TWICE", "$(MORE)$(MORE)"),
            ("MORE", "$(TWICE)"),
        ];
        for (name, expanded) in [
            ("a", "a"),
            ("", ""),
            ("$", "$"),
            ("m.NAME$", "m.NAME$"),
            ("$(P)b", "x:b"),
            ("é$(P)", "éx:"),
            ("$(Q=)", ""),
        ] {
            assert_eq!(expand(name, &macros).as_deref(), Ok(expanded));
        }
        for name in ["$(", "$(P", "${P)", "$(LOOP)", "$(TWICE)"] {
            assert!(
                matches!(expand(name, &macros), Err(DeviceError::BadMacro { .. })),
                "{name}"
            );
        }
        assert!(matches!(
            expand("$()", &macros),
            Err(DeviceError::NoMacro { .. })
        ));
    }
}
