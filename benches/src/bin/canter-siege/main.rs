//! An honest client alone, and beside each attack, on real sockets: `cargo xtask siege`.
//!
//! The IOC is a `canter ioc` process, the attacker a process of its own (this program again), the
//! honest client this one. The table has the latency of its operations in both cases; below it
//! stands what the attacker did, and what the IOC says that it refused.

#[cfg(target_os = "linux")]
mod linux;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    return linux::main();
    #[cfg(not(target_os = "linux"))]
    {
        eprintln!("siege: needs the loopback network of Linux, all of 127.0.0.0/8");
        std::process::ExitCode::FAILURE
    }
}
