//! What internal hosts send, and what of it the device gets.

use std::net::IpAddr;

use super::inside::together;
use super::{Answer, Inside, World, device_address, site_at, site_of};
use crate::network::Datagram;
use crate::payload::{From, first_sequence, place, stream, tag_of, tagged};
use crate::reference::{Flow, Key, Known, State};
use crate::spec::{GATEWAYS, ip, local_address};
use crate::transition::Choice;
use crate::wire::{self, ACK, FIN, PSH, Packet, RST, SYN, Segment, Transport, word};

/// Most bytes that one side sends on a connection.
const MOST_BYTES: u32 = 0x6_0000;
/// Datagrams that are kept, to be sent again by somebody else.
const MOST_OVERHEARD: usize = 64;

/// A frame's kind in its virtio header (Linux `VIRTIO_NET_HDR_GSO_UDP_L4`).
pub(super) const UDP_SUPER_PACKET: u8 = 5;
/// As many datagrams as every kernel takes in one (Linux `UDP_MAX_SEGMENTS`).
const MOST_DATAGRAMS: usize = 64;

/// What the device must get, or may.
struct Expected {
    inside: usize,
    must: bool,
    flow: Option<usize>,
}

impl World {
    pub(super) fn tcp_in(&mut self, choice: Choice) {
        let Some(id) = self.some_flow(wire::TCP, choice[0], |flow| flow.local_port.is_some()) else { return };
        if self.reference.flows[id].sent.1 == 0 {
            return self.host_segment(id, SYN | ACK, 0);
        }
        let length = u32::from(choice[2]) * 5 + 1;
        match choice[1] % 16 {
            0 => self.host_segment(id, FIN | ACK, 0),
            1 => self.host_segment(id, RST | ACK, 0),
            2 | 3 => self.host_segment(id, ACK, 0),
            4..=7 => {
                for _ in 0..choice[3] % 8 {
                    self.host_segment(id, ACK, 1_200);
                }
                self.host_segment(id, ACK | PSH, length.min(1_200));
            }
            _ => self.host_segment(id, ACK | PSH, length),
        }
    }

    /// An internal host sends on a connection.
    pub(super) fn host_segment(&mut self, id: usize, flags: u8, length: u32) {
        let Flow { key, gateway, real, local, local_port, sent, seen, .. } = self.reference.flows[id];
        let Some(port) = local_port.filter(|_| sent.1 + length < MOST_BYTES) else { return };
        let segment = Segment {
            source: key.4,
            destination: port,
            sequence: first_sequence(From::Host, id) + sent.1,
            acknowledgement: first_sequence(From::Device, id) + seen,
            flags,
        };
        let packet = Packet::tcp(real, local, segment, &stream(From::Host, id, sent.1, length));
        self.reference.flows[id].sent.1 += length + u32::from(flags & (SYN | FIN) != 0);
        let what = Answer::Tcp { flow: id, from: sent.1, length, flags };
        self.host_sends(gateway as usize, &packet, what);
    }

    pub(super) fn udp_in(&mut self, choice: Choice) {
        let Some(id) = self.some_flow(wire::UDP, choice[0], |flow| flow.local_port.is_some()) else { return };
        let is_large = choice[2].is_multiple_of(8);
        let length =
            if is_large { 1_500 + usize::from(choice[1]) * 8 } else { 13 + usize::from(choice[1]) * 4 };
        let count = if choice[5] % 8 == 7 { 4 } else { 1 }; // alike ones may be joined
        for _ in 0..count {
            self.host_datagram(id, length);
        }
    }

    pub(super) fn echo_in(&mut self, choice: Choice) {
        let Some(id) = self.some_flow(wire::ICMP, choice[0], |flow| flow.local_port.is_some()) else {
            return;
        };
        self.host_datagram(id, 13 + usize::from(choice[1]) * 4);
    }

