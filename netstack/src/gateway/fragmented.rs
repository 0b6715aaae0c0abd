//! Datagrams in parts: whole before they are judged, and in parts again where the other side wants them so.

use std::time::Instant;

use super::Gateway;
use crate::counters::DropReason;
use crate::packet::facts::{Facts, Transport};
use crate::packet::virtio::Offload;
use crate::packet::{fragment, parts};

impl Gateway {
    /// A fragment of a peer, in the spare frame.
    pub(super) fn fragment_from_peer(&mut self, peer: u32, facts: &Facts, now: Instant) {
        if self.peers.owner(facts.source) != Some(peer) {
            return self.drop(DropReason::ForeignAddress);
        }
        let Some(packet) = self.inner.spare() else { return };
        let Some(part) = fragment::parse(packet, facts) else { return self.drop(DropReason::Malformed) };
        let Some(whole) = self.reassembly.add(Some(peer), packet, facts, &part, now) else { return };
        let Some(facts) = whole_facts(&whole) else { return self.drop(DropReason::Malformed) };
        packet[..whole.len()].copy_from_slice(&whole);
        self.carry(peer, &facts, now);
    }

    /// A fragment of the inner side.
    pub(super) fn fragment_from_inner(&mut self, packet: &[u8], facts: &Facts, now: Instant) {
        let Some(part) = fragment::parse(packet, facts) else { return self.drop(DropReason::Malformed) };
        let Some(mut whole) = self.reassembly.add(None, packet, facts, &part, now) else { return };
        let Some(facts) = whole_facts(&whole) else { return self.drop(DropReason::Malformed) };
        self.carry_back(&mut whole, &facts, &Offload::NONE, now);
    }

    /// A packet in the spare frame that is longer than the inner side's frames goes there in parts, where that may be.
    pub(super) fn push_inner_parts(&mut self, facts: &Facts) {
        let Some(packet) = self.inner.spare() else { return self.drop(DropReason::BatchFull) };
        let may_be_cut = facts.is_ipv6() || parts::may_be_cut(packet);
        if matches!(facts.transport, Transport::Tcp(_)) || !may_be_cut {
            return self.inner.push(facts.length);
        }
        self.scratch[..facts.length].copy_from_slice(&packet[..facts.length]);
        let Self { inner, parts, scratch, config, .. } = self;
        let mut has_room = true;
        let is_cut = parts.cut(&scratch[..facts.length], facts, config.mtu, |part| match inner.spare() {
            Some(out) => {
                out[..part.len()].copy_from_slice(part);
                inner.push(part.len());
            }
            None => has_room = false,
        });
        if !is_cut || !has_room {
            self.drop(DropReason::BatchFull);
        }
    }
}

/// The facts of what was put together: sound, and no fragment any more.
fn whole_facts(packet: &[u8]) -> Option<Facts> {
    Facts::parse(packet).filter(|facts| facts.transport != Transport::Fragment)
}
