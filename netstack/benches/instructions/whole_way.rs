//! A packet's whole way, out and back, in two set-ups: a plain tunnel, and one with all that names and policy bring.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use etherparse::PacketBuilder;
use netstack::datapath::{Datapath, Mapping};
use netstack::packet::checksum;
use netstack::packet::virtio::{HEADER_LEN, Offload, Segmentation};
use netstack::policy::{Application, Gateway, Grant, Network, Policy, Ports, Prefix, Protocol};
use netstack::send_batch::SendBatch;
use netstack::wireguard::{Peer, PeerConfig, public_key};

/// Segments of a super-packet.
pub(crate) const SEGMENTS: usize = 44;
/// Payload of a segment in bytes; with the headers of IPv4 and TCP 1,400.
const PAYLOAD: usize = 1_360;
/// Headers of IPv4 and TCP in bytes.
const HEADERS: usize = 40;
const DEVICE: [u8; 4] = [100, 64, 0, 1];
const HOST: [u8; 4] = [10, 77, 9, 1];
/// Port of the first gateway; the others have the next ones.
const FIRST_PORT: u16 = 51_820;
const GATEWAYS: usize = 4;
const APPLICATIONS: usize = 10_000;
const FLOWS: usize = 100_000;
/// Flows that packets go on, each on another one than the packet before.
const ACTIVE: usize = 64;

/// What is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetUp {
    /// One gateway, one range of addresses that are left as they are, one flow.
    Plain,
    /// Four gateways, 10,000 names with an application each, addresses translated, 100,000 flows.
    Full,
}

/// How packets come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One by one, of 1,400 bytes.
    Single,
    /// 44 segments at once.
    Super,
}

/// From a frame of the TUN to datagrams in the batch.
pub(crate) fn out(set_up: SetUp, shape: Shape, times: usize) {
    let mut world = World::new(set_up);
    let originals: Vec<Vec<u8>> = world.active.iter().map(|ends| frame(ends, shape)).collect();
    let mut copies = originals.clone();
    for index in 0..times {
        let (original, copy) = (&originals[index % ACTIVE], &mut copies[index % ACTIVE]);
        copy[..HEADER_LEN + HEADERS].copy_from_slice(&original[..HEADER_LEN + HEADERS]);
        let sequence = 2 + (index / ACTIVE * shape.payload()) as u32;
        copy[HEADER_LEN + 24..HEADER_LEN + 28].copy_from_slice(&sequence.to_be_bytes());
        world.datapath.handle_tun_input(black_box(copy), world.now);
        let mut sent = 0;
        while let Some(transmit) = world.datapath.poll_transmit() {
            sent += black_box(transmit).contents.len();
        }
        assert!(sent > shape.payload());
    }
}

/// From datagrams to a frame of the TUN; `most` are sealed beforehand, whatever `times` is.
pub(crate) fn back(set_up: SetUp, shape: Shape, times: usize, most: usize) {
    let mut world = World::new(set_up);
    let received: Vec<(SocketAddr, Vec<u8>)> = (0..most).map(|index| world.sealed(index, shape)).collect();
    for (from, datagrams) in &received[..times] {
        let stride = datagrams.len() / shape.segments();
        world.datapath.handle_network_input(*from, black_box(datagrams), stride, world.now);
        let mut frames = 0;
        while let Some(frame) = world.datapath.poll_frame() {
            black_box(frame);
            frames += 1;
        }
        assert_eq!(frames, 1);
    }
}

impl Shape {
    pub(crate) fn segments(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Super => SEGMENTS,
        }
    }

    fn payload(self) -> usize {
        self.segments() * PAYLOAD
    }
}

/// The ends of a flow.
#[derive(Debug, Clone, Copy)]
struct Ends {
    gateway: usize,
    port: u16,
    /// The host as the device knows it.
    seen: [u8; 4],
    real: [u8; 4],
    /// The device's address in the tunnel.
    local: [u8; 4],
}

