//! Translation of addresses and ports in place, checksums included (RFC 3022, section 4.2).

pub(crate) mod quoted;

use std::net::IpAddr;

use crate::packet::checksum;
use crate::packet::facts::{Facts, Transport};

/// What a packet's ends become. A port is that of TCP or UDP, or the identifier of an echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Translation {
    /// New source address.
    pub(crate) source: IpAddr,
    /// New destination address.
    pub(crate) destination: IpAddr,
    /// New source port.
    pub(crate) source_port: Option<u16>,
    /// New destination port.
    pub(crate) destination_port: Option<u16>,
}

/// Rewrites `packet` in place. `is_unfinished`: its transport checksum is the pseudo-header's sum that offload leaves.
/// False when families differ; the packet is then as it was.
pub(crate) fn translate(packet: &mut [u8], facts: &Facts, to: &Translation, is_unfinished: bool) -> bool {
    let Some(of_addresses) = write_addresses(packet, facts, to) else { return false };
    let of_ports = write_ports(packet, facts, to);
    let is_fragment = matches!(facts.transport, Transport::Fragment);
    let Some(field) = facts.checksum_at().filter(|_| !is_fragment) else { return true };
    let of_addresses = if facts.protocol == crate::packet::ICMP { 0 } else { of_addresses };
    let field = &mut packet[field..field + 2];
    match facts.protocol {
        crate::packet::UDP if field == [0, 0] && !is_unfinished => {} // none was computed (RFC 768)
        _ if is_unfinished => checksum::adjust_unfinished(field, of_addresses),
        _ => {
            checksum::adjust_finished(field, of_addresses + of_ports);
            if facts.protocol == crate::packet::UDP && field == [0, 0] {
                field.fill(0xff);
            }
        }
    }
    true
}

/// By how much the sum of the addresses changes. `None`: the families differ, and nothing was written.
fn write_addresses(packet: &mut [u8], facts: &Facts, to: &Translation) -> Option<u64> {
    match (facts.is_ipv6(), to.source, to.destination) {
        (false, IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header: &mut [u8; 20] = packet.first_chunk_mut()?;
            let change = write(&mut header[12..], [source.octets(), destination.octets()].as_flattened());
            checksum::adjust_finished(&mut header[10..12], change);
            Some(change)
        }
        (true, IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header: &mut [u8; 40] = packet.first_chunk_mut()?;
            Some(write(&mut header[8..], [source.octets(), destination.octets()].as_flattened()))
        }
        _ => None,
    }
}

/// Writes `new` over bytes of the same length; by how much their sum changes.
#[inline]
fn write(bytes: &mut [u8], new: &[u8]) -> u64 {
    let change = checksum::change(checksum::sum(bytes), checksum::sum(new));
    bytes.copy_from_slice(new);
    change
}

/// By how much the sum of the ports changes; most often they stay.
fn write_ports(packet: &mut [u8], facts: &Facts, to: &Translation) -> u64 {
    let at = facts.transport_at;
    let mut change = 0;
    let mut put = |at: usize, port: Option<u16>| {
        if let Some(port) = port.map(u16::to_be_bytes).filter(|port| packet[at..at + 2] != *port) {
            change += write(&mut packet[at..at + 2], &port);
        }
    };
    match facts.transport {
        Transport::Tcp(_) | Transport::Udp { .. } => {
            put(at, to.source_port);
            put(at + 2, to.destination_port);
        }
        Transport::Echo { .. } => put(at + 4, to.source_port.or(to.destination_port)),
        Transport::Error | Transport::Fragment | Transport::Other => {}
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(packet: &[u8]) -> Facts {
        let facts = Facts::parse(packet).unwrap();
        let pseudo = match facts.protocol {
            crate::packet::ICMP => 0,
            protocol => {
                checksum::pseudo_header(facts.source, facts.destination, protocol, facts.transport_length())
            }
        };
        assert!(checksum::is_valid(&packet[facts.transport_at..], pseudo), "protocol {}", facts.protocol);
        if !facts.is_ipv6() {
            assert!(checksum::is_valid(&packet[..20], 0));
        }
        facts
    }

    #[test]
    fn translated_packets_have_right_checksums() {
        let v4 = || etherparse::PacketBuilder::ipv4([100, 64, 0, 1], [100, 64, 0, 9], 64);
        let v6 = || etherparse::PacketBuilder::ipv6([0xfd; 16], [0xfc; 16], 64);
        let mut packets = vec![Vec::new(); 6];
        v4().tcp(5, 6, 7, 8).write(&mut packets[0], b"abc").unwrap();
        v4().udp(5, 6).write(&mut packets[1], b"abc").unwrap();
        v4().icmpv4_echo_request(5, 1).write(&mut packets[2], b"abc").unwrap();
        v6().tcp(5, 6, 7, 8).write(&mut packets[3], b"abc").unwrap();
        v6().udp(5, 6).write(&mut packets[4], b"abcd").unwrap();
        v6().icmpv6_echo_request(5, 1).write(&mut packets[5], b"abc").unwrap();
        for mut packet in packets {
            let facts = valid(&packet);
            let (source, destination): (IpAddr, IpAddr) = match facts.is_ipv6() {
                false => ("10.77.0.3".parse().unwrap(), "10.77.9.1".parse().unwrap()),
                true => ("fd77::3".parse().unwrap(), "fd77:9::1".parse().unwrap()),
            };
            let to = Translation { source, destination, source_port: Some(4444), destination_port: None };
            assert!(translate(&mut packet, &facts, &to, false));
            let after = valid(&packet);
            assert_eq!((after.source, after.destination), (source, destination));
            assert_eq!(after.ports().unwrap().0, 4444);
        }
    }

    #[test]
    fn udp_without_a_checksum_stays_without() {
        let mut packet = Vec::new();
        etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 9).udp(5, 6).write(&mut packet, b"abc").unwrap();
        packet[26..28].fill(0);
        let facts = Facts::parse(&packet).unwrap();
        let to = Translation {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            source_port: None,
            destination_port: None,
        };
        assert!(translate(&mut packet, &facts, &to, false));
        assert_eq!(packet[26..28], [0, 0]);
    }

    #[test]
    fn families_do_not_mix() {
        let mut packet = Vec::new();
        etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 9).udp(5, 6).write(&mut packet, b"abc").unwrap();
        let before = packet.clone();
        let facts = Facts::parse(&packet).unwrap();
        let v6: IpAddr = "fd00::1".parse().unwrap();
        let to = Translation { source: v6, destination: v6, source_port: None, destination_port: None };
        assert!(!translate(&mut packet, &facts, &to, false));
        assert_eq!(packet, before);
    }
}
