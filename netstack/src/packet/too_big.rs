//! "Packet too big": told to the device about what it sent, and to an internal host about what it would send
//! (RFC 1191, RFC 8201).

use std::net::SocketAddr;

use super::facts::{Facts, Transport};
use super::{TCP, checksum, refusal};

/// ICMP destination unreachable, fragmentation needed and DF set (RFC 792).
const FRAGMENTATION_NEEDED: [u8; 2] = [3, 4];
/// ICMPv6 packet too big (RFC 4443, section 3.2).
const PACKET_TOO_BIG: [u8; 2] = [2, 0];
/// No IPv6 link carries less; a host that is told less keeps to this (RFC 8200, section 5; RFC 8201, section 4).
pub const LEAST_IPV6: usize = 1_280;
/// Bytes of transport header that an error quotes at the least (RFC 792): ports and TCP's sequence number.
const QUOTED_TRANSPORT: usize = 8;

/// Writes the answer to `packet`, which was too long: only `mtu` bytes pass, for IPv6 never less than 1,280. It comes
/// from where the packet was going. Returns its length in `out` (at least [`refusal::LARGEST`] bytes); `None`: an ICMP
/// error is never answered by one (RFC 1122, section 3.2.2).
pub fn write(out: &mut [u8], packet: &[u8], facts: &Facts, mtu: usize) -> Option<usize> {
    if facts.transport == Transport::Error {
        return None;
    }
    let rest = told(mtu, facts.is_ipv6());
    refusal::write_error(out, [FRAGMENTATION_NEEDED, PACKET_TOO_BIG], rest, &packet[..facts.length], facts)
}

/// A packet from an internal host that would be too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// TCP or UDP (IANA number).
    pub protocol: u8,
    /// The internal host.
    pub source: SocketAddr,
    /// Our end of the flow in the tunnel.
    pub destination: SocketAddr,
    /// Of TCP: what the device expects next, which the host has sent or is about to send; hosts take no other
    /// (RFC 5927, section 4.1).
    pub sequence: u32,
    /// How long it would be in bytes.
    pub length: u16,
}

/// Writes the error that tells an internal host that only `mtu` bytes of such packets reach us; returns its length.
/// `None` when the families differ or there is no room.
pub fn write_to_host(out: &mut [u8], quoted: &Quoted, mtu: usize) -> Option<usize> {
    let mut packet = [0; 40 + QUOTED_TRANSPORT];
    let (from, to) = (quoted.source, quoted.destination);
    let header =
        refusal::write_network_header(&mut packet, from.ip(), to.ip(), quoted.protocol, QUOTED_TRANSPORT)?;
    let is_ipv6 = from.is_ipv6();
    if is_ipv6 {
        let length = quoted.length.saturating_sub(40).to_be_bytes();
        packet[4..6].copy_from_slice(&length);
    } else {
        packet[2..4].copy_from_slice(&quoted.length.to_be_bytes());
        checksum::write_ipv4_header(&mut packet, header);
    }
    let transport = &mut packet[header..header + QUOTED_TRANSPORT];
    transport[..2].copy_from_slice(&from.port().to_be_bytes());
    transport[2..4].copy_from_slice(&to.port().to_be_bytes());
    match quoted.protocol {
        TCP => transport[4..8].copy_from_slice(&quoted.sequence.to_be_bytes()),
        _ => transport[4..6].copy_from_slice(&quoted.length.saturating_sub(header as u16).to_be_bytes()),
    }
    let code = if is_ipv6 { PACKET_TOO_BIG } else { FRAGMENTATION_NEEDED };
    let rest = told(mtu, is_ipv6).to_be_bytes();
    let parts: [&[u8]; 4] = [&code, &[0; 2], &rest, &packet[..header + QUOTED_TRANSPORT]];
    refusal::write_icmp(out, to.ip(), from.ip(), &parts)
}

/// The header's second word: for IPv4 the MTU is its lower half (RFC 1191, section 4).
fn told(mtu: usize, is_ipv6: bool) -> u32 {
    let least = if is_ipv6 { LEAST_IPV6 } else { 0 };
    u32::from(u16::try_from(mtu.max(least)).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::facts::Tcp;
    use crate::packets_for_tests::{at, sound, udp};

    fn words(error: &[u8]) -> ([u8; 2], u32, Facts) {
        let at = sound(error).transport_at;
        let rest = u32::from_be_bytes([error[at + 4], error[at + 5], error[at + 6], error[at + 7]]);
        ([error[at], error[at + 1]], rest, Facts::parse_quoted(&error[at + 8..]).unwrap())
    }

    #[test]
    fn the_device_is_told_the_size_that_passes() {
        for (packet, mtu, code, size) in [
            (udp("100.64.0.1:7", "100.64.0.2:9", &[1; 1_300]), 928, FRAGMENTATION_NEEDED, 928),
            (udp("[fd99::1]:7", "[fd99::2]:9", &[1; 1_300]), 1_300, PACKET_TOO_BIG, 1_300),
            (udp("[fd99::1]:7", "[fd99::2]:9", &[1; 1_300]), 928, PACKET_TOO_BIG, 1_280),
        ] {
            let (mut out, facts) = ([0; refusal::LARGEST], sound(&packet));
            let length = write(&mut out, &packet, &facts, mtu).unwrap();
            let (kind, rest, quoted) = words(&out[..length]);
            assert_eq!((kind, rest, quoted.ports()), (code, size, Some((7, 9))));
            assert_eq!(sound(&out[..length]).destination, facts.source);
            assert_eq!(write(&mut [0; 1_400], &out[..length], &sound(&out[..length]), 500), None);
        }
    }

    #[test]
    fn a_host_is_told_with_its_flow_and_the_exact_sequence_number() {
        for (source, destination, size) in
            [("10.77.9.1:80", "10.77.0.3:4000", 928), ("[fd77::9:1]:80", "[fd77::3]:4000", 1_280)]
        {
            let (source, destination) = (at(source), at(destination));
            let quoted = Quoted { protocol: TCP, source, destination, sequence: 0xfeed_beef, length: 1_420 };
            let mut out = [0; 120];
            let length = write_to_host(&mut out, &quoted, 928).unwrap();
            let (_, rest, inner) = words(&out[..length]);
            let Transport::Tcp(Tcp { source: from, destination: to, sequence, .. }) = inner.transport else {
                panic!()
            };
            assert_eq!((rest, from, to, sequence), (size, 80, 4_000, 0xfeed_beef));
            assert_eq!((inner.source, inner.destination), (source.ip(), destination.ip()));
            let outer = sound(&out[..length]);
            assert_eq!((outer.source, outer.destination), (destination.ip(), source.ip()));
        }
    }

    #[test]
    fn a_quoted_datagram_says_its_length() {
        let (source, destination) = (at("10.77.9.1:80"), at("10.77.0.3:4000"));
        let quoted = Quoted { protocol: super::super::UDP, source, destination, sequence: 0, length: 1_420 };
        let mut out = [0; 120];
        let length = write_to_host(&mut out, &quoted, 928).unwrap();
        assert_eq!(out[28 + 24..28 + 28], [0x05, 0x78, 0, 0]); // 1,400
        assert_eq!(out[28 + 2..28 + 4], 1_420u16.to_be_bytes());
        assert_eq!(length, 56);
    }
}
