//! A datapath, and a stock gateway on the other side of its datagrams.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::datapath::{Config, Datapath, Handled, Mapping};
use crate::packet::checksum;
use crate::packet::facts::{Facts, Transport};
use crate::packet::virtio::{HEADER_LEN, Offload};
use crate::packets_for_tests::{at, ip, sound, start};
use crate::policy::{Application, Gateway, Grant, Network, Policy, Ports, Prefix, Protocol};
use crate::send_batch::SendBatch;
use crate::wireguard::{Opened, Peer, PeerConfig, public_key};

/// Addresses of the device, of two virtual names of one host, and of the tunnel.
pub(super) const DEVICE: &str = "100.64.0.1";
pub(super) const WIKI: &str = "100.64.0.20";
pub(super) const ALIAS: &str = "100.64.0.21";
pub(super) const LOCAL: &str = "10.77.0.3";
pub(super) const HOST: &str = "10.77.9.1";
/// The same of the other family.
pub(super) const DEVICE6: &str = "fd99::1";
pub(super) const WIKI6: &str = "fd99::20";
pub(super) const LOCAL6: &str = "fd77::3";
pub(super) const HOST6: &str = "fd77::9:1";

const OURS: [u8; 32] = [3; 32];
const THEIRS: [u8; 32] = [5; 32];

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) datapath: Datapath,
    gateway: Peer,
    batch: SendBatch,
}

fn prefix(address: &str, length: u8) -> Prefix {
    Prefix { address: ip(address), length }
}

/// Grant 0: TCP 80, UDP 5000 to 6000 and echo (application 0); grant 1: nothing but TCP 22 (application 1).
pub(super) fn policy() -> Policy {
    let ports = |protocol, first, last| Ports { protocol, first, last };
    let wiki =
        vec![ports(Protocol::Tcp, 80, 80), ports(Protocol::Udp, 5000, 6000), ports(Protocol::Icmp, 0, 0)];
    let shell = vec![ports(Protocol::Tcp, 22, 22)];
    Policy {
        gateways: vec![Gateway {
            ipv4: Some("10.77.0.3".parse().unwrap()),
            ipv6: Some("fd77::3".parse().unwrap()),
            allowed_ips: vec![prefix("10.77.0.0", 16), prefix("fd77::", 16)],
            probe_targets: Vec::new(),
        }],
        grants: vec![
            Grant { applications: vec![Application { id: 0, ports: wiki }] },
            Grant { applications: vec![Application { id: 1, ports: shell }] },
        ],
        networks: vec![Network { prefix: prefix("10.77.128.0", 24), gateway: 0, grant: 0 }],
        withheld: Vec::new(),
        is_blocked: false,
    }
}

impl World {
    /// With a session, a policy and names.
    pub(super) fn new() -> Self {
        let mut world = Self::without_session();
        world.pump();
        assert!(world.datapath.peer(0).unwrap().is_established(world.now), "a session");
        world
    }

    /// The same before the gateway has said anything.
    pub(super) fn without_session() -> Self {
        let now = start();
        let mut datapath = Datapath::new(
            Config {
                seed: [9; 32],
                resolver: ("100.64.0.53".parse().unwrap(), Some("fd99::53".parse().unwrap())),
                pool: vec![prefix("100.64.0.0", 16), prefix("fd99::", 48)],
                mtu: 1420,
                can_join: crate::CanJoin { tcp: true, udp: true },
                most_segments: 64,
            },
            now,
        );
        datapath.set_policy(policy(), now);
        for (virtual_address, real) in [(WIKI, HOST), (ALIAS, HOST), (WIKI6, HOST6)] {
            datapath.add_mapping(ip(virtual_address), Mapping { gateway: 0, real: ip(real), grant: 0 });
        }
        let config = |private_key, other, endpoint, keepalive| PeerConfig {
            private_key,
            public_key: public_key(other),
            preshared_key: None,
            endpoints: vec![at(endpoint)],
            can_move: false,
            keepalive,
        };
        datapath.set_peer(0, config(OURS, THEIRS, "192.0.2.1:51820", 0), now);
        let gateway = Peer::new(config(THEIRS, OURS, "192.0.2.9:40000", 0), 0, now);
        Self { now, datapath, gateway, batch: SendBatch::new(64) }
    }

