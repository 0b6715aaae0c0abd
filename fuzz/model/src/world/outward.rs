//! What programs of the device send, and what becomes of it at once.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use netstack::counters::DropReason;

use super::{Sent, World, device_address};
use crate::payload::{From, first_sequence, frame, stream, tagged};
use crate::reference::{Key, Known, Verdict, Way};
use crate::spec::ip;
use crate::transition::Choice;
use crate::wire::{self, ACK, FIN, PSH, Packet, RST, SYN, Segment, Transport};

/// A gateway that said something within this time is not lost.
const SURELY_THERE: Duration = Duration::from_secs(5);
/// A gateway that has not answered a handshake for this long is lost.
const SURELY_LOST: Duration = Duration::from_secs(16);
/// Ports that programs speak to.
const PORTS: [u16; 6] = [80, 443, 5_000, 6_000, 22, 5_353];
/// Most bytes that one side sends on a connection.
const MOST_BYTES: u32 = 0x6_0000;

/// What came of one frame.
struct Outcome {
    frames: Vec<Vec<u8>>,
    drops: u64,
    refusals: u64,
    /// It was dropped since there is no gateway to carry it.
    has_no_way: bool,
}

impl World {
    pub(super) fn connect(&mut self, choice: Choice) {
        let is_ipv6 = choice[0].is_multiple_of(4);
        let port = PORTS[usize::from(choice[2]) % PORTS.len()];
        self.open(self.pick(is_ipv6, choice[1]), port, choice[3].is_multiple_of(2));
    }

    /// A SYN; the number of the flow if it passed.
    pub(super) fn open(&mut self, destination: IpAddr, port: u16, offload: bool) -> Option<usize> {
        let id = self.reference.flows.len();
        let source = device_address(destination.is_ipv6());
        let key = (wire::TCP, source, 2_000 + id as u16, destination, port);
        let segment = Segment {
            source: key.2,
            destination: port,
            sequence: first_sequence(From::Device, id),
            acknowledgement: 0,
            flags: SYN,
        };
        let packet = Packet::tcp(source, destination, segment, &[]);
        let passed = self.send(key, Some(segment), &packet, &frame(&packet, offload, None))?;
        assert_eq!(passed, id, "a connection that was there already");
        self.reference.flows[id].sent.0 = 1;
        Some(id)
    }

    pub(super) fn tcp_out(&mut self, choice: Choice) {
        let Some(id) = self.some_flow(wire::TCP, choice[0], |_| true) else { return self.connect(choice) };
        let flow = &self.reference.flows[id];
        let (key, offset) = (flow.key, flow.sent.0);
        let (flags, length, segment) = match choice[1] % 16 {
            0 => (FIN | ACK, 0, None),
            1 => (RST | ACK, 0, None),
            2 | 3 => (ACK, 0, None),
            4..=6 => (ACK | PSH, u32::from(choice[2]) * 60 + 20, Some(1_200)),
            _ => (ACK | PSH, u32::from(choice[2]) * 5 + 1, None),
        };
        if offset + length > MOST_BYTES {
            return;
        }
        let offset =
            if choice[3].is_multiple_of(8) && length > 0 { offset.saturating_sub(40).max(1) } else { offset };
        let numbers = Segment {
            source: key.2,
            destination: key.4,
            sequence: first_sequence(From::Device, id) + offset,
            acknowledgement: first_sequence(From::Host, id) + flow.received,
            flags,
        };
        let packet = Packet::tcp(key.1, key.3, numbers, &stream(From::Device, id, offset, length));
        let segment = segment.filter(|size| length > u32::from(*size));
        if self
            .send(key, Some(numbers), &packet, &frame(&packet, choice[4].is_multiple_of(2), segment))
            .is_some()
        {
            let flow = &mut self.reference.flows[id];
            flow.sent.0 = flow.sent.0.max(offset + length + u32::from(flags & FIN != 0));
            flow.acknowledged = flow.received;
            flow.is_disordered = false;
        }
    }

