//! What is for the gateway itself: queries at the address that names are asked at, and echoes that end here.
//!
//! Connectors measure their path with echo requests that nobody may fragment: those to our address are answered, and
//! those whose last hop we are, by "time exceeded".

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::Gateway;
use super::admission::Verdict;
use super::event::Content;
use crate::counters::{DropReason, RefusalReason};
use crate::packet::facts::{Facts, Transport};
use crate::packet::{TCP, echo, refusal};

/// The port of DNS (RFC 1035, section 4.2).
pub(super) const DNS_PORT: u16 = 53;

impl Gateway {
    /// Sends the answer to a query over UDP; false: the device may not connect any more, or there was no room.
    pub fn send_answer(
        &mut self,
        peer: u32,
        source: SocketAddr,
        local: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> bool {
        if self.peers.owner(source.ip()) != Some(peer) {
            return false;
        }
        let Some(length) = self.write_udp(local, source, payload) else { return false };
        self.seal_scratch(peer, length, now)
    }

    pub(super) fn is_names(&self, address: IpAddr) -> bool {
        let (v4, v6) = self.config.names;
        match address {
            IpAddr::V4(address) => Some(address) == v4,
            IpAddr::V6(address) => Some(address) == v6,
        }
    }

    /// Whether the packet in the spare frame goes no further than here.
    pub(super) fn is_for_us(&mut self, facts: &Facts) -> bool {
        (self.is_names(facts.destination) && facts.protocol != TCP) || self.is_last_hop(facts)
    }

    fn is_last_hop(&mut self, facts: &Facts) -> bool {
        let hop_limit = if facts.is_ipv6() { 7 } else { 8 };
        matches!(facts.transport, Transport::Echo { is_request: true, .. })
            && self.inner.spare().is_some_and(|packet| packet[hop_limit] <= 1)
    }

    /// Answers it.
    pub(super) fn serve(&mut self, peer: u32, facts: &Facts, now: Instant) {
        if self.peers.owner(facts.source) != Some(peer) {
            return self.drop(DropReason::ForeignAddress);
        }
        match facts.transport {
            Transport::Udp { source, destination: DNS_PORT } => self.hand_up_query(peer, source, facts, now),
            Transport::Echo { is_request: true, .. } if self.is_names(facts.destination) => {
                self.answer_echo(peer, facts, now);
            }
            Transport::Echo { is_request: true, .. } => self.answer_last_hop(peer, facts, now),
            Transport::Echo { .. } => self.drop(DropReason::NotOurs),
            Transport::Tcp(_)
            | Transport::Udp { .. }
            | Transport::Error
            | Transport::Fragment
            | Transport::Other => {
                self.deny(peer, facts, Verdict::Refuse(RefusalReason::PortNotAllowed), now);
            }
        }
    }

    fn hand_up_query(&mut self, peer: u32, port: u16, facts: &Facts, now: Instant) {
        let most = self.config.limits.queries_per_second;
        if !self.peers.get_mut(peer).is_some_and(|slot| slot.queries.take(most, now)) {
            return self.drop(DropReason::RateLimited);
        }
        let source = SocketAddr::new(facts.source, port);
        let local = SocketAddr::new(facts.destination, DNS_PORT);
        self.hand_up(Content::Query { peer, source, local }, facts);
    }

    fn answer_echo(&mut self, peer: u32, facts: &Facts, now: Instant) {
        let Self { inner, scratch, .. } = self;
        let Some(packet) = inner.spare() else { return };
        let content = echo::content(packet, facts).filter(|_| echo::is_checksum_valid(packet, facts));
        let (Some((sequence, payload)), Some((id, _))) = (content, facts.ports()) else {
            return self.drop(DropReason::Malformed);
        };
        let (from, to) = (facts.destination, facts.source);
        if let Some(length) = echo::write_reply(scratch, from, to, (id, sequence), payload) {
            self.seal_scratch(peer, length, now);
        }
    }

    fn answer_last_hop(&mut self, peer: u32, facts: &Facts, now: Instant) {
        let own = match facts.source {
            IpAddr::V4(_) => self.config.names.0.map(IpAddr::V4),
            IpAddr::V6(_) => self.config.names.1.map(IpAddr::V6),
        };
        let Self { inner, scratch, .. } = self;
        let (Some(packet), Some(own)) = (inner.spare(), own) else { return self.drop(DropReason::NotOurs) };
        if let Some(length) = refusal::write_time_exceeded(scratch, own, packet, facts) {
            self.seal_scratch(peer, length, now);
        }
    }
}
