//! What comes out of the tunnels: every packet must be one that was allowed, as it must look there.

use std::net::IpAddr;

use super::{Answer, ServerMode, World, site_of};
use crate::messages;
use crate::network::{Cargo, Datagram};
use crate::payload::{From, place, stream, tag_of, tagged};
use crate::reference::{Flow, Known};
use crate::spec::{NAMES, dns_server, local_address};
use crate::wire::{ACK, Packet, RST, SYN, Segment, Transport, UDP};

impl World {
    /// A datagram of the device arrives at a gateway.
    pub(super) fn at_gateway(&mut self, gateway: usize, datagram: &[u8]) {
        if !self.sites[gateway].is_up {
            return;
        }
        let from = super::DEVICE_AT.parse().expect("an address and a port");
        let received = self.sites[gateway].wireguard.receive(from, datagram);
        self.trace(|| format!("gateway {gateway} gets message {}: {received:?}", datagram[0]));
        for answer in received.answers {
            self.carry_in(gateway, answer, None);
        }
        if let Some(bytes) = received.packet {
            self.inside(gateway, &bytes);
        }
    }

    /// A gateway sends a datagram to the device, which may carry a packet of an internal host.
    pub(super) fn carry_in(&mut self, gateway: usize, bytes: Vec<u8>, carries: Option<usize>) {
        let site = &self.sites[gateway];
        if !site.is_up || !site.is_present || site.wireguard.device.is_none() {
            return;
        }
        let from = super::site_at(gateway, site.is_elsewhere);
        assert_eq!(site_of(from), Some(gateway));
        let datagram = Datagram { from, bytes, carries, is_pristine: true };
        self.net.send(Cargo::ToDevice(datagram), self.now);
    }

    fn inside(&mut self, gateway: usize, bytes: &[u8]) {
        let packet = Packet::parse(bytes)
            .unwrap_or_else(|error| panic!("a malformed packet at gateway {gateway}: {error}: {bytes:?}"));
        assert_eq!(
            Some(packet.source),
            local_address(gateway as u32, packet.destination),
            "a packet at gateway {gateway} is not from us"
        );
        let Some(packet) = self.whole(gateway, packet) else { return };
        self.trace(|| format!("at gateway {gateway}: {:?} to {}", packet.transport(), packet.destination));
        match packet.transport() {
            Transport::Udp { destination, .. }
                if (packet.destination, destination) == (dns_server().ip(), 53) =>
            {
                self.serve_name(gateway, &packet);
            }
            Transport::Tcp(segment) => self.segment_inside(gateway, &packet, segment),
            Transport::Udp { source, destination } => {
                self.tagged_inside(gateway, &packet, source, destination)
            }
            Transport::Echo { id, is_request: true } if packet.destination == dns_server().ip() => {
                let (from, to) = (packet.destination, packet.source);
                let answer = Packet::echo(from, to, id, false, packet.payload());
                self.host_sends(gateway, &answer, Answer::Probe);
            }
            Transport::Echo { id, is_request: true } => self.tagged_inside(gateway, &packet, id, 0),
            // hosts are told by ourselves what the path carries (RFC 1191, RFC 8201)
            Transport::Icmp(3, 4) | Transport::Icmp(2, 0) => self.told_inside(gateway, &packet),
            other => panic!("nobody sends such a packet: {other:?} at gateway {gateway}"),
        }
    }

    /// Only who speaks to the device is told what the path carries.
    fn told_inside(&self, gateway: usize, packet: &Packet) {
        let is_known = |flow: &Flow| (flow.gateway as usize, flow.real) == (gateway, packet.destination);
        assert!(self.reference.flows.iter().any(is_known), "a stranger is told of the path: {packet:?}");
        assert!(packet.payload().len() >= 28, "the quoted packet is cut short: {packet:?}");
    }

    /// Puts the parts of a datagram together.
    fn whole(&mut self, gateway: usize, packet: Packet) -> Option<Packet> {
        let Some(part) = packet.part else { return Some(packet) };
        let key = (gateway, packet.source, packet.destination, packet.protocol, part.id);
        let parts = self.parts_at_gateways.entry(key).or_default();
        parts.push(packet);
        let whole = together(parts)?;
        self.parts_at_gateways.remove(&key);
        whole.check_transport().unwrap_or_else(|error| panic!("a datagram in parts: {error}"));
        Some(whole)
    }

    fn tagged_inside(&mut self, gateway: usize, packet: &Packet, port: u16, remote_port: u16) {
        let Some((From::Device, tag)) = tag_of(packet.payload()) else {
            panic!("a datagram that no program sent, at gateway {gateway}: {packet:?}");
        };
        let sent = &mut self.sent[tag];
        assert!(!sent.is_seen, "datagram {tag} came twice");
        sent.is_seen = true;
        assert_ne!(sent.flow, usize::MAX, "datagram {tag} was refused, and yet it is at gateway {gateway}");
        assert_eq!(packet.payload(), tagged(From::Device, tag, sent.length), "datagram {tag} was changed");
        let id = sent.flow;
        let length = sent.length;
        self.check_way(gateway, packet, id, remote_port);
        self.bind(id, port);
        if self.random.next().is_multiple_of(2) {
            self.host_datagram(id, length);
        }
    }

