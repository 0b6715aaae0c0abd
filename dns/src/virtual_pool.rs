//! Virtual addresses: which stands for which real address of which name behind which gateway.

mod entry;
mod never_mapped;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use thiserror::Error;

pub use entry::Entry;

use crate::zones::Granted;

/// The addresses at the start of each prefix that are left to the caller: the TUN's own, the resolver's and others.
const RESERVED: u16 = 16;

/// An address that nobody has used for this long may be given to another name, in seconds: 7 days, longer than any
/// TTL that the cache keeps and than most connections live.
const UNUSED_FOR: u64 = 7 * 86_400;

/// Use is noted at most this often per address, in seconds, so that the table on disk is not written at each query.
const USE_RESOLUTION: u64 = 3_600;

/// Virtual addresses of one grant, a quarter of the pool: a name with ever-changing addresses cannot use up those of
/// the others, and a list of domains that shares a grant has room for as many names as a device asks for in a week.
const GRANT_QUOTA: u32 = 16_384;

/// While no address is free, the table is searched for unused ones at most this often, in seconds.
const EXPIRY_INTERVAL: u64 = 60;

/// The table of virtual addresses: a /16 of IPv4 and a /48 of IPv6, of which 65,519 addresses each are used.
///
/// The key is (gateway, name, real address). An assignment is kept until its address was unused for 7 days.
#[derive(Debug)]
pub struct VirtualPool {
    ipv4: Family,
    ipv6: Family,
    by_virtual: BTreeMap<IpAddr, Assignment>,
    by_key: BTreeMap<Key, IpAddr>,
    per_grant: BTreeMap<u32, u32>,
    expiry_at: u64,
    generation: u64,
    removals: u64,
}

/// Why a virtual address could not be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PoolError {
    /// Every address of the family is in use.
    #[error("failed to find a free virtual address: all are in use")]
    Exhausted,
    /// The grant has as many addresses as one may have.
    #[error("failed to give out a virtual address: the grant has used up its quota")]
    QuotaUsedUp,
}

/// What a virtual address stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The caller's id of the gateway.
    pub gateway: u32,
    /// The name that was asked for.
    pub name: Arc<str>,
    /// The address behind the gateway.
    pub real: IpAddr,
    /// The caller's id of what grants the name now; `None` when no rule grants it any more.
    pub grant: Option<u32>,
    /// Until when, in seconds of wall time, somebody may hold the address for good.
    pub used_until: u64,
    /// Whether the caller has been told since the last change of policy.
    announced: bool,
}

/// The outcome of giving out an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The address to answer with.
    pub virtual_address: IpAddr,
    /// The caller has yet to be told about it.
    pub unannounced: bool,
}

type Key = (u32, Arc<str>, IpAddr);

/// One prefix, and the addresses of it that are free, longest free first.
#[derive(Debug)]
struct Family {
    prefix: IpAddr,
    free: VecDeque<u16>,
}

impl VirtualPool {
    /// An empty table. The prefixes are `ipv4`/16 and `ipv6`/48; bits beyond them are ignored.
    pub fn new(ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> Self {
        let ipv4 = Ipv4Addr::from_bits(ipv4.to_bits() & !0xffff);
        let ipv6 = Ipv6Addr::from_bits(ipv6.to_bits() & !(u128::MAX >> 48));
        Self {
            ipv4: Family::new(ipv4.into()),
            ipv6: Family::new(ipv6.into()),
            by_virtual: BTreeMap::new(),
            by_key: BTreeMap::new(),
            per_grant: BTreeMap::new(),
            expiry_at: 0,
            generation: 0,
            removals: 0,
        }
    }

    /// Whether an address belongs to the prefixes of the pool.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ipv4.contains(address) || self.ipv6.contains(address)
    }

    /// What a virtual address stands for.
    pub fn get(&self, virtual_address: IpAddr) -> Option<&Assignment> {
        self.by_virtual.get(&virtual_address)
    }