impl Ends {
    fn of(set_up: SetUp, flow: usize) -> Self {
        if set_up == SetUp::Plain {
            return Self { gateway: 0, port: 4_000, seen: HOST, real: HOST, local: DEVICE };
        }
        let application = flow % APPLICATIONS;
        let (high, low) = ((application / 250) as u8, (application % 250) as u8);
        let gateway = application % GATEWAYS;
        let net = 77 + gateway as u8;
        let port = 4_000 + (flow / APPLICATIONS) as u16;
        let (seen, real) = ([100, 64, 1 + high, low], [10, net, 1 + high, low]);
        Self { gateway, port, seen, real, local: [10, net, 0, 3] }
    }
}

struct World {
    datapath: Datapath,
    gateways: Vec<Peer>,
    batch: SendBatch,
    active: Vec<Ends>,
    now: Instant,
}

impl World {
    fn new(set_up: SetUp) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let mut datapath = Datapath::new(crate::config(), now);
        datapath.set_policy(policy(set_up), now);
        let (flows, gateways) = match set_up {
            SetUp::Plain => (1, 1),
            SetUp::Full => (FLOWS, GATEWAYS),
        };
        if set_up == SetUp::Full {
            for application in 0..APPLICATIONS {
                let Ends { gateway, seen, real, .. } = Ends::of(set_up, application);
                let mapping =
                    Mapping { gateway: gateway as u32, real: real.into(), grant: application as u32 };
                datapath.add_mapping(IpAddr::from(seen), mapping);
            }
        }
        // without a session yet, so that nothing is sealed for those that only stand in the table
        for flow in 0..flows {
            datapath.handle_tun_input(&mut opening(&Ends::of(set_up, flow)), now);
        }
        let tracked: u32 = datapath.flows_by_application(APPLICATIONS).iter().sum();
        assert_eq!(tracked as usize, flows);
        let active = (0..ACTIVE).map(|index| Ends::of(set_up, index * flows / ACTIVE)).collect();
        let peers = (0..gateways).map(|id| peer(5 + id as u8, 3, device_is_at(), 0, now)).collect();
        let mut world = Self { datapath, gateways: peers, batch: SendBatch::new(64), active, now };
        world.connect();
        world.establish();
        world
    }

    fn connect(&mut self) {
        for id in 0..self.gateways.len() {
            self.datapath.set_peer(id as u32, peer_config(3, 5 + id as u8, gateway_is_at(id)), self.now);
        }
        let mut buffer = vec![0; 70_000];
        for _ in 0..4 {
            let mut sent = Vec::new();
            while let Some(transmit) = self.datapath.poll_transmit() {
                sent.push((transmit.destination, transmit.contents.to_vec()));
            }
            for (to, datagram) in sent {
                let gateway = &mut self.gateways[usize::from(to.port() - FIRST_PORT)];
                gateway.open(device_is_at(), &datagram, &mut buffer, &mut self.batch, self.now);
                while let Some(answer) = self.batch.pop() {
                    self.datapath.handle_network_input(to, answer.contents, answer.contents.len(), self.now);
                }
            }
        }
    }

    /// The hosts of the active flows answer, and the device says that it heard.
    fn establish(&mut self) {
        for ends in self.active.clone() {
            let answer = packet((ends.real, 80), (ends.local, ends.port), 0x12, 1, 2, 0);
            let datagram = self.seal(ends.gateway, &answer);
            let from = gateway_is_at(ends.gateway);
            self.datapath.handle_network_input(from, &datagram, datagram.len(), self.now);
            while self.datapath.poll_frame().is_some() {}
            let mut heard = vec![0; HEADER_LEN];
            heard.extend(packet((DEVICE, ends.port), (ends.seen, 80), 0x10, 2, 2, 0));
            self.datapath.handle_tun_input(&mut heard, self.now);
            while self.datapath.poll_transmit().is_some() {}
        }
    }

    /// What the host of the flow whose turn it is sends, sealed by its gateway.
    fn sealed(&mut self, index: usize, shape: Shape) -> (SocketAddr, Vec<u8>) {
        let ends = self.active[index % ACTIVE];
        let first = 2 + index / ACTIVE * shape.payload();
        let mut datagrams = Vec::new();
        for segment in 0..shape.segments() {
            let sequence = (first + segment * PAYLOAD) as u32;
            let packet = packet((ends.real, 80), (ends.local, ends.port), 0x10, sequence, 2, PAYLOAD);
            datagrams.extend(self.seal(ends.gateway, &packet));
        }
        (gateway_is_at(ends.gateway), datagrams)
    }

    fn seal(&mut self, gateway: usize, packet: &[u8]) -> Vec<u8> {
        assert!(self.gateways[gateway].seal(packet, &mut self.batch, self.now));
        let mut datagrams = Vec::new();
        while let Some(transmit) = self.batch.pop() {
            datagrams.extend_from_slice(transmit.contents);
        }
        datagrams
    }
}

