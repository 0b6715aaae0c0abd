//! The desktop's proxy settings, which browsers follow: pointed at our PAC file, and put back only over our own.

mod session;
mod store;

use std::io;

use serde::{Deserialize, Serialize};

pub use session::{SessionUser, watch_sessions};
pub use store::Desktop;

use crate::{Error, undo::Outcome};
use store::Store;

/// A change of one user's settings of one desktop, as much of it as is needed to take it back without us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesktopProxyChange {
    /// Whose settings.
    pub user: SessionUser,
    /// Which desktop's.
    pub desktop: Desktop,
    /// Where our PAC file is.
    pub pac_url: String,
    /// How the desktop chose its proxy before, in its own words.
    former_mode: String,
    /// The PAC file's address that stood there before, in its own words.
    former_url: String,
}

/// What is to be done about one user's settings of one desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// Announce this to the guardian, then [`DesktopProxyChange::apply`] it.
    Change(DesktopProxyChange),
    /// They are as we want them.
    AsWanted,
    /// A proxy is set already, by the person or the company: it stays.
    TakenByOther,
    /// The user does not have this desktop.
    NotThere,
}

/// Looks at one user's settings of one desktop; starts programs as that user and waits for them: not for an async task.
///
/// # Errors
/// A program of the desktop is there and does not answer.
pub fn plan(user: &SessionUser, desktop: Desktop, pac_url: &str) -> Result<Planned, Error> {
    let Some(store) = Store::find(user, desktop) else { return Ok(Planned::NotThere) };
    let read = |key| store.read(key).map_err(|source| failed("read", desktop, source));
    let [mode_key, url_key] = desktop.keys();
    let Some(former_mode) = read(mode_key)? else { return Ok(Planned::NotThere) };
    let former_url = read(url_key)?.unwrap_or_default();
    if former_mode == desktop.automatic() {
        let is_ours = former_url == desktop.quoted(pac_url);
        return Ok(if is_ours { Planned::AsWanted } else { Planned::TakenByOther });
    }
    if !desktop.is_off(&former_mode) {
        return Ok(Planned::TakenByOther);
    }
    let (user, pac_url) = (user.clone(), pac_url.to_owned());
    Ok(Planned::Change(DesktopProxyChange { user, desktop, pac_url, former_mode, former_url }))
}

impl DesktopProxyChange {
    /// Makes the change; announce it to the guardian first. Waits for programs.
    ///
    /// # Errors
    /// The desktop does not take it: its administrator has locked it, or the user's session is gone.
    pub fn apply(&self) -> Result<(), Error> {
        let [mode_key, url_key] = self.desktop.keys();
        let apply = || {
            let store = self.store()?;
            store.write(url_key, &self.desktop.quoted(&self.pac_url))?;
            store.write(mode_key, self.desktop.automatic())?;
            store.tell_programs();
            Ok(())
        };
        apply().map_err(|source| failed("set", self.desktop, source))
    }

    /// Takes it back, unless somebody else has set another proxy meanwhile.
    pub(crate) fn undo(&self) -> Result<Outcome, Error> {
        let undo = || {
            let store = self.store()?;
            let [mode_key, url_key] = self.desktop.keys();
            let url = store.read(url_key)?.unwrap_or_default();
            if url != self.desktop.quoted(&self.pac_url) {
                let is_former = url == self.former_url;
                return Ok(if is_former { Outcome::AlreadyGone } else { Outcome::LeftAlone });
            }
            // The person may have switched it off: then only the address is still ours.
            if store.read(mode_key)?.as_deref() == Some(self.desktop.automatic()) {
                store.restore(mode_key, &self.former_mode)?;
            }
            store.restore(url_key, &self.former_url)?;
            store.tell_programs();
            Ok(Outcome::Undone)
        };
        undo().map_err(|source| failed("restore", self.desktop, source))
    }

    fn store(&self) -> io::Result<Store<'_>> {
        Store::find(&self.user, self.desktop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Whose they are is not said: that would stand in the log.
fn failed(verb: &'static str, desktop: Desktop, source: io::Error) -> Error {
    Error::system(verb, "desktop's proxy settings", desktop, source)
}
