//! `canter ioc` with a script and a console, and as softIoc.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::common::{Run, command_on, ended, until};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("canter-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> &Self {
        fs::write(self.0.join(name), content).unwrap();
        self
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command_on(0, args);
        command.current_dir(&self.0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs with these lines as standard input, to the end.
    fn run(&self, args: &[&str], input: &str) -> Run {
        let mut child = self.command(args).spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        Run::of(&child.wait_with_output().unwrap())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that serves, with the ends of its streams.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Self {
            child,
            input,
            output: BufReader::new(output),
        }
    }

    /// Reads until a line begins so.
    fn until(&mut self, begin: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.output.read_line(&mut line).unwrap(),
                0,
                "no line begins with {begin:?}"
            );
            if line.starts_with(begin) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The end of its input, then its own.
    fn end(mut self) -> Option<i32> {
        self.input = None;
        let code = ended(&mut self.child);
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        code
    }
}

const DB: &str = "record(ao, \"$(P):gap\") { field(VAL, 1.5) field(EGU, \"$(EGU=mm)\") }\n";

#[test]
fn options_are_those_of_softioc() {
    let dir = Dir::new("softioc");
    dir.file("x.db", DB);
    let args = [
        "softIoc",
        "--port",
        "0",
        "-d",
        "x.db",
        "-m",
        "P=B",
        "-d",
        "x.db",
        "-m",
        "P=C,EGU=V",
        "-d",
        "x.db",
    ];
    // The first file has no macros: they count for what comes behind.
    let run = dir.run(&args, "");
    run.expect(2, "").says("macro `P` is not defined");
    let run = dir.run(
        &[&args[..3], &args[5..]].concat(),
        "dbl ao EGU\nexit\ndbl\n",
    );
    let ready = "ready: serves 2 PVs on 127.0.0.1, UDP port ";
    assert!(run.out.starts_with(ready), "{run:?}");
    let (_, rest) = run.out.split_once('\n').unwrap();
    assert_eq!(rest, "B:gap, \"mm\"\nC:gap, \"V\"\n");
    assert_eq!((run.code, run.err.as_str()), (Some(0), "stopped\n"));
    let run = dir.run(
        &[
            "ioc", "--port", "0", "--check", "-m", "P=A", "x.db", "-m", "P=B",
        ],
        "",
    );
    run.expect(0, "1 record, no mistakes\n")
        .says("-m P=B: no file comes behind it");
}