    /// Carries datagrams both ways until all is said; the packets that came out at the gateway.
    pub(super) fn pump(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        loop {
            let mut sent = drain(|| self.datapath.poll_transmit().map(owned));
            if sent.is_empty() {
                return packets;
            }
            for datagram in sent.drain(..) {
                packets.extend(self.open(&datagram));
            }
            self.flush_gateway();
        }
    }

    /// Lets the path be measured with hosts behind the gateway from the next session on.
    pub(super) fn measure(&mut self, targets: &[&str]) {
        let mut measured = policy();
        measured.gateways[0].probe_targets = targets.iter().map(|target| ip(target)).collect();
        self.datapath.set_policy(measured, self.now);
        self.datapath.reconnect(self.now);
    }

    /// As [`Self::pump`] over a path that drops longer datagrams without a word; hosts answer echoes. Packets for the
    /// inside that are no echo of the connector's own come back.
    pub(super) fn pump_path(&mut self, path: Path) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        loop {
            let mut sent = drain(|| self.datapath.poll_transmit().map(owned));
            if sent.is_empty() {
                return packets;
            }
            for datagram in sent.drain(..).filter(|datagram| datagram.len() <= path.up) {
                let Some(packet) = self.open(&datagram) else { continue };
                match path.answer(&packet) {
                    Some(answer) => assert!(self.gateway.seal(&answer, &mut self.batch, self.now)),
                    None if is_probe(&packet) => {}
                    None => packets.push(packet),
                }
            }
            for datagram in drain(|| self.batch.pop().map(owned)) {
                let length = datagram.len();
                if length <= path.down {
                    self.datapath.handle_network_input(at("192.0.2.1:51820"), &datagram, length, self.now);
                }
            }
        }
    }

    /// Lets the path be measured to the end; what came out at the gateway meanwhile.
    pub(super) fn settle(&mut self, path: Path) -> Vec<Vec<u8>> {
        let mut packets = self.pump_path(path);
        for _ in 0..60 {
            let Some(due) = self.datapath.paths.poll_timeout() else { return packets };
            self.now = due;
            self.datapath.handle_timeout(due);
            packets.extend(self.pump_path(path));
        }
        panic!("the path is still being looked at");
    }

    /// All datagrams that wait, lost on the way.
    pub(super) fn lose(&mut self) -> usize {
        drain(|| self.datapath.poll_transmit().map(owned)).len()
    }

    /// The gateway goes silent; a handshake has been failing for long.
    pub(super) fn make_lost(&mut self) {
        let peer = self.datapath.peers[0].as_mut().unwrap();
        peer.nudge(&mut self.datapath.send, self.now + std::time::Duration::from_secs(2));
        assert_eq!(self.lose(), 1, "an initiation");
        self.now += std::time::Duration::from_secs(13);
    }

    /// The device sends a packet whose checksums are finished.
    pub(super) fn device_sends(&mut self, packet: &[u8]) -> Handled {
        self.device_sends_with(packet, &Offload::NONE)
    }

    /// The device sends a packet with offload facts.
    pub(super) fn device_sends_with(&mut self, packet: &[u8], offload: &Offload) -> Handled {
        let mut frame = vec![0; HEADER_LEN];
        let facts = Facts::parse(packet);
        offload.write(&mut frame, facts.is_some_and(|facts| facts.is_ipv6()), 40);
        frame.extend_from_slice(packet);
        self.datapath.handle_tun_input(&mut frame, self.now)
    }

    /// The device sends one packet, and exactly one comes out at the gateway.
    pub(super) fn carried(&mut self, packet: &[u8]) -> Vec<u8> {
        self.device_sends(packet);
        let mut packets = self.pump();
        assert_eq!(packets.len(), 1, "one packet at the gateway");
        packets.remove(0)
    }

    /// The gateway sends packets into the tunnel.
    pub(super) fn gateway_sends(&mut self, packets: &[Vec<u8>]) {
        for packet in packets {
            assert!(self.gateway.seal(packet, &mut self.batch, self.now));
        }
        self.flush_gateway();
    }

    /// The gateway sends one packet; what the device gets.
    pub(super) fn delivered(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        self.gateway_sends(&[packet.to_vec()]);
        self.frames()
    }

    /// Packets for the device, virtio header taken off; single ones have right checksums.
    pub(super) fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Some(frame) = self.datapath.poll_frame() {
            let packet = frame[HEADER_LEN..].to_vec();
            if Offload::parse(frame) == Some(Offload::NONE) && Facts::parse(&packet).is_some() {
                sound(&packet);
            }
            packets.push(packet);
        }
        packets
    }

    /// Empties the batch of frames, whatever is in them.
    pub(super) fn discard_frames(&mut self) {
        while self.datapath.poll_frame().is_some() {}
    }

    /// The only packet for the device.
    pub(super) fn frame(&mut self) -> Vec<u8> {
        let mut frames = self.frames();
        assert_eq!(frames.len(), 1, "one packet for the device");
        frames.remove(0)
    }

    fn open(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 70_000];
        match self.gateway.open(at("192.0.2.9:40000"), datagram, &mut buffer, &mut self.batch, self.now) {
            Opened::Packet(length) => Some(buffer[..length].to_vec()),
            Opened::Nothing => None,
            Opened::Bad => panic!("the gateway got a bad datagram"),
        }
    }

    fn flush_gateway(&mut self) {
        for datagram in drain(|| self.batch.pop().map(owned)) {
            let length = datagram.len();
            self.datapath.handle_network_input(at("192.0.2.1:51820"), &datagram, length, self.now);
        }
    }
}

