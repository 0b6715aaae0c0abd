//! Paths that carry less than the TUN: measured, cut for, and told to both ends; nothing vanishes without a word.

use std::time::Duration;

use super::world::*;
use crate::counters::DropReason;
use crate::packet::checksum;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::virtio::{Offload, Segmentation};
use crate::packets_for_tests::{at, fragments, ip, reassembled, sound, tcp, tcp_facts, udp};
use crate::path_mtu::Known;

const FAMILIES: [(&str, &str, &str, &str); 2] = [
    ("100.64.0.1:4000", "100.64.0.20:80", "10.77.0.3:4000", "10.77.9.1:80"),
    ("[fd99::1]:4000", "[fd99::20]:80", "[fd77::3]:4000", "[fd77::9:1]:80"),
];

/// A world whose path was measured.
fn measured(path: Path) -> World {
    let mut world = World::new();
    world.measure(&[HOST]);
    assert!(world.settle(path).is_empty());
    world
}

fn inner(world: &World) -> usize {
    world.datapath.path(0).unwrap().inner
}

/// What carries `packet` of the device on a measured path.
fn carried(world: &mut World, packet: &[u8]) -> Vec<Vec<u8>> {
    world.device_sends(packet);
    world.pump()
}

/// A SYN or SYN/ACK that asks for segments of 1,460 bytes.
fn syn(from: &str, to: &str, flags: u8, numbers: (u32, u32)) -> Vec<u8> {
    let mut packet = tcp(from, to, flags, numbers, &[]);
    let facts = Facts::parse(&packet).unwrap();
    packet.extend([2, 4, 0x05, 0xb4]);
    packet[facts.transport_at + 12] = 6 << 4;
    let length = packet.len() as u16;
    if facts.is_ipv6() {
        packet[4..6].copy_from_slice(&(length - 40).to_be_bytes());
    } else {
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        checksum::write_ipv4_header(&mut packet, 20);
    }
    let at = facts.transport_at;
    packet[at + 16..at + 18].fill(0);
    let pseudo = checksum::pseudo_header(facts.source, facts.destination, 6, packet.len() - at);
    let sum = !checksum::fold(checksum::sum(&packet[at..]) + pseudo);
    packet[at + 16..at + 18].copy_from_slice(&sum.to_ne_bytes());
    sound(&packet);
    packet
}

fn asked(packet: &[u8]) -> u16 {
    let at = sound(packet).transport_at + 22;
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

/// The code, the size and the quoted packet of an ICMP error.
fn error(packet: &[u8]) -> ([u8; 2], u32, Facts) {
    let at = sound(packet).transport_at;
    let size = u32::from_be_bytes(packet[at + 4..at + 8].try_into().unwrap());
    ([packet[at], packet[at + 1]], size, Facts::parse_quoted(&packet[at + 8..]).unwrap())
}

fn may_be_cut(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6] = 0;
    checksum::write_ipv4_header(&mut packet, 20);
    packet
}

/// Opens a TCP connection from `device` to `name`, as host `host` sees it.
fn open(world: &mut World, (device, name, local, host): (&str, &str, &str, &str)) {
    assert_eq!(carried(world, &syn(device, name, Tcp::SYN, (10, 0))).len(), 1);
    assert_eq!(world.delivered(&syn(host, local, Tcp::SYN | Tcp::ACK, (90, 11))).len(), 1);
    assert_eq!(carried(world, &tcp(device, name, Tcp::ACK, (11, 91), &[])).len(), 1);
}

#[test]
fn a_proven_session_has_its_path_measured_without_any_icmp_from_the_path() {
    for (size, least) in [(1_500, 1_420), (1_400, 1_320), (1_280, 1_200), (1_124, 1_040), (1_000, 920)] {
        let world = measured(Path::of(size));
        let facts = world.datapath.path(0).unwrap();
        assert_eq!((facts.known, facts.outer), (Known::Probed, facts.inner + 60));
        assert!((least..=size - 60).contains(&facts.inner), "{facts:?} of {size}");
        assert_eq!(world.datapath.counters().get(DropReason::Unsolicited), 0);
    }
}

#[test]
fn the_smaller_way_counts() {
    let world = measured(Path { up: 1_472, down: 1_096, host: Some(HOST) });
    assert!((1_040..=1_064).contains(&inner(&world)));
}

