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
    if facts.source.is_ipv4() != to.source.is_ipv4() || facts.source.is_ipv4() != to.destination.is_ipv4() {
        return false;
    }
    let old = checksum::address(facts.source) + checksum::address(facts.destination);
    let new = checksum::address(to.source) + checksum::address(to.destination);
    write_addresses(packet, to.source, to.destination, old, new);
    let (old_ports, new_ports) = write_ports(packet, facts, to);
    let Some(field) = facts.checksum_at().filter(|_| facts.transport != Transport::Fragment) else {
        return true;
    };
    let covers_addresses = facts.protocol != crate::packet::ICMP;
    let (old, new) = if covers_addresses { (old, new) } else { (0, 0) };
    let field = &mut packet[field..field + 2];
    match facts.protocol {
        crate::packet::UDP if field == [0, 0] && !is_unfinished => {} // none was computed (RFC 768)
        _ if is_unfinished => checksum::adjust_unfinished(field, old, new),
        _ => {
            checksum::adjust_finished(field, old + old_ports, new + new_ports);
            if facts.protocol == crate::packet::UDP && field == [0, 0] {
                field.fill(0xff);
            }
        }
    }
    true
}

fn write_addresses(packet: &mut [u8], source: IpAddr, destination: IpAddr, old: u64, new: u64) {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet[12..16].copy_from_slice(&source.octets());
            packet[16..20].copy_from_slice(&destination.octets());
            checksum::adjust_finished(&mut packet[10..12], old, new);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet[8..24].copy_from_slice(&source.octets());
            packet[24..40].copy_from_slice(&destination.octets());
        }
        _ => {}
    }
}

/// Writes the ports and returns the sums of the old and the new ones.
fn write_ports(packet: &mut [u8], facts: &Facts, to: &Translation) -> (u64, u64) {
    let at = facts.transport_at;
    let (mut old, mut new) = (0, 0);
    let mut write = |at: usize, port: Option<u16>| {
        let Some(port) = port else { return };
        old += checksum::sum(&packet[at..at + 2]);
        packet[at..at + 2].copy_from_slice(&port.to_be_bytes());
        new += checksum::word(port);
    };
    match facts.transport {
        Transport::Tcp(_) | Transport::Udp { .. } => {
            write(at, to.source_port);
            write(at + 2, to.destination_port);
        }
        Transport::Echo { .. } => write(at + 4, to.source_port.or(to.destination_port)),
        Transport::Error | Transport::Fragment | Transport::Other => {}
    }
    (old, new)
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