    /// An internal host answers a datagram or an echo; a long datagram goes in parts. The number of the answer.
    pub(super) fn host_datagram(&mut self, id: usize, length: usize) -> Option<usize> {
        let Flow { key, gateway, real, local, local_port, .. } = self.reference.flows[id];
        let (port, tag) = (local_port?, self.inside.len());
        let payload = tagged(From::Host, tag, length);
        let packet = match key.0 {
            wire::UDP => Packet::udp((real, key.4), (local, port), &payload),
            _ => Packet::echo(real, local, port, false, &payload),
        };
        if length <= 1_300 {
            let what = Answer::Tagged { flow: id, length, is_part: false };
            return Some(self.host_sends(gateway as usize, &packet, what));
        }
        self.inside.push(Inside {
            gateway: gateway as usize,
            what: Answer::Tagged { flow: id, length, is_part: true },
            is_delivered: false,
        });
        for part in packet.parts(1_200, tag as u32 + 1) {
            self.host_sends_as(gateway as usize, &part.bytes(), tag);
        }
        Some(tag)
    }

    /// What nobody on the device has asked for.
    pub(super) fn unsolicited(&mut self, choice: Choice) {
        let gateway = usize::from(choice[0]) % GATEWAYS;
        let (host, payload) = (ip("10.0.0.9"), tagged(From::Stranger, 0, 40));
        let Some(local) = local_address(gateway as u32, host) else { return };
        let syn = Segment { source: 1, destination: 22, flags: SYN, ..Segment::default() };
        let stolen =
            self.some_flow(wire::UDP, choice[2], |flow| flow.local_port.is_some() && !flow.real.is_ipv6());
        let stolen = stolen.map(|id| self.reference.flows[id].clone());
        let packet = match (choice[1] % 8, stolen) {
            (0, _) => Packet::udp((host, 5_000), (local, 7), &payload),
            (1, _) => Packet::tcp(host, local, syn, &[]),
            (2, _) => Packet::echo(host, local, 9, true, &payload),
            (3, Some(flow)) => Packet::udp((ip("8.8.8.8"), flow.key.4), (local, port(&flow)), &payload),
            (4, Some(flow)) => {
                Packet::udp((flow.real, flow.key.4), (device_address(false), port(&flow)), &payload)
            }
            (5, Some(flow)) => Packet::udp((flow.real, 1), (local, port(&flow)), &payload),
            (6, Some(flow)) if self.is_strange(&flow, gateway) => {
                Packet::udp((flow.real, flow.key.4), (local, port(&flow)), &payload)
            }
            _ => Packet::new(host, local, 132, payload.clone()),
        };
        self.host_sends(gateway, &packet, Answer::Stray);
    }

    /// Whether no flow through that gateway has the same ends.
    fn is_strange(&mut self, flow: &Flow, gateway: usize) -> bool {
        let now = self.now;
        let same =
            self.reference.inbound(gateway as u32, flow.key.0, port(flow), (flow.real, flow.key.4), now);
        flow.gateway != gateway as u32 && same.is_none() && !self.has_unseen(gateway, flow)
    }

    /// Whether a flow to that end may exist whose port nobody has seen.
    fn has_unseen(&self, gateway: usize, like: &Flow) -> bool {
        let flows = self.reference.live.values().map(|id| &self.reference.flows[*id]);
        let mut same = flows.filter(|flow| {
            flow.gateway == gateway as u32 && flow.real == like.real && flow.key.4 == like.key.4
        });
        same.any(|flow| flow.local_port.is_none())
    }

