//! A gateway and several devices on the other side of its datagrams.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::gateway::*;
use crate::packet::facts::Facts;
use crate::packet::virtio::{HEADER_LEN, Offload};
use crate::packets_for_tests::{at, ip, sound, start};
use crate::policy::{Ports, Prefix, Protocol};
use crate::send_batch::{SendBatch, Transmit};
use crate::wireguard::{self, Opened, Peer, public_key};

/// The gateway's address outside, and its key.
pub(super) const OUTSIDE: &str = "192.0.2.1:51820";
pub(super) const KEY: [u8; 32] = [5; 32];
/// Where names are asked.
pub(super) const NAMES: &str = "10.77.0.53";
/// Addresses given out for names of application 0 and 1; both are the same host.
pub(super) const WIKI: &str = "100.100.0.20";
pub(super) const SHELL: &str = "100.100.0.21";
pub(super) const WIKI6: &str = "fd64::20";
pub(super) const HOST: &str = "10.1.0.1";
pub(super) const HOST6: &str = "fd01::1";

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) gateway: Gateway,
    pub(super) devices: Vec<Device>,
}

/// A device, 10.77.0.3 and fd77::3 or the next ones, and what came out at it.
pub(super) struct Device {
    pub(super) peer: Peer,
    pub(super) batch: SendBatch,
    pub(super) outside: SocketAddr,
    pub(super) got: Vec<Vec<u8>>,
}

pub(super) fn prefix(address: &str, length: u8) -> Prefix {
    Prefix { address: ip(address), length }
}

pub(super) fn key(device: usize) -> [u8; 32] {
    let mut key = [10; 32];
    key[1..9].copy_from_slice(&(device as u64).to_be_bytes());
    key
}

/// The device's inner address with a port.
pub(super) fn source(device: usize, port: u16) -> String {
    format!("10.77.0.{}:{port}", device + 3)
}

pub(super) fn peer_config(device: usize, applications: &[u32]) -> PeerConfig {
    PeerConfig {
        public_key: public_key(key(device)),
        preshared_key: None,
        allowed_ips: vec![
            prefix(&format!("10.77.0.{}", device + 3), 32),
            prefix(&format!("fd77::{}", device + 3), 128),
        ],
        applications: applications.to_vec(),
    }
}

/// Application 0: TCP 80, UDP 5000 to 6000 and echo; 1: TCP 22; 2: all TCP in 10.50.0.0/16.
pub(super) fn policy(rights: &[&[u32]]) -> Policy {
    let ports = |protocol, first, last| Ports { protocol, first, last };
    let wiki =
        vec![ports(Protocol::Tcp, 80, 80), ports(Protocol::Udp, 5000, 6000), ports(Protocol::Icmp, 0, 0)];
    Policy {
        peers: rights.iter().enumerate().map(|(device, own)| peer_config(device, own)).collect(),
        applications: vec![
            Application { ports: wiki },
            Application { ports: vec![ports(Protocol::Tcp, 22, 22)] },
            Application { ports: vec![ports(Protocol::Tcp, 1, 65_535)] },
        ],
        networks: vec![Network { prefix: prefix("10.50.0.0", 16), application: 2 }],
        guarded: vec![prefix("10.50.9.0", 24)],
    }
}

pub(super) fn config(egress: Egress) -> Config {
    Config {
        private_key: KEY,
        seed: [9; 32],
        mtu: 1_420,
        can_join: crate::CanJoin { tcp: true, udp: true },
        most_segments: 64,
        names: (Some("10.77.0.53".parse().unwrap()), Some("fd77::53".parse().unwrap())),
        egress,
        limits: Limits::default(),
    }
}

impl World {
    /// Two devices with sessions: the first has everything, the second application 1.
    pub(super) fn new(egress: Egress) -> Self {
        let mut world = Self::with(config(egress), &[&[0, 1, 2], &[1]]);
        world.connect(0);
        world.connect(1);
        world
    }

    /// Devices without sessions, one for each set of applications.
    pub(super) fn with(config: Config, rights: &[&[u32]]) -> Self {
        let now = start();
        let mut gateway = Gateway::new(config, now);
        gateway.replace_destinations(destinations());
        let numbers = gateway.set_policy(policy(rights), now);
        assert_eq!(numbers, (0..rights.len() as u32).collect::<Vec<_>>());
        let devices = (0..rights.len()).map(|device| Device::new(device, now)).collect();
        Self { now, gateway, devices }
    }

    /// The device makes a session, and has one.
    pub(super) fn connect(&mut self, device: usize) {
        let Device { peer, batch, .. } = &mut self.devices[device];
        peer.connect(batch, self.now);
        self.pump();
        assert!(self.devices[device].peer.is_established(self.now), "a session");
    }