    /// All assignments in the order of their virtual addresses.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &Assignment)> {
        self.by_virtual.iter().map(|(address, assignment)| (*address, assignment))
    }

    /// How many virtual addresses are assigned.
    pub fn len(&self) -> usize {
        self.by_virtual.len()
    }

    /// Whether no virtual address is assigned.
    pub fn is_empty(&self) -> bool {
        self.by_virtual.is_empty()
    }

    /// A number that changes whenever there is something new to be saved.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Notes that an address is in use, for instance by a flow that outlives the answer that named it.
    pub fn touch(&mut self, virtual_address: IpAddr, wall: u64) {
        if let Some(assignment) = self.by_virtual.get_mut(&virtual_address)
            && assignment.extend(wall)
        {
            self.generation += 1;
        }
    }

    /// How many assignments were taken back: an answer that was made before may name an address of somebody else.
    pub(crate) fn removals(&self) -> u64 {
        self.removals
    }

    /// Takes an assignment back, whatever its age.
    pub fn remove(&mut self, virtual_address: IpAddr) -> Option<Assignment> {
        let removed = self.by_virtual.remove(&virtual_address)?;
        self.by_key.remove(&(removed.gateway, removed.name.clone(), removed.real));
        self.family(virtual_address).free.push_back(low_bits(virtual_address));
        release(&mut self.per_grant, removed.grant);
        self.generation += 1;
        self.removals += 1;
        Some(removed)
    }

    /// Takes back what nobody has used for 7 days, and gives the addresses.
    pub fn expire(&mut self, wall: u64) -> Vec<IpAddr> {
        let unused = |assignment: &Assignment| assignment.used_until.saturating_add(UNUSED_FOR) < wall;
        let addresses: Vec<IpAddr> =
            self.iter().filter(|(_, assignment)| unused(assignment)).map(|(address, _)| address).collect();
        addresses.iter().for_each(|address| drop(self.remove(*address)));
        addresses
    }

    /// Gives the virtual address of a real one, the same as before where there is one. `ttl` is how long the client
    /// may believe the answer, in seconds.
    ///
    /// # Errors
    /// When every address of the family is in use, or the grant has used up its quota.
    pub fn assign(
        &mut self,
        granted: Granted,
        name: &Arc<str>,
        real: IpAddr,
        ttl: u32,
        wall: u64,
    ) -> Result<Assigned, PoolError> {
        let used_until = wall.saturating_add(u64::from(ttl).min(UNUSED_FOR));
        let key = (granted.gateway, name.clone(), real);
        if let Some(virtual_address) = self.by_key.get(&key).copied() {
            return Ok(self.reuse(virtual_address, granted.grant, used_until));
        }
        self.make_room(granted.grant, real, wall)?;
        let virtual_address = self.family(real).take().ok_or(PoolError::Exhausted)?;
        let assignment = Assignment {
            gateway: granted.gateway,
            name: name.clone(),
            real,
            grant: Some(granted.grant),
            used_until,
            announced: true,
        };
        self.insert(virtual_address, assignment);
        Ok(Assigned { virtual_address, unannounced: true })
    }

    /// After a change of policy: asks anew which grant each assignment belongs to, and forgets what was announced.
    pub fn regrant(&mut self, grant_of: impl Fn(&Assignment) -> Option<u32>) {
        self.per_grant.clear();
        for assignment in self.by_virtual.values_mut() {
            assignment.announced = false;
            assignment.grant = grant_of(assignment);
            if let Some(grant) = assignment.grant {
                *self.per_grant.entry(grant).or_default() += 1;
            }
        }
    }

    /// Whether a real address may stand behind a virtual one at all.
    pub(crate) fn may_map(&self, real: IpAddr) -> bool {
        !never_mapped::is_never_mapped(real) && !self.contains(real)
    }

    fn reuse(&mut self, virtual_address: IpAddr, grant: u32, used_until: u64) -> Assigned {
        let mut unannounced = false;
        if let Some(assignment) = self.by_virtual.get_mut(&virtual_address) {
            self.generation += u64::from(assignment.extend(used_until));
            unannounced = !std::mem::replace(&mut assignment.announced, true);
            if assignment.grant != Some(grant) {
                release(&mut self.per_grant, assignment.grant.replace(grant));
                *self.per_grant.entry(grant).or_default() += 1;
                unannounced = true;
            }
        }
        Assigned { virtual_address, unannounced }
    }

    /// Sees to it that the grant and the family have room, by taking back what is unused.
    fn make_room(&mut self, grant: u32, real: IpAddr, wall: u64) -> Result<(), PoolError> {
        if self.room(grant, real).is_err() && wall >= self.expiry_at {
            self.expiry_at = wall.saturating_add(EXPIRY_INTERVAL);
            self.expire(wall);
        }
        self.room(grant, real)
    }

    fn room(&mut self, grant: u32, real: IpAddr) -> Result<(), PoolError> {
        if self.per_grant.get(&grant).is_some_and(|count| *count >= GRANT_QUOTA) {
            return Err(PoolError::QuotaUsedUp);
        }
        if self.family(real).free.is_empty() {
            return Err(PoolError::Exhausted);
        }
        Ok(())
    }

    fn insert(&mut self, virtual_address: IpAddr, assignment: Assignment) {
        if let Some(grant) = assignment.grant {
            *self.per_grant.entry(grant).or_default() += 1;
        }
        let key = (assignment.gateway, assignment.name.clone(), assignment.real);
        self.by_key.insert(key, virtual_address);
        self.by_virtual.insert(virtual_address, assignment);
        self.generation += 1;
    }

    fn family(&mut self, address: IpAddr) -> &mut Family {
        if address.is_ipv4() { &mut self.ipv4 } else { &mut self.ipv6 }
    }
}

