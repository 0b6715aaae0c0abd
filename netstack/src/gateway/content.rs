//! Content of flows that the caller carries: handed up from packets, and written into packets.

use std::net::SocketAddr;
use std::time::Instant;

use super::Gateway;
use super::event::{Content, FlowId};
use crate::counters::DropReason;
use crate::packet::facts::{Facts, Transport};
use crate::packet::{checksum, echo, udp};
use crate::policy::Protocol;

impl Gateway {
    /// Sends a datagram to the peer of a UDP flow, in fragments if need be; false: it is over, or there was no room.
    pub fn send_udp(&mut self, id: FlowId, payload: &[u8], now: Instant) -> bool {
        let Some(facts) = self.flow(id).filter(|facts| facts.protocol == Protocol::Udp) else { return false };
        let Some(length) = self.write_udp(facts.destination, facts.source, payload) else { return false };
        self.send_content(id, length, payload.len(), now)
    }

    /// Sends the answer to an echo request.
    pub fn send_echo_reply(&mut self, id: FlowId, sequence: u16, payload: &[u8], now: Instant) -> bool {
        let Some(facts) = self.flow(id).filter(|facts| facts.protocol == Protocol::Icmp) else {
            return false;
        };
        let numbers = (facts.source.port(), sequence);
        let (from, to) = (facts.destination.ip(), facts.source.ip());
        let Some(length) = echo::write_reply(&mut self.scratch, from, to, numbers, payload) else {
            return false;
        };
        self.permit_cutting(length);
        self.send_content(id, length, payload.len(), now)
    }

    /// Seals what stands in the scratch room for the flow's peer.
    fn send_content(&mut self, id: FlowId, length: usize, payload: usize, now: Instant) -> bool {
        let Some(flow) = self.flows.by_id(id).and_then(|index| self.flows.get_mut(index)) else {
            return false;
        };
        flow.down += payload as u64;
        (flow.tracked.last_seen, flow.tracked.is_answered) = (now, true);
        let peer = flow.peer();
        self.seal_scratch(peer, length, now)
    }

    /// Writes a UDP packet to the scratch room.
    pub(super) fn write_udp(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<usize> {
        let length = udp::write(&mut self.scratch, from, to, payload)?;
        self.permit_cutting(length);
        Some(length)
    }

    /// An IPv4 packet of ours in the scratch room that is longer than the path goes in fragments.
    fn permit_cutting(&mut self, length: usize) {
        if length > self.config.mtu && self.scratch[0] >> 4 == 4 {
            let id = self.parts.next_id() as u16;
            self.scratch[4..6].copy_from_slice(&id.to_be_bytes());
            self.scratch[6] = 0;
            checksum::write_ipv4_header(&mut self.scratch, 20);
        }
    }

    /// The datagram in the spare frame goes to the caller.
    pub(super) fn hand_up_datagram(&mut self, id: FlowId, facts: &Facts) {
        self.hand_up(Content::Udp(id), facts);
    }

    /// Hands the payload of the UDP packet in the spare frame to the caller.
    pub(super) fn hand_up(&mut self, content: Content, facts: &Facts) {
        let Some(packet) = self.inner.spare() else { return };
        let payload = udp::payload(packet, facts).filter(|_| udp::is_checksum_valid(packet, facts));
        let Some(payload) = payload else { return self.drop(DropReason::Malformed) };
        if !self.inbox.push(content, &packet[payload]) {
            self.drop(DropReason::BatchFull);
        }
    }

    /// The echo request in the spare frame goes to the caller.
    pub(super) fn hand_up_echo(&mut self, id: FlowId, facts: &Facts) {
        let Some(packet) = self.inner.spare() else { return };
        let is_request = matches!(facts.transport, Transport::Echo { is_request: true, .. });
        let content = echo::content(packet, facts).filter(|_| echo::is_checksum_valid(packet, facts));
        let Some((sequence, payload)) = content.filter(|_| is_request) else {
            return self.drop(DropReason::Malformed);
        };
        if !self.inbox.push(Content::Echo(id, sequence), payload) {
            self.drop(DropReason::BatchFull);
        }
    }
}
