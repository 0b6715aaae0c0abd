//! Our gateway and two stock devices for fuzzing datagrams: whatever is sent, only what the devices may do comes out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netstack::gateway::{
    Application, Close, Config, Destination, Egress, Event, FlowId, Gateway, Limits, PeerConfig, Policy,
};
use netstack::packet::facts::{Facts, Transport};
use netstack::packet::virtio::HEADER_LEN;
use netstack::policy::{Ports, Prefix, Protocol};
use netstack::wireguard::public_key;

use crate::gateway::{Gateway as Device, set_clock};

const KEY: [u8; 32] = [5; 32];
const OUTSIDE: &str = "192.0.2.1:51820";
/// Where names are asked.
const NAMES: &str = "10.77.0.53";
/// What the first device may reach, and the host behind it.
const WIKI: [&str; 2] = ["100.100.0.20", "10.1.0.1"];
/// The same for the second.
const SHELL: [&str; 2] = ["100.100.0.21", "10.1.0.2"];
/// Most flows of a device here, so that limits are met.
const MOST_FLOWS: u32 = 16;

/// The gateway, two devices, and what is known of flows.
pub struct Doorway {
    gateway: Gateway,
    devices: [Device; 2],
    /// Flows that were told of and have not ended, and whether they wait to be admitted.
    flows: BTreeMap<FlowId, bool>,
    sealed: Vec<Vec<u8>>,
    has_rights: bool,
    start: Instant,
    now: Instant,
}

impl Doorway {
    /// With devices that have no session.
    pub fn new(is_kernel: bool) -> Self {
        let start = Instant::now();
        set_clock(Duration::ZERO);
        let egress = if is_kernel { Egress::Kernel } else { Egress::Userspace };
        let mut gateway = Gateway::new(config(egress), start);
        gateway.replace_destinations(
            [(WIKI, 0), (SHELL, 1)]
                .map(|(addresses, application)| (ip(addresses[0]), behind(addresses, application))),
        );
        gateway.set_policy(policy(true), start);
        let device = |number: u8| Device::new(key(number), public_key(KEY), u32::from(number) + 7);
        let devices = [device(0), device(1)];
        let (flows, sealed, has_rights) = (BTreeMap::new(), Vec::new(), true);
        Self { gateway, devices, flows, sealed, has_rights, start, now: start }
    }

    /// A device sends a packet, any bytes; it makes a session first if it has none.
    pub fn device_sends(&mut self, which: usize, packet: &[u8]) {
        let (datagrams, _) = self.devices[which % 2].send(packet);
        for datagram in datagrams {
            self.carry_in(outside(which % 2), &datagram);
            self.sealed.push(datagram);
        }
        self.pump();
    }

    /// What a device sends arrives with bits turned over, from anywhere.
    pub fn changed_datagram(&mut self, which: usize, changes: &[u8]) {
        let (datagrams, _) = self.devices[which % 2].send(&[0x45; 40]);
        for mut datagram in datagrams {
            for change in changes.chunks_exact(2) {
                let at = usize::from(change[0]) % datagram.len();
                datagram[at] ^= change[1];
            }
            self.carry_in(at("203.0.113.7:9"), &datagram);
        }
        self.pump();
    }

    /// A datagram of a device comes once more.
    pub fn replayed_datagram(&mut self, which: u8) {
        let Some(index) = usize::from(which).checked_rem(self.sealed.len()) else { return };
        let datagram = self.sealed[index].clone();
        self.carry_in(at("203.0.113.7:9"), &datagram);
        self.pump();
    }

    /// Bytes of a stranger arrive.
    pub fn hostile_datagram(&mut self, bytes: &[u8], stride: usize) {
        let stride = if stride == 0 { bytes.len() } else { stride * 8 };
        self.gateway.handle_network_input(at("203.0.113.7:9"), bytes, stride, self.now);
        self.pump();
    }

    /// The inner side sends a frame, any bytes.
    pub fn inner_sends(&mut self, frame: &mut [u8]) {
        self.gateway.handle_inner_frame(frame, self.now);
        self.pump();
    }

    /// The caller decides on a flow, or sends on it.
    pub fn decide(&mut self, which: u8, how: u8) {
        let Some(index) = usize::from(which).checked_rem(self.flows.len()) else { return };
        let Some(id) = self.flows.keys().nth(index).copied() else { return };
        match how % 8 {
            0 => self.gateway.close_flow(id, Close::Done, self.now),
            1 => self.gateway.close_flow(id, Close::Refused, self.now),
            2 => self.gateway.close_flow(id, Close::Unreachable, self.now),
            3 => self.gateway.close_flow(id, Close::Prohibited, self.now),
            4 => drop(self.gateway.send_udp(id, &vec![how; usize::from(which) * 20], self.now)),
            5 => drop(self.gateway.send_echo_reply(
                id,
                how.into(),
                &vec![how; usize::from(which) * 20],
                self.now,
            )),
            _ => {
                self.gateway.admit(id);
                self.flows.insert(id, false);
            }
        }
        self.pump();
    }

    /// Rights are taken away, or given back.
    pub fn toggle_rights(&mut self) {
        self.has_rights = !self.has_rights;
        self.gateway.set_policy(policy(self.has_rights), self.now);
        self.pump();
        assert!(self.has_rights || self.flows.is_empty(), "flows without a right");
    }

    /// Time passes, and what is due is done.
    pub fn pass_milliseconds(&mut self, milliseconds: u64) {
        let until = self.now + Duration::from_millis(milliseconds);
        for _ in 0..1_000 {
            let Some(due) = self.gateway.poll_timeout().filter(|due| *due <= until) else { break };
            self.set_time(due.max(self.now));
            self.gateway.handle_timeout(self.now);
            self.pump();
        }
        self.set_time(until);
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
        set_clock(now - self.start);
    }

