//! One device and one gateway for fuzzing packets and datagrams: whatever is sent, what comes out is looked at.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netstack::datapath::{Config, Datapath, Mapping};
use netstack::packet::virtio::{HEADER_LEN, Offload, Segmentation};
use netstack::policy::{Application, Gateway as Peer, Grant, Network, Policy, Ports, Prefix, Protocol};
use netstack::wireguard::{PeerConfig, public_key};

use crate::gateway::{Gateway, set_clock};
use crate::wire::{self, Packet, SYN, Segment};

const OURS: [u8; 32] = [3; 32];
const THEIRS: [u8; 32] = [5; 32];
const GATEWAY_AT: &str = "192.0.2.1:51820";
const DEVICE_AT: &str = "192.0.2.9:40000";
const DEVICE: &str = "100.64.0.1";
const NAME: &str = "100.64.0.20";
const HOST: &str = "10.77.9.1";
const LOCAL: &str = "10.77.0.3";
/// What nobody but the two ends may see.
const MARK: &[u8] = b"plain text of a secret";

/// The device, the gateway, and what travelled.
pub struct Bench {
    datapath: Datapath,
    gateway: Gateway,
    start: Instant,
    now: Instant,
    /// Datagrams that the gateway sealed, and whether the device has had them.
    sealed: Vec<(Vec<u8>, bool)>,
    /// The longest packet that the gateway was given without a session: it comes after a handshake.
    kept: Vec<u8>,
}

impl Bench {
    /// With a policy, and a handshake that nobody has answered.
    pub fn without_session() -> Self {
        let start = Instant::now();
        set_clock(Duration::ZERO);
        let config = Config {
            seed: [9; 32],
            resolver: ("100.64.0.53".parse().expect("IPv4"), Some("fd99::53".parse().expect("IPv6"))),
            pool: vec![prefix("100.64.0.0", 16), prefix("fd99::", 48)],
            mtu: 1_420,
            can_join: netstack::CanJoin { tcp: true, udp: true },
            most_segments: 64,
        };
        let mut datapath = Datapath::new(config, start);
        datapath.set_policy(policy(), start);
        for (virtual_address, real) in [(NAME, HOST), ("100.64.0.21", HOST), ("fd99::20", "fd77::9:1")] {
            datapath.add_mapping(ip(virtual_address), Mapping { gateway: 0, real: ip(real), grant: 0 });
        }
        let peer = PeerConfig {
            private_key: OURS,
            public_key: public_key(THEIRS),
            preshared_key: None,
            endpoints: vec![at(GATEWAY_AT)],
            can_move: false,
            keepalive: 0,
        };
        datapath.set_peer(0, peer, start);
        let gateway = Gateway::new(THEIRS, public_key(OURS), 7);
        Self { datapath, gateway, start, now: start, sealed: Vec::new(), kept: Vec::new() }
    }

    /// The same after the handshake.
    pub fn with_session() -> Self {
        let mut bench = Self::without_session();
        bench.make_session();
        bench
    }

    /// Carries everything both ways until nobody has anything to say.
    pub fn make_session(&mut self) {
        for _ in 0..6 {
            for answer in self.at_gateway() {
                self.carry_in(&answer);
            }
        }
        self.check_kept();
    }

    /// The device sends a frame; what comes out on either side is sound.
    pub fn device_sends(&mut self, frame: &mut [u8]) {
        self.datapath.handle_tun_input(frame, self.now);
        while let Some(frame) = self.datapath.poll_frame() {
            sound_frame(frame);
        }
        for answer in self.at_gateway() {
            self.carry_in(&answer);
        }
        self.check_kept();
    }

    /// The device opens a connection.
    pub fn device_asks(&mut self) {
        let segment =
            Segment { source: 4_000, destination: 80, sequence: 7, flags: SYN, ..Segment::default() };
        let packet = Packet::tcp(ip(DEVICE), ip(NAME), segment, b"");
        let mut frame = vec![0; HEADER_LEN];
        frame.extend(packet.bytes());
        self.device_sends(&mut frame);
    }

    /// Bytes of a stranger arrive from anywhere.
    pub fn hostile_datagram(&mut self, bytes: &[u8], stride: usize) {
        let from = if stride.is_multiple_of(2) { at(GATEWAY_AT) } else { at("203.0.113.7:9") };
        self.datapath.handle_network_input(
            from,
            bytes,
            if stride == 0 { bytes.len() } else { stride * 8 },
            self.now,
        );
        self.check_frames(&[]);
    }

    /// The gateway seals any bytes as a packet, and they arrive: an answer to what the device asked, or not.
    pub fn gateway_seals(&mut self, bytes: &[u8]) {
        let packet = if bytes.len() < 20 { answer(bytes) } else { bytes.to_vec() };
        for datagram in self.seal(&packet) {
            self.carry_in(&datagram);
            self.sealed.push((datagram, true));
            self.check_frames(&packet);
        }
    }

    /// A datagram of the gateway arrives with bits turned over.
    pub fn changed_datagram(&mut self, changes: &[u8]) {
        for mut datagram in self.seal(&answer(b"changed")) {
            let before = datagram.clone();
            for change in changes.chunks_exact(2) {
                let at = usize::from(change[0]) % datagram.len();
                datagram[at] ^= change[1];
            }
            self.carry_in(&datagram);
            // the reserved bytes behind the type are read as one number with it
            if datagram != before {
                self.check_frames(&[]);
            }
            self.discard_frames();
        }
    }

