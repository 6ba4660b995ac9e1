//! Records by the ten thousand, ours beside the real IOC in the same run: `cargo xtask scale`.
//!
//! Both load the same generated `.db` files. Processor time is that of the server's process, so that other programs on
//! the machine disturb only the time to serving. The last lines are measured within this process: the longest time
//! for which 60 000 updates hold the IOC, and `Ioc::from_db` with a hundred records.

#[cfg(target_os = "linux")]
mod inside;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod serving;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    return linux::main();
    #[cfg(not(target_os = "linux"))]
    {
        eprintln!("scale: needs /proc and the processor clocks of Linux");
        std::process::ExitCode::FAILURE
    }
}