    /// A router says that a packet of a flow could not be delivered.
    pub(super) fn error_in(&mut self, choice: Choice) {
        let protocol = [wire::TCP, wire::UDP, wire::ICMP][usize::from(choice[1]) % 3];
        let Some(id) = self.some_flow(protocol, choice[0], |flow| flow.local_port.is_some()) else { return };
        let flow = self.reference.flows[id].clone();
        let quoted = match protocol {
            wire::TCP => {
                let sequence = first_sequence(From::Device, id);
                let syn = Segment {
                    source: port(&flow),
                    destination: flow.key.4,
                    sequence,
                    flags: SYN,
                    ..Segment::default()
                };
                Packet::tcp(flow.local, flow.real, syn, &[])
            }
            wire::UDP => {
                Packet::udp((flow.local, port(&flow)), (flow.real, flow.key.4), &tagged(From::Device, 0, 60))
            }
            _ => Packet::echo(flow.local, flow.real, port(&flow), true, &tagged(From::Device, 0, 60)),
        };
        let router = if flow.real.is_ipv6() { ip("fd00::fe") } else { ip("10.0.0.254") };
        let router = if choice[2].is_multiple_of(2) { router } else { flow.real };
        let mut bytes = quoted.bytes();
        if choice[3].is_multiple_of(2) {
            bytes.truncate(bytes.len() - quoted.body.len() + 8);
        }
        if choice[4].is_multiple_of(4) {
            // whoever is outside what the gateway may carry says nothing to the device
            let stranger = if flow.real.is_ipv6() { ip("2001:db8::9") } else { ip("8.8.8.8") };
            let packet = Packet::unreachable(stranger, flow.local, &bytes);
            self.host_sends(flow.gateway as usize, &packet, Answer::Stray);
            return;
        }
        let packet = Packet::unreachable(router, flow.local, &bytes);
        self.reference.flows[id].errors_due += 1;
        self.host_sends(flow.gateway as usize, &packet, Answer::Error { flow: id });
    }

    /// Datagrams arrive at the device, in one batch; it gets what it must, and nothing that it must not.
    pub(super) fn at_device(&mut self, batch: Vec<Datagram>) {
        let mut expected = Vec::new();
        for datagram in batch {
            let bad = self.datapath.counters().get(netstack::counters::DropReason::BadDatagram);
            let now = self.instant();
            self.datapath.handle_network_input(datagram.from, &datagram.bytes, datagram.bytes.len(), now);
            let is_bad = bad != self.datapath.counters().get(netstack::counters::DropReason::BadDatagram);
            self.trace(|| {
                let Datagram { from, bytes, carries, is_pristine } = &datagram;
                format!(
                    "from {from}: {:?} ({}), carries {carries:?}, {is_pristine}, bad: {is_bad}",
                    &bytes[..16],
                    bytes.len()
                )
            });
            // a packet that came before its session was refused, and still is as good as one that is late
            if !is_bad || datagram.bytes[0] != 4 {
                self.overhear(&datagram);
            }
            if is_bad {
                continue;
            }
            if let Some(gateway) = site_of(datagram.from).filter(|_| datagram.bytes[0] != 3) {
                self.heard(gateway, datagram.bytes[0]);
            }
            if let Some(inside) = datagram.carries {
                expected.extend(self.expect(inside));
            }
        }
        self.check_deliveries(expected);
        self.pump_names();
    }

    /// Something authentic came; only the answer to a handshake ends that one.
    fn heard(&mut self, gateway: usize, message: u8) {
        let site = &mut self.sites[gateway];
        (site.heard_at, site.waiting_since) = (Some(self.now), None);
        if message == 2 {
            (site.initiated_at, site.answered_at) = (None, Some(self.now));
        }
    }

    fn overhear(&mut self, datagram: &Datagram) {
        if self.overheard.len() == MOST_OVERHEARD {
            self.overheard.remove(0);
        }
        self.overheard.push((datagram.from, datagram.bytes.clone()));
    }

