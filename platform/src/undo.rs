//! What was changed on the system and how each change is taken back.

pub mod journal;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    desktop_proxy::DesktopProxyChange,
    dns_config::{RecordChange, ResolvConfChange},
    firewall::FirewallTable,
    netlink::{Netlink, Rule},
    setting::SettingChange,
};

/// One change of the system, as much of it as is needed to take it back without the process that made it.
///
/// Addresses, routes and systemd-resolved's settings of a link are not here: they go with the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// A rule that we added.
    Rule(Rule),
    /// A TUN device that we made. It goes with our process; this is for a descriptor that leaked.
    Link {
        /// Its name.
        name: String,
        /// Its index, so that another link of the same name is left alone.
        index: u32,
    },
    /// The file with the system's DNS servers, which we rewrote.
    ResolvConf(ResolvConfChange),
    /// A record with our DNS servers that we handed to resolvconf(8).
    Resolvconf(RecordChange),
    /// A setting of the kernel's network that we changed.
    Setting(SettingChange),
    /// A table that we made in the kernel's firewall.
    FirewallTable(FirewallTable),
    /// The proxy settings of a user's desktop, which we pointed at our PAC file.
    DesktopProxy(DesktopProxyChange),
}

/// What taking a change back came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was there and was taken back.
    Undone,
    /// It was not there (any more).
    AlreadyGone,
    /// Somebody else has changed it since: it is theirs now.
    LeftAlone,
}

impl Undo {
    /// Takes the change back. Doing it twice is harmless.
    ///
    /// # Errors
    /// The system refuses: no capability, or a file that cannot be written.
    pub fn apply(&self) -> Result<Outcome, Error> {
        match self {
            Self::Rule(rule) => Netlink::open()?.delete_rule(rule).map(undone),
            Self::Link { name, index } => remove_link(name, *index),
            Self::ResolvConf(change) => change.undo(),
            Self::Resolvconf(change) => change.undo(),
            Self::Setting(change) => change.undo(),
            Self::FirewallTable(table) => table.undo(),
            Self::DesktopProxy(change) => change.undo(),
        }
    }

    /// Whether the change can outlive a restart of the system: those of the kernel cannot.
    pub fn survives_reboot(&self) -> bool {
        match self {
            Self::Rule(_) | Self::Link { .. } | Self::Setting(_) | Self::FirewallTable(_) => false,
            // The record itself may be gone with the memory it was in, but not the file that was made of it.
            Self::ResolvConf(_) | Self::Resolvconf(_) | Self::DesktopProxy(_) => true,
        }
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => write!(formatter, "rule {} ({})", rule.priority, rule.family),
            Self::Link { name, index: _ } => write!(formatter, "link {name}"),
            Self::ResolvConf(change) => write!(formatter, "file {}", change.path.display()),
            Self::Resolvconf(change) => write!(formatter, "record {} of resolvconf", change.record),
            Self::Setting(change) => write!(formatter, "setting net/{}", change.name),
            Self::FirewallTable(table) => write!(formatter, "firewall table {}", table.name),
            Self::DesktopProxy(change) => write!(formatter, "proxy settings of {}", change.desktop),
        }
    }
}

fn undone(was_there: bool) -> Outcome {
    if was_there { Outcome::Undone } else { Outcome::AlreadyGone }
}

fn remove_link(name: &str, index: u32) -> Result<Outcome, Error> {
    let mut netlink = Netlink::open()?;
    let links = netlink.links()?;
    let Some(link) = links.iter().find(|link| link.name == name) else { return Ok(Outcome::AlreadyGone) };
    if link.index != index || link.kind != "tun" {
        return Ok(Outcome::LeftAlone);
    }
    netlink.delete_link(name).map(undone)
}
