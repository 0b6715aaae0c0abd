//! What several tests of this crate build: the start of a fake clock, and packets with right checksums.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use etherparse::PacketBuilder;

use crate::packet::checksum;
use crate::packet::facts::{Facts, Tcp, Transport};

/// The start of a fake clock: any instant will do.
#[allow(clippy::disallowed_methods)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// An address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An address with a port.
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A TCP segment.
pub(crate) fn tcp(from: &str, to: &str, flags: u8, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
    let (from, to) = (at(from), at(to));
    let builder = match (from.ip(), to.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => PacketBuilder::ipv4(a.octets(), b.octets(), 64),
        (IpAddr::V6(a), IpAddr::V6(b)) => PacketBuilder::ipv6(a.octets(), b.octets(), 64),
        _ => panic!("two families"),
    };
    let mut builder = builder.tcp(from.port(), to.port(), numbers.0, 65_000);
    if flags & Tcp::SYN != 0 {
        builder = builder.syn();
    }
    if flags & Tcp::ACK != 0 {
        builder = builder.ack(numbers.1);
    }
    if flags & Tcp::FIN != 0 {
        builder = builder.fin();
    }
    if flags & Tcp::RST != 0 {
        builder = builder.rst();
    }
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).unwrap();
    packet
}

/// A UDP packet.
pub(crate) fn udp(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; payload.len() + 48];
    let length = crate::packet::udp::write(&mut packet, at(from), at(to), payload).unwrap();
    packet.truncate(length);
    packet
}

/// An echo request or reply.
pub(crate) fn echo(from: &str, to: &str, id: u16, is_request: bool) -> Vec<u8> {
    let mut packet = Vec::new();
    match (ip(from), ip(to)) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let builder = PacketBuilder::ipv4(a.octets(), b.octets(), 64);
            match is_request {
                true => builder.icmpv4_echo_request(id, 1).write(&mut packet, b"echo"),
                false => builder.icmpv4_echo_reply(id, 1).write(&mut packet, b"echo"),
            }
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let builder = PacketBuilder::ipv6(a.octets(), b.octets(), 64);
            match is_request {
                true => builder.icmpv6_echo_request(id, 1).write(&mut packet, b"echo"),
                false => builder.icmpv6_echo_reply(id, 1).write(&mut packet, b"echo"),
            }
        }
        _ => panic!("two families"),
    }
    .unwrap();
    packet
}

/// The facts of a packet whose checksums are all right.
pub(crate) fn sound(packet: &[u8]) -> Facts {
    let facts = Facts::parse(packet).expect("a well-formed packet");
    assert_eq!(facts.length, packet.len());
    if !facts.is_ipv6() {
        let header = usize::from(packet[0] & 15) * 4;
        assert!(checksum::is_valid(&packet[..header], 0), "IPv4 header checksum");
    }
    if facts.transport == Transport::Fragment {
        return facts;
    }
    let pseudo = match facts.protocol {
        crate::packet::ICMP => 0,
        other => checksum::pseudo_header(facts.source, facts.destination, other, facts.transport_length()),
    };
    assert!(checksum::is_valid(&packet[facts.transport_at..], pseudo), "transport checksum");
    facts
}

/// The segment's facts.
pub(crate) fn tcp_facts(facts: &Facts) -> Tcp {
    let Transport::Tcp(tcp) = facts.transport else { panic!("not TCP: {facts:?}") };
    tcp
}