impl Assignment {
    /// Moves the time of use, and says whether it moved far enough to be noted.
    fn extend(&mut self, used_until: u64) -> bool {
        let later = used_until >= self.used_until.saturating_add(USE_RESOLUTION);
        if later {
            self.used_until = used_until;
        }
        later
    }
}

impl Family {
    fn new(prefix: IpAddr) -> Self {
        Self { prefix, free: (RESERVED..u16::MAX).collect() }
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.prefix, address) {
            (IpAddr::V4(prefix), IpAddr::V4(address)) => prefix.to_bits() >> 16 == address.to_bits() >> 16,
            (IpAddr::V6(prefix), IpAddr::V6(address)) => prefix.to_bits() >> 80 == address.to_bits() >> 80,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    fn take(&mut self) -> Option<IpAddr> {
        let low = self.free.pop_front()?;
        Some(match self.prefix {
            IpAddr::V4(prefix) => Ipv4Addr::from_bits(prefix.to_bits() | u32::from(low)).into(),
            IpAddr::V6(prefix) => Ipv6Addr::from_bits(prefix.to_bits() | u128::from(low)).into(),
        })
    }
}

fn low_bits(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u16,
        IpAddr::V6(address) => address.to_bits() as u16,
    }
}

fn release(per_grant: &mut BTreeMap<u32, u32>, grant: Option<u32>) {
    let Some(grant) = grant else { return };
    let Some(count) = per_grant.get_mut(&grant) else { return };
    *count -= 1;
    if *count == 0 {
        per_grant.remove(&grant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    pub(super) fn pool() -> VirtualPool {
        VirtualPool::new(Ipv4Addr::new(100, 80, 9, 9), "fd12:3456:789a::1".parse().unwrap())
    }

    fn assign(
        pool: &mut VirtualPool,
        grant: u32,
        name: &str,
        real: &str,
        wall: u64,
    ) -> Result<IpAddr, PoolError> {
        let granted = Granted { gateway: 1, grant };
        let assigned = pool.assign(granted, &name.into(), real.parse().unwrap(), 300, wall)?;
        Ok(assigned.virtual_address)
    }

    #[test]
    fn an_assignment_is_sticky_and_found_from_both_sides() {
        let mut pool = pool();
        let first = assign(&mut pool, 1, "a.corp", "10.0.0.1", 0).unwrap();
        assert_eq!(first, "100.80.0.16".parse::<IpAddr>().unwrap());
        assert_eq!(assign(&mut pool, 1, "a.corp", "10.0.0.1", 9 * DAY), Ok(first));
        assert_ne!(assign(&mut pool, 1, "b.corp", "10.0.0.1", 0), Ok(first));
        let assignment = pool.get(first).unwrap();
        assert_eq!((&*assignment.name, assignment.grant), ("a.corp", Some(1)));
        let six = assign(&mut pool, 1, "a.corp", "fd00::1", 0).unwrap();
        assert_eq!(six, "fd12:3456:789a::10".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn an_address_is_reused_after_seven_unused_days_and_not_before() {
        let mut pool = pool();
        let address = assign(&mut pool, 1, "a.corp", "10.0.0.1", 0).unwrap();
        assert!(pool.expire(7 * DAY).is_empty());
        pool.touch(address, 2 * DAY);
        assert!(pool.expire(9 * DAY).is_empty());
        assert_eq!(pool.expire(9 * DAY + 1), [address]);
        assert!(pool.is_empty());
    }

    #[test]
    fn a_grant_cannot_take_more_than_its_quota() {
        let mut pool = pool();
        for index in 0..GRANT_QUOTA {
            assign(&mut pool, 1, &format!("n{index}"), "10.0.0.1", 0).unwrap();
        }
        assert_eq!(assign(&mut pool, 1, "more", "10.0.0.1", 0), Err(PoolError::QuotaUsedUp));
        assert!(assign(&mut pool, 2, "more", "10.0.0.1", 0).is_ok());
        assert!(assign(&mut pool, 1, "n0", "10.0.0.1", 0).is_ok());
        assert!(assign(&mut pool, 1, "later", "10.0.0.1", 8 * DAY).is_ok());
    }

    #[test]
    fn a_full_pool_says_so_and_recovers_when_addresses_were_unused_for_long() {
        let mut pool = pool();
        let mut given = 0;
        for grant in 0..16 {
            for index in 0..GRANT_QUOTA {
                given +=
                    u32::from(assign(&mut pool, grant, &format!("n{index}.{grant}"), "10.0.0.1", 0).is_ok());
            }
        }
        assert_eq!(given, 65_519);
        assert_eq!(assign(&mut pool, 99, "more", "10.0.0.1", DAY), Err(PoolError::Exhausted));
        assert!(assign(&mut pool, 99, "more", "10.0.0.1", 8 * DAY).is_ok());
    }

    #[test]
    fn the_generation_moves_when_something_is_to_be_saved_and_only_then() {
        let mut pool = pool();
        let address = assign(&mut pool, 1, "a.corp", "10.0.0.1", 0).unwrap();
        let generation = pool.generation();
        assign(&mut pool, 1, "a.corp", "10.0.0.1", 60).unwrap();
        assert_eq!(pool.generation(), generation);
        assign(&mut pool, 1, "a.corp", "10.0.0.1", DAY).unwrap();
        assert_ne!(pool.generation(), generation);
        let generation = pool.generation();
        pool.remove(address);
        assert_ne!(pool.generation(), generation);
    }

    #[test]
    fn a_changed_policy_announces_anew_and_counts_anew() {
        let mut pool = pool();
        let granted = Granted { gateway: 1, grant: 1 };
        let ask = |pool: &mut VirtualPool, granted| {
            pool.assign(granted, &"a.corp".into(), "10.0.0.1".parse().unwrap(), 1, 0).unwrap().unannounced
        };
        assert!(ask(&mut pool, granted));
        assert!(!ask(&mut pool, granted));
        pool.regrant(|_| Some(1));
        assert!(ask(&mut pool, granted));
        assert!(ask(&mut pool, Granted { gateway: 1, grant: 2 }));
        assert_eq!(pool.per_grant, BTreeMap::from([(2, 1)]));
    }
}
