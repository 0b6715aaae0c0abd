//! Any bytes as frames of the TUN: what is read agrees with another reader, and what is written is sound.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use model::bench::Bench;
use model::pieces::pieces;
use netstack::packet::facts::{Facts, Transport};
use netstack::packet::virtio::HEADER_LEN;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

// Frames, each behind its length; the device sends them one after the other to a gateway that is there.
fuzz_target!(|bytes: &[u8]| {
    let mut bench = Bench::with_session();
    for frame in pieces(bytes).take(32) {
        if let Some(facts) = frame.get(HEADER_LEN..).and_then(Facts::parse) {
            compare(&frame[HEADER_LEN..], &facts);
        }
        bench.device_sends(&mut frame.to_vec());
    }
});

/// Both readers see the same addresses, ports and numbers.
fn compare(packet: &[u8], facts: &Facts) {
    assert!(facts.transport_at <= facts.length && facts.length <= packet.len());
    let (body, protocol) = match facts.is_ipv6() {
        false => {
            let other = Ipv4Packet::new_checked(packet).expect("IPv4 for one reader only");
            assert_eq!((facts.source, facts.destination), (other.src_addr().into(), other.dst_addr().into()));
            assert_eq!(facts.length, usize::from(other.total_len()));
            let is_part = other.more_frags() || other.frag_offset() > 0;
            assert_eq!(facts.transport == Transport::Fragment, is_part);
            (&packet[facts.transport_at..facts.length], other.next_header())
        }
        true => {
            let other = Ipv6Packet::new_checked(packet).expect("IPv6 for one reader only");
            assert_eq!((facts.source, facts.destination), (other.src_addr().into(), other.dst_addr().into()));
            assert_eq!(facts.length, other.total_len());
            let has_extensions = facts.transport_at > 40;
            if !has_extensions {
                assert_eq!(other.next_header(), IpProtocol::from(facts.protocol));
            }
            (&packet[facts.transport_at..facts.length], IpProtocol::from(facts.protocol))
        }
    };
    match facts.transport {
        Transport::Tcp(tcp) => {
            assert_eq!(protocol, IpProtocol::Tcp);
            let other = TcpPacket::new_checked(body).expect("TCP for one reader only");
            assert_eq!((tcp.source, tcp.destination), (other.src_port(), other.dst_port()));
            assert_eq!(
                (tcp.sequence, tcp.acknowledgement),
                (other.seq_number().0 as u32, other.ack_number().0 as u32)
            );
            assert_eq!(tcp.header_length, usize::from(other.header_len()));
            assert_eq!(tcp.has(netstack::packet::facts::Tcp::SYN), other.syn());
        }
        Transport::Udp { source, destination } => {
            assert_eq!(protocol, IpProtocol::Udp);
            let other = UdpPacket::new_checked(body).expect("UDP for one reader only");
            assert_eq!((source, destination), (other.src_port(), other.dst_port()));
        }
        Transport::Echo { .. } | Transport::Error | Transport::Fragment | Transport::Other => {}
    }
}