#[test]
fn where_no_host_answers_the_gateway_does() {
    let world = measured(Path { host: None, ..Path::of(1_280) });
    assert_eq!((inner(&world), world.datapath.path(0).unwrap().known), (1_216, Known::Probed));
}

#[test]
fn where_nobody_answers_the_assumption_stays_and_is_called_so() {
    let world = measured(Path { host: Some("10.77.9.99"), ..Path::of(1_500) });
    assert_eq!((inner(&world), world.datapath.path(0).unwrap().known), (1_420, Known::NoAnswer));
    assert_eq!(world.datapath.paths.poll_timeout(), None);
}

#[test]
fn without_a_target_nothing_is_sent_and_a_blocked_policy_looks_at_nothing() {
    let mut world = World::new();
    world.datapath.reconnect(world.now);
    assert!(world.pump().is_empty());
    assert_eq!(world.datapath.path(0).unwrap().known, Known::Assumed);
    world.measure(&[HOST]);
    world.datapath.set_policy(crate::policy::Policy { is_blocked: true, ..policy() }, world.now);
    assert!(world.pump().is_empty());
    assert_eq!(world.datapath.paths.poll_timeout(), None);
}

#[test]
fn segments_are_cut_to_the_path_with_all_bytes_once() {
    for ends in FAMILIES {
        let mut world = measured(Path::of(1_124));
        open(&mut world, ends);
        let body: Vec<u8> = (0..20_000u32).map(|n| (n / 7) as u8).collect();
        for (length, segmentation) in
            [(20_000, Segmentation::Tcp { size: 1_380 }), (1_380, Segmentation::None)]
        {
            let mut packet = tcp(ends.0, ends.1, Tcp::ACK, (11, 91), &body[..length]);
            let facts = sound(&packet);
            let offload = Offload {
                checksum_start: Some(facts.transport_at as u16),
                checksum_offset: 16,
                segmentation,
            };
            let pseudo =
                checksum::pseudo_header(facts.source, facts.destination, 6, facts.transport_length());
            let field = facts.transport_at + 16;
            packet[field..field + 2].copy_from_slice(&checksum::fold(pseudo).to_ne_bytes());
            world.device_sends_with(&packet, &offload);
            let (mut next, mut bytes) = (11, Vec::new());
            for segment in world.pump() {
                let facts = sound(&segment);
                assert!(segment.len() <= inner(&world) && tcp_facts(&facts).sequence == next);
                bytes.extend_from_slice(&segment[facts.transport_at + 20..]);
                next = 11 + bytes.len() as u32;
            }
            assert_eq!(bytes, body[..length]);
        }
        assert!(world.frames().is_empty(), "TCP is never told that it is too big");
    }
}

#[test]
fn segments_are_asked_for_that_fit_the_path_both_ways() {
    for (index, (device, name, local, host)) in FAMILIES.into_iter().enumerate() {
        let mut world = measured(Path::of(1_000));
        let fits = (inner(&world) - [40, 60][index]) as u16;
        let out = carried(&mut world, &syn(device, name, Tcp::SYN, (10, 0)));
        assert_eq!(asked(&out[0]), fits);
        let back = world.delivered(&syn(host, local, Tcp::SYN | Tcp::ACK, (90, 11)));
        assert_eq!(asked(&back[0]), fits);
    }
}

