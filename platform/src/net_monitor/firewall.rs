//! Tells when another program changes the firewall, or makes a chain of a given name.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use netlink_sys::{Socket, protocols};

use crate::Error;
use crate::netlink::chains::{self, NEW_CHAIN};

/// The multicast group of nf_tables (Linux `nfnetlink.h`: `NFNLGRP_NFTABLES`).
const GROUP: u32 = 7;

/// `NFNL_SUBSYS_NFTABLES << 8`, and `NFT_MSG_NEWTABLE` to `NFT_MSG_DELRULE`; elements of sets, which come and go by the
/// thousand, are not among them.
const CHANGES: std::ops::RangeInclusive<u16> = (10 << 8)..=((10 << 8) | 8);

/// A subscription to the changes of nf_tables in this network namespace; readable when there are some.
pub struct FirewallMonitor {
    socket: Socket,
}

impl FirewallMonitor {
    /// Subscribes; changes from now on are told.
    ///
    /// # Errors
    /// The kernel has no nf_tables, or no CAP_NET_ADMIN.
    pub fn new() -> Result<Self, Error> {
        let socket = super::subscribe(protocols::NETLINK_NETFILTER, &[GROUP]);
        let socket = socket.map_err(|source| Error::system("watch", "firewall", "nf_tables", source))?;
        Ok(Self { socket })
    }

    /// Takes what waits; answers whether a chain of one of these names may have been made.
    ///
    /// # Errors
    /// The system's, which ends the subscription.
    pub fn drain(&self, names: &[&str]) -> io::Result<bool> {
        let mut is_made = false;
        let is_whole = super::drain(&self.socket, &mut |kind, payload| {
            let name = (kind == NEW_CHAIN).then(|| chains::chain_name(payload)).flatten();
            is_made |= name.is_some_and(|name| names.contains(&name.as_str()));
        })?;
        Ok(is_made || !is_whole)
    }

    /// Takes what waits; answers whether a table, chain or rule may have been made or removed.
    ///
    /// # Errors
    /// The system's, which ends the subscription.
    pub fn drain_all(&self) -> io::Result<bool> {
        let mut has_changed = false;
        let is_whole = super::drain(&self.socket, &mut |kind, _| has_changed |= CHANGES.contains(&kind))?;
        Ok(has_changed || !is_whole)
    }
}

impl AsRawFd for FirewallMonitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl std::fmt::Debug for FirewallMonitor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FirewallMonitor").field("descriptor", &self.as_raw_fd()).finish()
    }
}