    /// A datagram that the device has had comes once more.
    pub fn replayed_datagram(&mut self, which: u8) {
        let Some(index) = usize::from(which).checked_rem(self.sealed.len()) else { return };
        let datagram = self.sealed[index].0.clone();
        self.carry_in(&datagram);
        self.check_frames(&[]);
    }

    /// A datagram loses its end, or gets a longer one.
    pub fn truncated_datagram(&mut self, how: &[u8]) {
        for mut datagram in self.seal(&answer(b"truncated")) {
            let length = datagram.len();
            datagram.resize(usize::from(how.first().copied().unwrap_or(0)), 0);
            if datagram.len() != length {
                self.carry_in(&datagram);
                self.check_frames(&[]);
            }
        }
    }

    /// Time passes, and what is due is done.
    pub fn pass_milliseconds(&mut self, milliseconds: u64) {
        let until = self.now + Duration::from_millis(milliseconds);
        for _ in 0..100 {
            let Some(due) = self.datapath.poll_timeout().filter(|due| *due <= until) else { break };
            self.set_time(due.max(self.now));
            self.datapath.handle_timeout(self.now);
            self.at_gateway();
        }
        self.set_time(until);
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
        set_clock(now - self.start);
    }

    /// What the gateway sends when it is given a packet.
    fn seal(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let (datagrams, is_sent) = self.gateway.send(packet);
        if !is_sent && packet.len() > self.kept.len() {
            self.kept = packet.to_vec();
        }
        datagrams
    }

    fn carry_in(&mut self, datagram: &[u8]) {
        self.datapath.handle_network_input(at(GATEWAY_AT), datagram, datagram.len(), self.now);
    }

    /// All that the device sends arrives; the gateway's answers.
    fn at_gateway(&mut self) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        while let Some(transmit) = self.datapath.poll_transmit() {
            assert_eq!(transmit.destination, at(GATEWAY_AT));
            let size = transmit.segment_size.unwrap_or(transmit.contents.len());
            for datagram in transmit.contents.chunks(size) {
                assert!(
                    !datagram.windows(MARK.len()).any(|window| window == MARK),
                    "plain text on the network"
                );
                let received = self.gateway.receive(at(DEVICE_AT), datagram);
                if let Some(packet) = received.packet {
                    allowed(&packet);
                }
                answers.extend(received.answers);
            }
        }
        answers
    }

    fn discard_frames(&mut self) {
        while self.datapath.poll_frame().is_some() {}
    }

    fn check_kept(&mut self) {
        let kept = self.kept.clone();
        self.check_frames(&kept);
    }

    /// The device gets nothing, or the answer to what it asked, which is `sent` but for addresses.
    fn check_frames(&mut self, sent: &[u8]) {
        while let Some(frame) = self.datapath.poll_frame() {
            assert!(!sent.is_empty(), "a frame out of nowhere: {frame:?}");
            let packet = &frame[HEADER_LEN..];
            assert!(packet.len() <= sent.len().max(1_420), "more came out than was sealed");
            let is_to_device = match packet[0] >> 4 {
                4 => packet[16..20] == [100, 64, 0, 1],
                _ => false,
            };
            assert!(is_to_device, "a frame to nobody: {packet:?}");
        }
    }
}

/// What comes out at the gateway is from our address there, to an address behind it.
fn allowed(packet: &[u8]) {
    let (is_from_us, is_to_them) = match packet[0] >> 4 {
        4 => (packet[12..16] == [10, 77, 0, 3], packet[16..18] == [10, 77]),
        6 => (ip_at(packet, 8) == ip("fd77::3"), packet[24..26] == [0xfd, 0x77]),
        version => panic!("IP version {version} at the gateway"),
    };
    assert!(is_from_us && is_to_them, "not allowed at the gateway: {packet:?}");
}

fn ip_at(packet: &[u8], at: usize) -> IpAddr {
    let octets: [u8; 16] = packet[at..at + 16].try_into().expect("16 bytes");
    octets.into()
}

/// What we say to the device by ourselves is well formed, and for the device.
fn sound_frame(frame: &[u8]) {
    let offload = Offload::parse(frame).expect("sound offload facts");
    if offload.segmentation == Segmentation::None && offload.checksum_start.is_none() {
        let packet = &frame[HEADER_LEN..];
        assert!(wire::Packet::parse(packet).is_ok(), "{:?}: {packet:?}", wire::Packet::parse(packet));
    }
}

/// The internal host's answer to [`Bench::device_asks`].
fn answer(payload: &[u8]) -> Vec<u8> {
    let segment =
        Segment { source: 80, destination: 4_000, sequence: 90, acknowledgement: 8, flags: wire::ACK };
    Packet::tcp(ip(HOST), ip(LOCAL), segment, payload).bytes()
}

fn policy() -> Policy {
    let ports = |protocol, first, last| Ports { protocol, first, last };
    let wiki =
        vec![ports(Protocol::Tcp, 80, 443), ports(Protocol::Udp, 5_000, 6_000), ports(Protocol::Icmp, 0, 0)];
    Policy {
        gateways: vec![Peer {
            ipv4: Some("10.77.0.3".parse().expect("IPv4")),
            ipv6: Some("fd77::3".parse().expect("IPv6")),
            allowed_ips: vec![prefix("10.77.0.0", 16), prefix("fd77::", 16)],
            ..Peer::default()
        }],
        grants: vec![Grant { applications: vec![Application { id: 0, ports: wiki }] }],
        networks: vec![Network { prefix: prefix("10.77.128.0", 24), gateway: 0, grant: 0 }],
        withheld: Vec::new(),
        is_blocked: false,
    }
}

fn prefix(address: &str, length: u8) -> Prefix {
    Prefix { address: ip(address), length }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}