    fn segment_inside(&mut self, gateway: usize, packet: &Packet, segment: Segment) {
        let (id, offset) = place(From::Device, segment.sequence);
        let is_due = self.resets_due.contains_key(&id);
        let flow = self.reference.flows.get(id).unwrap_or_else(|| panic!("nobody's segment: {segment:?}"));
        let length = packet.payload().len() as u32;
        if segment.flags & RST != 0 {
            assert!(is_due || flow.is_reset, "nobody has reset {:?}", flow.key);
        }
        assert!(offset + length <= flow.sent.0.max(1), "more bytes than the device has sent");
        assert_eq!(
            packet.payload(),
            stream(From::Device, id, offset, length),
            "bytes of a connection were changed"
        );
        if packet.body.len() >= 24 && segment.flags & SYN != 0 {
            let option = &packet.body[20..24];
            assert!(option[..2] == [2, 4] && crate::wire::word(option, 2) <= 1_460, "options: {option:?}");
        }
        self.check_way(gateway, packet, id, segment.destination);
        self.bind(id, segment.source);
        let flow = &mut self.reference.flows[id];
        flow.seen = flow.seen.max(offset + length);
        if segment.flags & SYN != 0 && flow.sent.1 == 0 && self.random.next().is_multiple_of(2) {
            self.host_segment(id, SYN | ACK, 0);
        }
    }

    fn check_way(&self, gateway: usize, packet: &Packet, id: usize, remote_port: u16) {
        let flow = &self.reference.flows[id];
        let found = (gateway as u32, packet.source, packet.destination, remote_port);
        assert_eq!(found, (flow.gateway, flow.local, flow.real, flow.key.4), "the way of {:?}", flow.key);
        assert_eq!(packet.protocol, flow.key.0);
    }

    /// A flow keeps its port, and no other flow to the same end has it.
    fn bind(&mut self, id: usize, port: u16) {
        let Flow { key, gateway, real, local_port, .. } = self.reference.flows[id];
        if let Some(bound) = local_port {
            assert_eq!(bound, port, "the port of {key:?}");
            return;
        }
        let now = self.now;
        let other = self.reference.inbound(gateway, key.0, port, (real, key.4), now);
        if let Some((other, Known::Yes)) = other.filter(|(other, _)| self.reference.flows[*other].key != key)
        {
            panic!("{key:?} shares a port with {:?}", self.reference.flows[other].key);
        }
        self.reference.flows[id].local_port = Some(port);
    }

    /// A query of our resolver, at an internal server.
    fn serve_name(&mut self, gateway: usize, packet: &Packet) {
        let query = packet.payload();
        let asked = messages::parse(query).unwrap_or_else(|| panic!("no query: {query:?}"));
        let name = NAMES.into_iter().find(|name| *name == asked.name);
        let name = name.unwrap_or_else(|| panic!("`{}` was asked inside", asked.name));
        assert!(self.was_granted(name, gateway as u32), "`{name}` was asked at gateway {gateway}");
        let is_of = |address: &&IpAddr| address.is_ipv6() == (asked.qtype == messages::AAAA);
        let addresses: Vec<IpAddr> = self.names[name].iter().filter(is_of).copied().collect();
        let (code, bytes) = match self.sites[gateway].mode {
            ServerMode::Well => (0, messages::answer(query, 0, &addresses)),
            ServerMode::NoSuchName => (3, messages::answer(query, 3, &[])),
            ServerMode::Fails => (2, messages::answer(query, 2, &[])),
            ServerMode::Silent => return,
            ServerMode::Nonsense => (9, nonsense(query)),
        };
        let said = if code == 0 { addresses } else { Vec::new() };
        self.said.entry((Some(gateway as u32), name, asked.qtype)).or_default().push((self.now, code, said));
        let Transport::Udp { source, destination } = packet.transport() else { return };
        assert_eq!(packet.protocol, UDP);
        let answer = Packet::udp((packet.destination, destination), (packet.source, source), &bytes);
        self.host_sends(gateway, &answer, Answer::Dns);
    }

    /// Sends a packet of an internal host into the tunnel, and gives its number.
    pub(super) fn host_sends(&mut self, gateway: usize, packet: &Packet, what: Answer) -> usize {
        let id = self.inside.len();
        self.inside.push(super::Inside { gateway, what, is_delivered: false });
        self.host_sends_as(gateway, &packet.bytes(), id);
        id
    }

    /// The same for a packet that has a number.
    pub(super) fn host_sends_as(&mut self, gateway: usize, bytes: &[u8], id: usize) {
        let (datagrams, carries) = self.sites[gateway].wireguard.send(bytes);
        for datagram in datagrams {
            self.carry_in(gateway, datagram, carries.then_some(id));
        }
    }
}

/// An answer that is cut off within its first record.
fn nonsense(query: &[u8]) -> Vec<u8> {
    let mut bytes = messages::answer(query, 0, &[local_address(0, dns_server().ip()).expect("an address")]);
    bytes.truncate(bytes.len() - 5);
    bytes
}

/// The whole of a datagram, if all parts are there.
pub(super) fn together(parts: &mut [Packet]) -> Option<Packet> {
    parts.sort_by_key(|packet| packet.part.map(|part| part.offset));
    let mut body = Vec::new();
    for packet in parts.iter() {
        let part = packet.part?;
        if part.offset != body.len() {
            return None;
        }
        body.extend(&packet.body);
    }
    let is_last = parts.last()?.part.is_some_and(|part| !part.more);
    is_last.then(|| Packet { part: None, body, ..parts[0].clone() })
}
