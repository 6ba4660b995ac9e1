//! Developer tasks of Canter.
fn main() {}
