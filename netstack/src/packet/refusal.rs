//! Packets that explain themselves: a TCP reset or an ICMP error in answer to what is refused.

use std::net::{IpAddr, SocketAddr};

use super::checksum;
use super::facts::{Facts, Tcp, Transport};

/// Hop limit of packets that we originate.
const HOP_LIMIT: u8 = 64;
/// How much of the refused packet an ICMP error quotes: within 576 bytes for IPv4 (RFC 1812, section 4.3.2.3).
const QUOTED: usize = 528;
/// ICMP destination unreachable, communication administratively prohibited (RFC 1812, section 5.2.7.1).
const PROHIBITED_V4: [u8; 2] = [3, 13];
/// ICMPv6 destination unreachable, administratively prohibited (RFC 4443, section 3.1).
const PROHIBITED_V6: [u8; 2] = [1, 1];
/// ICMP destination unreachable, host unreachable (RFC 792).
const HOST_UNREACHABLE_V4: [u8; 2] = [3, 1];
/// ICMPv6 destination unreachable, address unreachable (RFC 4443, section 3.1).
const ADDRESS_UNREACHABLE_V6: [u8; 2] = [1, 3];
/// ICMP destination unreachable, port unreachable (RFC 792).
const PORT_UNREACHABLE_V4: [u8; 2] = [3, 3];
/// ICMPv6 destination unreachable, port unreachable (RFC 4443, section 3.1).
const PORT_UNREACHABLE_V6: [u8; 2] = [1, 4];
/// ICMP time exceeded in transit (RFC 792).
const TIME_EXCEEDED_V4: [u8; 2] = [11, 0];
/// ICMPv6 time exceeded, hop limit exceeded in transit (RFC 4443, section 3.3).
const TIME_EXCEEDED_V6: [u8; 2] = [3, 0];

/// Largest packet that this file writes, in bytes.
pub const LARGEST: usize = 40 + 8 + QUOTED;

/// A TCP reset to be built: who seems to send it, to whom, and its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// Whom the reset seems to come from.
    pub source: SocketAddr,
    /// Who gets it.
    pub destination: SocketAddr,
    /// Its sequence number: exactly what the receiver expects next (RFC 5961, section 3.2).
    pub sequence: u32,
    /// Its acknowledgement number, when it carries one.
    pub acknowledgement: Option<u32>,
}

/// Writes the answer that refuses `packet` at once: a reset for TCP, ICMP "administratively prohibited" for all else.
/// Returns its length in `out` (at least [`LARGEST`] bytes); `None` where an answer would be wrong: resets and ICMP
/// errors are never answered (RFC 1122, section 3.2.2).
pub fn write(out: &mut [u8], packet: &[u8], facts: &Facts) -> Option<usize> {
    match facts.transport {
        Transport::Tcp(tcp) => write_reset(out, &answering(facts, &tcp)?),
        Transport::Error => None,
        Transport::Udp { .. } | Transport::Echo { .. } | Transport::Fragment | Transport::Other => {
            write_error(out, [PROHIBITED_V4, PROHIBITED_V6], 0, &packet[..facts.length], facts)
        }
    }
}

/// Writes the answer that says that the host behind the destination cannot be reached now: ICMP for TCP too, which
/// ends an attempt to connect at once (RFC 5461, section 4.1). Otherwise as [`write()`].
pub fn write_unreachable(out: &mut [u8], packet: &[u8], facts: &Facts) -> Option<usize> {
    let is_answered = match facts.transport {
        Transport::Tcp(tcp) => !tcp.has(Tcp::RST),
        Transport::Error => false,
        Transport::Udp { .. } | Transport::Echo { .. } | Transport::Fragment | Transport::Other => true,
    };
    let codes = [HOST_UNREACHABLE_V4, ADDRESS_UNREACHABLE_V6];
    is_answered.then(|| write_error(out, codes, 0, &packet[..facts.length], facts))?
}

/// Whether an ICMP or ICMPv6 error says that nobody listens on the port.
pub fn is_port_unreachable(packet: &[u8], facts: &Facts) -> bool {
    let code = [PORT_UNREACHABLE_V4, PORT_UNREACHABLE_V6][usize::from(facts.is_ipv6())];
    packet.get(facts.transport_at..).is_some_and(|icmp| icmp.starts_with(&code))
}