    /// What is to become of a packet of an internal host that has arrived.
    fn expect(&mut self, inside: usize) -> Option<Expected> {
        let (gateway, what) = (self.inside[inside].gateway, self.inside[inside].what);
        let (flow, is_part) = match what {
            Answer::Tcp { flow, .. } | Answer::Error { flow } => (flow, false),
            Answer::Tagged { flow, is_part, .. } => (flow, is_part),
            Answer::Dns | Answer::Probe | Answer::Stray => return None,
        };
        let key = self.reference.flows[flow].key;
        let known = self.reference.known(&key, self.now).filter(|(id, _)| *id == flow)?;
        assert_eq!(gateway, self.reference.flows[flow].gateway as usize);
        let must = known.1 == Known::Yes && !is_part && self.may_arrive(flow, what);
        if must {
            self.note_arrival(flow, what);
        }
        Some(Expected { inside, must, flow: Some(flow) })
    }

    /// Whether the gateway may send from that address now.
    fn may_arrive(&self, flow: usize, what: Answer) -> bool {
        let Flow { gateway, real, .. } = self.reference.flows[flow];
        let router = if real.is_ipv6() { ip("fd00::fe") } else { ip("10.0.0.254") };
        let is_error = matches!(what, Answer::Error { .. });
        self.reference.spec.reaches(gateway, real)
            && (!is_error || self.reference.spec.reaches(gateway, router))
    }

    fn note_arrival(&mut self, flow: usize, what: Answer) {
        let now = self.now;
        let flow = &mut self.reference.flows[flow];
        match what {
            Answer::Tcp { flags, .. } => flow.note(false, Some(Segment { flags, ..Segment::default() }), now),
            Answer::Tagged { .. } => flow.note(false, None, now),
            Answer::Error { .. } => flow.last_seen = now,
            Answer::Dns | Answer::Probe | Answer::Stray => {}
        }
    }

    fn check_deliveries(&mut self, mut expected: Vec<Expected>) {
        for frame in self.frames() {
            let gso = self.explain(&frame, &mut expected);
            self.trace(|| format!("the device gets {} bytes{gso}", frame.len() - 10));
        }
        if let Some(left) = expected.iter().find(|left| left.must) {
            let inside = &self.inside[left.inside];
            panic!(
                "the device did not get {inside:?} of {:?}",
                left.flow.map(|id| self.reference.flows[id].clone())
            );
        }
        for left in expected {
            // it was not certain whether the flow was still known: now it is
            let is_part = matches!(self.inside[left.inside].what, Answer::Tagged { is_part: true, .. });
            if let Some(id) = left.flow.filter(|_| !is_part) {
                let key = self.reference.flows[id].key;
                let is_known = self.reference.known(&key, self.now);
                if is_known == Some((id, Known::Perhaps)) {
                    self.reference.live.remove(&key);
                }
            }
        }
    }

