//! The header of a datagram between a client and its association (RFC 1928, section 7).

use super::address::{self, Parsed};
use crate::proxy::target::Target;

/// Octets before the address: two reserved ones and the fragment's number.
const PREFIX: usize = 3;

/// The longest header: a name of 255 octets.
pub const LONGEST_HEADER: usize = PREFIX + 1 + 1 + 255 + 2;

/// A datagram of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where to.
    pub target: Target,
    /// The address as the client wrote it; a reply from there carries the same.
    pub address: &'a [u8],
    /// What it carries.
    pub payload: &'a [u8],
}

/// Reads a datagram; `None` for what cannot be sent on: too short, a fragment, no host.
#[must_use]
pub fn parse(octets: &[u8]) -> Option<Datagram<'_>> {
    let ([_, _, fragment], rest) = octets.split_first_chunk::<PREFIX>()?;
    if *fragment != 0 {
        return None;
    }
    let Parsed::Whole(Ok(target), length) = address::parse(rest) else { return None };
    let (address, payload) = rest.split_at(length);
    Some(Datagram { target, address, payload })
}

/// The header of a reply from `address`, which is as the client wrote it.
#[must_use]
pub fn header(address: &[u8]) -> Vec<u8> {
    [&[0; PREFIX], address].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_and_its_reply_carry_the_same_address() {
        let octets = [&[0, 0, 0, 3, 9], b"echo.corp".as_slice(), &[0, 7], b"hello"].concat();
        let datagram = parse(&octets).unwrap();
        assert_eq!(datagram.target.to_string(), "echo.corp:7");
        assert_eq!(datagram.payload, b"hello");
        assert_eq!([header(datagram.address).as_slice(), b"hello"].concat(), octets);
    }

    #[test]
    fn fragments_and_nonsense_are_dropped() {
        let good = [0, 0, 0, 1, 10, 77, 0, 5, 0, 7];
        assert!(parse(&good).is_some());
        assert!((0..good.len()).all(|end| parse(&good[..end]).is_none()));
        for (at, value) in [(2, 1), (3, 2), (9, 0)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(parse(&bad), None, "octet {at}");
        }
    }
}
