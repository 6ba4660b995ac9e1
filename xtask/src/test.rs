//! All tests, with real EPICS at hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::busy::Load;
use crate::{peers, python as wheel, steps, together};

/// How the tests are run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave out the tests that need real EPICS, which are then told as ignored: no Python environment is made
    #[arg(long)]
    no_peers: bool,
    /// Run busy programs beside the tests, two on every core: nothing may hang on how soon something
    /// runs. What never sees real time is left out: crates of the virtual world, comparisons of answers, other Pythons.
    #[arg(long)]
    under_load: bool,
    /// Run the tests so many times in a row, or until a time fails.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
}

/// Runs the tests as steps of their own and prints a summary.
///
/// # Errors
/// Names the number of failed steps.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut all = steps::Steps::default();
    add(&mut all, options);
    all.finish()
}

/// Adds the test steps to a longer list.
pub(crate) fn add(all: &mut steps::Steps, options: &Options) {
    let mut python = None;
    if !options.no_peers {
        all.step("peers: real EPICS in target/peers", || {
            python = Some(peers::ensure()?);
            Ok(())
        });
    }
    if options.under_load {
        // So that the load is beside the tests, not beside the compiler.
        all.step("building the tests", || {
            cargo_test(
                &[
                    "--workspace",
                    "--features=canter/world",
                    "--no-run",
                    "--quiet",
                    "--",
                ],
                None,
            )
        });
    }
    for time in 1..=options.times {
        let suffix = match options.times {
            1 => String::new(),
            times => format!(", {time} of {times}"),
        };
        once(all, options, python.as_deref(), &suffix);
        if all.has_failed() {
            break;
        }
    }
}

/// Needs 2 GiB of memory and minutes, and writes a table of the documents: run by hand, as its file says.
const MEASURED_BY_HAND: &str = "attacks_hold_what_the_documents_say_with_the_defaults";

/// Crates whose tests have no clock but a virtual one, and no sockets.
const WITHOUT_TIME: [&str; 3] = ["ca-proto", "ca-testkit", "ca-kit"];

fn once(all: &mut steps::Steps, options: &Options, python: Option<&Path>, suffix: &str) {
    let beside = |args: &[&str]| {
        let mut load = options.under_load.then(Load::start).transpose()?;
        cargo_test(args, python)?;
        load.as_mut().map_or(Ok(()), Load::check)
    };
    let mut args = vec!["--workspace", "--exclude", "ca-tests"];
    if options.under_load {
        args.extend(WITHOUT_TIME.iter().flat_map(|name| ["--exclude", name]));
    }
    args.extend(["--features=canter/world", "--quiet", "--"]);
    args.extend(["--skip", MEASURED_BY_HAND]);
    all.step(&format!("tests of the crates{suffix}"), || beside(&args));
    // With their output: tables of what each peer could do.
    all.step(
        &format!("loopback and interop tests (ca-tests){suffix}"),
        || {
            let built = build()?;
            let mut load = options.under_load.then(Load::start).transpose()?;
            interop(&built, python, options.under_load)?;
            load.as_mut().map_or(Ok(()), Load::check)
        },
    );
    if python.is_some() {
        all.step(&format!("the Python wheel and its tests{suffix}"), || {
            let mut load = options.under_load.then(Load::start).transpose()?;
            let mut whole = wheel::Options::default();
            whole.one_python = options.under_load;
            wheel::run(&whole, python)?;
            load.as_mut().map_or(Ok(()), Load::check)
        });
    }
}

/// Programs of a build.
struct Built {
    canter: PathBuf,
    /// The test programs of `ca-tests`, by name.
    tests: Vec<(String, PathBuf)>,
}

/// Builds the tests of all crates together. What is chosen decides the features of the libraries: `--package
/// ca-tests` alone would compile them all once more.
fn build() -> Result<Built, String> {
    let args = [
        "test",
        "--workspace",
        "--features=canter/world",
        "--no-run",
        "--quiet",
    ];
    let mut command = steps::cargo(&args);
    let command = command
        .arg("--message-format=json")
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err("the tests cannot be built".to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    built(&text)
}

/// What cargo tells of a build.
fn built(messages: &str) -> Result<Built, String> {
    let (mut canter, mut tests) = (None, Vec::new());
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let Some(program) = message["executable"].as_str() else {
            continue;
        };
        let package = message["package_id"].as_str().unwrap_or_default();
        let name = message["target"]["name"].as_str().unwrap_or_default();
        match message["profile"]["test"].as_bool() {
            Some(true) if package.contains("ca-tests@") => {
                tests.push((name.to_owned(), program.into()));
            }
            Some(false) if name == "canter" => canter = Some(program.into()),
            _ => {}
        }
    }
    match canter {
        Some(canter) if !tests.is_empty() => Ok(Built { canter, tests }),
        _ => Err("cargo has not told of all programs that were built".to_owned()),
    }
}

