//! Where things are on Linux: configuration, logs, state, socket, lock, journal.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Moves the state folder, so that several connectors can run beside each other.
pub const STATE_DIR_VARIABLE: &str = "OPENZTNA_STATE_DIR";

/// The configuration file.
pub fn config_file() -> &'static Path {
    Path::new("/etc/openztna/client-connector.toml")
}

/// The folder of log files.
pub fn log_dir() -> &'static Path {
    Path::new("/var/log/openztna")
}

/// The folder of managed settings.
pub fn managed_dir() -> &'static Path {
    Path::new("/etc/openztna/managed.d")
}

/// The state folder: [`STATE_DIR_VARIABLE`], else root's or the user's own.
pub fn state_dir() -> PathBuf {
    choose_state_dir(rustix::process::geteuid().is_root(), |name| std::env::var_os(name))
}

/// The Unix socket of the command line, in a state folder.
pub fn control_socket(state_dir: &Path) -> PathBuf {
    state_dir.join("connector.sock")
}

/// The journal of what was changed on the system, in a state folder.
pub fn journal(state_dir: &Path) -> PathBuf {
    state_dir.join("undo.journal")
}

/// The journal of what was changed on persons' desktops, in a state folder.
pub fn desktop_journal(state_dir: &Path) -> PathBuf {
    state_dir.join("desktop.journal")
}

/// All journals of a state folder.
pub fn journals(state_dir: &Path) -> [PathBuf; 2] {
    [journal(state_dir), desktop_journal(state_dir)]
}

fn choose_state_dir(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    // XDG base directories: a relative path there is to be ignored.
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(path) = variable(STATE_DIR_VARIABLE).filter(|path| !path.is_empty()) {
        return PathBuf::from(path);
    }
    if root {
        return PathBuf::from("/var/lib/openztna");
    }
    if let Some(path) = absolute("XDG_STATE_HOME") {
        return path.join("openztna");
    }
    let home = absolute("HOME").unwrap_or_else(|| PathBuf::from("/"));
    home.join(".local/state/openztna")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(root: bool, variables: &[(&str, &str)]) -> PathBuf {
        choose_state_dir(root, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn state_folder_follows_variable_then_root_then_user() {
        assert_eq!(chosen(true, &[(STATE_DIR_VARIABLE, "/tmp/a")]), Path::new("/tmp/a"));
        assert_eq!(chosen(true, &[("XDG_STATE_HOME", "/people/x")]), Path::new("/var/lib/openztna"));
        assert_eq!(chosen(true, &[(STATE_DIR_VARIABLE, "")]), Path::new("/var/lib/openztna"));
        assert_eq!(chosen(false, &[("XDG_STATE_HOME", "/people/s")]), Path::new("/people/s/openztna"));
        let user = [("XDG_STATE_HOME", "relative"), ("HOME", "/people/u")];
        assert_eq!(chosen(false, &user), Path::new("/people/u/.local/state/openztna"));
    }
}
