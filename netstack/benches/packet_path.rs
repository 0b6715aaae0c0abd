//! What a packet costs on its way through the machine, in nanoseconds; no network, no device.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench needs a clock and speaks to a person"
)]

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use etherparse::PacketBuilder;
use netstack::datapath::{Config, Datapath, Mapping};
use netstack::packet::checksum;
use netstack::packet::facts::Facts;
use netstack::packet::segment;
use netstack::packet::virtio::{HEADER_LEN, Offload, Segmentation};
use netstack::policy::{Application, Gateway, Grant, Policy, Ports, Prefix, Protocol};
use netstack::send_batch::SendBatch;
use netstack::wireguard::{Opened, Peer, PeerConfig, public_key};

const DEVICE: [u8; 4] = [100, 64, 0, 1];
const NAME: [u8; 4] = [100, 64, 0, 20];
const LOCAL: [u8; 4] = [10, 77, 0, 3];
const HOST: [u8; 4] = [10, 77, 9, 1];
/// Packet of 1,400 bytes: IPv4 and TCP headers of 40 bytes.
const PAYLOAD: usize = 1_360;
/// Segments in a batch that are joined.
const JOINED: usize = 44;
const ROUNDS: usize = 400;

fn main() {
    let mut world = World::new();
    let out = world.out();
    let seal = world.seal();
    let open = world.open();
    let cut = cut();
    let (back, apart) = (world.back(true), World::new_with(false).back(false));
    println!("out: parse, classify, translate, seal  {out:7.0} ns a packet of 1,400 bytes");
    println!("     seal alone                        {seal:7.0} ns");
    println!("     parse, classify, translate        {:7.0} ns", out - seal);
    println!(
        "cut of a super-packet of 64 KiB        {cut:7.0} ns a segment of 1,360 bytes, checksums included"
    );
    println!("in:  open alone                        {open:7.0} ns a packet of 1,400 bytes");
    println!("     open, filter, translate           {apart:7.0} ns");
    println!("     the same and {JOINED} joined          {back:7.0} ns");
}

struct World {
    datapath: Datapath,
    gateway: Peer,
    batch: SendBatch,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self::new_with(true)
    }

    fn new_with(can_join: bool) -> Self {
        let now = Instant::now();
        let config = Config {
            seed: [9; 32],
            resolver: ([100, 64, 0, 53].into(), None),
            pool: vec![Prefix { address: [100, 64, 0, 0].into(), length: 16 }],
            mtu: 1_420,
            can_join: netstack::CanJoin { tcp: can_join, udp: can_join },
            most_segments: 64,
        };
        let peer = |own: [u8; 32], other, endpoint: &str| PeerConfig {
            private_key: own,
            public_key: public_key(other),
            preshared_key: None,
            endpoints: vec![endpoint.parse().unwrap()],
            can_move: false,
            keepalive: 0,
        };
        let mut datapath = Datapath::new(config, now);
        datapath.set_policy(policy(), now);
        datapath.add_mapping(IpAddr::from(NAME), Mapping { gateway: 0, real: HOST.into(), grant: 0 });
        datapath.set_peer(0, peer([3; 32], [5; 32], "192.0.2.1:51820"), now);
        let gateway = Peer::new(peer([5; 32], [3; 32], "192.0.2.9:40000"), 0, now);
        let mut world = Self { datapath, gateway, batch: SendBatch::new(64), now };
        world.datapath.handle_tun_input(&mut frame(0x02), now);
        world.exchange();
        world
    }

    /// Hands datagrams to and fro until nothing is said any more.
    fn exchange(&mut self) {
        let mut buffer = vec![0; 70_000];
        for _ in 0..4 {
            while let Some(transmit) = self.datapath.poll_transmit() {
                let size = transmit.segment_size.unwrap_or(transmit.contents.len());
                for datagram in transmit.contents.chunks(size) {
                    self.gateway.open(gateway_sees(), datagram, &mut buffer, &mut self.batch, self.now);
                }
            }
            while let Some(transmit) = self.batch.pop() {
                let size = transmit.segment_size.unwrap_or(transmit.contents.len());
                self.datapath.handle_network_input(device_sees(), transmit.contents, size, self.now);
            }
        }
    }

    fn out(&mut self) -> f64 {
        let original = frame(0x10);
        let mut copy = original.clone();
        per_item(ROUNDS, 32, || {
            for _ in 0..32 {
                copy.copy_from_slice(&original);
                self.datapath.handle_tun_input(&mut copy, self.now);
            }
            while self.datapath.poll_transmit().is_some() {}
        })
    }

    fn seal(&mut self) -> f64 {
        let packet = segment_of(LOCAL, HOST, 4_000, 80, 1, 0x10, PAYLOAD);
        let peer = &mut self.gateway;
        per_item(ROUNDS, 32, || {
            for _ in 0..32 {
                peer.seal(&packet, &mut self.batch, self.now);
            }
            while self.batch.pop().is_some() {}
        })
    }

    /// Datagrams with segments that follow one another, sealed by the gateway.
    fn sealed(&mut self, rounds: usize) -> Vec<Vec<u8>> {
        let round = |world: &mut Self, first: usize| {
            for index in first..first + JOINED {
                let sequence = (index * PAYLOAD) as u32;
                let packet = segment_of(HOST, LOCAL, 80, 4_000, sequence, 0x10, PAYLOAD);
                world.gateway.seal(&packet, &mut world.batch, world.now);
            }
            let mut datagrams = Vec::new();
            while let Some(transmit) = world.batch.pop() {
                datagrams.extend_from_slice(transmit.contents);
            }
            datagrams
        };
        (0..rounds).map(|index| round(self, index * JOINED)).collect()
    }

    fn open(&mut self) -> f64 {
        let (mut other, mut batch) = (Self::new(), SendBatch::new(64));
        let packet = frame(0x10);
        let mut datagrams = Vec::new();
        for _ in 0..ROUNDS * 32 {
            other.datapath.handle_tun_input(&mut packet.clone(), other.now);
            while let Some(transmit) = other.datapath.poll_transmit() {
                datagrams.push(transmit.contents.to_vec());
            }
        }
        let (mut next, mut buffer) = (datagrams.iter(), vec![0; 70_000]);
        per_item(ROUNDS, 32, || {
            for datagram in next.by_ref().take(32) {
                let opened = other.gateway.open(gateway_sees(), datagram, &mut buffer, &mut batch, other.now);
                assert!(matches!(opened, Opened::Packet(_)));
            }
        })
    }

    fn back(&mut self, can_join: bool) -> f64 {
        let datagrams = self.sealed(ROUNDS);
        let size = datagrams[0].len() / JOINED;
        let (mut next, mut frames) = (datagrams.iter(), 0);
        let cost = per_item(ROUNDS, JOINED, || {
            let Some(datagrams) = next.next() else { return };
            self.datapath.handle_network_input(device_sees(), datagrams, size, self.now);
            while self.datapath.poll_frame().is_some() {
                frames += 1;
            }
        });
        assert_eq!(frames, ROUNDS * if can_join { 1 } else { JOINED });
        cost
    }
}

