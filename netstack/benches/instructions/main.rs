//! The packet path for an instruction counter: does one thing a number of times, without a clock and without a session.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a bench fails by a panic")]

mod whole_way;

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use etherparse::PacketBuilder;
use netstack::datapath::{Config, Datapath, Mapping};
use netstack::packet::facts::Facts;
use netstack::packet::segment;
use netstack::packet::virtio::{HEADER_LEN, Offload, Segmentation};
use netstack::policy::{Application, Gateway, Grant, Policy, Ports, Prefix, Protocol};

use crate::whole_way::{SetUp, Shape};

const DEVICE: [u8; 4] = [100, 64, 0, 1];
const NAME: [u8; 4] = [100, 64, 0, 20];
const LOCAL: [u8; 4] = [10, 77, 0, 3];
const HOST: [u8; 4] = [10, 77, 9, 1];

/// Datagrams that are sealed to be opened, or groups of 44: benches/instructions asks for no more.
const MOST_SINGLE: usize = 1_100;
const MOST_SUPER: usize = 55;

/// `instructions WHAT TIMES`, as benches/instructions calls it; without arguments it does everything once.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let times = arguments.get(1).map_or(1, |times| times.parse().unwrap());
    match arguments.first().map(String::as_str) {
        Some("parse") => parse(times),
        Some("translate") => translate(times),
        Some("cut") => cut(times),
        Some(other) => whole_way(other, times),
        None => [parse, translate, cut].iter().for_each(|what| what(times)),
    }
}

/// `out` or `back`, `plain` or `full`, `single` or `super`, with hyphens between them.
fn whole_way(what: &str, times: usize) {
    let words: Vec<&str> = what.split('-').collect();
    let set_up = if words.contains(&"full") { SetUp::Full } else { SetUp::Plain };
    let (shape, most) =
        if words.contains(&"super") { (Shape::Super, MOST_SUPER) } else { (Shape::Single, MOST_SINGLE) };
    match words[0] {
        "out" => whole_way::out(set_up, shape, times),
        "back" => whole_way::back(set_up, shape, times, most),
        other => panic!("unknown: `{other}`"),
    }
}

/// Reading the headers of a packet.
fn parse(times: usize) {
    let packet = packet(DEVICE, NAME, 0x10, 1_360);
    for _ in 0..times {
        assert!(Facts::parse(black_box(&packet)).is_some());
    }
}

/// A packet of an open connection: read, found, translated; there is no gateway to seal it for.
fn translate(times: usize) {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    let mut datapath = Datapath::new(config(), now);
    datapath.set_policy(policy(), now);
    datapath.add_mapping(IpAddr::from(NAME), Mapping { gateway: 0, real: HOST.into(), grant: 0 });
    datapath.handle_tun_input(&mut frame(0x02), now);
    let original = frame(0x10);
    let mut copy = original.clone();
    for _ in 0..times {
        copy[..HEADER_LEN + 40].copy_from_slice(&original[..HEADER_LEN + 40]);
        datapath.handle_tun_input(black_box(&mut copy), now);
    }
    assert_eq!(datapath.flows_by_application(1), [1]);
}

/// A super-packet of 44 segments, checksums included.
fn cut(times: usize) {
    let mut packet = packet(LOCAL, HOST, 0x10, 44 * 1_360);
    let facts = Facts::parse(&packet).unwrap();
    let segmentation = Segmentation::Tcp { size: 1_360 };
    let offload = Offload { checksum_start: Some(20), checksum_offset: 16, segmentation };
    let mut scratch = vec![0; 70_000];
    for _ in 0..times {
        let is_sound = segment::cut(&mut packet, &facts, &offload, &mut scratch, |segment| {
            black_box(segment);
        });
        assert!(is_sound);
    }
}

fn frame(flags: u8) -> Vec<u8> {
    let mut frame = vec![0; HEADER_LEN];
    frame.extend(packet(DEVICE, NAME, flags, 1_360));
    frame
}

fn packet(from: [u8; 4], to: [u8; 4], flags: u8, payload: usize) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from, to, 64).tcp(4_000, 80, 1, 60_000);
    let builder = if flags & 0x02 != 0 { builder.syn() } else { builder.ack(7) };
    let mut packet = Vec::new();
    builder.write(&mut packet, &vec![0x5a; payload]).unwrap();
    packet
}

fn config() -> Config {
    Config {
        seed: [9; 32],
        resolver: ([100, 64, 0, 53].into(), None),
        pool: vec![Prefix { address: [100, 64, 0, 0].into(), length: 16 }],
        mtu: 1_420,
        can_join: netstack::CanJoin { tcp: true, udp: true },
        most_segments: 64,
    }
}

fn policy() -> Policy {
    let ports = vec![Ports { protocol: Protocol::Tcp, first: 80, last: 80 }];
    Policy {
        gateways: vec![Gateway {
            ipv4: Some(LOCAL.into()),
            allowed_ips: vec![Prefix { address: [10, 77, 0, 0].into(), length: 16 }],
            ..Gateway::default()
        }],
        grants: vec![Grant { applications: vec![Application { id: 0, ports }] }],
        ..Policy::default()
    }
}