#[test]
fn while_the_path_is_not_known_small_segments_are_asked_for() {
    let mut world = World::new();
    world.measure(&[HOST]);
    let silent = Path { host: Some("10.77.9.99"), ..Path::of(1_500) };
    assert!(world.pump_path(silent).is_empty());
    world.device_sends(&syn("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (10, 0)));
    assert_eq!(asked(&world.pump_path(silent)[0]), 912 - 40);
    world.settle(Path::of(1_500));
    let (device, name, ..) = FAMILIES[1];
    let out = carried(&mut world, &syn(device, name, Tcp::SYN, (10, 0)));
    assert_eq!(asked(&out[0]), 1_420 - 60);
}

#[test]
fn our_own_connections_keep_to_the_path_too() {
    let mut world = measured(Path::of(1_000));
    let fits = (inner(&world) - 40) as u16;
    world.datapath.connect_tcp(0, at("10.77.0.53:53"), world.now).unwrap();
    assert_eq!(asked(&world.pump()[0]), fits);
}

#[test]
fn a_datagram_that_must_not_be_cut_is_answered_with_the_size_that_passes() {
    // RFC 1191, section 4; RFC 8201, section 4: an IPv6 host is never told less than 1,280
    for (path, v6_size) in [(1_400, None), (1_000, Some(1_280))] {
        for (index, (device, name)) in
            [("100.64.0.1:4000", "100.64.0.20:5000"), ("[fd99::1]:4000", "[fd99::20]:5000")]
                .into_iter()
                .enumerate()
        {
            let mut world = measured(Path::of(path));
            let packet = udp(device, name, &[7; 1_372]);
            assert!(carried(&mut world, &packet).is_empty());
            let (code, size, quoted) = error(&world.frame());
            let told = if index == 0 { inner(&world) } else { v6_size.unwrap_or(inner(&world)) };
            assert_eq!((code, size as usize), ([[3, 4], [2, 0]][index], told));
            assert_eq!(quoted.ports(), Some((4_000, 5_000)));
            assert_eq!(world.datapath.counters().get(DropReason::TooBig), 1);
        }
    }
}

#[test]
fn what_may_be_cut_arrives_in_fragments() {
    let mut world = measured(Path::of(1_000));
    let v4 = may_be_cut(udp("100.64.0.1:4000", "100.64.0.20:5000", &[7; 1_372]));
    let v6 = udp("[fd99::1]:4000", "[fd99::20]:5000", &[7; 1_232]);
    for (packet, body) in [(v4, 1_372), (v6, 1_232)] {
        let parts: Vec<_> =
            carried(&mut world, &packet).into_iter().filter(|packet| packet.len() > 100).collect();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.len() <= inner(&world)));
        let whole = reassembled(&parts);
        sound(&whole);
        assert!(whole.ends_with(&vec![7; body]));
    }
    assert!(world.frames().is_empty());
}

#[test]
fn fragments_of_the_device_are_cut_further() {
    let mut world = measured(Path::of(1_000));
    for (device, name, mtu) in
        [("100.64.0.1:4000", "100.64.0.20:5000", 1_420), ("[fd99::1]:4000", "[fd99::20]:5000", 1_280)]
    {
        let packet = udp(device, name, &[9; 3_000]);
        for part in fragments(&packet, mtu, 7) {
            world.device_sends(&part);
        }
        let parts = world.pump();
        assert!(parts.len() > 3 && parts.iter().all(|part| part.len() <= inner(&world)), "{}", parts.len());
        let whole = reassembled(&parts);
        sound(&whole);
        assert!(whole.ends_with(&[9; 3_000]));
    }
    let large = udp("[fd99::1]:4000", "[fd99::20]:5000", &[9; 3_000]);
    for part in fragments(&large, 1_420, 8) {
        world.device_sends(&part);
    }
    assert!(world.pump().is_empty(), "its source is to cut it smaller");
    let told = world.frame();
    assert_eq!((told[40], told[44..48].to_vec()), (2, 1_280u32.to_be_bytes().to_vec()));
}

#[test]
fn datagrams_that_came_together_are_judged_by_their_own_size() {
    let mut world = measured(Path::of(1_124));
    let send = |world: &mut World, size: u16| {
        let mut packet = udp("100.64.0.1:4000", "100.64.0.20:5000", &[3; 5_000]);
        let facts = sound(&packet);
        let pseudo = checksum::pseudo_header(facts.source, facts.destination, 17, facts.transport_length());
        packet[26..28].copy_from_slice(&checksum::fold(pseudo).to_ne_bytes());
        let segmentation = Segmentation::Udp { size };
        world.device_sends_with(
            &packet,
            &Offload { checksum_start: Some(20), checksum_offset: 6, segmentation },
        );
        world.pump().into_iter().filter(|packet| packet.len() > 100).count()
    };
    assert_eq!(send(&mut world, 1_000), 5);
    assert_eq!(send(&mut world, 1_250), 0);
    assert_eq!(error(&world.frame()).1 as usize, inner(&world));
}

#[test]
fn hosts_of_open_connections_are_told_when_the_path_becomes_smaller() {
    for (index, ends) in FAMILIES.into_iter().enumerate() {
        let mut world = World::new();
        open(&mut world, ends);
        // a segment that the device has, and one that it has not acknowledged yet
        world.delivered(&tcp(ends.3, ends.2, Tcp::ACK, (91, 11), &[1; 1_000]));
        world.measure(&[HOST]);
        let told = world.settle(Path::of(1_000));
        assert_eq!(told.len(), 1, "once");
        let (code, size, quoted) = error(&told[0]);
        assert_eq!((code, size), ([[3, 4], [2, 0]][index], [inner(&world) as u32, 1_280][index]));
        let Transport::Tcp(segment) = quoted.transport else { panic!("no TCP") };
        assert_eq!(segment.sequence, 1_091, "what the host has sent next, or is about to");
        assert_eq!((quoted.source, quoted.destination), (at(ends.3).ip(), at(ends.2).ip()));
        assert_eq!((segment.source, segment.destination), (80, 4_000));
        // a connection that was opened on the smaller path needs no word
        world.now += Duration::from_secs(700);
        world.measure(&[HOST]);
        assert!(world.settle(Path::of(1_000)).is_empty());
    }
}

