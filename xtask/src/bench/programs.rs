//! The programs that are measured: ours, and the peers as far as they can be had here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::home;
use super::plan::{Case, Client, PVS, Server, Work};
use crate::{peers, steps};

/// Where each program is; what is missing on this machine is `None`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Programs {
    /// Our client and our IOC.
    pub load: PathBuf,
    /// The tools.
    pub canter: PathBuf,
    /// The Python that has the real IOC.
    pub python: Option<PathBuf>,
    /// The database of the real IOC.
    pub database: PathBuf,
    pub libca: Option<PathBuf>,
    pub bare_client: Option<PathBuf>,
    pub bare_server: Option<PathBuf>,
    pub raw_tcp: Option<PathBuf>,
    /// What is left out, and why.
    pub missing: Vec<String>,
}

impl Programs {
    /// Whether all that a case needs is here.
    pub(crate) fn can(&self, case: &Case) -> bool {
        let client = match case.client {
            Client::Libca => self.libca.is_some(),
            Client::Bare => self.bare_client.is_some(),
            Client::Raw => self.raw_tcp.is_some(),
            Client::Pyepics | Client::Aioca => self.python.is_some(),
            Client::Ours | Client::Blocking | Client::Tokio => true,
        };
        let server = match case.server {
            Server::Ioc => self.python.is_some(),
            Server::Bare => self.bare_server.is_some(),
            Server::Ours | Server::Raw | Server::Tokio => true,
        };
        client && server
    }

    /// The client of a case.
    pub(crate) fn client(&self, case: &Case) -> Option<&Path> {
        match case.client {
            Client::Libca => self.libca.as_deref(),
            Client::Bare => self.bare_client.as_deref(),
            Client::Raw => self.raw_tcp.as_deref(),
            Client::Pyepics | Client::Aioca => self.python.as_deref(),
            Client::Ours | Client::Blocking | Client::Tokio => Some(&self.load),
        }
    }

    /// What the interpreter runs as a client.
    pub(crate) fn python_client() -> PathBuf {
        steps::root().join("benches/peers/python_client.py")
    }

    /// The writer of the monitor workloads: the cheapest there is.
    pub(crate) fn writer(&self) -> &Path {
        self.bare_client.as_deref().unwrap_or(&self.load)
    }

    pub(crate) fn load(file: &Path) -> Result<Self, String> {
        let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))
    }

    pub(crate) fn save(&self) -> Result<PathBuf, String> {
        let file = home().join("programs.json");
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        steps::write(&file, &text)?;
        Ok(file)
    }
}

/// Builds all programs.
///
/// # Errors
/// Ours cannot be built. What else is missing is noted.
pub(crate) fn prepare() -> Result<Programs, String> {
    let mut programs = ours()?;
    programs.database = database(PVS, "bench")?;
    let mut missing = Vec::new();
    let mut take = |what: &str, made: Result<PathBuf, String>| match made {
        Ok(path) => Some(path),
        Err(reason) => {
            missing.push(format!("{what}: {reason}"));
            None
        }
    };
    programs.python = take("the real IOC", python());
    programs.libca = take("libca", libca(programs.python.as_deref()));
    programs.bare_client = take("the bare client", compile("bare_client.cpp", &[]));
    programs.bare_server = take("the bare server", compile("bare_server.cpp", &[]));
    programs.raw_tcp = take("raw TCP", compile("raw_tcp.c", &[]));
    programs.missing = missing;
    Ok(programs)
}

fn ours() -> Result<Programs, String> {
    let packages = [
        "-p",
        "ca-bench",
        "--bin",
        "canter-load",
        "-p",
        "canter",
        "--bin",
        "canter",
    ];
    let mut build = steps::cargo(&["build", "--release", "--quiet"]);
    steps::run(build.args(packages))?;
    let target = steps::target();
    Ok(Programs {
        load: target.join("release/canter-load"),
        canter: target.join("release/canter"),
        ..Programs::default()
    })
}

/// The interpreter that the interop tests were told of, or that of `cargo xtask peers`.
fn python() -> Result<PathBuf, String> {
    std::env::var_os(peers::VARIABLE).map_or_else(peers::ensure, |python| Ok(python.into()))
}

/// The client on libca, against the headers and libraries of the wheel.
fn libca(python: Option<&Path>) -> Result<PathBuf, String> {
    let python = python.ok_or("it comes with the real IOC")?;
    let script = "import epicscorelibs, os; print(os.path.dirname(epicscorelibs.__file__))";
    let output = Command::new(python)
        .args(["-c", script])
        .output()
        .map_err(|error| format!("{}: {error}", python.display()))?;
    let wheel = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let flags = [
        format!("-I{wheel}/include"),
        format!("-I{wheel}/include/os/Linux"),
        format!("-I{wheel}/include/compiler/gcc"),
        format!("-L{wheel}/lib"),
        format!("-Wl,-rpath,{wheel}/lib"),
        "-lca".into(),
        "-lCom".into(),
        "-lpthread".into(),
    ];
    compile("libca.cpp", &flags)
}

/// Compiles a program of `benches/peers`, unless that was done since it was changed.
fn compile(source: &str, flags: &[String]) -> Result<PathBuf, String> {
    let folder = steps::root().join("benches/peers");
    let program = home().join(Path::new(source).with_extension(""));
    if changed(&program).is_some_and(|made| newest(&folder).is_some_and(|newest| made > newest)) {
        return Ok(program);
    }
    let (variable, usual, standard) = match source.ends_with(".c") {
        true => ("CC", "cc", "-std=c11"),
        false => ("CXX", "c++", "-std=c++17"),
    };
    let compiler = std::env::var_os(variable).unwrap_or_else(|| usual.into());
    let mut command = Command::new(&compiler);
    command
        .args(["-O2", "-g", standard, "-o"])
        .arg(&program)
        .arg(folder.join(source))
        .args(flags)
        .stdin(Stdio::null());
    steps::make_parent(&program)?;
    steps::run(&mut command).map_err(|error| {
        format!("{error} (a compiler is needed; Debian: apt-get install g++, or set {variable})")
    })?;
    Ok(program)
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).ok()?.modified().ok()
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let files = fs::read_dir(folder).ok()?.flatten();
    files.filter_map(|file| changed(&file.path())).max()
}

/// A database for the real IOC with the PVs that the other servers have. Every put posts.
pub(crate) fn database(pvs: u64, name: &str) -> Result<PathBuf, String> {
    let mut text = String::new();
    for n in 0..pvs {
        text += &format!("record(ao,\"B:{n}\"){{field(MDEL,\"-1\")field(ADEL,\"-1\")}}\n");
    }
    for (name, ty, count) in [
        ("WF", "DOUBLE", 1_000_000),
        ("IMG", "CHAR", 1360 * 1024 * 3),
    ] {
        text += &format!(
            "record(waveform,\"{name}\"){{field(FTVL,\"{ty}\")field(NELM,\"{count}\")}}\n"
        );
    }
    let file = home().join(format!("{name}.db"));
    steps::write(&file, &text)?;
    Ok(file)
}

impl Work {
    /// The word that all client programs understand.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetMany(_) => "mget",
            Self::PutNotify => "putcb",
            Self::Put => "put",
            Self::Monitor(_) | Self::Paced(_) | Self::Fan => "mon",
            Self::Connect(_) => "conn",
            Self::Array => "wfget",
            Self::Frames => "wfmon",
            Self::Fair => "fair",
            Self::Memory => "memory",
            Self::OneShot(_) => "once",
        }
    }
}
