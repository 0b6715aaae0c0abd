//! A flow from its first packet to its end.

use std::time::Instant;

use super::Gateway;
use super::event::{EndReason, Event, FlowFacts, FlowId};
use super::flow::Stage;
use crate::conntrack::{DeviceKey, Side, TcpState};
use crate::counters::DropReason;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::{echo, refusal, udp};
use crate::policy::Protocol;

/// Room for the headers of a datagram or an echo of either family, in bytes.
const LONGEST_ASKED: usize = 64;

/// How the caller ends a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// It is over; an open TCP connection is reset, all else just forgotten.
    Done,
    /// Nobody listens there: a reset, or ICMP "port unreachable"; an echo is prohibited.
    Refused,
    /// The host cannot be reached: ICMP says so, of a connection that was not admitted yet too.
    Unreachable,
    /// It may not be: a reset, or ICMP "administratively prohibited".
    Prohibited,
}

impl Gateway {
    /// The facts of a flow that is not over.
    pub fn flow(&self, id: FlowId) -> Option<FlowFacts> {
        let index = self.flows.by_id(id)?;
        self.flows.get(index).map(super::flow::Flow::facts)
    }

    /// The flow that the inner side sees between these ends, the peer's first.
    pub fn find_flow(
        &self,
        protocol: Protocol,
        ends: (std::net::SocketAddr, std::net::SocketAddr),
    ) -> Option<FlowId> {
        let (source, destination) = ends;
        let key = DeviceKey {
            protocol: protocol.number(source.is_ipv6()),
            source: source.ip(),
            source_port: source.port(),
            destination: destination.ip(),
            destination_port: destination.port(),
        };
        let flow = self.flows.get(self.flows.find_inner(&key)?)?;
        (!flow.is_ended()).then_some(flow.id)
    }

    /// Somebody on the inner side accepts the connection: its SYN goes there now. Nothing happens when it is over.
    pub fn admit(&mut self, id: FlowId) {
        let Some(index) = self.flows.by_id(id) else { return };
        let Some(flow) = self.flows.get_mut(index) else { return };
        let Stage::Held(syn) = std::mem::replace(&mut flow.stage, Stage::Open) else { return };
        // without room the device's own repetition takes its place
        let Some(out) = self.inner.spare() else { return self.drop(DropReason::BatchFull) };
        out[..syn.len()].copy_from_slice(&syn);
        if let Some(facts) = Facts::parse(&syn) {
            self.push_inner(index, &facts);
        }
    }

    /// Ends a flow; its peer is told as `how` says, and [`Event::Ended`] follows.
    pub fn close_flow(&mut self, id: FlowId, how: Close, now: Instant) {
        let Some(index) = self.flows.by_id(id) else { return };
        let Some(flow) = self.flows.get(index) else { return };
        let peer = flow.peer();
        match (&flow.stage, flow.is_tcp()) {
            (Stage::Held(syn), _) => {
                let syn = syn.clone();
                self.explain(peer, &syn, how, now);
            }
            (Stage::Open | Stage::Ended(_), true) => self.reset(index, now),
            (Stage::Open | Stage::Ended(_), false) if how == Close::Done => {}
            (Stage::Open | Stage::Ended(_), false) => {
                let mut asked = [0; LONGEST_ASKED];
                if let Some(length) = write_asked(&mut asked, &flow.facts()) {
                    self.explain(peer, &asked[..length], how, now);
                }
            }
        }
        self.end(index, EndReason::ClosedByCaller, now);
    }

    /// Answers a packet of the peer with what became of it.
    fn explain(&mut self, peer: u32, packet: &[u8], how: Close, now: Instant) {
        let Some(facts) = Facts::parse(packet) else { return };
        let is_udp = matches!(facts.transport, Transport::Udp { .. });
        let out = &mut self.scratch[..];
        let length = match how {
            Close::Unreachable => refusal::write_unreachable(out, packet, &facts),
            Close::Refused if is_udp => refusal::write_port_unreachable(out, packet, &facts),
            Close::Done | Close::Refused | Close::Prohibited => refusal::write(out, packet, &facts),
        };
        if let Some(length) = length {
            self.seal_scratch(peer, length, now);
        }
    }