fn peer(own: u8, other: u8, endpoint: SocketAddr, index: u32, now: Instant) -> Peer {
    Peer::new(peer_config(own, other, endpoint), index, now)
}

fn peer_config(own: u8, other: u8, endpoint: SocketAddr) -> PeerConfig {
    PeerConfig {
        private_key: [own; 32],
        public_key: public_key([other; 32]),
        preshared_key: None,
        endpoints: vec![endpoint],
        can_move: false,
        keepalive: 0,
    }
}

fn device_is_at() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 40_000))
}

fn gateway_is_at(id: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], FIRST_PORT + id as u16))
}

fn opening(ends: &Ends) -> Vec<u8> {
    let mut frame = vec![0; HEADER_LEN];
    frame.extend(packet((DEVICE, ends.port), (ends.seen, 80), 0x02, 1, 0, 0));
    frame
}

/// What the device sends on an open flow, with an unfinished checksum, as the kernel gives it.
fn frame(ends: &Ends, shape: Shape) -> Vec<u8> {
    let mut packet = packet((DEVICE, ends.port), (ends.seen, 80), 0x10, 2, 2, shape.payload());
    let pseudo = checksum::pseudo_header(DEVICE.into(), ends.seen.into(), 6, packet.len() - 20);
    packet[36..38].copy_from_slice(&checksum::fold(pseudo).to_ne_bytes());
    let segmentation = match shape {
        Shape::Single => Segmentation::None,
        Shape::Super => Segmentation::Tcp { size: PAYLOAD as u16 },
    };
    let offload = Offload { checksum_start: Some(20), checksum_offset: 16, segmentation };
    let mut frame = vec![0; HEADER_LEN];
    offload.write(&mut frame, false, HEADERS as u16);
    frame.extend(packet);
    frame
}

fn packet(
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
    payload: usize,
) -> Vec<u8> {
    let mut builder = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, sequence, 60_000);
    if flags & 0x02 != 0 {
        builder = builder.syn();
    }
    if flags & 0x10 != 0 {
        builder = builder.ack(acknowledgement);
    }
    let mut packet = Vec::new();
    builder.write(&mut packet, &vec![0x5a; payload]).unwrap();
    packet
}

fn policy(set_up: SetUp) -> Policy {
    let range = |net: u8| Prefix { address: [10, net, 0, 0].into(), length: 16 };
    let application = |id: u32| {
        let ports = vec![Ports { protocol: Protocol::Tcp, first: 80, last: 80 }];
        Grant { applications: vec![Application { id, ports }] }
    };
    match set_up {
        SetUp::Plain => Policy {
            gateways: vec![Gateway {
                ipv4: Some(DEVICE.into()),
                allowed_ips: vec![range(77)],
                ..Gateway::default()
            }],
            grants: vec![application(0)],
            networks: vec![Network { prefix: range(77), gateway: 0, grant: 0 }],
            ..Policy::default()
        },
        SetUp::Full => Policy {
            gateways: (77..77 + GATEWAYS as u8)
                .map(|net| Gateway {
                    ipv4: Some([10, net, 0, 3].into()),
                    allowed_ips: vec![range(net)],
                    ..Gateway::default()
                })
                .collect(),
            grants: (0..APPLICATIONS as u32).map(application).collect(),
            ..Policy::default()
        },
    }
}