    pub(super) fn udp_out(&mut self, choice: Choice) {
        let again = self.some_flow(wire::UDP, choice[1], |_| true).filter(|_| choice[0].is_multiple_of(2));
        let (is_ipv6, new_port) = (choice[0] % 8 == 3, 20_000 + u16::from(choice[6] % 16));
        let key = again.map(|id| self.reference.flows[id].key).unwrap_or_else(|| {
            let destination = self.pick(is_ipv6, choice[1]);
            let port = PORTS[usize::from(choice[2]) % PORTS.len()];
            (wire::UDP, device_address(is_ipv6), new_port, destination, port)
        });
        let is_large = choice[4].is_multiple_of(8);
        let length =
            if is_large { 1_500 + usize::from(choice[3]) * 16 } else { 13 + usize::from(choice[3]) * 4 };
        self.udp(key, length, choice[5]);
    }

    /// A datagram, in parts if it is long; the flow if it passed.
    pub(super) fn udp(&mut self, key: Key, length: usize, how: u8) -> Option<usize> {
        let tag = self.sent.len();
        self.sent.push(Sent { flow: usize::MAX, length, is_seen: false });
        let packet = Packet::udp((key.1, key.2), (key.3, key.4), &tagged(From::Device, tag, length));
        let passed = if length > 1_300 {
            self.send_in_parts(key, &packet, tag, how)
        } else {
            self.send(key, None, &packet, &frame(&packet, how.is_multiple_of(2), None))
        };
        self.sent[tag].flow = passed.unwrap_or(usize::MAX);
        passed
    }

    pub(super) fn echo_out(&mut self, choice: Choice) {
        let is_ipv6 = choice[0].is_multiple_of(4);
        self.echo(self.pick(is_ipv6, choice[1]), usize::from(choice[2]) * 4 + 13);
    }

    /// An echo request; the flow if it passed.
    pub(super) fn echo(&mut self, destination: IpAddr, length: usize) -> Option<usize> {
        let (tag, source) = (self.sent.len(), device_address(destination.is_ipv6()));
        self.sent.push(Sent { flow: usize::MAX, length, is_seen: false });
        let id = 100 + tag as u16 % 8;
        let packet = Packet::echo(source, destination, id, true, &tagged(From::Device, tag, length));
        let passed = self.send(
            (packet.protocol, source, id, destination, 0),
            None,
            &packet,
            &frame(&packet, false, None),
        );
        self.sent[tag].flow = passed.unwrap_or(usize::MAX);
        passed
    }

    /// Sends one packet, compares what comes of it with what may, and gives the flow that it passed on.
    fn send(&mut self, key: Key, segment: Option<Segment>, packet: &Packet, frame: &[u8]) -> Option<usize> {
        let (allowed, known, way) = self.verdicts(key, segment);
        let outcome = self.hand_in(frame);
        let verdict = self.judge(&outcome, packet, frame, key, &allowed);
        self.trace(|| format!("{key:?} {:?}: {verdict:?} of {allowed:?}", packet.transport()));
        self.conclude(key, segment, verdict, known, way)
    }

    /// The same for a datagram in parts: the first part decides.
    fn send_in_parts(&mut self, key: Key, packet: &Packet, tag: usize, how: u8) -> Option<usize> {
        let mut parts = packet.parts(1_200, tag as u32 + 1);
        if how.is_multiple_of(3) {
            parts.rotate_left(1);
        }
        let (allowed, known, way) = self.verdicts(key, None);
        let mut frames = Vec::new();
        for part in &parts {
            frames.extend(self.hand_in(&frame(part, false, None)).frames);
        }
        let verdict = match frames.as_slice() {
            [] if allowed.contains(&Verdict::Pass) => Verdict::Pass,
            [] => Verdict::Drop,
            [refusal] => kind_of(refusal, key),
            more => panic!("{} answers to one datagram in parts", more.len()),
        };
        assert!(
            allowed.contains(&verdict),
            "a datagram in parts: {verdict:?}, {allowed:?} should be; {key:?}"
        );
        self.conclude(key, None, verdict, known, way)
    }

    /// What may become of a packet, the flow that it may belong to, and the way of a new one.
    fn verdicts(
        &mut self,
        key: Key,
        segment: Option<Segment>,
    ) -> (BTreeSet<Verdict>, Option<(usize, Known)>, Option<Way>) {
        let known = self.reference.known(&key, self.now);
        let begun = self.reference.begin(key, segment);
        let mut allowed = BTreeSet::new();
        if let Some((id, _)) = known {
            let flow = &self.reference.flows[id];
            let is_open = flow.key.0 == wire::TCP && flow.state != crate::reference::State::Opening;
            if is_open {
                allowed.insert(Verdict::Pass);
            } else {
                allowed.extend(self.by_reach(flow.gateway));
            }
        }
        if !matches!(known, Some((_, Known::Yes))) {
            match begun {
                Ok((gateway, ..)) => allowed.extend(self.by_reach(gateway)),
                Err(verdict) => allowed.extend([verdict]),
            }
        }
        (allowed, known, begun.ok())
    }

