//! The file mode: `/etc/resolv.conf` lists our resolver alone, and says what it listed before.
//!
//! A symbolic link stays one: its target is written, dangling or foreign; whoever owns the target writes over it, which
//! [`ResolvConf::check`] sees. The file is written in place, so that its inode, owner, label and bind mount stay.

mod change;
mod file;
pub(super) mod text;
mod watch;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

pub use change::ResolvConfChange;
pub use text::name_servers;
pub use watch::FileWatch;

use crate::Error;

/// Where programs look for their servers (resolv.conf(5)).
pub const SYSTEM_FILE: &str = "/etc/resolv.conf";

/// Where systemd-resolved lists the servers of all links (systemd-resolved.service(8)).
pub(super) const UPLINK_FILE: &str = "/run/systemd/resolve/resolv.conf";

/// A planned or made rewrite of the file.
#[derive(Debug, Clone)]
pub struct ResolvConf {
    change: ResolvConfChange,
    servers: Vec<SocketAddr>,
    left_out: Vec<String>,
}

/// What [`ResolvConf::apply`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The file was rewritten.
    Written,
    /// It was ours already.
    AlreadyOurs,
    /// Somebody changed it after the plan: plan again.
    ChangedMeanwhile,
}

/// What the file is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// As we wrote it.
    Ours,
    /// Somebody else wrote it since; these are the servers it lists, ours left out.
    ChangedByOther(Vec<SocketAddr>),
    /// There is no such file any more.
    Gone,
}

impl ResolvConf {
    /// Reads the file and works out what it is to become, with `resolvers` (our addresses) alone in it.
    ///
    /// Nothing is changed: announce [`ResolvConf::change`] first, then call [`ResolvConf::apply`].
    ///
    /// # Errors
    /// The file cannot be read, is no text, or its symbolic link leads into a folder that does not exist.
    pub fn plan(path: &Path, resolvers: &[IpAddr]) -> Result<Self, Error> {
        let failed = |source| Error::system("read", "DNS settings", path.display(), source);
        let path = file::follow_links(path).map_err(failed)?;
        let found = file::read(&path).map_err(failed)?;
        // A file with our header is left over from an instance whose journal is lost: it says what it was.
        let former = |found: &str| text::recover(found).unwrap_or_else(|| found.to_owned());
        // Our own resolver is nobody's server afterwards, whoever listed it.
        let original = found.as_deref().map(|found| text::replace_servers(&former(found), resolvers, &[]));
        let before = original.as_deref().unwrap_or_default();
        let servers = without(name_servers(before), resolvers);
        let ours = text::rewrite(before, resolvers, None);
        Ok(Self { change: ResolvConfChange { path, ours, found, original }, servers, left_out: Vec::new() })
    }

    /// Takes the file as it is for ours, if it has our resolvers alone in force: another program wrote it on our behalf.
    /// `before` is what it said without us.
    ///
    /// # Errors
    /// The file cannot be read, or is no text.
    pub fn adopt(path: &Path, resolvers: &[IpAddr], before: &str) -> Result<Option<Self>, Error> {
        let failed = |source| Error::system("read", "DNS settings", path.display(), source);
        let path = file::follow_links(path).map_err(failed)?;
        let Some(ours) = file::read(&path).map_err(failed)? else { return Ok(None) };
        let listed = name_servers(&ours);
        if listed.is_empty() || !without(listed, resolvers).is_empty() {
            return Ok(None);
        }
        let servers = without(name_servers(before), resolvers);
        let original = Some(before.to_owned());
        let change = ResolvConfChange { path, found: Some(ours.clone()), ours, original };
        Ok(Some(Self { change, servers, left_out: Vec::new() }))
    }

    /// The same rewrite with `domains` behind the file's own search list, each only if it is new there and every C
    /// library still takes the line; the file's own come first.
    ///
    /// `resolvers` are those of the plan.
    #[must_use]
    pub fn with_search_domains(mut self, resolvers: &[IpAddr], domains: &[String]) -> Self {
        let before = self.change.original.as_deref().unwrap_or_default();
        let extended = text::extend_search(before, text::implied_domain().as_deref(), domains);
        self.change.ours = text::rewrite(before, resolvers, extended.list.as_deref());
        self.left_out = extended.left_out;
        self
    }

    /// Search domains that find no room in the file.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// How the rewrite is taken back.
    pub fn change(&self) -> &ResolvConfChange {
        &self.change
    }

    /// The file itself, behind all symbolic links.
    pub fn path(&self) -> &PathBuf {
        &self.change.path
    }

    /// The servers that the file listed, in order: the physical link's.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Rewrites the file, if it still is what was planned for.
    ///
    /// # Errors
    /// Immutable, read-only or full: with a hint.
    pub fn apply(&self) -> Result<Applied, Error> {
        let change = &self.change;
        let present = file::read(&change.path).map_err(|source| self.failed(source))?;
        if present.as_deref() == Some(change.ours.as_str()) {
            return Ok(Applied::AlreadyOurs);
        }
        if present != change.found {
            return Ok(Applied::ChangedMeanwhile);
        }
        let written = match &change.found {
            Some(_) => file::overwrite(&change.path, &change.ours),
            None => file::create(&change.path, &change.ours),
        };
        written.map_err(|source| self.failed(source))?;
        Ok(Applied::Written)
    }

    /// Tells whose the file is now; a file that cannot be read is gone.
    pub fn check(&self, resolvers: &[IpAddr]) -> Check {
        match file::read(&self.change.path) {
            Ok(Some(present)) if present == self.change.ours => Check::Ours,
            Ok(Some(present)) => Check::ChangedByOther(without(name_servers(&present), resolvers)),
            Ok(None) | Err(_) => Check::Gone,
        }
    }

    /// Watches the file and the link that leads to it.
    ///
    /// # Errors
    /// The system has no inotify instances left.
    pub fn watch(&self, path: &Path) -> io::Result<FileWatch> {
        FileWatch::new(vec![path.to_owned(), self.change.path.clone()])
    }

    fn failed(&self, source: io::Error) -> Error {
        change::write_error(&self.change.path, source)
    }
}

pub(super) fn without(servers: Vec<SocketAddr>, resolvers: &[IpAddr]) -> Vec<SocketAddr> {
    servers.into_iter().filter(|server| !resolvers.contains(&server.ip())).collect()
}