/// A path: the largest datagrams that pass, and who answers echoes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub(super) up: usize,
    pub(super) down: usize,
    /// The only host that answers; `None`: the gateway, when the hop limit is at its end.
    pub(super) host: Option<&'static str>,
}

impl Path {
    /// That carries outer IPv4 packets of `size` bytes both ways, and [`HOST`] answers.
    pub(super) fn of(size: usize) -> Self {
        Self { up: size - 28, down: size - 28, host: Some(HOST) }
    }

    fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        if !is_probe(packet) {
            return None;
        }
        let facts = sound(packet);
        let hops = if facts.is_ipv6() { packet[7] } else { packet[8] };
        match self.host {
            Some(host) if hops > 1 && facts.destination == ip(host) => Some(echoed(packet)),
            None if hops == 1 => Some(super::icmp::error("10.77.0.1", packet, 28, [11, 0], 0)),
            Some(_) | None => None,
        }
    }
}

fn is_probe(packet: &[u8]) -> bool {
    let echo = Facts::parse(packet).is_some_and(|facts| matches!(facts.transport, Transport::Echo { .. }));
    echo && packet.len() > 400
}

/// The answer to an echo request, of the same size.
fn echoed(packet: &[u8]) -> Vec<u8> {
    let facts = sound(packet);
    let Transport::Echo { id, .. } = facts.transport else { panic!("no echo") };
    let (source, destination) = (facts.destination, facts.source);
    let request = crate::packet::echo::Request { source, destination, id, sequence: 0, hop_limit: 60 };
    let mut out = vec![0; packet.len()];
    crate::packet::echo::write(&mut out, &request, packet.len()).unwrap();
    let old = checksum::sum(&out[facts.transport_at..facts.transport_at + 2]);
    out[facts.transport_at] = if facts.is_ipv6() { 129 } else { 0 };
    let new = checksum::sum(&out[facts.transport_at..facts.transport_at + 2]);
    let field = facts.transport_at + 2;
    checksum::adjust_finished(&mut out[field..field + 2], checksum::change(old, new));
    out
}

/// The ends of a packet with ports.
pub(super) fn ends(facts: &Facts) -> (SocketAddr, SocketAddr) {
    let (source, destination) = facts.ports().unwrap();
    (SocketAddr::new(facts.source, source), SocketAddr::new(facts.destination, destination))
}

/// Source and destination.
pub(super) fn addresses(facts: &Facts) -> (IpAddr, IpAddr) {
    (facts.source, facts.destination)
}

fn owned(transmit: crate::send_batch::Transmit<'_>) -> Vec<Vec<u8>> {
    let size = transmit.segment_size.unwrap_or(transmit.contents.len());
    transmit.contents.chunks(size).map(<[u8]>::to_vec).collect()
}

fn drain(next: impl FnMut() -> Option<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    std::iter::from_fn(next).flatten().collect()
}
