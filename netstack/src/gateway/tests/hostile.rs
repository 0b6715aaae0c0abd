//! Whatever comes from strangers, from devices and from the inner side is data: no panic, no growth, no way around.

use proptest::prelude::*;

use super::world::*;
use crate::gateway::*;
use crate::packet::facts::{Facts, Tcp};
use crate::packet::virtio::HEADER_LEN;
use crate::packets_for_tests::{at, echo, fragments, ip, tcp, udp};

/// Packets that a device may send.
fn valid() -> Vec<Vec<u8>> {
    let mut packets = vec![
        tcp("10.77.0.3:4000", "100.100.0.20:80", Tcp::SYN, (10, 0), &[]),
        tcp("10.77.0.3:4000", "100.100.0.20:80", Tcp::ACK, (11, 91), &[1; 500]),
        tcp("10.77.0.3:4001", "10.50.0.1:443", Tcp::SYN, (10, 0), &[]),
        udp("10.77.0.3:4000", "100.100.0.20:5000", b"question"),
        udp("[fd77::3]:4000", "[fd64::20]:5000", b"question"),
        udp("10.77.0.3:4000", "10.77.0.53:53", b"question"),
        echo("10.77.0.3", WIKI, 7, true),
        echo("fd77::3", WIKI6, 7, true),
        echo("10.77.0.3", NAMES, 7, true),
    ];
    packets.extend(fragments(&udp("10.77.0.3:4000", "100.100.0.20:5000", &[1; 3_000]), 1_400, 5));
    packets.extend(fragments(&udp("[fd77::3]:4000", "[fd64::20]:5000", &[1; 3_000]), 1_400, 5));
    packets
}

/// Answers of the inner side to them, with either egress.
fn answers() -> Vec<Vec<u8>> {
    let mut packets = vec![
        tcp("100.100.0.20:80", "10.77.0.3:4000", Tcp::SYN | Tcp::ACK, (90, 11), &[]),
        tcp("10.1.0.1:80", "10.77.0.3:4000", Tcp::SYN | Tcp::ACK, (90, 11), &[]),
        tcp("10.1.0.1:80", "10.77.0.3:4000", Tcp::ACK, (91, 11), &[1; 900]),
        udp("10.1.0.1:5000", "10.77.0.3:4000", b"answer"),
        echo(HOST, "10.77.0.3", 7, false),
    ];
    packets.extend(fragments(&udp("10.1.0.1:5000", "10.77.0.3:4000", &[1; 3_000]), 1_400, 5));
    packets
}

/// Takes in all that happened; every frame is for what the device may reach.
fn settle(world: &mut World) {
    for event in world.events() {
        if let Event::Opening(id, _) = event {
            world.gateway.admit(id);
        }
    }
    world.contents();
    while let Some(frame) = world.gateway.poll_frame() {
        let Some(facts) = Facts::parse(&frame[HEADER_LEN..]) else { panic!("a frame that is no packet") };
        let is_known = [WIKI, SHELL, WIKI6, HOST, HOST6].map(ip).contains(&facts.destination)
            || prefix("10.50.0.0", 16).contains(facts.destination);
        assert!(is_known, "to {}", facts.destination);
    }
    world.devices.iter_mut().for_each(|device| device.got.clear());
}

fn egress(is_kernel: bool) -> Egress {
    if is_kernel { Egress::Kernel } else { Egress::Userspace }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..20),
        stride in 0usize..200,
        is_kernel: bool,
    ) {
        let mut world = World::new(egress(is_kernel));
        for mut piece in pieces {
            world.gateway.handle_network_input(at("203.0.113.7:9"), &piece, stride, world.now);
            world.gateway.handle_inner_frame(&mut piece, world.now);
            if !piece.is_empty() {
                world.sends(0, &[piece]);
            }
            settle(&mut world);
        }
    }

    #[test]
    fn mutated_packets_from_both_sides_never_panic_and_reach_nothing_else(
        mutations in proptest::collection::vec((0usize..120, any::<u8>()), 0..6),
        cut in 0usize..200,
        header in proptest::option::of(any::<[u8; HEADER_LEN]>()),
        is_kernel: bool,
    ) {
        let mut world = World::new(egress(is_kernel));
        for (packet, is_inner) in valid().into_iter().map(|p| (p, false)).chain(answers().into_iter().map(|p| (p, true))) {
            let mut changed = packet.clone();
            for (at, value) in &mutations {
                let length = changed.len();
                changed[at % length] = *value;
            }
            changed.truncate((packet.len() + 20).saturating_sub(cut).max(1));
            if is_inner {
                let mut frame = header.unwrap_or_default().to_vec();
                frame.extend(changed);
                world.gateway.handle_inner_frame(&mut frame, world.now);
                world.pump();
            } else {
                world.sends(0, &[packet, changed]);
            }
            settle(&mut world);
        }
        world.pass(std::time::Duration::from_secs(200));
        settle(&mut world);
    }

    #[test]
    fn changed_datagrams_of_a_device_are_dropped(
        at in 0usize..200,
        value in 1u8..,
        cut in 0usize..60,
    ) {
        let mut world = World::new(Egress::Kernel);
        for packet in valid().into_iter().take(5) {
            let Device { peer, batch, .. } = &mut world.devices[0];
            prop_assert!(peer.seal(&packet, batch, world.now));
            let mut datagram = world.devices[0].sent().remove(0);
            let length = datagram.len();
            datagram[at % length] ^= value;
            datagram.truncate(length.saturating_sub(cut));
            let from = world.devices[0].outside;
            world.gateway.handle_network_input(from, &datagram, datagram.len(), world.now);
            prop_assert!(world.events().is_empty() && world.frames().is_empty());
        }
    }
}

#[test]
fn a_longer_datagram_than_any_packet_is_no_panic() {
    let mut world = World::new(Egress::Kernel);
    let Device { peer, batch, .. } = &mut world.devices[0];
    assert!(peer.seal(&echo("10.77.0.3", NAMES, 7, true), batch, world.now));
    let mut datagram = world.devices[0].sent().remove(0);
    datagram.resize(66_000, 0);
    world.gateway.handle_network_input(at("203.0.113.7:9"), &datagram, datagram.len(), world.now);
    assert_eq!(world.gateway.counters().get(crate::counters::DropReason::BadDatagram), 1);
}

#[test]
fn packets_that_are_not_fetched_are_bounded() {
    let mut world = World::new(Egress::Kernel);
    for port in 1..3_000 {
        world.sends(0, &[udp(&source(0, port), "100.100.0.20:5000", &[1; 1_000])]);
    }
    assert_eq!(world.gateway.frames_waiting(), 256);
    assert!(world.gateway.counters().get(crate::counters::DropReason::BatchFull) > 2_000);
}