/// Writes the answer that says that nobody listens on the port of a datagram. Otherwise as [`write()`].
pub fn write_port_unreachable(out: &mut [u8], packet: &[u8], facts: &Facts) -> Option<usize> {
    let codes = [PORT_UNREACHABLE_V4, PORT_UNREACHABLE_V6];
    write_error(out, codes, 0, &packet[..facts.length], facts)
}

/// Writes what the router `source` answers to a packet whose last hop it is. Otherwise as [`write()`].
pub fn write_time_exceeded(out: &mut [u8], source: IpAddr, packet: &[u8], facts: &Facts) -> Option<usize> {
    if facts.transport == Transport::Error {
        return None;
    }
    let codes = [TIME_EXCEEDED_V4, TIME_EXCEEDED_V6];
    write_error(out, codes, 0, &packet[..facts.length], &Facts { destination: source, ..*facts })
}

/// The reset that answers a segment (RFC 9293, section 3.10.7.1); none for a reset.
fn answering(facts: &Facts, tcp: &Tcp) -> Option<Reset> {
    if tcp.has(Tcp::RST) {
        return None;
    }
    let payload = facts.transport_length() - tcp.header_length;
    let counted = payload as u32 + u32::from(tcp.has(Tcp::SYN)) + u32::from(tcp.has(Tcp::FIN));
    let (sequence, acknowledgement) = if tcp.has(Tcp::ACK) {
        (tcp.acknowledgement, None)
    } else {
        (0, Some(tcp.sequence.wrapping_add(counted)))
    };
    Some(Reset {
        source: SocketAddr::new(facts.destination, tcp.destination),
        destination: SocketAddr::new(facts.source, tcp.source),
        sequence,
        acknowledgement,
    })
}

/// Writes a TCP reset and returns its length; `None` when the families differ.
pub fn write_reset(out: &mut [u8], reset: &Reset) -> Option<usize> {
    let transport_at = write_network_header(out, reset.source.ip(), reset.destination.ip(), super::TCP, 20)?;
    let tcp = &mut out[transport_at..transport_at + 20];
    tcp.fill(0);
    tcp[0..2].copy_from_slice(&reset.source.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&reset.destination.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&reset.sequence.to_be_bytes());
    tcp[12] = 5 << 4;
    tcp[13] = Tcp::RST;
    if let Some(acknowledgement) = reset.acknowledgement {
        tcp[8..12].copy_from_slice(&acknowledgement.to_be_bytes());
        tcp[13] |= Tcp::ACK;
    }
    let pseudo = checksum::pseudo_header(reset.source.ip(), reset.destination.ip(), super::TCP, 20);
    let sum = !checksum::fold(checksum::sum(tcp) + pseudo);
    tcp[16..18].copy_from_slice(&sum.to_ne_bytes());
    Some(transport_at + 20)
}

/// An ICMP error with type and code for IPv4 and for IPv6, and `rest` in the header's second word; it comes from where
/// `packet` was going.
pub(super) fn write_error(
    out: &mut [u8],
    codes: [[u8; 2]; 2],
    rest: u32,
    packet: &[u8],
    facts: &Facts,
) -> Option<usize> {
    let quoted = &packet[..packet.len().min(QUOTED)];
    let code = codes[usize::from(facts.is_ipv6())];
    write_icmp(out, facts.destination, facts.source, &[&code, &[0; 2], &rest.to_be_bytes(), quoted])
}

