//! Addresses that no name may lead to: whoever controls a record could otherwise reach the gateway's own network.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Prefix;

/// Why an address is not dialed unless an application lists it, or a range within the forbidden one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The gateway's loopback.
    #[error("loopback")]
    Loopback,
    /// A neighbour on a link, and most clouds' metadata services.
    #[error("link-local")]
    LinkLocal,
    /// A metadata service of a cloud at another address.
    #[error("metadata service")]
    Metadata,
    /// Many hosts.
    #[error("multicast or broadcast")]
    Multicast,
    /// No host; Linux takes it for the machine itself.
    #[error("unspecified")]
    Unspecified,
    /// One of the gateway's own addresses, or of those it answers names with.
    #[error("own address")]
    Own,
}

/// IPv4 ranges and why.
const V4: [(Ipv4Addr, u8, Forbidden); 9] = [
    // "this network" (RFC 791 section 3.2)
    (Ipv4Addr::new(0, 0, 0, 0), 8, Forbidden::Unspecified),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Forbidden::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Forbidden::LinkLocal),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Forbidden::Multicast),
    // reserved (RFC 1112 section 4), the broadcast address among them
    (Ipv4Addr::new(240, 0, 0, 0), 4, Forbidden::Multicast),
    // Alibaba, Azure, Oracle
    (Ipv4Addr::new(100, 100, 100, 200), 32, Forbidden::Metadata),
    (Ipv4Addr::new(168, 63, 129, 16), 32, Forbidden::Metadata),
    (Ipv4Addr::new(192, 0, 0, 192), 32, Forbidden::Metadata),
    // port control and other services of the next router (RFC 7723, RFC 8155)
    (Ipv4Addr::new(192, 0, 0, 8), 29, Forbidden::LinkLocal),
];

/// IPv6 ranges and why.
const V6: [(Ipv6Addr, u8, Forbidden); 6] = [
    (Ipv6Addr::UNSPECIFIED, 128, Forbidden::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Forbidden::Loopback),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Forbidden::LinkLocal),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Forbidden::Multicast),
    // Amazon, Google
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, Forbidden::Metadata),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, Forbidden::Metadata),
];

/// IPv6 ranges that hold an IPv4 address, and how many bits stand behind it: IPv4-compatible and IPv4-mapped (RFC 4291
/// section 2.5.5), NAT64 (RFC 6052 section 2.2, RFC 8215 with its usual length of 96 bits), 6to4 (RFC 3056 section 2).
const EMBEDDING: [(Ipv6Addr, u8, u32); 5] = [
    (Ipv6Addr::UNSPECIFIED, 96, 0),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 0),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, 0),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, 0),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 80),
];

/// Teredo (RFC 4380 section 4) hides the client's IPv4 address by turning its bits.
const TEREDO: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32);

/// Why an address is forbidden, and the range that an application must list a part of to open it. `own` are the
/// addresses of the gateway's links, `inner` the ranges it answers names from.
pub fn forbidden(address: IpAddr, own: &BTreeSet<IpAddr>, inner: &[Prefix]) -> Option<(Forbidden, Prefix)> {
    if own.contains(&address) {
        return Some((Forbidden::Own, Prefix::host(address)));
    }
    if let Some(range) = inner.iter().find(|range| range.contains(address)) {
        return Some((Forbidden::Own, *range));
    }
    match address {
        IpAddr::V4(_) => {
            V4.iter().find_map(|(first, length, why)| within(address, (*first).into(), *length, *why))
        }
        IpAddr::V6(six) => V6
            .iter()
            .find_map(|(first, length, why)| within(address, (*first).into(), *length, *why))
            .or_else(|| embedded(six, own, inner)),
    }
}

/// The ranges that are forbidden on every gateway.
pub fn ranges() -> impl Iterator<Item = Prefix> {
    let v4 = V4.iter().map(|(first, length, _)| Prefix { address: (*first).into(), length: *length });
    let v6 = V6.iter().map(|(first, length, _)| Prefix { address: (*first).into(), length: *length });
    let embedding =
        EMBEDDING.iter().map(|(first, length, _)| Prefix { address: (*first).into(), length: *length });
    v4.chain(v6).chain(embedding)
}

fn within(address: IpAddr, first: IpAddr, length: u8, why: Forbidden) -> Option<(Forbidden, Prefix)> {
    let range = Prefix { address: first, length };
    range.contains(address).then_some((why, range))
}

/// What an address leads to that is translated on its way. Only the very address opens it.
fn embedded(address: Ipv6Addr, own: &BTreeSet<IpAddr>, inner: &[Prefix]) -> Option<(Forbidden, Prefix)> {
    let is_in = |first: Ipv6Addr, length| Prefix { address: first.into(), length }.contains(address.into());
    let found = EMBEDDING.iter().find(|(first, length, _)| is_in(*first, *length));
    let within = match found {
        Some((_, _, behind)) => (address.to_bits() >> behind) as u32,
        None if is_in(TEREDO.0, TEREDO.1) => !(address.to_bits() as u32),
        None => return None,
    };
    let (why, _) = forbidden(Ipv4Addr::from_bits(within).into(), own, inner)?;
    Some((why, Prefix::host(address.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(address: &str) -> Option<Forbidden> {
        let own = BTreeSet::from(["10.0.0.9".parse().unwrap(), "2001:db8::9".parse().unwrap()]);
        let inner = ["100.127.0.0/16".parse().unwrap(), "fd7a:7a74:6e61::/48".parse().unwrap()];
        forbidden(address.parse().unwrap(), &own, &inner).map(|(why, _)| why)
    }

    #[test]
    fn what_is_the_gateways_own_network_is_forbidden_in_every_disguise() {
        for (address, expected) in [
            ("127.0.0.1", Forbidden::Loopback),
            ("127.255.0.3", Forbidden::Loopback),
            ("0.0.0.0", Forbidden::Unspecified),
            ("0.1.2.3", Forbidden::Unspecified),
            ("169.254.169.254", Forbidden::LinkLocal),
            ("100.100.100.200", Forbidden::Metadata),
            ("224.0.0.1", Forbidden::Multicast),
            ("255.255.255.255", Forbidden::Multicast),
            ("10.0.0.9", Forbidden::Own),
            ("100.127.9.9", Forbidden::Own),
            ("::", Forbidden::Unspecified),
            ("::1", Forbidden::Loopback),
            ("::127.0.0.1", Forbidden::Loopback),
            ("::ffff:127.0.0.1", Forbidden::Loopback),
            ("::ffff:169.254.169.254", Forbidden::LinkLocal),
            ("::ffff:10.0.0.9", Forbidden::Own),
            ("64:ff9b::a9fe:a9fe", Forbidden::LinkLocal),
            ("64:ff9b:1::7f00:1", Forbidden::Loopback),
            ("2002:7f00:1::5", Forbidden::Loopback),
            ("2002:a00:9::", Forbidden::Own),
            ("2001:0:1:2:3:4:80ff:fffe", Forbidden::Loopback),
            ("fe80::1", Forbidden::LinkLocal),
            ("ff02::1", Forbidden::Multicast),
            ("fd00:ec2::254", Forbidden::Metadata),
            ("2001:db8::9", Forbidden::Own),
            ("fd7a:7a74:6e61::10", Forbidden::Own),
        ] {
            assert_eq!(why(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn internal_hosts_are_not_forbidden() {
        for address in
            ["10.0.0.1", "192.168.1.1", "8.8.8.8", "100.126.0.1", "fd00::1", "2001:db8::1", "2002:a00:1::"]
        {
            assert_eq!(why(address), None, "{address}");
        }
    }
}
