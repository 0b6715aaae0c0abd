//! What is allowed passes both ways, translated, with right checksums.

use super::world::*;
use crate::counters::DropReason;
use crate::packet::checksum;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::virtio::{Offload, Segmentation};
use crate::packets_for_tests::{at, echo, ip, sound, tcp, tcp_facts, udp};
use crate::policy::Policy;

fn ported(address: &str, port: u16) -> String {
    std::net::SocketAddr::new(ip(address), port).to_string()
}

#[test]
fn a_connection_is_translated_both_ways_in_both_families() {
    for (device, name, local, host) in [(DEVICE, WIKI, LOCAL, HOST), (DEVICE6, WIKI6, LOCAL6, HOST6)] {
        let mut world = World::new();
        let (device, name) = (ported(device, 4000), ported(name, 80));
        let (local, host) = (ported(local, 4000), ported(host, 80));
        let out = world.carried(&tcp(&device, &name, Tcp::SYN, (10, 0), &[]));
        assert_eq!(ends(&sound(&out)), (at(&local), at(&host)));
        let back = world.delivered(&tcp(&host, &local, Tcp::SYN | Tcp::ACK, (90, 11), &[]));
        assert_eq!(back.len(), 1);
        assert_eq!(ends(&sound(&back[0])), (at(&name), at(&device)));
        assert_eq!(world.datapath.flows_by_application(2), [1, 0]);
    }
}

#[test]
fn an_unfinished_checksum_is_finished_for_the_translated_packet() {
    for (source, name) in [("100.64.0.1:4000", "100.64.0.20:80"), ("[fd99::1]:4000", "[fd99::20]:80")] {
        let mut world = World::new();
        let mut syn = tcp(source, name, Tcp::SYN, (10, 0), &[]);
        let offload = unfinish(&mut syn, Segmentation::None);
        world.device_sends_with(&syn, &offload);
        let packets = world.pump();
        assert_eq!(packets.len(), 1);
        sound(&packets[0]);
    }
}

#[test]
fn an_echo_with_an_unfinished_checksum_is_finished_before_it_is_translated() {
    let mut world = World::new();
    world.carried(&echo(DEVICE6, WIKI6, 77, true));
    let mut second = echo("fd99::2", WIKI6, 77, true);
    let offload = unfinish(&mut second, Segmentation::None);
    world.device_sends_with(&second, &offload);
    let carried = sound(&world.pump()[0]);
    let Transport::Echo { id, .. } = carried.transport else { panic!("no echo") };
    assert_ne!(id, 77, "another program has that identifier in the tunnel");
}

#[test]
fn a_super_packet_leaves_as_sound_segments_with_all_bytes_once() {
    let mut world = World::new();
    let (device, name) = ("100.64.0.1:4000", "100.64.0.20:80");
    world.carried(&tcp(device, name, Tcp::SYN, (10, 0), &[]));
    let body: Vec<u8> = (0..40_000u32).map(|n| (n / 7) as u8).collect();
    let mut packet = tcp(device, name, Tcp::ACK, (11, 91), &body);
    let offload = unfinish(&mut packet, Segmentation::Tcp { size: 1_380 });
    world.device_sends_with(&packet, &offload);
    let mut carried = Vec::new();
    for segment in world.pump() {
        let facts = sound(&segment);
        assert_eq!(ends(&facts), (at("10.77.0.3:4000"), at("10.77.9.1:80")));
        let header = facts.transport_at + tcp_facts(&facts).header_length;
        assert!(segment.len() - header <= 1_380);
        carried.extend_from_slice(&segment[header..]);
    }
    assert_eq!(carried, body);
}

#[test]
fn segments_from_the_tunnel_are_joined_for_the_device() {
    let mut world = World::new();
    world.carried(&tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]));
    let segment =
        |n: u32| tcp("10.77.9.1:80", "10.77.0.3:4000", Tcp::ACK, (91 + n * 1_000, 11), &[n as u8; 1_000]);
    world.gateway_sends(&[segment(0), segment(1), segment(2)]);
    let frame = world.frame();
    assert_eq!(frame.len(), 40 + 3_000);
    assert_eq!(ends(&Facts::parse(&frame).unwrap()), (at("100.64.0.20:80"), at("100.64.0.1:4000")));
}

#[test]
fn udp_and_echo_pass_both_ways() {
    let mut world = World::new();
    let out = world.carried(&udp("100.64.0.1:4000", "100.64.0.20:5353", b"question"));
    assert_eq!(ends(&sound(&out)), (at("10.77.0.3:4000"), at("10.77.9.1:5353")));
    let back = world.delivered(&udp("10.77.9.1:5353", "10.77.0.3:4000", b"answer"));
    assert_eq!(ends(&sound(&back[0])), (at("100.64.0.20:5353"), at("100.64.0.1:4000")));

    for (device, name, local, host) in [(DEVICE, WIKI, LOCAL, HOST), (DEVICE6, WIKI6, LOCAL6, HOST6)] {
        let out = sound(&world.carried(&echo(device, name, 77, true)));
        assert_eq!(addresses(&out), (ip(local), ip(host)));
        assert_eq!(out.transport, Transport::Echo { id: 77, is_request: true });
        let back = sound(&world.delivered(&echo(host, local, 77, false))[0]);
        assert_eq!(addresses(&back), (ip(name), ip(device)));
        assert_eq!(back.transport, Transport::Echo { id: 77, is_request: false });
    }
}

