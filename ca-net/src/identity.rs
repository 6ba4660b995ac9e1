//! Who we are, as servers' access security wants to know it.

use std::env;
use std::fs;

/// The login name of this process, empty if it cannot be found out.
///
/// Looked up by the user id where the system shows it (Linux), because that is what the reference
/// client does and an environment variable would be too easy to lie with by accident; else from
/// `LOGNAME`, `USER` or `USERNAME`.
pub fn user_name() -> String {
    by_user_id().unwrap_or_else(|| first_of(["LOGNAME", "USER", "USERNAME"]))
}

/// The name of this host as `gethostname` gives it, empty if it cannot be found out.
pub fn host_name() -> String {
    match fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) => name.trim().to_owned(),
        Err(_) => first_of(["HOSTNAME", "HOST", "COMPUTERNAME"]),
    }
}

fn first_of<const N: usize>(variables: [&str; N]) -> String {
    let mut set = variables.into_iter().filter_map(|name| env::var(name).ok());
    set.find(|value| !value.is_empty()).unwrap_or_default()
}

#[cfg(unix)]
fn by_user_id() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let uid = fs::metadata("/proc/self").ok()?.uid();
    name_of(uid, &fs::read_to_string("/etc/passwd").ok()?)
}

#[cfg(not(unix))]
fn by_user_id() -> Option<String> {
    None
}

/// The name with this user id in a text of the form of `/etc/passwd`.
#[cfg(unix)]
fn name_of(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == uid && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_user_id_names_the_user() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nop:x:1001:100::/home/op:/bin/sh\n";
        assert_eq!(name_of(1001, passwd).as_deref(), Some("op"));
        assert_eq!(name_of(0, passwd).as_deref(), Some("root"));
        assert_eq!(name_of(7, passwd), None);
    }
}
