//! What several tests of this crate build: the start of a fake clock, and packets with right checksums.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use etherparse::PacketBuilder;

use crate::packet::checksum;
use crate::packet::facts::{Facts, Tcp, Transport};

/// The start of a fake clock: any instant will do.
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test")]
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

/// Cuts a packet into fragments of at most `mtu` bytes, as a sender would.
pub(crate) fn fragments(packet: &[u8], mtu: usize, id: u32) -> Vec<Vec<u8>> {
    let is_ipv6 = packet[0] >> 4 == 6;
    let (header, extra) = if is_ipv6 { (40, 8) } else { (20, 0) };
    let size = (mtu - header - extra) / 8 * 8;
    let count = (packet.len() - header).div_ceil(size);
    let cut = |(index, part): (usize, &[u8])| {
        let (offset, more) = ((index * size) as u16, u16::from(index + 1 < count));
        let mut fragment = packet[..header].to_vec();
        if is_ipv6 {
            fragment[6] = 44;
            fragment.extend([packet[6], 0]);
            fragment.extend((offset | more).to_be_bytes());
            fragment.extend(id.to_be_bytes());
            fragment.extend(part);
            let length = (fragment.len() - 40) as u16;
            fragment[4..6].copy_from_slice(&length.to_be_bytes());
        } else {
            fragment.extend(part);
            let length = fragment.len() as u16;
            fragment[2..4].copy_from_slice(&length.to_be_bytes());
            fragment[4..6].copy_from_slice(&(id as u16).to_be_bytes());
            fragment[6..8].copy_from_slice(&((offset / 8) | (more << 13)).to_be_bytes());
            checksum::write_ipv4_header(&mut fragment, 20);
        }
        fragment
    };
    packet[header..].chunks(size).enumerate().map(cut).collect()
}

/// Puts fragments, in order, together again.
pub(crate) fn reassembled(fragments: &[Vec<u8>]) -> Vec<u8> {
    let is_ipv6 = fragments[0][0] >> 4 == 6;
    let header = if is_ipv6 { 48 } else { 20 };
    let mut packet = fragments[0][..header].to_vec();
    fragments.iter().for_each(|fragment| packet.extend(&fragment[header..]));
    if is_ipv6 {
        packet[6] = packet[40];
        packet.drain(40..48);
        let length = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
    } else {
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet[6..8].fill(0);
        checksum::write_ipv4_header(&mut packet, 20);
    }
    packet
}