#[test]
fn a_program_called_softioc_is_one() {
    let dir = Dir::new("called");
    dir.file("x.db", "record(ai, \"x\") { field(VAL, 2) }\n");
    let program = dir.0.join("softIoc");
    #[cfg(unix)]
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_canter"), &program).unwrap();
    #[cfg(not(unix))]
    fs::copy(env!("CARGO_BIN_EXE_canter"), &program).unwrap();
    let like = dir.command(&[]);
    let mut command = Command::new(&program);
    command.env_clear();
    for (name, value) in like.get_envs() {
        command.env(name, value.unwrap());
    }
    command
        .current_dir(&dir.0)
        .args(["--port", "0", "-v", "-d", "x.db"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"dbgf x\n").unwrap();
    let run = Run::of(&child.wait_with_output().unwrap());
    assert!(
        run.out
            .starts_with("dbLoadRecords(\"x.db\")\niocInit()\nready: "),
        "{run:?}"
    );
    assert!(
        run.out.ends_with("DBF_DOUBLE:         2         \n"),
        "{run:?}"
    );
}

#[test]
fn a_script_serves_and_tells_where() {
    let dir = Dir::new("script");
    let script = "#!../../bin/example\ndbLoadRecords(\"x.db\", \"P=SR\")\nasynSetTraceMask(\"L0\", 0, 9)\niocInit\n\
                  dbpf SR:gap 2.5\n";
    dir.file("x.db", DB).file("st.cmd", script);
    // Without a console it serves until it is ended.
    let args = [
        "ioc",
        "--port",
        "0",
        "--ready",
        "where.json",
        "--end-with-stdin",
        "st.cmd",
    ];
    let mut session = Session::start(dir.command(&args));
    let ready = session.until("ready: serves 1 PV ");
    session.until("DBF_DOUBLE:         2.5");
    let told: serde_json::Value = serde_json::from_str(&dir.read("where.json")).unwrap();
    let (udp, tcp) = (&told["udp_port"], &told["tcp_port"]);
    assert!(
        ready.ends_with(&format!("UDP port {udp}, TCP port {tcp}")),
        "{ready} {told}"
    );
    let port = udp.as_u64().unwrap() as u16;
    let run = Run::of(&command_on(port, &["get", "-t", "SR:gap"]).output().unwrap());
    run.expect(0, "2.5\n");
    assert_eq!(session.end(), Some(0));
    // With one it ends with its input.
    let run = dir.run(&["softIoc", "--port", "0", "st.cmd"], "dbgf SR:gap\n");
    assert!(
        run.out.ends_with("DBF_DOUBLE:         2.5       \n"),
        "{run:?}"
    );
    run.says("st.cmd line 3: Command asynSetTraceMask not found, it is left out");
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_script_that_serves_nothing_is_an_error() {
    let dir = Dir::new("noinit");
    dir.file("st.cmd", "echo hello\n");
    let run = dir.run(&["ioc", "--port", "0", "st.cmd"], "");
    run.says("st.cmd has no iocInit: nothing is served");
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(2), "echo hello\nhello\n")
    );
    dir.file("two.cmd", "");
    dir.run(&["ioc", "st.cmd", "two.cmd"], "")
        .expect(2, "")
        .says("is a second start-up script");
    // The console may do it.
    let run = dir.run(&["softIoc", "--port", "0", "st.cmd"], "iocInit\ndbl\n");
    assert!(run.out.contains("ready: serves 0 PVs"), "{run:?}");
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_record_ends_it() {
    let dir = Dir::new("exit");
    for (value, code) in [("0", 0), ("3", 1)] {
        let mut session = Session::start(dir.command(&["softIoc", "--port", "0", "-x", "SR"]));
        session.until("ready: ");
        session.say(&format!("dbpf SR:exit.A {value}"));
        session.say("dbpf SR:exit.PROC 1");
        assert_eq!(ended(&mut session.child), Some(code));
    }
}

#[cfg(unix)]
#[test]
fn signals_end_the_console_cleanly() {
    let dir = Dir::new("signals");
    dir.file("x.db", "record(ai, \"x\") {}\n");
    for signal in ["-INT", "-TERM"] {
        let args = ["softIoc", "--port", "0", "--ready", "here", "-d", "x.db"];
        let mut session = Session::start(dir.command(&args));
        session.until("ready: ");
        session.say("epicsThreadSleep 1000");
        let pid = session.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(ended(&mut session.child), Some(0));
        assert!(!dir.0.join("here").exists());
    }
}

#[test]
fn autosave_writes_whole_files_and_restores_them() {
    let dir = Dir::new("autosave");
    dir.file("x.db", DB)
        .file("x.req", "$(P):gap\n$(P):gap.EGU\n");
    fs::create_dir(dir.0.join("save")).unwrap();
    let args = [
        "softIoc",
        "--port",
        "0",
        "-m",
        "P=SR",
        "-d",
        "x.db",
        "--autosave",
        "x.req",
        "--autosave-dir",
        "save",
        "--autosave-period",
        "1",
    ];
    let mut session = Session::start(dir.command(&args));
    session.until("ready: ");
    session.say("dbpf SR:gap 4.5");
    until("it is saved", || {
        dir.read("save/x.savB").contains("SR:gap 4.5\n")
    });
    let saved = dir.read("save/x.sav");
    assert!(
        saved.ends_with("SR:gap 4.5\nSR:gap.EGU mm\n<END>\n"),
        "{saved}"
    );
    session.say("dbpf SR:gap 5.5");
    assert_eq!(session.end(), Some(0));
    // The end is saved too; nothing unfinished is left.
    assert!(dir.read("save/x.sav").contains("SR:gap 5.5\n"));
    let left = fs::read_dir(dir.0.join("save")).unwrap().count();
    assert_eq!(left, 2);
    // Cut in half, by whatever: the copy takes its place.
    dir.file("save/x.sav", "SR:gap 9\n");
    let run = dir.run(&args, "dbgf SR:gap\n");
    run.says("save/x.sav:1: the file ends without <END>")
        .says("save/x.savB takes its place");
    run.says("save/x.savB: 2 of 2 fields restored in pass 1");
    assert!(
        run.out.ends_with("DBF_DOUBLE:         5.5       \n"),
        "{run:?}"
    );
    assert!(dir.read("save/x.savB.bu").contains("SR:gap 5.5\n"));
}

/// The record that triggers tells of itself; another file is saved by hand. Arrays and macros are those of request files.
#[test]
fn a_set_is_saved_when_its_record_posts() {
    let dir = Dir::new("triggered");
    dir.file("x.db", DB)
        .file("w.db", "record(waveform, \"$(P):wave\") { field(FTVL, DOUBLE) field(NELM, 3) }\nrecord(longout, \"$(P):go\") {}\n")
        .file("x.req", "file $(R).req P=$(P)\n$(P):wave\n")
        .file("y.req", "$(P):gap.EGU\n");
    let script = "dbLoadRecords x.db P=SR\ndbLoadRecords w.db P=SR\nset_savefile_path .\n\
                  create_triggered_set x.req SR:go \"P=SR,R=y\"\ncreate_manual_set y.req P=SR\niocInit\n";
    dir.file("st.cmd", script);
    let mut session = Session::start(dir.command(&["ioc", "-s", "--port", "0", "st.cmd"]));
    session.until("ready: ");
    session.say("dbpf SR:wave \"[1.5, 2]\"");
    session.say("dbpf SR:go 1");
    until("it is saved", || {
        let saved = dir.read("x.sav");
        saved.contains("SR:gap.EGU mm\nSR:wave @array@ { \"1.5\" \"2\" }\n<END>\n")
    });
    session.say("dbpf SR:wave \"[2.5, 3]\"");
    session.say("dbpf SR:go 2");
    until("it is saved again", || {
        dir.read("x.savB").contains("{ \"2.5\" \"3\" }")
    });
    session.say("manual_save y.req");
    until("the other one is saved", || {
        dir.read("y.savB").ends_with("SR:gap.EGU mm\n<END>\n")
    });
    assert_eq!(session.end(), Some(0));
}
