//! Userspace egress: TCP that waits for the caller, and content that it carries.

use std::time::Duration;

use super::world::*;
use crate::counters::DropReason;
use crate::gateway::*;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packets_for_tests::{at, echo, fragments, ip, reassembled, sound, tcp, tcp_facts, udp};
use crate::policy::Protocol;

const SYN_ACK: u8 = Tcp::SYN | Tcp::ACK;

fn syn(port: u16) -> Vec<u8> {
    tcp(&source(0, port), "100.100.0.20:80", Tcp::SYN, (10, 0), &[])
}

fn from_device(flags: u8, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
    tcp(&source(0, 4_000), "100.100.0.20:80", flags, numbers, payload)
}

fn from_host(flags: u8, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
    tcp("100.100.0.20:80", &source(0, 4_000), flags, numbers, payload)
}

/// A connection of the first device that is open.
fn opened(world: &mut World) -> FlowId {
    world.sends(0, &[syn(4_000)]);
    let id = world.opening();
    world.gateway.admit(id);
    assert_eq!(world.frame(), syn(4_000));
    world.inner_sends(&from_host(SYN_ACK, (90, 11), &[]));
    world.sends(0, &[from_device(Tcp::ACK, (11, 91), &[])]);
    assert_eq!((world.got(0).len(), world.frames().len()), (1, 1));
    id
}

#[test]
fn a_connection_waits_until_it_is_admitted() {
    let mut world = World::new(Egress::Userspace);
    world.sends(0, &[syn(4_000), syn(4_000)]);
    let Event::Opening(id, facts) = world.event() else { panic!("not told once") };
    assert_eq!((facts.peer, facts.application, facts.protocol), (0, Some(0), Protocol::Tcp));
    assert_eq!((facts.source, facts.destination), (at(&source(0, 4_000)), at("100.100.0.20:80")));
    assert_eq!((world.frames().len(), world.got(0).len()), (0, 0));
    assert_eq!(world.gateway.find_flow(Protocol::Tcp, (facts.source, facts.destination)), Some(id));
    world.gateway.admit(id);
    assert_eq!(world.frame(), syn(4_000));
    world.sends(0, &[syn(4_000)]);
    assert_eq!(world.frame(), syn(4_000), "the device repeats itself, and nobody is asked again");
    assert_eq!(world.events(), []);
    world.gateway.admit(id);
    assert_eq!(world.frames().len(), 0);
}

#[test]
fn a_connection_that_is_not_admitted_is_answered_as_the_host_would() {
    let mut world = World::new(Egress::Userspace);
    for (port, how) in [(1, Close::Refused), (2, Close::Prohibited), (3, Close::Unreachable)] {
        world.sends(0, &[syn(port)]);
        let id = world.opening();
        world.gateway.close_flow(id, how, world.now);
        world.pump();
        assert!(matches!(world.event(), Event::Ended(ended, _, EndReason::ClosedByCaller) if ended == id));
        let answer = world.answer(0);
        let facts = sound(&answer);
        if let Transport::Tcp(tcp) = facts.transport {
            assert!(how != Close::Unreachable && tcp.has(Tcp::RST));
        } else {
            assert_eq!((how, &answer[20..22]), (Close::Unreachable, &[3, 1][..]));
        }
        world.gateway.admit(id);
        assert_eq!((world.frames().len(), world.gateway.flow(id)), (0, None));
    }
    assert_eq!(world.gateway.peer(0).unwrap().flows, 0);
}

#[test]
fn a_connection_that_nobody_decides_on_ends() {
    let mut world = World::new(Egress::Userspace);
    world.sends(0, &[syn(4_000)]);
    world.opening();
    world.pass(Duration::from_secs(61));
    assert!(matches!(world.event(), Event::Ended(_, _, EndReason::Idle)));
    assert!(tcp_facts(&sound(&world.answer(0))).has(Tcp::RST));
    assert_eq!(world.frames().len(), 0, "the inner side has never heard of it");
}

