//! One platform at work: what its linker and runner need, and its jobs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::rows::{Need, Platform, Runner, Work};
use super::talk;
use super::toolchain::{Toolchain, home, in_path};
use crate::steps;

/// What came of a job.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Passed(String),
    Failed(String),
    NotRun(String),
}

/// Everything that is needed for a platform is here.
pub(crate) struct Session<'a> {
    platform: &'a Platform,
    toolchain: Toolchain,
    /// For compiler, linker and runner.
    env: Vec<(String, String)>,
}

impl<'a> Session<'a> {
    /// Looks for what the platform needs.
    ///
    /// # Errors
    /// Names all that is missing.
    pub(crate) fn new(platform: &'a Platform) -> Result<Self, String> {
        let runner = match platform.runner {
            Runner::Qemu(need, _) | Runner::Wine(need) => Some(need),
            Runner::Here | Runner::Nothing => None,
        };
        let needs = [platform.linker, runner];
        let mut missing: Vec<_> = (needs.into_iter().flatten())
            .filter(|need| !in_path(need.program))
            .map(told)
            .collect();
        let toolchain = Toolchain::find(platform.target).map_err(|reason| missing.push(reason));
        let (Ok(toolchain), true) = (toolchain, missing.is_empty()) else {
            return Err(missing.join("; "));
        };
        Ok(Self {
            env: environment(platform)?,
            platform,
            toolchain,
        })
    }