/// Cutting alone, a segment.
fn cut() -> f64 {
    let payload = 65_000;
    let mut packet = segment_of(LOCAL, HOST, 4_000, 80, 1, 0x10, payload);
    let facts = Facts::parse(&packet).unwrap();
    let offload = Offload {
        checksum_start: Some(20),
        checksum_offset: 16,
        segmentation: Segmentation::Tcp { size: PAYLOAD as u16 },
    };
    let mut scratch = vec![0; 70_000];
    per_item(ROUNDS, payload.div_ceil(PAYLOAD), || {
        assert!(segment::cut(&mut packet, &facts, &offload, &mut scratch, |segment| {
            black_box(segment);
        }));
    })
}

/// Nanoseconds an item; the fastest tenth of the rounds, so that other programs do not count.
fn per_item(rounds: usize, items: usize, mut round: impl FnMut()) -> f64 {
    let mut costs: Vec<u128> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos()
        })
        .collect();
    costs.sort_unstable();
    let best = &costs[..rounds / 10];
    best.iter().sum::<u128>() as f64 / (best.len() * items) as f64
}

/// A frame of the device with an unfinished checksum, as the kernel gives it.
fn frame(flags: u8) -> Vec<u8> {
    let mut packet = segment_of(DEVICE, NAME, 4_000, 80, 1, flags, PAYLOAD);
    let pseudo = checksum::pseudo_header(DEVICE.into(), NAME.into(), 6, packet.len() - 20);
    packet[36..38].copy_from_slice(&checksum::fold(pseudo).to_ne_bytes());
    let offload = Offload { checksum_start: Some(20), checksum_offset: 16, segmentation: Segmentation::None };
    let mut frame = vec![0; HEADER_LEN];
    offload.write(&mut frame, false, 40);
    frame.extend(packet);
    frame
}

fn segment_of(
    from: [u8; 4],
    to: [u8; 4],
    source: u16,
    destination: u16,
    sequence: u32,
    flags: u8,
    payload: usize,
) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from, to, 64).tcp(source, destination, sequence, 60_000);
    let builder = if flags & 0x02 != 0 { builder.syn() } else { builder.ack(7) };
    let mut packet = Vec::new();
    builder.write(&mut packet, &vec![0x5a; payload]).unwrap();
    packet
}

fn policy() -> Policy {
    let ports = vec![Ports { protocol: Protocol::Tcp, first: 80, last: 80 }];
    Policy {
        gateways: vec![Gateway {
            ipv4: Some(LOCAL.into()),
            ipv6: None,
            allowed_ips: vec![Prefix { address: [10, 77, 0, 0].into(), length: 16 }],
            probe_targets: Vec::new(),
        }],
        grants: vec![Grant { applications: vec![Application { id: 0, ports }] }],
        ..Policy::default()
    }
}

fn gateway_sees() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 40_000))
}

fn device_sees() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 51_820))
}
