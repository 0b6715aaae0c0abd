//! The Internet checksum (RFC 1071), and the IPv4 header's length and sum.

/// One's complement sum of `bytes`, not folded, in native byte order.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    let mut tail = [0; 4];
    tail[..words.remainder().len()].copy_from_slice(words.remainder());
    let whole: u64 =
        words.map(|word| u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))).sum();
    whole + u64::from(u32::from_ne_bytes(tail))
}

/// The sum in 16 bits.
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Sum of the pseudo-header of an IPv4 `packet` for a transport part of `length` bytes.
pub(crate) fn pseudo_header(packet: &[u8], length: usize) -> u64 {
    let length = u64::from(u16::from_ne_bytes((length as u16).to_be_bytes()));
    sum(&packet[12..20]) + u64::from(u16::from_ne_bytes([0, packet[9]])) + length
}

/// Writes total length and header checksum of an IPv4 packet whose header has `header` bytes.
pub(crate) fn finish_ipv4(packet: &mut [u8], header: usize) {
    let length = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    packet[10..12].fill(0);
    let checksum = !fold(sum(&packet[..header]));
    packet[10..12].copy_from_slice(&checksum.to_ne_bytes());
}
