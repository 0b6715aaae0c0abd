//! Echo requests of our own, which measure what a path carries, and replies (RFC 792, RFC 4443 section 4.1).

use std::net::IpAddr;

use super::facts::Facts;
use super::{checksum, refusal};

/// ICMP echo request (RFC 792), and ICMPv6's (RFC 4443, section 4.1).
const REQUEST: [u8; 2] = [8, 128];
/// ICMP echo reply (RFC 792), and ICMPv6's (RFC 4443, section 4.2).
const REPLY: [u8; 2] = [0, 129];

/// Bytes of its header.
const HEADER: usize = 8;

/// An echo request to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Our address in the tunnel.
    pub source: IpAddr,
    /// Who is to answer.
    pub destination: IpAddr,
    /// Identifier.
    pub id: u16,
    /// Sequence number.
    pub sequence: u16,
    /// Routers that may pass it on; 1: the gateway answers "time exceeded" by itself.
    pub hop_limit: u8,
}

/// Writes an echo request of `length` bytes, IP header included, that is not to be fragmented, and returns `length`;
/// `None` when the families differ, or it does not fit.
pub fn write(out: &mut [u8], request: &Request, length: usize) -> Option<usize> {
    let is_ipv6 = request.source.is_ipv6();
    let out = out.get_mut(..length)?;
    let icmp_length = length.checked_sub(if is_ipv6 { 40 } else { 20 }).filter(|rest| *rest >= HEADER)?;
    let protocol = if is_ipv6 { super::ICMPV6 } else { super::ICMP };
    let at = refusal::write_network_header(out, request.source, request.destination, protocol, icmp_length)?;
    out[if is_ipv6 { 7 } else { 8 }] = request.hop_limit;
    if !is_ipv6 {
        checksum::write_ipv4_header(out, at);
    }
    let icmp = &mut out[at..];
    icmp.fill(0);
    icmp[0] = REQUEST[usize::from(is_ipv6)];
    icmp[4..6].copy_from_slice(&request.id.to_be_bytes());
    icmp[6..8].copy_from_slice(&request.sequence.to_be_bytes());
    refusal::finish_icmp(icmp, request.source, request.destination);
    Some(length)
}

/// Writes the reply to a request with this identifier and sequence number, and returns its length; `None` when the
/// families differ, or it does not fit.
pub fn write_reply(
    out: &mut [u8],
    source: IpAddr,
    destination: IpAddr,
    (id, sequence): (u16, u16),
    payload: &[u8],
) -> Option<usize> {
    if HEADER + payload.len() > usize::from(u16::MAX) - 40 {
        return None;
    }
    let kind = [REPLY[usize::from(source.is_ipv6())], 0];
    let parts: [&[u8]; 5] = [&kind, &[0; 2], &id.to_be_bytes(), &sequence.to_be_bytes(), payload];
    refusal::write_icmp(out, source, destination, &parts)
}

/// The sequence number and the payload of an echo.
pub fn content<'a>(packet: &'a [u8], facts: &Facts) -> Option<(u16, &'a [u8])> {
    let (header, payload) = packet.get(facts.transport_at..facts.length)?.split_at_checked(HEADER)?;
    Some((u16::from_be_bytes([header[6], header[7]]), payload))
}

/// Whether the checksum of an ICMP message is right.
pub fn is_checksum_valid(packet: &[u8], facts: &Facts) -> bool {
    let Facts { source, destination, protocol, .. } = *facts;
    let pseudo = match facts.is_ipv6() {
        true => checksum::pseudo_header(source, destination, protocol, facts.transport_length()),
        false => 0,
    };
    packet.get(facts.transport_at..facts.length).is_some_and(|icmp| checksum::is_valid(icmp, pseudo))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::facts::Transport;
    use crate::packets_for_tests::{ip, sound};

    #[test]
    fn requests_are_sound_and_of_the_size_that_is_asked_for() {
        for (source, destination) in [("10.77.0.3", "10.77.0.53"), ("fd77::3", "fd77::53")] {
            let request = Request {
                source: ip(source),
                destination: ip(destination),
                id: 7,
                sequence: 9,
                hop_limit: 1,
            };
            for length in [48, 1_281, 1_420] {
                let mut out = [0xff; 1_500];
                assert_eq!(write(&mut out, &request, length), Some(length));
                let facts = sound(&out[..length]);
                assert_eq!(facts.transport, Transport::Echo { id: 7, is_request: true });
                assert_eq!(out[if facts.is_ipv6() { 7 } else { 8 }], 1);
            }
            assert_eq!(write(&mut [0; 1_500], &request, 27), None);
            assert_eq!(write(&mut [0; 100], &request, 101), None);
        }
    }

    #[test]
    fn replies_are_sound_and_say_what_was_asked() {
        for (source, destination) in [("10.77.0.53", "10.77.0.3"), ("fd77::53", "fd77::3")] {
            let mut out = [0xff; 1_500];
            let length = write_reply(&mut out, ip(source), ip(destination), (7, 9), b"abc").unwrap();
            let facts = sound(&out[..length]);
            assert_eq!(facts.transport, Transport::Echo { id: 7, is_request: false });
            assert_eq!(content(&out, &facts), Some((9, &b"abc"[..])));
            assert!(is_checksum_valid(&out, &facts));
            out[length - 1] ^= 1;
            assert!(!is_checksum_valid(&out, &facts));
            assert_eq!(write_reply(&mut out[..20], ip(source), ip(destination), (7, 9), b"abc"), None);
        }
    }
}