#[test]
fn many_hosts_are_told_as_there_is_room() {
    let mut world = World::new();
    for port in 1..=5_000 {
        let device = format!("100.64.0.1:{port}");
        carried(&mut world, &syn(&device, "100.64.0.20:80", Tcp::SYN, (10, 0)));
        world.gateway_sends(&[syn(
            "10.77.9.1:80",
            &format!("10.77.0.3:{port}"),
            Tcp::SYN | Tcp::ACK,
            (90, 11),
        )]);
        world.discard_frames();
    }
    world.measure(&[HOST]);
    let told = world.settle(Path::of(1_000));
    let ports: std::collections::BTreeSet<_> = told.iter().map(|told| error(told).2.ports()).collect();
    assert_eq!((told.len(), ports.len()), (5_000, 5_000));
}

#[test]
fn hosts_of_datagrams_are_told_after_the_first_and_again_in_time() {
    let mut world = measured(Path::of(1_000));
    let ask = udp("100.64.0.1:4000", "100.64.0.20:5000", b"question");
    let told = |world: &mut World| carried(world, &ask).len() - 1;
    let first = carried(&mut world, &ask);
    assert_eq!(first.len(), 2, "the datagram, then the word");
    assert!(first[0].ends_with(b"question"));
    let (code, size, quoted) = error(&first[1]);
    assert_eq!((code, size as usize), ([3, 4], inner(&world)));
    assert_eq!((quoted.source, quoted.ports()), (ip(HOST), Some((5_000, 4_000))));
    assert_eq!(told(&mut world), 0);
    world.now += Duration::from_secs(2);
    assert_eq!(told(&mut world), 1, "nothing came back: perhaps it was lost");
    world.delivered(&udp("10.77.9.1:5000", "10.77.0.3:4000", b"answer"));
    world.now += Duration::from_secs(2);
    assert_eq!(told(&mut world), 0);
    world.now += Duration::from_secs(100);
    assert_eq!(told(&mut world), 0);
    let mut large = measured(Path::of(1_500));
    assert_eq!(told(&mut large), 0, "all passes");
}

#[test]
fn a_path_that_becomes_smaller_under_a_connection_is_noticed_by_its_repetitions() {
    let ends = FAMILIES[0];
    let mut world = measured(Path::of(1_500));
    open(&mut world, ends);
    let narrow = Path::of(1_124);
    let segment = tcp(ends.0, ends.1, Tcp::ACK, (11, 91), &[5; 1_300]);
    let mut arrived = Vec::new();
    for second in [11, 12, 14, 18] {
        world.now += Duration::from_secs(second);
        world.device_sends(&segment);
        arrived = world.pump_path(narrow);
    }
    assert!(!arrived.is_empty() || !world.settle(narrow).is_empty(), "the last repetition passes in pieces");
    world.settle(narrow);
    assert!((1_040..=1_064).contains(&inner(&world)), "{}", inner(&world));
}

#[test]
fn repetitions_with_progress_and_short_ones_are_no_reason_to_look() {
    let ends = FAMILIES[0];
    let mut world = measured(Path::of(1_500));
    open(&mut world, ends);
    world.now += Duration::from_secs(60);
    for round in 0..6u32 {
        let sequence = 11 + round * 1_300;
        for _ in 0..2 {
            carried(&mut world, &tcp(ends.0, ends.1, Tcp::ACK, (sequence, 91), &[5; 1_300]));
        }
        world.delivered(&tcp(ends.3, ends.2, Tcp::ACK, (91, sequence + 1_300), &[]));
    }
    for _ in 0..6 {
        carried(&mut world, &tcp(ends.0, ends.1, Tcp::ACK, (11 + 6 * 1_300, 91), &[5; 300]));
    }
    assert_eq!(world.datapath.paths.poll_timeout(), None);
}
