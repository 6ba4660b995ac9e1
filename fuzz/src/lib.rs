//! Runs the body of a fuzz target and counts its memory.

/// Gives the input to the target with this name.
///
/// # Panics
/// If there is no such target, the body panics, or it takes more memory than its bound.
pub fn run(name: &str, data: &[u8]) {
    let mut all = (ca_testkit::fuzz::TARGETS.iter())
        .chain(ca_proxy::fuzz::TARGETS)
        .chain(canter::fuzz::TARGETS);
    let Some((_, body, limit)) = all.find(|(known, ..)| *known == name) else {
        panic!("no target {name}");
    };
    let most = allocation_counter::measure(|| body(data)).bytes_max;
    assert!(most <= *limit, "{most} bytes allocated at one time");
}