#[test]
fn a_connection_that_both_sides_close_ends_with_its_bytes() {
    let mut world = World::new(Egress::Userspace);
    let id = opened(&mut world);
    world.sends(0, &[from_device(Tcp::ACK, (11, 91), &[1; 300])]);
    world.inner_sends(&from_host(Tcp::ACK, (91, 311), &[2; 500]));
    world.sends(0, &[from_device(Tcp::FIN | Tcp::ACK, (311, 591), &[])]);
    assert_eq!(world.events(), []);
    world.inner_sends(&from_host(Tcp::FIN | Tcp::ACK, (591, 312), &[]));
    let Event::Ended(ended, facts, EndReason::Closed) = world.event() else { panic!() };
    assert_eq!((ended, facts.up, facts.down), (id, 300, 500));
    assert_eq!(world.gateway.peer(0).unwrap().flows, 0);
    world.frames();
    world.sends(0, &[from_device(Tcp::ACK, (312, 592), &[])]);
    assert_eq!(world.frames().len(), 1, "the last acknowledgement still passes");
    world.pass(Duration::from_secs(16));
    assert_eq!((world.events().len(), world.gateway.flows.len()), (0, 0));
    assert_eq!(world.frames().len(), 0);
}

#[test]
fn a_closed_connections_ports_can_be_used_again_at_once() {
    let mut world = World::new(Egress::Userspace);
    let first = opened(&mut world);
    world.inner_sends(&from_host(Tcp::RST, (91, 0), &[]));
    assert!(matches!(world.event(), Event::Ended(_, _, EndReason::ResetByHost)));
    world.got(0);
    let second = opened(&mut world);
    assert!(first != second && world.gateway.flow(first).is_none());
}

#[test]
fn a_reset_that_the_host_would_not_take_hides_nothing() {
    let mut world = World::new(Egress::Userspace);
    let id = opened(&mut world);
    world.sends(0, &[from_device(Tcp::RST, (5_000, 0), &[])]);
    assert_eq!(world.events(), []);
    assert!(world.gateway.flow(id).is_some());
    world.sends(0, &[from_device(Tcp::RST, (11, 0), &[])]);
    assert!(matches!(world.event(), Event::Ended(_, _, EndReason::ResetByPeer)));
    assert_eq!(world.frames().len(), 2, "both pass");
}

#[test]
fn the_caller_resets_both_sides_of_an_open_connection() {
    let mut world = World::new(Egress::Userspace);
    let id = opened(&mut world);
    world.gateway.close_flow(id, Close::Done, world.now);
    world.pump();
    let to_device = tcp_facts(&sound(&world.answer(0)));
    let to_host = tcp_facts(&sound(&world.frame()));
    assert_eq!((to_device.flags & Tcp::RST, to_device.sequence), (Tcp::RST, 91));
    assert_eq!((to_host.flags & Tcp::RST, to_host.sequence), (Tcp::RST, 11));
    assert_eq!(world.gateway.flows.len(), 0);
}

#[test]
fn segments_are_joined_for_the_inner_side_and_cut_for_the_device() {
    let mut world = World::new(Egress::Userspace);
    opened(&mut world);
    let segments: Vec<_> =
        (0..8).map(|n| from_device(Tcp::ACK, (11 + n * 1_000, 91), &[n as u8; 1_000])).collect();
    let Device { peer, batch, .. } = &mut world.devices[0];
    segments.iter().for_each(|segment| assert!(peer.seal(segment, batch, world.now)));
    world.pump();
    assert_eq!(world.frame().len(), 40 + 8_000, "one super-packet");
    let super_packet = from_host(Tcp::ACK, (91, 11), &[3; 5_000]);
    let mut unfinished = super_packet.clone();
    let facts = Facts::parse(&unfinished).unwrap();
    let pseudo = crate::packet::checksum::pseudo_header(facts.source, facts.destination, 6, 5_020);
    unfinished[36..38].copy_from_slice(&crate::packet::checksum::fold(pseudo).to_ne_bytes());
    world.inner_sends_with(
        &unfinished,
        &crate::packet::virtio::Offload {
            checksum_start: Some(20),
            checksum_offset: 16,
            segmentation: crate::packet::virtio::Segmentation::Tcp { size: 1_380 },
        },
    );
    let got = world.got(0);
    assert_eq!(got.iter().map(|packet| packet.len() - 40).collect::<Vec<_>>(), [1_380, 1_380, 1_380, 860]);
    assert!(got.iter().all(|packet| sound(packet).destination == ip("10.77.0.3")));
}

