//! The table of virtual addresses as it is kept over restarts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Assignment, UNUSED_FOR, VirtualPool, low_bits};
use crate::name::Name;

/// One assignment, to be saved. What grants it is no part: the policy of the day says that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The address that clients are given.
    pub virtual_address: IpAddr,
    /// The address behind the gateway.
    pub real: IpAddr,
    /// The caller's id of the gateway; the caller sees to it that it means the same after a restart.
    pub gateway: u32,
    /// The name that was asked for.
    pub name: String,
    /// Until when, in seconds of wall time, somebody may hold the address for good.
    pub used_until: u64,
}

impl VirtualPool {
    /// Everything to be saved, in the order of the virtual addresses.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.iter().map(|(virtual_address, assignment)| Entry {
            virtual_address,
            real: assignment.real,
            gateway: assignment.gateway,
            name: assignment.name.to_string(),
            used_until: assignment.used_until,
        })
    }

    /// A table with what was saved, and how many entries were left out: those that are not of these prefixes, that
    /// contradict an earlier one, that were unused for 7 days, or that no table of ours ever had. `wall` is the time
    /// in seconds.
    pub fn restore(
        ipv4: Ipv4Addr,
        ipv6: Ipv6Addr,
        entries: impl IntoIterator<Item = Entry>,
        wall: u64,
    ) -> (Self, usize) {
        let mut pool = Self::new(ipv4, ipv6);
        let mut left_out = 0;
        for entry in entries {
            left_out += usize::from(pool.adopt(entry, wall).is_none());
        }
        let taken = |address: IpAddr| (address.is_ipv4(), low_bits(address));
        let taken: std::collections::BTreeSet<_> =
            pool.by_virtual.keys().map(|address| taken(*address)).collect();
        pool.ipv4.free.retain(|low| !taken.contains(&(true, *low)));
        pool.ipv6.free.retain(|low| !taken.contains(&(false, *low)));
        pool.generation = 0;
        (pool, left_out)
    }

    fn adopt(&mut self, entry: Entry, wall: u64) -> Option<()> {
        let Entry { virtual_address, real, gateway, name, used_until } = entry;
        let name: Arc<str> = name.parse::<Name>().ok()?.to_string().into();
        // A clock that was wrong when this was written must not keep an address for ever.
        let used_until = used_until.min(wall.saturating_add(UNUSED_FOR));
        let usable = virtual_address.is_ipv4() == real.is_ipv4()
            && self.is_assignable(virtual_address)
            && self.may_map(real)
            && used_until.saturating_add(UNUSED_FOR) >= wall;
        let is_new = !self.by_virtual.contains_key(&virtual_address)
            && !self.by_key.contains_key(&(gateway, name.clone(), real));
        if !usable || !is_new {
            return None;
        }
        let assignment = Assignment { gateway, name, real, grant: None, used_until, announced: false };
        self.insert(virtual_address, assignment);
        Some(())
    }

    /// Whether an address is one that a table with these prefixes gives out.
    fn is_assignable(&self, address: IpAddr) -> bool {
        let family = if address.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let in_first_64k = match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => address.to_bits() << 48 >> 64 == 0,
        };
        family.contains(address) && in_first_64k && (super::RESERVED..u16::MAX).contains(&low_bits(address))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pool;
    use super::*;
    use crate::zones::Granted;

    const IPV4: Ipv4Addr = Ipv4Addr::new(100, 80, 0, 0);
    const IPV6: Ipv6Addr = Ipv6Addr::new(0xfd12, 0x3456, 0x789a, 0, 0, 0, 0, 0);

    fn entry(virtual_address: &str, real: &str, name: &str) -> Entry {
        Entry {
            virtual_address: virtual_address.parse().unwrap(),
            real: real.parse().unwrap(),
            gateway: 1,
            name: name.to_owned(),
            used_until: 1_000,
        }
    }

    #[test]
    fn a_restored_table_goes_on_where_it_was() {
        let mut before = pool();
        let granted = Granted { gateway: 1, grant: 1 };
        let ask = |pool: &mut VirtualPool, name: &str| {
            pool.assign(granted, &name.into(), "10.0.0.1".parse().unwrap(), 0, 0).unwrap().virtual_address
        };
        let (one, two) = (ask(&mut before, "a.corp"), ask(&mut before, "b.corp"));
        before.remove(one);
        let (mut after, left_out) = VirtualPool::restore(IPV4, IPV6, before.entries(), 0);
        assert_eq!(left_out, 0);
        assert_eq!(ask(&mut after, "b.corp"), two);
        let fresh = ask(&mut after, "c.corp");
        assert!(fresh != two, "an address in use was given out twice");
    }

    #[test]
    fn entries_that_make_no_sense_are_left_out() {
        let junk = [
            entry("100.80.0.16", "10.0.0.1", "a.corp"),
            entry("100.80.0.16", "10.0.0.2", "b.corp"),
            entry("100.80.0.17", "10.0.0.1", "a.corp"),
            entry("100.81.0.16", "10.0.0.3", "c.corp"),
            entry("100.80.0.15", "10.0.0.4", "d.corp"),
            entry("100.80.255.255", "10.0.0.4", "d.corp"),
            entry("100.80.0.20", "127.0.0.1", "e.corp"),
            entry("100.80.0.21", "100.80.0.22", "f.corp"),
            entry("100.80.0.23", "fd00::1", "g.corp"),
            entry("fd12:3456:789a:1::20", "fd00::1", "h.corp"),
            entry("100.80.0.24", "10.0.0.5", "not a name"),
        ];
        let (pool, left_out) = VirtualPool::restore(IPV4, IPV6, junk, 1_000);
        assert_eq!((pool.len(), left_out), (1, 10));
        let (pool, left_out) =
            VirtualPool::restore(IPV4, IPV6, [entry("100.80.0.16", "10.0.0.1", "a")], 1_000_000);
        assert_eq!((pool.len(), left_out), (0, 1));
    }
}
