//! Whether the screen locks itself, as far as the administrator's settings of the desktop tell.

use std::path::Path;
use std::{fs, io};

use super::{Fact, Unknown, read};

/// Settings that an administrator gives to GNOME desktops (dconf(7)): text files in the folders of databases.
const DATABASES: &str = "etc/dconf/db";
/// The group of settings, and the key in it.
const GROUP: &str = "[org/gnome/desktop/screensaver]";
const KEY: &str = "lock-enabled";

/// Whether the screen locks itself.
///
/// # Errors
/// Nothing for all persons is set: what one of them has chosen is not looked at.
pub fn screen_lock(root: &Path) -> Fact<bool> {
    let mut files = Vec::new();
    // what cannot be listed says nothing
    let _ = key_files(&root.join(DATABASES), &mut files);
    files.sort();
    let last = files.iter().filter_map(|file| read(file).ok()).filter_map(|text| setting(&text)).next_back();
    last.ok_or_else(|| {
        Unknown::new("the desktop keeps this with each person's settings, which are not looked at")
    })
}

/// The files in folders such as `local.d`; locks are in folders below.
fn key_files(databases: &Path, files: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
    for database in fs::read_dir(databases)? {
        let folder = database?.path();
        if folder.extension().is_some_and(|extension| extension == "d") {
            for file in fs::read_dir(folder)? {
                files.push(file?.path());
            }
        }
    }
    Ok(())
}

fn setting(text: &str) -> Option<bool> {
    let lines = text.lines().map(str::trim).skip_while(|line| *line != GROUP).skip(1);
    let mut own = lines.take_while(|line| !line.starts_with('['));
    let value = own.find_map(|line| line.strip_prefix(KEY)?.trim_start().strip_prefix('='))?;
    Some(value.trim() == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_setting_for_all_persons_counts() {
        let root = tempfile::tempdir().unwrap();
        assert!(screen_lock(root.path()).is_err());
        let folder = root.path().join("etc/dconf/db/local.d");
        fs::create_dir_all(folder.join("locks")).unwrap();
        fs::write(folder.join("00-lock"), "[org/gnome/desktop/screensaver]\nlock-enabled=false\n").unwrap();
        assert_eq!(screen_lock(root.path()), Ok(false));
        fs::write(
            folder.join("10-lock"),
            "[org/gnome/desktop/screensaver]\nlock-delay=1\nlock-enabled = true\n",
        )
        .unwrap();
        assert_eq!(screen_lock(root.path()), Ok(true));
        fs::write(folder.join("20-other"), "[org/gnome/desktop/screensaver]\n[x]\nlock-enabled=false\n")
            .unwrap();
        assert_eq!(screen_lock(root.path()), Ok(true));
    }
}
