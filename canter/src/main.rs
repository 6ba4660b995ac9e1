//! The `canter` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    canter::main()
}
