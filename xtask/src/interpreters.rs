//! The Python interpreters of this machine: the one wheel is for all of them.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Of which minor versions of Python 3 a search looks for programs.
const MINORS: std::ops::Range<u32> = 10..20;

/// What an interpreter says of itself.
const QUESTION: &str = "import sys, sysconfig; print(sys.implementation.name, *sys.version_info[:2], \
                        int(bool(sysconfig.get_config_var('Py_GIL_DISABLED'))))";

/// A version of CPython.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Version {
    minor: u32,
    /// Without the global lock.
    free: bool,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{}{}", self.minor, if self.free { "t" } else { "" })
    }
}

/// The interpreters that the wheel is for beside one, by their versions. Those without a global lock are told and left
/// out: wheels with a stable interface do not load there.
///
/// # Errors
/// If the one does not say what it is.
pub(crate) fn others(than: &Path) -> Result<BTreeMap<Version, PathBuf>, String> {
    let own = ask(than).ok_or_else(|| format!("{} does not say its version", than.display()))?;
    let mut found = BTreeMap::new();
    for program in candidates() {
        let Some(version) = ask(&program) else {
            continue;
        };
        if version.free {
            println!("{}: left out, it has no global lock", program.display());
        } else if version != own && MINORS.contains(&version.minor) {
            found.entry(version).or_insert(program);
        }
    }
    Ok(found)
}

/// Programs that may be interpreters: on the path, and where pyenv keeps its own.
fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).collect();
    let named = MINORS.flat_map(|minor| ["", "t"].map(|free| format!("python3.{minor}{free}")));
    let on_path = named.flat_map(|name| folders.iter().map(move |folder| folder.join(&name)));
    let pyenv = env::var_os("PYENV_ROOT").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".pyenv"),
        PathBuf::from,
    );
    let kept = fs::read_dir(pyenv.join("versions")).into_iter().flatten();
    let kept = kept
        .flatten()
        .map(|version| version.path().join("bin/python3"));
    let mut all: Vec<_> = on_path.chain(kept).filter(|file| file.is_file()).collect();
    all.sort();
    all
}

fn ask(program: &Path) -> Option<Version> {
    let mut asked = Command::new(program);
    let asked = asked.args(["-c", QUESTION]).stderr(Stdio::null());
    let output = asked.output().ok().filter(|it| it.status.success())?;
    version(&String::from_utf8(output.stdout).ok()?)
}

fn version(answer: &str) -> Option<Version> {
    let mut words = answer.split_whitespace();
    match (words.next()?, words.next()?) {
        ("cpython", "3") => Some(Version {
            minor: words.next()?.parse().ok()?,
            free: words.next()? == "1",
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_interpreters_say() {
        let told = |answer| version(answer).map(|it| it.to_string());
        assert_eq!(told("cpython 3 13 0\n").as_deref(), Some("3.13"));
        assert_eq!(told("cpython 3 14 1\n").as_deref(), Some("3.14t"));
        assert_eq!(told("pypy 3 11 0\n"), None);
        assert_eq!(told("cpython 2 7 0\n"), None);
        assert_eq!(told(""), None);
    }
}
