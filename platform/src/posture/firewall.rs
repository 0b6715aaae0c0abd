//! Whether a firewall refuses what comes in by default, as the kernel's own tables say.

mod legacy;
mod nf_tables;
mod picture;

use std::path::Path;

use super::{Fact, Unknown};
use picture::Family;

/// Tables that begin so are the connector's or its gateway's: they protect nothing.
const OWN_TABLES: &str = "openztna";

/// Programs that manage a firewall, and a file by which each is known to be installed.
const MANAGERS: [(Manager, &str); 3] = [
    (Manager::Ufw, "usr/sbin/ufw"),
    (Manager::Firewalld, "usr/sbin/firewalld"),
    (Manager::Nftables, "etc/nftables.conf"),
];

/// A program that manages a firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    /// Ubuntu's "uncomplicated firewall".
    Ufw,
    /// Fedora's and Red Hat's.
    Firewalld,
    /// The service that loads `/etc/nftables.conf`.
    Nftables,
}

/// What refuses incoming packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firewall {
    /// The chains that refuse IPv4 packets by default, such as `inet filter input`.
    pub ipv4: Vec<String>,
    /// The same for IPv6.
    pub ipv6: Vec<String>,
    /// Tables of others, whatever they do.
    pub tables: usize,
    /// Programs that are installed and could be turned on.
    pub managers: Vec<Manager>,
}

/// Looks at the firewall of this network namespace; files are read below `root`.
///
/// # Errors
/// No right to look (CAP_NET_ADMIN), or a kernel that does not tell.
pub fn firewall(root: &Path) -> Fact<Firewall> {
    let mut picture = nf_tables::picture()?;
    picture.chains.extend(legacy::chains(root));
    let is_foreign = |table: &&String| !table.starts_with(OWN_TABLES);
    let tables: std::collections::BTreeSet<&String> =
        picture.chains.iter().map(|chain| &chain.table).filter(is_foreign).collect();
    Ok(Firewall {
        ipv4: picture.refusing(Family::V4, OWN_TABLES),
        ipv6: picture.refusing(Family::V6, OWN_TABLES),
        tables: tables.len(),
        managers: MANAGERS
            .iter()
            .filter(|(_, file)| root.join(file).exists())
            .map(|(manager, _)| *manager)
            .collect(),
    })
}

impl Firewall {
    /// Whether it refuses what comes in by default.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.ipv4.is_empty()
    }
}

fn not_permitted() -> Unknown {
    Unknown::new("only a process with the capability CAP_NET_ADMIN may look at the firewall")
}
