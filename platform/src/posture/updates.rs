//! Which security updates wait to be installed, as the system's own package manager knows.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use super::system::Packaging;
use super::{Fact, Unknown};
use crate::process;

/// How long the package manager may think; apt takes some seconds without its cache.
const LIMIT: Duration = Duration::from_secs(60);

/// What apt changes whenever it fetches its lists.
const APT_LISTS: [&str; 5] = [
    "var/lib/apt/lists",
    "var/lib/apt/lists/partial",
    "var/lib/apt/periodic/update-success-stamp",
    "var/lib/apt/periodic/update-stamp",
    "var/cache/apt/pkgcache.bin",
];
/// What dnf changes whenever it fetches its lists.
const DNF_LISTS: [&str; 2] = ["var/cache/dnf", "var/cache/libdnf5"];
/// What installs and removals change, beside the lists.
const INSTALLED: [&str; 3] = ["var/lib/dpkg/status", "var/lib/rpm", "usr/lib/sysimage/rpm"];

/// Security updates that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updates {
    /// Packages with a security update that is not installed, in order.
    pub missing: Vec<String>,
    /// Those of them that an administrator holds back.
    pub held: Vec<String>,
    /// When the package lists were fetched.
    pub lists_at: Option<SystemTime>,
}

/// What the answer depends on: while this stays the same, the package manager need not be asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Vec<Option<SystemTime>>);

/// The mark of now.
#[must_use]
pub fn mark(root: &Path) -> Mark {
    let paths = APT_LISTS.iter().chain(&DNF_LISTS).chain(&INSTALLED);
    Mark(paths.map(|path| changed_at(&root.join(path))).collect())
}

/// Asks the package manager of this system; nothing is installed or fetched. Takes up to a minute.
///
/// # Errors
/// No package manager that is known, no list of security updates, or it failed.
pub fn updates(packaging: Packaging) -> Fact<Updates> {
    let root = Path::new("/");
    match packaging {
        Packaging::Apt => of_apt(root),
        Packaging::Dnf => of_dnf(root),
        Packaging::Other => Err(Unknown::new("this system's package manager is not known")),
    }
}

fn of_apt(root: &Path) -> Fact<Updates> {
    if !has_security_list(&root.join("var/lib/apt/lists")) {
        return Err(Unknown::new(
            "apt has no list of security updates: `apt update` was never run, or `sources.list` names none",
        ));
    }
    let holds =
        fs::read_to_string(root.join("var/lib/dpkg/status")).map(|text| held(&text)).unwrap_or_default();
    let printed = ask("apt-get", &["-s", "-q", "--ignore-hold", "dist-upgrade"])?;
    let missing = security_of_apt(&printed);
    let held = missing.iter().filter(|package| holds.contains(package)).cloned().collect();
    Ok(Updates { missing, held, lists_at: newest(root, &APT_LISTS) })
}

fn of_dnf(root: &Path) -> Fact<Updates> {
    let printed = ask("dnf", &["-q", "-C", "updateinfo", "list", "--security"])?;
    Ok(Updates { missing: security_of_dnf(&printed), held: Vec::new(), lists_at: newest(root, &DNF_LISTS) })
}

fn ask(program: &str, words: &[&str]) -> Fact<String> {
    let failed = |error: io::Error| Unknown::new(format!("failed to ask `{program}` for updates: {error}"));
    let path = process::find(program).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut command = Command::new(path);
    command.args(words).env_clear().env("PATH", process::PROGRAM_DIRS.join(":")).env("LC_ALL", "C");
    process::run(&mut command, "", LIMIT).map_err(failed)
}

fn has_security_list(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.contains("security") && name.contains("Packages")
    })
}