#[test]
fn a_network_is_reached_at_its_real_addresses() {
    let mut world = World::new();
    let out = world.carried(&tcp("100.64.0.1:4000", "10.77.128.7:80", Tcp::SYN, (10, 0), &[]));
    assert_eq!(ends(&sound(&out)), (at("10.77.0.3:4000"), at("10.77.128.7:80")));
    let back = world.delivered(&tcp("10.77.128.7:80", "10.77.0.3:4000", Tcp::SYN | Tcp::ACK, (1, 11), &[]));
    assert_eq!(ends(&sound(&back[0])), (at("10.77.128.7:80"), at("100.64.0.1:4000")));
}

#[test]
fn two_names_of_one_host_with_one_source_port_do_not_cross() {
    let mut world = World::new();
    let ports: Vec<u16> = [WIKI, ALIAS]
        .into_iter()
        .map(|name| {
            let out = world.carried(&tcp("100.64.0.1:4000", &ported(name, 80), Tcp::SYN, (10, 0), &[]));
            ends(&sound(&out)).0.port()
        })
        .collect();
    assert_ne!(ports[0], ports[1]);
    for (port, name) in ports.into_iter().zip([WIKI, ALIAS]) {
        let answer = tcp("10.77.9.1:80", &ported(LOCAL, port), Tcp::SYN | Tcp::ACK, (90, 11), &[]);
        let back = world.delivered(&answer);
        assert_eq!(ends(&sound(&back[0])), (at(&ported(name, 80)), at("100.64.0.1:4000")));
    }
}

#[test]
fn packets_wait_for_the_first_handshake() {
    let mut world = World::without_session();
    world.device_sends(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"early"));
    assert_eq!(world.pump().len(), 1);
}

#[test]
fn what_the_tunnel_may_not_carry_is_dropped_and_counted() {
    let mut world = World::new();
    world.carried(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"out"));
    world.carried(&echo(DEVICE, WIKI, 77, true));
    for (packet, reason) in [
        (udp("192.168.7.7:5000", "10.77.0.3:4000", b"foreign source"), DropReason::ForeignAddress),
        (udp("10.77.9.1:5000", "10.77.0.4:4000", b"not for us"), DropReason::ForeignAddress),
        (udp("10.77.9.1:5000", "100.64.0.1:4000", b"inside out"), DropReason::ForeignAddress),
        (udp("10.77.9.2:5000", "10.77.0.3:4000", b"another host"), DropReason::Unsolicited),
        (udp("10.77.9.1:5000", "10.77.0.3:4001", b"another port"), DropReason::Unsolicited),
        (tcp("10.77.9.1:9", "10.77.0.3:22", Tcp::SYN, (1, 0), &[]), DropReason::Unsolicited),
        (echo(HOST, LOCAL, 78, true), DropReason::Unsolicited),
        (echo(HOST, LOCAL, 77, true), DropReason::Unsolicited),
    ] {
        let before = world.datapath.counters().get(reason);
        assert!(world.delivered(&packet).is_empty(), "{packet:?}");
        assert_eq!(world.datapath.counters().get(reason), before + 1, "{packet:?}");
    }
}

#[test]
fn a_checksum_inside_the_payload_is_finished_and_one_over_ports_is_refused() {
    let mut world = World::new();
    let packet = udp("100.64.0.1:4000", "100.64.0.20:5000", &[7; 40]);
    let inner = |checksum_start, checksum_offset| Offload {
        checksum_start: Some(checksum_start),
        checksum_offset,
        segmentation: Segmentation::None,
    };
    world.device_sends_with(&packet, &inner(40, 4));
    assert_eq!(world.pump().len(), 1);
    let before = world.datapath.counters().get(DropReason::Malformed);
    for offload in [inner(20, 2), inner(0, 16), inner(20, 8), inner(9_000, 6)] {
        world.device_sends_with(&packet, &offload);
        assert!(world.pump().is_empty(), "{offload:?}");
    }
    assert_eq!(world.datapath.counters().get(DropReason::Malformed), before + 4);
}

#[test]
fn nothing_passes_before_there_is_a_policy() {
    let mut world = World::new();
    world.datapath.set_policy(Policy::default(), world.now);
    world.device_sends(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"out"));
    assert!(world.pump().is_empty());
}

/// Leaves the pseudo-header's sum in the checksum, as the kernel does for offload.
fn unfinish(packet: &mut [u8], segmentation: Segmentation) -> Offload {
    let facts = Facts::parse(packet).unwrap();
    let pseudo =
        checksum::pseudo_header(facts.source, facts.destination, facts.protocol, facts.transport_length());
    let field = facts.checksum_at().unwrap();
    packet[field..field + 2].copy_from_slice(&checksum::fold(pseudo).to_ne_bytes());
    let start = facts.transport_at;
    Offload { checksum_start: Some(start as u16), checksum_offset: (field - start) as u16, segmentation }
}
