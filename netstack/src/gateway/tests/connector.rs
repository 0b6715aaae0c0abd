//! The connector's own datapath as a client of the gateway.

use std::time::Instant;

use super::world::{KEY, NAMES, OUTSIDE, WIKI, config, prefix};
use crate::datapath::{self, Datapath, Handled, Mapping};
use crate::gateway::*;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::virtio::{HEADER_LEN, Offload};
use crate::packets_for_tests::{at, echo, ip, sound, start, tcp, udp};
use crate::path_mtu::Known;
use crate::policy::{self, Grant, Ports, Protocol};
use crate::send_batch::Transmit;
use crate::wireguard::{self, public_key};

const CLIENT: [u8; 32] = [3; 32];
const CLIENT_AT: &str = "198.51.100.9:40000";
/// The device, and the address that its own resolver gave out for the gateway's.
const DEVICE: &str = "100.64.0.1";
const MAPPED: &str = "100.64.0.20";

struct Pair {
    now: Instant,
    datapath: Datapath,
    gateway: Gateway,
}

fn all_ports() -> Vec<Ports> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Icmp]
        .map(|protocol| Ports { protocol, first: 1, last: u16::MAX })
        .into()
}

fn datapath(now: Instant) -> Datapath {
    let mut datapath = Datapath::new(
        datapath::Config {
            seed: [9; 32],
            resolver: ("100.64.0.53".parse().unwrap(), None),
            pool: vec![prefix("100.64.0.0", 16)],
            mtu: 1_420,
            can_join: crate::CanJoin { tcp: true, udp: true },
            most_segments: 64,
        },
        now,
    );
    let peer = policy::Gateway {
        ipv4: Some("10.77.0.3".parse().unwrap()),
        ipv6: None,
        allowed_ips: vec![prefix("100.100.0.0", 16), prefix("10.77.0.53", 32)],
        probe_targets: vec![ip(NAMES)],
    };
    let grant = Grant { applications: vec![policy::Application { id: 0, ports: all_ports() }] };
    let policy = policy::Policy { gateways: vec![peer], grants: vec![grant], ..policy::Policy::default() };
    datapath.set_policy(policy, now);
    datapath.add_mapping(ip(MAPPED), Mapping { gateway: 0, real: ip(WIKI), grant: 0 });
    datapath
}

impl Pair {
    fn new(egress: Egress) -> Self {
        let now = start();
        let mut gateway = Gateway::new(config(egress), now);
        gateway.add_destination(ip(WIKI), Destination { applications: vec![0], real: None });
        gateway.set_policy(
            Policy {
                peers: vec![PeerConfig {
                    public_key: public_key(CLIENT),
                    preshared_key: None,
                    allowed_ips: vec![prefix("10.77.0.3", 32)],
                    applications: vec![0],
                }],
                applications: vec![Application { ports: all_ports() }],
                ..Policy::default()
            },
            now,
        );
        let mut pair = Self { now, datapath: datapath(now), gateway };
        let peer = wireguard::PeerConfig {
            private_key: CLIENT,
            public_key: public_key(KEY),
            preshared_key: None,
            endpoints: vec![at(OUTSIDE)],
            can_move: false,
            keepalive: 25,
        };
        pair.datapath.set_peer(0, peer, now);
        pair.pump();
        assert!(pair.datapath.peer(0).unwrap().is_established(now));
        pair
    }

