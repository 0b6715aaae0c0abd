//! The addresses that names are answered with: one for each name and the applications it belongs to, kept over restarts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use dns::{Granted, PoolError, VirtualPool};
use serde::{Deserialize, Serialize};

use super::roster::Roster;

/// The table's third key is an address behind it; here the family is all that counts of it (RFC 5737, RFC 3849).
const PLACEHOLDER: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// What an address stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: Arc<str>,
    /// The applications, by number, ascending.
    pub applications: Vec<u32>,
}

/// The table.
#[derive(Debug)]
pub struct Addresses {
    pool: VirtualPool,
    /// Names of the applications of each number that the table knows.
    sets: Vec<Vec<String>>,
    by_set: BTreeMap<Vec<String>, u32>,
}

/// What is kept in the state folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    sets: Vec<Vec<String>>,
    entries: Vec<dns::Entry>,
}

impl Addresses {
    /// A table with what was saved, if that is of these ranges. `wall` is in seconds since 1970.
    pub fn new(pool: (Ipv4Addr, Ipv6Addr), saved: Option<Saved>, wall: u64) -> Self {
        let Some(saved) = saved.filter(|saved| (saved.ipv4, saved.ipv6) == pool) else {
            return Self {
                pool: VirtualPool::new(pool.0, pool.1),
                sets: Vec::new(),
                by_set: BTreeMap::new(),
            };
        };
        let known = saved.sets.len();
        let entries = saved.entries.into_iter().filter(|entry| (entry.gateway as usize) < known);
        let (table, left_out) = VirtualPool::restore(pool.0, pool.1, entries, wall);
        if left_out > 0 {
            tracing::info!("{left_out} addresses of names were unused for long, and are free again");
        }
        let by_set = saved.sets.iter().enumerate().map(|(index, set)| (set.clone(), index as u32)).collect();
        Self { pool: table, sets: saved.sets, by_set }
    }

    /// The address of a name under these applications (ascending, not empty), the same as before where there is one.
    ///
    /// # Errors
    /// When every address is in use, or the applications have used up their part.
    pub fn assign(
        &mut self,
        roster: &Roster,
        applications: &[u32],
        name: &Arc<str>,
        is_ipv6: bool,
        ttl: u32,
        wall: u64,
    ) -> Result<IpAddr, PoolError> {
        let set = self.set(roster, applications);
        let granted = Granted { gateway: set, grant: set };
        let family = if is_ipv6 { PLACEHOLDER.1.into() } else { PLACEHOLDER.0.into() };
        self.pool.assign(granted, name, family, ttl, wall).map(|assigned| assigned.virtual_address)
    }

    /// What an address stands for now: nothing when one of its applications is gone or lost the name.
    pub fn get(&self, roster: &Roster, address: IpAddr) -> Option<Named> {
        let assignment = self.pool.get(address)?;
        self.named(roster, assignment.gateway, &assignment.name)
    }

    /// All that stand for something now.
    pub fn all(&self, roster: &Roster) -> Vec<(IpAddr, Named)> {
        let named = |(address, assignment): (IpAddr, &dns::Assignment)| {
            Some((address, self.named(roster, assignment.gateway, &assignment.name)?))
        };
        self.pool.iter().filter_map(named).collect()
    }

    /// Notes that an address is in use, by a flow that outlives the answer that named it.
    pub fn touch(&mut self, address: IpAddr, wall: u64) {
        self.pool.touch(address, wall);
    }

    /// Takes back what nobody has used for seven days, and gives the addresses.
    pub fn expire(&mut self, wall: u64) -> Vec<IpAddr> {
        self.pool.expire(wall)
    }

    /// A number that changes whenever there is something new to be saved.
    pub fn generation(&self) -> u64 {
        self.pool.generation()
    }

    /// What is to be kept.
    pub fn to_save(&self, pool: (Ipv4Addr, Ipv6Addr)) -> Saved {
        let entries = self.pool.entries().collect();
        Saved { ipv4: pool.0, ipv6: pool.1, sets: self.sets.clone(), entries }
    }

