//! The prefixes that virtual addresses are taken from: chosen so that nothing on the device uses them, and remembered.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use platform::IpPrefix;
use platform::netlink::NetworkFacts;
use serde::{Deserialize, Serialize};

/// Where carriers number their customers (RFC 6598): the first choice, 64 prefixes of 16 bits.
const SHARED: (Ipv4Addr, u8) = (Ipv4Addr::new(100, 64, 0, 0), 10);
/// Where devices are measured (RFC 2544): two prefixes.
const BENCHMARK: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 0), 15);
/// Private networks (RFC 1918), the rarest first.
const PRIVATE: [(Ipv4Addr, u8); 3] = [
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];
/// Chains of another program that takes all of 100.64.0.0/10 for itself.
pub const FOREIGN_CHAINS: [&str; 2] = ["ts-input", "ts-forward"];
/// Length of the IPv4 prefix in bits.
const LENGTH_V4: u8 = 16;
/// Length of the IPv6 prefix in bits (RFC 4193, section 3).
const LENGTH_V6: u8 = 48;

/// The chosen prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPool {
    /// First address of the IPv4 prefix of 16 bits.
    pub ipv4: Ipv4Addr,
    /// First address of the IPv6 prefix of 48 bits.
    pub ipv6: Ipv6Addr,
}

/// What is kept in the state folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    /// The prefixes.
    pub pool: AddressPool,
    /// Names of the gateways that the entries' numbers meant.
    pub gateways: Vec<String>,
    /// Who has which address.
    pub entries: Vec<dns::Entry>,
}

impl Saved {
    /// The entries with the numbers that gateways have now; those of gateways that are gone are left out.
    pub fn entries_for(&self, gateways: &[&str]) -> Vec<dns::Entry> {
        let number = |earlier: u32| {
            let name = self.gateways.get(earlier as usize)?;
            gateways.iter().position(|gateway| gateway == name)
        };
        let entries = self.entries.iter().cloned();
        entries
            .filter_map(|entry| Some(dns::Entry { gateway: number(entry.gateway)? as u32, ..entry }))
            .collect()
    }
}

impl AddressPool {
    /// The TUN's own addresses.
    pub fn device(&self) -> (Ipv4Addr, Ipv6Addr) {
        self.nth(1)
    }

    /// The resolver's addresses: not the TUN's own, which the kernel would answer itself.
    pub fn resolver(&self) -> (Ipv4Addr, Ipv6Addr) {
        self.nth(2)
    }

    /// Both prefixes, as address and length.
    pub fn prefixes(&self) -> [(IpAddr, u8); 2] {
        [(self.ipv4.into(), LENGTH_V4), (self.ipv6.into(), LENGTH_V6)]
    }

    /// Both prefixes, as the packets' path knows them.
    pub fn networks(&self) -> Vec<netstack::policy::Prefix> {
        self.prefixes().map(|(address, length)| netstack::policy::Prefix { address, length }).to_vec()
    }

    /// The ranges in which another program's address or route makes us move: in the shared range anywhere.
    pub fn surroundings(&self) -> Vec<IpPrefix> {
        let shared = IpPrefix::new(SHARED.0.into(), SHARED.1).ok();
        let shared = shared.filter(|shared| shared.contains(self.ipv4.into()));
        let own =
            self.prefixes().into_iter().filter_map(|(address, length)| IpPrefix::new(address, length).ok());
        own.chain(shared).collect()
    }

    fn nth(&self, n: u32) -> (Ipv4Addr, Ipv6Addr) {
        (
            Ipv4Addr::from_bits(self.ipv4.to_bits() | n),
            Ipv6Addr::from_bits(self.ipv6.to_bits() | u128::from(n)),
        )
    }
}

/// Where the table is kept.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("virtual-addresses.json")
}

/// Reads what was saved; nothing when there is nothing, or nothing of use.
pub fn load(path: &Path) -> Option<Saved> {
    let text = std::fs::read_to_string(path).ok()?;
    match serde_json::from_str(&text) {
        Ok(saved) => Some(saved),
        Err(error) => {
            tracing::warn!("the table of virtual addresses cannot be read, a new one is begun: {error}");
            None
        }
    }
}