    /// Carries datagrams both ways until all is said.
    pub(super) fn pump(&mut self) {
        loop {
            let mut is_quiet = true;
            for device in 0..self.devices.len() {
                for datagram in self.devices[device].sent() {
                    is_quiet = false;
                    let from = self.devices[device].outside;
                    self.gateway.handle_network_input(from, &datagram, datagram.len(), self.now);
                }
            }
            for (to, datagram) in self.transmitted() {
                is_quiet = false;
                if let Some(device) = self.devices.iter_mut().find(|device| device.outside == to) {
                    device.open(&datagram, self.now);
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    /// All datagrams that the gateway has to send.
    pub(super) fn transmitted(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(transmit) = self.gateway.poll_transmit() {
            let to = transmit.destination;
            all.extend(cut(transmit).into_iter().map(|datagram| (to, datagram)));
        }
        all
    }

    /// The device sends packets.
    pub(super) fn sends(&mut self, device: usize, packets: &[Vec<u8>]) {
        for packet in packets {
            let Device { peer, batch, .. } = &mut self.devices[device];
            assert!(peer.seal(packet, batch, self.now));
        }
        self.pump();
    }

    /// What came out at the device since.
    pub(super) fn got(&mut self, device: usize) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.devices[device].got)
    }

    /// The only packet that came out at the device.
    pub(super) fn answer(&mut self, device: usize) -> Vec<u8> {
        let mut got = self.got(device);
        assert_eq!(got.len(), 1, "one packet at the device");
        got.remove(0)
    }

    /// Packets for the inner side, virtio header taken off; single ones have right checksums.
    pub(super) fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Some(frame) = self.gateway.poll_frame() {
            let packet = frame[HEADER_LEN..].to_vec();
            if Offload::parse(frame) == Some(Offload::NONE) {
                sound(&packet);
            }
            packets.push(packet);
        }
        packets
    }

    /// The only packet for the inner side.
    pub(super) fn frame(&mut self) -> Vec<u8> {
        let mut frames = self.frames();
        assert_eq!(frames.len(), 1, "one packet for the inner side");
        frames.remove(0)
    }

    /// The inner side sends a packet whose checksums are finished.
    pub(super) fn inner_sends(&mut self, packet: &[u8]) {
        self.inner_sends_with(packet, &Offload::NONE);
    }

    /// The inner side sends a packet with offload facts.
    pub(super) fn inner_sends_with(&mut self, packet: &[u8], offload: &Offload) {
        let mut frame = vec![0; HEADER_LEN];
        let facts = Facts::parse(packet);
        offload.write(&mut frame, facts.is_some_and(|facts| facts.is_ipv6()), 40);
        frame.extend_from_slice(packet);
        self.gateway.handle_inner_frame(&mut frame, self.now);
        self.pump();
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.gateway.poll_event()).collect()
    }

    /// The only thing that happened.
    pub(super) fn event(&mut self) -> Event {
        let events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events[0]
    }

    /// The flow that wants to open, and nothing else happened.
    pub(super) fn opening(&mut self) -> FlowId {
        let Event::Opening(id, _) = self.event() else { panic!("no flow wants to open") };
        id
    }

    /// Content for the caller.
    pub(super) fn contents(&mut self) -> Vec<(Content, Vec<u8>)> {
        let next = || self.gateway.poll_datagram().map(|(content, payload)| (content, payload.to_vec()));
        std::iter::from_fn(next).collect()
    }

    /// Time passes, and every deadline is kept.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            let Some(due) = self.gateway.poll_timeout().filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = due.max(self.now);
            self.gateway.handle_timeout(self.now);
            self.pump();
        }
        panic!("deadlines that have no effect");
    }
}

impl Device {
    pub(super) fn new(device: usize, now: Instant) -> Self {
        let config = wireguard::PeerConfig {
            private_key: key(device),
            public_key: public_key(KEY),
            preshared_key: None,
            endpoints: vec![at(OUTSIDE)],
            can_move: false,
            keepalive: 0,
        };
        Self {
            peer: Peer::new(config, 77, now),
            batch: SendBatch::new(64),
            outside: SocketAddr::from(([198, 51, 100, device as u8], 40_000)),
            got: Vec::new(),
        }
    }

    /// The datagrams that it has to send.
    pub(super) fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(transmit) = self.batch.pop() {
            all.extend(cut(transmit));
        }
        all
    }

    pub(super) fn open(&mut self, datagram: &[u8], now: Instant) -> Opened {
        let mut buffer = vec![0; 70_000];
        let opened = self.peer.open(at(OUTSIDE), datagram, &mut buffer, &mut self.batch, now);
        if let Opened::Packet(length) = opened {
            self.got.push(buffer[..length].to_vec());
        }
        opened
    }
}

/// What stands behind the addresses that were given out.
pub(super) fn destinations() -> Vec<(std::net::IpAddr, Destination)> {
    [(WIKI, 0, HOST), (SHELL, 1, HOST), (WIKI6, 0, HOST6)]
        .map(|(address, application, real)| {
            (ip(address), Destination { applications: vec![application], real: Some(ip(real)) })
        })
        .into()
}

fn cut(transmit: Transmit<'_>) -> Vec<Vec<u8>> {
    let size = transmit.segment_size.unwrap_or(transmit.contents.len());
    transmit.contents.chunks(size).map(<[u8]>::to_vec).collect()
}