#[test]
fn a_segment_size_beyond_the_tunnels_is_lowered_on_the_way_in() {
    let mut world = World::new(Egress::Userspace);
    let mut packet = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4([10, 77, 0, 3], [100, 100, 0, 20], 64).tcp(4_000, 80, 1, 9);
    let builder = builder.syn().options_raw(&[2, 4, 0x23, 0]).unwrap();
    builder.write(&mut packet, &[]).unwrap();
    world.sends(0, &[packet]);
    let id = world.opening();
    world.gateway.admit(id);
    let syn = world.frame();
    assert_eq!(u16::from_be_bytes([syn[42], syn[43]]), 1_380);
}

#[test]
fn datagrams_go_both_ways_as_content_in_parts_if_need_be() {
    let mut world = World::new(Egress::Userspace);
    for (from, to) in [("10.77.0.3:4000", "100.100.0.20:5000"), ("[fd77::3]:4000", "[fd64::20]:5000")] {
        let (large, mut whole) = (vec![7; 3_000], udp(from, to, &[7; 3_000]));
        whole[6] &= 0x1f;
        world.sends(0, &[udp(from, to, b"small")]);
        let mut parts = fragments(&udp(from, to, &large), 1_400, 9);
        parts.swap(0, 2);
        world.sends(0, &parts);
        let Event::Began(id, facts) = world.event() else { panic!() };
        assert_eq!((facts.source, facts.destination), (at(from), at(to)));
        let udp_of = Content::Udp(id);
        assert_eq!(world.contents(), [(udp_of, b"small".to_vec()), (udp_of, large.clone())]);
        assert!(world.gateway.send_udp(id, b"answer", world.now));
        assert!(world.gateway.send_udp(id, &large, world.now));
        world.pump();
        let got = world.got(0);
        assert_eq!(got[0], udp(to, from, b"answer"));
        assert_eq!(got.len(), 4, "one whole, and three parts");
        sound(&reassembled(&got[1..]));
        assert!(got.iter().all(|packet| packet.len() <= 1_420));
        let facts = world.gateway.flow(id).unwrap();
        assert_eq!((facts.up, facts.down), (3_005, 3_006));
    }
    assert_eq!(world.frames().len(), 0);
}

#[test]
fn a_datagram_flow_ends_by_silence_and_those_to_a_name_server_soon() {
    let mut world = World::new(Egress::Userspace);
    let mut changed = policy(&[&[0]]);
    changed.applications[0].ports[1].first = 53;
    world.gateway.set_policy(changed, world.now);
    world.sends(
        0,
        &[udp(&source(0, 1), "100.100.0.20:53", b"q"), udp(&source(0, 1), "100.100.0.20:5000", b"x")],
    );
    let began = world.events();
    world.pass(Duration::from_secs(11));
    assert!(
        matches!(world.event(), Event::Ended(_, facts, EndReason::Idle) if facts.destination.port() == 53)
    );
    let Event::Began(id, _) = began[1] else { panic!() };
    assert!(world.gateway.send_udp(id, b"keeps it", world.now));
    world.pass(Duration::from_secs(50));
    assert_eq!(world.events(), []);
    world.pass(Duration::from_secs(11));
    assert!(matches!(world.event(), Event::Ended(ended, _, EndReason::Idle) if ended == id));
    assert!(!world.gateway.send_udp(id, b"too late", world.now));
}

#[test]
fn a_datagram_that_the_host_does_not_take_is_explained() {
    let mut world = World::new(Egress::Userspace);
    for (how, code) in [(Close::Refused, [3, 3]), (Close::Unreachable, [3, 1]), (Close::Prohibited, [3, 13])]
    {
        world.sends(0, &[udp(&source(0, 4_000), "100.100.0.20:5000", b"question")]);
        let Event::Began(id, _) = world.event() else { panic!() };
        world.gateway.close_flow(id, how, world.now);
        world.pump();
        let answer = world.answer(0);
        let facts = sound(&answer);
        assert_eq!(answer[20..22], code);
        let quoted = Facts::parse_quoted(&answer[facts.transport_at + 8..]).unwrap();
        assert_eq!((quoted.source, quoted.ports()), (ip("10.77.0.3"), Some((4_000, 5_000))));
        world.events();
    }
}

