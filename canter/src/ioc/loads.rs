//! Options whose order counts, as for softIoc: `-m` holds for the files behind it, and takes the place of an earlier one.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches};

#[derive(Args, Debug)]
struct Given {
    /// Files of records (.db, .template, .substitutions), TOML files with PVs, and a start-up script (st.cmd)
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file of records, whatever its name ends in, as for softIoc; repeatable
    #[arg(short = 'd', long = "db", value_name = "FILE")]
    db: Vec<PathBuf>,
    /// Macros for the files of records behind it, `A=1,B=2`, in place of those before it
    #[arg(short = 'm', long = "macros", value_name = "MACROS")]
    macros: Vec<String>,
    /// A record PREFIX:exit: writing 0 to it ends the IOC, another number does with exit code 1
    #[arg(short = 'x', long = "exit-record", value_name = "PREFIX")]
    exit: Option<String>,
    /// Rules of access security (.acf): who may do what with which PVs; macros as for -d. PVs belong to the group
    /// DEFAULT unless they name another (ASG, `access_group`)
    #[arg(short = 'a', long = "acf", value_name = "FILE")]
    acf: Option<PathBuf>,
}

/// A file with the macros that hold for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Load {
    pub(super) path: PathBuf,
    pub(super) macros: String,
}

/// What is to be loaded.
#[derive(Debug)]
pub(super) struct Loads {
    /// Those of `-d`.
    pub(super) db: Vec<Load>,
    /// The others.
    pub(super) files: Vec<Load>,
    pub(super) acf: Option<Load>,
    pub(super) exit: Option<String>,
    /// Macros behind which no file comes.
    pub(super) unused: Vec<String>,
}

impl Loads {
    fn read(matches: &ArgMatches) -> Self {
        let places = |id: &str| -> Vec<usize> {
            let places = matches.indices_of(id);
            places.map(Iterator::collect).unwrap_or_default()
        };
        let paths = |id: &str| -> Vec<PathBuf> {
            let values = matches.get_many::<PathBuf>(id);
            values.map(|all| all.cloned().collect()).unwrap_or_default()
        };
        let texts = matches.get_many::<String>("macros");
        let texts: Vec<String> = texts.map(|all| all.cloned().collect()).unwrap_or_default();
        let macros: Vec<(usize, String)> = places("macros").into_iter().zip(texts).collect();
        let mut used = vec![false; macros.len()];
        let mut loads = |id: &str| -> Vec<Load> {
            let all = paths(id).into_iter().zip(places(id));
            let load = |(path, place)| {
                let found = macros.iter().rposition(|(at, _)| *at < place);
                if let Some(found) = found {
                    used[found] = true;
                }
                let macros = found.map_or_else(String::new, |found| macros[found].1.clone());
                Load { path, macros }
            };
            all.map(load).collect()
        };
        let (db, files, acf) = (loads("db"), loads("files"), loads("acf").pop());
        let unused = macros.iter().zip(used).filter(|(_, used)| !used);
        Self {
            db,
            files,
            acf,
            exit: matches.get_one::<String>("exit").cloned(),
            unused: unused.map(|((_, text), _)| text.clone()).collect(),
        }
    }
}

impl FromArgMatches for Loads {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::read(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::read(matches);
        Ok(())
    }
}

impl Args for Loads {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Loads {
        let command = Loads::augment_args(Command::new("ioc"));
        let all = std::iter::once(&"ioc").chain(args);
        Loads::read(&command.try_get_matches_from(all).unwrap())
    }

    #[test]
    fn macros_hold_for_the_files_behind_them() {
        let loads = read(&[
            "-d", "a", "-m", "P=1", "-d", "b", "-d", "c", "x", "-m", "P=2", "-a", "s.acf", "y",
            "-m", "Q=3",
        ]);
        let shown = |loads: &[Load]| {
            let all = loads
                .iter()
                .map(|load| format!("{} {}", load.path.display(), load.macros));
            all.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(shown(&loads.db), "a , b P=1, c P=1");
        assert_eq!(shown(&loads.files), "x P=1, y P=2");
        assert_eq!(loads.acf.unwrap().macros, "P=2");
        assert_eq!(loads.unused, ["Q=3"]);
    }
}
