//! An address range, as routes, rules and facts name it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A range of addresses: the address with its host bits cleared and the number of leading bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpPrefix {
    address: IpAddr,
    length: u8,
}

/// A text or a length that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read address range: `{0}`")]
pub struct PrefixError(String);

impl IpPrefix {
    /// The range that contains `address`, `length` bits long; host bits are cleared.
    ///
    /// # Errors
    /// `length` is longer than the family's addresses.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        if length > bits(address) {
            return Err(PrefixError(format!("{address}/{length}")));
        }
        Ok(Self { address: truncate(address, length), length })
    }

    /// The range of exactly one address (/32 or /128).
    pub fn host(address: IpAddr) -> Self {
        Self { address, length: bits(address) }
    }

    /// The first address of the range.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that count.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether the address is in the range.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && truncate(address, self.length) == self.address
    }

    /// Whether the two ranges share an address.
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = if self.length <= other.length { self } else { other };
        let longer = if self.length <= other.length { other } else { self };
        shorter.contains(longer.address)
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

impl FromStr for IpPrefix {
    type Err = PrefixError;

    /// Reads `address/length` or a bare address.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let error = || PrefixError(text.to_owned());
        let Some((address, length)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| error());
        };
        let address = address.parse().map_err(|_| error())?;
        Self::new(address, length.parse().map_err(|_| error())?)
    }
}

impl TryFrom<String> for IpPrefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<IpPrefix> for String {
    fn from(prefix: IpPrefix) -> Self {
        prefix.to_string()
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn truncate(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> IpPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn host_bits_are_cleared_and_the_text_reads_back() {
        assert_eq!(prefix("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(prefix("fd00::1/64"), prefix("fd00::/64"));
        assert_eq!(prefix("192.0.2.1").to_string(), "192.0.2.1/32");
        assert_eq!(prefix("0.0.0.0/0").to_string(), "0.0.0.0/0");
    }

    #[test]
    fn overlap_is_containment_either_way_and_never_across_families() {
        assert!(prefix("10.0.0.0/8").overlaps(prefix("10.9.0.0/16")));
        assert!(prefix("10.9.0.0/16").overlaps(prefix("10.0.0.0/8")));
        assert!(!prefix("10.8.0.0/16").overlaps(prefix("10.9.0.0/16")));
        assert!(prefix("0.0.0.0/0").overlaps(prefix("10.9.0.0/16")));
        assert!(!prefix("0.0.0.0/0").overlaps(prefix("fd00::/8")));
    }

    #[test]
    fn malformed_ranges_are_refused() {
        for text in ["", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "10.0.0/8", "name/8"] {
            assert!(text.parse::<IpPrefix>().is_err(), "{text}");
        }
    }
}