/// Writes an ICMP or ICMPv6 message whose parts are given, with zeros for the checksum, and returns the packet's
/// length; `None` when the families differ or there is no room.
pub(super) fn write_icmp(
    out: &mut [u8],
    source: IpAddr,
    destination: IpAddr,
    parts: &[&[u8]],
) -> Option<usize> {
    let length = parts.iter().map(|part| part.len()).sum();
    let protocol = if source.is_ipv6() { super::ICMPV6 } else { super::ICMP };
    let transport_at = write_network_header(out, source, destination, protocol, length)?;
    let icmp = &mut out[transport_at..transport_at + length];
    let mut at = 0;
    for part in parts {
        icmp[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    finish_icmp(icmp, source, destination);
    Some(transport_at + length)
}

/// Writes the checksum of an ICMP or ICMPv6 message that has zeros for it.
pub(super) fn finish_icmp(icmp: &mut [u8], source: IpAddr, destination: IpAddr) {
    let pseudo = match source.is_ipv6() {
        true => checksum::pseudo_header(source, destination, super::ICMPV6, icmp.len()),
        false => 0,
    };
    let sum = !checksum::fold(checksum::sum(icmp) + pseudo);
    icmp[2..4].copy_from_slice(&sum.to_ne_bytes());
}

/// Writes the IP header of a packet with `payload` bytes behind it and returns the header's length.
pub(super) fn write_network_header(
    out: &mut [u8],
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: usize,
) -> Option<usize> {
    match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) if out.len() >= 20 + payload => {
            out[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, HOP_LIMIT, protocol, 0, 0]);
            out[2..4].copy_from_slice(&((20 + payload) as u16).to_be_bytes());
            out[12..16].copy_from_slice(&from.octets());
            out[16..20].copy_from_slice(&to.octets());
            checksum::write_ipv4_header(out, 20);
            Some(20)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) if out.len() >= 40 + payload => {
            out[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, protocol, HOP_LIMIT]);
            out[4..6].copy_from_slice(&(payload as u16).to_be_bytes());
            out[8..24].copy_from_slice(&from.octets());
            out[24..40].copy_from_slice(&to.octets());
            Some(40)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(packet: &[u8]) -> Option<(Vec<u8>, Facts)> {
        let mut out = [0; LARGEST];
        let length = write(&mut out, packet, &Facts::parse(packet).unwrap())?;
        let bytes = out[..length].to_vec();
        let facts = Facts::parse(&bytes).unwrap();
        let pseudo = match facts.protocol {
            super::super::ICMP => 0,
            protocol => {
                checksum::pseudo_header(facts.source, facts.destination, protocol, facts.transport_length())
            }
        };
        assert!(checksum::is_valid(&bytes[facts.transport_at..], pseudo));
        Some((bytes, facts))
    }

    #[test]
    fn a_syn_is_answered_by_a_reset_that_acknowledges_it() {
        let mut packet = Vec::new();
        etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 9)
            .tcp(1000, 22, 41, 9)
            .syn()
            .write(&mut packet, &[])
            .unwrap();
        let (_, facts) = answer(&packet).unwrap();
        let Transport::Tcp(tcp) = facts.transport else { panic!() };
        assert_eq!((tcp.source, tcp.destination, tcp.acknowledgement), (22, 1000, 42));
        assert_eq!(tcp.flags, Tcp::RST | Tcp::ACK);
    }

    #[test]
    fn udp_is_answered_by_prohibited_that_quotes_it() {
        for (v6, code) in [(false, PROHIBITED_V4), (true, PROHIBITED_V6)] {
            let mut packet = Vec::new();
            let builder = if v6 {
                etherparse::PacketBuilder::ipv6([1; 16], [2; 16], 9).udp(5, 6)
            } else {
                etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 9).udp(5, 6)
            };
            builder.write(&mut packet, &[0; 900]).unwrap();
            let (bytes, facts) = answer(&packet).unwrap();
            assert_eq!(facts.transport, Transport::Error);
            assert_eq!(bytes[facts.transport_at..facts.transport_at + 2], code);
            let quoted = Facts::parse_quoted(&bytes[facts.transport_at + 8..]).unwrap();
            assert_eq!(quoted.transport, Transport::Udp { source: 5, destination: 6 });
        }
    }

    #[test]
    fn resets_and_errors_are_not_answered() {
        let mut packet = Vec::new();
        etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 9)
            .tcp(1, 2, 3, 4)
            .rst()
            .write(&mut packet, &[])
            .unwrap();
        assert!(answer(&packet).is_none());
        let mut udp = Vec::new();
        etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 9).udp(5, 6).write(&mut udp, &[0; 9]).unwrap();
        let (error, _) = answer(&udp).unwrap();
        assert!(answer(&error).is_none());
    }
}
