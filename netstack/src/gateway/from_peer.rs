//! From the network: whose datagram it is, opening it, and what becomes of the packet.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Egress, Gateway};
use crate::conntrack::{DeviceKey, Side};
use crate::counters::DropReason;
use crate::nat;
use crate::packet::facts::{Facts, Transport};
use crate::packet::mss;
use crate::wireguard::{self, Knock, Opened};

impl Gateway {
    /// Handles what one receive call gave: datagrams of `stride` bytes each from `from`, the last one may be shorter.
    pub fn handle_network_input(&mut self, from: SocketAddr, datagrams: &[u8], stride: usize, now: Instant) {
        for datagram in datagrams.chunks(stride.max(1)) {
            self.handle_datagram(from, datagram, now);
        }
    }

    fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let peer = match wireguard::peer_index(datagram) {
            Some(peer) if !wireguard::is_response(datagram) => Some(peer),
            addressed => self.knock(from, datagram, addressed, now),
        };
        let Some(peer) = peer else { return };
        let Some(buffer) = self.inner.spare() else { return self.drop(DropReason::BatchFull) };
        match self.peers.open(peer, from, datagram, buffer, &mut self.send, now) {
            Opened::Packet(length) => self.take(peer, length, now),
            Opened::Nothing => {}
            Opened::Bad => self.drop(DropReason::BadDatagram),
        }
    }

    /// A handshake message: whose it is, if it is worth a look.
    fn knock(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        addressed: Option<u32>,
        now: Instant,
    ) -> Option<u32> {
        let Some(out) = self.send.spare() else {
            self.drop(DropReason::BatchFull);
            return None;
        };
        let reason = match self.peers.judge(from, datagram, out, now) {
            Knock::Initiation(key) => match self.peers.prepare(&key, now) {
                Some(peer) => return Some(peer),
                None => DropReason::BadDatagram,
            },
            Knock::Response => return addressed,
            Knock::Cookie(length) => {
                self.send.push(from, length);
                DropReason::RateLimited
            }
            Knock::Busy => DropReason::RateLimited,
            Knock::Bad => DropReason::BadDatagram,
        };
        self.drop(reason);
        None
    }

    /// An opened packet of `length` bytes stands in the spare frame.
    fn take(&mut self, peer: u32, length: usize, now: Instant) {
        let Some(packet) = self.inner.spare().map(|buffer| &buffer[..length]) else { return };
        let Some(facts) = Facts::parse(packet) else { return self.drop(DropReason::Malformed) };
        match facts.transport {
            Transport::Error => self.error_from_peer(peer, &facts, now),
            Transport::Fragment => self.fragment_from_peer(peer, &facts, now),
            Transport::Tcp(_) | Transport::Udp { .. } | Transport::Echo { .. } | Transport::Other => {
                self.carry(peer, &facts, now);
            }
        }
    }

    /// A whole packet that stands in the spare frame.
    pub(super) fn carry(&mut self, peer: u32, facts: &Facts, now: Instant) {
        if self.is_for_us(facts) {
            return self.serve(peer, facts, now);
        }
        match self.find_or_begin(peer, facts, now) {
            Ok(flow) => self.pass(flow, facts, now),
            Err(verdict) => self.deny(peer, facts, verdict, now),
        }
    }

    /// A packet of a flow that may go on.
    fn pass(&mut self, index: u32, facts: &Facts, now: Instant) {
        self.note(index, Side::Device, facts, now);
        let Some(flow) = self.flows.get(index) else { return };
        if flow.is_held() {
            return;
        }
        match (self.config.egress, facts.transport) {
            (Egress::Userspace, Transport::Udp { .. }) => self.hand_up_datagram(flow.id, facts),
            (Egress::Userspace, Transport::Echo { .. }) => self.hand_up_echo(flow.id, facts),
            (
                Egress::Userspace | Egress::Kernel,
                Transport::Tcp(_)
                | Transport::Udp { .. }
                | Transport::Echo { .. }
                | Transport::Error
                | Transport::Fragment
                | Transport::Other,
            ) => self.push_inner(index, facts),
        }
    }

    /// The packet in the spare frame goes to the inner side.
    pub(super) fn push_inner(&mut self, index: u32, facts: &Facts) {
        let Some(flow) = self.flows.get(index) else { return };
        let Some(packet) = self.inner.spare().map(|buffer| &mut buffer[..facts.length]) else {
            return self.drop(DropReason::BatchFull);
        };
        let mut facts = *facts;
        if let Some(to) = flow.inward() {
            if !nat::translate(packet, &facts, &to, false) {
                return self.drop(DropReason::NoRoute);
            }
            (facts.source, facts.destination) = (to.source, to.destination);
        }
        mss::clamp(packet, &facts, self.config.mtu, false);
        if facts.length > self.config.mtu {
            return self.push_inner_parts(&facts);
        }
        self.inner.push_flow(index, facts);
    }

    /// The flow that a packet belongs to; it begins one if it may.
    fn find_or_begin(
        &mut self,
        peer: u32,
        facts: &Facts,
        now: Instant,
    ) -> Result<u32, super::admission::Verdict> {
        use super::admission::Verdict;
        let Some(key) = DeviceKey::outbound(facts) else {
            let is_its_own = self.peers.owner(facts.source) == Some(peer);
            return Err(match is_its_own {
                true => Verdict::unsupported(),
                false => Verdict::Drop(DropReason::ForeignAddress),
            });
        };
        let Some(index) = self.flows.find(&key) else { return self.begin(peer, key, facts, now) };
        let Some(flow) = self.flows.get(index) else { return Err(Verdict::Drop(DropReason::NotOurs)) };
        if flow.peer() != peer {
            return Err(Verdict::Drop(DropReason::ForeignAddress));
        }
        if flow.is_ended() && super::admission::is_opening(facts) {
            self.forget(index);
            return self.begin(peer, key, facts, now);
        }
        Ok(index)
    }
}
