//! A setting of the kernel's network (`sysctl net.…`): changed, and put back only over our own value.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{Error, undo::Outcome};

/// The settings of the network that the asking thread is in.
const FOLDER: &str = "/proc/sys/net";

/// A change of one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// Its path below `net`, e.g. `ipv4/ip_forward`: a link's name may have dots.
    pub name: String,
    /// What it was.
    pub former: String,
    /// What we set.
    pub ours: String,
}

impl SettingChange {
    /// Works out a change; `None` where the setting has this value already. Nothing is changed yet.
    ///
    /// # Errors
    /// There is no such setting, or it cannot be read.
    pub fn plan(name: &str, ours: &str) -> Result<Option<Self>, Error> {
        let former = read(name).map_err(|source| Error::system("read", "setting", name, source))?;
        let change = Self { name: name.to_owned(), former, ours: ours.to_owned() };
        Ok((change.former != change.ours).then_some(change))
    }

    /// Makes the change; announce it to the guardian first.
    ///
    /// # Errors
    /// No right to, or `/proc/sys` is read-only, as in many containers.
    pub fn apply(&self) -> Result<(), Error> {
        self.write(&self.ours)
    }

    /// Takes it back; a value that somebody else has set meanwhile stays.
    pub(crate) fn undo(&self) -> Result<Outcome, Error> {
        match read(&self.name) {
            // The link is gone that it belonged to.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outcome::AlreadyGone),
            Err(source) => Err(Error::system("read", "setting", &self.name, source)),
            Ok(value) if value == self.former => Ok(Outcome::AlreadyGone),
            Ok(value) if value == self.ours => self.write(&self.former).map(|()| Outcome::Undone),
            Ok(_) => Ok(Outcome::LeftAlone),
        }
    }

    fn write(&self, value: &str) -> Result<(), Error> {
        fs::write(path(&self.name), value).map_err(|source| {
            let error = Error::system("set", "setting", &self.name, source);
            match error.errno() {
                Some(libc::EROFS) => {
                    error.with_hint("this container may not change it: set it where the container is started")
                }
                Some(libc::EACCES | libc::EPERM) => error.with_hint("run as root"),
                _ => error,
            }
        })
    }
}

fn read(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(name))?.trim().to_owned())
}

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}
