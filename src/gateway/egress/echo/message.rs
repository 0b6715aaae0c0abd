//! Echo messages (RFC 792, RFC 4443 section 4): written and read.

/// Bytes before the payload.
pub(super) const HEADER: usize = 8;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// A request. The IPv6 checksum is the kernel's, which knows the addresses.
pub(super) fn request(is_ipv6: bool, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + payload.len());
    message.extend_from_slice(&[if is_ipv6 { REQUEST_V6 } else { REQUEST_V4 }, 0, 0, 0]);
    message.extend_from_slice(&identifier.to_be_bytes());
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(payload);
    if !is_ipv6 {
        let checksum = checksum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    message
}

/// Identifier, sequence number and payload of a reply; `None` for anything else.
pub(super) fn reply(is_ipv6: bool, message: &[u8]) -> Option<(u16, u16, &[u8])> {
    let kind = if is_ipv6 { REPLY_V6 } else { REPLY_V4 };
    let (header, payload) = message.split_at_checked(HEADER)?;
    let be16 = |at: usize| Some(u16::from_be_bytes([*header.get(at)?, *header.get(at + 1)?]));
    (header.first() == Some(&kind)).then_some((be16(4)?, be16(6)?, payload))
}

/// The message behind an IPv4 header, which raw sockets give as well.
pub(super) fn behind_ipv4(packet: &[u8]) -> Option<&[u8]> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    packet.get(length..)
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_and_its_reply_is_read() {
        let mut message = request(false, 0x1234, 7, b"hello");
        assert_eq!(checksum(&message), 0);
        assert_eq!(reply(false, &message), None, "a request is no reply");
        message[0] = REPLY_V4;
        assert_eq!(reply(false, &message), Some((0x1234, 7, &b"hello"[..])));
        let packet = [&[0x46; 24][..], &message].concat();
        assert_eq!(behind_ipv4(&packet), Some(message.as_slice()));
        assert_eq!(reply(true, &[129, 0, 0, 0, 0, 1, 0, 2]), Some((1, 2, &[][..])));
        assert_eq!((reply(false, &[0; 7]), behind_ipv4(&[0x4f])), (None, None));
    }
}
