//! An address of SOCKS5 on the wire (RFC 1928, section 5): type, address, port.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::proxy::target::{NotATarget, Target};

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// What the beginning of some octets is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// An address that takes so many octets; what it says may be no host.
    Whole(Result<Target, NotATarget>, usize),
    /// The beginning of an address.
    Part,
    /// A type of address that nobody knows.
    UnknownType,
}

/// Reads the address at the beginning of `octets`. It has at most 259 octets.
#[must_use]
pub fn parse(octets: &[u8]) -> Parsed {
    let Some((kind, rest)) = octets.split_first() else { return Parsed::Part };
    match *kind {
        IPV4 => fixed::<4>(rest, |octets, port| Target::address(Ipv4Addr::from(octets).into(), port)),
        IPV6 => fixed::<16>(rest, |octets, port| Target::address(Ipv6Addr::from(octets).into(), port)),
        NAME => name(rest),
        _ => Parsed::UnknownType,
    }
}

/// Appends an address.
pub fn write(address: SocketAddr, to: &mut Vec<u8>) {
    match address {
        SocketAddr::V4(address) => {
            to.push(IPV4);
            to.extend_from_slice(&address.ip().octets());
        }
        SocketAddr::V6(address) => {
            to.push(IPV6);
            to.extend_from_slice(&address.ip().octets());
        }
    }
    to.extend_from_slice(&address.port().to_be_bytes());
}

fn fixed<const N: usize>(rest: &[u8], read: impl Fn([u8; N], u16) -> Result<Target, NotATarget>) -> Parsed {
    let Some((octets, rest)) = rest.split_first_chunk::<N>() else { return Parsed::Part };
    let Some((port, _)) = rest.split_first_chunk() else { return Parsed::Part };
    Parsed::Whole(read(*octets, u16::from_be_bytes(*port)), 1 + N + 2)
}

fn name(rest: &[u8]) -> Parsed {
    let Some((length, rest)) = rest.split_first() else { return Parsed::Part };
    let length = usize::from(*length);
    let Some((text, rest)) = rest.split_at_checked(length) else { return Parsed::Part };
    let Some((port, _)) = rest.split_first_chunk() else { return Parsed::Part };
    let target = std::str::from_utf8(text)
        .map_err(|_| NotATarget)
        .and_then(|text| Target::parse(text, u16::from_be_bytes(*port)));
    Parsed::Whole(target, 2 + length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["10.77.0.5:443", "[fd00::1]:22"] {
            let mut octets = Vec::new();
            write(text.parse().unwrap(), &mut octets);
            let Parsed::Whole(target, length) = parse(&octets) else { panic!("{text}") };
            assert_eq!((target.unwrap().to_string().as_str(), length), (text, octets.len()));
            assert!((0..octets.len()).all(|end| parse(&octets[..end]) == Parsed::Part));
        }
    }

    #[test]
    fn names_are_read_and_may_be_addresses_or_nonsense() {
        let named = |text: &str| {
            let octets = [&[NAME, text.len() as u8], text.as_bytes(), &[1, 187]].concat();
            parse(&octets)
        };
        let target = |text| Target::parse(text, 443);
        assert_eq!(named("wiki.corp"), Parsed::Whole(target("wiki.corp"), 13));
        assert_eq!(named("10.77.0.5"), Parsed::Whole(target("10.77.0.5"), 13));
        assert_eq!(named(""), Parsed::Whole(Err(NotATarget), 4));
        assert_eq!(parse(&[2, 0, 0]), Parsed::UnknownType);
    }
}
