//! Packets of the device that are longer than the path: cut as TCP or as fragments, or answered with the size that
//! passes (RFC 1191, RFC 8201).

use std::time::Instant;

use super::super::{Datapath, expectation};
use crate::counters::DropReason;
use crate::packet::facts::{Facts, Transport};
use crate::packet::virtio::Offload;
use crate::packet::{parts, segment, too_big};
use crate::sealing::Sealer;

impl Datapath {
    /// The offload facts with which what the device sent fits the path, cut further where that may be. `None`: it does
    /// not fit, and the device was told the size that does.
    pub(in crate::datapath) fn fit(
        &mut self,
        packet: &[u8],
        facts: &Facts,
        offload: &Offload,
        gateway: u32,
    ) -> Option<Offload> {
        let limits = self.paths.limits(gateway);
        let is_tcp = matches!(facts.transport, Transport::Tcp(_));
        let most = if is_tcp { limits.segment } else { limits.packet };
        let largest = segment::largest(facts, offload);
        if largest <= most {
            return Some(*offload);
        }
        if let Some(smaller) = segment::recut(packet, facts, offload, most) {
            return Some(smaller);
        }
        let may_be_cut =
            if facts.is_ipv6() { largest <= too_big::LEAST_IPV6 } else { parts::may_be_cut(packet) };
        if largest <= limits.packet || may_be_cut {
            return Some(*offload);
        }
        self.answer_too_big(packet, facts, limits.packet);
        None
    }

    fn answer_too_big(&mut self, packet: &[u8], facts: &Facts, mtu: usize) {
        self.drop(DropReason::TooBig);
        let Some(out) = self.tun.spare() else { return self.drop(DropReason::BatchFull) };
        if let Some(length) = too_big::write(out, packet, facts, mtu) {
            self.tun.push(length);
        }
    }

    /// Cuts what the device sent as `offload` says and seals it; what is still longer than the path goes in fragments.
    pub(in crate::datapath) fn seal(
        &mut self,
        packet: &mut [u8],
        facts: &Facts,
        offload: &Offload,
        gateway: u32,
        now: Instant,
    ) {
        let most = self.paths.limits(gateway).packet;
        let Some(peer) = self.peers.get_mut(gateway as usize).and_then(Option::as_mut) else {
            return self.drop(DropReason::NoRoute);
        };
        if let Some(expectation) = expectation::of(facts) {
            peer.expect(expectation, now);
        }
        let mut sealer = Sealer { peer, send: &mut self.send, parts: &mut self.paths.parts, most, now };
        let Some(refused) = sealer.seal_cut(packet, facts, offload, &mut self.scratch) else {
            return self.drop(DropReason::Malformed);
        };
        for _ in 0..refused {
            self.drop(DropReason::BatchFull);
        }
    }
}
