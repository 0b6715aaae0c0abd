//! From the network: find the peer, open, filter, translate back and join.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Arrival, Datapath};
use crate::conntrack::{Owner, Side, TunnelKey};
use crate::counters::DropReason;
use crate::nat::{self, Translation};
use crate::packet::facts::{Facts, Transport};
use crate::packet::{mss, udp};
use crate::wireguard::{self, Opened};

impl Datapath {
    /// Handles what one receive call gave: datagrams of `stride` bytes each from `from`, the last one may be shorter.
    pub fn handle_network_input(&mut self, from: SocketAddr, datagrams: &[u8], stride: usize, now: Instant) {
        let mut has_traffic = false;
        for datagram in datagrams.chunks(stride.max(1)) {
            has_traffic |= self.handle_datagram(from, datagram, now);
        }
        self.watch_paths(has_traffic, now);
    }

    /// True: it held a packet.
    fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        if self.tun.spare().is_none() {
            self.drop(DropReason::BatchFull);
            return false;
        }
        let Some(gateway) = wireguard::peer_index(datagram) else {
            self.handle_initiation(from, datagram, now);
            return false;
        };
        match self.open(gateway, from, datagram, now) {
            Opened::Packet(length) => {
                self.filter_inbound(gateway, length, now);
                return true;
            }
            Opened::Nothing => {}
            Opened::Bad => self.drop(DropReason::BadDatagram),
        }
        false
    }

    /// A gateway begins a handshake: its message does not say which; the one at that address is asked first.
    fn handle_initiation(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let is_at =
            |peer: &Option<wireguard::Peer>| peer.as_ref().is_some_and(|peer| peer.endpoint() == Some(from));
        let first = self.peers.iter().position(is_at).unwrap_or(0);
        let others = (0..self.peers.len()).filter(|index| *index != first);
        for index in std::iter::once(first).chain(others) {
            if self.open(index as u32, from, datagram, now) != Opened::Bad {
                return;
            }
        }
        self.drop(DropReason::BadDatagram);
    }

    fn open(&mut self, gateway: u32, from: SocketAddr, datagram: &[u8], now: Instant) -> Opened {
        let Some(peer) = self.peers.get_mut(gateway as usize).and_then(Option::as_mut) else {
            return Opened::Bad;
        };
        let Some(buffer) = self.tun.spare() else { return Opened::Bad };
        peer.open(from, datagram, buffer, &mut self.send, now)
    }

    /// An opened packet of `length` bytes stands in the spare frame.
    fn filter_inbound(&mut self, gateway: u32, length: usize, now: Instant) {
        let Some(packet) = self.tun.spare().map(|buffer| &mut buffer[..length]) else { return };
        let Some(facts) = Facts::parse(packet) else { return self.drop(DropReason::Malformed) };
        let is_allowed = self.policy.gateways.get(gateway as usize).is_some_and(|peer| {
            peer.allows(facts.source) && peer.local_address(facts.source) == Some(facts.destination)
        });
        if !is_allowed {
            return self.drop(DropReason::ForeignAddress);
        }
        match facts.transport {
            Transport::Error => return self.quoted_error(gateway, &facts, now),
            Transport::Fragment => return self.fragment_in(gateway, &facts, now),
            Transport::Tcp(_) | Transport::Udp { .. } | Transport::Echo { .. } | Transport::Other => {}
        }
        let Some(key) = TunnelKey::inbound(gateway, &facts) else {
            return self.drop(DropReason::Unsolicited);
        };
        match self.conntrack.find_by_tunnel(&key) {
            Some(Owner::Flow(index)) => self.deliver(index, &facts, now),
            Some(Owner::Query(query)) => self.hand_up_answer(query, &facts),
            Some(Owner::Local) => self.feed_local_stack(gateway, &facts, now),
            Some(Owner::Probe) => self.handle_echo(gateway, facts.length, now),
            None => self.drop(DropReason::Unsolicited),
        }
    }

    fn deliver(&mut self, index: u32, facts: &Facts, now: Instant) {
        if matches!(facts.transport, Transport::Echo { is_request: true, .. }) {
            return self.drop(DropReason::Unsolicited);
        }
        let payload = facts.payload_length();
        let flow = self.conntrack.note(index, Side::Remote, &facts.transport, payload, now);
        let Some(flow) = flow else { return };
        let device = flow.device;
        let most = self.paths.limits(flow.tunnel.gateway).segment;
        let to = Translation {
            source: device.destination,
            destination: device.source,
            source_port: None,
            destination_port: Some(device.source_port),
        };
        let Some(packet) = self.tun.spare().map(|buffer| &mut buffer[..facts.length]) else { return };
        if nat::translate(packet, facts, &to, false) {
            mss::clamp(packet, facts, most, false);
            self.tun.push_flow(index, Facts { source: to.source, destination: to.destination, ..*facts });
        }
    }

    fn hand_up_answer(&mut self, query: u64, facts: &Facts) {
        let Transport::Udp { source, .. } = facts.transport else { return };
        let server = SocketAddr::new(facts.source, source);
        let Some(packet) = self.tun.spare().map(|buffer| &buffer[..facts.length]) else { return };
        let payload = match udp::payload(packet, facts) {
            Some(payload) if udp::is_checksum_valid(packet, facts) => packet[payload].to_vec(),
            _ => return self.drop(DropReason::Malformed),
        };
        self.arrive(Arrival::Answer { query, server, payload });
    }

    fn feed_local_stack(&mut self, gateway: u32, facts: &Facts, now: Instant) {
        let most = self.paths.limits(gateway).segment;
        let Some(packet) = self.tun.spare().map(|buffer| &mut buffer[..facts.length]) else { return };
        mss::clamp(packet, facts, most, false);
        if !self.tcp.handle_packet(gateway, packet, now) {
            return self.drop(DropReason::Unsolicited);
        }
        self.flush_tcp(now);
    }
}