/// Saves the table: whole or not at all.
///
/// # Errors
/// When the folder cannot be written, or the disk is full.
pub fn save(path: &Path, saved: &Saved) -> anyhow::Result<()> {
    let text = serde_json::to_vec(saved).context("failed to write virtual addresses")?;
    let temporary = path.with_extension("new");
    write_private(&temporary, &text)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("failed to save virtual addresses: `{}`", path.display()))
}

/// Names of internal hosts are nobody else's business.
fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text)
}

/// The facts without what is ours: the link with its addresses and routes, and the table.
pub fn foreign(facts: &NetworkFacts, own_link: u32, own_table: u32) -> NetworkFacts {
    let mut facts = facts.clone();
    facts.links.retain(|link| link.index != own_link);
    facts.addresses.retain(|address| address.link != own_link);
    facts.routes.retain(|route| route.link != Some(own_link) && route.table != own_table);
    facts
}

/// Chooses prefixes that nothing on the device touches; what was chosen before, if it is still free. `behind` are the
/// ranges behind gateways: a virtual address may not be one of the real ones, so they are the last resort.
///
/// # Errors
/// When every candidate is taken.
pub fn choose(
    earlier: Option<AddressPool>,
    facts: &NetworkFacts,
    behind: &[IpPrefix],
    random: &[u8; 32],
) -> anyhow::Result<AddressPool> {
    let taken = taken(facts);
    let is_shared_owned = facts.firewall_chains.iter().any(|chain| FOREIGN_CHAINS.contains(&chain.as_str()))
        || taken.iter().any(|prefix| overlaps(*prefix, SHARED.0.into(), SHARED.1));
    let is_free = |address: Ipv4Addr| {
        let in_shared =
            IpPrefix::new(SHARED.0.into(), SHARED.1).is_ok_and(|shared| shared.contains(address.into()));
        let is_taken = taken.iter().any(|prefix| overlaps(*prefix, address.into(), LENGTH_V4));
        let is_excluded = in_shared && is_shared_owned;
        !is_taken && !is_excluded
    };
    let is_free_v6 =
        |address: Ipv6Addr| !taken.iter().any(|prefix| overlaps(*prefix, address.into(), LENGTH_V6));
    let ipv4 = earlier.map(|pool| pool.ipv4).filter(|address| is_free(*address));
    let is_behind = |address: &Ipv4Addr| {
        behind.iter().any(|prefix| prefix.length() > 1 && overlaps(*prefix, (*address).into(), LENGTH_V4))
    };
    let free = || candidates(random).filter(|address| is_free(*address));
    let ipv4 = ipv4.or_else(|| free().find(|address| !is_behind(address))).or_else(|| free().next());
    let ipv4 = ipv4
        .context("failed to find an address range that is free: every candidate is in use on this device")?;
    let ipv6 = earlier.map(|pool| pool.ipv6).filter(|address| is_free_v6(*address));
    Ok(AddressPool { ipv4, ipv6: ipv6.unwrap_or_else(|| random_ula(random)) })
}

/// Every prefix that the device has an address in or a route to, but default routes.
fn taken(facts: &NetworkFacts) -> Vec<IpPrefix> {
    let addresses = facts.addresses.iter().map(|address| address.network);
    let routes = facts.routes.iter().map(|route| route.prefix);
    addresses.chain(routes).filter(|prefix| prefix.length() > 1).collect()
}

fn overlaps(prefix: IpPrefix, address: IpAddr, length: u8) -> bool {
    IpPrefix::new(address, length).is_ok_and(|other| prefix.overlaps(other))
}

/// All prefixes of 16 bits of a range after the other, each range begun at a random place.
fn candidates(random: &[u8; 32]) -> impl Iterator<Item = Ipv4Addr> + '_ {
    [SHARED, BENCHMARK].into_iter().chain(PRIVATE).flat_map(move |(base, length)| {
        let count = 1u32 << (LENGTH_V4 - length);
        let first = u32::from(random[0]) % count;
        (0..count).map(move |n| Ipv4Addr::from_bits(base.to_bits() | ((first + n) % count) << 16))
    })
}

