//! Hostile peers on real sockets beside an honest client: `cargo xtask siege`, and the test
//! `siege` of the tools.
//!
//! Attackers are plain threads and sockets; they bind other addresses of the loopback network than
//! the honest client (127.0.0.2 and up), because limits count by address. All that they find is what
//! a `canter ioc` offers to everybody.

mod attack;
mod crowd;
mod hold;
mod honest;
mod server;

pub use attack::{Attack, Target};
pub use hold::{Calls, Hold, holds};
pub use honest::{Latency, client, honest};
pub use server::Server;
