//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! Sums are kept in native byte order: the one's complement sum does not depend on it (RFC 1071, section 2 B).

use std::net::IpAddr;

/// One's complement partial sum of `bytes`, not folded, below 2^34; an odd last byte is padded with zero.
pub fn sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let (words, rest) = rest.as_chunks::<8>();
    let (halves, rest) = rest.as_chunks::<2>();
    // Words of 64 bits, each added with its carry: two instructions. Four sums do not wait for one another.
    let mut lanes = [0u128; 4];
    for block in blocks {
        for (index, word) in block.as_chunks::<8>().0.iter().enumerate() {
            lanes[index % 4] += u128::from(u64::from_ne_bytes(*word));
        }
    }
    let words = words.iter().map(|word| u128::from(u64::from_ne_bytes(*word)));
    let total = lanes.into_iter().chain(words).sum::<u128>();
    let (high, low) = ((total >> 64) as u64, total as u64);
    let halves: u64 = halves.iter().map(|half| u64::from(u16::from_ne_bytes(*half))).sum();
    let last = rest.first().map_or(0, |last| u64::from(u16::from_ne_bytes([*last, 0])));
    high + (low >> 32) + (low & 0xffff_ffff) + halves + last
}

/// Folds a partial sum to 16 bits: zero only if it is zero.
#[inline]
pub fn fold(sum: u64) -> u16 {
    let (half, carry) = (sum as u32).overflowing_add((sum >> 32) as u32);
    let half = half + u32::from(carry);
    let (quarter, carry) = (half as u16).overflowing_add((half >> 16) as u16);
    quarter + u16::from(carry)
}

/// Partial sum of the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1, RFC 8200 section 8.1).
/// `length` is that of transport header and payload in bytes.
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u64 {
    let length = (length as u32).to_be_bytes();
    address(source) + address(destination) + sum(&length) + sum(&[0, 0, 0, protocol])
}

/// Partial sum of an address's bytes.
pub fn address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

/// What is to be added to a sum for content whose partial sum, as [`sum`] gives it, went from `old` to `new` (RFC 1624,
/// equation 3).
#[inline]
pub fn change(old: u64, new: u64) -> u64 {
    /// Zero in this arithmetic, and more than any partial sum.
    const ZERO: u64 = 0xffff << 32;
    ZERO + new - old
}

/// Updates a finished checksum at `field` (2 bytes) by a [`change`], or by several together.
pub fn adjust_finished(field: &mut [u8], change: u64) {
    let present = u16::from_ne_bytes([field[0], field[1]]);
    let adjusted = !fold(u64::from(!present) + change);
    field[..2].copy_from_slice(&adjusted.to_ne_bytes());
}

/// The same of an unfinished checksum: the uncomplemented pseudo-header sum that offload leaves there.
pub fn adjust_unfinished(field: &mut [u8], change: u64) {
    let present = u16::from_ne_bytes([field[0], field[1]]);
    let adjusted = fold(u64::from(present) + change);
    field[..2].copy_from_slice(&adjusted.to_ne_bytes());
}

/// Writes the checksum of an IPv4 header of `length` bytes at the start of `packet`.
pub fn write_ipv4_header(packet: &mut [u8], length: usize) {
    packet[10..12].fill(0);
    let checksum = !fold(sum(&packet[..length]));
    packet[10..12].copy_from_slice(&checksum.to_ne_bytes());
}

/// Whether transport header and payload (`transport`) carry a right checksum, given their pseudo-header sum.
pub fn is_valid(transport: &[u8], pseudo_header: u64) -> bool {
    fold(sum(transport) + pseudo_header) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)).to_ne_bytes(), [0xdd, 0xf2]);
    }

    #[test]
    fn sums_of_any_length_are_those_of_the_16_bit_words() {
        let bytes: Vec<u8> = (0..300u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8 | 0x80).collect();
        for length in 0..=bytes.len() {
            let mut padded = bytes[..length].to_vec();
            padded.resize(length.next_multiple_of(2), 0);
            let mut expected = 0u32;
            for word in padded.chunks(2) {
                expected += u32::from(u16::from_ne_bytes([word[0], word[1]]));
                expected = (expected & 0xffff) + (expected >> 16);
            }
            assert_eq!(u32::from(fold(sum(&bytes[..length]))), expected, "{length} bytes");
        }
        assert_eq!(fold(sum(&[0xff; 65_535])), fold(u64::from(u16::from_ne_bytes([0xff, 0])))); // all ones is zero
        assert_eq!(fold(u64::MAX), 0xffff);
    }

    #[test]
    fn incremental_update_equals_full_computation() {
        for seed in 0..2000u32 {
            let mut bytes: Vec<u8> =
                (0..40u32).map(|i| (seed.wrapping_mul(2654435761) >> (i % 24)) as u8 ^ i as u8).collect();
            bytes[16..18].fill(0);
            let full = !fold(sum(&bytes));
            bytes[16..18].copy_from_slice(&full.to_ne_bytes());
            let old = sum(&bytes[4..8]);
            bytes[4..8].copy_from_slice(&(seed.wrapping_mul(40503)).to_be_bytes());
            let new = sum(&bytes[4..8]);
            adjust_finished(&mut bytes[16..18], change(old, new));
            assert!(is_valid(&bytes, 0), "seed {seed}");
        }
    }

    #[test]
    fn unfinished_sum_follows_the_addresses() {
        let a: IpAddr = "10.0.0.1".parse().unwrap();
        let b: IpAddr = "100.64.3.4".parse().unwrap();
        let c: IpAddr = "192.0.2.9".parse().unwrap();
        let mut field = fold(pseudo_header(a, b, 6, 1000)).to_ne_bytes();
        adjust_unfinished(&mut field, change(address(b), address(c)));
        assert_eq!(u16::from_ne_bytes(field), fold(pseudo_header(a, c, 6, 1000)));
    }
}