    /// Takes note of a packet; its flow may be at its end then.
    pub(super) fn note(&mut self, index: u32, side: Side, facts: &Facts, now: Instant) {
        let Some(flow) = self.flows.get_mut(index) else { return };
        let before = flow.tracked.tcp;
        flow.note(side, facts, now);
        let after = flow.tracked.tcp;
        if before == after || !flow.is_tcp() || flow.is_ended() {
            return;
        }
        match after {
            TcpState::Closed => self.end(index, end_reason(side, facts), now),
            TcpState::Opening | TcpState::Established | TcpState::HalfClosed(_) => self.recount(index),
        }
    }

    /// Tells the end of a flow. What is repeated of a TCP connection's own end still passes for a while.
    pub(super) fn end(&mut self, index: u32, why: EndReason, now: Instant) {
        let Some(flow) = self.flows.get_mut(index).filter(|flow| !flow.is_ended()) else { return };
        let (id, facts) = (flow.id, flow.facts());
        let lingers = flow.is_tcp()
            && !flow.is_held()
            && matches!(why, EndReason::Closed | EndReason::ResetByPeer | EndReason::ResetByHost);
        flow.stage = Stage::Ended(now);
        let expires = flow.expires_at(&self.config.limits);
        self.recount(index);
        self.events.tell(Event::Ended(id, facts, why));
        if lingers {
            self.flows.note_ended(id);
            self.flows.wake(index, expires);
        } else {
            self.flows.remove(index);
        }
    }

    /// Forgets a flow whose end was told.
    pub(super) fn forget(&mut self, index: u32) {
        self.flows.remove(index);
    }

    /// Ends the flows whose time is over.
    pub(super) fn expire_flows(&mut self, now: Instant) {
        while let Some(index) = self.flows.pop_due(now) {
            let Some(flow) = self.flows.get(index) else { continue };
            let expires = flow.expires_at(&self.config.limits);
            if expires > now {
                self.flows.wake(index, expires);
            } else if flow.is_ended() {
                self.forget(index);
            } else {
                self.reset(index, now);
                self.end(index, EndReason::Idle, now);
            }
        }
    }

    /// Counts a flow anew among its peer's.
    pub(super) fn recount(&mut self, index: u32) {
        let Some(flow) = self.flows.get_mut(index) else { return };
        let (before, after, peer) = (flow.counted, flow.counts(), flow.peer());
        flow.counted = after;
        let Some(slot) = self.peers.get_mut(peer) else { return };
        slot.flows = slot.flows + u32::from(after.is_open) - u32::from(before.is_open);
        slot.half_open = slot.half_open + u32::from(after.is_half_open) - u32::from(before.is_half_open);
    }
}

/// Writes what a flow of UDP or echoes began with, but for its payload, to be quoted; its length.
fn write_asked(out: &mut [u8], facts: &FlowFacts) -> Option<usize> {
    let (from, to) = (facts.source, facts.destination);
    match facts.protocol {
        Protocol::Udp => udp::write(out, from, to, &[]),
        Protocol::Icmp => {
            let (source, destination, id) = (from.ip(), to.ip(), from.port());
            let request = echo::Request { source, destination, id, sequence: 0, hop_limit: 1 };
            echo::write(out, &request, if source.is_ipv6() { 48 } else { 28 })
        }
        Protocol::Tcp => None,
    }
}

fn end_reason(side: Side, facts: &Facts) -> EndReason {
    let is_reset = matches!(facts.transport, Transport::Tcp(tcp) if tcp.has(Tcp::RST));
    match (is_reset, side) {
        (false, _) => EndReason::Closed,
        (true, Side::Device) => EndReason::ResetByPeer,
        (true, Side::Remote) => EndReason::ResetByHost,
    }
}