    fn carry_in(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.gateway.handle_network_input(from, datagram, datagram.len(), self.now);
    }

    /// Carries datagrams until all is said, and looks at everything that came out.
    fn pump(&mut self) {
        for _ in 0..64 {
            self.check();
            let mut down = Vec::new();
            while let Some(transmit) = self.gateway.poll_transmit() {
                let size = transmit.segment_size.unwrap_or(transmit.contents.len());
                let datagrams = transmit.contents.chunks(size.max(1)).map(<[u8]>::to_vec);
                down.extend(datagrams.map(|datagram| (transmit.destination, datagram)));
            }
            if down.is_empty() {
                return self.check();
            }
            for (to, datagram) in down {
                for which in (0..2).filter(|which| outside(*which) == to) {
                    let received = self.devices[which].receive(at(OUTSIDE), &datagram);
                    received.packet.iter().for_each(|packet| check_delivered(which, packet));
                    for answer in received.answers {
                        self.carry_in(outside(which), &answer);
                        self.sealed.push(answer);
                    }
                }
            }
        }
    }

    fn check(&mut self) {
        while let Some(event) = self.gateway.poll_event() {
            match event {
                Event::Opening(id, _) => assert_eq!(self.flows.insert(id, true), None, "told twice"),
                Event::Began(id, _) => assert_eq!(self.flows.insert(id, false), None, "told twice"),
                Event::Ended(id, ..) => assert!(self.flows.remove(&id).is_some(), "ended twice"),
                Event::Refused(_) => {}
            }
        }
        while let Some((_, content)) = self.gateway.poll_datagram() {
            assert!(content.len() <= usize::from(u16::MAX));
        }
        while let Some(frame) = self.gateway.poll_frame() {
            check_frame(&frame[HEADER_LEN..]);
        }
        let counted: u32 = self.gateway.peers().map(|(_, stats)| stats.flows).sum();
        assert_eq!(counted as usize, self.flows.len(), "flows are counted right");
        assert!(self.gateway.peers().all(|(_, stats)| stats.flows <= MOST_FLOWS));
    }
}

/// What comes out on the inner side is from a device, and to what that device may reach.
fn check_frame(packet: &[u8]) {
    let facts = Facts::parse(packet).expect("a frame that is no packet");
    let which = (0..2).find(|which| facts.source == device_ip(*which)).expect("from no device");
    let is_allowed = match (which, facts.transport) {
        (0, Transport::Tcp(tcp)) => (80..=443).contains(&tcp.destination),
        (0, Transport::Udp { destination, .. }) => (5_000..=6_000).contains(&destination),
        (1, Transport::Tcp(tcp)) => tcp.destination == 22,
        (_, Transport::Error) | (0, Transport::Echo { .. } | Transport::Fragment) => true,
        _ => false,
    };
    let hosts = [WIKI, SHELL][which];
    // an error is about a packet that came from there
    let is_error = matches!(facts.transport, Transport::Error);
    let is_names =
        facts.destination == ip(NAMES) && (is_error || facts.ports().is_some_and(|(_, port)| port == 53));
    assert!(
        is_names || (is_allowed && hosts.iter().any(|host| ip(host) == facts.destination)),
        "not allowed: {facts:?}"
    );
}

/// What comes out at a device is for that device, and from what it may reach, or what refuses.
fn check_delivered(which: usize, packet: &[u8]) {
    let facts = Facts::parse(packet).expect("a packet that is none at a device");
    assert_eq!(facts.destination, device_ip(which), "for another device");
    let is_hidden = [WIKI[1], SHELL[1]].iter().any(|real| ip(real) == facts.source);
    assert!(
        !is_hidden || matches!(facts.transport, Transport::Error | Transport::Tcp(_)),
        "a real address shows"
    );
}

fn config(egress: Egress) -> Config {
    Config {
        private_key: KEY,
        seed: [9; 32],
        mtu: 1_420,
        can_join: netstack::CanJoin::default(),
        most_segments: 64,
        names: (Some(NAMES.parse().expect("IPv4")), None),
        egress,
        limits: Limits { flows: 24, flows_per_peer: MOST_FLOWS, half_open_per_peer: 8, ..Limits::default() },
    }
}

fn policy(has_rights: bool) -> Policy {
    let ports = |protocol, first, last| Ports { protocol, first, last };
    let wiki =
        vec![ports(Protocol::Tcp, 80, 443), ports(Protocol::Udp, 5_000, 6_000), ports(Protocol::Icmp, 0, 0)];
    let peer = |number: u8| PeerConfig {
        public_key: public_key(key(number)),
        preshared_key: None,
        allowed_ips: vec![Prefix { address: device_ip(number.into()), length: 32 }],
        applications: vec![number.into()],
    };
    Policy {
        peers: if has_rights { vec![peer(0), peer(1)] } else { Vec::new() },
        applications: vec![
            Application { ports: wiki },
            Application { ports: vec![ports(Protocol::Tcp, 22, 22)] },
        ],
        ..Policy::default()
    }
}

fn behind(addresses: [&str; 2], application: u32) -> Destination {
    Destination { applications: vec![application], real: Some(ip(addresses[1])) }
}

fn key(number: u8) -> [u8; 32] {
    [10 + number; 32]
}

fn device_ip(which: usize) -> IpAddr {
    ip(["10.77.0.3", "10.77.0.4"][which])
}

fn outside(which: usize) -> SocketAddr {
    at(["198.51.100.1:40000", "198.51.100.2:40000"][which])
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address with a port")
}
