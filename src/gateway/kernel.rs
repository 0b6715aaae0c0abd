//! Kernel egress: a TUN of the system, forwarding and masquerading, each announced to the guardian before it is made.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use platform::IpPrefix;
use platform::firewall::{FirewallTable, Masquerade};
use platform::forwarding;
use platform::netlink::{Netlink, Route};
use platform::tun::{Tun, TunConfig};
use platform::undo::Undo;

use super::config::Config;
use crate::error::{Exit, Failure};
use crate::guardian::{self, Guardian};

/// First part of the link's name.
const LINK: &str = "ztnagw";
/// The firewall's table.
const TABLE: &str = "openztna_gateway";
/// The kernel's main table of routes: answers to peers must find their way there.
const MAIN_TABLE: u32 = 254;

/// What was changed on the system, and who takes it back.
pub struct Kernel {
    guardian: Guardian,
    link: String,
    index: u32,
    /// The system forwarded nothing before us.
    nothing_else: bool,
    routes: BTreeSet<IpPrefix>,
}

impl Kernel {
    /// Makes the link, routes, settings and the firewall's table.
    ///
    /// # Errors
    /// No right to do so, no nft(8), or a state folder that cannot be written. What was made is undone at the end.
    pub fn open(config: &Config, state_dir: &Path) -> anyhow::Result<(Tun, Self)> {
        if !platform::privileges::can_change_network() {
            let message = "failed to start: `egress = \"kernel\"` needs the capability CAP_NET_ADMIN";
            return Err(Failure::new(Exit::NotPermitted, message)
                .hint("run it as root, or use `egress = \"userspace\"`")
                .into());
        }
        let journal = platform::paths::journal(state_dir);
        for restored in guardian::restore(&journal)? {
            tracing::warn!("an earlier run was ended before it could undo its {}: done now", restored.undo);
        }
        let mut guardian = Guardian::start(&journal)?;
        let tun =
            Tun::open(&TunConfig { name_prefix: LINK.to_owned(), mtu: config.mtu, force_plain: false })?;
        let (link, index) = (tun.name().to_owned(), tun.index());
        let _ = guardian.announce(&Undo::Link { name: link.clone(), index })?;
        let mut kernel = Self { guardian, link, index, nothing_else: false, routes: BTreeSet::new() };
        kernel.set_up_link(config)?;
        kernel.let_forward(config)?;
        kernel.update(config)?;
        Ok((tun, kernel))
    }

    /// Fits routes and masquerading to the peers of a configuration.
    ///
    /// # Errors
    /// The system's.
    pub fn update(&mut self, config: &Config) -> anyhow::Result<()> {
        let wanted = peer_ranges(config)?;
        let mut netlink = Netlink::open()?;
        for range in wanted.difference(&self.routes) {
            netlink.replace_route(&Route::into_link(*range, MAIN_TABLE, self.index, None))?;
        }
        for range in self.routes.difference(&wanted) {
            netlink.delete_route(&Route::into_link(*range, MAIN_TABLE, self.index, None))?;
        }
        let table = FirewallTable { name: TABLE.to_owned() };
        if self.routes.is_empty() {
            let _ = self.guardian.announce(&Undo::FirewallTable(table.clone()))?;
        }
        let sources = wanted.iter().copied().collect();
        table.write(&Masquerade { link: self.link.clone(), sources, nothing_else: self.nothing_else })?;
        self.routes = wanted;
        Ok(())
    }

    /// Undoes everything; close the TUN before or after.
    ///
    /// # Errors
    /// What could not be undone; `openztna-gateway run` tries again at its next start.
    pub fn finish(self) -> anyhow::Result<()> {
        self.guardian.finish()
    }

    fn set_up_link(&mut self, config: &Config) -> anyhow::Result<()> {
        let mut netlink = Netlink::open()?;
        netlink.bring_up(self.index)?;
        netlink.add_address(self.index, IpAddr::V4(config.names.0))?;
        if has_ipv6(config) {
            netlink.add_address(self.index, IpAddr::V6(config.names.1))?;
        }
        Ok(())
    }

    fn let_forward(&mut self, config: &Config) -> anyhow::Result<()> {
        let changes = forwarding::plan(has_ipv6(config))?;
        self.nothing_else = !changes.is_empty();
        for change in changes {
            let _ = self.guardian.announce(&Undo::Setting(change.clone()))?;
            change.apply()?;
        }
        Ok(())
    }
}

fn has_ipv6(config: &Config) -> bool {
    config.peers.iter().flat_map(|peer| &peer.allowed_ips).any(|range| range.address.is_ipv6())
}

fn peer_ranges(config: &Config) -> anyhow::Result<BTreeSet<IpPrefix>> {
    let ranges = config.peers.iter().flat_map(|peer| &peer.allowed_ips);
    let ranges = ranges.map(|range| IpPrefix::new(range.address, range.length));
    ranges.collect::<Result<_, _>>().context("failed to read the peers' ranges")
}
