//! What the device's network looks like now: everything that an address pool must not touch.

use serde::{Deserialize, Serialize};

use super::{Address, Link, Netlink, Route, Rule, chains};
use crate::Error;

/// Whether a link made now gets IPv6: absent without IPv6 in the kernel, `1` where it is switched off.
const IPV6_SWITCH: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";

/// A picture of the device's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// All links.
    pub links: Vec<Link>,
    /// All addresses of all links.
    pub addresses: Vec<Address>,
    /// The routes of all tables.
    pub routes: Vec<Route>,
    /// The rules of both families.
    pub rules: Vec<Rule>,
    /// Names of the firewall's chains (nf_tables), sorted; empty when they may not be read.
    pub firewall_chains: Vec<String>,
    /// A new link can have IPv6 addresses.
    pub ipv6_available: bool,
    /// Answers of the kernel that could not be read: 0, unless the kernel is newer than this program.
    pub undecoded: usize,
}

/// Asks the kernel for everything in [`NetworkFacts`].
///
/// # Errors
/// Netlink does not answer; firewall chains are never an error.
pub fn facts() -> Result<NetworkFacts, Error> {
    let mut netlink = Netlink::open()?;
    let links = netlink.dump_links()?;
    let addresses = netlink.dump_addresses()?;
    let routes = netlink.dump_routes()?;
    let rules = netlink.dump_rules()?;
    Ok(NetworkFacts {
        undecoded: links.undecoded + addresses.undecoded + routes.undecoded + rules.undecoded,
        links: links.items,
        addresses: addresses.items,
        routes: routes.items,
        rules: rules.items,
        firewall_chains: chains::firewall_chains(),
        ipv6_available: ipv6_available(),
    })
}

fn ipv6_available() -> bool {
    std::fs::read_to_string(IPV6_SWITCH).is_ok_and(|switch| switch.trim() == "0")
}
