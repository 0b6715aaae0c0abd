//! Where a desktop keeps its proxy settings, read and written by the desktop's own programs, as the user.

use std::{fmt, io, path::PathBuf, process::Command, time::Duration};

use serde::{Deserialize, Serialize};

use super::SessionUser;
use crate::process::{find, run};

/// How long one program may take; it needs 0.05 s. The guardian has two seconds for everything.
const LIMIT: Duration = Duration::from_millis(1500);

/// GNOME's settings, which GTK programs and Firefox follow on other desktops, too.
const GNOME_SCHEMA: &str = "org.gnome.system.proxy";

/// KDE's file and the section in it.
const KDE_WORDS: [&str; 4] = ["--file", "kioslaverc", "--group", "Proxy Settings"];

/// KDE's programs, of Plasma 6 and 5: who reads, and who writes.
const KDE_PROGRAMS: [[&str; 2]; 2] = [["kreadconfig6", "kwriteconfig6"], ["kreadconfig5", "kwriteconfig5"]];

/// What tells KDE's programs that the file has changed.
const KDE_NEWS: [&str; 5] = [
    "--session",
    "--type=signal",
    "/KIO/Scheduler",
    "org.kde.KIO.Scheduler.reparseSlaveConfiguration",
    "string:",
];

/// A desktop whose settings browsers follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desktop {
    /// GNOME, and all that keep its settings: Cinnamon, MATE, Xfce in part.
    Gnome,
    /// KDE Plasma.
    Kde,
}

/// One user's settings of one desktop, and the programs that reach them.
pub(super) struct Store<'a> {
    user: &'a SessionUser,
    desktop: Desktop,
    reader: PathBuf,
    writer: PathBuf,
}

impl Desktop {
    /// All that are known.
    pub const ALL: [Self; 2] = [Self::Gnome, Self::Kde];

    /// The keys of the way a proxy is chosen, and of the PAC file's address.
    pub(super) fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Gnome => ["mode", "autoconfig-url"],
            Self::Kde => ["ProxyType", "Proxy Config Script"],
        }
    }

    /// The way that follows a PAC file.
    pub(super) fn automatic(self) -> &'static str {
        match self {
            Self::Gnome => "'auto'",
            Self::Kde => "2",
        }
    }

    /// Whether a way means no proxy.
    pub(super) fn is_off(self, mode: &str) -> bool {
        match self {
            Self::Gnome => mode == "'none'",
            Self::Kde => matches!(mode, "" | "0"),
        }
    }

    /// A text in the words of the store (GVariant's for GNOME); an address has no quotes in it.
    pub(super) fn quoted(self, text: &str) -> String {
        match self {
            Self::Gnome => format!("'{text}'"),
            Self::Kde => text.to_owned(),
        }
    }
}

impl fmt::Display for Desktop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gnome => "GNOME",
            Self::Kde => "KDE",
        })
    }
}

impl<'a> Store<'a> {
    /// `None` where the desktop's programs are not there.
    pub(super) fn find(user: &'a SessionUser, desktop: Desktop) -> Option<Self> {
        let [reader, writer] = match desktop {
            Desktop::Gnome => {
                let program = find("gsettings")?;
                [program.clone(), program]
            }
            Desktop::Kde => {
                KDE_PROGRAMS.iter().find_map(|[reader, writer]| Some([find(reader)?, find(writer)?]))?
            }
        };
        Some(Self { user, desktop, reader, writer })
    }

    /// A value in the store's own words; `None` where there is no such setting.
    pub(super) fn read(&self, key: &str) -> io::Result<Option<String>> {
        let mut command = self.user.command(&self.reader);
        match self.desktop {
            Desktop::Gnome => command.args(["get", GNOME_SCHEMA, key]),
            Desktop::Kde => command.args(KDE_WORDS).args(["--key", key]),
        };
        match run(&mut command, "", LIMIT) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            // gsettings is there without GNOME, too.
            Err(error) if error.to_string().contains("No such schema") => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, key: &str, value: &str) -> io::Result<()> {
        let mut command = self.user.command(&self.writer);
        match self.desktop {
            Desktop::Gnome => command.args(["set", GNOME_SCHEMA, key, value]),
            Desktop::Kde => command.args(KDE_WORDS).args(["--key", key, value]),
        };
        self.run(command)
    }

    /// Puts a value back; what stood there by default is left to the default again.
    pub(super) fn restore(&self, key: &str, value: &str) -> io::Result<()> {
        let mut command = self.user.command(&self.writer);
        match self.desktop {
            Desktop::Gnome => command.args(["reset", GNOME_SCHEMA, key]),
            Desktop::Kde => command.args(KDE_WORDS).args(["--key", key, "--delete"]),
        };
        self.run(command)?;
        if self.read(key)?.as_deref() == Some(value) { Ok(()) } else { self.write(key, value) }
    }

    /// Programs that run read KDE's file again when they are told; GNOME's hear by themselves.
    pub(super) fn tell_programs(&self) {
        let (Desktop::Kde, Some(program)) = (self.desktop, find("dbus-send")) else { return };
        let mut command = self.user.command(&program);
        if let Err(error) = run(command.args(KDE_NEWS), "", LIMIT) {
            tracing::debug!(%error, "KDE's programs were not told of the proxy");
        }
    }

    fn run(&self, mut command: Command) -> io::Result<()> {
        run(&mut command, "", LIMIT).map(drop)
    }
}
