//! UDP packets of our own: answers of the resolver and its queries into tunnels.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::checksum;
use super::facts::{Facts, Transport};

/// Hop limit of packets that we originate (RFC 1700's default, as Linux).
const HOP_LIMIT: u8 = 64;

/// Bytes of IP and UDP headers before the payload for that family.
pub fn header_length(is_ipv6: bool) -> usize {
    if is_ipv6 { 48 } else { 28 }
}

/// Writes a whole UDP packet into `out` and returns its length; `None` when the families differ or it does not fit.
pub fn write(out: &mut [u8], source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Option<usize> {
    let headers = header_length(source.is_ipv6());
    let length = headers + payload.len();
    if out.len() < length || length > usize::from(u16::MAX) {
        return None;
    }
    let out = &mut out[..length];
    let udp_length = (length - headers + 8) as u16;
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, HOP_LIMIT, super::UDP, 0, 0]);
            out[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            out[12..16].copy_from_slice(&from.octets());
            out[16..20].copy_from_slice(&to.octets());
            checksum::write_ipv4_header(out, 20);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            out[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, super::UDP, HOP_LIMIT]);
            out[4..6].copy_from_slice(&udp_length.to_be_bytes());
            out[8..24].copy_from_slice(&from.octets());
            out[24..40].copy_from_slice(&to.octets());
        }
        _ => return None,
    }
    let udp = &mut out[headers - 8..];
    udp[0..2].copy_from_slice(&source.port().to_be_bytes());
    udp[2..4].copy_from_slice(&destination.port().to_be_bytes());
    udp[4..6].copy_from_slice(&udp_length.to_be_bytes());
    udp[6..8].fill(0);
    udp[8..].copy_from_slice(payload);
    let pseudo = checksum::pseudo_header(source.ip(), destination.ip(), super::UDP, udp.len());
    let checksum = match !checksum::fold(checksum::sum(udp) + pseudo) {
        0 => 0xffff, // zero means "none" (RFC 768)
        sum => sum,
    };
    udp[6..8].copy_from_slice(&checksum.to_ne_bytes());
    Some(length)
}

/// The facts of a packet of `length` bytes that [`write()`] made.
pub fn facts(source: SocketAddr, destination: SocketAddr, length: usize) -> Facts {
    Facts {
        source: source.ip(),
        destination: destination.ip(),
        protocol: super::UDP,
        transport_at: header_length(source.is_ipv6()) - 8,
        length,
        transport: Transport::Udp { source: source.port(), destination: destination.port() },
    }
}

/// Where the payload of a UDP packet stands: its own length counts, not that of the packet (RFC 9868, section 5).
pub fn payload(packet: &[u8], facts: &Facts) -> Option<Range<usize>> {
    let at = facts.transport_at;
    let field = packet.get(at + 4..at + 6)?;
    let end = at + usize::from(u16::from_be_bytes([field[0], field[1]]));
    (end >= at + 8 && end <= facts.length).then_some(at + 8..end)
}

/// Whether the UDP checksum of a packet is right, or rightly absent (RFC 768, RFC 8200 section 8.1).
pub fn is_checksum_valid(packet: &[u8], facts: &Facts) -> bool {
    let Some(payload) = payload(packet, facts) else { return false };
    let udp = &packet[facts.transport_at..payload.end];
    if udp[6..8] == [0, 0] {
        return !facts.is_ipv6();
    }
    let pseudo = checksum::pseudo_header(facts.source, facts.destination, super::UDP, udp.len());
    checksum::is_valid(udp, pseudo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::facts::Transport;

    #[test]
    fn writes_packets_that_etherparse_accepts() {
        for (source, destination) in [("10.0.0.1:53", "10.0.0.2:9999"), ("[fd00::1]:53", "[fd00::2]:9999")] {
            let (source, destination): (SocketAddr, SocketAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());
            let mut out = [0; 200];
            let length = write(&mut out, source, destination, b"question").unwrap();
            let facts = Facts::parse(&out[..length]).unwrap();
            assert_eq!(facts.transport, Transport::Udp { source: 53, destination: 9999 });
            let pseudo =
                checksum::pseudo_header(facts.source, facts.destination, 17, facts.transport_length());
            assert!(checksum::is_valid(&out[facts.transport_at..length], pseudo));
        }
    }

    #[test]
    fn what_stands_behind_the_udp_length_is_no_payload() {
        let mut packet = crate::packets_for_tests::udp("10.0.0.1:53", "10.0.0.2:99", b"question");
        packet.extend(b"surplus!");
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        let facts = Facts::parse(&packet).unwrap();
        assert_eq!(packet[payload(&packet, &facts).unwrap()], *b"question");
        assert!(is_checksum_valid(&packet, &facts));
        packet[30] ^= 1;
        assert!(!is_checksum_valid(&packet, &facts));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let (v4, v6) = ("10.0.0.1:53".parse().unwrap(), "[fd00::1]:53".parse().unwrap());
        assert_eq!(write(&mut [0; 30], v4, v4, b"question"), None);
        assert_eq!(write(&mut [0; 300], v4, v6, b"question"), None);
    }
}
