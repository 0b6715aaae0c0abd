//! Which operating system this is.

use std::path::Path;

use super::{Fact, Unknown, read};

/// Where distributions describe themselves (os-release(5)); the second is for those without the first.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// The operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct System {
    /// Identifier of the distribution, such as `debian`.
    pub id: String,
    /// What it is made from, such as `debian` for Ubuntu.
    pub like: Vec<String>,
    /// Its name for people, such as `Debian GNU/Linux`.
    pub name: String,
    /// Its version, such as `12`; none for those that always move.
    pub version: Option<String>,
    /// The kernel's release.
    pub kernel: String,
    /// The device's name.
    pub hostname: String,
}

/// How a distribution's programs are installed and kept up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packaging {
    /// apt: Debian, Ubuntu and what is made from them.
    Apt,
    /// dnf: Fedora, Red Hat and what is made from them.
    Dnf,
    /// Another one.
    Other,
}

impl System {
    /// How programs are installed.
    #[must_use]
    pub fn packaging(&self) -> Packaging {
        let is = |names: &[&str]| {
            names.iter().any(|name| self.id == *name || self.like.iter().any(|like| like == name))
        };
        if is(&["debian", "ubuntu"]) {
            Packaging::Apt
        } else if is(&["fedora", "rhel", "centos"]) {
            Packaging::Dnf
        } else {
            Packaging::Other
        }
    }
}

/// The operating system whose files are below `root`; kernel and name are those of this machine.
///
/// # Errors
/// The distribution does not describe itself.
pub fn system(root: &Path) -> Fact<System> {
    let text = OS_RELEASE.iter().find_map(|path| read(&root.join(path)).ok());
    let text = text
        .ok_or_else(|| Unknown::new("the system does not say what it is: there is no `/etc/os-release`"))?;
    let uname = rustix::system::uname();
    let given = |key: &str| value(&text, key).filter(|value| !value.is_empty());
    Ok(System {
        id: given("ID").unwrap_or_else(|| "linux".to_owned()),
        like: given("ID_LIKE")
            .map(|ids| ids.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        name: given("NAME").unwrap_or_else(|| "Linux".to_owned()),
        version: given("VERSION_ID"),
        kernel: uname.release().to_string_lossy().into_owned(),
        hostname: uname.nodename().to_string_lossy().into_owned(),
    })
}

/// The value of a key; quotes are taken away. Nothing that anybody writes there needs escapes.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().rev().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Fact<System> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/os-release"), text).unwrap();
        system(root.path())
    }

    #[test]
    fn distributions_describe_themselves() {
        let ubuntu = from("NAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nID=ubuntu\nID_LIKE=debian\n").unwrap();
        assert_eq!((ubuntu.name.as_str(), ubuntu.version.as_deref()), ("Ubuntu", Some("22.04")));
        assert_eq!(ubuntu.packaging(), Packaging::Apt);
        let rocky = from("ID='rocky'\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=9.4\n").unwrap();
        assert_eq!((rocky.packaging(), rocky.version.as_deref()), (Packaging::Dnf, Some("9.4")));
        let arch = from("NAME=\"Arch Linux\"\nID=arch\n").unwrap();
        assert_eq!((arch.packaging(), arch.version), (Packaging::Other, None));
        assert!(!rocky.kernel.is_empty() && !rocky.hostname.is_empty());
    }

    #[test]
    fn a_system_that_says_nothing_is_not_known() {
        let root = tempfile::tempdir().unwrap();
        assert!(system(root.path()).unwrap_err().to_string().contains("os-release"));
    }
}