#[test]
fn an_echo_that_is_not_carried_is_explained() {
    let mut world = World::new(Egress::Userspace);
    for (how, code) in [(Close::Refused, [3, 13]), (Close::Prohibited, [3, 13]), (Close::Unreachable, [3, 1])]
    {
        world.sends(0, &[echo("10.77.0.3", WIKI, 77, true)]);
        let Event::Began(id, _) = world.event() else { panic!() };
        world.gateway.close_flow(id, how, world.now);
        world.pump();
        let answer = world.answer(0);
        assert_eq!(answer[20..22], code);
        let quoted = Facts::parse_quoted(&answer[sound(&answer).transport_at + 8..]).unwrap();
        assert_eq!(quoted.transport, Transport::Echo { id: 77, is_request: true });
        world.events();
    }
}

#[test]
fn echoes_are_content_and_their_replies_go_back() {
    let mut world = World::new(Egress::Userspace);
    for (from, to) in [("10.77.0.3", WIKI), ("fd77::3", WIKI6)] {
        world.sends(0, &[echo(from, to, 77, true)]);
        let Event::Began(id, facts) = world.event() else { panic!() };
        assert_eq!((facts.protocol, facts.source.port(), facts.destination.port()), (Protocol::Icmp, 77, 0));
        assert_eq!(world.contents(), [(Content::Echo(id, 1), b"echo".to_vec())]);
        assert!(world.gateway.send_echo_reply(id, 1, b"echo", world.now));
        world.pump();
        assert_eq!(sound(&world.answer(0)).transport, Transport::Echo { id: 77, is_request: false });
    }
}

#[test]
fn names_are_asked_at_the_gateways_address() {
    let mut world = World::new(Egress::Userspace);
    for (from, to) in [("10.77.0.4:4000", "10.77.0.53:53"), ("[fd77::4]:4000", "[fd77::53]:53")] {
        world.sends(1, &[udp(from, to, b"question")]);
        let content = Content::Query { peer: 1, source: at(from), local: at(to) };
        assert_eq!(world.contents(), [(content, b"question".to_vec())]);
        assert!(world.gateway.send_answer(1, at(from), at(to), &[3; 2_000], world.now));
        assert!(!world.gateway.send_answer(0, at(from), at(to), b"to another", world.now));
        world.pump();
        assert_eq!(
            sound(&reassembled(&world.got(1))).length,
            2_000 + if from.starts_with('[') { 48 } else { 28 }
        );
    }
    world.sends(1, &[tcp("10.77.0.4:4000", "10.77.0.53:53", Tcp::SYN, (1, 0), &[])]);
    let Event::Opening(_, facts) = world.event() else { panic!() };
    assert_eq!(facts.application, None);
}

#[test]
fn the_gateway_answers_echoes_so_that_paths_can_be_measured() {
    let mut world = World::new(Egress::Userspace);
    world.sends(0, &[echo("10.77.0.3", NAMES, 7, true), echo("fd77::3", "fd77::53", 7, true)]);
    let replies = world.got(0);
    assert!(
        replies.iter().all(|packet| sound(packet).transport == Transport::Echo { id: 7, is_request: false })
    );
    assert_eq!((replies.len(), world.events().len()), (2, 0));
    let mut last_hop = echo("10.77.0.3", "10.9.9.9", 7, true);
    last_hop[8] = 1;
    crate::packet::checksum::write_ipv4_header(&mut last_hop, 20);
    world.sends(0, &[last_hop]);
    let answer = world.answer(0);
    assert_eq!((sound(&answer).source, &answer[20..22]), (ip(NAMES), &[11, 0][..]));
}

#[test]
fn broken_content_goes_nowhere() {
    let mut world = World::new(Egress::Userspace);
    for mut packet in [
        udp(&source(0, 4_000), "100.100.0.20:5000", b"question"),
        udp(&source(0, 4_000), "10.77.0.53:53", b"question"),
        echo("10.77.0.3", WIKI, 7, true),
        echo("10.77.0.3", NAMES, 7, true),
    ] {
        *packet.last_mut().unwrap() ^= 1;
        world.sends(0, &[packet]);
    }
    assert_eq!((world.contents().len(), world.got(0).len()), (0, 0));
    assert_eq!(world.gateway.counters().get(DropReason::Malformed), 4);
}