    /// Finds what a frame is, and strikes it off what is expected.
    fn explain(&mut self, frame: &[u8], expected: &mut Vec<Expected>) -> &'static str {
        let packet = match frame[1] {
            0 if frame[0] == 0 => Packet::parse(&frame[10..]),
            _ => unfinished(frame),
        };
        let packet = packet.unwrap_or_else(|error| panic!("a malformed frame: {error}: {frame:?}"));
        assert_eq!(packet.destination, device_address(packet.destination.is_ipv6()), "a frame to nobody");
        let Some(packet) = self.whole_at_device(packet, expected) else { return ", a part" };
        match packet.transport() {
            Transport::Tcp(segment) => self.explain_segment(&packet, segment, expected),
            Transport::Udp { source: 53, destination }
                if super::RESOLVER.map(ip).contains(&packet.source) =>
            {
                self.check_answer(&packet, destination);
            }
            Transport::Udp { .. } | Transport::Echo { is_request: false, .. } => {
                self.explain_tagged(&packet, expected);
            }
            Transport::Icmp(3 | 1, 1 | 3) => self.explain_error(&packet, expected),
            other => panic!("nobody sends the device such a packet: {other:?} from {}", packet.source),
        }
        if frame[1] == 0 { "" } else { ", joined" }
    }

    fn whole_at_device(&mut self, packet: Packet, expected: &mut Vec<Expected>) -> Option<Packet> {
        let Some(part) = packet.part else { return Some(packet) };
        let key = (packet.source, packet.destination, packet.protocol, part.id);
        let first = (part.offset == 0).then(|| key_of(&packet));
        let parts = self.parts_at_device.entry(key).or_default();
        parts.push(packet);
        let id = part.id as usize - 1;
        expected.retain(|entry| entry.inside != id);
        if let Some(what @ Answer::Tagged { flow, .. }) = self.inside.get(id).map(|inside| inside.what)
            && let Some(heir) = first.and_then(|found| self.heir(found, flow))
        {
            self.note_arrival(heir, what);
        }
        let whole = together(self.parts_at_device.get_mut(&key)?)?;
        self.parts_at_device.remove(&key);
        whole.check_transport().unwrap_or_else(|error| panic!("a datagram in parts: {error}"));
        Some(whole)
    }

    fn explain_tagged(&mut self, packet: &Packet, expected: &mut Vec<Expected>) {
        let Some((From::Host, id)) = tag_of(packet.payload()) else {
            panic!("the device gets what no host sent it: {packet:?}");
        };
        let inside = &mut self.inside[id];
        assert!(!inside.is_delivered, "answer {id} came twice");
        inside.is_delivered = true;
        let what = inside.what;
        let Answer::Tagged { flow, length, is_part } = what else { panic!("{what:?} as a datagram") };
        assert_eq!(packet.payload(), tagged(From::Host, id, length), "answer {id} was changed");
        let key = self.reference.flows[flow].key;
        let found = key_of(packet);
        if found != key
            && let Some(heir) = self.heir(found, flow)
        {
            if !is_part {
                self.note_arrival(heir, what);
            }
            return; // a late answer, to a flow that ended, under a port that another has now
        }
        assert_eq!(found, key, "the way back");
        self.strike_off(id, flow, expected, is_part);
    }

    /// The flow of now that gets under the key `found` what was for `former`: that one or a later one under its key, or
    /// one that took over its port when it ended. No gateway may have seen that port yet: it is known now.
    fn heir(&mut self, found: Key, former: usize) -> Option<usize> {
        let (now, flow) = (self.now, &self.reference.flows[former]);
        let (key, way) = (flow.key, (flow.gateway, flow.real, flow.local_port, flow.key.0, flow.key.4));
        let (heir, _) = self.reference.known(&found, now)?;
        if found == key {
            return Some(heir);
        }
        let is_over = !matches!(self.reference.known(&key, now), Some((id, Known::Yes)) if id == former);
        let flow = &mut self.reference.flows[heir];
        let port = flow.local_port.or(way.2);
        let is_same = is_over && (flow.gateway, flow.real, port, flow.key.0, flow.key.4) == way;
        flow.local_port = if is_same { port } else { flow.local_port };
        is_same.then_some(heir)
    }

    fn explain_segment(&mut self, packet: &Packet, segment: Segment, expected: &mut Vec<Expected>) {
        let (id, offset) = place(From::Host, segment.sequence);
        let flow = self.reference.flows.get(id).unwrap_or_else(|| panic!("nobody's segment: {segment:?}"));
        let found = (wire::TCP, packet.destination, segment.destination, packet.source, segment.source);
        assert_eq!(found, flow.key, "the way back of a connection");
        let length = packet.payload().len() as u32;
        assert!(offset + length <= flow.sent.1, "more bytes than the host has sent");
        self.reference.flows[id]
            .receive(offset, offset + length + u32::from(segment.flags & (SYN | FIN) != 0));
        assert_eq!(
            packet.payload(),
            stream(From::Host, id, offset, length),
            "bytes of a connection were changed"
        );
        let mut count = 0;
        while let Some(at) =
            expected.iter().position(|entry| self.is_within(entry, id, (offset, length), segment.flags))
        {
            let entry = expected.remove(at);
            if !entry.must {
                self.note_arrival(id, self.inside[entry.inside].what);
            }
            count += 1;
            if length == 0 {
                break;
            }
        }
        if count == 0 {
            // it waited for a session at the gateway, where nobody could say which datagram carries it
            let key = self.reference.flows[id].key;
            assert!(self.reference.live.get(&key) == Some(&id), "a segment of a flow that is over: {key:?}");
            self.note_arrival(id, Answer::Tcp { flow: id, from: offset, length, flags: segment.flags });
        }
    }

    /// Whether what was sent is all in a segment, which may be joined from several.
    fn is_within(&self, entry: &Expected, id: usize, (offset, length): (u32, u32), flags: u8) -> bool {
        let relevant = SYN | FIN | RST;
        let Answer::Tcp { flow, from, length: part, flags: sent } = self.inside[entry.inside].what else {
            return false;
        };
        let is_inside = from >= offset && from + part <= offset + length && (part > 0) == (length > 0);
        flow == id && is_inside && sent & relevant == flags & relevant
    }

    fn explain_error(&mut self, packet: &Packet, expected: &mut Vec<Expected>) {
        let quoted = &packet.body[8..];
        let (source, destination, at, protocol) = match packet.source {
            IpAddr::V4(_) => (v4_at(quoted, 12), v4_at(quoted, 16), 20, quoted[9]),
            IpAddr::V6(_) => (v6_at(quoted, 8), v6_at(quoted, 24), 40, quoted[6]),
        };
        let ports = match protocol {
            wire::TCP | wire::UDP => (word(quoted, at), word(quoted, at + 2)),
            _ => (word(quoted, at + 4), 0),
        };
        let key = (protocol, source, ports.0, destination, ports.1);
        let live =
            *self.reference.live.get(&key).unwrap_or_else(|| panic!("an error about nothing: {key:?}"));
        assert_eq!(packet.source, destination, "an error is shown as the destination's own");
        let is_it = |entry: &Expected| matches!(self.inside[entry.inside].what, Answer::Error { flow } if self.reference.flows[flow].key == key);
        if let Some(at) = expected.iter().position(is_it) {
            expected.remove(at);
        }
        let about = self.in_error(key);
        let about = about.unwrap_or_else(|| panic!("a stranger's error about {key:?} came through"));
        self.reference.flows[about].errors_due -= 1;
        self.reference.flows[live].last_seen = self.now;
    }

    /// The flow that an error is due about, which the device gets under that key.
    fn in_error(&mut self, key: Key) -> Option<usize> {
        let flows = (0..self.reference.flows.len()).rev();
        let due: Vec<usize> = flows.filter(|id| self.reference.flows[*id].errors_due > 0).collect();
        let same = due.iter().copied().find(|id| self.reference.flows[*id].key == key);
        same.or_else(|| due.into_iter().find(|id| self.heir(key, *id).is_some()))
    }

    fn strike_off(&mut self, inside: usize, flow: usize, expected: &mut Vec<Expected>, is_part: bool) {
        let was_certain = expected.iter().any(|entry| entry.inside == inside && entry.must);
        expected.retain(|entry| entry.inside != inside);
        let key = self.reference.flows[flow].key;
        // one that nobody could tell from an earlier one under the same key goes on under a new number
        let live = self.reference.live.get(&key).copied();
        let live = live.unwrap_or_else(|| panic!("an answer of a flow that is over: {key:?}"));
        if !was_certain && !is_part {
            self.note_arrival(live, self.inside[inside].what);
        }
    }

    /// Somebody sends the device what no gateway made.
    pub(super) fn garbage_in(&mut self, choice: Choice) {
        let from = if choice[0].is_multiple_of(2) {
            site_at(usize::from(choice[1]) % GATEWAYS, false)
        } else {
            "203.0.113.9:99".parse().expect("an address")
        };
        let number = usize::from(choice[2]);
        let bytes = match (choice[3] % 4, self.overheard.get(number % self.overheard.len().max(1))) {
            (0, Some((_, old))) => old.clone(),
            (1, Some((_, old))) => old[..number % old.len()].to_vec(),
            (2, Some((_, old))) => old.iter().chain(&[0; 16]).copied().collect(),
            _ => (0..number).map(|_| self.random.next() as u8).collect(),
        };
        let now = self.instant();
        self.trace(|| format!("somebody sends {bytes:?}"));
        self.datapath.handle_network_input(from, &bytes, 1 + usize::from(choice[4]) * 8, now);
        assert_eq!(self.frames(), Vec::<Vec<u8>>::new(), "somebody's datagram got through");
    }
}

