//! An address with a prefix length.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address and how many of its leading bits count: `10.77.0.0/16`.
///
/// The address is kept as written, host bits and all; [`Prefix::network`] clears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// Prefix length in bits: 0 to 32, or 0 to 128 for IPv6.
    pub length: u8,
}

impl Prefix {
    /// A prefix of one address: `/32` or `/128`.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self { address, length: width(address) }
    }

    /// The same prefix with its host bits cleared.
    #[must_use]
    pub fn network(self) -> Self {
        let kept = bits(self.address) & mask(self.length, width(self.address));
        let address = match self.address {
            // Bits of an IPv4 address are at most 32, so nothing is lost.
            IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::from_bits(kept as u32)),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::from_bits(kept)),
        };
        Self { address, length: self.length }
    }

    /// Whether the address lies within; a prefix of the other family holds none.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (bits(self.address) ^ bits(address)) & mask(self.length, width(address)) == 0
    }

    /// Whether the whole of `other` lies within.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }
}

/// Why a text is no [`Prefix`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a CIDR block")]
pub struct PrefixError(String);

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `address` or `address/length`.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let wrong = || PrefixError(text.to_owned());
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let Some(length) = length else { return Ok(Self::host(address)) };
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let length: u8 = length.parse().map_err(|_| wrong())?;
        if length > width(address) {
            return Err(wrong());
        }
        Ok(Self { address, length })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Bits of an address of this family.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The mask of `length` leading bits among the `width` lowest ones.
fn mask(length: u8, width: u8) -> u128 {
    let host_bits = u32::from(width.saturating_sub(length));
    u128::MAX.checked_shl(host_bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn reads_addresses_and_blocks_of_both_families() {
        for (text, shown) in [
            ("10.77.0.3", "10.77.0.3/32"),
            ("10.77.0.3/16", "10.77.0.3/16"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::1", "fd00::1/128"),
            ("fd00::/48", "fd00::/48"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(prefix(text).to_string(), shown);
        }
    }

    #[test]
    fn refuses_what_is_no_prefix() {
        for text in [
            "",
            "10.77.0.0/33",
            "fd00::/129",
            "10.77.0.0/",
            "10.77.0.0/+8",
            "10.77/16",
            "wiki/8",
            "1.2.3.4/256",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn contains_covers_and_clears_host_bits() {
        assert!(prefix("10.77.0.0/16").contains("10.77.255.1".parse().unwrap()));
        assert!(!prefix("10.77.0.0/16").contains("10.78.0.1".parse().unwrap()));
        assert!(!prefix("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(prefix("0.0.0.0/0").contains("203.0.113.9".parse().unwrap()));
        assert!(prefix("::/0").contains("fd00::1".parse().unwrap()));
        assert!(prefix("10.0.0.0/8").covers(prefix("10.77.0.0/16")));
        assert!(!prefix("10.77.0.0/16").covers(prefix("10.0.0.0/8")));
        assert_eq!(prefix("10.77.3.9/16").network().to_string(), "10.77.0.0/16");
        assert_eq!(prefix("fd00:1:2:3::9/48").network().to_string(), "fd00:1:2::/48");
        assert_eq!(prefix("10.77.3.9/0").network().to_string(), "0.0.0.0/0");
    }
}
