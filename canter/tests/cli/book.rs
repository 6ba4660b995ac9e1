//! Every command in the README and in the book is run as it stands there, but for addresses and for how long.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ca_server_sim::{Ioc, PvSpec, RecordFiles};

use crate::common::{Served, command_on, ended};

/// Lines that are not run here, by their beginning, and why.
const NOT_HERE: [(&str, &str); 21] = [
    ("git clone ", "needs the network"),
    ("cd canter", "belongs to git clone"),
    ("cargo ", "CI runs these tasks"),
    ("CANTER_MATRIX_SERVER=", "CI runs these tasks"),
    ("export CANTER_PEERS_PYTHON=", "CI runs these tasks"),
    (
        "export EPICS_CA_ADDR_LIST=",
        "the addresses are those of this test",
    ),
    ("python -c 'import epics", "ca-tests run pyepics"),
    (
        "canter conformance --client -- caget ",
        "needs programs of others",
    ),
    (
        "canter conformance --client --group nasty",
        "needs programs of others",
    ),
    ("canter world --seeds ", "cargo xtask world runs thousands"),
    ("canter world --for ", "half an hour"),
    ("canter world ", "a feature of the program"),
    ("target/release/canter world ", "days"),
    ("tail world.txt", "belongs to the line above it"),
    (
        "canter ring --lattice my.lat",
        "needs a lattice of one's own",
    ),
    ("pip install ", "cargo xtask python installs the wheel"),
    ("ln -s ", "changes the system"),
    ("CREATE_CHAN ", "is output"),
    ("canter demo", "has a test of its own"),
    ("canter lint -D ", "needs the .dbd file of an IOC"),
    (
        "canter bench sim:temperature",
        "as the other lines of bench, for longer",
    ),
];

/// Beginnings of those that run until somebody ends them.
const ENDLESS: [&str; 5] = [
    "canter ioc ",
    "canter monitor ring",
    "canter proxy --listen",
    "canter ring  ",
    "canter ring --no-physics",
];

struct Line {
    page: String,
    text: String,
}

/// The lines of all blocks of shell commands.
fn lines() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let book = fs::read_dir(root.join("docs/src")).unwrap();
    let mut pages: Vec<PathBuf> = book.map(|entry| entry.unwrap().path()).collect();
    pages.extend([root.join("README.md"), root.join("canter/README.md")]);
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    pages.sort();
    let mut lines = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for block in text.split("```sh\n").skip(1) {
            let block = block.split("```").next().unwrap();
            for text in block.lines().filter(|line| !line.trim().is_empty()) {
                lines.push(Line {
                    page: page.file_name().unwrap().to_string_lossy().into_owned(),
                    text: text.to_owned(),
                });
            }
        }
    }
    lines
}

/// Files that the book shows: blocks that begin with their names.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for page in ["records.md", "console.md", "access.md"] {
        let page = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs/src")
            .join(page);
        let text = fs::read_to_string(page).unwrap();
        for kind in ["db", "iocsh", "req", "acf"] {
            for block in text.split(&format!("```{kind}\n# ")).skip(1) {
                let block = block.split("```").next().unwrap();
                let (name, text) = block.split_once('\n').unwrap();
                files.push((name.to_owned(), text.to_owned()));
            }
        }
    }
    files
}

/// The PVs of the book.
fn ioc(folder: &Path) -> Served {
    // The states of an IOC of the last century are in Latin-1.
    let valve = PvSpec::enumeration([&b"zu"[..], b"\xfcberpr\xfcft"], 0);
    let gap = || PvSpec::double(1.0).control(-10.0, 50.0);
    let stage = RecordFiles::new().directory(folder.display().to_string());
    let stage = stage.file("stage.substitutions", "P=BL7");
    Served::new(
        Ioc::builder()
            .record_files(&stage)
            .pv("ring:current", PvSpec::double(300.2).units("mA"))
            .pv("motor:m1", gap())
            .pv("motor:gap", gap())
            .pv("note:text", PvSpec::string("ready"))
            .pv("wave:form", PvSpec::array([0.0; 3]))
            .pv("file:path", PvSpec::text("/tmp").capacity(64))
            .pv("valve:state", valve)
            .pv("sim:temperature", PvSpec::double(21.5))
            .pv("test:gap", gap())
            .pv("test:wave", PvSpec::array([0.0; 10]))
            .pv("test:valve", PvSpec::enumeration(["Closed", "Open"], 0))
            .pv("test:note", PvSpec::string("")),
    )
}