/// Programs that take longest: with them first, none is left to run alone at the end.
const LONG: [&str; 4] = ["files", "conformance_client", "matrix", "conformance"];
/// Programs of `ca-tests` that compare answers, or read files of this repository, and see no time.
const ANSWERS: [&str; 7] = [
    "calc",
    "doc_paths",
    "files",
    "macros",
    "no_silent_tests",
    "readme",
    "trap_index",
];

/// Each program runs its tests one after the other, as they measure traffic and print tables; programs run side by
/// side, as most of their time is that of peers that start, fall silent or come back.
fn interop(built: &Built, python: Option<&Path>, under_load: bool) -> Result<(), String> {
    let chosen = |(name, _): &&(String, PathBuf)| !under_load || !ANSWERS.contains(&name.as_str());
    let mut tests: Vec<_> = built.tests.iter().filter(chosen).collect();
    tests.sort_by_key(|(name, _)| {
        let place = LONG.iter().position(|long| long == name);
        place.unwrap_or(LONG.len())
    });
    let command = |(_, test): &(String, PathBuf)| {
        let mut command = Command::new(test);
        command
            .args(["--nocapture", "--test-threads=1"])
            .current_dir(steps::root().join("tests"))
            .env("CANTER_PROGRAM", &built.canter);
        with_peers(&mut command, python);
        command
    };
    together::run(tests.into_iter().map(command).collect())
}

/// Tests that need peers are ignored elsewhere; here they fail if they find none.
fn with_peers(command: &mut Command, python: Option<&Path>) {
    match python {
        Some(python) => command
            .env(peers::VARIABLE, python)
            .arg("--include-ignored"),
        None => command.env_remove(peers::VARIABLE),
    };
}

/// Runs tests; `args` ends among the arguments of the test programs.
fn cargo_test(args: &[&str], python: Option<&Path>) -> Result<(), String> {
    let mut command = steps::cargo(&["test"]);
    command.args(args);
    with_peers(&mut command, python);
    steps::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_are_not_tested_under_load_have_no_clock_and_no_sockets() {
        let real = [
            "TokioRuntime",
            "PollRuntime",
            "UdpSocket",
            "TcpStream",
            "TcpListener",
            "thread::sleep",
        ];
        for name in WITHOUT_TIME {
            let mut folders = ["src", "tests"]
                .map(|part| steps::root().join(name).join(part))
                .to_vec();
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                    let path = entry.path();
                    if path.is_dir() {
                        folders.push(path);
                    } else if path.extension().is_some_and(|end| end == "rs") {
                        let text = std::fs::read_to_string(&path).unwrap();
                        let code = text
                            .lines()
                            .filter(|line| !line.trim_start().starts_with("//"));
                        let found = code.filter(|line| real.iter().any(|word| line.contains(word)));
                        assert_eq!(found.collect::<Vec<_>>(), [""; 0], "{}", path.display());
                    }
                }
            }
        }
    }

    #[test]
    fn programs_that_are_named_are_there() {
        let folder = steps::root().join("tests/tests");
        for name in LONG.iter().chain(&ANSWERS) {
            let file = folder.join(name).with_extension("rs");
            assert!(file.is_file(), "{}", file.display());
        }
    }

    #[test]
    fn programs_of_a_build_are_found_in_what_cargo_tells() {
        let line = |package: &str, name: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///x/y#{package}@0.1.0","target":{{"name":"{name}"}},"profile":{{"test":{test}}},"executable":"/t/{package}-{name}-{test}"}}"#
            )
        };
        let messages = [
            line("ca-tests", "told", true),
            line("ca-tests", "tables", false),
            line("canter", "canter", true),
            line("canter", "canter", false),
            line("ca-net", "repeater", true),
            r#"{"reason":"compiler-artifact","package_id":"x#ca-tests@0.1.0","executable":null}"#
                .to_owned(),
            "no message".to_owned(),
        ];
        let found = built(&messages.join("\n")).unwrap();
        assert_eq!(found.canter, Path::new("/t/canter-canter-false"));
        let told = ("told".to_owned(), "/t/ca-tests-told-true".into());
        assert_eq!(found.tests, [told]);
        assert!(built("").is_err());
    }
}