    fn named(&self, roster: &Roster, set: u32, name: &Arc<str>) -> Option<Named> {
        let names = self.sets.get(set as usize)?;
        let mut applications: Vec<u32> =
            names.iter().map(|name| roster.number(name)).collect::<Option<_>>()?;
        applications.sort_unstable();
        let covered = roster.access.all_cover(&applications, name);
        covered.then(|| Named { name: Arc::clone(name), applications })
    }

    /// The number of a set of applications; it means the same after a reload and a restart.
    fn set(&mut self, roster: &Roster, applications: &[u32]) -> u32 {
        let names = applications.iter().filter_map(|number| roster.applications.get(*number as usize));
        let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
        names.sort_unstable();
        if let Some(number) = self.by_set.get(&names) {
            return *number;
        }
        let number = self.sets.len() as u32;
        self.sets.push(names.clone());
        self.by_set.insert(names, number);
        number
    }
}

/// Reads what was saved; nothing when there is nothing, or nothing of use.
pub fn load(path: &Path) -> Option<Saved> {
    let text = std::fs::read_to_string(path).ok()?;
    match serde_json::from_str(&text) {
        Ok(saved) => Some(saved),
        Err(error) => {
            tracing::warn!("the table of names' addresses cannot be read, a new one is begun: {error}");
            None
        }
    }
}

/// Saves the table: whole or not at all, for its owner only.
///
/// # Errors
/// When the folder cannot be written, or the disk is full.
pub fn save(path: &Path, saved: &Saved) -> anyhow::Result<()> {
    let text = serde_json::to_vec(saved).context("failed to write the addresses of names")?;
    Ok(platform::secret_file::replace(path, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::names::tests::roster;

    fn assign(table: &mut Addresses, roster: &Roster, applications: &[u32], name: &str) -> IpAddr {
        table.assign(roster, applications, &name.into(), false, 60, 0).unwrap()
    }

    #[test]
    fn two_applications_of_one_name_have_two_addresses_that_survive_a_restart() {
        let roster = roster();
        let pool = roster.config.pool;
        let mut table = Addresses::new(pool, None, 0);
        let one = assign(&mut table, &roster, &[0], "wiki.corp");
        let other = assign(&mut table, &roster, &[0, 2], "wiki.corp");
        assert_ne!(one, other);
        assert_eq!(assign(&mut table, &roster, &[0], "wiki.corp"), one);
        let mut again = Addresses::new(pool, Some(table.to_save(pool)), 0);
        assert_eq!(assign(&mut again, &roster, &[0, 2], "wiki.corp"), other);
        assert_eq!(again.get(&roster, one).unwrap().applications, [0]);
        let six = again.assign(&roster, &[0], &"wiki.corp".into(), true, 60, 0).unwrap();
        assert!(six.is_ipv6() && roster.config.is_own_inner(six) && roster.config.is_own_inner(one));
        let elsewhere = (Ipv4Addr::new(100, 99, 0, 0), pool.1);
        assert!(Addresses::new(elsewhere, Some(again.to_save(pool)), 0).all(&roster).is_empty());
    }

    #[test]
    fn an_address_stands_for_nothing_when_its_application_is_gone_or_lost_the_name() {
        let before = roster();
        let mut table = Addresses::new(before.config.pool, None, 0);
        let wiki = assign(&mut table, &before, &[0], "wiki.corp");
        let git = assign(&mut table, &before, &[1], "git.corp");
        assert_eq!(table.all(&before).len(), 2);
        let mut config = before.config.clone();
        config.applications.remove(0);
        let after = Roster::new(config);
        assert_eq!(table.get(&after, wiki), None);
        assert_eq!(table.get(&after, git).unwrap().applications, [0], "numbers moved, the name stayed");
        let mut config = before.config.clone();
        config.applications[0].hosts = vec![crate::config::Host::parse("other.corp").unwrap()];
        assert_eq!(table.get(&Roster::new(config), wiki), None);
    }
}
