//! Compilers that have the standard library of a platform, or its source.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps;

/// A compiler that can make programs of a platform.
#[derive(Debug)]
pub(crate) struct Toolchain {
    cargo: OsString,
    rustc: OsString,
    /// The standard library is built along with the program.
    builds_std: bool,
}

/// The packages of Debian with a compiler and the source of its standard library.
const DEBIAN: &str = "rustc-web, cargo-web and rust-web-src";

impl Toolchain {
    /// The best of those on this machine: one that has the library before one that has its source, and the compiler
    /// in use before that of the system.
    ///
    /// # Errors
    /// Says how to get one.
    pub(crate) fn find(target: &str) -> Result<Self, String> {
        let own = [
            env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()),
        ];
        let system = ["/usr/bin/cargo".into(), "/usr/bin/rustc".into()];
        let compilers = [own, system];
        let found: Vec<_> = compilers
            .iter()
            .filter_map(|[cargo, rustc]| Some((cargo, rustc, sysroot(rustc)?)))
            .collect();
        let library = |root: &Path| root.join("lib/rustlib").join(target).join("lib").is_dir();
        let source = |root: &Path| {
            root.join("lib/rustlib/src/rust/library/Cargo.lock")
                .is_file()
        };
        let ready = found.iter().find(|(_, _, root)| library(root));
        let (cargo, rustc, root) = ready
            .or_else(|| found.iter().find(|(_, _, root)| source(root)))
            .ok_or_else(|| {
                format!(
                    "no standard library: `rustup target add {target}`, `rustup component add rust-src`, or Debian's \
                     {DEBIAN}"
                )
            })?;
        Ok(Self {
            cargo: (*cargo).clone(),
            rustc: (*rustc).clone(),
            builds_std: !library(root),
        })
    }

    /// A call of cargo for a platform.
    pub(crate) fn cargo(&self, subcommand: &str, target: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        command
            .args([subcommand, "--target", target])
            .current_dir(steps::root())
            .env("CARGO_TARGET_DIR", home())
            .env("RUSTC", &self.rustc)
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        if self.builds_std {
            // The source belongs to this very compiler, so what is unstable between versions is no risk.
            command.env("RUSTC_BOOTSTRAP", "1");
            command.arg(match target.contains("-none-") {
                true => "-Zbuild-std=core,alloc",
                false => "-Zbuild-std",
            });
        }
        command
    }
}

/// Where what is built for other platforms lies.
pub(crate) fn home() -> PathBuf {
    steps::target().join("platforms")
}

fn sysroot(rustc: &OsString) -> Option<PathBuf> {
    let mut ask = Command::new(rustc);
    let output = ask
        .args(["--print", "sysroot"])
        .current_dir(steps::root())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

/// Whether a program can be started here.
pub(crate) fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