/// Lines such as `Inst libc6 [2.36-9] (2.36-9+deb12u7 Debian-Security:12/stable-security [amd64])`.
fn security_of_apt(printed: &str) -> Vec<String> {
    let package = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        let is_update = rest.starts_with('[');
        let (_, new) = rest.split_once('(')?;
        let is_security =
            new.split([' ', ',', ')']).any(|part| part.contains('/') && part.ends_with("-security"));
        // a package that is new comes with the update of another one
        (is_update && is_security).then(|| name.to_owned())
    };
    sorted(printed.lines().filter_map(package))
}

/// Lines such as `FEDORA-2024-1234 Important/Sec. openssl-libs-1:3.0.9-1.fc38.x86_64`.
fn security_of_dnf(printed: &str) -> Vec<String> {
    let package = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_security = words.iter().any(|word| word.ends_with("/Sec.") || *word == "security");
        let full = words.last().filter(|_| is_security && words.len() >= 3)?;
        // name-version-release.architecture
        let mut parts = full.rsplitn(3, '-');
        parts.nth(2).map(str::to_owned)
    };
    sorted(printed.lines().filter_map(package))
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let unique: std::collections::BTreeSet<String> = names.collect();
    unique.into_iter().collect()
}

/// Packages whose state begins with `hold` (dpkg(1)).
fn held(status: &str) -> Vec<String> {
    let paragraph = |text: &str| {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        field("Status:")?.starts_with("hold ").then(|| field("Package:").map(str::to_owned))?
    };
    status.split("\n\n").filter_map(paragraph).collect()
}

fn newest(root: &Path, paths: &[&str]) -> Option<SystemTime> {
    paths.iter().filter_map(|path| changed_at(&root.join(path))).max()
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_updates_of_apt_are_told_from_others() {
        let printed = "Reading package lists...\n\
            Inst base-files [12.4] (12.4+deb12u5 Debian:12.5/stable [amd64])\n\
            Inst libc6 [2.36-9] (2.36-9+deb12u7 Debian:12.5/stable, Debian-Security:12/stable-security [amd64]) []\n\
            Inst openssl [3.0.2-0] (3.0.2-0ubuntu1.15 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])\n\
            Inst linux-image-6.1.0-20 (6.1.85-1 Debian-Security:12/stable-security [amd64])\n\
            Conf libc6 (2.36-9+deb12u7 Debian-Security:12/stable-security [amd64])\n\
            Inst odd [1-security] (2 Local:1/stable [amd64])\n";
        assert_eq!(security_of_apt(printed), ["libc6", "openssl"]);
    }

    #[test]
    fn security_updates_of_dnf_are_read_from_both_of_its_versions() {
        let printed = "FEDORA-2024-1a Important/Sec. openssl-libs-1:3.0.9-2.fc38.x86_64\n\
            FEDORA-2024-1b security Moderate vim-minimal-2:9.0-1.fc38.x86_64\n\
            FEDORA-2024-1c bugfix bash-5.2-1.fc38.x86_64\n";
        assert_eq!(security_of_dnf(printed), ["openssl-libs", "vim-minimal"]);
    }

    #[test]
    fn packages_on_hold_are_known() {
        let status = "Package: a\nStatus: install ok installed\n\nPackage: b\nStatus: hold ok installed\nVersion: 1\n\n";
        assert_eq!(held(status), ["b"]);
    }

    #[test]
    fn lists_without_security_are_noticed_and_changes_move_the_mark() {
        let root = tempfile::tempdir().unwrap();
        let lists = root.path().join("var/lib/apt/lists");
        assert!(!has_security_list(&lists));
        let before = mark(root.path());
        fs::create_dir_all(&lists).unwrap();
        fs::write(lists.join("deb.example.org_debian_dists_stable_main_binary-amd64_Packages"), "").unwrap();
        assert!(!has_security_list(&lists));
        fs::write(lists.join("deb.example.org_dists_stable-security_main_binary-amd64_Packages.lz4"), "")
            .unwrap();
        assert!(has_security_list(&lists));
        assert_ne!(mark(root.path()), before);
        assert!(newest(root.path(), &APT_LISTS).is_some());
    }
}
