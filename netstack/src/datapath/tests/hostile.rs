//! Whatever comes in from either side is data: no panic.

use proptest::prelude::*;

use super::world::*;
use crate::packet::facts::Tcp;
use crate::packet::virtio::HEADER_LEN;
use crate::packets_for_tests::{at, echo, fragments, tcp, udp};

/// Packets that the datapath takes when they are whole, from the device.
fn valid() -> Vec<Vec<u8>> {
    let large = udp("100.64.0.1:4000", "100.64.0.20:5000", &[1; 3_000]);
    let large6 = udp("[fd99::1]:4000", "[fd99::20]:5000", &[1; 3_000]);
    let mut packets = vec![
        tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]),
        tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::ACK, (11, 91), &[1; 5_000]),
        tcp("[fd99::1]:4000", "[fd99::20]:80", Tcp::SYN, (10, 0), &[]),
        udp("100.64.0.1:4000", "100.64.0.53:53", b"question"),
        tcp("100.64.0.1:4000", "100.64.0.53:53", Tcp::SYN, (10, 0), &[]),
        echo(DEVICE, WIKI, 77, true),
        echo(DEVICE6, WIKI6, 77, true),
    ];
    packets.extend(fragments(&large, 1_420, 5));
    packets.extend(fragments(&large6, 1_420, 5));
    packets
}

/// The same from the tunnel; answers to what [`valid`] began, and an ICMP error about it.
fn valid_answers() -> Vec<Vec<u8>> {
    let sent = tcp("10.77.0.3:4000", "10.77.9.1:80", Tcp::SYN, (10, 0), &[]);
    let mut error = udp("10.77.9.1:5000", "10.77.0.3:4000", &sent);
    error[9] = crate::packet::ICMP;
    crate::packet::checksum::write_ipv4_header(&mut error, 20);
    error[20..28].copy_from_slice(&[3, 3, 0, 0, 0, 0, 0, 0]);
    let sum = !crate::packet::checksum::fold(crate::packet::checksum::sum(&error[20..]));
    error[22..24].copy_from_slice(&sum.to_ne_bytes());
    let mut packets = vec![
        tcp("10.77.9.1:80", "10.77.0.3:4000", Tcp::SYN | Tcp::ACK, (90, 11), &[]),
        tcp("10.77.9.1:80", "10.77.0.3:4000", Tcp::ACK, (91, 11), &[1; 900]),
        udp("[fd77::9:1]:5000", "[fd77::3]:4000", &[1; 90]),
        echo(HOST, LOCAL, 77, false),
        error,
    ];
    packets.extend(fragments(&udp("10.77.9.1:5000", "10.77.0.3:4000", &[1; 3_000]), 1_420, 5));
    packets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_frames_and_datagrams_never_panic(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..20),
        stride in 0usize..200,
    ) {
        let mut world = World::new();
        for mut frame in frames {
            world.datapath.handle_network_input(at("192.0.2.1:51820"), &frame, stride, world.now);
            world.datapath.handle_tun_input(&mut frame, world.now);
            if !frame.is_empty() {
                world.gateway_sends(&[frame]);
            }
        }
        world.pump();
        world.discard_frames();
    }

    #[test]
    fn mutated_packets_with_arbitrary_offload_facts_never_panic(
        header in proptest::option::of(any::<[u8; HEADER_LEN]>()),
        start in 0u16..80,
        size in 0u16..1_500,
        mutations in proptest::collection::vec((0usize..120, any::<u8>()), 0..6),
        cut in 0usize..200,
    ) {
        let mut world = World::new();
        for packet in valid() {
            let mut frame = vec![1, 1, 0, 0, size as u8, (size >> 8) as u8, start as u8, 0, 16, 0];
            if let Some(header) = header {
                frame.copy_from_slice(&header);
            }
            frame.extend(mutated(packet, &mutations, cut));
            world.datapath.handle_tun_input(&mut frame, world.now);
            world.lose();
            world.discard_frames();
        }
    }

    #[test]
    fn mutated_answers_never_panic(
        mutations in proptest::collection::vec((0usize..120, any::<u8>()), 0..6),
        cut in 0usize..40,
    ) {
        let mut world = World::new();
        for packet in valid() {
            world.device_sends(&packet);
        }
        world.pump();
        for packet in valid_answers() {
            world.gateway_sends(&[mutated(packet, &mutations, cut)]);
            world.discard_frames();
        }
    }
}

/// With bytes set to other values, and cut short.
fn mutated(mut packet: Vec<u8>, mutations: &[(usize, u8)], cut: usize) -> Vec<u8> {
    for (at, value) in mutations {
        if let Some(byte) = packet.get_mut(*at) {
            *byte = *value;
        }
    }
    packet.truncate((packet.len() - cut.min(packet.len())).max(1));
    packet
}

#[test]
fn unmutated_packets_all_pass() {
    let mut world = World::new();
    for packet in valid() {
        world.device_sends(&packet);
    }
    // all but those for the resolver, and the long segment in four
    assert_eq!(world.pump().len(), valid().len() - 2 + 3);
    world.frames();
    for packet in valid_answers() {
        world.gateway_sends(std::slice::from_ref(&packet));
        assert_eq!(world.frames().len(), 1, "{packet:?}");
    }
}
