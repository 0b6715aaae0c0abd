//! Addresses that a proxy never dials on its own: this machine, and what trusts its own machine or network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Metadata service of a cloud that is not link-local, like 169.254.169.254 is.
const METADATA_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// Any port: nothing is sent there.
const DISCARD: u16 = 9;

/// Whether a proxy must not dial `address` outside the tunnel: loopback, unspecified, link-local with the metadata
/// services, multicast, broadcast, each also within an address of IPv6, and every address of this machine's links.
///
/// Whoever controls a DNS record could otherwise lead a program to a service that trusts its own machine, or a proxy
/// to itself.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    is_special(address) || is_own(address)
}

/// Whether an address is this machine or nobody, wherever it is dialed.
pub(super) fn is_nowhere(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_nowhere_ipv4(address),
        IpAddr::V6(address) => address.is_loopback() || address.is_unspecified() || address.is_multicast(),
    }
}

fn is_nowhere_ipv4(address: Ipv4Addr) -> bool {
    // 0.0.0.0/8 is "this network" (RFC 791 §3.2): Linux takes 0.0.0.0 for the machine itself
    address.octets()[0] == 0 || address.is_loopback() || address.is_multicast() || address.is_broadcast()
}

fn is_special(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_nowhere_ipv4(address) || address.is_link_local(),
        IpAddr::V6(address) => is_special_ipv6(address),
    }
}

fn is_special_ipv6(address: Ipv6Addr) -> bool {
    // ::/96 holds unspecified, loopback and the deprecated IPv4-compatible addresses (RFC 4291 §2.5.5.1)
    address.to_bits() >> 32 == 0
        || address.is_unicast_link_local()
        || address.is_multicast()
        || address == METADATA_IPV6
        || embedded(address).is_some_and(|address| is_special(address.into()))
}

/// The IPv4 address that a translator (64:ff9b::/96, RFC 6052) or a relay (2002::/16, RFC 3056) would send to.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(Ipv4Addr::from_bits(bits as u32)),
        [0x2002, ..] => Some(Ipv4Addr::from_bits((bits >> 80) as u32)),
        _ => None,
    }
}

/// Whether an address is one of this machine's: the kernel then sends from that very address. Nothing is sent.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, DISCARD))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trusts_its_own_machine_or_network_is_forbidden_in_every_spelling() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_forbidden(text.parse().unwrap()), "{text}");
        }
        for text in
            ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00:ec2::253", "64:ff9b::c000:201", "2002:c000:201::1"]
        {
            assert!(!is_special(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_address_of_a_link_of_this_machine_is_its_own() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