    /// Whether a gateway is in reach: what is sent to it passes, is refused, or either.
    fn by_reach(&self, gateway: u32) -> Vec<Verdict> {
        let site = &self.sites[gateway as usize];
        let since = |at: Option<Duration>| at.map(|at| self.now.saturating_sub(at));
        let is_recent = |at: Option<Duration>| since(at).is_some_and(|since| since < SURELY_THERE);
        let is_old = |at: Option<Duration>| since(at).is_none_or(|since| since > SURELY_LOST);
        let is_waiting_long = match site.initiated_at {
            Some(_) => !is_recent(site.initiated_at),
            None => site.waiting_since.is_some() && !is_recent(site.waiting_since),
        };
        let is_there = !site.is_present || is_recent(site.heard_at) || !is_waiting_long;
        let is_lost = site.initiated_at.is_some() && is_old(site.initiated_at) && is_old(site.heard_at);
        match (is_there, is_lost) {
            (true, _) => vec![Verdict::Pass],
            (false, true) => vec![Verdict::Unreachable],
            (false, false) => vec![Verdict::Pass, Verdict::Unreachable],
        }
    }

    /// Hands a frame to the device, and takes what it says at once.
    pub(super) fn hand_in_raw(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.hand_in(frame).frames
    }

    fn hand_in(&mut self, frame: &[u8]) -> Outcome {
        let (drops, refusals, now) = (self.drops(), self.refusals(), self.instant());
        let ways = self.datapath.counters().get(DropReason::NoRoute);
        self.datapath.handle_tun_input(&mut frame.to_vec(), now);
        Outcome {
            frames: self.frames(),
            drops: self.drops() - drops,
            refusals: self.refusals() - refusals,
            has_no_way: self.datapath.counters().get(DropReason::NoRoute) > ways,
        }
    }

    /// What the outcome says; it must be among what is allowed.
    fn judge(
        &self,
        outcome: &Outcome,
        packet: &Packet,
        frame: &[u8],
        key: Key,
        allowed: &BTreeSet<Verdict>,
    ) -> Verdict {
        let is_reset = matches!(packet.transport(), Transport::Tcp(segment) if segment.flags & RST != 0);
        let verdict = match outcome.frames.as_slice() {
            // a reset is refused without a word
            [] if is_reset && outcome.refusals > 0 && allowed.contains(&Verdict::Unreachable) => {
                Verdict::Unreachable
            }
            [] if is_reset && outcome.refusals > 0 => Verdict::Prohibit,
            [] if outcome.drops == 0 => Verdict::Pass,
            [] => Verdict::Drop,
            [answer] => {
                check_refusal(answer, packet, &frame[10..], key);
                kind_of(answer, key)
            }
            more => panic!("{} answers to one packet: {more:?}", more.len()),
        };
        let to_nobody = outcome.has_no_way && self.is_for_absent_gateway(key);
        if to_nobody && allowed.contains(&Verdict::Pass) {
            return Verdict::Pass;
        }
        assert!(
            allowed.contains(&verdict),
            "{:?} of {key:?}: {verdict:?}, but {allowed:?} should be",
            packet.transport()
        );
        verdict
    }

    fn is_for_absent_gateway(&self, key: Key) -> bool {
        let flow = self.reference.live.get(&key).map(|id| self.reference.flows[*id].gateway);
        let gateway = flow.or(self.reference.destination(key.3).ok().map(|(gateway, ..)| gateway));
        gateway.is_some_and(|gateway| !self.sites[gateway as usize].is_present)
    }

    fn conclude(
        &mut self,
        key: Key,
        segment: Option<Segment>,
        verdict: Verdict,
        known: Option<(usize, Known)>,
        way: Option<Way>,
    ) -> Option<usize> {
        let is_perhaps = matches!(known, Some((_, Known::Perhaps)));
        let id = match (verdict, known, way) {
            (Verdict::Pass, Some((id, Known::Yes)), _) => id,
            (Verdict::Pass, Some((id, Known::Perhaps)), _) if key.0 == wire::TCP => id,
            (Verdict::Pass, _, Some(way)) => self.reference.add(key, way, self.now),
            (Verdict::Prohibit | Verdict::Drop, Some((_, Known::Perhaps)), _) => {
                self.reference.live.remove(&key); // it had ended
                return None;
            }
            _ => return None,
        };
        let flow = &mut self.reference.flows[id];
        flow.is_vague |= is_perhaps;
        flow.note(true, segment, self.now);
        Some(id)
    }

