//! Values by address range, found by the longest prefix.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::FixedState;

use crate::policy::Prefix;

/// The table. A look-up costs one probe a prefix length that occurs.
pub(super) struct PrefixTable<T> {
    /// Lengths that occur, longest first; IPv6 or not.
    lengths: Vec<(u8, bool)>,
    values: std::collections::HashMap<(IpAddr, u8), T, FixedState>,
}

impl<T: Default> PrefixTable<T> {
    pub(super) fn new(seed: u64) -> Self {
        let values = std::collections::HashMap::with_hasher(FixedState::with_seed(seed));
        Self { lengths: Vec::new(), values }
    }

    /// The value of that very range.
    pub(super) fn entry(&mut self, prefix: Prefix) -> &mut T {
        let length =
            (prefix.length.min(if prefix.address.is_ipv6() { 128 } else { 32 }), prefix.address.is_ipv6());
        if let Err(at) = self.lengths.binary_search_by(|other| length.cmp(other)) {
            self.lengths.insert(at, length);
        }
        self.values.entry((masked(prefix.address, length.0), length.0)).or_default()
    }

    /// The values of all ranges that cover `address`, the most specific first.
    pub(super) fn covering(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let lengths = self.lengths.iter().filter(move |(_, is_ipv6)| *is_ipv6 == address.is_ipv6());
        lengths.filter_map(move |(length, _)| self.values.get(&(masked(address, *length), *length)))
    }
}

/// The first `length` bits of an address.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packets_for_tests::ip;

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix { address: ip(address), length }
    }

    #[test]
    fn the_most_specific_range_comes_first_and_families_are_apart() {
        let mut table = PrefixTable::<u32>::new(7);
        for (value, (address, length)) in
            [("0.0.0.0", 0), ("10.1.2.3", 8), ("10.1.0.0", 16), ("::", 0), ("10.1.2.3", 32)]
                .into_iter()
                .enumerate()
        {
            *table.entry(prefix(address, length)) = value as u32;
        }
        assert_eq!(table.covering(ip("10.1.2.3")).copied().collect::<Vec<_>>(), [4, 2, 1, 0]);
        assert_eq!(table.covering(ip("11.0.0.1")).copied().collect::<Vec<_>>(), [0]);
        assert_eq!(table.covering(ip("fd00::1")).copied().collect::<Vec<_>>(), [3]);
    }

    proptest! {
        #[test]
        fn it_agrees_with_asking_every_prefix(
            ranges in proptest::collection::vec((any::<u32>(), 0u8..=32), 1..20),
            address: u32,
        ) {
            let mut table = PrefixTable::<u8>::new(7);
            let range = |(bits, length): &(u32, u8)| Prefix { address: Ipv4Addr::from_bits(*bits).into(), length: *length };
            // near each other, or none would cover anything
            let near: Vec<_> = ranges.iter().map(|(bits, length)| (address ^ (bits >> 8), *length)).collect();
            for each in &near {
                *table.entry(range(each)) = each.1;
            }
            let address = IpAddr::from(Ipv4Addr::from_bits(address));
            let mut expected: Vec<u8> =
                near.iter().filter(|each| range(each).contains(address)).map(|each| each.1).collect();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            expected.dedup();
            prop_assert_eq!(table.covering(address).copied().collect::<Vec<_>>(), expected);
        }
    }
}