    fn pump(&mut self) {
        loop {
            let mut up = Vec::new();
            while let Some(transmit) = self.datapath.poll_transmit() {
                up.extend(cut(&transmit));
            }
            for datagram in &up {
                self.gateway.handle_network_input(at(CLIENT_AT), datagram, datagram.len(), self.now);
            }
            let mut down = Vec::new();
            while let Some(transmit) = self.gateway.poll_transmit() {
                assert_eq!(transmit.destination, at(CLIENT_AT));
                down.extend(cut(&transmit));
            }
            for datagram in &down {
                self.datapath.handle_network_input(at(OUTSIDE), datagram, datagram.len(), self.now);
            }
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    fn device_sends(&mut self, packet: &[u8]) {
        let mut frame = vec![0; HEADER_LEN];
        frame.extend_from_slice(packet);
        assert_eq!(self.datapath.handle_tun_input(&mut frame, self.now), Handled::Done);
        self.pump();
    }

    fn inner_sends(&mut self, packet: &[u8]) {
        let mut frame = vec![0; HEADER_LEN];
        frame.extend_from_slice(packet);
        self.gateway.handle_inner_frame(&mut frame, self.now);
        self.pump();
    }

    fn at_device(&mut self) -> Vec<u8> {
        let frame = self.datapath.poll_frame().expect("a packet for the device").to_vec();
        assert_eq!(Offload::parse(&frame), Some(Offload::NONE));
        frame[HEADER_LEN..].to_vec()
    }

    fn at_inner(&mut self) -> Vec<u8> {
        self.gateway.poll_frame().expect("a packet for the inner side")[HEADER_LEN..].to_vec()
    }
}

fn cut(transmit: &Transmit<'_>) -> Vec<Vec<u8>> {
    let size = transmit.segment_size.unwrap_or(transmit.contents.len());
    transmit.contents.chunks(size).map(<[u8]>::to_vec).collect()
}

#[test]
fn a_connection_passes_both_machines_and_back() {
    let mut pair = Pair::new(Egress::Userspace);
    pair.device_sends(&tcp(&format!("{DEVICE}:4000"), &format!("{MAPPED}:80"), Tcp::SYN, (10, 0), &[]));
    let Some(Event::Opening(id, facts)) = pair.gateway.poll_event() else { panic!() };
    assert_eq!((facts.source.ip(), facts.destination), (ip("10.77.0.3"), at("100.100.0.20:80")));
    pair.gateway.admit(id);
    let syn = sound(&pair.at_inner());
    let Transport::Tcp(numbers) = syn.transport else { panic!() };
    let reply = format!("{}:{}", syn.source, numbers.source);
    pair.inner_sends(&tcp("100.100.0.20:80", &reply, Tcp::SYN | Tcp::ACK, (90, 11), &[]));
    let facts = sound(&pair.at_device());
    assert_eq!((facts.source, facts.destination), (ip(MAPPED), ip(DEVICE)));
}

#[test]
fn content_and_refusals_reach_the_device() {
    let mut pair = Pair::new(Egress::Userspace);
    pair.device_sends(&udp(&format!("{DEVICE}:4000"), &format!("{MAPPED}:5000"), b"question"));
    let Some(Event::Began(id, _)) = pair.gateway.poll_event() else { panic!() };
    assert_eq!(pair.gateway.poll_datagram(), Some((Content::Udp(id), &b"question"[..])));
    pair.gateway.send_udp(id, b"answer", pair.now);
    pair.pump();
    assert_eq!(pair.at_device(), udp(&format!("{MAPPED}:5000"), &format!("{DEVICE}:4000"), b"answer"));
    pair.gateway.close_flow(id, Close::Refused, pair.now);
    pair.pump();
    let error = pair.at_device();
    assert_eq!((sound(&error).source, &error[20..22]), (ip(MAPPED), &[3, 3][..]));
    assert_eq!(Facts::parse_quoted(&error[28..]).unwrap().destination, ip(MAPPED));
    pair.gateway.set_policy(Policy::default(), pair.now);
    pair.device_sends(&echo(DEVICE, MAPPED, 7, true));
    assert!(pair.datapath.poll_frame().is_none(), "nobody is there any more");
}

#[test]
fn the_connector_measures_its_path_with_the_gateway() {
    let mut pair = Pair::new(Egress::Userspace);
    for _ in 0..60 {
        let Some(due) =
            pair.datapath.poll_timeout().filter(|due| *due < pair.now + std::time::Duration::from_secs(20))
        else {
            break;
        };
        pair.now = due.max(pair.now);
        pair.datapath.handle_timeout(pair.now);
        pair.pump();
    }
    let path = pair.datapath.path(0).unwrap();
    assert_eq!((path.inner, path.known), (1_420, Known::Probed));
}
