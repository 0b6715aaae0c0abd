//! What the archive says of the system.

use std::fs;
use std::path::Path;

/// Files whose text helps to find a cause; none of them holds a secret.
const FILES: [&str; 4] = ["/etc/os-release", "/proc/version", "/etc/resolv.conf", "/etc/nsswitch.conf"];
/// Longest text of a file that is taken, in octets.
const MOST: usize = 16 << 10;
/// First number of persons' users (`UID_MIN` of login.defs(5)).
const FIRST_PERSON: u32 = 1000;

/// The system as text.
pub(super) fn system() -> String {
    let mut text = format!(
        "connector: {} ({}, {})\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    text += &format!("can make a TUN: {}\n", platform::privileges::can_change_network());
    text += &format!("/dev/net/tun: {}\n", Path::new("/dev/net/tun").exists());
    text += &format!("systemd: {}\n", Path::new("/run/systemd/system").is_dir());
    text += &format!("links: {}\n", names_in("/sys/class/net").join(", "));
    for file in FILES {
        let shown = match fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned(),
            Err(error) => error.to_string(),
        };
        text += &format!("\n== {file}\n{}\n", shown.trim_end());
    }
    text
}

/// Names of the persons of this system.
pub(super) fn users() -> Vec<String> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = std::env::var("USER").ok().filter(|name| name != "root");
    passwd.lines().filter_map(person).chain(own).collect()
}

/// The device's own name.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A line of passwd(5): name, password, number, …
fn person(line: &str) -> Option<String> {
    let mut fields = line.split(':');
    let (name, number) = (fields.next()?, fields.nth(1)?);
    let number: u32 = number.parse().ok()?;
    const NOBODY: u32 = 65_534;
    (FIRST_PERSON..NOBODY).contains(&number).then(|| name.to_owned())
}

fn names_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_are_users_from_a_thousand_on() {
        assert_eq!(person("alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash").as_deref(), Some("alice"));
        for line in ["root:x:0:0:root:/root:/bin/bash", "nobody:x:65534:65534::/:/sbin/nologin", "broken", ""]
        {
            assert_eq!(person(line), None, "{line}");
        }
    }

    #[test]
    fn the_system_says_what_it_is() {
        let text = system();
        assert!(text.contains("links: ") && text.contains("== /etc/os-release"), "{text}");
    }
}