/// A unique local prefix (RFC 4193, section 3.2.1): 40 random bits.
fn random_ula(random: &[u8; 32]) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&random[1..6]);
    Ipv6Addr::from(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::netlink::Route;

    fn facts(routes: &[(&str, u8)], chains: &[&str]) -> NetworkFacts {
        let route = |(address, length): &(&str, u8)| {
            Route::into_link(IpPrefix::new(address.parse().unwrap(), *length).unwrap(), 254, 1, None)
        };
        NetworkFacts {
            routes: routes.iter().map(route).collect(),
            firewall_chains: chains.iter().map(|chain| (*chain).to_owned()).collect(),
            links: Vec::new(),
            addresses: Vec::new(),
            rules: Vec::new(),
            ipv6_available: true,
            undecoded: 0,
        }
    }

    #[test]
    fn a_free_device_gets_a_random_part_of_the_shared_range_and_keeps_it() {
        let pool = choose(None, &facts(&[("0.0.0.0", 0)], &[]), &[], &[9; 32]).unwrap();
        assert_eq!(pool.ipv4.octets(), [100, 64 + 9, 0, 0]);
        assert_eq!(pool.ipv6.octets()[..6], [0xfd, 9, 9, 9, 9, 9]);
        assert_eq!(choose(Some(pool), &facts(&[], &[]), &[], &[3; 32]).unwrap(), pool);
    }

    #[test]
    fn any_sign_of_another_owner_excludes_the_whole_shared_range() {
        for facts in [facts(&[("100.100.100.100", 32)], &[]), facts(&[], &["ts-input"])] {
            let pool = choose(None, &facts, &[], &[9; 32]).unwrap();
            assert_eq!(pool.ipv4.octets()[..2], [198, 19]);
        }
    }

    #[test]
    fn a_collision_moves_the_pool() {
        let before = AddressPool { ipv4: Ipv4Addr::new(198, 18, 0, 0), ipv6: random_ula(&[1; 32]) };
        let taken = facts(&[("198.18.1.0", 24), ("100.64.0.0", 10)], &[]);
        let pool = choose(Some(before), &taken, &[], &[0; 32]).unwrap();
        assert_eq!(pool.ipv4, Ipv4Addr::new(198, 19, 0, 0));
        assert_eq!(pool.ipv6, before.ipv6);
    }

    #[test]
    fn ranges_behind_gateways_are_the_last_resort() {
        let taken = facts(&[("100.64.0.0", 10), ("198.18.0.0", 15)], &[]);
        let behind = ["172.16.0.0/13".parse().unwrap(), "0.0.0.0/0".parse().unwrap()];
        let pool = choose(None, &taken, &behind, &[0; 32]).unwrap();
        assert_eq!(pool.ipv4, Ipv4Addr::new(172, 24, 0, 0));
        let behind = ["172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"].map(|text| text.parse().unwrap());
        let pool = choose(None, &taken, &behind, &[0; 32]).unwrap();
        assert_eq!(pool.ipv4, Ipv4Addr::new(172, 16, 0, 0));
    }

    #[test]
    fn what_is_ours_is_no_sign_of_another() {
        let own = facts(&[("100.70.0.0", 16)], &[]);
        assert!(foreign(&own, 1, 7).routes.is_empty(), "of our link");
        assert!(foreign(&own, 2, 254).routes.is_empty(), "of our table");
        assert_eq!(foreign(&own, 2, 7), own);
    }

    #[test]
    fn what_is_saved_loads_and_junk_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = path(folder.path());
        let pool = AddressPool { ipv4: Ipv4Addr::new(100, 70, 0, 0), ipv6: random_ula(&[1; 32]) };
        save(&file, &Saved { pool, gateways: Vec::new(), entries: Vec::new() }).unwrap();
        assert_eq!(load(&file).unwrap().pool, pool);
        std::fs::write(&file, b"{\"pool\":").unwrap();
        assert!(load(&file).is_none());
    }
}