    /// A call of cargo with everything set.
    fn cargo(&self, subcommand: &str, args: &[&str]) -> Command {
        let mut command = self.toolchain.cargo(subcommand, self.platform.target);
        command
            .args(args)
            .envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Does a job.
    pub(crate) fn run(&self, work: Work) -> Outcome {
        let result = match work {
            Work::Check(args) => {
                let mut check = self.cargo("check", args);
                steps::run(check.arg("--quiet")).map(|()| "compiles".to_owned())
            }
            Work::Test(args) => self.test(args),
            Work::Talk => self.talk(false),
            Work::Measure => self.talk(true),
        };
        match result {
            Ok(text) => Outcome::Passed(text),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    fn test(&self, args: &[&str]) -> Result<String, String> {
        // Emulated programs are slow, and wait for each other: one test at a time keeps their patience.
        let mut test = self.cargo("test", args);
        test.args(["--no-fail-fast", "--", "--test-threads=2"]);
        let output = test
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        let [passed, failed] = counts(&text);
        if output.status.success() && passed > 0 {
            return Ok(format!("{passed} tests pass"));
        }
        Err(match failed {
            0 => format!("cargo test ended with {}", output.status),
            _ => format!("{failed} of {} tests fail", passed + failed),
        })
    }

    fn talk(&self, release: bool) -> Result<String, String> {
        let profile: &[&str] = if release { &["--release"] } else { &[] };
        let mut build = self.cargo("build", &["--quiet", "-p", "canter"]);
        steps::run(build.args(profile))?;
        steps::run(&mut steps::cargo(&["build", "--quiet", "-p", "canter"]))?;
        let folder = if release { "release" } else { "debug" };
        let suffix = if self.platform.target.contains("windows") {
            ".exe"
        } else {
            ""
        };
        let program = home()
            .join(self.platform.target)
            .join(folder)
            .join(format!("canter{suffix}"));
        let own = steps::target()
            .join("debug")
            .join(format!("canter{}", std::env::consts::EXE_SUFFIX));
        let there = || self.start(&program);
        let here = || Command::new(&own);
        talk::demo(&mut there())?;
        talk::both_ways(&there, &here)?;
        let told = "the demo; client and IOC, both ways with Linux x86_64";
        if !release {
            return Ok(told.to_owned());
        }
        let size = fs::metadata(&program)
            .map_err(|error| error.to_string())?
            .len();
        let start = start_up(&there)?;
        Ok(format!(
            "{told}; {:.1} MB, `--version` in {:.1} ms",
            size as f64 / 1e6,
            start.as_secs_f64() * 1e3
        ))
    }

    /// A program of the platform, to be run here.
    fn start(&self, program: &Path) -> Command {
        let mut command = match self.platform.runner {
            Runner::Qemu(need, root) => {
                let mut command = Command::new(need.program);
                command.args(["-L", root]).arg(program);
                command
            }
            Runner::Wine(need) => {
                let mut command = Command::new(need.program);
                command.arg(program);
                command
            }
            Runner::Here | Runner::Nothing => Command::new(program),
        };
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }
}

/// The middle of 21 starts.
fn start_up(there: &dyn Fn() -> Command) -> Result<Duration, String> {
    let mut times = Vec::new();
    for _ in 0..21 {
        let mut version = there();
        let start = Instant::now();
        steps::run(version.arg("--version").stdout(Stdio::null()))?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn told(need: Need) -> String {
    format!("no {} (Debian: {})", need.program, need.package)
}

/// Tests that passed and failed, in the lines with which test programs end.
pub(super) fn counts(text: &str) -> [u64; 2] {
    let results = text.lines().filter(|line| line.starts_with("test result:"));
    results.fold([0, 0], |[passed, failed], line| {
        let count = |word: &str| -> u64 {
            let before = line.split(word).next().unwrap_or_default();
            let number = before.split_whitespace().next_back();
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        [passed + count(" passed"), failed + count(" failed")]
    })
}

fn environment(platform: &Platform) -> Result<Vec<(String, String)>, String> {
    let upper = platform.target.replace('-', "_").to_uppercase();
    let mut env = Vec::new();
    if let Some(linker) = platform.linker {
        env.push((
            format!("CARGO_TARGET_{upper}_LINKER"),
            linker.program.to_owned(),
        ));
    }
    let runner = match platform.runner {
        Runner::Qemu(need, root) => Some(format!("{} -L {root}", need.program)),
        Runner::Wine(need) => Some(need.program.to_owned()),
        Runner::Here | Runner::Nothing => None,
    };
    if let Some(runner) = runner {
        env.push((format!("CARGO_TARGET_{upper}_RUNNER"), runner));
    }
    if let Runner::Wine(_) = platform.runner {
        env.extend(wine(platform)?);
    }
    if platform.target.ends_with("-musl") {
        env.push((format!("CARGO_TARGET_{upper}_RUSTFLAGS"), musl()?));
    }
    Ok(env)
}

/// Wine as old as Debian's lacks a library of Windows from which the standard library takes its random numbers.
/// This is it, over the function of Windows that it has.
const RANDOM: &str = "\
unsigned char __stdcall SystemFunction036(void *, unsigned long);
__declspec(dllexport) int ProcessPrng(unsigned char *at, unsigned long long size) {
    return SystemFunction036(at, (unsigned long)size);
}
";

fn wine(platform: &Platform) -> Result<Vec<(String, String)>, String> {
    let folder = home().join("wine");
    let (source, library) = (folder.join("random.c"), folder.join("bcryptprimitives.dll"));
    steps::write(&source, RANDOM)?;
    let compiler = platform.linker.map_or("cc", |linker| linker.program);
    let mut compile = Command::new(compiler);
    compile
        .arg("-shared")
        .arg(&source)
        .arg("-ladvapi32")
        .arg("-o")
        .arg(&library);
    steps::run(&mut compile)?;
    let text = |path: PathBuf| path.display().to_string();
    Ok(vec![
        // A folder of its own, so that nobody's settings of Wine are touched.
        ("WINEPREFIX".into(), text(folder.join("prefix"))),
        (
            "WINEPATH".into(),
            format!("Z:{}", text(folder).replace('/', "\\")),
        ),
        ("WINEDEBUG".into(), "-all".into()),
        ("WINEDLLOVERRIDES".into(), "mscoree,mshtml=".into()),
    ])
}

/// The start-up code of the system's musl, and the unwinder of the system's compiler under the name by which the
/// standard library knows it.
fn musl() -> Result<String, String> {
    let output = Command::new("gcc")
        .arg("-print-file-name=libgcc_eh.a")
        .output();
    let output = output.map_err(|error| format!("cannot run gcc: {error}"))?;
    let unwinder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let folder = home().join("musl");
    let copy = folder.join("libunwind.a");
    steps::make_parent(&copy)?;
    fs::copy(&unwinder, &copy).map_err(|error| format!("{}: {error}", unwinder.display()))?;
    Ok(format!(
        "-Clink-self-contained=no -Ctarget-feature=+crt-static -L{}",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn counts_of_all_test_programs_are_added() {
        let text = "\
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s
noise: 5 passed
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s
";
        assert_eq!(counts(text), [15, 2]);
    }
}