/// The line with addresses of this test in place of those of the book.
fn here(text: &str, ioc: &Served) -> String {
    let (tcp, search) = (ioc.tcp, format!("127.0.0.1:{}", ioc.port));
    // One group of checks, in place of all or of longer ones.
    let conformance = format!("conformance {tcp} --udp-port {} --group echo ", ioc.port);
    text.replace("--group monitor --group flow ", "")
        .replace("--client --put", "--client --group create --put")
        .replace("conformance 127.0.0.1:5064 ", &conformance)
        .replace("conformance 127.0.0.1 ", &conformance)
        .replace("--listen 127.0.0.1:6064", "--listen 127.0.0.1:0")
        .replace("--to 127.0.0.1:5064", &format!("--to {search}"))
        .replace("10.0.0.7", &search)
        .replace("--seconds 6", "--seconds 0.2")
        .replace("bench --addr-list", "bench --seconds 0.2 --addr-list")
        .replace("canter ioc ", "canter ioc --port 0 ")
        .replace("canter softIoc ", "canter softIoc --port 0 ")
}

/// A shell in which the program is found, and the IOC.
fn shell(ioc: &Served, line: &str, folder: &Path) -> Command {
    let canter = Path::new(env!("CARGO_BIN_EXE_canter"));
    // The environment of the other tests.
    let like = command_on(ioc.port, &[]);
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env_clear();
    for (name, value) in like.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", canter.parent().unwrap().display());
    command.env("PATH", path);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The first line that a program prints, then it is ended.
fn first_line(mut child: Child) -> String {
    let mut line = String::new();
    let out = child.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    line
}

#[test]
fn every_command_of_the_book_works_as_typed() {
    let folder = std::env::temp_dir().join(format!("canter-book-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in files() {
        fs::write(folder.join(name), text).unwrap();
    }
    let ioc = ioc(&folder);
    fs::write(folder.join("envPaths"), "epicsEnvSet(\"TOP\", \".\")\n").unwrap();
    fs::write(
        folder.join("x.db"),
        "record(ai, \"a\") { field(FLNK, \"elsewhere\") }\n",
    )
    .unwrap();
    fs::write(
        folder.join("faults.toml"),
        "[[rule]]\non = \"search\"\naction = \"drop\"\n",
    )
    .unwrap();
    let (mut ran, mut unused) = (0, NOT_HERE.to_vec());
    for Line { page, text } in lines() {
        if let Some((begins, _)) = NOT_HERE.iter().find(|(begins, _)| text.starts_with(begins)) {
            unused.retain(|(other, _)| other != begins);
            continue;
        }
        ran += 1;
        let line = here(&text, &ioc);
        if ENDLESS.iter().any(|begins| text.starts_with(begins)) {
            let child = shell(&ioc, &format!("exec {line}"), &folder)
                .spawn()
                .unwrap();
            assert_ne!(first_line(child), "", "{page}: {text}");
            continue;
        }
        let mut child = shell(&ioc, &line, &folder).spawn().unwrap();
        let mut err = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        let mut out = child.stdout.take().unwrap();
        let output = std::thread::spawn(move || {
            let mut text = Vec::new();
            out.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        let code = ended(&mut child);
        let (out, err) = (output.join().unwrap(), errors.join().unwrap());
        assert_eq!(code, Some(0), "{page}: {text}\n{line}\n{out}{err}");
        assert_ne!(out, "", "{page}: {text}");
    }
    fs::remove_dir_all(&folder).unwrap();
    assert!(ran > 20, "{ran} commands were found");
    assert!(unused.is_empty(), "not in the book any more: {unused:?}");
}
