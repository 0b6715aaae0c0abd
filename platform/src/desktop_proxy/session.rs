//! Users with a session on this device, and how a program is run as one of them.

use std::{
    env, fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use crate::{dns_config::FileWatch, privileges, process::PROGRAM_DIRS};

/// Where systemd-logind and elogind keep a folder for each user with a session.
const RUNTIME_DIRS: &str = "/run/user";

/// Numbers below are the system's own users: a login screen has a session, too (login.defs(5), UID_MIN).
const FIRST_PERSON: u32 = 1000;

/// A user, and where the programs of the session meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionUser {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's first group.
    pub gid: u32,
    /// The user's own folder.
    pub home: PathBuf,
    /// Address of the session's message bus.
    pub bus: String,
    /// The session's folder for sockets.
    pub runtime_dir: PathBuf,
    /// The user's folder for settings, where it is not the usual one.
    pub config_home: Option<PathBuf>,
}

impl SessionUser {
    /// Persons with a session: all of them for root, otherwise only who asks.
    pub fn all() -> Vec<Self> {
        if !privileges::is_root() {
            return Self::own().into_iter().collect();
        }
        let Ok(entries) = fs::read_dir(RUNTIME_DIRS) else { return Vec::new() };
        let mut uids: Vec<u32> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|uid| *uid >= FIRST_PERSON)
            .collect();
        uids.sort_unstable();
        uids.into_iter().filter_map(Self::of).collect()
    }

    /// Who runs this process, with the session that its environment tells.
    pub fn own() -> Option<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let usual = Path::new(RUNTIME_DIRS).join(uid.to_string());
        let runtime_dir = env::var_os("XDG_RUNTIME_DIR").map_or(usual, PathBuf::from);
        let bus = env::var("DBUS_SESSION_BUS_ADDRESS").ok();
        let bus = bus.or_else(|| bus_in(&runtime_dir))?;
        let (gid, home) = privileges::group_and_home(uid).ok().flatten()?;
        let home = env::var_os("HOME").map_or(home, PathBuf::from);
        let config_home = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        Some(Self { uid, gid, home, bus, runtime_dir, config_home })
    }

    fn of(uid: u32) -> Option<Self> {
        let runtime_dir = Path::new(RUNTIME_DIRS).join(uid.to_string());
        let bus = bus_in(&runtime_dir)?;
        let (gid, home) = privileges::group_and_home(uid).ok().flatten()?;
        Some(Self { uid, gid, home, bus, runtime_dir, config_home: None })
    }

    /// A program run as this user, with nothing of our own environment.
    ///
    /// After the session's end a bus is made for the program alone, where that can be.
    pub(super) fn command(&self, program: &Path) -> Command {
        let launcher = crate::process::find("dbus-run-session").filter(|_| !self.has_bus());
        let mut command = match launcher {
            Some(launcher) => {
                let mut command = Command::new(launcher);
                command.arg("--").arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .env_clear()
            .env("PATH", PROGRAM_DIRS.join(":"))
            .env("HOME", &self.home)
            .env("XDG_RUNTIME_DIR", &self.runtime_dir)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .current_dir("/");
        if let Some(config_home) = &self.config_home {
            command.env("XDG_CONFIG_HOME", config_home);
        }
        if rustix::process::geteuid().as_raw() != self.uid {
            // Root's own groups go with the user: the standard library sees to that.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// An abstract socket or another kind of address cannot be looked at: it is taken as it is.
    fn has_bus(&self) -> bool {
        let mut fields = self.bus.split([',', ';', ':']);
        fields.find_map(|field| field.strip_prefix("path=")).is_none_or(|path| Path::new(path).exists())
    }
}

/// Watches for sessions that begin and end.
///
/// # Errors
/// The system keeps none, or has no inotify instances left.
pub fn watch_sessions() -> io::Result<FileWatch> {
    FileWatch::with_folders(Vec::new(), &[RUNTIME_DIRS.into()])
}

fn bus_in(runtime_dir: &Path) -> Option<String> {
    let socket = runtime_dir.join("bus");
    socket.exists().then(|| format!("unix:path={}", socket.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_is_gone_is_seen_where_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let mut user = SessionUser {
            uid: 1000,
            gid: 1000,
            home: "/home/a".into(),
            bus: String::new(),
            runtime_dir: folder.path().to_owned(),
            config_home: None,
        };
        assert_eq!(bus_in(folder.path()), None);
        fs::write(folder.path().join("bus"), "").unwrap();
        user.bus = bus_in(folder.path()).unwrap() + ",guid=0123";
        assert!(user.has_bus());
        fs::remove_file(folder.path().join("bus")).unwrap();
        assert!(!user.has_bus());
        user.bus = "unix:abstract=/tmp/dbus-x,guid=0123".to_owned();
        assert!(user.has_bus());
    }
}
