//! Who we are, as servers' access security wants to know it.

use std::fmt::Display;

/// The login name of this process, empty if it cannot be found out.
///
/// Looked up by the user id in whatever directory the system asks, because that is what the reference client does
/// (`osiGetUserNameReturn` of EPICS Base) and an environment variable would be too easy to lie with by accident.
pub fn user_name() -> String {
    known("user", whoami::username())
}

/// The name of this host as `gethostname` gives it, empty if it cannot be found out.
pub fn host_name() -> String {
    known("host", whoami::hostname())
}

fn known<E: Display>(what: &str, name: Result<String, E>) -> String {
    name.unwrap_or_else(|error| {
        tracing::warn!("the name of the {what} is not known, servers are told none: {error}");
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_host_is_named_as_the_kernel_names_it() {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux has it");
        assert_eq!(host_name(), kernel.trim());
    }

    #[test]
    fn the_user_has_a_name() {
        assert_ne!(user_name(), "");
    }

    #[test]
    fn a_name_that_is_not_known_is_empty() {
        assert_eq!(known("user", Err::<String, _>("no such user")), "");
    }
}
