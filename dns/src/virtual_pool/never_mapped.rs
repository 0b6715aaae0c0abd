//! Real addresses that never get a virtual one, whatever a server answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services of clouds that are not link-local, like 169.254.169.254 is.
const METADATA_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Loopback, link-local, multicast, unspecified, broadcast and metadata addresses, also as IPv4 within IPv6: whoever
/// controls a record could otherwise point a program at a service that trusts its own machine or network.
pub(super) fn is_never_mapped(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_never_mapped_ipv4(address),
        IpAddr::V6(address) => is_never_mapped_ipv6(address),
    }
}

fn is_never_mapped_ipv4(address: Ipv4Addr) -> bool {
    // 0.0.0.0/8 is "this network" (RFC 791 §3.2): Linux takes 0.0.0.0 for the machine itself.
    address.octets()[0] == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
}

fn is_never_mapped_ipv6(address: Ipv6Addr) -> bool {
    // ::/96 holds unspecified, loopback and the deprecated IPv4-compatible addresses (RFC 4291 §2.5.5.1); an
    // IPv4-mapped one is no address of a host on the wire.
    let high = address.to_bits() >> 32;
    high == 0
        || high == 0xffff
        || address.is_unicast_link_local()
        || address.is_multicast()
        || address == METADATA_IPV6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_trust_their_own_machine_or_network_are_never_mapped() {
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.1.1",
            "169.254.169.254",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
        ];
        for text in never {
            assert!(is_never_mapped(text.parse().unwrap()), "{text}");
        }
        for text in ["10.0.0.1", "192.0.2.1", "169.253.0.1", "fd00::1", "2001:db8::1", "fd00:ec2::253"] {
            assert!(!is_never_mapped(text.parse().unwrap()), "{text}");
        }
    }
}