/// The frames of a super-packet of datagrams, as the kernel cuts it.
pub(super) fn cut_datagrams(frame: &[u8]) -> Vec<Vec<u8>> {
    let size = usize::from(u16::from_ne_bytes([frame[4], frame[5]]));
    let packet =
        unfinished(frame).unwrap_or_else(|error| panic!("a malformed super-packet: {error}: {frame:?}"));
    let Transport::Udp { source, destination } = packet.transport() else {
        panic!("no datagrams: {frame:?}")
    };
    let ends = ((packet.source, source), (packet.destination, destination));
    let parts: Vec<_> = packet.payload().chunks(size).collect();
    assert!((2..=MOST_DATAGRAMS).contains(&parts.len()), "{} datagrams in one", parts.len());
    parts.into_iter().map(|part| [vec![0; 10], Packet::udp(ends.0, ends.1, part).bytes()].concat()).collect()
}

/// A super-packet, or one whose checksum is left open: the sum in it must be that of the pseudo-header.
fn unfinished(frame: &[u8]) -> Result<Packet, String> {
    let (header, bytes) = frame.split_at(10);
    let at = usize::from(u16::from_ne_bytes([header[6], header[7]]));
    let field = at + usize::from(u16::from_ne_bytes([header[8], header[9]]));
    let mut whole = bytes.to_vec();
    let is_ipv6 = bytes[0] >> 4 == 6;
    let protocol = if is_ipv6 { bytes[6] } else { bytes[9] };
    let (source, destination) =
        if is_ipv6 { (v6_at(bytes, 8), v6_at(bytes, 24)) } else { (v4_at(bytes, 12), v4_at(bytes, 16)) };
    let pseudo = wire::pseudo_header(source, destination, protocol, bytes.len() - at);
    if word(bytes, field) != !wire::checksum(&[&pseudo]) {
        return Err("the sum left for offload is wrong".into());
    }
    if header[0] != 1 || u16::from_ne_bytes([header[4], header[5]]) == 0 {
        return Err("the facts for offload are wrong".into());
    }
    whole[field..field + 2].fill(0);
    let sum = wire::checksum(&[&pseudo, &whole[at..]]);
    whole[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    Packet::parse(&whole)
}

/// The flow of a datagram or an echo reply, as the device sees it.
fn key_of(packet: &Packet) -> Key {
    let ports = match packet.transport() {
        Transport::Udp { source, destination } => (destination, source),
        Transport::Echo { id, is_request: false } => (id, 0),
        other => panic!("no answer of a host: {other:?}"),
    };
    (packet.protocol, packet.destination, ports.0, packet.source, ports.1)
}

fn port(flow: &Flow) -> u16 {
    flow.local_port.unwrap_or_default()
}

fn v4_at(bytes: &[u8], at: usize) -> IpAddr {
    let octets: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
    octets.into()
}

fn v6_at(bytes: &[u8], at: usize) -> IpAddr {
    let octets: [u8; 16] = bytes[at..at + 16].try_into().expect("16 bytes");
    octets.into()
}

/// Whether a connection still stands: a reset is due when its right is taken away.
pub(super) fn is_open(flow: &Flow) -> bool {
    flow.key.0 == wire::TCP && flow.state != State::Closed
}
