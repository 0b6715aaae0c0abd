//! Reverse names of virtual addresses: only this resolver can answer them, and they are nobody else's business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::{Name, labels};
use crate::virtual_pool::VirtualPool;
use crate::wire::{Query, Reply, rcode, reply, rtype};

/// The suffix of IPv4's reverse names (RFC 1035 §3.5).
const IPV4_SUFFIX: &[u8] = b"\x07in-addr\x04arpa\x00";

/// The suffix of IPv6's reverse names (RFC 3596 §2.5).
const IPV6_SUFFIX: &[u8] = b"\x03ip6\x04arpa\x00";

/// How long a client may believe in a reverse name, in seconds: short, since a change of policy takes it back.
const TTL: u32 = 60;

/// Answers a query for the reverse name of an address of the pool. `false`: it is about something else.
pub(crate) fn answer_reverse(pool: &VirtualPool, query: &Query<'_>, out: &mut Vec<u8>) -> bool {
    let Some(address) = address_of(query.name()).filter(|address| pool.contains(*address)) else {
        return false;
    };
    let granted = pool.get(address).filter(|assignment| assignment.grant.is_some());
    let Some(name) = granted.and_then(|assignment| assignment.name.parse::<Name>().ok()) else {
        reply(query.head(), query.edns, Reply { code: rcode::NAME_ERROR, record: None }, out);
        return true;
    };
    let wanted = matches!(query.qtype, rtype::PTR | rtype::ANY);
    let record = wanted.then_some((rtype::PTR, TTL, name.as_wire()));
    reply(query.head(), query.edns, Reply { code: rcode::NO_ERROR, record }, out);
    true
}

/// The address that a reverse name, in wire format and lower case, stands for.
fn address_of(name: &[u8]) -> Option<IpAddr> {
    if let Some(reversed) = name.strip_suffix(IPV4_SUFFIX) {
        return ipv4_of(reversed).map(IpAddr::V4);
    }
    name.strip_suffix(IPV6_SUFFIX).and_then(ipv6_of).map(IpAddr::V6)
}

fn ipv4_of(reversed: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = labels(reversed);
    for octet in octets.iter_mut().rev() {
        *octet = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    }
    parts.next().is_none().then_some(octets.into())
}

fn ipv6_of(reversed: &[u8]) -> Option<Ipv6Addr> {
    let mut bits = 0u128;
    let mut count = 0;
    for label in labels(reversed) {
        let [digit] = label else { return None };
        let nibble = char::from(*digit).to_digit(16).filter(|_| count < 32)?;
        bits |= u128::from(nibble) << (4 * count);
        count += 1;
    }
    (count == 32).then_some(bits.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        address_of(text.parse::<Name>().unwrap().as_wire())
    }

    #[test]
    fn reverse_names_are_read_in_both_families() {
        assert_eq!(address("16.0.80.100.in-addr.arpa"), Some("100.80.0.16".parse().unwrap()));
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.1.d.f.ip6.arpa";
        assert_eq!(address(six), Some("fd12::1".parse().unwrap()));
    }

    #[test]
    fn other_names_stand_for_no_address() {
        let names = [
            "80.100.in-addr.arpa",
            "1.16.0.80.100.in-addr.arpa",
            "256.0.80.100.in-addr.arpa",
            "a.b.c.d.in-addr.arpa",
            "1.ip6.arpa",
            "in-addr.arpa",
            "16.0.80.100.in-addr.arpa.example",
            ".",
        ];
        for name in names {
            assert_eq!(address(name), None, "{name}");
        }
    }
}