    /// A flow that may still be known.
    pub(super) fn some_flow(
        &self,
        protocol: u8,
        number: u8,
        is_fit: impl Fn(&crate::reference::Flow) -> bool,
    ) -> Option<usize> {
        let is_of = |key: &Key| key.0 == protocol || (protocol == wire::ICMP && key.0 == wire::ICMPV6);
        let flows: Vec<usize> = self
            .reference
            .live
            .iter()
            .filter(|(key, id)| is_of(key) && is_fit(&self.reference.flows[**id]))
            .map(|(_, id)| *id)
            .collect();
        let index = usize::from(number).checked_rem(flows.len())?;
        Some(flows[index])
    }

    /// An address that a program might speak to, of every kind.
    fn pick(&self, is_ipv6: bool, number: u8) -> IpAddr {
        let mut addresses: Vec<IpAddr> =
            self.reference.mappings.keys().copied().filter(|address| address.is_ipv6() == is_ipv6).collect();
        addresses.push(ip(if is_ipv6 { "fd09::7" } else { "10.9.0.7" }));
        if number.is_multiple_of(8) {
            let others =
                if is_ipv6 { ["fd99::7777", "2001:db8::1"] } else { ["100.64.200.1", "198.51.100.9"] };
            addresses.extend(others.map(ip));
        }
        addresses[usize::from(number) % addresses.len()]
    }

    /// How many packets were dropped so far, whatever the reason.
    pub(super) fn drops(&self) -> u64 {
        let counters = self.datapath.counters();
        DropReason::ALL.into_iter().map(|reason| counters.get(reason)).sum()
    }

    /// How many packets were refused so far.
    fn refusals(&self) -> u64 {
        self.datapath.refused().map(|(_, count)| count).sum()
    }

    /// What waits for the device.
    pub(super) fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.datapath.poll_frame() {
            match frame[1] {
                super::inward::UDP_SUPER_PACKET => frames.extend(super::inward::cut_datagrams(frame)),
                _ => frames.push(frame.to_vec()),
            }
        }
        frames
    }
}

/// Which kind of refusal a frame is.
fn kind_of(frame: &[u8], key: Key) -> Verdict {
    let packet =
        Packet::parse(&frame[10..]).unwrap_or_else(|error| panic!("a refusal is malformed: {error}"));
    match packet.transport() {
        Transport::Tcp(segment) if segment.flags & RST != 0 => Verdict::Prohibit,
        Transport::Icmp(3, 13) | Transport::Icmp(1, 1) => Verdict::Prohibit,
        Transport::Icmp(3, 1) | Transport::Icmp(1, 3) => Verdict::Unreachable,
        other => panic!("an answer to {key:?} that is no refusal: {other:?}"),
    }
}

/// A refusal is for the sender, from whom it spoke to, and about its very packet.
fn check_refusal(frame: &[u8], refused: &Packet, bytes: &[u8], key: Key) {
    let packet =
        Packet::parse(&frame[10..]).unwrap_or_else(|error| panic!("a refusal is malformed: {error}"));
    assert_eq!((packet.source, packet.destination), (key.3, key.1), "a refusal of {key:?}");
    match (packet.transport(), refused.transport()) {
        (Transport::Tcp(answer), Transport::Tcp(asked)) => {
            assert_eq!((answer.source, answer.destination), (key.4, key.2));
            let counted = (refused.payload().len() as u32)
                .wrapping_add(u32::from(asked.flags & SYN != 0) + u32::from(asked.flags & FIN != 0));
            if asked.flags & ACK != 0 {
                assert_eq!((answer.sequence, answer.flags), (asked.acknowledgement, RST));
            } else {
                assert_eq!(answer.acknowledgement, asked.sequence.wrapping_add(counted));
                assert_eq!(answer.flags, RST | ACK);
            }
        }
        (Transport::Icmp(..), _) => {
            let quoted = packet.payload();
            assert!(quoted.len() >= 28 && bytes.starts_with(quoted), "a refusal quotes another packet");
        }
        (other, _) => panic!("{other:?} answers {key:?}"),
    }
}
